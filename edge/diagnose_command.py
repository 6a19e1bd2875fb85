"""``xueliang diagnose``: one look at a camera's picture, through the service's own code. Shell.

The judgement is made against the baselines that the service has learnt, where this user may read
them. That the footage was looked at is in the audit log of the command line.
"""

from __future__ import annotations

from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from edge.auditing import on_record
from edge.diagnose.baseline import FULL, light_of
from edge.diagnose.checks import judge, outcome_of
from edge.diagnose.defects import TEXTS_ZH, Defect, Outcome
from edge.diagnose.inspector import Inspector
from edge.diagnose.keeping import baseline_path, forget_baselines, read_baselines
from edge.diagnose.service import is_turning
from edge.status import UnknownCamera, index_path
from retention.audit_chain import Action
from retention.clock import SystemClock

_OUTCOMES_ZH = {
    Outcome.NORMAL: "正常",
    Outcome.ABNORMAL: "异常",
    Outcome.UNKNOWN: "无法判断",
    Outcome.FAILED: "检查失败",
}


class BaselinesNotForgotten(XueliangError):
    """The file of a camera's baselines could not be removed."""

    code = "baselines_not_forgotten"


def diagnose_document(settings: Settings, camera: str, at_text: str | None) -> dict[str, Any]:
    """Look at the newest sealed footage, or at that of an instant.

    Raises:
        UnknownCamera: it is not in the settings.
        AuditUnavailable: it could not be put on record, and was not done.
    """
    _known(settings, camera)
    zone = zone_named(settings.site.timezone)
    clock = SystemClock()
    until_us = clock.utc_us() if at_text is None else parse_instant(at_text, zone)
    inspector = Inspector(index_path(settings), settings.storage.volumes)
    with on_record(settings, Action.DIAGNOSIS, camera, until_us=until_us) as deed:
        try:
            looked = inspector.look(camera, until_us, 0)
        finally:
            inspector.close()
        deed.told["footage_us"] = looked.footage_us
    document: dict[str, Any] = {
        "camera": camera,
        "footage": format_instant(looked.footage_us, zone) if looked.footage_us else None,
        "outcome": Outcome.FAILED.value,
        "failure": looked.failure.value,
        "detail": looked.detail,
        "light": None,
        "learnt": 0,
        "checks": {defect.value: Outcome.UNKNOWN.value for defect in Defect},
        "cpu_seconds": looked.cpu_seconds,
    }
    if looked.measures is None:
        return document
    try:
        baselines = read_baselines(settings.storage.state_dir, camera)
    except PermissionError:
        baselines = {}
    light = light_of(looked.measures)
    baseline = baselines.get(light)
    verdicts = judge(
        looked.measures,
        baseline,
        is_dark_room=camera in settings.diagnose.dark_rooms,
        is_turning=is_turning(settings, camera),
    )
    return {
        **document,
        "outcome": outcome_of(verdicts).value,
        "light": light.value,
        "learnt": min(1.0, round((baseline.count if baseline else 0) / FULL, 3)),
        "checks": {defect.value: outcome.value for defect, outcome in verdicts.items()},
    }


def forget(settings: Settings, camera: str) -> bool:
    """Have the camera's normal picture learnt anew, as after it was put up elsewhere; False where
    nothing was learnt yet.

    Raises:
        UnknownCamera, BaselinesNotForgotten, AuditUnavailable: nothing was changed.
    """
    _known(settings, camera)
    with on_record(settings, Action.DIAGNOSIS, camera, relearn=True):
        try:
            return forget_baselines(settings.storage.state_dir, camera)
        except OSError as error:
            path = baseline_path(settings.storage.state_dir, camera)
            raise BaselinesNotForgotten(
                f"{path} cannot be removed ({error.strerror})",
                hint="run this as the user of the diagnose service, or as root",
            ) from error


def _known(settings: Settings, camera: str) -> None:
    known = [one.id for one in settings.camera]
    if camera not in known:
        raise UnknownCamera(f"camera {camera!r} is unknown", hint=f"known: {', '.join(known)}")


def render_diagnosis(document: dict[str, Any]) -> str:
    outcome = Outcome(document["outcome"])
    lines = [
        f"{document['camera']}: {_OUTCOMES_ZH[outcome]} {outcome.value}"
        f"  {document['footage'] or ''}  {document['failure']} {document['detail']}".rstrip()
    ]
    if document["light"] is not None:
        lines.append(f"  基准 baseline {document['light']}: {document['learnt']:.0%}")
        lines += [
            f"  {TEXTS_ZH[Defect(name)]} {name}: {_OUTCOMES_ZH[Outcome(one)]} {one}"
            for name, one in document["checks"].items()
        ]
    return "\n".join(lines)

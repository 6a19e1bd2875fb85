"""The site's KPIs, gathered from what is known: index, nightly checks, diagnosis, settings. Shell.

Blocking; for a job's thread and for commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.schema import Camera, Settings
from edge.alarms.codes import Code
from edge.archive_check import ArchiveFinding, archive_findings
from edge.diagnose.defects import Outcome
from edge.diagnose.report_file import read_report
from edge.night_results import results
from retention import kpi
from retention.completeness import DAY_US, Completeness
from retention.kpi import NOT_MEASURED, Kpi, Share

#: Past days that the metrics look back at.
METRICS_DAYS = 30
#: A camera's clock counts as right within this (domain.md: "defect at 5 s").
CLOCK_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What others than the index know of the cameras; missing is what nobody measured."""

    offsets_s: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)  # by night
    pictures: Mapping[str, Share] = field(default_factory=dict)
    told: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # maker, model
    name_differs: Mapping[str, bool] = field(default_factory=dict)


def known(settings: Settings, days: int, live: Mapping[str, Any] | None = None) -> Known:
    """Read what the nights and the diagnosis left.

    Args:
        live: the running edge's status, for its ``cameras`` and ``alarms``.
    """
    state_dir, live = settings.storage.state_dir, live or {}
    told = {
        name: (str(one.get("manufacturer", "")), str(one.get("model", "")))
        for name, one in live.get("cameras", {}).items()
    }
    differing = {
        str(alarm["subject"]): True
        for alarm in live.get("alarms") or ()
        if alarm["code"] == Code.CAMERA_NAME_DIFFERS
    }
    return Known(
        offsets_s=night_offsets(state_dir, days),
        pictures=_pictures(state_dir),
        told=told,
        name_differs=differing,
    )


def night_offsets(state_dir: Path, days: int) -> dict[str, list[tuple[str, float]]]:
    """Of each camera the clock offsets that the last nightly self-checks measured, by date."""
    found: dict[str, list[tuple[str, float]]] = {}
    for path in results(state_dir)[-days:]:
        try:
            night = json.loads(path.read_bytes())
            for camera in night["cameras"]:
                offset_s = camera.get("clock_offset_seconds")
                if isinstance(offset_s, int | float):
                    found.setdefault(str(camera["camera"]), []).append(
                        (str(night["date"]), float(offset_s))
                    )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a result that cannot be read says nothing
    return found


def _pictures(state_dir: Path) -> dict[str, Share]:
    """Checks of the picture that came to a judgement, since the diagnosis was first started."""
    report = read_report(state_dir)
    return {
        name: Share(good=normal, all=normal + one.checks.get(Outcome.ABNORMAL, 0))
        for name, one in ({} if report is None else report.cameras).items()
        for normal in [one.checks.get(Outcome.NORMAL, 0)]
    }


def findings_of(settings: Settings, camera: Camera, about: Known) -> list[ArchiveFinding]:
    """Of a camera's entry in the register."""
    manufacturer, model = about.told.get(camera.id, ("", ""))
    return archive_findings(
        camera,
        names=[one.name for one in settings.camera],
        told_manufacturer=manufacturer,
        told_model=model,
        name_differs=about.name_differs.get(camera.id),
    )


def camera_kpis(
    settings: Settings,
    camera: Camera,
    found: Completeness,
    oldest_us: int | None,
    about: Known,
    days: int,
) -> dict[Kpi, Share]:
    """All of one camera."""
    floor_days = camera.min_days or settings.retention.min_days
    has_service = found.due_from_us < found.now_us and bool(found.days)
    offsets = [offset for _, offset in about.offsets_s.get(camera.id, ())]
    is_valid = not findings_of(settings, camera, about)
    return {
        **kpi.recorded(found, days),
        Kpi.KEPT: kpi.kept(
            oldest_us,
            found.due_from_us if has_service else None,
            floor_days * DAY_US,
            found.now_us,
        ),
        Kpi.CLOCK: kpi.clock(offsets, CLOCK_LIMIT_S),
        Kpi.PICTURE: about.pictures.get(camera.id, NOT_MEASURED),
        Kpi.ARCHIVE: Share(good=int(is_valid), all=1),
    }

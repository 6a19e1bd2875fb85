"""``xueliang export`` and ``xueliang verify``: footage handed out with its proof, and checked.

Shell. An export is on record in the audit log before its first byte is written; it asks a running
``edge`` for a checkpoint first, so that what is sealed is under one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import XueliangError
from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from edge import control
from edge.auditing import on_record
from edge.status import UnknownCamera, index_path, open_store
from retention.audit import AuditUnavailable, os_actor
from retention.audit_chain import Action
from retention.clock import SystemClock
from retention.export import (
    Exported,
    ExportFailed,
    FootageGone,
    Order,
    Plan,
    plan_export,
    write_export,
)
from retention.export_verifier import Report, statements_in, verify_export
from retention.gap_names import CAUSES_ZH
from retention.journal import key_id
from retention.keys import KEY_NAME, KeyUnusable, signing_key
from retention.read import is_edge_running
from retention.verify import Verified, Window, verify_camera

log = logging.getLogger(__name__)

#: A checkpoint waits for the index, which may be busy on a bad day.
CHECKPOINT_TIMEOUT_S = 60.0
REASON_CHARACTERS_MAX = 500
#: Footage may be deleted by policy while it is handed out: then anew, with its gap told.
TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Who asked for an export at the console, who let him, and what is told of its progress."""

    actor: str
    approved_by: str
    progress: Callable[[int, int], None]  # bytes written, of how many


def export_camera(
    settings: Settings,
    camera: str,
    from_text: str,
    to_text: str,
    folder: Path,
    reason: str,
    desk: Desk | None = None,
) -> Exported:
    """Hand out a camera's footage of a range.

    Args:
        desk: for an export of the console's; else it is this user's own.

    Raises:
        UnknownCamera, BadInstant, ExportFailed: what was asked cannot be.
        AuditUnavailable: it could not be put on record; nothing was handed out.
        IndexUnavailable, KeyUnusable: the store cannot be used by this user now.
    """
    zone = zone_named(settings.site.timezone)
    from_us, to_us = parse_instant(from_text, zone), parse_instant(to_text, zone)
    if from_us >= to_us:
        raise ExportFailed("the range ends before it begins", hint="--from is the earlier one")
    if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
        raise ExportFailed(
            "an export needs a reason", hint=f"one to {REASON_CHARACTERS_MAX} characters"
        )
    _check_camera(settings, camera)
    key = _own_key(settings)
    notes = _checkpoint(settings, camera)
    order = Order(
        camera=camera,
        camera_name=next((one.name for one in settings.camera if one.id == camera), ""),
        from_us=from_us,
        to_us=to_us,
        reason=reason,
        actor=os_actor() if desk is None else desk.actor,
        site=settings.site.name,
        tool=f"xueliang-edge {metadata.version('xueliang-edge')}",
    )
    volumes = settings.storage.volumes
    now_us = SystemClock().utc_us()

    def planned() -> Plan:
        own_key = key_id(key.public_key())
        return plan_export(index_path(settings), order, own_key, now_us)

    plan = planned()
    approved: dict[str, str] = {}
    if desk is not None and desk.approved_by:
        approved = {"approved_by": desk.approved_by}
        notes = [*notes, f"approved by {desk.approved_by}"]

    def progress(size_bytes: int) -> None:
        if desk is not None:
            desk.progress(size_bytes, plan.size_bytes)

    try:
        with on_record(
            settings,
            Action.EXPORT,
            camera,
            order.actor,
            from_us=from_us,
            to_us=to_us,
            reason=reason,
            folder=str(folder.absolute()),
            bytes=plan.size_bytes,
            **approved,
        ) as deed:
            record = {"service": "cli", "seq": deed.head.seq, "hash": deed.head.hash}
            for left in reversed(range(TRIES)):
                with suppress(FootageGone):
                    result = write_export(
                        plan,
                        volumes,
                        folder,
                        key,
                        now_us=now_us,
                        record=record,
                        notes=notes,
                        is_last_try=not left,
                        progress=progress,
                    )
                    break
                plan = planned()  # policy went on meanwhile: what went is a gap now
            deed.told.update(
                manifest_sha256=result.manifest_sha256,
                files=len(result.files),
                bytes=result.size_bytes,
                damaged=len(result.damaged),
            )
    except XueliangError:
        _count(settings, "failed", 0)
        raise
    _count(settings, "damaged" if result.damaged else "ok", result.size_bytes)
    return result


def _check_camera(settings: Settings, camera: str) -> None:
    known = [one.id for one in settings.camera]
    if camera in known:
        return
    with open_store(settings) as store:
        if camera not in store.cameras():
            raise UnknownCamera(f"camera {camera!r} is unknown", hint=f"known: {', '.join(known)}")


def _own_key(settings: Settings) -> Ed25519PrivateKey:
    path = settings.storage.state_dir / KEY_NAME
    if not path.exists():
        raise KeyUnusable(
            f"the signing key {path} is not there", hint="was 'xueliang run edge' ever started?"
        )
    return signing_key(settings.storage.state_dir)


def _checkpoint(settings: Settings, camera: str) -> list[str]:
    """Ask the running ``edge`` to chain what is sealed; what the manifest has to say of it."""
    try:
        control.ask(
            settings.storage.state_dir,
            "checkpoint",
            timeout_s=CHECKPOINT_TIMEOUT_S,
            camera=camera,
        )
    except (control.ControlUnavailable, control.ControlRefused) as error:
        log.info("export_without_new_checkpoint", extra={"error": str(error)})
        return ["no new checkpoint was made for this export: edge did not run or did not answer"]
    return []


def _count(settings: Settings, result: str, size_bytes: int) -> None:
    """For edge's metrics; where it does not run nobody counts."""
    try:
        control.ask(settings.storage.state_dir, "exported", result=result, bytes=size_bytes)
    except (control.ControlUnavailable, control.ControlRefused):
        log.info("export_not_counted")


def render_export(settings: Settings, result: Exported) -> str:
    """For people."""
    zone = zone_named(settings.site.timezone)
    plan = result.plan
    size = f"{len(result.files)} files, {result.size_bytes / 2**20:.1f} MiB"
    lines = [f"已导出 exported: {result.folder}  ({size})"]
    if result.range_us is not None:
        start, end = (format_instant(one, zone) for one in result.range_us)
        lines.append(f"实际范围 exact range: {start} .. {end}")
    for gap in plan.gaps:
        end_us = plan.order.to_us if gap.end_us is None else gap.end_us
        start, end = format_instant(gap.start_us, zone), format_instant(end_us, zone)
        lines.append(f"缺口 gap: {start} .. {end}  {CAUSES_ZH[gap.cause]} {gap.cause.value}")
    if plan.unchained:
        numbers = ", ".join(map(str, plan.unchained))
        lines.append(f"尚未入链 under no checkpoint yet: segments {numbers}")
    lines.append(f"密钥指纹 key: {result.fingerprint}")
    lines.append(f"校验 verify: xueliang verify {result.folder} --key {result.fingerprint}")
    lines += [f"说明 note: {one}" for one in result.notes]
    lines += [f"损坏 damaged: {one}" for one in result.damaged]
    return "\n".join(lines)


def export_json(settings: Settings, result: Exported) -> dict[str, Any]:
    """The document of ``xueliang export --json``."""
    zone = zone_named(settings.site.timezone)
    order = result.plan.order

    def span(from_us: int, to_us: int) -> dict[str, str]:
        return {"from": format_instant(from_us, zone), "to": format_instant(to_us, zone)}

    return {
        "folder": str(result.folder),
        "camera": order.camera,
        "asked": span(order.from_us, order.to_us),
        "range": None if result.range_us is None else span(*result.range_us),
        "gaps": [
            {
                **span(gap.start_us, order.to_us if gap.end_us is None else gap.end_us),
                "cause": gap.cause.value,
            }
            for gap in result.plan.gaps
        ],
        "files": result.files,
        "bytes": result.size_bytes,
        "without_checkpoint": list(result.plan.unchained),
        "key": result.fingerprint,
        "manifest_sha256": result.manifest_sha256,
        "notes": result.notes,
        "damaged": result.damaged,
    }


# Verifying ---------------------------------------------------------------------------------------


class StatementsUnreadable(XueliangError):
    """A file that should hold what a witness was told, and does not."""

    code = "statements_unreadable"


def read_statements(path: Path | None) -> list[Any]:
    """What a witness kept. Raises :class:`StatementsUnreadable`."""
    if path is None:
        return []
    try:
        return statements_in(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StatementsUnreadable(
            f"{path} holds no statements: {error}",
            hint="a JSON object a line, or an array of them, as the box POSTed them",
        ) from error


def verify_folder(folder: Path, known_key: str, witness: Path | None = None) -> Report:
    """An export, from its folder alone; needs no settings and no store."""
    return verify_export(folder, known_key, read_statements(witness))


def verify_store(
    settings: Settings,
    camera: str,
    from_text: str | None,
    to_text: str | None,
    known_key: str,
    witness: Path | None = None,
) -> Verified:
    """A camera's footage in the store.

    Raises:
        UnknownCamera, BadInstant, IndexUnavailable: there is nothing to compare.
    """
    zone = zone_named(settings.site.timezone)
    window = Window(
        from_us=0 if from_text is None else parse_instant(from_text, zone),
        to_us=Window().to_us if to_text is None else parse_instant(to_text, zone),
    )
    _check_camera(settings, camera)
    state_dir = settings.storage.state_dir
    try:
        own_key = _own_key(settings).public_key()
    except KeyUnusable as error:
        log.info("own_key_not_compared", extra={"error": str(error)})
        own_key = None
    result = verify_camera(
        index_path(settings),
        settings.storage.volumes,
        camera,
        window,
        is_live=is_edge_running(state_dir),
        own_key=own_key,
        statements=read_statements(witness),
    )
    wanted = known_key.replace(":", "").replace(" ", "").lower()
    if wanted and not (
        len(wanted) >= 16 and any(found.startswith(wanted) for found in result.keys)
    ):
        result.differ("journal", "the known key never came into use in it")
    _put_on_record(settings, camera, result)
    return result


def _put_on_record(settings: Settings, camera: str, result: Verified) -> None:
    """Whoever may read may verify, also without the right to write the audit log."""
    try:
        with on_record(settings, Action.VERIFY, camera) as deed:
            deed.told.update(segments=result.segments, differences=len(result.differences))
    except (AuditUnavailable, TimeoutError) as error:
        result.note("audit log", f"this verification is not on record: {error}")


def render_verified(result: Verified) -> str:
    """For people."""
    read = f"{result.segments} segments, {result.size_bytes / 2**20:.1f} MiB"
    lines = [
        f"摄像机 camera: {result.camera}",
        f"日志 journal: {result.head.seq} {result.head.hash}",
        *(f"密钥指纹 key: {one}" for one in result.keys),
        f"已逐字节校验 read to the last byte: {read}",
        f"证据链 chain: {result.chained} segments, {result.deleted} deleted under tombstones",
    ]
    if result.witnessed:
        lines.append(f"外部见证 witnessed: journal up to {result.witnessed}")
    if result.unchained:
        ranges = ", ".join(f"{first}-{last}" for first, last in result.unchained)
        lines.append(f"尚未入链 under no checkpoint yet: segments {ranges}")
    lines += [f"说明 note: {one}" for one in result.notes]
    lines += [f"不符 difference: {one}" for one in result.differences]
    lines.append("校验不通过 NOT verified" if result.differences else "校验通过 verified")
    return "\n".join(lines)

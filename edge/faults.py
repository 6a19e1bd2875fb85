"""What the running ``edge`` finds wrong with what it does itself. Shell, without I/O.

From the values that metrics and status are made of; the register (:mod:`edge.alarms`) decides what
has lasted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.metrics import Snapshot, VolumeSnapshot
from edge.sweeping import RetentionFigures
from retention.gap_names import CAUSES_ZH
from retention.model import US_PER_S, GapCause
from retention.standing import State
from retention.trusted_time import SENTENCES, Source

#: domain.md, product targets: the alarm of a camera's clock.
CLOCK_OFF_S = 1.0
#: How far a camera's clock may be off, and what it is called beyond that; the worst one counts.
CLOCK_LEVELS = (
    (30.0, Code.CAMERA_CLOCK_WRONG),
    (5.0, Code.CAMERA_CLOCK_DEFECT),
    (CLOCK_OFF_S, Code.CAMERA_CLOCK_OFF),
)
HOT_C = 60
_STORAGE_OK = ("ok", "full")


def present(snapshot: Snapshot, cameras: Mapping[str, Any]) -> list[Fault]:
    """Faults of what is known from the first second on.

    Args:
        cameras: those of edge's ``/status``.
    """
    return [
        *_cameras(cameras),
        *_cameras_measured(snapshot),
        *_volumes(snapshot.volumes),
        *_time(snapshot),
        *_index(snapshot),
    ]


def found_later(
    snapshot: Snapshot,
    retention: RetentionFigures | None,
    *,
    has_seen_disks: bool,
    has_seen_nights: bool,
) -> dict[str, list[Fault]]:
    """Faults, by source, of what jobs look at only now and then. A source that has not looked since
    the start is left out: what stood before would end, and begin again."""
    found: dict[str, list[Fault]] = {}
    if has_seen_disks:
        found["disks"] = list(_disks(snapshot.volumes))
    if retention is not None:
        found["retention"] = list(_retention(retention))
    if snapshot.is_audit_sound is not None:
        is_sound = snapshot.is_audit_sound
        found["audit"] = [] if is_sound else [Fault(code=Code.AUDIT_BROKEN)]
    if has_seen_nights:
        found["nights"] = list(_nights(snapshot))
    return found


def _cameras(cameras: Mapping[str, Any]) -> Iterator[Fault]:
    for camera, one in cameras.items():
        if one["presence"] == "ON" and one["recording"]:
            continue
        is_lost = one["presence"] != "ON"
        cause = one["cause"]
        yield Fault(
            code=Code.VIDEO_LOST if is_lost else Code.RECORDING_INTERRUPTED,
            subject=camera,
            reason_zh=CAUSES_ZH[GapCause(cause)] if cause else "",
            reason_en=cause,
        )


def _cameras_measured(snapshot: Snapshot) -> Iterator[Fault]:
    for camera in snapshot.cameras:
        if camera.is_dropping:
            yield Fault(code=Code.FRAMES_DROPPED, subject=camera.camera)
        offset_us = camera.clock_offset_us
        if offset_us is None or abs(offset_us) <= CLOCK_OFF_S * US_PER_S:
            continue
        seconds = abs(offset_us) / US_PER_S
        yield Fault(
            code=next(code for limit_s, code in CLOCK_LEVELS if seconds > limit_s),
            subject=camera.camera,
            reason_zh=f"{'快' if offset_us > 0 else '慢'} {seconds:.1f} 秒",
            reason_en=f"{seconds:.1f} s {'ahead' if offset_us > 0 else 'behind'}",
        )


def _volumes(volumes: tuple[VolumeSnapshot, ...]) -> Iterator[Fault]:
    for volume in volumes:
        if volume.state not in _STORAGE_OK:
            yield Fault(
                code=Code.STORAGE_FAILED,
                subject=volume.volume,
                reason_zh=_STATES_ZH.get(volume.state, ""),
                reason_en=volume.state,
            )
    if volumes and all(volume.state == "full" for volume in volumes):
        yield Fault(code=Code.STORAGE_FULL)


def _disks(volumes: tuple[VolumeSnapshot, ...]) -> Iterator[Fault]:
    for volume in volumes:
        bad = {number: raw for number, raw in volume.smart.attributes.items() if raw > 0}
        if bad or volume.smart.failing:
            words = [f"{number}={raw}" for number, raw in sorted(bad.items())]
            text = ", ".join([*words, *volume.smart.failing])
            yield Fault(
                code=Code.DISK_FAILING,
                subject=volume.volume,
                reason_zh=f"SMART: {text}",
                reason_en=f"SMART: {text}",
            )
        heat_c = volume.smart.temperature_c
        if heat_c is not None and heat_c >= HOT_C:
            yield Fault(
                code=Code.DISK_HOT,
                subject=volume.volume,
                reason_zh=f"{heat_c} 摄氏度",
                reason_en=f"{heat_c} degrees Celsius",
            )


_STATES_ZH = {
    "readonly": "只读",
    "missing": "不在位",
    "wrong_id": "不是原来的盘",
    "failed": "无应答或出错",
}


def _retention(figures: RetentionFigures) -> Iterator[Fault]:
    risk = figures.risk()
    if risk:
        yield Fault(code=Code.RETENTION_AT_RISK, reason_zh=risk)
    for camera, one in figures.standings.items():
        if one.state is State.BREACHED:
            yield Fault(code=Code.RETENTION_BREACHED, subject=camera)


def _time(snapshot: Snapshot) -> Iterator[Fault]:
    if snapshot.time is None:
        return
    if not snapshot.time.is_trusted:
        reason_zh, reason_en = SENTENCES[snapshot.time.code]
        yield Fault(code=Code.TIME_UNTRUSTED, reason_zh=reason_zh, reason_en=reason_en)
    if Source.NTP not in snapshot.time.offsets_us:
        yield Fault(code=Code.CLOCK_UNSYNCHRONIZED)


def _index(snapshot: Snapshot) -> Iterator[Fault]:
    if snapshot.index_trouble:
        yield Fault(
            code=Code.INDEX_FAILED,
            reason_zh="录像照常保存，索引暂不写入",
            reason_en=f"footage is recorded all the same: {snapshot.index_trouble}",
        )


def _nights(snapshot: Snapshot) -> Iterator[Fault]:
    if snapshot.self_check is not None and not snapshot.self_check.is_passed:
        counts = {
            name: count
            for name, count in snapshot.self_check.results.items()
            if count and name not in ("complete", "played")
        }
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield Fault(code=Code.SELF_CHECK_FAILED, reason_zh=text, reason_en=text)

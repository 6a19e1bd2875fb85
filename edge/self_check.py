"""The nightly self-check: what a checking platform would ask of the day before, asked of ourselves.
Shell, blocking; runs in a process of its own (``xueliang self-check``), at the lowest priority.

Every camera is polled for its records of the day; the oldest minute kept and a random one are
really read, and every bit of the segments that they lie in is compared with the hashes. Results are
kept (edge.night_results), and their SHA-256 is in the audit log.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, zone_named
from config.schema import Settings
from edge import control
from edge.night_results import summary_line
from edge.status import cause_text, open_store, rounded
from retention.clock import Clock, is_clock_synchronized
from retention.completeness import asked_from, midnight_us
from retention.model import US_PER_S, Segment, SegmentState, Track
from retention.poll import Polled, instant_in, items_of, judge
from retention.read import Store

MINUTE_US = 60 * US_PER_S
#: What is read leaves the disk to the recorder.
BYTES_PER_S = 8 * 2**20
#: A platform waits this long for the list of a day.
ANSWER_S = 5.0
MISSING_TOLD_MAX = 200
#: Time in the picture against standard time (DB31/T 329.21-2019).
CLOCK_OFF_S = 30.0

Pace = Callable[[int], None]


def run(
    settings: Settings,
    day: date,
    clock: Clock,
    chance: random.Random,
    pace: Pace,
    offsets_s: Mapping[str, float],
) -> dict[str, Any]:
    """Check one calendar day of the site. The document is JSON-able.

    Args:
        offsets_s: how far the cameras' clocks are ahead of ours, as far as it is known: theirs is
            the time that stands in the picture.
        pace: called with the bytes of each file that was read; may sleep.

    Raises:
        IndexUnavailable: nothing could be asked.
    """
    zone = zone_named(settings.site.timezone)
    began_us = clock.monotonic_us()
    now_us = clock.utc_us()
    with open_store(settings) as store:
        cameras = [
            _camera(store, settings, camera, day, now_us, chance, pace)
            for camera in store.cameras()
        ]
    for camera in cameras:
        camera["clock_offset_seconds"] = offsets_s.get(camera["camera"])
    off = sum(abs(offset_s) > CLOCK_OFF_S for offset_s in offsets_s.values())
    is_synchronized = is_clock_synchronized()
    states = [camera["state"] for camera in cameras]
    plays = [play["state"] for camera in cameras for play in camera["plays"]]
    return {
        "date": day.isoformat(),
        "at": format_instant(now_us, zone),
        "took_seconds": round((clock.monotonic_us() - began_us) / US_PER_S, 3),
        "passed": is_synchronized
        and not off
        and not {"missing", "check_failed"} & set(states)
        and not {"mismatch", "unreadable"} & set(plays),
        "clock_synchronized": is_synchronized,
        "summary": {
            **{name: states.count(name) for name in ("complete", "missing", "check_failed")},
            "played": plays.count("ok"),
            "clocks_off": off,
            "not_played": sum(state not in ("ok", "nothing") for state in plays),
        },
        "cameras": cameras,
    }


def _camera(
    store: Store,
    settings: Settings,
    camera: str,
    day: date,
    now_us: int,
    chance: random.Random,
    pace: Pace,
) -> dict[str, Any]:
    zone = zone_named(settings.site.timezone)
    try:
        polled, took_s = _poll(store, settings, camera, day, now_us)
        line = store.timeline(camera, asked_from(now_us, zone), now_us, now_us)
        oldest_us = store.oldest(camera)
        if oldest_us is None and line.spans:  # of an unknown time, but it is there
            oldest_us = line.spans[0].start_us
        plays = [
            {"what": "oldest", **_play(store, settings, camera, oldest_us, pace)},
            {
                "what": "random",
                **_play(store, settings, camera, instant_in(line.spans, chance.random()), pace),
            },
        ]
    except XueliangError as error:
        return {"camera": camera, "state": "check_failed", "faults": [str(error)], "plays": []}
    faults = list(polled.faults)
    if took_s > ANSWER_S:
        faults.append(f"the list took {took_s:.1f} s")
    tolerance_us = round(settings.retention.gap_tolerance_seconds * US_PER_S)
    is_complete = all(gap.end_us - gap.start_us <= tolerance_us for gap in polled.missing)
    state = "complete" if is_complete else "missing"
    if not polled.due_us:
        state = "not_due"
    return {
        "camera": camera,
        "state": "check_failed" if faults else state,
        "faults": faults,
        "items": len(polled.items),
        "answered_seconds": round(took_s, 3),
        "due_seconds": polled.due_us / US_PER_S,
        "covered_seconds": polled.covered_us / US_PER_S,
        "ratio": rounded(polled.covered_us / polled.due_us) if polled.due_us else None,
        "gaps": len(polled.missing),
        "missing": [
            {
                "start": format_instant(gap.start_us, zone),
                "end": format_instant(gap.end_us, zone),
                "cause": gap.cause.value,
            }
            for gap in polled.missing[:MISSING_TOLD_MAX]
        ],
        "plays": plays,
    }


def _poll(
    store: Store, settings: Settings, camera: str, day: date, now_us: int
) -> tuple[Polled, float]:
    zone = zone_named(settings.site.timezone)
    began = time.monotonic()
    from_us, to_us = midnight_us(day, zone), midnight_us(day + timedelta(days=1), zone)
    line = store.timeline(camera, from_us, to_us, now_us)
    items = items_of(line, zone)
    return judge(line, items), time.monotonic() - began


def _play(
    store: Store, settings: Settings, camera: str, at_us: int | None, pace: Pace
) -> dict[str, Any]:
    """Read a minute as a playback does, and every bit of the files that it lies in."""
    if at_us is None:
        return {"state": "nothing"}
    to_us = at_us + MINUTE_US
    faults: list[str] = []
    segments = store.segments(camera, at_us, to_us)
    for segment in segments:
        faults += _faults(store, segment)
        pace(segment.size_bytes)
    units = 0
    for stored in store.access_units(camera, at_us, to_us):
        units += stored.unit.track is Track.VIDEO
    pace(sum(segment.size_bytes for segment in segments))
    state = "ok" if units else "unreadable"
    return {
        "state": "mismatch" if faults else state,
        "at": format_instant(at_us, zone_named(settings.site.timezone)),
        "segments": len(segments),
        "pictures": units,
        "faults": faults,
    }


def _faults(store: Store, segment: Segment) -> list[str]:
    """An open segment has no digest yet; one that was deleted meanwhile has no file."""
    if segment.state is SegmentState.OPEN:
        return []
    name = f"segment {segment.number}"
    try:
        return [f"{name}: {fault}" for fault in store.faults(segment)]
    except FileNotFoundError:
        left = store.segments(segment.camera, segment.start_us, segment.end_us)
        is_gone = segment.number not in [one.number for one in left]
        return [] if is_gone else [f"{name}: its file is not there"]


def offsets_of_cameras(settings: Settings) -> dict[str, float]:
    """As the running ``edge`` measures them; of none while it does not run."""
    try:
        cameras = control.ask(settings.storage.state_dir, "status")["cameras"]
    except control.ControlUnavailable:
        return {}
    offsets = {camera: told["clock_offset_seconds"] for camera, told in cameras.items()}
    return {camera: offset for camera, offset in offsets.items() if offset is not None}


def at_leisure(read_bytes: int) -> None:
    """A pace that takes no more of a disk than ``BYTES_PER_S``."""
    time.sleep(read_bytes / BYTES_PER_S)


_STATES_ZH = {
    "complete": "完整",
    "missing": "缺失",
    "not_due": "无应录",
    "check_failed": "检查失败",
}
_PLAYS_ZH = {"ok": "可放", "mismatch": "校验不符", "unreadable": "不可读", "nothing": "无录像"}


def render(document: dict[str, Any]) -> str:
    """One line a camera, with what is wrong below it."""
    lines = [summary_line(document)]
    for camera in document["cameras"]:
        ratio = camera.get("ratio")
        plays = ", ".join(
            f"{play['what']} {_PLAYS_ZH[play['state']]} {play['state']}" for play in camera["plays"]
        )
        lines.append(
            f"  {camera['camera']}: {_STATES_ZH[camera['state']]} {camera['state']}"
            f"  {'-' if ratio is None else f'{100 * ratio:.4f} %'}  {plays}"
        )
        lines += [f"    {fault}" for fault in camera["faults"]]
        lines += [f"    {fault}" for play in camera["plays"] for fault in play.get("faults", [])]
        lines += [
            f"    {gap['start'][:19]} .. {gap['end'][:19]}  {cause_text(gap['cause'])}"
            for gap in camera.get("missing", [])
        ]
    return "\n".join(lines)

"""``xueliang completeness``: how much of each day was recorded, camera by camera. Shell."""

from __future__ import annotations

from typing import Any

from config.instants import format_instant, zone_named
from config.schema import Settings
from edge.status import UnknownCamera, cause_text, completeness_of, open_store, rounded, table
from retention.clock import SystemClock
from retention.completeness import Completeness, Day, DayState, Figures
from retention.model import US_PER_S

_STATES_ZH = {
    DayState.COMPLETE: "完整",
    DayState.MISSING: "缺失",
    DayState.NOT_DUE: "无应录",
    DayState.RUNNING: "今日",
}


def completeness_document(
    settings: Settings, camera: str | None, days: int
) -> list[dict[str, Any]]:
    """Of one camera, or of every one that was ever in service; the newest ``days`` days.

    Raises:
        UnknownCamera: the store does not know it.
    """
    now_us = SystemClock().utc_us()
    with open_store(settings) as store:
        known = store.cameras()
        if camera is not None and camera not in known:
            raise UnknownCamera(f"camera {camera!r} is unknown", hint=f"known: {', '.join(known)}")
        found = [
            completeness_of(store, one, now_us, settings) for one in known if camera in (None, one)
        ]
    in_service = {one.id for one in settings.camera}
    return [_camera(settings, one, days, is_in_service=one.camera in in_service) for one in found]


def _camera(
    settings: Settings, found: Completeness, days: int, *, is_in_service: bool
) -> dict[str, Any]:
    zone = zone_named(settings.site.timezone)
    return {
        "camera": found.camera,
        "in_service": is_in_service,
        "mature": found.is_mature,
        "due_from": format_instant(found.due_from_us, zone),
        "windows": {label: figures_json(one) for label, one in found.windows.items()},
        "checked_days": found.checked_days,
        "complete_days": found.complete_days,
        "days": [day_json(day) for day in found.days[-days - 1 :]],
    }


def day_json(day: Day) -> dict[str, Any]:
    return {
        "date": day.date.isoformat(),
        "state": day.state.value,
        "whole": day.is_whole,
        **figures_json(day.figures),
    }


def figures_json(figures: Figures) -> dict[str, Any]:
    return {
        "ratio": rounded(figures.ratio),
        "due_seconds": figures.due_us / US_PER_S,
        "recorded_seconds": figures.recorded_us / US_PER_S,
        "expired_seconds": figures.expired_us / US_PER_S,
        "gaps": figures.gaps,
        "longest_gap_seconds": figures.longest_gap_us / US_PER_S,
        "missing_seconds": {
            cause.value: size_us / US_PER_S for cause, size_us in figures.missing_us.items()
        },
    }


def render_completeness(document: list[dict[str, Any]]) -> str:
    """A table a camera, one day a line."""
    lines: list[str] = []
    for camera in document:
        service = "" if camera["in_service"] else "  已停用 removed"
        young = "" if camera["mature"] else "  历史未满 history not yet mature"
        lines.append(
            f"{camera['camera']}: 完整 complete {camera['complete_days']} /"
            f" {camera['checked_days']} 天 days{young}{service}"
        )
        rows = [["日期 date", "状态 state", "录像 recorded", "最长缺口 longest gap", "原因 causes"]]
        rows += [_row(day) for day in camera["days"] if day["state"] != DayState.NOT_DUE]
        lines += [*(f"  {line}" for line in table(rows)), ""]
    return "\n".join(lines).rstrip()


def _row(day: dict[str, Any]) -> list[str]:
    ratio = day["ratio"]
    causes = ", ".join(
        f"{cause_text(cause)} {seconds:.0f} s" for cause, seconds in day["missing_seconds"].items()
    )
    return [
        day["date"],
        _STATES_ZH[DayState(day["state"])],
        "-" if ratio is None else f"{100 * ratio:.4f} %",
        f"{day['longest_gap_seconds']:.0f} s" if day["gaps"] else "-",
        causes,
    ]

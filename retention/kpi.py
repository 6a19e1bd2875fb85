"""The figures that platforms judge a site by, as shares of a whole: good over checked. Core.

- online (在线率): time with a picture to be had over time due. Missing is what the camera, its
  network or the whole box was away for; footage lost on our disks makes no camera offline.
- completeness (录像完整率): recorded over due; complete_days: whole days over checked days.
- kept (保存天数): age of the oldest footage over the floor, or over the time in service where that
  is younger; 1 at most.
- clock (时钟准确率): nights on which the camera's clock was within the limit over nights measured.
- picture (图像完好率): checks of the picture without a defect over checks that came to a judgement.
- archive (一机一档): 1 if the camera's register is valid, else 0.

A share of nothing has no ratio: what was not measured is never 0 and never 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from retention.completeness import Completeness, Day, DayState
from retention.model import GapCause

#: Causes of gaps while which no platform could have had a picture either.
ABSENT = frozenset(
    {
        GapCause.CAMERA_OFFLINE,
        GapCause.CAMERA_AUTH,
        GapCause.CAMERA_REFUSED,
        GapCause.NETWORK,
        GapCause.SERVICE_STOPPED,
        GapCause.SERVICE_CRASHED,
        GapCause.POWER_LOST,
        GapCause.UNKNOWN,
    }
)
#: The oldest footage may be so much younger: where it ends, a segment ends; a first picture comes
#: a little after the camera came into service.
KEPT_TOLERANCE_US = 2 * 3_600_000_000


class Kpi(StrEnum):
    """Also the label ``kpi`` of ``nvr_kpi_ratio``."""

    ONLINE = "online"
    COMPLETENESS = "completeness"
    COMPLETE_DAYS = "complete_days"
    KEPT = "kept"
    CLOCK = "clock"
    PICTURE = "picture"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Good out of all, in one unit of any kind."""

    good: float = 0
    all: float = 0

    @property
    def ratio(self) -> float | None:
        """0 to 1; None where nothing was checked."""
        return min(1.0, self.good / self.all) if self.all > 0 else None


NOT_MEASURED = Share()
Shares = Mapping[Kpi, Share]


def past_days(found: Completeness, days: int) -> tuple[Day, ...]:
    """The last ``days`` calendar days before today on which anything was due."""
    whole = [day for day in found.days if day.state is not DayState.RUNNING][-days:]
    return tuple(day for day in whole if day.state is not DayState.NOT_DUE)


def recorded(found: Completeness, days: int) -> dict[Kpi, Share]:
    """What the time line says of the past days; in microseconds and in days.

    Before the first midnight in service that is today so far.
    """
    past = past_days(found, days) or tuple(
        day for day in found.days if day.state is DayState.RUNNING and day.figures.due_us
    )
    due_us = sum(day.figures.due_us for day in past)
    absent_us = sum(
        missing_us
        for day in past
        for cause, missing_us in day.figures.missing_us.items()
        if cause in ABSENT
    )
    checked = [day for day in past if day.state is not DayState.RUNNING]
    return {
        Kpi.ONLINE: Share(good=due_us - absent_us, all=due_us),
        Kpi.COMPLETENESS: Share(good=sum(day.figures.recorded_us for day in past), all=due_us),
        Kpi.COMPLETE_DAYS: Share(
            good=sum(day.state is DayState.COMPLETE for day in checked), all=len(checked)
        ),
    }


def kept(oldest_us: int | None, due_from_us: int | None, floor_us: int, now_us: int) -> Share:
    """How long footage is kept against how long it must be by now.

    Args:
        due_from_us: when the camera came into service; None: never.
        floor_us: how long footage must be kept.
    """
    if due_from_us is None or due_from_us >= now_us:
        return NOT_MEASURED
    wanted_us = min(floor_us, now_us - due_from_us)
    age_us = 0 if oldest_us is None else max(0, now_us - oldest_us)
    is_there = oldest_us is not None and age_us + KEPT_TOLERANCE_US >= wanted_us
    return Share(good=wanted_us if is_there else age_us, all=wanted_us)


def clock(offsets_s: Iterable[float], limit_s: float) -> Share:
    """Measured offsets within the limit."""
    known = list(offsets_s)
    return Share(good=sum(abs(offset) <= limit_s for offset in known), all=len(known))


def site(cameras: Iterable[Shares]) -> dict[Kpi, Share]:
    """The mean of the cameras that were measured: each counts alike, as platforms do it."""
    every = list(cameras)
    found = {}
    for kpi in Kpi:
        ratios = [
            ratio for shares in every if (ratio := shares.get(kpi, NOT_MEASURED).ratio) is not None
        ]
        found[kpi] = Share(good=sum(ratios), all=len(ratios))
    return found

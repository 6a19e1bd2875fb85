"""How complete a camera's recording is: by duration, and by calendar day. Core.

As the platforms compute it: covered is what is recorded of what was due, a day is complete if none
of its gaps is longer than the tolerance. Due is the time in service, up to what is known; what
expired by policy is not due any more, what was overwritten or lost is missing. Nothing is padded:
a gap keeps its cause and its length, and where nothing was due there is no ratio.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

from retention.model import US_PER_S, GapCause
from retention.timeline import Timeline

DAY_US = 86_400 * US_PER_S
#: Windows that end now, by the ``window`` label of nvr_recording_coverage_ratio.
WINDOWS = {"1d": 1, "7d": 7, "90d": 90}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DayState(StrEnum):
    COMPLETE = "complete"
    MISSING = "missing"
    NOT_DUE = "not_due"  # before the camera's service, behind its removal, or expired
    RUNNING = "running"  # today


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one window."""

    due_us: int
    recorded_us: int
    expired_us: int  # deleted by policy: not due any more
    gaps: int
    longest_gap_us: int
    missing_us: Mapping[GapCause, int]  # by cause; sums up to due less recorded

    @property
    def ratio(self) -> float | None:
        """Recorded over due, 0 to 1; None where nothing was due."""
        return self.recorded_us / self.due_us if self.due_us else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One calendar day of the site's time zone."""

    date: date
    from_us: int
    to_us: int
    state: DayState
    is_whole: bool  # due from midnight to midnight
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Of one camera, as known at ``now_us``."""

    camera: str
    now_us: int
    due_from_us: int  # footage is due from here on, or from before the days asked for
    is_mature: bool  # has been due for as long as footage must be kept
    windows: Mapping[str, Figures]  # by label, see WINDOWS
    days: tuple[Day, ...]  # rising; the last one is today

    @property
    def checked_days(self) -> int:
        """Past days on which anything was due."""
        return sum(day.state in (DayState.COMPLETE, DayState.MISSING) for day in self.days)

    @property
    def complete_days(self) -> int:
        return sum(day.state is DayState.COMPLETE for day in self.days)


def completeness(
    line: Timeline,
    now_us: int,
    zone: tzinfo,
    *,
    days: int = 90,
    min_days: int = 90,
    tolerance_us: int = 0,
) -> Completeness:
    """What a camera's time line says.

    Args:
        line: of at least :func:`asked_from` to now.
        days: how many past calendar days.
        min_days: the floor; younger histories are not mature.
        tolerance_us: a gap of this length does not yet spoil its day.
    """
    pieces = _Pieces(line)
    today = local_date(now_us, zone)
    found = []
    for back in range(days, -1, -1):
        day = today - timedelta(days=back)
        from_us, to_us = midnight_us(day, zone), midnight_us(day + timedelta(days=1), zone)
        figures = pieces.figures(from_us, to_us)
        found.append(
            Day(
                date=day,
                from_us=from_us,
                to_us=to_us,
                state=_state(figures, tolerance_us, is_today=back == 0),
                is_whole=line.from_us <= from_us and line.to_us >= to_us,
                figures=figures,
            )
        )
    return Completeness(
        camera=line.camera,
        now_us=now_us,
        due_from_us=line.from_us,
        is_mature=line.to_us > line.from_us and line.from_us <= now_us - min_days * DAY_US,
        windows={
            label: pieces.figures(now_us - length * DAY_US, now_us)
            for label, length in WINDOWS.items()
        },
        days=tuple(found),
    )


def asked_from(now_us: int, zone: tzinfo, *, days: int = 90, min_days: int = 90) -> int:
    """From where on :func:`completeness` needs the time line."""
    first = midnight_us(local_date(now_us, zone) - timedelta(days=days), zone)
    return min(first, now_us - max(min_days, *WINDOWS.values()) * DAY_US)


def local_date(at_us: int, zone: tzinfo) -> date:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone).date()


def midnight_us(day: date, zone: tzinfo) -> int:
    """Where a calendar day begins."""
    moment = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _state(figures: Figures, tolerance_us: int, *, is_today: bool) -> DayState:
    if is_today:
        return DayState.RUNNING
    if not figures.due_us:
        return DayState.NOT_DUE
    is_complete = figures.longest_gap_us <= tolerance_us
    return DayState.COMPLETE if is_complete else DayState.MISSING


class _Pieces:
    """A time line's spans and gaps, to be summed up over many windows."""

    def __init__(self, line: Timeline) -> None:
        self._line = line
        self._span_ends = [span.end_us for span in line.spans]
        self._gap_ends = [gap.end_us or line.to_us for gap in line.gaps]

    def figures(self, from_us: int, to_us: int) -> Figures:
        line = self._line
        from_us, to_us = max(from_us, line.from_us), min(to_us, line.to_us)
        recorded_us = expired_us = gaps = longest_us = 0
        missing: dict[GapCause, int] = {}
        for place in range(bisect_right(self._span_ends, from_us), len(line.spans)):
            span = line.spans[place]
            if span.start_us >= to_us:
                break
            recorded_us += min(span.end_us, to_us) - max(span.start_us, from_us)
        run_us = 0  # of the missing stretch that ends at before_us
        before_us: int | None = None
        for place in range(bisect_right(self._gap_ends, from_us), len(line.gaps)):
            gap = line.gaps[place]
            if gap.start_us >= to_us:
                break
            start_us, end_us = max(gap.start_us, from_us), min(self._gap_ends[place], to_us)
            if gap.cause is GapCause.EXPIRED:
                expired_us += end_us - start_us
                continue
            missing[gap.cause] = missing.get(gap.cause, 0) + end_us - start_us
            if start_us != before_us:  # one that changes its cause is one gap
                gaps, run_us = gaps + 1, 0
            run_us, before_us = run_us + end_us - start_us, end_us
            longest_us = max(longest_us, run_us)
        return Figures(
            due_us=max(0, to_us - from_us) - expired_us,
            recorded_us=recorded_us,
            expired_us=expired_us,
            gaps=gaps,
            longest_gap_us=longest_us,
            missing_us=missing,
        )

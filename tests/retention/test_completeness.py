"""Completeness against its definition, microsecond by microsecond; nothing is padded."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from config.instants import BEIJING, parse_instant
from retention.completeness import (
    DAY_US,
    Completeness,
    DayState,
    asked_from,
    completeness,
    local_date,
    midnight_us,
)
from retention.model import US_PER_S, Gap, GapCause, Span
from retention.timeline import Timeline, timeline

S = US_PER_S
HOUR = 3600 * S
NOW = parse_instant("2026-11-25T10:00:00")
TODAY = parse_instant("2026-11-25T00:00:00")


def _line(gaps: list[tuple[int, int, GapCause]], from_us: int = 0, to_us: int = NOW) -> Timeline:
    """Recorded throughout but for the gaps, which rise."""
    from_us = from_us or asked_from(NOW, BEIJING)
    rows = [Gap(camera="gate", start_us=a, end_us=b, cause=cause) for a, b, cause in gaps]
    edges = [from_us, *(edge for a, b, _ in gaps for edge in (a, b)), to_us]
    spans = [Span(start_us=a, end_us=b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return timeline("gate", spans, rows, from_us, to_us)


def _of(gaps: list[tuple[int, int, GapCause]], **changes: int) -> Completeness:
    return completeness(_line(gaps, **changes), NOW, BEIJING)


def test_all_there() -> None:
    found = _of([])
    assert [found.windows[name].ratio for name in ("1d", "7d", "90d")] == [1, 1, 1]
    assert (found.checked_days, found.complete_days, found.is_mature) == (90, 90, True)
    assert found.days[-1].state is DayState.RUNNING
    assert found.days[-1].figures.due_us == 10 * HOUR


def test_a_gap_over_midnight_spoils_both_days_and_keeps_its_cause() -> None:
    found = _of([(TODAY - DAY_US - 60 * S, TODAY - DAY_US + 120 * S, GapCause.POWER_LOST)])
    before, day, today = found.days[-3:]
    assert (before.date, day.date) == (date(2026, 11, 23), date(2026, 11, 24))
    assert before.figures.missing_us == {GapCause.POWER_LOST: 60 * S}
    assert day.figures.missing_us == {GapCause.POWER_LOST: 120 * S}
    assert [one.state for one in (before, day)] == [DayState.MISSING, DayState.MISSING]
    assert (found.checked_days, found.complete_days) == (90, 88)
    assert found.windows["1d"].ratio == 1, "it ended before"
    assert found.windows["7d"].recorded_us == 7 * DAY_US - 180 * S
    assert today.figures.ratio == 1


def test_the_longest_gap_of_a_day_decides_and_one_that_changes_its_cause_is_one() -> None:
    start = TODAY - 10 * HOUR
    gaps = [
        (start, start + 4 * S, GapCause.NETWORK),
        (start + 4 * S, start + 7 * S, GapCause.CAMERA_OFFLINE),
        (start + 60 * S, start + 65 * S, GapCause.NETWORK),
    ]
    figures = _of(gaps).days[-2].figures
    assert (figures.gaps, figures.longest_gap_us) == (2, 7 * S)
    line = _line(gaps)
    for tolerance_us, state in ((7 * S, DayState.COMPLETE), (7 * S - 1, DayState.MISSING)):
        found = completeness(line, NOW, BEIJING, tolerance_us=tolerance_us)
        assert found.days[-2].state is state
        assert found.days[-2].figures.ratio != 1, "tolerated, not invented"


def test_a_camera_commissioned_within_the_window_is_not_mature() -> None:
    begin = TODAY - 3 * DAY_US + 6 * HOUR
    found = completeness(_line([], from_us=begin), NOW, BEIJING)
    assert not found.is_mature
    assert found.due_from_us == begin
    assert found.windows["90d"].ratio == 1
    assert found.windows["90d"].due_us == NOW - begin, "no invented past"
    assert (found.checked_days, found.complete_days) == (3, 3)
    assert [day.is_whole for day in found.days[-4:]] == [False, True, True, False]
    assert found.days[0].state is DayState.NOT_DUE
    assert found.days[0].figures.ratio is None


def test_a_longer_floor_takes_a_longer_history() -> None:
    line = _line([], from_us=NOW - 100 * DAY_US)
    assert completeness(line, NOW, BEIJING, min_days=100).is_mature
    assert not completeness(line, NOW, BEIJING, min_days=101).is_mature
    assert asked_from(NOW, BEIJING, min_days=200) == NOW - 200 * DAY_US


def test_nothing_is_due_of_a_removed_camera_behind_its_removal() -> None:
    found = completeness(_line([], to_us=TODAY - 2 * DAY_US), NOW, BEIJING)
    assert [day.state for day in found.days[-3:]] == [
        DayState.NOT_DUE,
        DayState.NOT_DUE,
        DayState.RUNNING,
    ]
    assert found.windows["1d"].ratio is None
    assert found.checked_days == 88


def test_what_expired_is_not_missing_and_what_was_overwritten_is() -> None:
    first = asked_from(NOW, BEIJING)
    found = _of([(first, first + 10 * DAY_US, GapCause.EXPIRED)])
    assert found.windows["90d"].ratio == 1
    assert found.windows["90d"].expired_us > 9 * DAY_US
    assert found.days[0].state is DayState.NOT_DUE
    lost = _of([(first, first + 10 * DAY_US, GapCause.OVERWRITTEN)])
    assert lost.days[0].state is DayState.MISSING
    assert (lost.windows["90d"].ratio or 1) < 0.9


def test_days_are_those_of_the_site() -> None:
    assert local_date(TODAY, BEIJING) == date(2026, 11, 25)
    assert local_date(TODAY - 1, BEIJING) == date(2026, 11, 24)
    # Shanghai put its clocks forward on 1988-04-17: a day of 23 hours
    zone = ZoneInfo("Asia/Shanghai")
    length = midnight_us(date(1988, 4, 18), zone) - midnight_us(date(1988, 4, 17), zone)
    assert length == 23 * HOUR


_CAUSES = st.sampled_from([GapCause.NETWORK, GapCause.POWER_LOST, GapCause.EXPIRED])


@given(
    edges=st.lists(st.integers(0, 5 * 24), min_size=2, max_size=12, unique=True),
    causes=st.lists(_CAUSES, min_size=6, max_size=6),
    begin_hours=st.integers(0, 100),
)
def test_sums_are_those_of_the_hours(
    edges: list[int], causes: list[GapCause], begin_hours: int
) -> None:
    """Every figure of every day against a count of the hours of a random history."""
    first = TODAY - 5 * DAY_US
    begin = first + begin_hours * HOUR
    ordered = sorted(edges)
    pairs = list(zip(ordered[::2], ordered[1::2], causes, strict=False))
    gaps = [(first + a * HOUR, first + b * HOUR, cause) for a, b, cause in pairs]
    found = completeness(_line(gaps, from_us=begin), NOW, BEIJING)

    def cause_at(hour: int) -> GapCause | None:
        return next((cause for a, b, cause in pairs if a <= hour < b), None)

    for number, day in enumerate(found.days[-6:-1]):
        hours = [one for one in range(number * 24, number * 24 + 24) if one >= begin_hours]
        told = [cause_at(hour) for hour in hours]
        figures = day.figures
        assert figures.recorded_us == told.count(None) * HOUR
        assert figures.expired_us == told.count(GapCause.EXPIRED) * HOUR
        assert figures.due_us == len(hours) * HOUR - figures.expired_us
        assert figures.due_us == figures.recorded_us + sum(figures.missing_us.values())
        for cause, missing_us in figures.missing_us.items():
            assert missing_us == told.count(cause) * HOUR
        text = "".join("." if one in (None, GapCause.EXPIRED) else "x" for one in told)
        runs = [len(run) for run in text.split(".") if run]
        assert figures.longest_gap_us == max(runs, default=0) * HOUR
        assert figures.gaps == len(runs)
        is_due = bool(figures.due_us)
        expected = DayState.MISSING if runs else DayState.COMPLETE
        assert day.state is (expected if is_due else DayState.NOT_DUE)

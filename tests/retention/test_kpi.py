"""KPIs: shares of a whole, from time lines that account for every second."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from retention import kpi
from retention.completeness import DAY_US, Completeness, completeness
from retention.kpi import NOT_MEASURED, Kpi, Share
from retention.model import US_PER_S, Gap, GapCause, Span
from retention.timeline import Timeline

HOUR_US = 3_600 * US_PER_S
#: Midnight of a day, plus 12 hours: a day is half over.
NOW_US = 20_000 * DAY_US + 12 * HOUR_US


def line(begin_us: int, gaps: list[tuple[int, int, GapCause]]) -> Completeness:
    """A camera in service from ``begin_us`` on, recorded but for the gaps."""
    spans, at_us = [], begin_us
    for start_us, end_us, _ in gaps:
        if start_us > at_us:
            spans.append(Span(start_us=at_us, end_us=start_us))
        at_us = end_us
    if at_us < NOW_US:
        spans.append(Span(start_us=at_us, end_us=NOW_US))
    told = [
        Gap(camera="gate", start_us=start_us, end_us=end_us, cause=cause, detail="")
        for start_us, end_us, cause in gaps
    ]
    one = Timeline(
        camera="gate", from_us=begin_us, to_us=NOW_US, spans=tuple(spans), gaps=tuple(told)
    )
    return completeness(one, NOW_US, UTC)


def test_a_dead_camera_is_offline_and_a_full_disk_is_not() -> None:
    day_us = NOW_US - 12 * HOUR_US - DAY_US  # yesterday's midnight
    found = line(
        day_us - 9 * DAY_US,
        [
            (day_us + HOUR_US, day_us + 7 * HOUR_US, GapCause.CAMERA_OFFLINE),
            (day_us + 8 * HOUR_US, day_us + 20 * HOUR_US, GapCause.DISK_FULL),
        ],
    )
    shares = kpi.recorded(found, 10)
    assert shares[Kpi.ONLINE].ratio == 1 - 6 / 240
    assert shares[Kpi.COMPLETENESS].ratio == 1 - 18 / 240
    assert shares[Kpi.COMPLETE_DAYS] == Share(good=9, all=10)
    assert kpi.recorded(found, 1)[Kpi.ONLINE].ratio == 0.75
    assert kpi.recorded(found, 1)[Kpi.COMPLETENESS].ratio == 0.25


def test_today_counts_only_while_there_is_nothing_else() -> None:
    young = line(NOW_US - 4 * HOUR_US, [(NOW_US - HOUR_US, NOW_US, GapCause.NETWORK)])
    assert kpi.recorded(young, 30)[Kpi.ONLINE].ratio == 0.75
    assert kpi.recorded(young, 30)[Kpi.COMPLETE_DAYS] == Share(good=0, all=0)
    older = line(NOW_US - 3 * DAY_US, [(NOW_US - HOUR_US, NOW_US, GapCause.NETWORK)])
    assert kpi.recorded(older, 30)[Kpi.ONLINE].ratio == 1


def test_what_was_not_due_is_no_zero() -> None:
    never = line(NOW_US, [])
    shares = kpi.recorded(never, 30)
    assert all(share.ratio is None for share in shares.values())
    assert NOT_MEASURED.ratio is None


def test_days_kept_are_held_against_what_can_be_there_by_now() -> None:
    floor_us = 90 * DAY_US
    kept = kpi.kept(NOW_US - 10 * DAY_US, NOW_US - 10 * DAY_US, floor_us, NOW_US)
    assert kept.ratio == 1  # young, and all of it is there
    assert kpi.kept(NOW_US - 45 * DAY_US, NOW_US - 200 * DAY_US, floor_us, NOW_US).ratio == 0.5
    assert kpi.kept(NOW_US - 97 * DAY_US, NOW_US - 200 * DAY_US, floor_us, NOW_US).ratio == 1
    assert kpi.kept(None, NOW_US - 200 * DAY_US, floor_us, NOW_US).ratio == 0
    assert kpi.kept(None, None, floor_us, NOW_US).ratio is None


def test_a_clock_is_right_on_the_nights_when_it_was() -> None:
    assert kpi.clock([0.2, -4.9, 5.1, -31], 5.0) == Share(good=2, all=4)
    assert kpi.clock([], 5.0).ratio is None


def test_each_camera_counts_alike_in_the_site() -> None:
    busy = {Kpi.PICTURE: Share(good=900, all=1000), Kpi.CLOCK: Share(good=1, all=2)}
    quiet = {Kpi.PICTURE: Share(good=1, all=2)}
    found = kpi.site([busy, quiet, {}])
    assert found[Kpi.PICTURE].ratio == 0.7
    assert found[Kpi.CLOCK].ratio == 0.5
    assert found[Kpi.ARCHIVE].ratio is None
    assert set(found) == set(Kpi)


@given(
    st.integers(0, 40 * 24),
    st.lists(
        st.tuples(st.integers(0, 40 * 24), st.integers(1, 50), st.sampled_from(GapCause)),
        max_size=8,
    ),
)
def test_ratios_are_ratios(begin_h: int, drawn: list[tuple[int, int, GapCause]]) -> None:
    begin_us = NOW_US - begin_h * HOUR_US
    gaps: list[tuple[int, int, GapCause]] = []
    at_us = begin_us
    for skip, length, cause in drawn:
        start_us = at_us + skip * HOUR_US
        end_us = min(start_us + length * HOUR_US, NOW_US)
        if start_us < end_us:
            gaps.append((start_us, end_us, cause))
            at_us = end_us
    shares = kpi.recorded(line(begin_us, gaps), 30)
    for share in shares.values():
        assert share.ratio is None or 0 <= share.ratio <= 1
    online, complete = shares[Kpi.ONLINE], shares[Kpi.COMPLETENESS]
    assert online.all == complete.all
    assert online.good >= complete.good  # what is recorded was to be seen

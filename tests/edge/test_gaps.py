"""The account of one camera: every hole of a second or more is told of, once, contiguously."""

from hypothesis import given
from hypothesis import strategies as st

from edge.gaps import GapClosed, GapEvent, GapKeeper, GapOpened
from retention.model import GAP_MIN_US, US_PER_S, GapCause


def test_a_reconnect_within_a_second_leaves_no_gap() -> None:
    keeper = GapKeeper(0)
    assert keeper.lost(GapCause.CAMERA_OFFLINE, "end of stream", 100_000) == []
    assert keeper.tick(900_000) == []
    assert keeper.recorded(950_000, 2_000_000, GapCause.UNKNOWN) == []
    assert keeper.cause is None


def test_a_gap_begins_where_footage_ended_and_ends_where_it_begins_again() -> None:
    keeper = GapKeeper(5 * US_PER_S)
    keeper.lost(GapCause.NETWORK, "no route", 6 * US_PER_S)
    opened = GapOpened(start_us=5 * US_PER_S, cause=GapCause.NETWORK, detail="no route")
    assert keeper.tick(7 * US_PER_S) == [opened]
    assert keeper.tick(8 * US_PER_S) == []
    assert keeper.recorded(9 * US_PER_S, 10 * US_PER_S, GapCause.UNKNOWN) == [
        GapClosed(start_us=5 * US_PER_S, end_us=9 * US_PER_S, cause=GapCause.NETWORK)
    ]


def test_a_second_cause_takes_over_without_a_seam() -> None:
    keeper = GapKeeper(0)
    keeper.lost(GapCause.CAMERA_OFFLINE, "", US_PER_S)
    events = keeper.tick(2 * US_PER_S)
    events += keeper.lost(GapCause.CAMERA_AUTH, "", 5 * US_PER_S)
    events += keeper.tick(7 * US_PER_S)
    events += keeper.recorded(9 * US_PER_S, 10 * US_PER_S, GapCause.UNKNOWN)
    closed = [event for event in events if isinstance(event, GapClosed)]
    assert [(gap.start_us, gap.end_us, gap.cause) for gap in closed] == [
        (0, 5 * US_PER_S, GapCause.CAMERA_OFFLINE),
        (5 * US_PER_S, 9 * US_PER_S, GapCause.CAMERA_AUTH),
    ]


def test_the_gap_that_start_up_opened_is_closed_by_the_first_footage() -> None:
    opened = GapOpened(start_us=0, cause=GapCause.SERVICE_CRASHED, detail="")
    keeper = GapKeeper(0, opened)
    assert keeper.recorded(3 * US_PER_S, 4 * US_PER_S, GapCause.UNKNOWN) == [
        GapClosed(start_us=0, end_us=3 * US_PER_S, cause=GapCause.SERVICE_CRASHED)
    ]


def test_a_gap_is_told_on_one_clock_only() -> None:
    """Told before a step in the old epoch, behind it in the new one, at the same moment."""
    s = US_PER_S
    keeper = GapKeeper(10 * s, epoch=1)
    assert keeper.lost(GapCause.NETWORK, "", 10 * s) == []
    assert keeper.tick(12 * s) == [
        GapOpened(start_us=10 * s, cause=GapCause.NETWORK, detail="", epoch=1)
    ]
    assert keeper.stepped(-3600 * s, 15 * s - 3600 * s, 2) == [
        GapClosed(start_us=10 * s, end_us=15 * s, cause=GapCause.NETWORK, epoch=1)
    ]
    assert keeper.tick(17 * s - 3600 * s) == [
        GapOpened(start_us=15 * s - 3600 * s, cause=GapCause.NETWORK, detail="", epoch=2)
    ]
    assert keeper.recorded(18 * s - 3600 * s, 19 * s - 3600 * s, GapCause.UNKNOWN) == [
        GapClosed(
            start_us=15 * s - 3600 * s, end_us=18 * s - 3600 * s, cause=GapCause.NETWORK, epoch=2
        )
    ]


def test_footage_that_goes_on_over_a_step_leaves_no_gap() -> None:
    s = US_PER_S
    for step_us in (3600 * s, -3600 * s, 365 * 86_400 * s):
        keeper = GapKeeper(0)
        assert keeper.recorded(0, 10 * s, GapCause.UNKNOWN) == []
        assert keeper.stepped(step_us, 10 * s + step_us, 2) == []
        assert keeper.recorded(10 * s + step_us, 20 * s + step_us, GapCause.UNKNOWN) == []
        assert keeper.covered_until_us == 20 * s + step_us


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 5 * US_PER_S)),
        st.tuples(st.just("lost"), st.sampled_from([*GapCause][:5])),
        st.tuples(st.just("recorded"), st.integers(1, 3 * US_PER_S)),
    ),
    max_size=40,
)


@given(STEPS)
def test_footage_and_gaps_leave_no_hole_of_a_second(steps: list[tuple[str, object]]) -> None:
    keeper = GapKeeper(0)
    now_us = 0
    pieces: list[tuple[int, int]] = []

    def take(events: list[GapEvent]) -> None:
        pieces.extend((e.start_us, e.end_us) for e in events if isinstance(e, GapClosed))

    for step, value in steps:
        if step == "wait" and isinstance(value, int):
            now_us += value
            take(keeper.tick(now_us))
        elif isinstance(value, GapCause):
            take(keeper.lost(value, "", now_us))
        elif isinstance(value, int):
            take(keeper.recorded(now_us, now_us + value, GapCause.UNKNOWN))
            pieces.append((now_us, now_us + value))
            now_us += value
    take(keeper.recorded(now_us, now_us + 1, GapCause.UNKNOWN))
    pieces.append((now_us, now_us + 1))
    until_us = 0
    for start_us, end_us in sorted(pieces):
        assert start_us - until_us < GAP_MIN_US
        until_us = max(until_us, end_us)

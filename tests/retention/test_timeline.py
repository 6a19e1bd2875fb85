"""The time line partitions time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.model import GAP_MIN_US, US_PER_S, Gap, GapCause, Span
from retention.timeline import Timeline, timeline, union

S = US_PER_S


def span(start_s: float, end_s: float) -> Span:
    return Span(start_us=int(start_s * S), end_us=int(end_s * S))


def gap(
    start_s: float, end_s: float | None, cause: GapCause = GapCause.NETWORK, detail: str = ""
) -> Gap:
    return Gap(
        camera="cam",
        start_us=int(start_s * S),
        end_us=None if end_s is None else int(end_s * S),
        cause=cause,
        detail=detail,
    )


def line(spans: list[Span], gaps: list[Gap], from_s: float, to_s: float) -> Timeline:
    return timeline("cam", spans, gaps, int(from_s * S), int(to_s * S))


def test_adjoining_segments_are_one_span() -> None:
    assert line([span(60, 120), span(0, 60)], [], 0, 120).spans == (span(0, 120),)


def test_a_hole_below_a_second_counts_as_recorded() -> None:
    result = line([span(0, 10), span(10.9, 20)], [], 0, 20)
    assert result.spans == (span(0, 20),)
    assert result.coverage == 1.0


def test_a_hole_without_a_row_is_unknown() -> None:
    result = line([span(0, 10), span(11, 20)], [], 0, 20)
    assert result.gaps == (gap(10, 11, GapCause.UNKNOWN),)


def test_slivers_beside_a_row_take_its_cause() -> None:
    """The ledger's edges need not meet the footage's to the microsecond."""
    result = line([span(0, 10), span(20, 30)], [gap(10.4, 19.7)], 0, 30)
    assert result.gaps == (gap(10, 20),)


def test_a_row_inside_a_segment_is_a_gap() -> None:
    result = line([span(0, 60)], [gap(20, 30)], 0, 60)
    assert result.spans == (span(0, 20), span(30, 60))


def test_an_open_row_lasts_to_the_end_of_the_window() -> None:
    result = line([span(0, 10)], [gap(10, None)], 0, 3600)
    assert result.gaps == (gap(10, 3600),)


def test_the_later_of_two_rows_speaks() -> None:
    result = line([], [gap(0, 30), gap(10, 20, GapCause.DISK_FULL)], 0, 30)
    assert result.gaps == (gap(0, 10), gap(10, 20, GapCause.DISK_FULL), gap(20, 30))


def test_footage_wins_over_a_deletion_only() -> None:
    """A clock that was set back: two runs in the same hour, one of them expired."""
    result = line([span(10, 20)], [gap(0, 30, GapCause.EXPIRED), gap(12, 14)], 0, 30)
    assert result.spans == (span(10, 12), span(14, 20))
    assert result.gaps == (
        gap(0, 10, GapCause.EXPIRED),
        gap(12, 14),
        gap(20, 30, GapCause.EXPIRED),
    )


def test_a_short_hole_at_the_window_edge_stays_recorded() -> None:
    """What a hole counts as does not depend on where the window is cut."""
    spans = [span(0, 10), span(10.9, 20)]
    assert line(spans, [], 10.5, 20).spans == (span(10.5, 20),)
    assert line(spans, [], 0, 10.5).spans == (span(0, 10.5),)


def test_an_empty_window_owes_nothing() -> None:
    result = line([span(0, 10)], [], 5, 5)
    assert (result.spans, result.gaps, result.coverage) == ((), (), 1.0)


instants = st.integers(0, 40 * S) | st.integers(0, 40).map(lambda second: second * S)


@st.composite
def spans_of(draw: st.DrawFn) -> Span:
    start_us, end_us = sorted((draw(instants), draw(instants)))
    return Span(start_us=start_us, end_us=end_us)


@st.composite
def gaps_of(draw: st.DrawFn) -> Gap:
    start_us, end_us = sorted((draw(instants), draw(instants)))
    is_open = draw(st.booleans())
    return Gap(
        camera="cam",
        start_us=start_us,
        end_us=None if is_open else end_us + 1,
        cause=draw(st.sampled_from([GapCause.NETWORK, GapCause.DISK_FULL, GapCause.EXPIRED])),
    )


@settings(max_examples=150)
@given(
    st.lists(spans_of(), max_size=8), st.lists(gaps_of(), max_size=5), instants, instants, instants
)
def test_spans_and_gaps_partition_the_window(
    spans: list[Span], gaps: list[Gap], one: int, two: int, cut: int
) -> None:
    from_us, to_us = sorted((one, two))
    result = timeline("cam", spans, gaps, from_us, to_us)
    pieces: list[Span | Gap] = sorted(
        (*result.spans, *result.gaps), key=lambda piece: piece.start_us
    )
    at_us = from_us
    for piece in pieces:
        assert piece.start_us == at_us
        assert piece.end_us is not None
        assert piece.end_us > at_us
        at_us = piece.end_us
    assert at_us == max(from_us, to_us)
    # Cutting the window in two changes nothing.
    cut_us = min(max(cut, from_us), to_us)
    left = timeline("cam", spans, gaps, from_us, cut_us)
    right = timeline("cam", spans, gaps, cut_us, to_us)
    assert left.recorded_us + right.recorded_us == result.recorded_us


@settings(max_examples=100)
@given(st.lists(spans_of(), max_size=8))
def test_without_rows_only_holes_of_a_second_are_gaps(spans: list[Span]) -> None:
    result = timeline("cam", spans, [], 0, 40 * S)
    for piece in result.gaps:
        assert piece.cause is GapCause.UNKNOWN
        assert piece.end_us is not None
        at_edge = piece.start_us == 0 or piece.end_us == 40 * S
        assert at_edge or piece.end_us - piece.start_us >= GAP_MIN_US
    assert union(union(spans)) == union(spans)

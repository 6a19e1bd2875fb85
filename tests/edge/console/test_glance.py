"""A long time line at a glance: every microsecond is counted once, and no gap is hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.console.glance import Held, even_edges, glance, longest_gaps
from retention.model import US_PER_S, Gap, GapCause, Marker, MarkerKind, Span
from retention.timeline import Timeline, timeline

S = US_PER_S
DAY = 86_400 * S
T0 = 1_790_000_000 * S


def line_of(pieces: list[tuple[int, GapCause | None]], start_us: int = T0) -> Timeline:
    """Pieces one behind the other: length, and the cause of a gap."""
    spans, gaps = [], []
    at_us = start_us
    for length_us, cause in pieces:
        if cause is None:
            spans.append(Span(start_us=at_us, end_us=at_us + length_us))
        else:
            gaps.append(Gap(camera="c", start_us=at_us, end_us=at_us + length_us, cause=cause))
        at_us += length_us
    return Timeline(camera="c", from_us=start_us, to_us=at_us, spans=tuple(spans), gaps=tuple(gaps))


def test_a_gap_of_a_second_shows_in_ninety_days() -> None:
    gap = Gap(camera="c", start_us=T0 + 40 * DAY, end_us=T0 + 40 * DAY + S, cause=GapCause.NETWORK)
    line = timeline("c", [Span(start_us=T0, end_us=T0 + 90 * DAY)], [gap], T0, T0 + 90 * DAY)
    for count in (1, 90, 375, 2000):
        buckets = glance(line, even_edges(T0, T0 + 90 * DAY, count))
        assert len(buckets) == count
        touched = [one for one in buckets if one.missing_us]
        assert sum(one.missing_us for one in touched) == S
        assert all(one.gaps == 1 and one.cause is GapCause.NETWORK for one in touched)
        assert len(touched) in (1, 2)


_PIECES = st.lists(
    st.tuples(
        st.integers(1, 5_000_000),
        st.sampled_from([None, GapCause.NETWORK, GapCause.DISK_FULL, GapCause.EXPIRED]),
    ),
    min_size=1,
    max_size=30,
)


@given(_PIECES, st.integers(-3_000_000, 3_000_000), st.integers(1, 20_000_000), st.integers(1, 50))
def test_every_microsecond_counts_once(
    pieces: list[tuple[int, GapCause | None]], shift_us: int, length_us: int, count: int
) -> None:
    line = line_of(pieces)
    edges = even_edges(T0 + shift_us, T0 + shift_us + length_us, count)
    buckets = glance(line, edges)
    assert [one.start_us for one in buckets] == edges[:-1]
    assert [one.end_us for one in buckets] == edges[1:]
    for one in buckets:
        due_us = max(0, min(one.end_us, line.to_us) - max(one.start_us, line.from_us))
        assert one.recorded_us + one.missing_us + one.expired_us == due_us
        touching = [
            gap
            for gap in line.gaps
            if gap.start_us < one.end_us and (gap.end_us or 0) > one.start_us
        ]
        faults = [gap for gap in touching if gap.cause is not GapCause.EXPIRED]
        assert (one.missing_us > 0) == bool(faults)  # no gap is hidden
        assert (one.gaps > 0) == bool(faults)
        if faults:
            assert one.cause in {gap.cause for gap in faults}
        else:
            assert one.cause is (GapCause.EXPIRED if touching else None)


def test_a_gap_that_changes_its_cause_is_one() -> None:
    line = line_of([(S, None), (S, GapCause.NETWORK), (S, GapCause.CAMERA_AUTH), (S, None)])
    (bucket,) = glance(line, [T0, T0 + 4 * S])
    assert bucket.gaps == 1
    both = glance(line, [T0, T0 + 2 * S, T0 + 4 * S])
    assert [one.gaps for one in both] == [1, 1]


def test_holds_and_markers_fall_into_their_buckets() -> None:
    line = line_of([(10 * S, None)])
    markers = [
        Marker(at_us=T0 + at, camera="c", kind=kind)
        for at, kind in (
            (-1, MarkerKind.MOTION),
            (0, MarkerKind.MOTION),
            (5 * S, MarkerKind.FACE),
            (5 * S + 1, MarkerKind.FACE),
            (10 * S, MarkerKind.FACE),
        )
    ]
    held = [Held(start_us=T0 + 6 * S, end_us=T0 + 20 * S)]
    buckets = glance(line, even_edges(T0, T0 + 10 * S, 2), held, markers)
    assert [one.markers for one in buckets] == [
        ((MarkerKind.MOTION, 1),),
        ((MarkerKind.FACE, 2),),
    ]
    assert [one.is_held for one in buckets] == [False, True]


def test_the_longest_gaps_stand_in_order_of_time() -> None:
    line = line_of(
        [(S, GapCause.NETWORK), (S, None), (3 * S, GapCause.CONFIG), (S, None)]
        + [(2 * S, GapCause.NETWORK), (S, GapCause.EXPIRED)]
    )
    gaps, count = longest_gaps(line, 2)
    assert count == 3
    assert [gap.start_us for gap in gaps] == [T0 + 2 * S, T0 + 6 * S]


def test_impossible_buckets_are_refused() -> None:
    line = line_of([(S, None)])
    for edges in ([T0], [T0, T0], [T0 + 1, T0], list(range(5000))):
        with pytest.raises(ValueError, match="glance|rise"):
            glance(line, edges)
    for window in ((T0, T0, 1), (T0, T0 + S, 0), (T0, T0 + S, 5000)):
        with pytest.raises(ValueError, match="window"):
            even_edges(*window)
    assert even_edges(T0, T0 + 2, 5) == [T0, T0 + 1, T0 + 2]

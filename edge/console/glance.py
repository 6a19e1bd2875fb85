"""A long time line in a bounded number of buckets, with no gap hidden. Core.

A pixel of a 90-day view is hours wide, a gap may be a second. So a bucket tells its seconds due and
recorded as they are, how many gaps touch it and the cause that takes most of it: a view marks a
bucket with any gap, however little of it that is, and zooming in finds it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retention.model import Gap, GapCause, Marker, MarkerKind
from retention.timeline import Timeline

BUCKETS_MAX = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """``[start_us, end_us)``; what is not due (before service, behind now) counts nowhere."""

    start_us: int
    end_us: int
    recorded_us: int
    missing_us: int  # due and not there
    expired_us: int  # deleted because it was due for it: no fault
    gaps: int  # how many touch it; of those that expired none
    cause: GapCause | None  # that takes most of what is missing; EXPIRED where nothing else is
    is_held: bool
    markers: tuple[tuple[MarkerKind, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A stretch under a hold."""

    start_us: int
    end_us: int


def glance(
    line: Timeline,
    edges_us: Sequence[int],
    held: Iterable[Held] = (),
    markers: Iterable[Marker] = (),
) -> list[Bucket]:
    """Sum a time line up.

    Args:
        edges_us: where buckets begin, and where the last one ends; rising.

    Raises:
        ValueError: fewer than two edges, too many, or they do not rise.
    """
    if not 2 <= len(edges_us) <= BUCKETS_MAX + 1:
        raise ValueError(f"a glance has 1 to {BUCKETS_MAX} buckets")
    if any(one >= other for one, other in zip(edges_us, edges_us[1:], strict=False)):
        raise ValueError("edges of buckets must rise")
    count = len(edges_us) - 1
    recorded = [0] * count
    expired = [0] * count
    gaps = [0] * count
    missing: dict[int, dict[GapCause, int]] = {}
    for span in line.spans:
        for place, length_us in _shares(edges_us, span.start_us, span.end_us):
            recorded[place] += length_us
    before: Gap | None = None
    for gap in line.gaps:
        end_us = line.to_us if gap.end_us is None else gap.end_us
        goes_on = before is not None and before.end_us == gap.start_us
        for place, length_us in _shares(edges_us, gap.start_us, end_us):
            if gap.cause is GapCause.EXPIRED:
                expired[place] += length_us
                continue
            of = missing.setdefault(place, {})
            of[gap.cause] = of.get(gap.cause, 0) + length_us
            # a gap that changes its cause is one gap, as in retention.completeness
            is_same = goes_on and edges_us[place] < gap.start_us
            gaps[place] += not is_same
        before = gap if gap.cause is not GapCause.EXPIRED else None
    is_held = [False] * count
    for stretch in held:
        for place, _ in _shares(edges_us, stretch.start_us, stretch.end_us):
            is_held[place] = True
    told: dict[int, dict[MarkerKind, int]] = {}
    for marker in markers:
        if edges_us[0] <= marker.at_us < edges_us[-1]:
            kinds = told.setdefault(bisect_right(edges_us, marker.at_us) - 1, {})
            kinds[marker.kind] = kinds.get(marker.kind, 0) + 1
    return [
        Bucket(
            start_us=edges_us[place],
            end_us=edges_us[place + 1],
            recorded_us=recorded[place],
            missing_us=sum(missing.get(place, {}).values()),
            expired_us=expired[place],
            gaps=gaps[place],
            cause=_most(missing.get(place, {}), expired[place]),
            is_held=is_held[place],
            markers=tuple(sorted(told.get(place, {}).items())),
        )
        for place in range(count)
    ]


def even_edges(from_us: int, to_us: int, count: int) -> list[int]:
    """Edges of ``count`` buckets of the same length, to the microsecond; fewer in a short window.

    Raises:
        ValueError: an empty window, or too many buckets.
    """
    if to_us <= from_us or not 1 <= count <= BUCKETS_MAX:
        raise ValueError(f"a window of 1 to {BUCKETS_MAX} buckets")
    count = min(count, to_us - from_us)
    return [from_us + (to_us - from_us) * place // count for place in range(count + 1)]


def longest_gaps(line: Timeline, limit: int) -> tuple[list[Gap], int]:
    """The longest gaps, in order of time, and how many there are of which these are a part; what
    has expired is none."""
    found = [gap for gap in line.gaps if gap.cause is not GapCause.EXPIRED]
    chosen = sorted(found, key=lambda gap: gap.start_us - (gap.end_us or line.to_us))[:limit]
    return sorted(chosen, key=lambda gap: gap.start_us), len(found)


def _shares(edges_us: Sequence[int], start_us: int, end_us: int) -> Iterable[tuple[int, int]]:
    """Of each bucket that the stretch touches: its place, and how much of the stretch is in it."""
    start_us, end_us = max(start_us, edges_us[0]), min(end_us, edges_us[-1])
    if start_us >= end_us:
        return
    last = bisect_left(edges_us, end_us)
    for place in range(bisect_right(edges_us, start_us) - 1, last):
        yield (
            place,
            min(end_us, edges_us[place + 1]) - max(start_us, edges_us[place]),
        )


def _most(missing: dict[GapCause, int], expired_us: int) -> GapCause | None:
    if missing:
        return max(missing, key=lambda cause: (missing[cause], cause.value))
    return GapCause.EXPIRED if expired_us else None

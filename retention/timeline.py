"""Spans and gaps of one camera, from what is stored and what the ledger says. Core.

The law: spans and gaps partition ``[from_us, to_us)``. A hole between segments is a gap once it is
``GAP_MIN_US`` long, with the cause of the gap row that lies over it, else ``unknown``; a shorter
hole counts as recorded. A gap row wins over a segment: it may tell of a hole inside one; but where
footage was deleted, what is still there (of another run, on a clock that was set back) wins over
the row that tells of the deletion. A presumed gap only
names the cause of a hole that nothing else explains.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from retention.model import GAP_MIN_US, Gap, GapCause, Span

#: Causes of the gaps that deletions leave.
DELETED_CAUSES = (GapCause.EXPIRED, GapCause.OVERWRITTEN)


class Stretch(Protocol):
    """Anything from ``start_us`` to ``end_us``, half open: a Segment, a Span."""

    @property
    def start_us(self) -> int: ...
    @property
    def end_us(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """``spans`` and ``gaps`` partition ``[from_us, to_us)``; no gap in it is open."""

    camera: str
    from_us: int
    to_us: int
    spans: tuple[Span, ...]
    gaps: tuple[Gap, ...]

    @property
    def recorded_us(self) -> int:
        return sum(span.end_us - span.start_us for span in self.spans)

    @property
    def coverage(self) -> float:
        """Recorded over due time, 0 to 1; 1 where nothing is due."""
        due_us = self.to_us - self.from_us
        return self.recorded_us / due_us if due_us else 1.0


def timeline(
    camera: str,
    stretches: Iterable[Stretch],
    gaps: Iterable[Gap],
    from_us: int,
    to_us: int,
    presumed: Iterable[Gap] = (),
) -> Timeline:
    """Partition ``[from_us, to_us)`` into recorded spans and gaps.

    Args:
        stretches: what is stored, in any order, overlapping or not. Those next before and next
            after the window should be among them, else a short hole at its edge is a gap.
        gaps: the ledger's rows; one without an end lasts to the end of the window. Where two
            overlap, the one that starts later speaks, of two that start at once the shorter one.
        presumed: causes of holes that neither of both explains, the same way.
    """
    if to_us <= from_us:
        return Timeline(camera=camera, from_us=from_us, to_us=from_us, spans=(), gaps=())
    # A little wider than asked, so that an edge does not change what a short hole counts as.
    low_us, high_us = from_us - GAP_MIN_US, to_us + GAP_MIN_US
    spans = _clipped(union(stretches), low_us, high_us)
    rows = _in_order(gaps, high_us)
    presumptions = [row for row in _in_order(presumed, high_us) if (row.end_us or 0) > low_us]
    pieces = list(_pieces(camera, spans, rows, presumptions, low_us, high_us))
    pieces = [_clip(piece, from_us, to_us) for piece in _merged(_explain_slivers(pieces))]
    pieces = [piece for piece in pieces if piece.start_us < piece.end_us]
    return Timeline(
        camera=camera,
        from_us=from_us,
        to_us=to_us,
        spans=tuple(piece for piece in pieces if isinstance(piece, Span)),
        gaps=tuple(piece.gap() for piece in pieces if isinstance(piece, _Absent)),
    )


def union(stretches: Iterable[Stretch], bridge_us: int = GAP_MIN_US) -> list[Span]:
    """The union, sorted; holes shorter than ``bridge_us`` are bridged."""
    spans: list[Span] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.start_us):
        if stretch.end_us <= stretch.start_us:
            continue
        if spans and stretch.start_us - spans[-1].end_us < bridge_us:
            if stretch.end_us > spans[-1].end_us:
                spans[-1] = replace(spans[-1], end_us=stretch.end_us)
        else:
            spans.append(Span(start_us=stretch.start_us, end_us=stretch.end_us))
    return spans


def cut_out(spans: Iterable[Span], gone: Iterable[Stretch]) -> list[Span]:
    """What is left of spans where some stretches are taken away."""
    holes = union(gone, bridge_us=0)
    if not holes:
        return list(spans)
    left: list[Span] = []
    for span in spans:
        at_us = span.start_us
        for hole in holes:
            if hole.end_us <= at_us or hole.start_us >= span.end_us:
                continue
            if hole.start_us > at_us:
                left.append(Span(start_us=at_us, end_us=hole.start_us))
            at_us = hole.end_us
        if at_us < span.end_us:
            left.append(Span(start_us=at_us, end_us=span.end_us))
    return left


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absent:
    camera: str
    start_us: int
    end_us: int
    cause: GapCause
    detail: str
    is_recorded_row: bool  # the ledger tells of it

    def gap(self) -> Gap:
        return Gap(
            camera=self.camera,
            start_us=self.start_us,
            end_us=self.end_us,
            cause=self.cause,
            detail=self.detail,
        )


_Piece = Span | _Absent


def _start_of_gap(gap: Gap) -> int:
    return gap.start_us


def _in_order(gaps: Iterable[Gap], high_us: int) -> list[Gap]:
    closed = (_closed(gap, high_us) for gap in gaps if gap.start_us < high_us)
    return sorted(closed, key=_start_of_gap)


def _closed(gap: Gap, high_us: int) -> Gap:
    return gap if gap.end_us is not None else replace(gap, end_us=high_us)


def _clipped(spans: Iterable[Span], low_us: int, high_us: int) -> list[Span]:
    return [
        Span(start_us=max(span.start_us, low_us), end_us=min(span.end_us, high_us))
        for span in spans
        if span.start_us < high_us and span.end_us > low_us
    ]


def _pieces(
    camera: str,
    spans: Sequence[Span],
    rows: Sequence[Gap],
    presumptions: Sequence[Gap],
    low_us: int,
    high_us: int,
) -> Iterator[_Piece]:
    """Elementary pieces between all edges, in order: who speaks for each of them."""
    edges = {low_us, high_us}
    for span in spans:
        edges |= {span.start_us, span.end_us}
    for row in [*rows, *presumptions]:
        assert row.end_us is not None
        edges |= {min(max(row.start_us, low_us), high_us), min(max(row.end_us, low_us), high_us)}
    ordered = sorted(edges)
    speaking: list[tuple[int, int, int, Gap]] = []  # the latest start on top
    deleted: list[tuple[int, int, int, Gap]] = []  # the same, of rows that footage wins over
    next_row = next_span = 0
    for start_us, end_us in zip(ordered, ordered[1:], strict=False):
        while next_row < len(rows) and rows[next_row].start_us <= start_us:
            row = rows[next_row]
            heap = deleted if row.cause in DELETED_CAUSES else speaking
            heapq.heappush(heap, (-row.start_us, row.end_us or 0, next_row, row))
            next_row += 1
        for heap in (speaking, deleted):
            while heap and heap[0][1] <= start_us:
                heapq.heappop(heap)
        while next_span < len(spans) and spans[next_span].end_us <= start_us:
            next_span += 1
        is_stored = next_span < len(spans) and spans[next_span].start_us <= start_us
        if is_stored and not speaking:
            yield Span(start_us=start_us, end_us=end_us)
        elif speaking or deleted:
            row = (speaking or deleted)[0][3]
            yield _absent(camera, start_us, end_us, row.cause, row.detail, is_recorded_row=True)
        else:
            over = [row for row in presumptions if row.start_us <= start_us < (row.end_us or 0)]
            cause, detail = (over[-1].cause, over[-1].detail) if over else (GapCause.UNKNOWN, "")
            is_known = bool(over)
            yield _absent(camera, start_us, end_us, cause, detail, is_recorded_row=is_known)


def _absent(
    camera: str, start_us: int, end_us: int, cause: GapCause, detail: str, *, is_recorded_row: bool
) -> _Absent:
    return _Absent(
        camera=camera,
        start_us=start_us,
        end_us=end_us,
        cause=cause,
        detail=detail,
        is_recorded_row=is_recorded_row,
    )


def _explain_slivers(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Unexplained slivers of a hole that a gap row explains otherwise take that row's cause."""
    explained = list(pieces)
    for place, piece in enumerate(explained):
        if isinstance(piece, Span) or piece.is_recorded_row:
            continue
        if piece.end_us - piece.start_us >= GAP_MIN_US:
            continue
        neighbours = [explained[place - 1]] if place else []
        neighbours += explained[place + 1 : place + 2]
        for neighbour in neighbours:
            if isinstance(neighbour, _Absent) and neighbour.is_recorded_row:
                explained[place] = replace(piece, cause=neighbour.cause, detail=neighbour.detail)
                break
    return explained


def _merged(pieces: Iterable[_Piece]) -> list[_Piece]:
    merged: list[_Piece] = []
    for piece in pieces:
        if merged and _kind(merged[-1]) == _kind(piece):
            merged[-1] = replace(merged[-1], end_us=piece.end_us)
        else:
            merged.append(piece)
    return merged


def _kind(piece: _Piece) -> tuple[GapCause, str] | None:
    return None if isinstance(piece, Span) else (piece.cause, piece.detail)


def _clip(piece: _Piece, from_us: int, to_us: int) -> _Piece:
    start_us, end_us = max(piece.start_us, from_us), min(piece.end_us, to_us)
    return replace(piece, start_us=start_us, end_us=end_us)

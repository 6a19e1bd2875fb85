"""Tombstones: what is told of segments before policy takes them away. Shell (SQL only).

A tombstone (journal kind ``deletion``) tells ``camera``, ``reason`` (``retention.policy.Reason``),
``spans`` (what is missing from now on), ``epoch`` (of an unknown time, that the spans are moved
with once it is known; else 0), ``segments``, ``bytes`` and ``pieces``: rows of segments
that stand next to one another in one checkpoint, each with its numbers as rising ranges and the
links before and after them, hex, so that the chain is walked past them (``retention.chain``). From
then on a file of such a number is no footage any more, wherever it turns up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retention.chain import NumberRange, link, numbers_in, ranges_of
from retention.index import rows
from retention.policy import Candidate, Reason
from retention.timeline import union

#: Segments of one tombstone: far below a journal line's bound, also where each is a piece.
SEGMENTS_MAX = 500

_NEWEST_PIECES = "SELECT pieces FROM tombstone WHERE camera = ? ORDER BY seq DESC"
_DIGESTS = (
    "SELECT number, digest FROM segment WHERE camera = ? AND number >= ? AND number <= ?"
    " AND state = 'sealed' AND length(digest) = 32 ORDER BY number"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Segments next to one another in one checkpoint that went together."""

    numbers: tuple[NumberRange, ...]
    before: bytes
    after: bytes

    def to_json(self) -> list[Any]:
        return [[list(one) for one in self.numbers], self.before.hex(), self.after.hex()]

    @classmethod
    def from_json(cls, document: Any) -> Piece:
        numbers, before, after = document
        return cls(
            numbers=tuple((int(first), int(last)) for first, last in numbers),
            before=bytes.fromhex(before),
            after=bytes.fromhex(after),
        )


def tombstone(
    segments: Sequence[Candidate], reason: Reason, pieces: Sequence[Piece]
) -> dict[str, Any]:
    """What the journal is told of segments of one camera that are about to go."""
    spans = union(segments)
    return {
        "camera": segments[0].camera,
        "reason": reason.value,
        "pieces": [piece.to_json() for piece in pieces],
        "epoch": segments[0].epoch,
        "spans": [[span.start_us, max(span.end_us, span.start_us + 1)] for span in spans],
        "segments": len(segments),
        "bytes": sum(segment.size_bytes for segment in segments),
    }


def pieces_of(connection: sqlite3.Connection, camera: str, numbers: Iterable[int]) -> list[Piece]:
    """The links around segments that are still there; what is not chained is left out.

    Neither is anything of a checkpoint that does not fit the rows: somebody changed them, and what
    proves it must not be deleted.
    """
    wanted = set(numbers)
    pieces: list[Piece] = []
    stones = _Earlier(connection, camera)
    for row in _checkpoints_of(connection, camera, wanted):
        mine = {number for number in numbers_in(row.numbers) if number in wanted}
        if not mine:
            continue
        found = _pieces_in(connection, row, mine, stones, prefers_stones=False)
        if found is None:  # a piece may be half gone, where one of its disks is away
            found = _pieces_in(connection, row, mine, stones, prefers_stones=True)
        pieces += found or []
        wanted -= mine
        if not wanted:
            break
    return pieces


def _checkpoints_of(
    connection: sqlite3.Connection, camera: str, wanted: set[int]
) -> Iterator[rows.CheckpointRow]:
    """Those that may hold one of these numbers, in chain order."""
    lowest = min(wanted, default=0)
    found = connection.execute(
        "SELECT position FROM checkpoint WHERE camera = ? AND last_number >= ?"
        " ORDER BY position LIMIT 1",
        (camera, lowest),
    ).fetchone()
    if found is not None:
        yield from rows.checkpoints(connection, camera, found[0])


def _pieces_in(
    connection: sqlite3.Connection,
    row: rows.CheckpointRow,
    mine: set[int],
    stones: _Earlier,
    *,
    prefers_stones: bool,
) -> list[Piece] | None:
    """Walk one checkpoint; None where it cannot be walked, or does not end where it says.

    Args:
        prefers_stones: pass by earlier tombstones where there are any, though rows may still be
            there; that reads all of them.
    """
    first = min(first for first, _ in row.numbers)
    last = max(last for _, last in row.numbers)
    digests = dict(connection.execute(_DIGESTS, (row.camera, first, last)).fetchall())
    pieces: list[Piece] = []
    taken: list[int] = []
    at = begin = row.before
    passed: set[int] = set()
    for number in numbers_in(row.numbers):
        if number in passed:
            continue
        if number not in mine and taken:
            pieces.append(Piece(numbers=ranges_of(taken), before=begin, after=at))
            taken = []
        stone = None
        if number not in digests or (prefers_stones and number not in mine):
            stone = stones.beginning_with(number)
        if stone is not None and stone.before == at:
            at = stone.after
            passed.update(numbers_in(stone.numbers))
        elif number in digests:
            if number in mine:
                begin = begin if taken else at
                taken.append(number)
            at = link(at, number, digests[number])
        else:
            return None
    if taken:
        pieces.append(Piece(numbers=ranges_of(taken), before=begin, after=at))
    return pieces if at == row.after else None


class _Earlier:
    """What went of a camera before; read from the newest on, as far as it is asked for."""

    def __init__(self, connection: sqlite3.Connection, camera: str) -> None:
        self._texts = connection.execute(_NEWEST_PIECES, (camera,))
        self._known: dict[int, Piece] = {}  # by first number

    def beginning_with(self, number: int) -> Piece | None:
        while number not in self._known:
            row = self._texts.fetchone()
            if row is None:
                return None
            for document in json.loads(row[0]):
                piece = Piece.from_json(document)
                self._known[piece.numbers[0][0]] = piece
        return self._known[number]

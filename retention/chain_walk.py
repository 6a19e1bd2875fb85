"""Walking a camera's chain along its checkpoints, past what tombstones tell. Core.

Every number of a checkpoint is either a segment whose digest is known or part of a piece that a
tombstone took away; walked from ``before`` on, the links must come to ``after``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from retention.chain import FIRST_LINK, NumberRange, link, numbers_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedSegments:
    """What one checkpoint tells."""

    position: int
    numbers: tuple[NumberRange, ...]
    segments: int
    before: bytes
    after: bytes
    name: str  # for people


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedPiece:
    """Segments that stood beside one another in the chain, and are gone."""

    numbers: tuple[NumberRange, ...]
    before: bytes
    after: bytes
    name: str  # for people


@dataclass(slots=True, kw_only=True)
class Walk:
    """What a walk found: breaks in words, and what it passed."""

    breaks: list[str]
    segments: int = 0
    deleted: int = 0


class _Walker:
    def __init__(
        self,
        pieces: Iterable[DeletedPiece],
        digest_of: Callable[[int], bytes | None],
        is_going: Callable[[int], bool],
    ) -> None:
        self.result = Walk(breaks=[])
        self._digest_of = digest_of
        self._is_going = is_going
        self._pieces: dict[int, DeletedPiece] = {}
        for piece in pieces:
            first = next(numbers_in(piece.numbers), None)
            if first is None or first in self._pieces:
                self.result.breaks.append(f"{piece.name} tells of segments that another one told")
            else:
                self._pieces[first] = piece
        self._link: bytes | None = None  # None: not known from here
        self._left: list[int] = []  # of the piece being passed, the last number first
        self._piece: DeletedPiece | None = None
        self._seen: set[int] = set()

    def leave_out(self) -> None:
        """Checkpoints are missing from here to the next one."""
        if self._piece is not None:  # it may reach into the next one
            self._pieces[self._piece.numbers[0][0]] = self._piece
        self._left, self._piece, self._seen = [], None, set()

    def pass_checkpoint(self, checkpoint: ChainedSegments) -> None:
        if self._piece is None:
            self._link = checkpoint.before
        for number in numbers_in(checkpoint.numbers):
            if number in self._seen:
                self.result.breaks.append(f"segment {number} is chained twice")
            self._seen.add(number)
            self._pass_number(number)
        if self._piece is None and self._link is not None and self._link != checkpoint.after:
            self.result.breaks.append(
                f"{checkpoint.name}: its segments do not lead to the link that was signed:"
                " one of them was changed, removed, put in or moved"
            )

    def _pass_number(self, number: int) -> None:
        digest = self._digest_of(number)
        is_there = digest is not None and not self._is_going(number)
        if self._piece is None:
            piece = self._pieces.pop(number, None)
            if piece is None and not is_there:
                piece = self._piece_around(number)
            if is_there or piece is None:
                if piece is not None:
                    self._tell_back(number, piece)
                self._pass_segment(number, digest)
                return
            self._enter(piece, number)
        if self._left and self._left[-1] == number:
            self._left.pop()
            self.result.deleted += 1
            if is_there:
                assert self._piece is not None
                self._tell_back(number, self._piece)
        else:
            assert self._piece is not None
            self.result.breaks.append(
                f"{self._piece.name} does not tell of segment {number}, which stands among its own"
            )
            self._left, self._piece, self._link = [], None, None
            return
        if not self._left:
            self._link, self._piece = self._piece.after if self._piece else None, None

    def _tell_back(self, number: int, piece: DeletedPiece) -> None:
        self.result.breaks.append(f"segment {number} is there in spite of {piece.name}")

    def _piece_around(self, number: int) -> DeletedPiece | None:
        """The piece that the walk begins inside of."""
        if self._seen != {number}:
            return None
        for first, piece in self._pieces.items():
            if number in numbers_in(piece.numbers):
                return self._pieces.pop(first)
        return None

    def _enter(self, piece: DeletedPiece, number: int) -> None:
        numbers = list(numbers_in(piece.numbers))
        if numbers[0] == number and self._link is not None and self._link != piece.before:
            self.result.breaks.append(
                f"the links before {piece.name} do not lead to the one that it tells"
            )
        self._piece = piece
        self._left = numbers[numbers.index(number) :][::-1]

    def _pass_segment(self, number: int, digest: bytes | None) -> None:
        if digest is None:
            self.result.breaks.append(
                f"segment {number} was chained, and neither it nor a tombstone of it is there"
            )
            self._link = None
            return
        self.result.segments += 1
        if self._link is not None:
            self._link = link(self._link, number, digest)

    def end(self, *, is_whole: bool) -> Walk:
        if is_whole:
            left = [*self._pieces.values(), *([self._piece] if self._piece else [])]
            self.result.breaks += [
                f"{piece.name} tells of segments that were not chained" for piece in left
            ]
        return self.result


def walk(
    checkpoints: Sequence[ChainedSegments],
    pieces: Iterable[DeletedPiece],
    digest_of: Callable[[int], bytes | None],
    is_going: Callable[[int], bool] = lambda _number: False,
    *,
    is_whole: bool = True,
) -> Walk:
    """Walk checkpoints, given in chain order; neighbours among them must hang on one another.

    Args:
        pieces: those that touch the checkpoints.
        digest_of: of a segment that is there; None where it is not.
        is_going: whether a segment that is there is being deleted under its tombstone.
        is_whole: these are all checkpoints of the camera, and all of its tombstones.
    """
    walker = _Walker(pieces, digest_of, is_going)
    breaks = walker.result.breaks
    last: ChainedSegments | None = None
    for checkpoint in checkpoints:
        is_first = checkpoint.position == 0
        if is_first != (checkpoint.before == FIRST_LINK):
            breaks.append(f"{checkpoint.name} hangs on what no checkpoint there can hang on")
        if last is None and is_whole and not is_first:
            breaks.append(f"what {checkpoint.name} hangs on is not there")
        if last is not None:
            end = last.position + last.segments
            is_next = checkpoint.position == end
            if (is_next and checkpoint.before != last.after) or (
                not is_next and (is_whole or checkpoint.position < end)
            ):
                breaks.append(f"{checkpoint.name} does not hang on {last.name}")
            if not is_next:
                walker.leave_out()
        walker.pass_checkpoint(checkpoint)
        last = checkpoint
    return walker.end(is_whole=is_whole)

"""Making checkpoints: sealed segments that no checkpoint tells yet are chained. Shell, blocking.

Which ones follows from the index alone: sealed rows whose numbers lie in the holes of the camera's
checkpoints. A segment that comes late (adopted from a volume that was away) is chained by a later
checkpoint; one that is still open, or was given up by a failing disk and may be finished otherwise
by the next start, holds back nobody else. A checkpoint is one signed entry of the journal, so a
rebuilt index comes to the same rows.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from retention.chain import FIRST_LINK, NumberRange, holes_of, link_all, merged, ranges_of
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.index.write import IndexWriter
from retention.ledger import Ledger
from retention.model import EndReason, Segment

log = logging.getLogger(__name__)

#: Of one checkpoint: its entry must stay far below a journal line's bound.
SEGMENTS_MAX = 20_000
RANGES_MAX = 4_000
#: How long the index may take for one step.
INDEX_TIMEOUT_S = 30.0

_SEALED = (
    "SELECT number, digest, end_reason FROM segment WHERE camera = ? AND number >= ?"
    " AND (? IS NULL OR number <= ?) AND state = 'sealed' AND length(digest) = 32"
    " ORDER BY number LIMIT ?"
)

#: Whether a row that a failing disk gave up says what its file says, for good.
IsFinal = Callable[[Segment], bool]


@dataclass(slots=True)
class _Chained:
    """What of a camera is chained, as far as its rows were read."""

    position: int = 0
    after: bytes = FIRST_LINK
    ranges: tuple[NumberRange, ...] = ()


class Checkpoints:
    """The only maker of checkpoints; its methods may be called from any thread, one at a time runs.

    Args:
        is_final: asked for rows with the end reason ``io_error`` only.
    """

    def __init__(
        self, index: IndexWriter, ledger: Ledger, is_final: IsFinal = lambda _segment: False
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._is_final = is_final
        self._chained: dict[str, _Chained] = {}
        self._lock = threading.Lock()

    def make(self, now_us: int, cameras: Iterable[str] | None = None) -> int:
        """Chain what is not chained, of these cameras or of all; how many segments that were.

        Raises:
            IndexUnavailable: the index does not answer; what was chained until then is.
        """
        with self._lock, Index.open_read(self._index.path) as reader:
            # what an index that was stuck is still owed: a checkpoint of ours may be among it
            self._committed()
            names = reader.read(rows.cameras_ever) if cameras is None else list(cameras)
            return sum(self._make(reader, name, now_us) for name in names)

    def _committed(self) -> None:
        try:
            self._ledger.flushed().result(INDEX_TIMEOUT_S)
        except TimeoutError as error:
            raise IndexUnavailable("the index is stuck") from error

    def _make(self, reader: Index, camera: str, now_us: int) -> int:
        chained = self._chained.setdefault(camera, _Chained())
        count = 0
        while True:
            reader.read(lambda connection: _catch_up(connection, camera, chained))
            segments = reader.read(lambda connection: self._unchained(connection, camera, chained))
            if not segments:
                return count
            position, after = chained.position, link_all(chained.after, segments)
            future = self._ledger.segments_chained(
                camera,
                position=position,
                numbers=ranges_of(number for number, _ in segments),
                before=chained.after,
                after=after,
                at_us=now_us,
            )
            try:
                future.result(INDEX_TIMEOUT_S)
            except TimeoutError as error:
                raise IndexUnavailable("the index is stuck") from error
            reader.read(lambda connection: _catch_up(connection, camera, chained))
            if (chained.position, chained.after) != (position + len(segments), after):
                raise IndexUnavailable(
                    f"the index did not take a checkpoint of {camera}",
                    hint="restart edge: it then takes the journal's entries from the volumes",
                )
            count += len(segments)
            log.info(
                "checkpoint",
                extra={"camera": camera, "position": chained.position, "link": after.hex()},
            )

    def _unchained(
        self, connection: sqlite3.Connection, camera: str, chained: _Chained
    ) -> list[tuple[int, bytes]]:
        """Numbers and digests for the next checkpoint, in order of number."""
        found: list[tuple[int, bytes]] = []
        ranges = 0
        for first, last in holes_of(chained.ranges):
            room = SEGMENTS_MAX - len(found)
            for number, digest, reason in connection.execute(
                _SEALED, (camera, first, last, last, room)
            ):
                if reason == EndReason.IO_ERROR and not self._is_settled(
                    connection, camera, number
                ):
                    continue
                ranges += not found or found[-1][0] + 1 != number
                if ranges > RANGES_MAX:
                    return found
                found.append((number, digest))
        return found

    def _is_settled(self, connection: sqlite3.Connection, camera: str, number: int) -> bool:
        segment = rows.segment(connection, camera, number)
        return segment is not None and self._is_final(segment)


def _catch_up(connection: sqlite3.Connection, camera: str, chained: _Chained) -> None:
    """Read the checkpoints made since the last look."""
    for row in rows.checkpoints(connection, camera, chained.position):
        chained.position = row.position + row.segments
        chained.after = row.after
        chained.ranges = merged([*chained.ranges, *row.numbers])

"""Footage that policy may choose from, read from the index a little at a time. Shell.

Two million rows are never read at once: policy stops where nothing is due any more, and what lies
on disks that are away is stepped over by remembering where the first row begins that is not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from retention.index.read import Index
from retention.policy import Candidate

#: Rows of the first read and of the longest: often nothing is due.
FIRST_ROWS, ROWS_MAX = 4, 256
# Known is what was recorded on trusted time, or re-timed since.
_CHOICE = (
    "SELECT segment.camera, number, volume, segment.start_us, end_us, size_bytes,"
    " segment.offset_us, run.offset_us IS NOT NULL,"
    " CASE WHEN run.offset_us IS NULL THEN coalesce(run.epoch, 0) ELSE 0 END"
    " FROM segment LEFT JOIN run USING (run) WHERE segment.camera = ? AND {place}"
    " AND state = 'sealed' AND volume IN (SELECT value FROM json_each(?))"
    " AND NOT EXISTS (SELECT 1 FROM doomed WHERE doomed.camera = segment.camera"
    " AND doomed.number = segment.number) ORDER BY {order} LIMIT ?"
)
BY_KEY = _CHOICE.partition(" AND state")[0].format(place="number = ?") + " AND state = 'sealed'"
BY_TIME = _CHOICE.format(
    place="(segment.start_us, number) > (?, ?)", order="segment.start_us, number"
)
BY_NUMBER = _CHOICE.format(place="number > ?", order="number")

_Place = tuple[int, ...]


class IndexShelf:
    """``retention.policy.Shelf`` on an index.

    Args:
        volumes: whose files can be deleted now.
    """

    def __init__(self, index: Index, volumes: Iterable[str]) -> None:
        self._index = index
        self._volumes = json.dumps(sorted(volumes))
        self._fronts: dict[tuple[str, str], _Place] = {}
        self._left_out: set[tuple[str, int]] = set()

    def leave_out(self, camera: str, numbers: Iterable[int]) -> None:
        """These cannot be deleted, whatever the rows say."""
        self._left_out.update((camera, number) for number in numbers)

    def by_time(self, camera: str, from_us: int) -> Iterator[Candidate]:
        return self._read(BY_TIME, camera, (from_us, -1), lambda one: (one.start_us, one.number))

    def by_number(self, camera: str) -> Iterator[Candidate]:
        return self._read(BY_NUMBER, camera, (-1,), lambda one: (one.number,))

    def _read(
        self, statement: str, camera: str, place: _Place, place_of: Callable[[Candidate], _Place]
    ) -> Iterator[Candidate]:
        front = self._fronts.get((statement, camera))
        if front is not None and front > place:
            place = front
        is_first, count = True, FIRST_ROWS
        while True:
            arguments = (camera, *place, self._volumes, count)
            found = self._rows(statement, arguments)
            if is_first and found:
                is_first = False
                self._remember(statement, camera, place, place_of(found[0]))
            for one in found:
                if (one.camera, one.number) not in self._left_out:
                    yield one
            if len(found) < count:
                return
            place, count = place_of(found[-1]), min(4 * count, ROWS_MAX)

    def _rows(self, statement: str, arguments: tuple[Any, ...]) -> list[Candidate]:
        return self._index.read(
            lambda connection: [
                candidate_of(row) for row in connection.execute(statement, arguments)
            ]
        )

    def _remember(self, statement: str, camera: str, begun: _Place, first: _Place) -> None:
        """All that lies before the first row found cannot be deleted, if it was looked at."""
        front = self._fronts.get((statement, camera))
        if begun[0] < 0 or (front is not None and begun <= front):
            self._fronts[statement, camera] = (*first[:-1], first[-1] - 1)


def candidate(connection: sqlite3.Connection, camera: str, number: int) -> Candidate | None:
    """One sealed segment as it stands now."""
    row = connection.execute(BY_KEY, (camera, number)).fetchone()
    return None if row is None else candidate_of(row)


def candidate_of(row: tuple[Any, ...]) -> Candidate:
    return Candidate(
        camera=row[0],
        number=row[1],
        volume=row[2],
        start_us=row[3],
        end_us=row[4],
        size_bytes=row[5],
        offset_us=row[6],
        is_time_known=bool(row[7]),
        epoch=row[8],
    )

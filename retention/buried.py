"""Which segments have a tombstone: their files are no footage any more. Shell (SQL only)."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right

from retention.chain import NumberRange

_PIECES = "SELECT seq, pieces FROM tombstone WHERE camera = ? AND seq > ? ORDER BY seq"


class Tombstones:
    """Whether a segment has a tombstone; remembers what it has read. For one connection."""

    def __init__(self) -> None:
        self._seq: dict[str, int] = {}
        self._ranges: dict[str, list[NumberRange]] = {}  # rising, apart

    def covers(self, connection: sqlite3.Connection, camera: str, number: int) -> bool:
        self._catch_up(connection, camera)
        ranges = self._ranges[camera]
        place = bisect_right(ranges, (number, 1 << 62)) - 1
        return place >= 0 and number <= ranges[place][1]

    def _catch_up(self, connection: sqlite3.Connection, camera: str) -> None:
        fresh: list[NumberRange] = []
        for seq, text in connection.execute(_PIECES, (camera, self._seq.get(camera, 0))):
            self._seq[camera] = seq
            fresh += [
                (first, last) for numbers, _, _ in json.loads(text) for first, last in numbers
            ]
        known = self._ranges.setdefault(camera, [])
        if not fresh:
            return
        merged: list[NumberRange] = []
        for first, last in sorted([*known, *fresh]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self._ranges[camera] = merged

"""A long history that was never recorded: rows of an index, and an oracle of what they hold."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retention.fragments import encode_table
from retention.index.write import IndexWriter
from retention.model import US_PER_S, FragmentEntry, GapCause

MINUTE_US = 60 * US_PER_S
DAY_US = 86_400 * US_PER_S
_COLUMNS = "camera, number, run, volume, start_us, end_us, state, size_bytes, end_reason, digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """``spans`` per camera, sorted and apart, in microseconds; what lies between is a gap."""

    from_us: int
    to_us: int
    spans: dict[str, list[tuple[int, int]]]


def make_history(cameras: Sequence[str], to_us: int, days: int, seed: int = 1) -> History:
    """About three gaps a day and camera, from two seconds to a few hours."""
    draw = random.Random(seed)
    from_us = to_us - days * DAY_US
    spans: dict[str, list[tuple[int, int]]] = {}
    for camera in cameras:
        place = from_us
        found: list[tuple[int, int]] = []
        while place < to_us:
            length = round(draw.expovariate(1 / (8 * 3600)) * US_PER_S) + 3 * US_PER_S
            found.append((place, min(place + length, to_us)))
            hole = round(draw.expovariate(1 / 300) * US_PER_S) + 2 * US_PER_S
            place += length + hole
        spans[camera] = found
    return History(from_us=from_us, to_us=to_us, spans=spans)


def write_history(path: Path, history: History, segment_us: int = MINUTE_US) -> int:
    """Rows of segments (of a minute, as recorded) and of the gaps; how many segments."""
    counts: list[int] = []

    def write(connection: sqlite3.Connection) -> None:
        for camera, spans in history.spans.items():
            connection.execute(
                "INSERT INTO camera(id, commissioned_us) VALUES (?, ?)", (camera, history.from_us)
            )
            counts.append(len(spans))
            marks = ", ".join("?" * 11)
            connection.executemany(
                f"INSERT INTO segment({_COLUMNS}, fragments) VALUES ({marks})",
                _segments(camera, spans, segment_us),
            )
            connection.executemany(
                "INSERT INTO gap(camera, start_us, end_us, cause, detail) VALUES (?, ?, ?, ?, '')",
                (
                    (camera, end_us, start_us, GapCause.NETWORK.value)
                    for (_, end_us), (start_us, _) in zip(spans, spans[1:], strict=False)
                ),
            )

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM segment").fetchone()[0])

    with IndexWriter(path) as index:
        index.submit(write).result()
        return index.submit(count).result()


def _segments(
    camera: str, spans: Sequence[tuple[int, int]], segment_us: int
) -> Iterator[tuple[object, ...]]:
    number = 0
    for start_us, end_us in spans:
        place = start_us
        while place < end_us:
            until = min((place // segment_us + 1) * segment_us, end_us)
            number += 1
            entry = FragmentEntry(
                offset=100, size_bytes=900, start_us=place, end_us=until, is_key=True, sha256=b""
            )
            yield (
                *(camera, number, "a" * 32, "v", place, until, "sealed", 1000, "rotated"),
                b"d" * 32,
                encode_table((entry,)),
            )
            place = until


def whole_seconds(
    spans: Sequence[tuple[int, int]], from_us: int, to_us: int
) -> list[tuple[int, int]]:
    """The oracle: whole recorded seconds of the window as ranges, independent of RecordInfo."""
    found: list[tuple[int, int]] = []
    for start_us, end_us in spans:
        low = -(-max(start_us, from_us) // US_PER_S)
        high = min(end_us, to_us) // US_PER_S
        if low < high:
            found.append((low, high))
    return found

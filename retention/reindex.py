"""Rebuilding the index from the volumes alone, and holding it against the one there is. Shell.

Blocking; opens everything read-only. Segments come from header and trailer of their files, all the
rest from the journal's replicas. May run beside a living ``edge`` (then as a dry run only): what
differs is looked at a second time, and what is younger than the comparison is left out.
"""

from __future__ import annotations

import heapq
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from retention.buried import Tombstones
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.index.write import connect_for_writing, put_segment
from retention.journal import Entry, authentic, longest_chain
from retention.model import Segment, SegmentState
from retention.mp4.boxes import SegmentCorrupt
from retention.ownership import hand_over
from retention.replica import read_replica
from retention.segment_files import FoundFile, camera_folders, facts_at, files_in, hour_folders
from retention.stamp import read_stamp
from retention.whole_file import sync_folder

log = logging.getLogger(__name__)

#: Tables that the journal alone makes.
LEDGER_TABLES = (
    "camera",
    "volume",
    "epoch",
    "run",
    "gap",
    "absence",
    "hold",
    "checkpoint",
    "tombstone",
    "marker",
    "journal",
    "meta",
)
#: What only a living edge knows.
_OF_THE_LIVING = (("meta", "alive_us"), ("meta", "alive_epoch"), ("meta", "trust"))
#: So long the replicas may lag behind a living index: a group's sync, on a slow disk.
REPLICA_LAG_S = 15.0
_BATCH_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing on which index and volumes do not agree."""

    table: str
    key: str
    index: str  # empty: not there
    volumes: str

    def __str__(self) -> str:
        if not self.index:
            return f"{self.table} {self.key}: not in the index; on the volumes {self.volumes}"
        if not self.volumes:
            return f"{self.table} {self.key}: only in the index: {self.index}"
        return f"{self.table} {self.key}: index {self.index}; volumes {self.volumes}"

    def as_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild found."""

    segments: int = 0
    entries: int = 0
    differences: list[Difference] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # files named as segments that are none


def reindex(
    index_path: Path, volumes: Sequence[Path], *, dry_run: bool, is_live: bool = False
) -> Rebuilt:
    """Rebuild the index, and unless ``dry_run`` put it in the old one's place.

    The old one is kept beside it, renamed. Without an old one everything is a difference; a
    damaged one is told as a difference of its own.

    Args:
        is_live: ``edge`` is running; only for dry runs.

    Raises:
        VolumeUnavailable: a volume is missing: the rebuilt index would lack its footage.
    """
    assert dry_run or not is_live
    roots = {read_stamp(path)[0]: path for path in volumes}
    with tempfile.TemporaryDirectory(
        prefix="reindex-", dir=None if dry_run else index_path.parent
    ) as folder:
        before = _snapshot(index_path)
        target = Path(folder) / "index.db"
        result = Rebuilt()
        with closing(connect_for_writing(target)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            chain, forged = _journal(roots, None if before is None or not is_live else before.seq)
            result.differences += [
                Difference(
                    table="journal",
                    key=str(entry.seq),
                    index="",
                    volumes=f"a line that is not signed as it says: {entry.line[:120]!r}",
                )
                for entry in forged
            ]
            _add_entries(connection, chain)
            result.entries = len(chain)
            _add_segments(connection, roots, result)
            result.differences += _ledger_differences(before, ledger_rows(connection))
            result.differences += _segment_differences(
                index_path if before else None, connection, roots, before, is_live=is_live
            )
        if not dry_run:
            _put_in_place(target, index_path)
    return result


# The journal -----------------------------------------------------------------------------------


def _journal(roots: dict[str, Path], wanted_seq: int | None) -> tuple[list[Entry], list[Entry]]:
    """The replicas' common chain (of a living index up to the entry it had when we looked), and
    what somebody changed in them."""
    deadline = time.monotonic() + REPLICA_LAG_S
    while True:
        known: dict[bytes, Entry] = {}
        for path in roots.values():
            read_replica(path, parsed=known)
        good, forged = authentic(known.values())
        chain, others = longest_chain(good)
        if wanted_seq is None or len(chain) >= wanted_seq or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if others:
        log.warning("journal_branch", extra={"entries": len(others)})
    return chain if wanted_seq is None else chain[:wanted_seq], forged


def _add_entries(connection: sqlite3.Connection, chain: Iterable[Entry]) -> None:
    connection.execute("BEGIN")
    add_entries(connection, chain)
    connection.execute("COMMIT")


# The files -------------------------------------------------------------------------------------


def _add_segments(connection: sqlite3.Connection, roots: dict[str, Path], result: Rebuilt) -> None:
    """What has its tombstone is no footage any more: ``edge`` finishes its deletion."""
    stones = Tombstones()
    connection.execute("BEGIN")
    for count, (uuid, root, file) in enumerate(_files(roots), 1):
        if stones.covers(connection, file.name.camera, file.name.number):
            continue
        path = file.path
        try:
            put_segment(connection, facts_at(root, path, uuid).segment)
            result.segments += 1
        except (SegmentCorrupt, FileNotFoundError):
            result.unreadable.append(str(root / path))
        if count % _BATCH_ROWS == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
    connection.execute("COMMIT")


def _files(roots: dict[str, Path]) -> Iterator[tuple[str, Path, FoundFile]]:
    for uuid, root in sorted(roots.items()):
        for camera in camera_folders(root):
            for folder in hour_folders(root, camera):
                for file in files_in(root, folder):
                    yield uuid, root, file


# Differences -----------------------------------------------------------------------------------

LedgerRows = dict[str, dict[str, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The index as it was when the comparison began."""

    seq: int
    ledger: LedgerRows
    newest_numbers: dict[str, int]


def _snapshot(index_path: Path) -> _Before | None:
    def query(connection: sqlite3.Connection) -> _Before:
        last = rows.last_entry(connection)
        return _Before(
            seq=0 if last is None else last.seq,
            ledger=ledger_rows(connection),
            newest_numbers={
                camera: number - 1 for camera, number in rows.next_numbers(connection).items()
            },
        )

    try:
        with Index.open_read(index_path) as index:
            return index.read(query)
    except IndexUnavailable as error:
        log.warning("index_not_compared", extra={"error": error.sentence()})
        return None


#: Kinds differ in their first letter.
_MARKER_SUMS = (
    "SELECT camera, at_us / 86400000000, count(*),"
    " sum((at_us % 1000000007) * 31 + epoch * 7 + unicode(kind)) FROM marker GROUP BY 1, 2"
)


def ledger_rows(
    connection: sqlite3.Connection, tables: Sequence[str] = LEDGER_TABLES
) -> LedgerRows:
    """Every row of these tables that the journal makes, by its key in words; of markers, which may
    be a million, the sums of each camera's days."""
    return {
        table: {
            _key(table, row): row
            for row in connection.execute(
                _MARKER_SUMS if table == "marker" else f"SELECT * FROM {table}"  # noqa: S608
            )
            if (table, row[0]) not in _OF_THE_LIVING
        }
        for table in tables
    }


def _key(table: str, row: tuple[Any, ...]) -> str:
    if table == "gap":
        return f"{row[0]} {row[1]} {row[3]}" + (f" of epoch {row[5]}" if row[5] else "")
    if table == "absence":
        return " ".join(map(str, row))
    if table == "marker":
        return f"{row[0]} day {row[1]}"
    return f"{row[0]} {row[1]}" if table == "checkpoint" else str(row[0])


def _ledger_differences(before: _Before | None, rebuilt: LedgerRows) -> list[Difference]:
    differences = []
    for table in LEDGER_TABLES:
        old = before.ledger[table] if before is not None else {}
        for key in sorted({*old, *rebuilt[table]}):
            one, other = old.get(key), rebuilt[table].get(key)
            if one != other:
                differences.append(
                    Difference(table=table, key=key, index=_text(one), volumes=_text(other))
                )
    return differences


def _segment_differences(
    index_path: Path | None,
    connection: sqlite3.Connection,
    roots: dict[str, Path],
    before: _Before | None,
    *,
    is_live: bool,
) -> list[Difference]:
    differences = []
    stones = Tombstones()
    with closing(_Old(index_path)) as old:
        for camera, number in _unlike(old, connection):
            if stones.covers(connection, camera, number) or old.is_doomed(camera, number):
                continue  # on its way out (retention.sweep): between its tombstone and its end
            if is_live and before and number > before.newest_numbers.get(camera, 0):
                continue
            index_row = old.segment(camera, number)
            file_row = _again(roots, index_row, rows.segment(connection, camera, number))
            if not _agree(index_row, file_row):
                differences.append(
                    Difference(
                        table="segment",
                        key=f"{camera} {number}",
                        index=_segment_text(index_row),
                        volumes=_segment_text(file_row),
                    )
                )
    return differences


class _Old:
    """The index there is, or none."""

    def __init__(self, path: Path | None) -> None:
        self._index = None if path is None else Index.open_read(path)

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def segment(self, camera: str, number: int) -> Segment | None:
        if self._index is None:
            return None
        return self._index.read(lambda connection: rows.segment(connection, camera, number))

    def is_doomed(self, camera: str, number: int) -> bool:
        if self._index is None:
            return False
        statement = "SELECT 1 FROM doomed WHERE camera = ? AND number = ?"
        return (
            self._index.read(
                lambda connection: connection.execute(statement, (camera, number)).fetchone()
            )
            is not None
        )

    def batches(self) -> Iterator[tuple[Any, ...]]:
        """Every row, in order; read in short transactions, for the log of a living index."""
        place = ("", -1)
        while self._index is not None:
            found = self._index.read(
                lambda connection, place=place: connection.execute(  # type: ignore[misc]
                    f"{_ALL} WHERE (camera, number) > (?, ?) {_ORDER} LIMIT {_BATCH_ROWS}", place
                ).fetchall()
            )
            yield from found
            if len(found) < _BATCH_ROWS:
                return
            place = found[-1][:2]


_ALL = "SELECT * FROM segment"
_ORDER = "ORDER BY camera, number"


def _unlike(old: _Old, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Keys of rows that are not the same on both sides."""
    rebuilt = connection.execute(f"{_ALL} {_ORDER}")
    merged = heapq.merge(
        ((row[:2], row) for row in old.batches()), ((row[:2], row) for row in rebuilt)
    )
    for key, pair in groupby(merged, key=lambda item: item[0]):
        both = [row for _, row in pair]
        if len(both) != 2 or both[0] != both[1]:
            yield key


def _again(
    roots: dict[str, Path], index_row: Segment | None, file_row: Segment | None
) -> Segment | None:
    """A second look at the file: it may have grown or been sealed meanwhile."""
    known = index_row or file_row
    if known is None or known.volume not in roots:
        return file_row
    offset_us = 0 if file_row is None else file_row.offset_us
    try:
        found = facts_at(roots[known.volume], known.path, known.volume).segment
        return found.retimed(offset_us)
    except FileNotFoundError:
        return None
    except SegmentCorrupt:
        return file_row


def _agree(index_row: Segment | None, file_row: Segment | None) -> bool:
    """Whether a row says what its file says; an open row's file may be ahead of it."""
    if index_row is None or file_row is None:
        return index_row is None and file_row is None
    if rows.segment_row(index_row) == rows.segment_row(file_row):
        return True
    if index_row.state is not SegmentState.OPEN:
        return False
    known = rows.segment_row(index_row)[:5]
    count = len(index_row.fragments)
    return known == rows.segment_row(file_row)[:5] and [
        (entry.offset, entry.size_bytes, entry.start_us, entry.end_us)
        for entry in index_row.fragments
    ] == [
        (entry.offset, entry.size_bytes, entry.start_us, entry.end_us)
        for entry in file_row.fragments[:count]
    ]


def _text(row: tuple[Any, ...] | None) -> str:
    return "" if row is None else " ".join(str(value)[:120] for value in row)


def _segment_text(segment: Segment | None) -> str:
    if segment is None:
        return ""
    return (
        f"{segment.state.value} {segment.start_us} to {segment.end_us},"
        f" {len(segment.fragments)} fragments, {segment.size_bytes} bytes,"
        f" {segment.end_reason}, run {segment.run}, digest {segment.digest.hex()[:16]}"
    )


# In place --------------------------------------------------------------------------------------


def _put_in_place(rebuilt: Path, index_path: Path) -> None:
    """The new index takes the old one's name; killed in between, there is none, which start-up
    takes as lost and rebuilds."""
    file = os.open(rebuilt, os.O_RDONLY)
    try:
        hand_over(file, index_path.parent)
        os.fsync(file)
    finally:
        os.close(file)
    if index_path.exists():
        set_aside(index_path)
    os.rename(rebuilt, index_path)
    sync_folder(index_path.parent)


def set_aside(index_path: Path) -> Path:
    """Rename an index with what lies beside it, so that a new one can be made; where it is now."""
    number = 1
    while (aside := index_path.with_name(f"{index_path.name}.old-{number}")).exists():
        number += 1
    # The log first: an index without its log is old, one with another's log is damaged.
    for suffix in ("-wal", "-shm", ""):
        source = Path(f"{index_path}{suffix}")
        if source.exists():
            os.rename(source, f"{aside}{suffix}")
    sync_folder(index_path.parent)
    return aside

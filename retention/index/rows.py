"""Rows to values and back: every statement that reads the index. Shell (SQL only).

Hot statements are constants; a test asserts that each of them runs on an index.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from retention.chain import NumberRange
from retention.fragments import decode_table, encode_table
from retention.holds import Hold
from retention.index.formats import format_from_json
from retention.journal import Entry, Kind, parse_line
from retention.model import (
    GAP_MIN_US,
    US_PER_S,
    ClockState,
    EndReason,
    Epoch,
    Gap,
    GapCause,
    Marker,
    MarkerKind,
    Run,
    Segment,
    SegmentState,
    Span,
)
from retention.timeline import union

# ruff: noqa: S608 - statements are put together from constants of this module only

_COLUMNS = (
    "camera, number, run, volume, start_us, end_us, state, size_bytes, end_reason, digest,"
    " fragments, offset_us"
)
AT_OR_BEFORE = (
    f"SELECT {_COLUMNS} FROM segment WHERE camera = ? AND start_us <= ?"
    " ORDER BY start_us DESC, number DESC LIMIT ?"
)
AFTER = (
    f"SELECT {_COLUMNS} FROM segment WHERE camera = ? AND (start_us, number) > (?, ?)"
    " ORDER BY start_us, number LIMIT ?"
)
UNFINISHED = (
    f"SELECT {_COLUMNS} FROM segment WHERE (state = 'open' OR end_reason = 'io_error')"
    " ORDER BY camera, number"
)
# Where footage begins behind a gap, and where it ended before. Joined in here, for a camera's 90
# days are 130,000 rows: no object for each, and the interpreter's lock is not held meanwhile.
SPANS = (
    "SELECT start_us, before_us FROM (SELECT start_us, max(end_us) OVER (ORDER BY start_us"
    " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_us FROM segment"
    " WHERE camera = ? AND start_us >= ? AND start_us <= ?)"
    f" WHERE before_us IS NULL OR start_us - before_us >= {GAP_MIN_US}"
)
SPANS_END = "SELECT max(end_us) FROM segment WHERE camera = ? AND start_us >= ? AND start_us <= ?"
#: Where the first footage that policy took away began, from an instant on.
NEXT_DELETED = (
    "SELECT start_us FROM gap WHERE camera = ? AND start_us >= ?"
    " AND cause IN ('expired', 'overwritten') ORDER BY start_us LIMIT 1"
)
NEXT_START = "SELECT min(start_us) FROM segment WHERE camera = ? AND start_us >= ?"
LAST_STARTS = (
    "SELECT min(start_us) FROM (SELECT start_us FROM segment WHERE camera = ? AND start_us < ?"
    " ORDER BY start_us DESC LIMIT ?)"
)
_HOLD = (
    "id, camera, from_us, to_us, case_number, requester, unit, reason, expires_us, added_us,"
    " added_by, asked_us, asked_by, released_us, released_by"
)
HELD_BYTES = (
    "SELECT coalesce(sum(size_bytes), 0) FROM segment INDEXED BY segment_time"
    " WHERE camera = ? AND start_us > ? AND start_us < ? AND end_us > ?"
)
#: No segment is longer: 600 s, and as much again without a key frame.
SEGMENT_US_MAX = 3600 * 1_000_000
#: A gap from one time into another, untrusted one, or without an end in one, says nothing of how
#: long it is before that is re-timed: footage that it seems to lie over is there all the same.
_IS_VAGUE = (
    "(end_us IS NULL OR start_epoch <> end_epoch) AND EXISTS (SELECT 1 FROM epoch"
    " WHERE offset_us IS NULL AND id IN (start_epoch, end_epoch))"
)
_GAPS = (
    "SELECT camera, start_us, end_us, cause, detail FROM gap"
    " WHERE camera = ? AND start_us < ? AND (end_us IS NULL OR end_us > ?)"
)
GAPS = f"{_GAPS} AND NOT ({_IS_VAGUE}) ORDER BY start_us"
VAGUE_GAPS = f"{_GAPS} AND {_IS_VAGUE} ORDER BY start_us"
ANY_OPEN = (
    "SELECT 1 FROM segment WHERE (state = 'open' OR end_reason = 'io_error')"
    " AND state = 'open' LIMIT 1"
)
#: A camera came back in a time that is not known: nobody can say yet where its absence ended.
ABSENCES = (
    "SELECT camera, start_us, NULL, 'config', '' FROM absence WHERE camera = ? AND start_us < ?"
    f" AND end_us - start_us < {GAP_MIN_US} AND EXISTS (SELECT 1 FROM epoch"
    " WHERE offset_us IS NULL AND id IN (start_epoch, end_epoch)) ORDER BY start_us"
)
OPEN_GAPS = (
    "SELECT camera, start_us, end_us, cause, detail FROM gap INDEXED BY gap_open"
    " WHERE camera = ? AND end_us IS NULL ORDER BY start_us"
)
NEWEST = (
    "SELECT max(end_us) FROM (SELECT end_us FROM segment WHERE camera = ? AND start_us <= ?"
    " AND end_us > start_us"
    " ORDER BY start_us DESC LIMIT 4)"
)
SIZES = (
    "SELECT start_us, end_us, size_bytes FROM segment WHERE camera = ? AND start_us < ?"
    " AND start_us >= ? ORDER BY start_us"
)
#: Footage of another time than the present one, which is not known, is not the oldest, whatever
#: its clock said.
OLDEST = (
    "SELECT start_us FROM segment WHERE camera = ? AND NOT EXISTS (SELECT 1 FROM run"
    " WHERE run.run = segment.run AND run.offset_us IS NULL"
    " AND run.epoch IS NOT (SELECT max(id) FROM epoch)) ORDER BY start_us LIMIT 1"
)
NEWEST_TIMED = (
    "SELECT end_us FROM segment WHERE camera = ? AND NOT EXISTS (SELECT 1 FROM run"
    " WHERE run.run = segment.run AND run.offset_us IS NULL) ORDER BY start_us DESC LIMIT 1"
)
#: Whether a run's time is known, or was told to be: what is not timed is never due.
IS_TIMED = "SELECT offset_us IS NOT NULL FROM run WHERE run = ?"

#: So many segments before an instant are looked at for one that reaches beyond it: runs overlap
#: where the host's clock was set back.
OVERLAP_SEGMENTS = 4
#: What was in RAM when a stretch of time ended began at most so long before.
RAM_US = 3600 * US_PER_S
FAR_US = 1 << 60
MARKERS = (
    "SELECT camera, at_us, kind FROM marker WHERE camera = ? AND at_us >= ? AND at_us < ?"
    " ORDER BY at_us LIMIT ?"
)
BETWEEN_EPOCHS = (
    "SELECT from_us, to_us, cause FROM (SELECT coalesce(before.end_us, before.start_us)"
    f" + coalesce(before.offset_us, 0) - {RAM_US} AS from_us,"
    " after.start_us + coalesce(after.offset_us, 0) AS to_us, after.cause AS cause"
    " FROM epoch AS before JOIN epoch AS after ON after.id = before.id + 1 ORDER BY before.id)"
    f" WHERE to_us > ?1 AND from_us < min(?2, to_us - {RAM_US})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRow:
    id: str
    commissioned_us: int
    removed_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRow:
    uuid: str
    path: str
    attached_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMark:
    """The last start or stop of ``edge``."""

    event: str  # started, stopped
    boot_id: str
    at_us: int
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A sign of life of ``edge``, on the clock of an epoch."""

    at_us: int
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """Some of a camera's segments, chained."""

    camera: str
    position: int  # of its first segment in the chain, from 0
    seq: int  # of its journal entry
    at_us: int
    numbers: tuple[NumberRange, ...]
    segments: int
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TombstoneRow:
    """What policy took away at one time."""

    camera: str
    seq: int  # of its journal entry
    at_us: int
    reason: str
    start_us: int
    end_us: int
    segments: int
    #: Stretches of the chain: numbers, link before, link after.
    pieces: tuple[tuple[tuple[NumberRange, ...], bytes, bytes], ...]


def segment_of(row: tuple[Any, ...]) -> Segment:
    offset_us = row[11]
    return Segment(
        camera=row[0],
        number=row[1],
        run=row[2],
        volume=row[3],
        start_us=row[4] - offset_us,
        end_us=row[5] - offset_us,
        state=SegmentState(row[6]),
        size_bytes=row[7],
        end_reason=None if row[8] is None else EndReason(row[8]),
        digest=row[9],
        fragments=decode_table(row[10]),
    ).retimed(offset_us)


def segment_row(segment: Segment) -> tuple[Any, ...]:
    return (
        segment.camera,
        segment.number,
        segment.run,
        segment.volume,
        segment.start_us,
        segment.end_us,
        segment.state.value,
        segment.size_bytes,
        None if segment.end_reason is None else segment.end_reason.value,
        segment.digest,
        encode_table(segment.retimed(0).fragments),
        segment.offset_us,
    )


def gap_of(row: tuple[Any, ...]) -> Gap:
    return Gap(camera=row[0], start_us=row[1], end_us=row[2], cause=GapCause(row[3]), detail=row[4])


def hold_of(row: tuple[Any, ...]) -> Hold:
    return Hold(
        id=row[0],
        camera=row[1],
        from_us=row[2],
        to_us=row[3],
        case=row[4],
        requester=row[5],
        unit=row[6],
        reason=row[7],
        expires_us=row[8],
        added_us=row[9],
        added_by=row[10],
        asked_us=row[11],
        asked_by=row[12],
        released_us=row[13],
        released_by=row[14],
    )


def segment(connection: sqlite3.Connection, camera: str, number: int) -> Segment | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM segment WHERE camera = ? AND number = ?",
        (camera, number),
    ).fetchone()
    return None if row is None else segment_of(row)


def is_doomed(connection: sqlite3.Connection, camera: str, number: int) -> bool:
    """Whether a segment is marked for deletion."""
    marked = "SELECT 1 FROM doomed WHERE camera = ? AND number = ?"
    return connection.execute(marked, (camera, number)).fetchone() is not None


def next_sealed(
    connection: sqlite3.Connection, volume: str, camera: str, number: int
) -> tuple[str, int] | None:
    """Camera and number of the sealed segment of a volume behind the place given by both."""
    row = connection.execute(
        "SELECT camera, number FROM segment WHERE (camera, number) > (?, ?) AND volume = ?"
        " AND state = 'sealed' ORDER BY camera, number LIMIT 1",
        (camera, number, volume),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def segment_at(connection: sqlite3.Connection, camera: str, at_us: int) -> Segment | None:
    """The segment that holds the instant, else the first one after it."""
    for row in connection.execute(AT_OR_BEFORE, (camera, at_us, OVERLAP_SEGMENTS)):
        if row[5] > at_us:
            return segment_of(row)
    following = segments_after(connection, camera, at_us, -1, 1)
    return following[0] if following else None


def segments_before(
    connection: sqlite3.Connection, camera: str, start_us: int, limit: int
) -> list[Segment]:
    """Segments that start at or before the instant, the newest first."""
    return [segment_of(row) for row in connection.execute(AT_OR_BEFORE, (camera, start_us, limit))]


def segments_after(
    connection: sqlite3.Connection, camera: str, start_us: int, number: int, limit: int
) -> list[Segment]:
    """Segments behind the place ``(start_us, number)``, in order."""
    rows = connection.execute(AFTER, (camera, start_us, number, limit))
    return [segment_of(row) for row in rows]


def unfinished_segments(connection: sqlite3.Connection) -> list[Segment]:
    """Open ones, and those given up by a failing disk."""
    return [segment_of(row) for row in connection.execute(UNFINISHED)]


def spans(connection: sqlite3.Connection, camera: str, from_us: int, to_us: int) -> list[Span]:
    """What is stored in the window, with the neighbours on both sides, joined where no gap is."""

    def instant(statement: str, *of: int) -> int | None:
        found: int | None = connection.execute(statement, (camera, *of)).fetchone()[0]
        return found

    low_us = instant(LAST_STARTS, from_us, OVERLAP_SEGMENTS)
    low_us = from_us if low_us is None else low_us
    high_us = instant(NEXT_START, to_us)
    high_us = to_us if high_us is None else high_us
    begins = connection.execute(SPANS, (camera, low_us, high_us)).fetchall()
    if not begins:
        return []
    last_us = begins[-1][0]
    ends = [before_us for _, before_us in begins[1:]]
    ends.append(instant(SPANS_END, last_us, high_us))
    return [
        Span(start_us=start_us, end_us=end_us)
        for (start_us, _), end_us in zip(begins, ends, strict=True)
    ]


def gaps(connection: sqlite3.Connection, camera: str, from_us: int, to_us: int) -> list[Gap]:
    return [gap_of(row) for row in connection.execute(GAPS, (camera, to_us, from_us))]


def markers(
    connection: sqlite3.Connection, camera: str, from_us: int, to_us: int, most: int
) -> list[Marker]:
    return [
        Marker(camera=name, at_us=at_us, kind=MarkerKind(kind))
        for name, at_us, kind in connection.execute(MARKERS, (camera, from_us, to_us, most))
    ]


def has_markers_before(connection: sqlite3.Connection, camera: str, at_us: int) -> bool:
    """Of a time that is known."""
    found = connection.execute(
        "SELECT 1 FROM marker WHERE camera = ? AND at_us < ? AND NOT EXISTS"
        " (SELECT 1 FROM epoch WHERE id = marker.epoch AND offset_us IS NULL) LIMIT 1",
        (camera, at_us),
    )
    return found.fetchone() is not None


def presumed_gaps(
    connection: sqlite3.Connection, camera: str, from_us: int, to_us: int
) -> list[Gap]:
    """Why footage may be missing where no gap says so: see :func:`retention.timeline.timeline`.

    Between two stretches of host time lies the step, or the time in which the box was off; before
    it, what was in RAM then.
    """
    found = [gap_of(row) for row in connection.execute(ABSENCES, (camera, to_us))]
    found += [gap_of(row) for row in connection.execute(VAGUE_GAPS, (camera, to_us, from_us))]
    for start_us, end_us, cause in connection.execute(BETWEEN_EPOCHS, (from_us, to_us)):
        found.append(Gap(camera=camera, start_us=start_us, end_us=end_us, cause=GapCause(cause)))
    return found


def are_any_open(connection: sqlite3.Connection) -> bool:
    """Whether a segment is being written, or sealed just now."""
    return connection.execute(ANY_OPEN).fetchone() is not None


def open_gaps(connection: sqlite3.Connection, camera: str) -> list[Gap]:
    return [gap_of(row) for row in connection.execute(OPEN_GAPS, (camera,))]


def newest_us(connection: sqlite3.Connection, camera: str, until_us: int = FAR_US) -> int | None:
    """End of the newest durable footage that begins at ``until_us`` at the latest: a clock that was
    wrong may have left footage of the future."""
    found = connection.execute(NEWEST, (camera, until_us)).fetchone()[0]
    return None if found is None else int(found)


def oldest_us(connection: sqlite3.Connection, camera: str) -> int | None:
    """Start of the oldest footage kept whose time is known, or the present one."""
    found = connection.execute(OLDEST, (camera,)).fetchone()
    return None if found is None else int(found[0])


def next_numbers(connection: sqlite3.Connection) -> dict[str, int]:
    """The next segment number of each camera that ever had one; others begin at 1.

    A number is never given out twice, also when all footage has expired: what was deleted had
    been chained.
    """
    newest = (
        "SELECT max(number) FROM (SELECT max(number) AS number FROM segment WHERE camera = ?1"
        " UNION ALL SELECT max(last_number) FROM checkpoint WHERE camera = ?1)"
    )
    found = {
        camera: connection.execute(newest, (camera,)).fetchone()[0]
        for camera in cameras_ever(connection)
    }
    return {camera: number + 1 for camera, number in found.items() if number is not None}


def cameras(connection: sqlite3.Connection) -> list[CameraRow]:
    rows = connection.execute("SELECT id, commissioned_us, removed_us FROM camera ORDER BY id")
    return [CameraRow(id=row[0], commissioned_us=row[1], removed_us=row[2]) for row in rows]


def camera(connection: sqlite3.Connection, camera_id: str) -> CameraRow | None:
    found = [row for row in cameras(connection) if row.id == camera_id]
    return found[0] if found else None


def cameras_ever(connection: sqlite3.Connection) -> list[str]:
    """Every camera that is or was in service, or of which anything is known."""
    found = connection.execute("SELECT id FROM camera UNION SELECT camera FROM run ORDER BY 1")
    return [str(row[0]) for row in found]


def last_checkpoint(connection: sqlite3.Connection, camera: str) -> CheckpointRow | None:
    """Where a camera's chain ends."""
    (position,) = connection.execute(
        "SELECT max(position) FROM checkpoint WHERE camera = ?", (camera,)
    ).fetchone()
    return None if position is None else next(checkpoints(connection, camera, position))


def checkpoints(
    connection: sqlite3.Connection, camera: str, from_position: int = 0
) -> Iterator[CheckpointRow]:
    """A camera's checkpoints in chain order, from the one at this position on."""
    found = connection.execute(
        "SELECT camera, position, seq, at_us, numbers, segments, before, after FROM checkpoint"
        " WHERE camera = ? AND position >= ? ORDER BY position",
        (camera, from_position),
    )
    for row in found:
        yield CheckpointRow(
            camera=row[0],
            position=row[1],
            seq=row[2],
            at_us=row[3],
            numbers=tuple((first, last) for first, last in json.loads(row[4])),
            segments=row[5],
            before=row[6],
            after=row[7],
        )


def holds(connection: sqlite3.Connection, *, is_open: bool = False) -> list[Hold]:
    """Every hold that ever was, or those that were not released; by when they were added."""
    where = "WHERE released_us IS NULL" if is_open else ""
    rows = connection.execute(f"SELECT {_HOLD} FROM hold {where} ORDER BY added_us, id")
    return [hold_of(row) for row in rows]


def hold(connection: sqlite3.Connection, hold_id: str) -> Hold | None:
    row = connection.execute(f"SELECT {_HOLD} FROM hold WHERE id = ?", (hold_id,)).fetchone()
    return None if row is None else hold_of(row)


def tombstones(
    connection: sqlite3.Connection, camera: str, after_seq: int = 0
) -> Iterator[TombstoneRow]:
    """A camera's tombstones behind this journal entry, in the order in which they were set."""
    found = connection.execute(
        "SELECT camera, seq, at_us, reason, start_us, end_us, segments, pieces FROM tombstone"
        " WHERE camera = ? AND seq > ? ORDER BY seq",
        (camera, after_seq),
    )
    for row in found:
        yield TombstoneRow(
            camera=row[0],
            seq=row[1],
            at_us=row[2],
            reason=row[3],
            start_us=row[4],
            end_us=row[5],
            segments=row[6],
            pieces=tuple(
                (
                    tuple((first, last) for first, last in numbers),
                    bytes.fromhex(before),
                    bytes.fromhex(after),
                )
                for numbers, before, after in json.loads(row[7])
            ),
        )


def held_bytes(connection: sqlite3.Connection, camera: str, from_us: int, to_us: int) -> int:
    """Size of the segments that the span touches; reads a row of each."""
    found = connection.execute(HELD_BYTES, (camera, from_us - SEGMENT_US_MAX, to_us, from_us))
    return int(found.fetchone()[0])


def kept_on(connection: sqlite3.Connection, volume: str) -> tuple[int, int]:
    """How many segments a volume holds, and their bytes. Reads every row: a second in millions."""
    found = connection.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM segment WHERE volume = ?", (volume,)
    ).fetchone()
    return int(found[0]), int(found[1])


def volumes(connection: sqlite3.Connection) -> list[VolumeRow]:
    rows = connection.execute("SELECT uuid, path, attached_us FROM volume ORDER BY uuid")
    return [VolumeRow(uuid=row[0], path=row[1], attached_us=row[2]) for row in rows]


def run_offset_us(connection: sqlite3.Connection, run_id: str) -> int | None:
    """What has to be added to the instants in a run's files; None while nobody knows."""
    row = connection.execute("SELECT offset_us FROM run WHERE run = ?", (run_id,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def untimed_epoch(connection: sqlite3.Connection, run_id: str) -> int | None:
    """The epoch of a run while its time is not known; None once it is, or where it has none."""
    row = connection.execute(
        "SELECT epoch FROM run WHERE run = ? AND offset_us IS NULL", (run_id,)
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def epochs(connection: sqlite3.Connection) -> list[Epoch]:
    """Every stretch of host time there was, in order."""
    found = connection.execute(
        "SELECT id, boot, skew_us, start_us, cause, end_us, offset_us, is_estimated FROM epoch"
        " ORDER BY id"
    )
    return [
        Epoch(
            id=row[0],
            boot_id=row[1],
            skew_us=row[2],
            start_us=row[3],
            cause=GapCause(row[4]),
            end_us=row[5],
            offset_us=row[6],
            is_estimated=bool(row[7]),
        )
        for row in found
    ]


def epochs_if_untimed(connection: sqlite3.Connection) -> list[Epoch]:
    """All of them, if there is one whose time is not known."""
    untimed = "SELECT 1 FROM epoch WHERE offset_us IS NULL LIMIT 1"
    return [] if connection.execute(untimed).fetchone() is None else epochs(connection)


def footage_under_gaps(
    connection: sqlite3.Connection, runs: Iterable[str], causes: Iterable[GapCause]
) -> list[tuple[str, Span]]:
    """Footage of these runs over which a gap of one of these causes lies, by camera."""
    found = []
    wanted = frozenset(causes)
    for name in runs:
        row = connection.execute(
            "SELECT camera, start_us + coalesce(offset_us, 0) FROM run WHERE run = ?", (name,)
        ).fetchone()
        spans = union(
            Span(start_us=start_us, end_us=end_us)
            for start_us, end_us in connection.execute(
                "SELECT start_us, end_us FROM segment WHERE camera = ? AND start_us >= ?"
                " AND run = ? ORDER BY start_us",
                (row[0], row[1] - RAM_US, name),
            )
        )
        found += [
            (row[0], span)
            for span in spans
            if any(
                gap.cause in wanted for gap in gaps(connection, row[0], span.start_us, span.end_us)
            )
        ]
    return found


def runs_of_epoch(connection: sqlite3.Connection, epoch: int) -> list[str]:
    found = connection.execute("SELECT run FROM run WHERE epoch = ? ORDER BY run", (epoch,))
    return [name for (name,) in found]


def lone_runs(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Runs of an unknown time that belong to no epoch, and where their footage ends."""
    found = connection.execute(
        "SELECT run, camera, start_us FROM run WHERE offset_us IS NULL AND epoch IS NULL"
    ).fetchall()
    ends = "SELECT max(end_us) FROM segment WHERE camera = ? AND start_us >= ? AND run = ?"
    return [
        (name, connection.execute(ends, (camera, start_us, name)).fetchone()[0] or start_us)
        for name, camera, start_us in found
    ]


def known_us(connection: sqlite3.Connection) -> int | None:
    """True time is at least this: footage of a known time ends there, or ``edge`` lived in it."""
    ends = [
        connection.execute(NEWEST_TIMED, (camera.id,)).fetchone() for camera in cameras(connection)
    ]
    newest = max((end[0] for end in ends if end is not None), default=None)
    alive = last_alive(connection)
    if alive is None:
        return None if newest is None else int(newest)
    offset = connection.execute("SELECT offset_us FROM epoch WHERE id = ?", (alive.epoch,))
    row = offset.fetchone()
    if row is not None and row[0] is None:
        return None if newest is None else int(newest)
    return max(int(newest or 0), alive.at_us + (0 if row is None else row[0]))


def run(connection: sqlite3.Connection, run_id: str) -> Run | None:
    row = connection.execute(
        "SELECT run, camera, start_us, clock, format, epoch FROM run WHERE run = ?", (run_id,)
    ).fetchone()
    if row is None:
        return None
    return Run(
        run=row[0],
        camera=row[1],
        start_us=row[2],
        clock=ClockState(row[3]),
        format=format_from_json(json.loads(row[4])),
        epoch=row[5],
    )


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def trust(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """What ``edge`` last thought of the clock (``retention.trusted_time``)."""
    try:
        found = json.loads(meta(connection, "trust") or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def service_mark(connection: sqlite3.Connection) -> ServiceMark | None:
    text = meta(connection, "service")
    if text is None:
        return None
    found = json.loads(text)
    return ServiceMark(
        event=found["event"],
        boot_id=found["boot"],
        at_us=found["at_us"],
        epoch=found.get("epoch", 0),
    )


def alive_us(connection: sqlite3.Connection) -> int | None:
    """When ``edge`` last said that it lives."""
    text = meta(connection, "alive_us")
    return None if text is None else int(text)


def last_alive(connection: sqlite3.Connection) -> Alive | None:
    """The last sign of life: the one of each second, or the last start or stop."""
    mark, at_us = service_mark(connection), alive_us(connection)
    epoch = int(meta(connection, "alive_epoch") or 0)
    if mark is None:
        return None if at_us is None else Alive(at_us=at_us, epoch=epoch)
    if at_us is None or (mark.epoch == epoch and mark.at_us > at_us):
        return Alive(at_us=mark.at_us, epoch=mark.epoch)
    return Alive(at_us=at_us, epoch=epoch)


def last_entry(connection: sqlite3.Connection) -> Entry | None:
    row = connection.execute("SELECT line FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else parse_line(row[0].encode())


def journal_lines(connection: sqlite3.Connection, after_seq: int = 0) -> Iterator[bytes]:
    """The journal's lines behind ``after_seq``, without line feeds."""
    for (line,) in connection.execute(
        "SELECT line FROM journal WHERE seq > ? ORDER BY seq", (after_seq,)
    ):
        yield line.encode()


def journal_entries_of(connection: sqlite3.Connection, kinds: Collection[Kind]) -> list[Entry]:
    """The entries of some kinds; the others are not parsed."""
    found = []
    for kind in kinds:
        lines = connection.execute(
            "SELECT line FROM journal WHERE instr(line, ?) ORDER BY seq", (f'"kind":"{kind}"',)
        )
        entries = (parse_line(line.encode()) for (line,) in lines)
        found += [entry for entry in entries if entry.kind is kind]
    return sorted(found, key=lambda entry: entry.seq)


def journal_entries(connection: sqlite3.Connection) -> list[Entry]:
    """The whole journal, parsed."""
    return [parse_line(line) for line in journal_lines(connection)]

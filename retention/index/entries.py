"""What a journal entry does to the index. The same code runs when the entry is made and when the
index is rebuilt, so that both come to the same rows. Shell (SQL only).

An entry that says nothing sensible (a later version's, or damaged data under a good signature)
stays in the journal and changes nothing else.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from retention.chain import count_of
from retention.index.formats import format_to_json, run_from_json
from retention.journal import FIRST_PREV, Entry, Kind, parse_line
from retention.model import GAP_MIN_US, US_PER_S, ClockState, GapCause

# ruff: noqa: S608 - statements are put together from constants of this module only
log = logging.getLogger(__name__)

#: Segments of a run are looked for so far around what is known of it: adopted ones may be earlier
#: than the one that told of it, and one lasts at most minutes.
_AROUND_US = 86_400 * US_PER_S
_FAR_US = 1 << 60

_THIS_GAP = "WHERE camera = ? AND start_us = ? AND start_epoch = ? AND cause = ?"
#: Gaps that footage found later takes away: nobody saw a camera fail then.
UNSEEN_CAUSES = (
    GapCause.SERVICE_STOPPED,
    GapCause.SERVICE_CRASHED,
    GapCause.POWER_LOST,
    GapCause.FOOTAGE_LOST,
    GapCause.UNKNOWN,
)


def add_entries(connection: sqlite3.Connection, entries: Iterable[Entry]) -> int:
    """Append and apply the entries that follow the newest one; others are left out.

    Returns:
        The newest entry's number afterwards.
    """
    row = connection.execute("SELECT seq, line FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    seq, head = (0, FIRST_PREV) if row is None else (row[0], parse_line(row[1].encode()).hash)
    for entry in entries:
        if entry.seq != seq + 1 or entry.prev != head:
            continue
        connection.execute("INSERT INTO journal VALUES (?, ?)", (entry.seq, entry.line.decode()))
        _apply(connection, entry)
        seq, head = entry.seq, entry.hash
    return seq


def _apply(connection: sqlite3.Connection, entry: Entry) -> None:
    connection.execute("SAVEPOINT entry")
    try:
        _APPLIERS[entry.kind](connection, {**entry.data, "seq": entry.seq}, entry.at_us)
    except (KeyError, ValueError, TypeError, sqlite3.IntegrityError, OverflowError) as error:
        log.warning("journal_entry_without_effect", extra={"seq": entry.seq, "error": repr(error)})
        connection.execute("ROLLBACK TO entry")
    connection.execute("RELEASE entry")


def _only_journal(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    """Keys and heads of audit logs are read from the journal itself."""


def _camera(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    camera, epoch = data["camera"], data.get("epoch", 0)
    at_us += _offset_us(connection, epoch)
    row = connection.execute(
        "SELECT removed_us, removed_epoch FROM camera WHERE id = ?", (camera,)
    ).fetchone()
    if data["event"] == "commissioned" and row is None:
        connection.execute(
            "INSERT INTO camera (id, commissioned_us, commissioned_epoch) VALUES (?, ?, ?)",
            (camera, at_us, epoch),
        )
    elif data["event"] == "commissioned" and row[0] is not None:
        connection.execute("UPDATE camera SET removed_us = NULL WHERE id = ?", (camera,))
        if row[1] != epoch:
            connection.execute(
                "INSERT INTO absence VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (camera, row[0], row[1], at_us, epoch),
            )
        _put_absence(connection, (camera, row[0], row[1], at_us, epoch))
    elif data["event"] == "removed":
        open_gaps = "SELECT start_us FROM gap WHERE camera = ? AND end_us IS NULL"
        for (start_us,) in connection.execute(open_gaps, (camera,)).fetchall():
            _close_gap(connection, camera, start_us, at_us, epoch)
        connection.execute(
            "UPDATE camera SET removed_us = ?, removed_epoch = ? WHERE id = ?",
            (at_us, epoch, camera),
        )


def _put_absence(connection: sqlite3.Connection, absence: tuple[Any, ...]) -> None:
    camera, start_us, start_epoch, end_us, end_epoch = absence
    if end_us - start_us >= GAP_MIN_US:
        row = (camera, start_us, end_us, GapCause.CONFIG, "", start_epoch, end_epoch)
        _put_gap(connection, row)


def _volume(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    connection.execute(
        "INSERT INTO volume VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET path = excluded.path",
        (data["uuid"], data["path"], at_us),
    )


def _run(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    run = run_from_json(data)
    text = json.dumps(format_to_json(run.format), sort_keys=True, separators=(",", ":"))
    offset_us = 0 if run.clock is ClockState.TRUSTED else None
    if run.epoch is not None:
        found = connection.execute("SELECT offset_us FROM epoch WHERE id = ?", (run.epoch,))
        offset_us = (found.fetchone() or (offset_us,))[0]
    added = connection.execute(
        "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (run.run, run.camera, run.start_us, run.clock.value, text, run.epoch, offset_us),
    )
    if added.rowcount and offset_us:
        _shift_segments(connection, run.run, offset_us)


def _gap(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    camera, epoch = data["camera"], data.get("epoch", 0)
    start_epoch = data.get("start_epoch", epoch)
    told_us = data["start_us"]
    start_us = told_us + _offset_us(connection, start_epoch)
    end_us = data.get("end_us")
    if end_us is not None:
        end_us += _offset_us(connection, epoch)
    if data["event"] == "opened":
        cause = GapCause(data["cause"])
        _put_gap(connection, (camera, start_us, None, cause, data["detail"], start_epoch, epoch))
    elif data["event"] == "closed":
        _close_gap(connection, camera, start_us, end_us, epoch)
    elif data["event"] == "gap":
        if end_us - start_us >= GAP_MIN_US:
            cause = GapCause(data["cause"])
            row = (camera, start_us, end_us, cause, data["detail"], start_epoch, epoch)
            _put_gap(connection, row)
    elif data["event"] == "found":
        _cut_gaps(connection, camera, start_us, end_us)


def _offset_us(connection: sqlite3.Connection, epoch: int) -> int:
    """What stored instants of an epoch have more than told ones."""
    row = connection.execute("SELECT offset_us FROM epoch WHERE id = ?", (epoch,)).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _put_gap(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """Of two gaps that begin at once and have one cause the longer one stays."""
    connection.execute(
        "INSERT INTO gap (camera, start_us, end_us, cause, detail, start_epoch, end_epoch)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET end_us = excluded.end_us,"
        " detail = excluded.detail, end_epoch = excluded.end_epoch"
        " WHERE end_us IS NOT NULL AND (excluded.end_us IS NULL OR excluded.end_us > end_us)",
        row,
    )


def _close_gap(
    connection: sqlite3.Connection, camera: str, start_us: int, end_us: int, epoch: int
) -> None:
    """A gap that turns out shorter than a second never was one.

    Where found footage has moved the gap's start (:func:`_cut_gaps`), or re-timing has, the open
    gap there is the one that ends.
    """
    row = connection.execute(
        "SELECT start_us, start_epoch, cause FROM gap WHERE camera = ?1 AND (start_us = ?2 OR"
        " (end_us IS NULL AND (start_us > ?2 OR start_epoch IN"
        " (SELECT id FROM epoch WHERE offset_us <> 0))))"
        " ORDER BY start_us <> ?2, end_us IS NOT NULL, start_us, start_epoch <> ?3 LIMIT 1",
        (camera, start_us, epoch),
    ).fetchone()
    if row is None:
        return
    if end_us - row[0] < GAP_MIN_US:
        connection.execute(f"DELETE FROM gap {_THIS_GAP}", (camera, *row))
    else:
        connection.execute(
            f"UPDATE gap SET end_us = ?, end_epoch = ? {_THIS_GAP}", (end_us, epoch, camera, *row)
        )


def _cut_gaps(connection: sqlite3.Connection, camera: str, start_us: int, end_us: int) -> None:
    """Footage of ``[start_us, end_us)`` was found: no unseen gap lies over it any more."""
    rows = connection.execute(
        "SELECT start_us, end_us, cause, detail, start_epoch, end_epoch FROM gap"
        " WHERE camera = ? AND start_us < ? AND (end_us IS NULL OR end_us > ?) ORDER BY start_us",
        (camera, end_us, start_us),
    ).fetchall()
    for gap_start_us, gap_end_us, cause, detail, start_epoch, end_epoch in rows:
        if cause not in UNSEEN_CAUSES:
            continue
        this = (camera, gap_start_us, start_epoch, cause)
        connection.execute(f"DELETE FROM gap {_THIS_GAP}", this)
        said = (cause, detail, start_epoch, end_epoch)
        if start_us - gap_start_us >= GAP_MIN_US:
            _put_gap(connection, (camera, gap_start_us, start_us, *said))
        if gap_end_us is None or gap_end_us - end_us >= GAP_MIN_US:
            _put_gap(connection, (camera, end_us, gap_end_us, *said))


def _service(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    value = {"event": str(data["event"]), "boot": str(data["boot"]), "at_us": at_us}
    value["epoch"] = int(data.get("epoch", 0))
    connection.execute(
        "INSERT INTO meta VALUES ('service', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (json.dumps(value, sort_keys=True),),
    )


def _hold(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    if data["event"] == "added":
        names = ("id", "camera", "from_us", "to_us", "case", "requester", "unit", "reason")
        connection.execute(
            "INSERT INTO hold VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)"
            " ON CONFLICT DO NOTHING",
            (*(data[name] for name in names), data["expires_us"], at_us, data["by"]),
        )
    elif data["event"] == "release_asked":
        connection.execute(
            "UPDATE hold SET asked_us = ?, asked_by = ? WHERE id = ? AND released_us IS NULL",
            (at_us, data["by"], data["id"]),
        )
    elif data["event"] == "released":
        connection.execute(
            "UPDATE hold SET released_us = ?, released_by = ? WHERE id = ? AND released_us IS NULL",
            (at_us, data["by"], data["id"]),
        )


def _checkpoint(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    ranges = [(int(first), int(last)) for first, last in data["numbers"]]
    connection.execute(
        "INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            data["camera"],
            data["position"],
            data["seq"],
            at_us,
            _compact(ranges),
            max(last for _, last in ranges),
            count_of(ranges),
            bytes.fromhex(data["before"]),
            bytes.fromhex(data["after"]),
        ),
    )


def _deletion(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    """A tombstone: its spans are gaps from now on, over whatever footage is not there."""
    camera, spans = data["camera"], data["spans"]
    cause = GapCause.OVERWRITTEN if data["reason"] == "overwritten" else GapCause.EXPIRED
    connection.execute(
        "INSERT INTO tombstone VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            data["seq"],
            camera,
            at_us,
            data["reason"],
            min(start_us for start_us, _ in spans),
            max(end_us for _, end_us in spans),
            data["segments"],
            data["bytes"],
            _compact(data["pieces"]),
        ),
    )
    # An index of before the deletion (a failed upgrade puts it back) has the rows still, unmarked.
    connection.executemany(
        "INSERT INTO doomed SELECT camera, number FROM segment"
        " WHERE camera = ? AND number BETWEEN ? AND ? ON CONFLICT DO NOTHING",
        [(camera, first, last) for numbers, _, _ in data["pieces"] for first, last in numbers],
    )
    epoch = data.get("epoch", 0)
    by_us = _offset_us(connection, epoch)
    for start_us, end_us in spans:
        _extend_gap(connection, camera, start_us + by_us, end_us + by_us, cause, epoch)
        _drop_markers(connection, camera, start_us + by_us, end_us + by_us, epoch)


def _extend_gap(
    connection: sqlite3.Connection,
    camera: str,
    start_us: int,
    end_us: int,
    cause: GapCause,
    epoch: int,
) -> None:
    """Deletions go forward in time: one row grows rather than one coming about each minute."""
    before = connection.execute(
        "SELECT start_us, end_us FROM gap WHERE camera = ? AND start_us <= ? AND cause = ?"
        " AND start_epoch = ? AND end_epoch = ? ORDER BY start_us DESC LIMIT 1",
        (camera, start_us, cause.value, epoch, epoch),
    ).fetchone()
    if before is not None and before[1] is not None and start_us - before[1] < GAP_MIN_US:
        connection.execute(
            f"UPDATE gap SET end_us = max(end_us, ?) {_THIS_GAP}",
            (end_us, camera, before[0], epoch, cause.value),
        )
    else:
        connection.execute(
            "INSERT INTO gap (camera, start_us, end_us, cause, detail, start_epoch, end_epoch)"
            " VALUES (?, ?, ?, ?, '', ?, ?) ON CONFLICT DO UPDATE SET"
            " end_us = max(end_us, excluded.end_us)",
            (camera, start_us, end_us, cause.value, epoch, epoch),
        )


def _marker(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    """``seen``: events of cameras, ``{camera: [[at_us, kind], …]}``; ``dropped``: those of a camera
    before an instant (of true time), since no footage is left there."""
    if data["event"] == "seen":
        epoch = int(data["epoch"])
        by_us = _offset_us(connection, epoch)
        connection.executemany(
            "INSERT INTO marker VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                (camera, seen_us + by_us, kind, epoch)
                for camera, found in data["markers"].items()
                for seen_us, kind in found
            ],
        )
    elif data["event"] == "dropped":
        _drop_markers(connection, data["camera"], -_FAR_US, int(data["before_us"]), 0)


def _drop_markers(
    connection: sqlite3.Connection, camera: str, start_us: int, end_us: int, epoch: int
) -> None:
    """Those in ``[start_us, end_us)`` of one epoch, or of all times that are known."""
    connection.execute(
        "DELETE FROM marker WHERE camera = ?1 AND at_us >= ?2 AND at_us < ?3 AND (epoch = ?4 OR"
        " NOT EXISTS (SELECT 1 FROM epoch WHERE id IN (marker.epoch, ?4) AND offset_us IS NULL))",
        (camera, start_us, end_us, epoch),
    )


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _time(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    """``trusted`` and ``untrusted`` begin an epoch, or judge the present one anew; ``confirmed``
    only tells who did; ``retimed`` says what the instants of an epoch, or of a run that belongs to
    none, have to be moved by."""
    event = data["event"]
    if event in ("trusted", "untrusted"):
        _judge(connection, data, at_us, is_trusted=event == "trusted")
    elif event == "retimed" and "run" in data:
        run, offset_us = str(data["run"]), int(data["offset_us"])
        connection.execute("UPDATE run SET offset_us = ? WHERE run = ?", (offset_us, run))
        _shift_segments(connection, run, offset_us)
    elif event == "retimed":
        offset_us, is_estimated = int(data["offset_us"]), bool(data["estimated"])
        _retime(connection, int(data["epoch"]), offset_us, is_estimated=is_estimated)


def _judge(connection: sqlite3.Connection, data: Any, at_us: int, *, is_trusted: bool) -> None:
    epoch = int(data["epoch"])
    known = connection.execute("SELECT 1 FROM epoch WHERE id = ?", (epoch,)).fetchone()
    if known is None:
        connection.execute(
            "UPDATE epoch SET end_us = ? WHERE end_us IS NULL", (data["previous_end_us"],)
        )
        offset_us = 0 if is_trusted else None
        cause = GapCause(data["cause"])
        connection.execute(
            "INSERT INTO epoch VALUES (?, ?, ?, ?, ?, NULL, ?, 0)",
            (epoch, str(data["boot"]), int(data["skew_us"]), at_us, cause, offset_us),
        )
    elif is_trusted:
        _retime(connection, epoch, 0, is_estimated=False)


def _retime(
    connection: sqlite3.Connection, epoch: int, offset_us: int, *, is_estimated: bool
) -> None:
    """Everything that was told in an epoch moves to where its clock should have stood."""
    by_us = offset_us - _offset_us(connection, epoch)
    connection.execute(
        "UPDATE epoch SET offset_us = ?, is_estimated = ? WHERE id = ?",
        (offset_us, is_estimated, epoch),
    )
    moved = connection.execute(  # also a run that was moved by itself meanwhile
        "SELECT run FROM run WHERE epoch = ? AND coalesce(offset_us, 0) != ?", (epoch, offset_us)
    ).fetchall()
    connection.execute("UPDATE run SET offset_us = ? WHERE epoch = ?", (offset_us, epoch))
    for (run,) in moved:
        _shift_segments(connection, run, offset_us)
    if not by_us:
        return
    absences = _take_absences(connection, epoch)
    gaps = connection.execute(
        "DELETE FROM gap WHERE start_epoch = ?1 OR end_epoch = ?1 RETURNING camera, start_us,"
        " end_us, cause, detail, start_epoch, end_epoch",
        (epoch,),
    ).fetchall()
    for camera, start_us, end_us, cause, detail, start_epoch, end_epoch in sorted(gaps, key=repr):
        start_us += by_us if start_epoch == epoch else 0
        if end_us is not None:
            end_us += by_us if end_epoch == epoch else 0
            if end_us - start_us < GAP_MIN_US:
                continue
        _put_gap(connection, (camera, start_us, end_us, cause, detail, start_epoch, end_epoch))
    for camera, start_us, start_epoch, end_us, end_epoch in absences:
        start_us += by_us if start_epoch == epoch else 0
        end_us += by_us if end_epoch == epoch else 0
        absence = (camera, start_us, start_epoch, end_us, end_epoch)
        connection.execute("INSERT INTO absence VALUES (?, ?, ?, ?, ?)", absence)
        _put_absence(connection, absence)
    markers = connection.execute(
        "DELETE FROM marker WHERE epoch = ? RETURNING camera, at_us, kind, epoch", (epoch,)
    ).fetchall()
    connection.executemany(
        "INSERT INTO marker VALUES (?1, ?2 + ?5, ?3, ?4)", [(*row, by_us) for row in markers]
    )
    for what in ("commissioned", "removed"):
        connection.execute(
            f"UPDATE camera SET {what}_us = {what}_us + ? WHERE {what}_epoch = ?",
            (by_us, epoch),
        )


def _take_absences(connection: sqlite3.Connection, epoch: int) -> list[tuple[Any, ...]]:
    """Absences that an epoch has a part in, taken out together with their gaps."""
    found = connection.execute(
        "DELETE FROM absence WHERE start_epoch = ?1 OR end_epoch = ?1 RETURNING camera, start_us,"
        " start_epoch, end_us, end_epoch",
        (epoch,),
    ).fetchall()
    for camera, start_us, start_epoch, *_ in found:
        this = (camera, start_us, start_epoch, GapCause.CONFIG)
        connection.execute(f"DELETE FROM gap {_THIS_GAP}", this)
    return sorted(found)


def _shift_segments(connection: sqlite3.Connection, run: str, offset_us: int) -> None:
    """Bring the segments of a run to ``offset_us`` beyond what their files say."""
    camera, start_us, epoch = connection.execute(
        "SELECT camera, start_us, epoch FROM run WHERE run = ?", (run,)
    ).fetchone()
    end = connection.execute("SELECT end_us FROM epoch WHERE id = ?", (epoch,)).fetchone()
    high_us = _FAR_US if end is None or end[0] is None else end[0] + _AROUND_US
    for known_us in _offsets_in(connection, camera, run):
        connection.execute(
            "UPDATE segment SET start_us = start_us + ?1, end_us = end_us + ?1, offset_us = ?2"
            " WHERE camera = ?3 AND start_us BETWEEN ?4 AND ?5 AND run = ?6 AND offset_us = ?7",
            (
                offset_us - known_us,
                offset_us,
                camera,
                start_us - _AROUND_US + known_us,
                high_us + known_us,
                run,
                known_us,
            ),
        )


def _offsets_in(connection: sqlite3.Connection, camera: str, run: str) -> list[int]:
    """Offsets that segments of a camera may stand at, but for those that none of the run does."""
    found = connection.execute(
        "SELECT DISTINCT offset_us FROM segment WHERE camera = ? AND offset_us <> 0 AND run = ?",
        (camera, run),
    )
    return [0, *(row[0] for row in found)]


_APPLIERS: dict[Kind, Callable[[sqlite3.Connection, Any, int], None]] = {
    Kind.KEY: _only_journal,
    Kind.CAMERA: _camera,
    Kind.VOLUME: _volume,
    Kind.RUN: _run,
    Kind.GAP: _gap,
    Kind.SERVICE: _service,
    Kind.HOLD: _hold,
    Kind.CHECKPOINT: _checkpoint,
    Kind.DELETION: _deletion,
    Kind.AUDIT: _only_journal,
    Kind.TIME: _time,
    Kind.MARKER: _marker,
}

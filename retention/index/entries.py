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
from retention.model import GAP_MIN_US, GapCause

log = logging.getLogger(__name__)

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
    camera = data["camera"]
    row = connection.execute("SELECT removed_us FROM camera WHERE id = ?", (camera,)).fetchone()
    if data["event"] == "commissioned" and row is None:
        connection.execute("INSERT INTO camera VALUES (?, ?, NULL)", (camera, at_us))
    elif data["event"] == "commissioned" and row[0] is not None:
        connection.execute("UPDATE camera SET removed_us = NULL WHERE id = ?", (camera,))
        if at_us - row[0] >= GAP_MIN_US:
            _put_gap(connection, (camera, row[0], at_us, GapCause.CONFIG, ""))
    elif data["event"] == "removed":
        open_gaps = "SELECT start_us FROM gap WHERE camera = ? AND end_us IS NULL"
        for (start_us,) in connection.execute(open_gaps, (camera,)).fetchall():
            _close_gap(connection, camera, start_us, at_us)
        connection.execute("UPDATE camera SET removed_us = ? WHERE id = ?", (at_us, camera))


def _volume(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    connection.execute(
        "INSERT INTO volume VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET path = excluded.path",
        (data["uuid"], data["path"], at_us),
    )


def _run(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    run = run_from_json(data)
    text = json.dumps(format_to_json(run.format), sort_keys=True, separators=(",", ":"))
    connection.execute(
        "INSERT INTO run VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (run.run, run.camera, run.start_us, run.clock.value, text),
    )


def _gap(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    camera, start_us = data["camera"], data["start_us"]
    if data["event"] == "opened":
        _put_gap(connection, (camera, start_us, None, GapCause(data["cause"]), data["detail"]))
    elif data["event"] == "closed":
        _close_gap(connection, camera, start_us, data["end_us"])
    elif data["event"] == "gap":
        if data["end_us"] - start_us >= GAP_MIN_US:
            cause = GapCause(data["cause"])
            _put_gap(connection, (camera, start_us, data["end_us"], cause, data["detail"]))
    elif data["event"] == "found":
        _cut_gaps(connection, camera, start_us, data["end_us"])


def _put_gap(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    connection.execute(
        "INSERT INTO gap VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET end_us = excluded.end_us, cause = excluded.cause, detail = excluded.detail",
        row,
    )


def _close_gap(connection: sqlite3.Connection, camera: str, start_us: int, end_us: int) -> None:
    """A gap that turns out shorter than a second never was one.

    Where found footage has moved the gap's start (:func:`_cut_gaps`), the open gap behind it is
    the one that ends.
    """
    row = connection.execute(
        "SELECT start_us FROM gap WHERE camera = ?1 AND"
        " (start_us = ?2 OR (start_us > ?2 AND end_us IS NULL)) ORDER BY start_us LIMIT 1",
        (camera, start_us),
    ).fetchone()
    if row is None:
        return
    if end_us - row[0] < GAP_MIN_US:
        connection.execute("DELETE FROM gap WHERE camera = ? AND start_us = ?", (camera, row[0]))
    else:
        connection.execute(
            "UPDATE gap SET end_us = ? WHERE camera = ? AND start_us = ?", (end_us, camera, row[0])
        )


def _cut_gaps(connection: sqlite3.Connection, camera: str, start_us: int, end_us: int) -> None:
    """Footage of ``[start_us, end_us)`` was found: no unseen gap lies over it any more."""
    rows = connection.execute(
        "SELECT start_us, end_us, cause, detail FROM gap WHERE camera = ? AND start_us < ?"
        " AND (end_us IS NULL OR end_us > ?) ORDER BY start_us",
        (camera, end_us, start_us),
    ).fetchall()
    for gap_start_us, gap_end_us, cause, detail in rows:
        if cause not in UNSEEN_CAUSES:
            continue
        connection.execute(
            "DELETE FROM gap WHERE camera = ? AND start_us = ?", (camera, gap_start_us)
        )
        if start_us - gap_start_us >= GAP_MIN_US:
            _put_gap(connection, (camera, gap_start_us, start_us, cause, detail))
        if gap_end_us is None or gap_end_us - end_us >= GAP_MIN_US:
            _put_gap(connection, (camera, end_us, gap_end_us, cause, detail))


def _service(connection: sqlite3.Connection, data: Any, at_us: int) -> None:
    value = {"event": str(data["event"]), "boot": str(data["boot"]), "at_us": at_us}
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
    for start_us, end_us in spans:
        _extend_gap(connection, camera, start_us, end_us, cause)


def _extend_gap(
    connection: sqlite3.Connection, camera: str, start_us: int, end_us: int, cause: GapCause
) -> None:
    """Deletions go forward in time: one row grows rather than one coming about each minute."""
    before = connection.execute(
        "SELECT start_us, end_us FROM gap WHERE camera = ? AND start_us <= ? AND cause = ?"
        " ORDER BY start_us DESC LIMIT 1",
        (camera, start_us, cause.value),
    ).fetchone()
    if before is not None and before[1] is not None and start_us - before[1] < GAP_MIN_US:
        connection.execute(
            "UPDATE gap SET end_us = max(end_us, ?) WHERE camera = ? AND start_us = ?",
            (end_us, camera, before[0]),
        )
    else:
        connection.execute(
            "INSERT INTO gap VALUES (?, ?, ?, ?, '') ON CONFLICT DO UPDATE SET"
            " end_us = max(end_us, excluded.end_us), cause = excluded.cause",
            (camera, start_us, end_us, cause.value),
        )


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


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
}

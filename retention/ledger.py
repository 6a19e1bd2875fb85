"""The ledger: runs, gaps and service marks, each told to journal and index. Shell.

Used from the event loop of ``edge``, and from the thread that recovers; never waits. An entry is
signed, queued for the index, and handed to the volumes (the sinks) once the index has it: so a
volume that was away is never ahead of the index. An index that fails or hangs does not hold the
volumes back: then they get the entry at the second :meth:`Ledger.alive` after it at the latest, and
the index takes it from here when it answers again, or from a volume at the next start.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from retention.audit_chain import Head
from retention.chain import NumberRange
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.formats import run_to_json
from retention.index.write import IndexWriter, put_alive
from retention.journal import Entry, Journal, Kind, parse_line
from retention.model import GAP_MIN_US, US_PER_S, Gap, GapCause, Run
from retention.timeline import timeline

log = logging.getLogger(__name__)

#: Where an entry's line goes (with its line feed); must not block.
Sink = Callable[[bytes], None]
T = TypeVar("T")
#: From the index to an answer, and what is to be told of it.
Decision = Callable[[sqlite3.Connection], tuple[T, Iterable[tuple[Kind, Mapping[str, Any]]]]]

#: Entries that an index which does not answer may owe; older ones are on the volumes.
PENDING_ENTRIES_MAX = 50_000
DETAIL_CHARACTERS_MAX = 300
#: Footage that was in RAM when the last life ended began at most so long before its end.
LOOK_BACK_US = 3600 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How a camera stands at start: what is accounted for, and the gap open from there."""

    covered_until_us: int
    open_gap: Gap | None
    #: Why nothing is recorded yet, where no gap is open.
    cause: GapCause = GapCause.CONFIG


class Ledger:
    """Facade of journal and index for who records.

    Args:
        journal: continued from the newest entry (see :func:`retention.startup.open_index`).
    """

    def __init__(self, index: IndexWriter, journal: Journal) -> None:
        self._index = index
        self._journal = journal
        self._sinks: list[Sink] = []
        self._lock = threading.Lock()  # the index thread hands on, too
        self._uncommitted: deque[Entry] = deque()
        self._unsent: deque[Entry] = deque()
        self._first_seq = self._sent_seq = self._seq_at_alive = journal.head.seq

    def add_sink(self, sink: Sink, after_seq: int | None = None) -> None:
        """From now on every entry goes there, too.

        Args:
            after_seq: the newest entry that the replica behind it is known to hold: what was told
                since then is handed in, a little later. Without it the newest entry that there was
                when this ledger was made: replicas are levelled at start (retention.replica).
        """
        first = self._first_seq if after_seq is None else after_seq
        with self._lock:
            self._sinks.append(sink)
            sent = self._sent_seq

        def catch_up(done: Future[list[Entry]]) -> None:
            if done.exception() is not None:
                log.error("replica_behind", extra={"error": str(done.exception())})
                return
            for entry in done.result():
                if entry.seq <= sent:
                    sink(entry.line + b"\n")

        if sent > first:
            self._index.submit(
                lambda connection: [
                    parse_line(line) for line in rows.journal_lines(connection, first)
                ]
            ).add_done_callback(catch_up)

    def remove_sink(self, sink: Sink) -> None:
        with self._lock:
            if sink in self._sinks:
                self._sinks.remove(sink)

    # What is told --------------------------------------------------------------------------

    def key_used(self, at_us: int) -> Future[int]:
        """The journal's key comes into use; the first entry that it signs."""
        return self._record(Kind.KEY, self._journal.key_data(), at_us)

    def camera_commissioned(self, camera: str, at_us: int) -> Future[int]:
        """Footage of ``camera`` is due from now on. The absence of one that comes back is a gap
        with cause ``config``; no effect on one that is in service."""
        return self._record(Kind.CAMERA, {"event": "commissioned", "camera": camera}, at_us)

    def camera_removed(self, camera: str, at_us: int) -> Future[int]:
        """No footage of ``camera`` is due any more."""
        return self._record(Kind.CAMERA, {"event": "removed", "camera": camera}, at_us)

    def volume_attached(self, uuid: str, path: str, at_us: int) -> Future[int]:
        return self._record(Kind.VOLUME, {"uuid": uuid, "path": path}, at_us)

    def run_started(self, run: Run) -> Future[int]:
        return self._record(Kind.RUN, run_to_json(run), run.start_us)

    def gap_opened(
        self, camera: str, start_us: int, cause: GapCause, detail: str = ""
    ) -> Future[int]:
        data = {"event": "opened", "camera": camera, "start_us": start_us}
        return self._record(
            Kind.GAP, {**data, "cause": cause.value, "detail": _plain(detail)}, start_us
        )

    def gap_closed(self, camera: str, start_us: int, end_us: int) -> Future[int]:
        """The gap that began at ``start_us`` ends; one shorter than a second is forgotten."""
        data = {"event": "closed", "camera": camera, "start_us": start_us, "end_us": end_us}
        return self._record(Kind.GAP, data, end_us)

    def gap(
        self, camera: str, start_us: int, end_us: int, cause: GapCause, detail: str = ""
    ) -> Future[int]:
        """A gap that is over already."""
        data = {"event": "gap", "camera": camera, "start_us": start_us, "end_us": end_us}
        return self._record(
            Kind.GAP, {**data, "cause": cause.value, "detail": _plain(detail)}, end_us
        )

    def footage_found(self, camera: str, start_us: int, end_us: int, at_us: int) -> Future[int]:
        """Footage turned up where a gap stood that nobody saw: the gap is cut there."""
        data = {"event": "found", "camera": camera, "start_us": start_us, "end_us": end_us}
        return self._record(Kind.GAP, data, at_us)

    def segments_chained(
        self,
        camera: str,
        *,
        position: int,
        numbers: Sequence[NumberRange],
        before: bytes,
        after: bytes,
        at_us: int,
    ) -> Future[int]:
        """A checkpoint: these segments are chained from ``position`` on (retention.chain). Only
        for who sees to it that no two are made at one position (retention.checkpoints)."""
        data = {
            "camera": camera,
            "position": position,
            "numbers": [list(one) for one in numbers],
            "before": before.hex(),
            "after": after.hex(),
        }
        return self._record(Kind.CHECKPOINT, data, at_us)

    def audit_heads(self, heads: Mapping[str, Head], at_us: int) -> Future[int]:
        """Anchor the audit logs: their newest records, by service. A log whose end is cut off, or
        whose past is written anew, does not agree with it any more."""
        told = {name: {"seq": head.seq, "hash": head.hash} for name, head in heads.items()}
        return self._record(Kind.AUDIT, {"heads": told}, at_us)

    def decide(self, decision: Decision[T], at_us: int) -> Future[T]:
        """Tell what a function makes of the index, with all in it that was told so far.

        The function runs in the index thread, alone: what it looked at is still so when its
        entries are in the index. Answers what it returns beside them, once they are there.
        """
        seq = 0

        def carry_out(connection: sqlite3.Connection) -> T:
            nonlocal seq
            self._commit(connection)
            result, told = decision(connection)
            with self._lock:
                for kind, data in told:
                    entry = self._journal.entry(kind, data, at_us)
                    self._uncommitted.append(entry)
                    self._unsent.append(entry)
            seq = self._commit(connection)
            return result

        future = self._index.submit(carry_out)
        future.add_done_callback(lambda done: self._settled(done.exception(), seq, seq))
        return future

    def service_stopped(self, boot_id: str, at_us: int) -> Future[int]:
        """A clean end; the last thing told, when everything is durable."""
        return self._record(Kind.SERVICE, {"event": "stopped", "boot": boot_id}, at_us)

    def alive(self, now_us: int) -> None:
        """``edge`` lives; to be said every few seconds. Also pushes what is held up."""
        self._index.submit(lambda connection: put_alive(connection, now_us))
        with self._lock:
            self._send(self._seq_at_alive)
            self._seq_at_alive = self._journal.head.seq
            owes = bool(self._uncommitted)
        if owes:
            self._push()

    def flushed(self) -> Future[int]:
        """Answers once everything told so far is in the index."""
        return self._push()

    # Start ---------------------------------------------------------------------------------

    def begin_service(
        self, cameras: Iterable[str], boot_id: str, now_us: int
    ) -> dict[str, Account]:
        """Mark the start, and open a gap from where each camera's account ends. Waits for the
        index; to be called once, after recovery, before anything is recorded.

        Cameras that are new or came back are commissioned, those that are not listed any more are
        marked removed.

        Raises:
            IndexUnavailable: the index does not answer.
        """
        wanted = list(cameras)
        self.flushed().result()
        mark, alive_us, known = self._index.submit(
            lambda connection: (
                rows.service_mark(connection),
                rows.alive_us(connection),
                {row.id: row for row in rows.cameras(connection)},
            )
        ).result()
        cause = cause_of_absence(mark, boot_id)
        if mark is not None:
            alive_us = max(alive_us or 0, mark.at_us)
        alive_us = None if alive_us is None else min(alive_us, now_us)
        accounts = {}
        for camera in wanted:
            row = known.get(camera)
            if row is None or row.removed_us is not None:
                accounts[camera] = self._enter(camera, now_us)
            else:
                accounts[camera] = self._go_on(row, cause, alive_us, now_us)
        for row in known.values():
            if row.id not in accounts and row.removed_us is None:
                self._leave(row, cause, alive_us, now_us)
        self._record(Kind.SERVICE, {"event": "started", "boot": boot_id}, now_us).result()
        return accounts

    def _enter(self, camera: str, now_us: int) -> Account:
        self.camera_commissioned(camera, now_us)
        return Account(covered_until_us=now_us, open_gap=None)

    def _go_on(
        self, row: rows.CameraRow, cause: GapCause, alive_us: int | None, now_us: int
    ) -> Account:
        covered_us = self._settle(row, cause, alive_us, now_us)
        if now_us - covered_us < GAP_MIN_US:
            return Account(covered_until_us=covered_us, open_gap=None, cause=cause)
        self.gap_opened(row.id, covered_us, cause)
        gap = Gap(camera=row.id, start_us=covered_us, end_us=None, cause=cause)
        return Account(covered_until_us=covered_us, open_gap=gap)

    def _leave(
        self, row: rows.CameraRow, cause: GapCause, alive_us: int | None, now_us: int
    ) -> None:
        """A camera that the settings do not name any more: due until the service last ran."""
        covered_us = self._settle(row, cause, alive_us, now_us)
        self.camera_removed(row.id, covered_us)

    def _settle(
        self, row: rows.CameraRow, cause: GapCause, alive_us: int | None, now_us: int
    ) -> int:
        """Close what the last life left open, and account for footage that died in its RAM while
        later gaps were told already; until when the camera is accounted for."""
        standing = self._index.submit(lambda connection: _standing(connection, row.id)).result()
        covered_us = max(row.commissioned_us, standing.newest_us or 0, standing.gap_end_us or 0)
        for start_us, footage_us in standing.open_gaps:
            # It ended where footage begins behind it, else it lasted as long as anybody saw.
            end_us = footage_us if footage_us is not None else max(alive_us or 0, start_us)
            end_us = min(end_us, max(now_us, start_us))
            self.gap_closed(row.id, start_us, end_us)
            covered_us = max(covered_us, end_us if end_us - start_us >= GAP_MIN_US else 0)
        for hole in self._unexplained(row, covered_us):
            assert hole.end_us is not None
            self.gap(row.id, hole.start_us, hole.end_us, cause)
        return covered_us

    def _unexplained(self, row: rows.CameraRow, until_us: int) -> list[Gap]:
        from_us = max(row.commissioned_us, until_us - LOOK_BACK_US)

        def query(connection: sqlite3.Connection) -> list[Gap]:
            line = timeline(
                row.id,
                rows.spans(connection, row.id, from_us, until_us),
                rows.gaps(connection, row.id, from_us, until_us),
                from_us,
                until_us,
            )
            return [gap for gap in line.gaps if gap.cause is GapCause.UNKNOWN]

        return self._index.submit(query).result()

    # Inside --------------------------------------------------------------------------------

    def _record(self, kind: Kind, data: Mapping[str, Any], at_us: int) -> Future[int]:
        with self._lock:
            entry = self._journal.entry(kind, data, at_us)
            self._uncommitted.append(entry)
            self._unsent.append(entry)
            if len(self._uncommitted) > PENDING_ENTRIES_MAX:
                self._uncommitted.popleft()  # the rest waits for the next start, too
                self._send(entry.seq)
        return self._push()

    def _push(self) -> Future[int]:
        """Offer the index what it is owed; when it has answered, the volumes get it."""
        seq = self._journal.head.seq  # or a later one: what is sent is in order all the same
        future = self._index.submit(self._commit)
        future.add_done_callback(lambda done: self._committed(done, seq))
        return future

    def _commit(self, connection: sqlite3.Connection) -> int:
        """In the index thread: add what is owed; the newest entry in the index afterwards."""
        with self._lock:
            owed = list(self._uncommitted)
        return add_entries(connection, owed)

    def _committed(self, future: Future[int], seq: int) -> None:
        error = future.exception()
        self._settled(error, seq, 0 if error else future.result())

    def _settled(self, error: BaseException | None, seq: int, committed: int) -> None:
        with self._lock:
            if error is None:
                while self._uncommitted and self._uncommitted[0].seq <= committed:
                    self._uncommitted.popleft()
                self._send(committed)
            else:
                self._send(seq)
        if error is not None:
            log.error("ledger_not_in_index", extra={"seq": seq, "error": str(error)})

    def _send(self, until_seq: int) -> None:
        """Hand the volumes what they have not got up to ``until_seq``; the lock is held."""
        while self._unsent and self._unsent[0].seq <= until_seq:
            entry = self._unsent.popleft()
            self._sent_seq = entry.seq
            for sink in self._sinks:
                sink(entry.line + b"\n")


def cause_of_absence(mark: rows.ServiceMark | None, boot_id: str) -> GapCause:
    """Why nothing was recorded since the last service mark."""
    if mark is not None and mark.event == "stopped":
        return GapCause.SERVICE_STOPPED
    if mark is not None and mark.boot_id != boot_id:
        return GapCause.POWER_LOST
    return GapCause.SERVICE_CRASHED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    newest_us: int | None
    gap_end_us: int | None
    open_gaps: tuple[tuple[int, int | None], ...]  # start, and where footage begins behind it


def _standing(connection: sqlite3.Connection, camera: str) -> _Standing:
    ends = "SELECT max(end_us) FROM gap WHERE camera = ?"
    return _Standing(
        newest_us=rows.newest_us(connection, camera),
        gap_end_us=connection.execute(ends, (camera,)).fetchone()[0],
        open_gaps=tuple(
            (gap.start_us, _footage_after(connection, camera, gap.start_us))
            for gap in rows.open_gaps(connection, camera)
        ),
    )


def _footage_after(connection: sqlite3.Connection, camera: str, at_us: int) -> int | None:
    """Where footage begins again behind an instant at which there was none."""
    segment = rows.segment_at(connection, camera, at_us)
    if segment is None or segment.start_us >= at_us:
        return None if segment is None else segment.start_us
    starts = [entry.start_us for entry in segment.fragments if entry.end_us > at_us]
    return max(at_us, starts[0]) if starts else segment.end_us


def _plain(text: str) -> str:
    """Whatever a peer said, as text that every encoder takes, cut short."""
    return text.encode("utf-8", "replace").decode()[:DETAIL_CHARACTERS_MAX]

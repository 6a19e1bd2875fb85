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
from typing import Any, Generic, TypeVar

from retention.audit_chain import Head
from retention.chain import NumberRange
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.formats import run_to_json
from retention.index.write import IndexWriter, put_alive
from retention.journal import Entry, Journal, Kind, parse_line
from retention.model import GAP_MIN_US, US_PER_S, Epoch, Gap, GapCause, Marker, Run
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
#: An index that answers none of so many :meth:`Ledger.alive` in a row hangs.
UNANSWERED_MAX = 5
#: Footage that was in RAM when the last life ended began at most so long before its end.
LOOK_BACK_US = 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Decided(Generic[T]):
    """What a decision answered, and the entries that it made."""

    result: T
    entries: tuple[Entry, ...]


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
        self._unanswered = 0  # marks that the index has not answered
        self._trouble = ""
        #: The stretch of host time that instants are told in, unless said otherwise.
        self.epoch = 0

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
        data = {"event": "commissioned", "camera": camera, "epoch": self.epoch}
        return self._record(Kind.CAMERA, data, at_us)

    def camera_removed(self, camera: str, at_us: int, epoch: int | None = None) -> Future[int]:
        """No footage of ``camera`` is due any more."""
        data = {"event": "removed", "camera": camera, "epoch": self._told_in(epoch)}
        return self._record(Kind.CAMERA, data, at_us)

    def volume_attached(self, uuid: str, path: str, at_us: int) -> Future[int]:
        return self._record(Kind.VOLUME, {"uuid": uuid, "path": path}, at_us)

    def run_started(self, run: Run) -> Future[int]:
        return self._record(Kind.RUN, run_to_json(run), run.start_us)

    def gap_opened(
        self,
        camera: str,
        start_us: int,
        cause: GapCause,
        detail: str = "",
        *,
        epoch: int | None = None,
    ) -> Future[int]:
        """``epoch``: what ``start_us`` is of, if not of the present one."""
        data = {"event": "opened", "camera": camera, "start_us": start_us, "epoch": self.epoch}
        data |= {"start_epoch": self._told_in(epoch)}
        return self._record(
            Kind.GAP, {**data, "cause": cause.value, "detail": _plain(detail)}, start_us
        )

    def gap_closed(
        self, camera: str, start_us: int, end_us: int, *, epoch: int | None = None
    ) -> Future[int]:
        """The gap that began at ``start_us`` ends; one shorter than a second is forgotten."""
        data = {"event": "closed", "camera": camera, "start_us": start_us, "end_us": end_us}
        return self._record(Kind.GAP, data | {"epoch": self._told_in(epoch)}, end_us)

    def gap(
        self,
        camera: str,
        start_us: int,
        end_us: int,
        cause: GapCause,
        detail: str = "",
        *,
        epoch: int | None = None,
    ) -> Future[int]:
        """A gap that is over already."""
        data = {"event": "gap", "camera": camera, "start_us": start_us, "end_us": end_us}
        data |= {"epoch": self._told_in(epoch)}
        return self._record(
            Kind.GAP, {**data, "cause": cause.value, "detail": _plain(detail)}, end_us
        )

    def footage_found(
        self, camera: str, start_us: int, end_us: int, at_us: int, *, epoch: int | None = None
    ) -> Future[int]:
        """Footage turned up where a gap stood that nobody saw: the gap is cut there."""
        data = {"event": "found", "camera": camera, "start_us": start_us, "end_us": end_us}
        return self._record(Kind.GAP, data | {"epoch": self._told_in(epoch)}, at_us)

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

    def markers_seen(
        self, markers: Iterable[Marker], at_us: int, *, epoch: int | None = None
    ) -> Future[int]:
        """Cameras told these events; their instants are of ``epoch``, else of the present one."""
        told: dict[str, list[list[Any]]] = {}
        for marker in sorted(markers):
            told.setdefault(marker.camera, []).append([marker.at_us, marker.kind.value])
        data = {"event": "seen", "epoch": self._told_in(epoch), "markers": told}
        return self._record(Kind.MARKER, data, at_us)

    def drop_markers(self, at_us: int) -> Future[Decided[int]]:
        """Let go of markers older than all footage of their camera; how many cameras had some.

        Those within deleted footage went with its tombstone; these are of gaps between.
        """

        def decision(
            connection: sqlite3.Connection,
        ) -> tuple[int, list[tuple[Kind, dict[str, Any]]]]:
            told: list[tuple[Kind, dict[str, Any]]] = []
            for camera in rows.cameras_ever(connection):
                oldest_us = rows.oldest_us(connection, camera)
                if oldest_us is None:
                    continue
                if rows.has_markers_before(connection, camera, oldest_us):
                    data = {"event": "dropped", "camera": camera, "before_us": oldest_us}
                    told.append((Kind.MARKER, data))
            return len(told), told

        return self.decide(decision, at_us)

    def decide(self, decision: Decision[T], at_us: int) -> Future[Decided[T]]:
        """Tell what a function makes of the index, with all in it that was told so far.

        The function runs in the index thread, alone: what it looked at is still so when its
        entries are in the index. Answers once they are there and handed to the volumes.
        """
        answer: Future[Decided[T]] = Future()
        entries: list[Entry] = []

        def carry_out(connection: sqlite3.Connection) -> T:
            self._commit(connection)
            result, told = decision(connection)
            with self._lock:
                entries.extend(self._journal.entry(kind, data, at_us) for kind, data in told)
                self._uncommitted += entries
                self._unsent += entries
            self._commit(connection)
            return result

        def settle(done: Future[T]) -> None:
            error = done.exception()
            if entries:
                self._settled(error, entries[-1].seq, entries[-1].seq)
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(Decided(done.result(), tuple(entries)))

        self._index.submit(carry_out).add_done_callback(settle)
        return answer

    def service_stopped(self, boot_id: str, at_us: int) -> Future[int]:
        """A clean end; the last thing told, when everything is durable."""
        data = {"event": "stopped", "boot": boot_id, "epoch": self.epoch}
        return self._record(Kind.SERVICE, data, at_us)

    def time_judged(
        self,
        epoch: Epoch,
        code: str,
        at_us: int,
        *,
        is_trusted: bool,
        previous_end_us: int | None = None,
    ) -> Future[int]:
        """A stretch of host time begins, or is judged anew; instants are told in it from now on.

        Args:
            code: why (``retention.trusted_time.Code``).
            at_us: now; of a new stretch its start.
            previous_end_us: where the stretch before it ended, on its own clock.
        """
        self.epoch = epoch.id
        data = {
            "event": "trusted" if is_trusted else "untrusted",
            "epoch": epoch.id,
            "boot": epoch.boot_id,
            "skew_us": epoch.skew_us,
            "cause": epoch.cause.value,
            "code": code,
            "previous_end_us": previous_end_us,
        }
        return self._record(Kind.TIME, data, at_us)

    def time_confirmed(self, who: str, at_us: int) -> Future[int]:
        """An administrator says that the host's clock is right."""
        data = {"event": "confirmed", "epoch": self.epoch, "who": _plain(who)}
        return self._record(Kind.TIME, data, at_us)

    def epoch_retimed(
        self, epoch: int, offset_us: int, at_us: int, *, is_estimated: bool
    ) -> Future[int]:
        """All that was told in an epoch was ``offset_us`` later in truth."""
        data = {"event": "retimed", "epoch": epoch, "offset_us": offset_us}
        return self._record(Kind.TIME, data | {"estimated": is_estimated}, at_us)

    def run_retimed(self, run: str, offset_us: int, at_us: int) -> Future[int]:
        """The same of one run, where no epoch is known; always an estimate."""
        data = {"event": "retimed", "run": run, "offset_us": offset_us, "estimated": True}
        return self._record(Kind.TIME, data, at_us)

    def alive(self, now_us: int, trust: str | None = None) -> None:
        """``edge`` lives; to be said every few seconds. Also pushes what is held up.

        Args:
            trust: what has to survive a restart of ``retention.trusted_time``.
        """
        alive = rows.Alive(at_us=now_us, epoch=self.epoch)
        self._unanswered += 1
        marked = self._index.submit(lambda connection: put_alive(connection, alive, trust))
        marked.add_done_callback(self._marked)
        with self._lock:
            self._send(self._seq_at_alive)
            self._seq_at_alive = self._journal.head.seq
            owes = bool(self._uncommitted)
        if owes:
            self._push()

    def _marked(self, done: Future[None]) -> None:
        error = done.exception()
        self._unanswered = 0
        self._trouble = "" if error is None else str(error)

    @property
    def index_trouble(self) -> str:
        """Why the index takes no rows at present; empty while it does."""
        if self._unanswered > UNANSWERED_MAX:
            return "the index does not answer"
        return self._trouble

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
        mark, alive, known, epochs = self._index.submit(
            lambda connection: (
                rows.service_mark(connection),
                rows.last_alive(connection),
                {row.id: row for row in rows.cameras(connection)},
                rows.epochs(connection),
            )
        ).result()
        before = _LastLife(
            cause=cause_of_absence(mark, boot_id),
            alive=alive,
            epochs={one.id: one for one in epochs},
            now_us=now_us,
        )
        accounts = {}
        for camera in wanted:
            row = known.get(camera)
            if row is None or row.removed_us is not None:
                accounts[camera] = self._enter(camera, now_us)
            else:
                accounts[camera] = self._go_on(row, before)
        for row in known.values():
            if row.id not in accounts and row.removed_us is None:
                self._leave(row, before)
        data = {"event": "started", "boot": boot_id, "epoch": self.epoch}
        self._record(Kind.SERVICE, data, now_us).result()
        return accounts

    def _enter(self, camera: str, now_us: int) -> Account:
        self.camera_commissioned(camera, now_us)
        return Account(covered_until_us=now_us, open_gap=None)

    def _go_on(self, row: rows.CameraRow, before: _LastLife) -> Account:
        covered_us, epoch = self._settle(row, before)
        now_us, cause = before.now_us, before.cause
        if not covered_us:  # all that was told of it is of a time that is not known yet
            return Account(covered_until_us=now_us, open_gap=None, cause=cause)
        if covered_us > now_us + GAP_MIN_US and not before.is_timed(self.epoch):
            # The clock is behind what is stored, and its time not believed: an account of its own,
            # until it is re-timed. What lies between is presumed (rows.presumed_gaps).
            return Account(covered_until_us=now_us, open_gap=None, cause=cause)
        if now_us - covered_us < GAP_MIN_US:
            return Account(covered_until_us=covered_us, open_gap=None, cause=cause)
        self.gap_opened(row.id, covered_us, cause, epoch=epoch)
        gap = Gap(camera=row.id, start_us=covered_us, end_us=None, cause=cause)
        return Account(covered_until_us=covered_us, open_gap=gap)

    def _leave(self, row: rows.CameraRow, before: _LastLife) -> None:
        """A camera that the settings do not name any more: due until the service last ran."""
        covered_us, epoch = self._settle(row, before)
        self.camera_removed(row.id, covered_us or before.now_us, epoch)

    def _settle(self, row: rows.CameraRow, before: _LastLife) -> tuple[int, int]:
        """Close what the last life left open, and account for footage that died in its RAM while
        later gaps were told already; until when the camera is accounted for, and in which epoch
        that is: the present one if it goes on, else true time."""
        epoch = self.epoch if before.goes_on(self.epoch) else 0
        standing = self._index.submit(
            lambda connection: _standing(connection, row.id, epoch, before.now_us)
        ).result()
        covered_us = standing.covered_us or (before.epochs[epoch].start_us if epoch else 0)
        for gap in standing.open_gaps:
            start_us = gap.start_us
            end_us, told_in = before.end_of(gap)
            if told_in == 0 and before.is_timed(self.epoch):
                end_us = min(end_us, max(before.now_us, start_us))
            self.gap_closed(row.id, start_us, end_us, epoch=told_in)
            if told_in == epoch:
                covered_us = max(covered_us, end_us if end_us - start_us >= GAP_MIN_US else 0)
        for hole in self._unexplained(row, covered_us):
            assert hole.end_us is not None
            self.gap(row.id, hole.start_us, hole.end_us, before.cause, epoch=epoch)
        return covered_us, epoch

    def _unexplained(self, row: rows.CameraRow, until_us: int) -> list[Gap]:
        from_us = max(row.commissioned_us, until_us - LOOK_BACK_US)

        def query(connection: sqlite3.Connection) -> list[Gap]:
            line = timeline(
                row.id,
                rows.spans(connection, row.id, from_us, until_us),
                rows.gaps(connection, row.id, from_us, until_us),
                from_us,
                until_us,
                rows.presumed_gaps(connection, row.id, from_us, until_us),
            )
            return [gap for gap in line.gaps if gap.cause is GapCause.UNKNOWN]

        return self._index.submit(query).result()

    # Inside --------------------------------------------------------------------------------

    def _told_in(self, epoch: int | None) -> int:
        return self.epoch if epoch is None else epoch

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
class _LastLife:
    """How the service ended, in terms of the stretches of host time."""

    cause: GapCause
    alive: rows.Alive | None
    epochs: Mapping[int, Epoch]
    now_us: int

    def is_timed(self, epoch: int) -> bool:
        """Whether instants of an epoch are, or can be told as, true time."""
        known = self.epochs.get(epoch)
        return known is None or known.offset_us is not None

    def goes_on(self, epoch: int) -> bool:
        """Whether the present stretch of untrusted time is the one that the last life ended in."""
        last = None if self.alive is None else self.alive.epoch
        return not self.is_timed(epoch) and last == epoch

    def end_of(self, gap: _OpenGap) -> tuple[int, int]:
        """Where a gap ended that was left open, and the epoch of that instant: where footage begins
        behind it, else when its clock was stepped, else when the service was last seen alive."""
        own = self._stored_in(gap.epoch)
        if gap.footage_us is not None:
            return gap.footage_us, own
        known, alive = self.epochs.get(gap.epoch), self.alive
        was_before = alive is None or alive.epoch != gap.epoch
        if known is not None and known.end_us is not None and was_before:
            return max(known.end_us + (known.offset_us or 0), gap.start_us), own
        if alive is None:
            return gap.start_us, own
        lived_in = self.epochs.get(alive.epoch)
        at_us = alive.at_us + (0 if lived_in is None else lived_in.offset_us or 0)
        seen_in = self._stored_in(alive.epoch)
        return (max(at_us, gap.start_us) if seen_in == own else at_us), seen_in

    def _stored_in(self, epoch: int) -> int:
        return 0 if self.is_timed(epoch) else epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenGap:
    start_us: int
    epoch: int
    footage_us: int | None  # where footage begins behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    covered_us: int
    open_gaps: tuple[_OpenGap, ...]


# ruff: noqa: S608 - statements are put together from constants of this module only


def _comparable(column: str) -> str:
    return (
        f"({column} = ?2 OR (?2 = 0 AND NOT EXISTS"
        f" (SELECT 1 FROM epoch WHERE epoch.id = {column} AND epoch.offset_us IS NULL)))"
    )


#: Until when a camera is accounted for in one epoch, or (0) in true time: by its beginning, by what
#: is there, and by what is told to be missing.
_COVERED = (
    f"SELECT commissioned_us FROM camera WHERE id = ?1 AND {_comparable('commissioned_epoch')}",
    f"SELECT max(end_us) FROM gap WHERE camera = ?1 AND {_comparable('end_epoch')}",
    f"SELECT max(end_us) FROM absence WHERE camera = ?1 AND {_comparable('end_epoch')}",
)
_COVERED_BY_FOOTAGE = (
    "SELECT max(end_us) FROM (SELECT segment.end_us AS end_us FROM segment LEFT JOIN run"
    " USING (run) WHERE segment.camera = ? AND (run.run IS NULL OR run.offset_us IS NOT NULL)"
    " ORDER BY segment.start_us DESC LIMIT 4)"
)
#: The clock of an epoch may be anywhere: only what it can have dated is looked at.
_COVERED_BY_ITS_FOOTAGE = (
    "SELECT max(end_us) FROM segment WHERE camera = ?1 AND start_us BETWEEN"
    " (SELECT min(start_us) FROM run WHERE camera = ?1 AND epoch = ?2) AND ?3"
    " AND run IN (SELECT run FROM run WHERE camera = ?1 AND epoch = ?2)"
)
_OPEN_GAPS = (
    "SELECT start_us, start_epoch FROM gap INDEXED BY gap_open"
    " WHERE camera = ? AND end_us IS NULL ORDER BY start_us"
)


def _standing(connection: sqlite3.Connection, camera: str, epoch: int, now_us: int) -> _Standing:
    ends = [connection.execute(query, (camera, epoch)).fetchone() for query in _COVERED]
    if epoch:
        place = (camera, epoch, now_us)
        ends.append(connection.execute(_COVERED_BY_ITS_FOOTAGE, place).fetchone())
    else:
        ends.append(connection.execute(_COVERED_BY_FOOTAGE, (camera,)).fetchone())
    found = connection.execute(_OPEN_GAPS, (camera,)).fetchall()
    return _Standing(
        covered_us=max((end[0] for end in ends if end and end[0]), default=0),
        open_gaps=tuple(
            _OpenGap(
                start_us=start_us,
                epoch=gap_epoch,
                footage_us=_footage_after(connection, camera, start_us, gap_epoch),
            )
            for start_us, gap_epoch in found
        ),
    )


def _footage_after(
    connection: sqlite3.Connection, camera: str, at_us: int, epoch: int
) -> int | None:
    """Where footage begins again behind an instant at which there was none."""
    segment = rows.segment_at(connection, camera, at_us)
    if segment is None or not _is_on_clock_of(connection, segment.run, epoch):
        return None
    if segment.start_us >= at_us:
        return segment.start_us
    starts = [entry.start_us for entry in segment.fragments if entry.end_us > at_us]
    return max(at_us, starts[0]) if starts else segment.end_us


def _is_on_clock_of(connection: sqlite3.Connection, run: str, epoch: int) -> bool:
    """Whether instants of a run and of an epoch can be compared."""
    own = rows.untimed_epoch(connection, run)
    if own is not None:
        return own == epoch
    row = connection.execute("SELECT offset_us FROM epoch WHERE id = ?", (epoch,)).fetchone()
    return row is None or row[0] is not None


def _plain(text: str) -> str:
    """Whatever a peer said, as text that every encoder takes, cut short."""
    return text.encode("utf-8", "replace").decode()[:DETAIL_CHARACTERS_MAX]

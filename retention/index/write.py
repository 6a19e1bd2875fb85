"""The one write thread of the index. Shell.

Functions that take the connection are queued and get a future; the thread runs whatever has
gathered in one transaction (each function in a savepoint of its own) and answers the futures once
it is committed, which with ``synchronous=FULL`` means that it is on the disk. Nobody waits: a full
queue is answered at once with :class:`IndexUnavailable`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from config.errors import Retry
from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.index.migrations import migrate
from retention.index.rows import Alive, run_offset_us, segment_row
from retention.model import Segment
from retention.ownership import hand_over

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]

#: Waiting operations; some two minutes of 64 cameras on a disk that hangs.
QUEUE_OPERATIONS_MAX = 10_000
#: Sealed rows that an index which does not answer may owe: half a day of 16 cameras.
OWED_ROWS_MAX = 10_000
#: Operations of one transaction.
BATCH_OPERATIONS_MAX = 256
BUSY_TIMEOUT_S = 5.0
INDEX_MODE = 0o640

# A sealed row stays as it is, and an open one never loses what is durable: rows may come late and
# out of order when the index was stuck for a while. A segment given up by a failing disk may be
# finished later (retention.recover), and is then sealed a second time.
_PUT_SEGMENT = """
INSERT INTO segment (camera, number, run, volume, start_us, end_us, state, size_bytes, end_reason,
  digest, fragments, offset_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (camera, number) DO UPDATE SET
  end_us = excluded.end_us, state = excluded.state, size_bytes = excluded.size_bytes,
  end_reason = excluded.end_reason, digest = excluded.digest, fragments = excluded.fragments
WHERE segment.volume = excluded.volume AND segment.start_us = excluded.start_us
  AND (excluded.state = 'sealed' OR
       (segment.state = 'open' AND excluded.size_bytes >= segment.size_bytes))
"""


_FIRST_SEGMENT = (
    "SELECT start_us FROM segment INDEXED BY segment_time ORDER BY camera, start_us LIMIT 1"
)
_LAST_SEGMENT = (
    "SELECT start_us FROM segment INDEXED BY segment_time"
    " ORDER BY camera DESC, start_us DESC LIMIT 1"
)


def put_segment(connection: sqlite3.Connection, segment: Segment) -> None:
    """Insert or bring forward one segment's row, re-timed as its run is."""
    put_segments(connection, [segment])


def put_segments(connection: sqlite3.Connection, segments: Sequence[Segment]) -> None:
    offsets_us = {segment.run: run_offset_us(connection, segment.run) for segment in segments}
    connection.executemany(
        _PUT_SEGMENT,
        [segment_row(segment.retimed(offsets_us[segment.run] or 0)) for segment in segments],
    )


def drop_segment(connection: sqlite3.Connection, camera: str, number: int) -> None:
    """Forget a segment that has no file."""
    connection.execute("DELETE FROM segment WHERE camera = ? AND number = ?", (camera, number))


def put_alive(connection: sqlite3.Connection, alive: Alive, trust: str | None = None) -> None:
    """Say that ``edge`` lives, and what it thinks of the clock (``retention.trusted_time``)."""
    marks = [("alive_us", str(alive.at_us)), ("alive_epoch", str(alive.epoch))]
    marks += [] if trust is None else [("trust", trust)]
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", marks
    )


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """Open or make an index, with the schema up to date. For one thread; autocommit.

    Raises:
        IndexCorrupt: the file is no index, or damaged as far as a first look tells.
        IndexUnavailable: it cannot be opened, or a newer program made it.
    """
    connection = None
    try:
        # the log beside it gets the same mode: readers are of the state folder's group
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, INDEX_MODE)
        try:
            hand_over(file, path.parent)  # SQLite gives the log beside it the same owner
        finally:
            os.close(file)
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 1000")
        migrate(connection)
        _first_look(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explained(path, error) from error
        if isinstance(error, OSError):
            raise IndexUnavailable(
                f"the index {path} cannot be opened: {error.strerror}",
                hint="may this user write the state folder?",
            ) from error
        raise
    return connection


def _first_look(connection: sqlite3.Connection) -> None:
    """Touch both ends of every table and index; quick whatever their size."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in names:
        connection.execute(f'SELECT * FROM "{name}" LIMIT 1').fetchall()  # noqa: S608
    connection.execute("SELECT max(seq) FROM journal").fetchone()
    connection.execute("SELECT count(*) FROM gap WHERE end_us IS NULL").fetchone()
    for end in (_FIRST_SEGMENT, _LAST_SEGMENT):
        connection.execute(end).fetchone()


def explained(path: Path, error: sqlite3.Error) -> IndexUnavailable:
    """What an SQLite error means for the index at ``path``."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IndexCorrupt(f"the index {path} is damaged: {error}")
    return IndexUnavailable(
        f"the index {path} does not answer: {error}",
        hint="is the state folder's disk full, or read-only?",
        retry=Retry.LATER,
    )


class IndexWriter:
    """Owns the connection that writes; started when made, ended by :meth:`close`.

    Raises:
        IndexCorrupt, IndexUnavailable: as :func:`connect_for_writing`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Why the last transaction failed; empty after one that did not.
        self.failure = ""
        #: Transactions carried through; a watchdog sees from it that the thread turns.
        self.turns = 0
        self._connection = connect_for_writing(path)
        self._queue: queue.Queue[tuple[Operation, Future[Any]] | None] = queue.Queue(
            QUEUE_OPERATIONS_MAX
        )
        self._is_closed = False
        self._close_lock = threading.Lock()
        #: Sealed rows that the index could not take; told again when it can.
        self._owed: dict[tuple[str, int], Segment] = {}
        self._owed_lock = threading.Lock()
        self._is_paying = False
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still takes operations, be it that a disk keeps it waiting."""
        return self._thread.is_alive()

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a function; its future answers once its changes are on the disk. From any thread.

        The future raises :class:`IndexUnavailable` (full queue, closed, failed transaction), or
        what the function raised. Its callbacks run in the index thread: they must be short.
        """
        future: Future[T] = Future()
        with self._close_lock:
            if not self._is_closed:
                try:
                    self._queue.put_nowait((operation, future))
                    return future
                except queue.Full:
                    pass
        future.set_exception(
            IndexUnavailable("the index is closed" if self._is_closed else "the index is stuck")
        )
        return future

    # What a volume's writer tells (retention.writer_ports.SegmentRows) ------------------------

    def segment_opened(self, segment: Segment, path: str) -> Future[None]:
        """Commit the row of a segment that is about to get its first byte."""
        del path  # follows from the segment (retention.layout)
        return self.submit(lambda connection: put_segment(connection, segment))

    def fragments_durable(self, segments: Sequence[Segment]) -> Future[None]:
        """These open segments have grown; also heals a row that could not be opened."""
        rows = tuple(segments)
        return self.submit(lambda connection: put_segments(connection, rows))

    def segment_sealed(self, segment: Segment) -> Future[None]:
        """Also told again by itself, should the index not take it now: nobody else would."""
        future = self.submit(lambda connection: put_segment(connection, segment))
        future.add_done_callback(lambda done: self._settle([segment], done.exception()))
        return future

    def _settle(self, segments: Sequence[Segment], error: BaseException | None) -> None:
        """Remember sealed rows that were not taken, forget those that were."""
        with self._owed_lock:
            for segment in segments:
                if isinstance(error, IndexUnavailable):
                    self._owed[segment.camera, segment.number] = segment
                else:
                    self._owed.pop((segment.camera, segment.number), None)
            while len(self._owed) > OWED_ROWS_MAX:  # the next start adopts their files
                del self._owed[next(iter(self._owed))]

    def _pay(self) -> None:
        """In the index thread, after a transaction that went well: tell again what is owed."""
        with self._owed_lock:
            owed = [] if self._is_paying else list(self._owed.values())
            self._is_paying = self._is_paying or bool(owed)
        if not owed:
            return

        def paid(done: Future[None]) -> None:
            self._is_paying = False
            self._settle(owed, done.exception())

        self.submit(lambda connection: put_segments(connection, owed)).add_done_callback(paid)

    def segment_discarded(self, camera: str, number: int) -> Future[None]:
        """Withdraw the row of a segment without a file."""
        return self.submit(lambda connection: drop_segment(connection, camera, number))

    def close(self, timeout_s: float = 10.0) -> None:
        """Carry out what is queued, checkpoint, and end the thread. May be called again."""
        with self._close_lock:
            is_first, self._is_closed = not self._is_closed, True
        if is_first:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("index_thread_stuck", extra={"path": str(self.path)})

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH_OPERATIONS_MAX:
                    batch.append(self._queue.get_nowait())
            is_open = None not in batch
            self._carry_out([item for item in batch if item is not None])
        # The last connection's close would do so; but readers may have theirs open, and those of
        # other users could not read a log that is left without its writer.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _carry_out(self, batch: list[tuple[Operation, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for operation, future in batch:
                if not future.set_running_or_notify_cancel():
                    continue
                self._connection.execute("SAVEPOINT operation")
                try:
                    done.append((future, operation(self._connection)))
                except Exception as error:  # noqa: BLE001 - handed to who asked, by the future
                    failed.append((future, self._explained(error)))
                    self._connection.execute("ROLLBACK TO operation")
                self._connection.execute("RELEASE operation")
            self._connection.execute("COMMIT")
            self.failure = ""
        except sqlite3.Error as error:
            told = self._explained(error)
            log.error("index_transaction_failed", extra={"error": str(told)})
            self.failure = str(told)
            answered = {id(future) for future, _ in failed}
            failed += [(future, told) for _, future in batch if id(future) not in answered]
            done = []
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        self.turns += 1
        for future, result in done:
            future.set_result(result)
        for future, exception in failed:
            if not future.cancelled():
                future.set_exception(exception)
        if done:
            self._pay()

    def _explained(self, error: BaseException) -> BaseException:
        return explained(self.path, error) if isinstance(error, sqlite3.Error) else error

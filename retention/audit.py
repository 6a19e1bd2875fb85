"""The audit log of one service: who did what, append-only, durable in groups. Shell.

``<state_dir>/audit/<service>/<first record's number>-<YYYY-MM>.jsonl``: a new part a month (UTC),
so that old ones can go whole. The number leads the name: a clock that is set back does not put new
records before old ones. Each service writes its own log as its own user, and nobody else's; an
advisory lock on the folder keeps it to one process.

Whoever records gets a future and does not wait, unless what it does next must be on record first:

    await asyncio.wrap_future(audit.record(Action.EXPORT, ...))   # then hand the footage out

A log is read without its lock; whoever may read the folder may verify it (retention.audit_read).
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from config.errors import Retry, XueliangError
from config.log import redact
from retention.audit_chain import (
    LINE_BYTES_MAX,
    PROVISIONS,
    Action,
    AuditDamaged,
    Head,
    Outcome,
    Record,
    Value,
    next_line,
    parse_line,
    split_lines,
)
from retention.audit_loss import tells_of_loss
from retention.clock import Clock
from retention.model import US_PER_S
from retention.ownership import hand_over
from retention.whole_file import sync_folder

log = logging.getLogger(__name__)

FOLDER = "audit"
#: Records waiting for the disk; a disk that hangs for longer costs records, and says so.
QUEUE_RECORDS_MAX = 10_000
BATCH_RECORDS_MAX = 256
#: A month of a busy platform is 10 MB; a flood begins a new part instead of one huge file.
PART_BYTES_MAX = 64 * 2**20
#: Records of what was provided to others (PIPL art. 56), whatever the setting says.
PROVISION_DAYS = 1096
DAY_US = 86_400 * US_PER_S
#: Read by the members of the state folder's group: edge anchors and verifies every log.
FOLDER_MODE = 0o750
PART_MODE = 0o640

_PART = re.compile(r"(\d{12})-(\d{4}-\d{2})\.jsonl", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AuditUnavailable(XueliangError):
    """A log cannot be written or read now: what had to be on record must not be done."""

    code = "audit_unavailable"


class AuditLogInUse(AuditUnavailable):
    """Another process writes this log."""

    code = "audit_log_in_use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a log."""

    path: Path
    first_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    at_us: int
    actor: str
    action: Action
    subject: str
    outcome: Outcome
    detail: dict[str, Value]


_Job = Callable[[], None]


class AuditLog:
    """Owner of one service's log; started when made, ended by :meth:`close`. From any thread.

    A log that cannot be opened (a full disk, another process) is tried again with each record: it
    keeps nobody from recording footage, only from what must be on record first.

    Args:
        service: whose log: ``edge``, ``uplink``, ``console``, ``cli``.
        wait_s: how long to wait for another process that writes the same log.
        on_record: told the action of each record that became durable; for the metrics.
    """

    def __init__(
        self,
        state_dir: Path,
        service: str,
        clock: Clock,
        *,
        wait_s: float = 0.0,
        on_record: Callable[[Action], None] | None = None,
    ) -> None:
        self.service = service
        self.actor = f"service:{service}"
        #: Why the last write failed; empty after one that did not.
        self.failure = ""
        self._clock = clock
        self._on_record = on_record
        self._folder = state_dir / FOLDER / service
        self._wait_s = wait_s
        self._lock: int | None = None  # the folder, once it is opened
        self._part: int | None = None  # the open part
        self._part_month = ""
        self._part_bytes = 0
        self._head = Head()
        self._lost = 0
        self._close_lock = threading.Lock()
        self._is_closed = False
        self._queue: queue.Queue[tuple[_Request | _Job, Future[Head]] | None] = queue.Queue(
            QUEUE_RECORDS_MAX
        )
        self._thread = threading.Thread(target=self._run, name=f"audit-{service}", daemon=True)
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
    def head(self) -> Head:
        """The newest durable record."""
        return self._head

    def opened(self) -> Future[Head]:
        """Answers once the log is open and mended; raises as a record's future does."""
        return self._submit(lambda: None)

    def record(
        self,
        action: Action,
        *,
        subject: str,
        outcome: Outcome = Outcome.DONE,
        actor: str | None = None,
        **detail: Value,
    ) -> Future[Head]:
        """Put on record; the future answers once it is on the disk.

        Args:
            subject: the thing: a camera, a hold, a settings file.
            actor: who, as ``person:…``, ``platform:…``, ``os:…``; this service itself if left out.
            detail: further facts. Registered secrets and credentials in URLs are taken out, long
                text is cut (retention.audit_chain).

        The future raises :class:`AuditUnavailable` (:class:`AuditLogInUse`): then the record is
        lost, which a later record tells, and what it was to allow must not be done.
        """
        request = _Request(
            at_us=self._clock.utc_us(),
            actor=redact(actor or self.actor),
            action=action,
            subject=redact(subject),
            outcome=outcome,
            detail={
                key: redact(value) if isinstance(value, str) else value
                for key, value in detail.items()
            },
        )
        future = self._submit(request)
        future.add_done_callback(self._count)
        return future

    def prune(self, keep_days: int, trusted_us: int) -> Future[Head]:
        """Remove whole parts that ended more than ``keep_days`` before ``trusted_us``, the oldest
        first; parts that tell of footage given to others stay :data:`PROVISION_DAYS`.

        The removal is on record, with the last removed record's hash, before a file goes.
        """
        return self._submit(lambda: self._prune(keep_days, trusted_us))

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued, and end. May be called again."""
        with self._close_lock:
            is_first, self._is_closed = not self._is_closed, True
        if is_first:
            with suppress(queue.Full):
                self._queue.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("audit_thread_stuck", extra={"service": self.service})

    # From here on: the log's own thread ------------------------------------------------------

    def _submit(self, item: _Request | _Job) -> Future[Head]:
        future: Future[Head] = Future()
        with self._close_lock:
            if not self._is_closed:
                with suppress(queue.Full):
                    self._queue.put_nowait((item, future))
                    return future
            reason = "is closed" if self._is_closed else "waits for its disk"
        future.set_exception(
            AuditUnavailable(f"the audit log {self._folder} {reason}", retry=Retry.LATER)
        )
        return future

    def _count(self, done: Future[Head]) -> None:
        error = done.exception()
        if error is not None:
            self._lost += 1
            log.error("audit_record_lost", extra={"service": self.service, "error": str(error)})

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            with suppress(queue.Empty):
                while len(batch) < BATCH_RECORDS_MAX:
                    batch.append(self._queue.get_nowait())
            is_open = None not in batch
            waiting: list[tuple[_Request, Future[Head]]] = []
            for item in batch:
                if item is None:
                    continue
                what, future = item
                if isinstance(what, _Request):
                    waiting.append((what, future))
                    continue
                self._write(waiting)
                waiting = []
                self._do(what, future)
            self._write(waiting)
        for file in (self._part, self._lock):
            if file is not None:
                os.close(file)

    def _open(self) -> None:
        """Raises :class:`OSError`, :class:`AuditLogInUse`, :class:`AuditDamaged`."""
        if self._lock is not None:
            return
        _make_folder(self._folder)
        self._lock = _locked(self._folder, self._wait_s)
        try:
            self._open_newest()
        except BaseException:
            for file in (self._part, self._lock):
                if file is not None:
                    os.close(file)
            self._part = self._lock = None
            raise

    def _do(self, job: _Job, future: Future[Head]) -> None:
        try:
            self._open()
            job()
        except OSError as error:
            self.failure = str(self._unwritable(error))
            future.set_exception(self._unwritable(error))
        except XueliangError as error:
            future.set_exception(error)
        else:
            future.set_result(self._head)

    def _write(self, waiting: Sequence[tuple[_Request, Future[Head]]]) -> None:
        """Make these durable, in order, with one sync; answer their futures."""
        if not waiting:
            return
        requests = [request for request, _ in waiting]
        lost, self._lost = self._lost, 0
        if lost:
            requests.insert(0, self._own(Action.RECORDS_LOST, Outcome.FAILED, records=lost))
        try:
            self._open()
            heads = self._append(requests)[-len(waiting) :]
        except (OSError, XueliangError) as error:
            self._lost += lost
            told = self._unwritable(error) if isinstance(error, OSError) else error
            self.failure = str(told)
            for _, future in waiting:
                future.set_exception(told)
            return
        self.failure = ""
        for (_, future), head in zip(waiting, heads, strict=True):
            future.set_result(head)

    def _append(self, requests: Sequence[_Request]) -> list[Head]:
        """Write and sync; on an error nothing of it counts. Raises :class:`OSError`."""
        heads: list[Head] = []
        start = 0
        while start < len(requests):
            month = _month(requests[start].at_us)
            stop = start
            while stop < len(requests) and _month(requests[stop].at_us) == month:
                stop += 1
            heads += self._append_to(month, requests[start:stop])
            start = stop
        return heads

    def _append_to(self, month: str, requests: Sequence[_Request]) -> list[Head]:
        if self._part is None or month != self._part_month or self._part_bytes >= PART_BYTES_MAX:
            self._begin_part(month)
        assert self._part is not None
        head, heads, lines = self._head, [], []
        for request in requests:
            line, head = next_line(
                head,
                at_us=request.at_us,
                service=self.service,
                actor=request.actor,
                action=request.action,
                subject=request.subject,
                outcome=request.outcome,
                detail=request.detail,
            )
            lines.append(line + b"\n")
            heads.append(head)
        content = b"".join(lines)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._part, content[written:])
            os.fdatasync(self._part)
        except OSError:
            self._give_up_part()
            raise
        self._part_bytes += len(content)
        self._head = head
        if self._on_record is not None:
            for request in requests:
                self._on_record(request.action)
        return heads

    def _give_up_part(self) -> None:
        """After a failed write or sync the file is cut to what is known to be durable; the next
        records go to a new part, for a second sync of this one would prove nothing."""
        assert self._part is not None
        with suppress(OSError):
            os.ftruncate(self._part, self._part_bytes)
            os.fsync(self._part)
        os.close(self._part)
        self._part = None

    def _begin_part(self, month: str) -> None:
        assert self._lock is not None
        if self._part is not None:
            os.close(self._part)
            self._part = None
        path = self._folder / f"{self._head.seq + 1:012}-{month}.jsonl"
        # A part without a whole record, left by a failed write, is gone on with.
        self._part = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, PART_MODE
        )
        hand_over(self._part, self._folder)
        os.ftruncate(self._part, 0)
        self._part_month, self._part_bytes = month, 0
        os.fsync(self._lock)  # the folder

    def _open_newest(self) -> None:
        """Go on behind the newest whole record; what a power cut tore off is put aside."""
        parts = parts_of(self._folder)
        torn: list[tuple[bytes, Path]] = []
        while parts:
            part = parts.pop()
            content = part.path.read_bytes()
            record, end = _last_record(content)
            if content[end:]:
                torn.append(self._put_aside(part, content[end:], end))
            if record is None:
                part.path.unlink()  # nothing in it was ever answered for, and it is put aside
                continue
            self._head = record.head
            self._part = os.open(part.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._part_month, self._part_bytes = part.path.stem[-7:], end
            break
        self._append(
            [
                self._own(
                    Action.LOG_MENDED,
                    Outcome.DONE,
                    torn_bytes=len(content),
                    torn_sha256=hashlib.sha256(content).hexdigest(),
                    kept_as=aside.name,
                )
                for content, aside in reversed(torn)
            ]
        )
        for part in parts:  # begun, and then the disk took nothing
            if not part.path.stat().st_size:
                part.path.unlink()

    def _put_aside(self, part: Part, content: bytes, keep_bytes: int) -> tuple[bytes, Path]:
        """Copy what is torn beside the log, then cut it off: nothing is thrown away unseen."""
        assert self._lock is not None
        number = 1
        while (aside := self._folder / f"{part.path.stem}.torn-{number}").exists():
            number += 1
        file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PART_MODE)
        try:
            hand_over(file, self._folder)
            os.write(file, content)
            os.fsync(file)
        finally:
            os.close(file)
        os.fsync(self._lock)
        file = os.open(part.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(file, keep_bytes)
            os.fsync(file)
        finally:
            os.close(file)
        return content, aside

    def _prune(self, keep_days: int, trusted_us: int) -> None:
        gone: list[Part] = []
        last: Record | None = None
        parts = parts_of(self._folder)
        newest_us = 0
        for part, following in zip(parts, parts[1:], strict=False):
            records = [parse_line(line) for line in split_lines(part.path.read_bytes())]
            first_after = _first_record(following.path)
            if not records or first_after is None:
                break
            # A part ended no earlier than its newest record says, nor than the next one began:
            # records of a clock that stood wrong are not older than they look.
            newest_us = max(newest_us, first_after.at_us, *(record.at_us for record in records))
            days = keep_days
            if any(record.action in PROVISIONS for record in records):
                days = max(days, PROVISION_DAYS)
            if trusted_us - newest_us <= days * DAY_US or any(map(tells_of_loss, records)):
                break  # for as long as the journal tells of what was lost
            gone.append(part)
            last = records[-1]
        if last is None:
            return
        self._append(
            [
                self._own(
                    Action.LOG_PRUNED,
                    Outcome.DONE,
                    parts=len(gone),
                    last_seq=last.seq,
                    last_hash=last.hash,
                    last_at_us=last.at_us,
                    keep_days=keep_days,
                )
            ]
        )
        for part in gone:
            part.path.unlink()
        sync_folder(self._folder)

    def _own(self, action: Action, outcome: Outcome, **detail: Value) -> _Request:
        return _Request(
            at_us=self._clock.utc_us(),
            actor=self.actor,
            action=action,
            subject=f"audit:{self.service}",
            outcome=outcome,
            detail=detail,
        )

    def _unwritable(self, error: OSError) -> AuditUnavailable:
        return AuditUnavailable(
            f"the audit log {self._folder} cannot be written: {error.strerror or error}",
            hint="is the state folder's disk full or read-only, and may this user write there?",
            retry=Retry.LATER,
        )


def os_actor() -> str:
    """Who runs this command, as the operating system knows him: ``os:alice`` or, through sudo,
    ``os:alice>root``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    return f"os:{behind}>{user}" if behind and behind != user else f"os:{user}"


def parts_of(folder: Path) -> list[Part]:
    """A log's parts, the oldest first. Raises :class:`OSError`."""
    found = [
        Part(path=path, first_seq=int(match[1]))
        for path in folder.iterdir()
        if (match := _PART.fullmatch(path.name))
    ]
    return sorted(found, key=lambda part: (part.first_seq, part.path.name))


def _last_record(content: bytes) -> tuple[Record | None, int]:
    """The last whole record, and where it ends; behind it is nothing that reads as a record."""
    end = len(content)
    while end:
        feed = content.rfind(b"\n", 0, end)
        if feed < 0:
            return None, 0
        start = content.rfind(b"\n", 0, feed) + 1
        try:
            return parse_line(content[start:feed]), feed + 1
        except AuditDamaged:
            end = feed
    return None, 0


def _first_record(path: Path) -> Record | None:
    with path.open("rb") as file:
        line = file.readline(LINE_BYTES_MAX + 1)
    return parse_line(line[:-1]) if line.endswith(b"\n") else None


def _month(at_us: int) -> str:
    try:
        return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m}"
    except OverflowError:
        return "0000-00"


def _make_folder(folder: Path) -> None:
    for path in (folder.parent, folder):
        if not path.is_dir():
            with suppress(FileExistsError):
                path.mkdir(mode=FOLDER_MODE)
                made = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    hand_over(made, path.parent)
                finally:
                    os.close(made)
            sync_folder(path.parent)


def _locked(folder: Path, wait_s: float) -> int:
    """The folder, opened and locked until it is closed."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(file)
                raise AuditLogInUse(
                    f"another process writes the audit log {folder}",
                    hint="only one process of a service may run at a time",
                    retry=Retry.LATER,
                ) from None
        time.sleep(0.02)

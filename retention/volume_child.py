"""The process of one volume: ``python -m retention.volume_child FD``. Shell.

All that waits for the volume's disk happens here, so that a disk which hangs holds nobody else: a
thread in a call to a dead disk cannot be ended, and keeps its process and whatever that holds. This
one holds the volume's files and one socket. It ends when ``edge`` closes the socket or dies; should
it be inside a call to the disk then, it ends with that call and does nothing more.

Besides the writer's thread the first one reads what ``edge`` says, one tells every second that the
process lives, and each request has its own.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO, cast

from config import log as logging_setup
from config.errors import XueliangError
from retention import volume_wire
from retention.clock import Clock, SystemClock
from retention.index.errors import IndexUnavailable
from retention.model import GapCause, Run, Segment
from retention.volume_errors import VolumeError
from retention.volume_host import LocalVolume
from retention.volume_messages import (
    Alive,
    Answer,
    Attach,
    AwaitRows,
    Call,
    Closed,
    Confirm,
    Confirmed,
    Done,
    DropRow,
    Failure,
    FootageFound,
    GapFound,
    GiveJournal,
    IoError,
    JournalPart,
    JournalParts,
    ListJournal,
    LookAt,
    Message,
    Pause,
    Progress,
    PutRow,
    ReadJournal,
    Reconcile,
    Recover,
    Reply,
    Request,
    RowCommitted,
    RowDiscarded,
    RowOpened,
    RowSealed,
    RunFound,
    Seen,
    StartWriter,
    Synced,
    Wrote,
)
from retention.writer import VolumeWriter
from retention.writer_ports import Close, Operation, WriterEvent

log = logging.getLogger(__name__)

ALIVE_S = 1.0
CLOSE_TIMEOUT_S = 3600.0
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
READ_BYTES = 256 * 1024


class Outbox:
    """The way to ``edge``, for every thread. When nobody listens any more the process ends."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._turn = threading.Lock()

    def send(self, message: Message, request: int = 0) -> None:
        data = b"".join(volume_wire.encode(message, request))
        try:
            with self._turn:
                self._link.sendall(data)
        except OSError:
            os._exit(1)


class _Rows:
    """The index, as the writer sees it. What grows is told with :class:`Durable`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: dict[int, Future[None]] = {}
        self._token = 0

    def segment_opened(self, segment: Segment, path: str) -> Future[None]:
        future: Future[None] = Future()
        self._token += 1
        self._waiting[self._token] = future
        self._outbox.send(RowOpened(token=self._token, row=segment, path=path))
        return future

    def committed(self, told: RowCommitted) -> None:
        future = self._waiting.pop(told.token)
        if told.error:
            future.set_exception(IndexUnavailable(told.error))
        else:
            future.set_result(None)

    def fragments_durable(self, segments: Sequence[Segment]) -> None:
        return

    def segment_sealed(self, segment: Segment) -> None:
        self._outbox.send(RowSealed(row=segment))

    def segment_discarded(self, camera: str, number: int) -> None:
        self._outbox.send(RowDiscarded(camera=camera, number=number))


class _Observer:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.writer: VolumeWriter | None = None

    def wrote(self, volume: str, seconds: float) -> None:
        assert self.writer is not None
        self._outbox.send(Wrote(seconds=seconds, done_bytes=self.writer.done_bytes))

    def synced(self, volume: str, seconds: float) -> None:
        self._outbox.send(Synced(seconds=seconds))

    def io_error(self, volume: str, operation: str, errno_name: str) -> None:
        self._outbox.send(IoError(operation=operation, errno_name=errno_name))


class _Book:
    """Index and ledger, as recovery sees them: told to ``edge``, which alone writes them."""

    def __init__(self, outbox: Outbox, request: int, replies: queue.SimpleQueue[Reply]) -> None:
        self._outbox = outbox
        self._request = request
        self._replies = replies

    def put(self, row: Segment) -> None:
        self._tell(PutRow(row=row))

    def drop(self, camera: str, number: int) -> None:
        self._tell(DropRow(camera=camera, number=number))

    def run_started(self, run: Run) -> None:
        self._tell(RunFound(run=run))

    def gap(
        self, camera: str, start_us: int, end_us: int, cause: GapCause, detail: str, epoch: int
    ) -> None:
        self._tell(
            GapFound(
                camera=camera,
                start_us=start_us,
                end_us=end_us,
                cause=cause,
                detail=detail,
                epoch=epoch,
            )
        )

    def footage_found(
        self, camera: str, start_us: int, end_us: int, at_us: int, epoch: int
    ) -> None:
        self._tell(
            FootageFound(camera=camera, start_us=start_us, end_us=end_us, at_us=at_us, epoch=epoch)
        )

    def progress(self) -> None:
        self._tell(Progress())

    def wait(self) -> None:
        failure = self._ask(AwaitRows()).failure
        if failure is not None:
            raise failure.as_error()

    def pause(self) -> bool:
        return self._ask(Pause()).go_on

    def _tell(self, call: Call) -> None:
        self._outbox.send(call, self._request)

    def _ask(self, call: Call) -> Reply:
        self._tell(call)
        return self._replies.get()


class _Child:
    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._clock = clock
        self._outbox = Outbox(link)
        self._host = LocalVolume(clock)
        self._rows = _Rows(self._outbox)
        self._replies: dict[int, queue.SimpleQueue[Reply]] = {}
        self._writer: VolumeWriter | None = None

    def run(self, stream: BinaryIO) -> None:
        """Until ``edge`` closes the socket."""
        threading.Thread(target=self._tell_alive, daemon=True).start()
        while True:
            prefix = stream.read(volume_wire.PREFIX.size)
            if len(prefix) < volume_wire.PREFIX.size:
                return
            head_bytes, tail_bytes = volume_wire.lengths(prefix)
            head, tail = stream.read(head_bytes), stream.read(tail_bytes)
            if len(head) + len(tail) < head_bytes + tail_bytes:
                return
            self._take(*volume_wire.decode(head, tail))

    def _take(self, message: Message, request: int) -> None:
        match message:
            case Reply():
                self._replies[request].put(message)
            case RowCommitted():
                self._rows.committed(message)
            case Close():
                threading.Thread(target=self._close, daemon=True).start()
            case _ if request:
                self._replies[request] = queue.SimpleQueue()
                threading.Thread(target=self._work, args=(message, request), daemon=True).start()
            case _:
                assert self._writer is not None, "operations follow the writer's start"
                operation: Operation = message  # type: ignore[assignment]
                self._writer.post(operation)

    def _close(self) -> None:
        if self._writer is None or self._writer.close(CLOSE_TIMEOUT_S):
            self._outbox.send(Closed())

    # Requests --------------------------------------------------------------------------------

    def _work(self, message: Request, request: int) -> None:
        answer: Answer
        try:
            answer = self._answer(message, request)
        except XueliangError as error:
            answer = Failure.of(error)
        except Exception as error:  # a supervision point: edge must get its answer
            log.exception("volume_request_failed")
            answer = Failure(code="defect", message=f"{type(error).__name__}: {error}", hint="")
        self._outbox.send(answer, request)

    def _answer(self, message: Request, request: int) -> Answer:
        book = _Book(self._outbox, request, self._replies[request])
        match message:
            case Attach():
                return self._host.attach(message)
            case ListJournal():
                return JournalParts(parts=self._host.journal_parts())
            case ReadJournal(part=part):
                return JournalPart(lines=self._host.read_journal(part))
            case GiveJournal(lines=lines):
                self._host.give_journal(lines)
                return Done()
            case Recover(index_path=path, now_us=now_us, own_numbers=own, is_beside_writer=True):
                return self._host.finish_given_up(Path(path), book, now_us, own or {})
            case Recover(index_path=path, now_us=now_us, own_numbers=own):
                return self._host.recover(Path(path), book, now_us, own)
            case Reconcile(index_path=path, now_us=now_us, own_numbers=own):
                return self._host.reconcile(Path(path), book, now_us, own, book.pause)
            case Confirm(line=line, timeout_s=timeout_s):
                return Confirmed(is_there=self._host.has_durably(line.encode(), timeout_s))
            case LookAt(path=path):
                return Seen(segment=self._host.look_at(path))
            case StartWriter(durability_us=durability_us):
                observer = _Observer(self._outbox)
                self._writer = observer.writer = self._host.start_writer(
                    rows=self._rows,
                    report=self._report,
                    observer=observer,
                    durability_us=durability_us,
                )
                return Done()

    def _report(self, event: WriterEvent) -> None:
        self._outbox.send(event)

    # Signs of life ---------------------------------------------------------------------------

    def _tell_alive(self) -> None:
        is_over = threading.Event()
        while not is_over.wait(ALIVE_S):
            writer = self._writer
            if writer is None:
                continue
            usage = self._usage()
            self._outbox.send(
                Alive(
                    busy_since_us=writer.busy_since_us,
                    done_bytes=writer.done_bytes,
                    journal_is_behind=writer.journal_is_behind,
                    capacity_bytes=None if usage is None else usage[0],
                    free_bytes=None if usage is None else usage[1],
                )
            )

    def _usage(self) -> tuple[int, int] | None:
        try:
            return self._host.usage
        except VolumeError as error:
            log.warning("volume_silent", extra={"error": error.sentence()})
            return None


def main(link: socket.socket, dialect: str) -> int:
    """Serve ``edge`` until it is gone; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the end comes over the socket, in order
    logging_setup.set_up()
    if dialect != volume_wire.DIALECT:
        log.error("volume_process_of_another_version")
        return 2
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    gc.collect()
    gc.freeze()
    _Child(link, SystemClock()).run(cast(BinaryIO, link.makefile("rb", buffering=READ_BYTES)))
    return 0


if __name__ == "__main__":
    # not sys.exit: the writer's thread may be in a call that never ends
    os._exit(main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))

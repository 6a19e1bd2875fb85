"""A volume whose disk a process of its own waits for: ``edge``'s end of it. Shell.

Takes the place of :class:`LocalVolume` and of its writer. Posting never blocks: one thread sends,
one receives. At most ``WINDOW_BYTES`` of media are on their way to the process; the rest waits
here, as the recorders' own fragments, and what is abandoned is not sent at all.

When the process ends by itself, its open segments are given up where they are durable: their rows
are ended there, the recorder is told :class:`Failed` and submits the rest elsewhere, and the next
process (``retention.recover``) cuts the files back to that.
"""

from __future__ import annotations

import logging
import queue
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args

from retention import volume_wire
from retention.clock import Clock
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S, EndReason, GapCause, Segment, SegmentHeader, SegmentState
from retention.recover import Book
from retention.volume_errors import VolumeState, VolumeUnavailable
from retention.volume_messages import (
    Alive,
    Answer,
    Attach,
    Attached,
    AwaitRows,
    Call,
    Closed,
    Confirm,
    Confirmed,
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
    Reconciled,
    Recover,
    Recovery,
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
from retention.writer_ports import (
    Abandon,
    Append,
    Close,
    Delete,
    Deleted,
    DiskObserver,
    Durable,
    Failed,
    Operation,
    Report,
    Sealed,
    SegmentRows,
    VolumeChanged,
    WriterEvent,
    WriterOperations,
)

log = logging.getLogger(__name__)

#: Media on the way to the process: beyond it they wait in the recorders' buffers.
WINDOW_BYTES = 8 * 1024 * 1024
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
#: Of one system call (IOV_MAX).
PIECES_MAX = 1024
READ_BYTES = 256 * 1024
#: A disk that answers nothing for so long while it is taken into use is left out for now.
SILENCE_S = 8.0
#: A process that was not heard of for so long (it tells every second that it lives) is stuck.
SILENT_US = 3 * US_PER_S
EXIT_WAIT_S = 3.0
HUNG_WAIT_S = 0.2

_EVENTS = get_args(WriterEvent)
_CALLS = get_args(Call)
_Key = tuple[str, int]
A = TypeVar("A", bound=Answer)


@dataclass(slots=True)
class _Known:
    """A segment that the process has; its row as the index was last told it."""

    header: SegmentHeader
    row: Segment | None = None


class VolumeProcess(WriterOperations):
    """Host and writer of one volume. Made, it has a process that waits for :meth:`attach`.

    Args:
        place: where the volume is, for messages.

    Raises:
        VolumeUnavailable: no process could be started.
    """

    def __init__(self, place: str, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self.volume = ""
        self.state = VolumeState.OK
        self.journal_is_behind = False
        self.usage: tuple[int, int] | None = None
        self.usage_us = 0
        self._is_hung = self._is_over = self._is_closing = False
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._urgent: deque[tuple[Message, int]] = deque()  # requests, and answers to the process
        self._operations: deque[Operation] = deque()
        self._sent_bytes = self._done_bytes = 0
        self._known: dict[_Key, _Known] = {}
        self._deletions: list[Delete] = []  # not told as over
        self._waiting: dict[int, queue.SimpleQueue[Answer | Call | None]] = {}
        self._requests = 0
        self._busy_since_us: int | None = None
        self._heard_us = clock.monotonic_us()
        self._rows: SegmentRows | None = None
        self._report: Report | None = None
        self._observer: DiskObserver | None = None
        self._start()

    def _start(self) -> None:
        self._link, theirs = socket.socketpair()
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        command = [sys.executable, "-m", "retention.volume_child", str(theirs.fileno())]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*command, volume_wire.DIALECT],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:
                self._link.close()
                raise VolumeUnavailable(
                    f"no process for volume {self._place} could be started: {error.strerror}",
                    state=VolumeState.FAILED,
                    operation="start",
                    error=error.errno or 0,
                ) from error
        for work, name in ((self._send_all, "to"), (self._receive_all, "from")):
            threading.Thread(target=work, name=f"{name}-{self._place}", daemon=True).start()

    # Host ------------------------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        return not (self._is_hung or self._is_over)

    @property
    def is_gone(self) -> bool:
        with suppress(subprocess.TimeoutExpired):  # its socket closes a moment before it is gone
            self._process.wait(HUNG_WAIT_S if self._is_over else 0)
        return self._process.returncode is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def attach(self, wanted: Attach) -> Attached:
        attached = self._ask(wanted, Attached)
        self.volume = attached.uuid
        self.usage = attached.capacity_bytes, attached.free_bytes
        self.usage_us = self._clock.monotonic_us()
        return attached

    def journal_parts(self) -> tuple[str, ...]:
        return self._ask(ListJournal(), JournalParts).parts

    def read_journal(self, part: str) -> bytes:
        return self._ask(ReadJournal(part=part), JournalPart).lines

    def give_journal(self, lines: bytes) -> None:
        self._ask(GiveJournal(lines=lines), None)

    def recover(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int] | None
    ) -> Recovery:
        own = None if own_numbers is None else dict(own_numbers)
        request = Recover(index_path=str(index_path), now_us=now_us, own_numbers=own)
        return self._ask(request, Recovery, book)

    def finish_given_up(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int]
    ) -> Recovery:
        request = Recover(
            index_path=str(index_path),
            now_us=now_us,
            own_numbers=dict(own_numbers),
            is_beside_writer=True,
        )
        return self._ask(request, Recovery, book, silence_s=SILENCE_S)

    def reconcile(
        self,
        index_path: Path,
        book: Book,
        now_us: int,
        own_numbers: Mapping[str, int],
        pause: Callable[[], bool],
    ) -> Reconciled:
        request = Reconcile(
            index_path=str(index_path), now_us=now_us, own_numbers=dict(own_numbers)
        )
        return self._ask(request, Reconciled, book, pause, silence_s=SILENCE_S)

    def has_durably(self, line: bytes, timeout_s: float) -> bool:
        request = Confirm(line=line.decode(), timeout_s=timeout_s)
        return self._ask(request, Confirmed, silence_s=timeout_s + SILENCE_S).is_there

    def look_at(self, path: str) -> Segment | None:
        return self._ask(LookAt(path=path), Seen, silence_s=SILENCE_S).segment

    def start_writer(
        self, *, rows: SegmentRows, report: Report, observer: DiskObserver, durability_us: int
    ) -> VolumeProcess:
        self._rows, self._report, self._observer = rows, report, observer
        self._ask(StartWriter(durability_us=durability_us), None)
        return self

    def close(self, timeout_s: float = 10.0) -> bool:
        """Seal all that is open, make it durable, and end the process.

        Returns:
            Whether that was done in time; a process that hangs ends when its disk answers, and
            does nothing more then.
        """
        with self._changed:
            is_first, self._is_closing = not self._is_closing, True
        if is_first and self._rows is not None and not self._is_over:
            self._operations_add(Close())
            self._closed.wait(timeout_s)
        self._end()
        is_done = self._closed.is_set() or (self._rows is None and not self._is_hung)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_WAIT_S if is_done else HUNG_WAIT_S)
        return is_done

    def leave(self) -> None:
        self.close(0)

    def _end(self) -> None:
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        if not self._closed.is_set():
            self._process.kill()

    def _ask(
        self,
        request: Request,
        kind: type[A] | None,
        book: Book | None = None,
        pause: Callable[[], bool] | None = None,
        *,
        silence_s: float | None = None,
    ) -> A:
        """Send a request and wait for its answer; what is told meanwhile goes to ``book``.

        Args:
            silence_s: for a request beside recording, which only itself fails after so long
                without a word; the others take part in coming up, and the process with them.

        Raises:
            VolumeError, IndexUnavailable: as the process says, or it says nothing any more.
        """
        answers: queue.SimpleQueue[Answer | Call | None] = queue.SimpleQueue()
        with self._changed:
            self._requests += 1
            number = self._requests
            if self._is_over:
                raise self._unavailable("its process has ended")
            self._waiting[number] = answers
            self._urgent.append((request, number))
            self._changed.notify_all()
        try:
            while True:
                told = answers.get(timeout=SILENCE_S if silence_s is None else silence_s)
                if told is None:
                    raise self._unavailable("its process has ended")
                if isinstance(told, Failure):
                    raise told.as_error()
                if not isinstance(told, _CALLS):
                    return told  # type: ignore[return-value]
                assert book is not None
                self._note(told, number, book, pause)
        except queue.Empty:
            if silence_s is None:
                self._is_hung = True
                self._process.kill()
            raise self._unavailable("it does not answer") from None
        finally:
            with self._changed:
                self._waiting.pop(number, None)

    def _note(self, call: Call, number: int, book: Book, pause: Callable[[], bool] | None) -> None:
        match call:
            case PutRow(row=row):
                book.put(row)
            case DropRow(camera=camera, number=segment):
                book.drop(camera, segment)
            case RunFound(run=run):
                book.run_started(run)
            case GapFound() as gap:
                book.gap(gap.camera, gap.start_us, gap.end_us, gap.cause, gap.detail, gap.epoch)
            case FootageFound() as found:
                book.footage_found(
                    found.camera, found.start_us, found.end_us, found.at_us, found.epoch
                )
            case Progress():
                pass
            case AwaitRows():
                self._reply(number, _waited_for(book))
            case Pause():
                self._reply(number, Reply(go_on=pause is not None and pause()))

    def _reply(self, number: int, reply: Reply) -> None:
        with self._changed:
            self._urgent.append((reply, number))
            self._changed.notify_all()

    def _unavailable(self, why: str) -> VolumeUnavailable:
        return VolumeUnavailable(
            f"volume {self._place} is not to be had: {why}",
            state=VolumeState.FAILED,
            operation="wait",
            hint="look at the disk's health (smartctl) and the kernel's log",
        )

    # Writer ----------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the process has ended by itself: another one is due."""
        return self._is_over

    def stalled_us(self, now_monotonic_us: int) -> int:
        """How long the process has been inside one disk operation, or was not heard of."""
        since_us, silent_us = self._busy_since_us, now_monotonic_us - self._heard_us
        busy_us = 0 if since_us is None else max(0, now_monotonic_us - since_us)
        return max(busy_us, silent_us if silent_us > SILENT_US else 0)

    def post(self, operation: Operation) -> None:
        if isinstance(operation, SegmentHeader):
            with self._changed:
                if not self._is_over:
                    self._known[operation.camera, operation.number] = _Known(operation)
            if self._is_over:
                self._tell_failed((operation.camera, operation.number), None)
                return
        elif isinstance(operation, Abandon):
            self._forget_unsent(operation)
        elif isinstance(operation, Delete):
            with self._changed:
                self._deletions.append(operation)
            if self._is_over:
                self._give_up_deletions()
                return
        self._operations_add(operation)

    def _operations_add(self, operation: Operation) -> None:
        with self._changed:
            if not self._is_over:
                self._operations.append(operation)
                self._changed.notify_all()

    def _forget_unsent(self, given_up: Abandon) -> None:
        key = given_up.camera, given_up.number
        with self._changed:
            self._operations = deque(
                one
                for one in self._operations
                if not (isinstance(one, Append) and (one.camera, one.number) == key)
            )

    # Sending ---------------------------------------------------------------------------------

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not (self._is_over or self._urgent or self._may_send()):
                    self._changed.wait()
                if self._is_over:
                    return
                message: Message
                if self._urgent:
                    message, request = self._urgent.popleft()
                else:
                    message, request = self._operations.popleft(), 0
                if isinstance(message, Append):
                    self._sent_bytes += message.fragment.size_bytes
            pieces = volume_wire.encode(message, request)
            try:
                _send(self._link, pieces)
            except OSError:
                return  # the receiving thread tells what that means
            del message, pieces  # nothing is held while there is nothing to send

    def _may_send(self) -> bool:
        return bool(self._operations) and (
            self._sent_bytes - self._done_bytes < WINDOW_BYTES
            or not isinstance(self._operations[0], Append)
        )

    # Receiving -------------------------------------------------------------------------------

    def _receive_all(self) -> None:
        stream = cast(BinaryIO, self._link.makefile("rb", buffering=READ_BYTES))
        try:
            while (told := _read(stream)) is not None:
                self._heard_us = self._clock.monotonic_us()
                self._take(*told)
        except OSError:
            pass  # the same as its end
        except volume_wire.WireError as error:
            log.error("volume_process_refused", extra={"place": self._place, "error": str(error)})
        self._ended()

    def _take(self, message: Message, request: int) -> None:
        if request:
            with self._changed:
                waiting = self._waiting.get(request)
            if waiting is not None:
                waiting.put(message)  # type: ignore[arg-type]
            elif isinstance(message, AwaitRows | Pause):  # who asked has given up
                self._reply(request, Reply(go_on=False))
            return
        assert self._rows is not None
        assert self._observer is not None
        match message:
            case RowOpened(token=token, row=row, path=path):
                self._remember(row)
                future = self._rows.segment_opened(row, path)
                future.add_done_callback(lambda done: self._row_committed(token, done))
            case RowSealed(row=row):
                self._remember(row)
                self._rows.segment_sealed(row)
            case RowDiscarded(camera=camera, number=number):
                self._rows.segment_discarded(camera, number)
                self._forget((camera, number))
            case Wrote(seconds=seconds, done_bytes=done_bytes):
                self._observer.wrote(self.volume, seconds)
                self._note_done(done_bytes)
            case Synced(seconds=seconds):
                self._observer.synced(self.volume, seconds)
            case IoError(operation=operation, errno_name=errno_name):
                self._observer.io_error(self.volume, operation, errno_name)
            case Alive():
                self._note_alive(message)
            case Closed():
                self._closed.set()
            case _ if isinstance(message, _EVENTS):
                self._pass_on(message)

    def _note_alive(self, alive: Alive) -> None:
        self._busy_since_us = alive.busy_since_us
        self.journal_is_behind = alive.journal_is_behind
        if alive.capacity_bytes is not None and alive.free_bytes is not None:
            self.usage = alive.capacity_bytes, alive.free_bytes
            self.usage_us = self._clock.monotonic_us()
        self._note_done(alive.done_bytes)

    def _note_done(self, done_bytes: int) -> None:
        with self._changed:
            self._done_bytes = done_bytes
            self._changed.notify_all()

    def _pass_on(self, event: WriterEvent) -> None:
        assert self._rows is not None
        assert self._report is not None
        match event:
            case Durable(row=row) if row is not None:
                # one message: the index knows a fragment as durable exactly if the recorder does
                self._remember(row)
                self._rows.fragments_durable([row])
                event = replace(event, row=None)
            case Sealed(camera=camera, number=number) | Failed(camera=camera, number=number):
                self._forget((camera, number))
            case Deleted(gone=gone, left=left):
                over = {*gone, *left}
                with self._changed:
                    self._deletions = [one for one in self._deletions if not over >= {*one.files}]
            case VolumeChanged(state=state):
                self.state = state
        self._report(event)

    def _remember(self, row: Segment) -> None:
        with self._changed:
            known = self._known.get((row.camera, row.number))
            if known is not None:
                known.row = row

    def _forget(self, key: _Key) -> None:
        with self._changed:
            self._known.pop(key, None)

    def _row_committed(self, token: int, future: Future[Any]) -> None:
        try:
            error = future.exception()
        except CancelledError:
            text = "the index is closed"
        else:
            text = "" if error is None else str(error) or type(error).__name__
        with self._changed:
            self._urgent.append((RowCommitted(token=token, error=text), 0))
            self._changed.notify_all()

    # Its end ---------------------------------------------------------------------------------

    def _ended(self) -> None:
        """The process is gone, or its socket is: whatever it had goes back."""
        with self._changed:
            self._is_over = True
            known, self._known = self._known, {}
            self._operations.clear()
            self._urgent.clear()
            waiting = list(self._waiting.values())
            self._changed.notify_all()
        for answers in waiting:
            answers.put(None)
        self._end()
        self._link.close()
        if self._closed.is_set() or self._is_closing or self._rows is None:
            return
        self.state = VolumeState.FAILED
        log.error(
            "volume_process_ended",
            extra={"place": self._place, "pid": self._process.pid, "segments": len(known)},
        )
        for key, one in known.items():
            self._give_up(key, one)
        self._give_up_deletions()
        assert self._report is not None
        error = str(self._unavailable("its process has ended"))
        self._report(VolumeChanged(volume=self.volume, state=self.state, error=error))

    def _give_up(self, key: _Key, known: _Known) -> None:
        """End the row at the durable mark; a row without one tells recovery to remove the file."""
        assert self._rows is not None
        assert self._report is not None
        row = known.row
        if row is not None and row.state is SegmentState.OPEN:
            row = replace(row, state=SegmentState.SEALED, end_reason=EndReason.IO_ERROR)
            self._rows.segment_sealed(row)
        if row is None or row.end_reason is EndReason.IO_ERROR:
            self._tell_failed(key, row)
            return
        assert row.end_reason is not None
        self._report(
            Sealed(
                camera=row.camera,
                number=row.number,
                end_us=row.end_us,
                reason=row.end_reason,
                size_bytes=row.size_bytes,
            )
        )

    def _give_up_deletions(self) -> None:
        """Whatever of them is done will be found done when they are tried again."""
        assert self._report is not None
        with self._changed:
            given_up, self._deletions = self._deletions, []
        error = f"the process of volume {self._place} has ended"
        for one in given_up:
            self._report(Deleted(volume=self.volume, gone=(), left=one.files, error=error))

    def _tell_failed(self, key: _Key, row: Segment | None) -> None:
        assert self._report is not None
        self._report(
            Failed(
                camera=key[0],
                number=key[1],
                durable_end_us=row.end_us if row is not None and row.fragments else None,
                cause=GapCause.DISK_FAILED,
                error=f"the process of volume {self._place} has ended",
            )
        )


def _send(link: socket.socket, pieces: list[bytes]) -> None:
    """All of it, with as few calls and copies as there may be. Raises :class:`OSError`."""
    for at in range(0, len(pieces), PIECES_MAX):
        batch = pieces[at : at + PIECES_MAX]
        sent = link.sendmsg(batch)
        for piece in batch:
            if sent < len(piece):
                link.sendall(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))


def _read(stream: BinaryIO) -> tuple[Message, int] | None:
    """The next message; None at the end of the stream."""
    prefix = stream.read(volume_wire.PREFIX.size)
    if len(prefix) < volume_wire.PREFIX.size:
        return None
    head_bytes, tail_bytes = volume_wire.lengths(prefix)
    head, tail = stream.read(head_bytes), stream.read(tail_bytes)
    if len(head) + len(tail) < head_bytes + tail_bytes:
        return None
    return volume_wire.decode(head, tail)


def _waited_for(book: Book) -> Reply:
    try:
        book.wait()
    except IndexUnavailable as error:
        return Reply(failure=Failure.of(error))
    return Reply()

"""The writer of one volume: a thread that no other volume, camera or event loop waits for.

Callers post operations and go on; what came of them is reported from the thread. Written bytes are
synced as a group, all segments of the volume one after the other, so that the oldest of them is
durable within ``durability_us``. A segment whose file fails is given up at its durable mark and
told as :class:`Failed`; operations on it that are still under way are ignored. A volume that failed
is probed every few seconds and comes back by itself; nothing latches.

The queue is not bounded here: fragments are bounded by the recorder's buffer, journal lines by
``JOURNAL_LINES_MAX``.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import CancelledError, Future
from typing import Any

from retention.clock import Clock
from retention.deletions import Deletions
from retention.model import US_PER_S, EndReason, Fragment, Segment, SegmentHeader
from retention.mp4.mux import FragmentUnfit
from retention.segment_writer import SegmentWriter
from retention.volume import Volume
from retention.volume_errors import VolumeError, VolumeState
from retention.writer_ports import (
    Abandon,
    Append,
    Close,
    Delete,
    DiskObserver,
    DoomedFile,
    Durable,
    Failed,
    JournalLine,
    Operation,
    Refused,
    Report,
    Seal,
    Sealed,
    SegmentRows,
    VolumeChanged,
    WriterOperations,
)

log = logging.getLogger(__name__)

#: Recording waits this long for an open row, and then no more until the index has answered.
ROW_WAIT_S = 2.0
#: The stamp is compared this often while all is well, a failed volume is probed this often: a disk
#: that was swapped under its mount is left within ten seconds, as any other that fails.
CHECK_US = 5 * US_PER_S
PROBE_US = 5 * US_PER_S
#: Lines of the journal that wait for a failed volume; beyond that the volume's journal lags until
#: the next start, when it catches up from the index.
JOURNAL_LINES_MAX = 10_000

_Key = tuple[str, int]


class VolumeWriter(WriterOperations):
    """One volume's thread. All methods may be called from any thread, and none blocks but close.

    Args:
        volume: attached; belongs to the writer from now on.
        rows: the index.
        report: called with each event from the writer's thread; must not block or raise.
        observer: latencies and errors.
        clock: for intervals only.
        durability_us: the longest that written bytes may wait for their sync.
    """

    def __init__(
        self,
        volume: Volume,
        *,
        rows: SegmentRows,
        report: Report,
        observer: DiskObserver,
        clock: Clock,
        durability_us: int,
    ) -> None:
        self._disk = volume
        self._rows = rows
        self._report = report
        self._observer = observer
        self._clock = clock
        # a byte written just after a sync began waits for the end of the next one
        self._sync_every_us = durability_us * 4 // 5
        self._queue: queue.SimpleQueue[Operation] = queue.SimpleQueue()
        self._segments: dict[_Key, SegmentWriter] = {}
        self._dirty: dict[_Key, SegmentWriter] = {}  # written to since their last sync
        self._journal_lines: list[bytes] = []
        self._journal_is_behind = False
        self._late_row: Future[Any] | None = None
        self._deletions = Deletions(volume, report, clock)
        self._sync_at_us: int | None = None
        self._check_at_us = clock.monotonic_us() + CHECK_US
        self._busy_since_us: int | None = None
        self._is_closing = False
        self._state = VolumeState.OK
        #: Media of all fragments that were dealt with, one way or the other.
        self.done_bytes = 0
        self._thread = threading.Thread(
            target=self._work, name=f"writer-{volume.uuid[:8]}", daemon=True
        )
        self._thread.start()

    @property
    def volume(self) -> str:
        """The volume's UUID."""
        return self._disk.uuid

    @property
    def state(self) -> VolumeState:
        """As last found out; new segments are better opened on a volume that is ``ok``."""
        return self._state

    @property
    def journal_is_behind(self) -> bool:
        """Whether the volume's journal lacks lines that it will get at the next start only."""
        return self._journal_is_behind

    @property
    def is_over(self) -> bool:
        """Whether it ended by itself; a thread does not."""
        return False

    @property
    def busy_since_us(self) -> int | None:
        """Since when the thread is inside one disk operation (monotonic); None while it waits."""
        return self._busy_since_us

    def stalled_us(self, now_monotonic_us: int) -> int:
        """How long the thread has been inside one disk operation; 0 while it waits for work."""
        since_us = self._busy_since_us
        return 0 if since_us is None else max(0, now_monotonic_us - since_us)

    def post(self, operation: Operation) -> None:
        self._queue.put(operation)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Seal all open segments, make everything durable, end the thread.

        Returns:
            Whether that was done in time; a hung disk keeps its thread, which ends with the
            process.
        """
        self.post(Close())
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # The thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._is_closing:
            now_us = self._clock.monotonic_us()
            due_us = min(
                self._check_at_us,
                self._check_at_us if self._sync_at_us is None else self._sync_at_us,
                self._check_at_us if self._deletions.due_us is None else self._deletions.due_us,
            )
            try:
                if due_us <= now_us:
                    operation = None
                else:
                    operation = self._queue.get(timeout=(due_us - now_us) / US_PER_S)
            except queue.Empty:
                operation = None
            self._busy_since_us = self._clock.monotonic_us()
            try:
                if operation is not None:
                    self._carry_out(operation)
                elif self._sync_at_us is not None and self._sync_at_us <= now_us:
                    self._sync_group()
                elif self._check_at_us <= now_us:
                    self._check()
                elif self._deletions.due_us is not None and self._deletions.due_us <= now_us:
                    self._delete_one()
            except Exception:  # a supervision point: one fault must not end all recording here
                log.exception("writer_fault", extra={"volume": self.volume})
                self._dirty = dict(self._segments)
                self._want_sync()
                self._check_at_us = self._clock.monotonic_us() + PROBE_US
            self._busy_since_us = None
        self._disk.close()

    def _carry_out(self, operation: Operation) -> None:
        match operation:
            case SegmentHeader() as header:
                key = header.camera, header.number
                self._segments[key] = SegmentWriter(self._disk, header, self._open_row)
            case Append(camera=camera, number=number, fragment=fragment):
                key = camera, number
                if key in self._segments:
                    self._append(key, self._segments[key], fragment)
                self.done_bytes += fragment.size_bytes
            case Seal(camera=camera, number=number, reason=reason):
                key = camera, number
                if key in self._segments:
                    self._finish(key, self._segments[key], reason)
            case Abandon(camera=camera, number=number):
                key = camera, number
                if key in self._segments:
                    self._give_up(key, self._segments[key])
            case JournalLine(line=line):
                self._keep_line(line)
            case Delete(files=files, tombstones=tombstones):
                self._begin_deletion(files, tombstones)
            case Close():
                self._is_closing = True
                self._deletions.end()
                for key, segment in list(self._segments.items()):
                    if segment.end_reason is None:
                        self._finish(key, segment, EndReason.RUN_ENDED)
                self._sync_group()

    def _append(self, key: _Key, segment: SegmentWriter, fragment: Fragment) -> None:
        began_us = self._clock.monotonic_us()
        try:
            segment.append(fragment)
        except VolumeError as error:
            self._fail(key, segment, error)
            return
        except FragmentUnfit as error:
            log.exception("fragment_refused", extra={"camera": key[0], "number": key[1]})
            self._report(
                Refused(
                    camera=key[0],
                    number=key[1],
                    start_us=fragment.start_us,
                    end_us=fragment.end_us,
                    error=str(error),
                )
            )
        self._observer.wrote(self.volume, (self._clock.monotonic_us() - began_us) / US_PER_S)
        self._mark_dirty(key, segment)

    def _finish(self, key: _Key, segment: SegmentWriter, reason: EndReason) -> None:
        try:
            segment.finish(reason)
        except VolumeError as error:
            self._fail(key, segment, error)
        else:
            self._mark_dirty(key, segment)

    def _mark_dirty(self, key: _Key, segment: SegmentWriter) -> None:
        self._dirty[key] = segment
        self._want_sync()

    def _want_sync(self) -> None:
        if self._sync_at_us is None:
            self._sync_at_us = self._clock.monotonic_us() + self._sync_every_us

    def _open_row(self, row: Segment, path: str) -> None:
        """D2: wait for the commit, but not for an index that is already known not to answer."""
        future = self._rows.segment_opened(row, path)
        if self._late_row is not None and not self._late_row.done():
            return
        self._late_row = None
        extra = {"camera": row.camera, "number": row.number}
        try:
            error = future.exception(timeout=ROW_WAIT_S)
        except TimeoutError:
            self._late_row = future
            log.warning("index_late", extra=extra)
        except CancelledError:
            log.warning("index_closed", extra=extra)
        else:
            if error is not None:  # recording goes on; start-up adopts a file without a row
                log.error("row_not_opened", extra={**extra, "error": str(error)})

    def _sync_group(self) -> None:
        """D4 to D6 for every segment written to since the last time, and the journal."""
        self._sync_at_us = None
        dirty, self._dirty = self._dirty, {}
        grown: list[Segment] = []
        for key, segment in dirty.items():
            began_us = self._busy_since_us = self._clock.monotonic_us()
            try:
                segment.sync()
            except VolumeError as error:
                self._fail(key, segment, error)
                continue
            self._observer.synced(self.volume, (self._clock.monotonic_us() - began_us) / US_PER_S)
            self._tell_durable(key, segment)
            if segment.end_reason is None:
                grown.append(segment.row())
            else:
                self._tell_sealed(key, segment)
        if grown:
            self._rows.fragments_durable(grown)
        self._sync_journal()

    def _sync_journal(self) -> None:
        if not self._journal_lines:
            return
        try:
            self._disk.append_journal(b"".join(self._journal_lines))
            self._disk.sync_journal()
        except VolumeError as error:
            self._note_error(error)
            self._want_sync()  # all of them again
        else:
            self._journal_lines.clear()

    def _keep_line(self, line: bytes) -> None:
        if self._journal_is_behind:
            return
        if len(self._journal_lines) >= JOURNAL_LINES_MAX:
            # a hole in the middle would never be filled: what follows waits for the next start
            self._journal_is_behind = True
            log.error("journal_behind", extra={"volume": self.volume})
            return
        self._journal_lines.append(line)
        self._want_sync()

    def _check(self) -> None:
        """Compare the stamp; prove that a failed volume is well again."""
        try:
            if self._state is VolumeState.OK:
                self._disk.check()
            else:
                self._disk.probe()
                self._change_state(VolumeState.OK)
            self._check_at_us = self._clock.monotonic_us() + CHECK_US
        except VolumeError as error:
            self._note_error(error)
            if error.state in (VolumeState.MISSING, VolumeState.WRONG_ID, VolumeState.READONLY):
                for key, segment in list(self._segments.items()):
                    self._fail(key, segment, error)

    def _begin_deletion(self, files: tuple[DoomedFile, ...], tombstones: tuple[bytes, ...]) -> None:
        if self._journal_is_behind:
            # the lines were not taken; what this volume lost of its journal waits, these do not
            self._journal_lines += tombstones
        self._sync_journal()
        # A disk that is full to the last byte cannot take a line before something has gone from
        # it; the index has the tombstone by now, and the line is tried again at each sync.
        if self._journal_lines and self._state is not VolumeState.FULL:
            self._deletions.refuse(files, "the volume's journal takes no line")
        else:
            self._deletions.add(files)

    def _delete_one(self) -> None:
        try:
            self._deletions.step()
        except VolumeError as error:
            self._note_error(error)
        if self._deletions.due_us is None and self._state is VolumeState.FULL:
            self._check_at_us = self._clock.monotonic_us()  # there should be room now

    # What became of a segment ----------------------------------------------------------------

    def _tell_durable(self, key: _Key, segment: SegmentWriter) -> None:
        fragments, size_bytes = segment.take_durable()
        end_us = segment.durable_end_us
        if fragments:
            self._report(
                Durable(
                    camera=key[0],
                    number=key[1],
                    end_us=segment.header.start_us if end_us is None else end_us,
                    fragments=fragments,
                    size_bytes=size_bytes,
                    row=segment.row(),
                )
            )

    def _tell_sealed(self, key: _Key, segment: SegmentWriter) -> None:
        self._forget(key, segment)
        row = segment.row()
        assert row.end_reason is not None
        if row.fragments:
            self._rows.segment_sealed(row)
        self._report(
            Sealed(
                camera=key[0],
                number=key[1],
                end_us=row.end_us,
                reason=row.end_reason,
                size_bytes=row.size_bytes,
            )
        )

    def _fail(self, key: _Key, segment: SegmentWriter, error: VolumeError) -> None:
        self._note_error(error)
        if segment.salvage():
            self._tell_durable(key, segment)
            self._tell_sealed(key, segment)
            return
        self._tell_durable(key, segment)
        end_us = self._end_row(key, segment)
        self._report(
            Failed(
                camera=key[0],
                number=key[1],
                durable_end_us=end_us,
                cause=error.cause,
                error=error.sentence(),
            )
        )

    def _give_up(self, key: _Key, segment: SegmentWriter) -> None:
        segment.salvage(keep_undurable=False)
        if segment.salvage_error is not None:
            self._note_error(segment.salvage_error)
        self._end_row(key, segment)

    def _end_row(self, key: _Key, segment: SegmentWriter) -> int | None:
        """Seal the row of a segment that was given up, or withdraw it; where its media end.

        The row of a file that should be gone stays, without a fragment: the next start removes it.
        """
        self._forget(key, segment)
        if segment.durable_end_us is not None or segment.is_left_behind:
            self._rows.segment_sealed(segment.row())
        elif segment.has_row:
            self._rows.segment_discarded(*key)
        return segment.durable_end_us

    def _forget(self, key: _Key, segment: SegmentWriter) -> None:
        segment.close()
        self._segments.pop(key, None)
        self._dirty.pop(key, None)

    # What became of the volume ---------------------------------------------------------------

    def _note_error(self, error: VolumeError) -> None:
        self._observer.io_error(self.volume, error.operation, error.errno_name)
        self._check_at_us = self._clock.monotonic_us() + PROBE_US
        self._change_state(error.state, error.sentence())

    def _change_state(self, state: VolumeState, error: str = "") -> None:
        if state is not self._state:
            self._state = state
            log.log(
                logging.INFO if state is VolumeState.OK else logging.ERROR,
                "volume_state",
                extra={"volume": self.volume, "state": state.value, "error": error},
            )
            self._report(VolumeChanged(volume=self.volume, state=state, error=error))

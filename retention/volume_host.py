"""What is done with one volume, by whoever may wait for its disk. Shell, blocking.

:class:`LocalVolume` does it in this process; ``retention.volume_process`` has it done by a process
of the volume's own, which runs a :class:`LocalVolume`. All methods but the writer's raise
:class:`VolumeError` where the volume fails, and ``IndexUnavailable`` where the index does.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from retention.clock import Clock
from retention.index.read import Index
from retention.model import EndReason, Fragment, Segment, SegmentHeader
from retention.mp4.boxes import SegmentCorrupt
from retention.reconcile import attached_again, reconcile
from retention.recover import Book, finish_given_up, recover
from retention.replica_files import has_durably
from retention.segment_files import facts_at
from retention.stamp import is_blank, read_stamp
from retention.volume import Volume
from retention.volume_errors import VolumeState, VolumeUnavailable, unavailable
from retention.volume_messages import Attach, Attached, Reconciled, Recovery
from retention.writer import VolumeWriter
from retention.writer_ports import DiskObserver, DoomedFile, Report, SegmentRows

log = logging.getLogger(__name__)


class Writer(Protocol):
    """The writer of a volume, near or far: see :class:`WriterOperations`."""

    def open(self, header: SegmentHeader) -> None: ...
    def append(self, camera: str, number: int, fragment: Fragment) -> None: ...
    def seal(self, camera: str, number: int, reason: EndReason) -> None: ...
    def abandon(self, camera: str, number: int) -> None: ...
    def journal(self, line: bytes) -> None: ...
    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None: ...

    @property
    def volume(self) -> str: ...
    @property
    def state(self) -> VolumeState: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def journal_is_behind(self) -> bool: ...
    def stalled_us(self, now_monotonic_us: int) -> int: ...
    def close(self, timeout_s: float = 10.0) -> bool: ...


class VolumeHost(Protocol):
    """One volume; attach first, start the writer last."""

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked; False once its process hangs or is gone."""
        ...

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it holds the volume any more."""
        ...

    @property
    def usage(self) -> tuple[int, int] | None:
        """Capacity and free bytes, as last told without being asked."""
        ...

    @property
    def usage_us(self) -> int:
        """When that was told, monotonic."""
        ...

    def attach(self, wanted: Attach) -> Attached: ...
    def journal_parts(self) -> tuple[str, ...]: ...
    def read_journal(self, part: str) -> bytes: ...
    def give_journal(self, lines: bytes) -> None: ...
    def recover(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int] | None
    ) -> Recovery: ...
    def finish_given_up(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int]
    ) -> Recovery:
        """Finish what the volume had in hand when it failed, while its writer goes on."""
        ...

    def reconcile(
        self,
        index_path: Path,
        book: Book,
        now_us: int,
        own_numbers: Mapping[str, int],
        pause: Callable[[], bool],
    ) -> Reconciled: ...
    def has_durably(self, line: bytes, timeout_s: float) -> bool:
        """Wait until the replica holds a line of the journal durably."""
        ...

    def look_at(self, path: str) -> Segment | None:
        """A segment as its file says; None where no file says so."""
        ...

    def start_writer(
        self, *, rows: SegmentRows, report: Report, observer: DiskObserver, durability_us: int
    ) -> Writer: ...

    def leave(self) -> None:
        """Let go of the volume; its writer is closed before. May be called again."""
        ...


class LocalVolume:
    """A volume whose disk this process waits for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attached: Volume | None = None
        self._lock = -1
        self.is_gone = False

    @property
    def is_usable(self) -> bool:
        return not self.is_gone

    @property
    def usage(self) -> tuple[int, int] | None:
        if self._attached is None:
            return None
        found = self._attached.usage()
        return found.capacity_bytes, found.free_bytes

    @property
    def usage_us(self) -> int:
        return self._clock.monotonic_us()

    @property
    def volume(self) -> Volume:
        assert self._attached is not None, "attached first"
        return self._attached

    def attach(self, wanted: Attach) -> Attached:
        path = Path(wanted.path)
        try:
            self._take_lock(path)
            is_new = wanted.uuid is None and is_blank(path)
        except OSError as error:
            raise unavailable(path, "open", error) from error
        if is_new:
            volume = Volume.stamp(
                path,
                uuid=wanted.new_uuid,
                now_us=wanted.now_us,
                reserve_bytes=wanted.reserve_bytes,
            )
        else:
            volume = Volume.attach(path, uuid=wanted.uuid, reserve_bytes=wanted.reserve_bytes)
        usage = volume.usage()
        if self._attached is not None:
            self._attached.close()
        self._attached = volume
        return Attached(
            uuid=volume.uuid,
            device=volume.device,
            capacity_bytes=usage.capacity_bytes,
            free_bytes=usage.free_bytes,
        )

    def _take_lock(self, path: Path) -> None:
        """No two writers on one volume: an earlier one may still hang in a call to its disk, and
        finish that call when the disk wakes up."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise VolumeUnavailable(
                f"another process still works on volume {path}",
                state=VolumeState.FAILED,
                operation="lock",
                error=error.errno or 0,
                hint="if no other edge runs, an earlier one hangs in a call to this disk",
            ) from None
        except OSError as error:  # network file systems without locks
            log.warning("volume_not_locked", extra={"path": str(path), "error": str(error)})

    def journal_parts(self) -> tuple[str, ...]:
        return tuple(self.volume.journal_parts())

    def read_journal(self, part: str) -> bytes:
        try:
            return (self.volume.path / part).read_bytes()
        except OSError as error:
            raise unavailable(self.volume.path, "read", error) from error

    def give_journal(self, lines: bytes) -> None:
        self.volume.append_journal(lines)
        self.volume.sync_journal()

    def recover(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int] | None
    ) -> Recovery:
        with Index.open_read(index_path) as reader:
            return recover(reader, book, self.volume, now_us, own_numbers)

    def finish_given_up(
        self, index_path: Path, book: Book, now_us: int, own_numbers: Mapping[str, int]
    ) -> Recovery:
        volume = attached_again(self.volume)
        try:
            with Index.open_read(index_path) as reader:
                return finish_given_up(reader, book, volume, now_us, own_numbers)
        finally:
            volume.close()

    def reconcile(
        self,
        index_path: Path,
        book: Book,
        now_us: int,
        own_numbers: Mapping[str, int],
        pause: Callable[[], bool],
    ) -> Reconciled:
        volume = attached_again(self.volume)
        with Index.open_read(index_path) as reader:
            return reconcile(reader, book, volume, now_us, own_numbers, pause)

    def has_durably(self, line: bytes, timeout_s: float) -> bool:
        path = self.volume.path
        return read_stamp(path)[0] == self.volume.uuid and has_durably(path, line, timeout_s)

    def look_at(self, path: str) -> Segment | None:
        try:
            return facts_at(self.volume.path, path, self.volume.uuid).segment
        except (OSError, SegmentCorrupt):
            return None

    def start_writer(
        self, *, rows: SegmentRows, report: Report, observer: DiskObserver, durability_us: int
    ) -> VolumeWriter:
        return VolumeWriter(
            self.volume,
            rows=rows,
            report=report,
            observer=observer,
            clock=self._clock,
            durability_us=durability_us,
        )

    def leave(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self.is_gone = True

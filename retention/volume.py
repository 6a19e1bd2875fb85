"""A volume: one directory tree, known by its stamp, that footage is written to.

Shell, blocking; the only code that opens media files or the journal's parts for writing. Each
:class:`Volume` and its files belong to one thread at a time (the volume's writer, or recovery
before that starts).

The stamp (a UUID) and the device are compared before a file is created, so that a disk that is
not mounted never means footage on the disk below it. What durability means here: ``fdatasync``
of the file, then ``fsync`` of each directory that names it. After a failed sync the kernel may
hold pages for clean that never reached the disk, so such a file is doubtful: nothing beyond its
durable mark counts, and it must be cut back there before anything else is written to it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retention import layout
from retention.stamp import is_blank, read_stamp, stamp_of, write_stamp
from retention.volume_errors import (
    DiskFull,
    DurabilityUnknown,
    VolumeError,
    VolumeState,
    VolumeUnavailable,
    failure,
    state_of,
    unavailable,
    wrong_id,
)

log = logging.getLogger(__name__)

#: The journal goes on in a new part from here on; start-up reads the newest one of each volume
#: (some 4,000 entries, three days of 16 cameras).
JOURNAL_PART_BYTES = 2 * 1024 * 1024
PROBE_BYTES = 4096
#: A full volume is healed at its reserve plus this share of it (and at most so many bytes), so
#: that it does not flutter between full and not full.
HEAL_SHARE = 100
HEAL_BYTES_MAX = 256 * 1024 * 1024

_FILE_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    capacity_bytes: int
    free_bytes: int  # to this process, the reserve included


class Volume:
    """An attached volume. Made by :meth:`attach` or, once in its life, by :meth:`stamp`."""

    def __init__(self, path: Path, *, uuid: str, device: int, reserve_bytes: int) -> None:
        self.path = path
        self.uuid = uuid
        self.reserve_bytes = reserve_bytes
        self.device = device
        self._unsynced_folders: set[str] = set()
        self._journal: SegmentFile | None = None

    @classmethod
    def stamp(cls, path: Path, *, uuid: str, now_us: int, reserve_bytes: int = 0) -> Volume:
        """Make a blank directory a volume; only for a caller who knows that it is a new one.

        Raises:
            VolumeUnavailable: the directory holds anything but ``lost+found``, or fails.
        """
        try:
            if not is_blank(path):
                raise VolumeUnavailable(
                    f"{path} is not empty, so it is not made a new volume",
                    state=VolumeState.WRONG_ID,
                    operation="stamp",
                    hint="mount the right disk there, or empty the directory",
                )
            write_stamp(path, uuid, now_us)
        except OSError as error:
            raise unavailable(path, "stamp", error) from error
        return cls.attach(path, uuid=uuid, reserve_bytes=reserve_bytes)

    @classmethod
    def attach(cls, path: Path, *, uuid: str | None = None, reserve_bytes: int = 0) -> Volume:
        """Take a stamped volume into use.

        Args:
            uuid: the stamp that the index knows for this path; None accepts any.

        Raises:
            VolumeUnavailable: no directory, no stamp, or another volume's.
        """
        found, device = read_stamp(path)
        if uuid is not None and found != uuid:
            raise wrong_id(path, found, uuid)
        return cls(path, uuid=found, device=device, reserve_bytes=reserve_bytes)

    def check(self) -> None:
        """Compare the stamp anew; a disk that came back under another device is taken again.

        Raises:
            VolumeUnavailable: missing, swapped or read-only.
        """
        found, device = read_stamp(self.path)
        if found != self.uuid:
            raise wrong_id(self.path, found, self.uuid)
        try:
            if os.statvfs(self.path).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        except OSError as error:
            raise unavailable(self.path, "check", error) from error
        if device != self.device:
            self.close()  # the journal's part is on what was mounted before
            self.device = device

    def probe(self) -> None:
        """Prove that the volume takes writes again: stamp, room, and a synced nameless file."""
        self.check()
        usage = self.usage()
        margin_bytes = min(self.reserve_bytes // HEAL_SHARE, HEAL_BYTES_MAX) + PROBE_BYTES
        self._require_room(usage.free_bytes, margin_bytes, "probe")
        try:
            file = _open_probe(self.path)
            try:
                os.write(file, bytes(PROBE_BYTES))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise failure(self.path, "probe", error) from error

    def usage(self) -> Usage:
        """Raises :class:`VolumeUnavailable` where the file system does not answer."""
        try:
            figures = os.statvfs(self.path)
        except OSError as error:
            raise unavailable(self.path, "statvfs", error) from error
        return Usage(
            capacity_bytes=figures.f_blocks * figures.f_frsize,
            free_bytes=figures.f_bavail * figures.f_frsize,
        )

    def create(self, path: str) -> SegmentFile:
        """Create a file and the folders to it; durable after its first :meth:`SegmentFile.sync`.

        Raises:
            DiskFull: only the reserve is left.
            VolumeUnavailable: wrong stamp or device, the name exists, or the disk fails.
        """
        return self._create(path, reserve_bytes=self.reserve_bytes)

    def open_existing(self, path: str) -> SegmentFile:
        """Open a file to adopt it: read, cut back, append, sync. All of it counts as durable."""
        with self._root("open") as root:
            file = os.open(path, os.O_RDWR | _FILE_FLAGS, dir_fd=root)
        return SegmentFile(self, path, file, is_new=False)

    def remove(self, path: str) -> None:
        """Take a segment's name away, for its tombstone is written; no error if it is gone already.

        Only for the volume's writer, in the name of retention.sweep.
        """
        with self._root("unlink") as root:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path, dir_fd=root)

    def tidy_folders(self, folders: Iterable[str]) -> None:
        """After removals: make them durable; folders that are empty now go, but for a camera's."""
        with self._root("fsync") as root:
            for folder in folders:
                while True:
                    kept = "/" not in folder or not _remove_if_empty(folder, root)
                    if kept:
                        break
                    self._unsynced_folders.discard(folder)
                    folder = folder.rpartition("/")[0]
                with contextlib.suppress(FileNotFoundError):
                    opened = os.open(folder, _DIRECTORY_FLAGS, dir_fd=root)
                    try:
                        os.fsync(opened)
                    finally:
                        os.close(opened)

    def append_journal(self, lines: bytes) -> None:
        """Append whole lines to the journal, into the reserve if need be; not yet durable.

        A torn last line of an earlier life is closed with a line feed first and left as it is.
        After an error all lines since the last good :meth:`sync_journal` are to be given again.
        """
        if self._journal is not None and self._journal.size_bytes >= JOURNAL_PART_BYTES:
            self.sync_journal()
            self.close()
        if self._journal is None:
            self._journal = self._open_journal()
        try:
            self._journal.append(lines, may_use_reserve=True)
        except VolumeError:
            self._give_up_journal()
            raise

    def sync_journal(self) -> None:
        """Make the journal durable. Raises :class:`DurabilityUnknown`: see append_journal."""
        if self._journal is None:
            return
        try:
            self._journal.sync()
        except DurabilityUnknown:
            self._give_up_journal()
            raise

    def _give_up_journal(self) -> None:
        """Cut the journal back to what is durable, if possible; the next append opens it anew."""
        assert self._journal is not None
        try:
            self._journal.truncate(self._journal.durable_bytes)
        except VolumeError as error:
            log.warning("journal_not_cut_back", extra={"volume": self.uuid, "error": str(error)})
        self.close()

    def journal_parts(self) -> list[str]:
        """Paths of the parts of the journal, in order."""
        try:
            names = os.listdir(self.path / layout.JOURNAL)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unavailable(self.path, "list", error) from error
        return [
            f"{layout.JOURNAL}/{name}" for name in sorted(names) if layout.is_journal_name(name)
        ]

    def close(self) -> None:
        """Let go of the journal; files are closed by who opened them."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _open_journal(self) -> SegmentFile:
        parts = self.journal_parts()
        if not parts:
            return self._create(layout.journal_path(1), reserve_bytes=0)
        file = self.open_existing(parts[-1])
        if file.size_bytes and file.read(file.size_bytes - 1, 1) != b"\n":
            file.append(b"\n", may_use_reserve=True)
        if file.size_bytes < JOURNAL_PART_BYTES:
            return file
        file.close()
        return self._create(layout.journal_path(int(Path(parts[-1]).stem) + 1), reserve_bytes=0)

    def _create(self, path: str, *, reserve_bytes: int) -> SegmentFile:
        *folders, name = path.split("/")
        with self._root("create") as root:
            figures = os.fstatvfs(root)
            free_bytes = figures.f_bavail * figures.f_frsize
            if reserve_bytes and free_bytes <= reserve_bytes:
                self._require_room(free_bytes, 1, "create")
            for depth in range(len(folders)):
                folder = "/".join(folders[: depth + 1])
                try:
                    os.mkdir(folder, 0o755, dir_fd=root)
                except FileExistsError:
                    continue
                self._unsynced_folders.add("/".join(folders[:depth]))
            self._unsynced_folders.add("/".join(folders))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
            file = os.open(path, flags, 0o644, dir_fd=root)
        return SegmentFile(self, path, file, is_new=True)

    def _sync_folders_of(self, path: str) -> None:
        folders = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        due = [folder for folder in ["", *folders] if folder in self._unsynced_folders]
        if not due:
            return
        with self._root("fsync") as root:
            for folder in reversed(due):
                opened = os.open(folder or ".", _DIRECTORY_FLAGS, dir_fd=root)
                try:
                    os.fsync(opened)
                finally:
                    os.close(opened)
                self._unsynced_folders.discard(folder)

    @contextmanager
    def _root(self, operation: str) -> Iterator[int]:
        """The root, proven to be this volume's; what fails inside is told as a VolumeError."""
        try:
            root = os.open(self.path, _DIRECTORY_FLAGS)
        except OSError as error:
            raise unavailable(self.path, operation, error) from error
        try:
            found, device = stamp_of(self.path, root)
            if found != self.uuid or device != self.device:
                raise wrong_id(self.path, found, self.uuid)
            yield root
        except OSError as error:
            raise failure(self.path, operation, error) from error
        finally:
            os.close(root)

    def _require_room(self, free_bytes: int, needed_bytes: int, operation: str) -> None:
        if free_bytes - needed_bytes < self.reserve_bytes:
            raise DiskFull(
                f"volume {self.path} has {free_bytes} bytes left and keeps {self.reserve_bytes}"
                " in reserve",
                state=VolumeState.FULL,
                operation=operation,
                hint="add a volume, or free space on this disk",
            )


class SegmentFile:
    """One file that grows at its end: a segment, or a part of the journal."""

    def __init__(self, volume: Volume, path: str, file: int, *, is_new: bool) -> None:
        self.path = path
        self.size_bytes = os.fstat(file).st_size
        #: Bytes that the last good sync made durable.
        self.durable_bytes = 0 if is_new else self.size_bytes
        self._volume = volume
        self._file = file
        self._is_doubtful = False

    @property
    def is_doubtful(self) -> bool:
        """Whether a sync failed since the file was last cut back."""
        return self._is_doubtful

    def append(self, data: bytes, *, may_use_reserve: bool = False) -> None:
        """Write all of ``data`` at the end, in one call unless the kernel takes less.

        Raises:
            DiskFull: nothing of ``data`` is left in the file.
            VolumeUnavailable: the write failed; the file was cut back if that was possible.
        """
        assert not self._is_doubtful, "a file whose sync failed is cut back first"
        if not may_use_reserve and self._volume.reserve_bytes:
            figures = os.fstatvfs(self._file)
            free_bytes = figures.f_bavail * figures.f_frsize
            self._volume._require_room(free_bytes, len(data), "write")
        at = self.size_bytes
        rest = memoryview(data)
        try:
            while rest:
                count = os.pwrite(self._file, rest, at)
                at += count
                rest = rest[count:]
        except OSError as error:
            told = failure(self._volume.path, "write", error)
            try:
                os.ftruncate(self._file, self.size_bytes)
            except OSError as second:
                told.add_note(f"and cutting {self.path} back failed: {second.strerror}")
                self._is_doubtful = True
            raise told from error
        self.size_bytes = at

    def sync(self) -> None:
        """Make every byte and the name durable.

        Raises:
            DurabilityUnknown: see the module; the file is doubtful from now on.
        """
        try:
            if self._is_doubtful:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            os.fdatasync(self._file)
            self._volume._sync_folders_of(self.path)
        except OSError as error:
            self._is_doubtful = True
            raise DurabilityUnknown(
                f"{self.path} on volume {self._volume.path} could not be synced: {error.strerror}",
                state=state_of(error),
                operation="fsync",
                error=error.errno or 0,
                hint="look at the disk's health (smartctl) and the kernel's log",
            ) from error
        except VolumeError as error:
            self._is_doubtful = True
            raise DurabilityUnknown(
                f"{self.path} could not be synced: {error}",
                state=error.state,
                operation="fsync",
                hint=error.hint,
            ) from error
        self.durable_bytes = self.size_bytes

    def truncate(self, size_bytes: int) -> None:
        """Cut back to ``size_bytes``; a doubtful file must go back to its durable mark."""
        assert size_bytes <= self.size_bytes
        assert not self._is_doubtful or size_bytes <= self.durable_bytes
        try:
            os.ftruncate(self._file, size_bytes)
        except OSError as error:
            raise failure(self._volume.path, "truncate", error) from error
        self.size_bytes = size_bytes
        self.durable_bytes = min(self.durable_bytes, size_bytes)
        self._is_doubtful = False

    def discard(self) -> None:
        """Remove a file that this process made and that never held anything durable."""
        assert self.durable_bytes == 0
        with self._volume._root("unlink") as root:
            os.unlink(self.path, dir_fd=root)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """At most ``size_bytes`` from ``offset`` on; fewer only at the end of the file."""
        try:
            return os.pread(self._file, size_bytes, offset)
        except OSError as error:
            raise failure(self._volume.path, "read", error) from error

    def close(self) -> None:
        """Close without syncing. May be called again."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


def _remove_if_empty(folder: str, root: int) -> bool:
    """Whether a folder is not there (any more)."""
    try:
        os.rmdir(folder, dir_fd=root)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _open_probe(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    # a file system without nameless files (NFS, FAT): a name that goes at once
    name = path / ".xueliang-probe"
    file = os.open(name, os.O_WRONLY | os.O_CREAT | _FILE_FLAGS, 0o600)
    os.unlink(name)
    return file

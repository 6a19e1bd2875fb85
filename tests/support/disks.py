"""Small disks of their own that fail on demand, for tests that run as root."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

#: Whatever becomes of a test: a frozen file system is thawed after so long.
THAW_S = 100.0
#: The last of a disk's room is taken by writing: no file system gives all of it at once.
FILL_BY_HAND_BYTES = 4 << 20


def _run(*command: str | Path) -> bool:
    return subprocess.run(list(map(str, command)), check=False, capture_output=True).returncode == 0


#: _IOR('X', 125, __u32), and to drop what is in the file system's log, too.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = (2).to_bytes(4, "little")


class Disk:
    """A file system at ``root``; :func:`disk` makes it and takes it away.

    Args:
        image: what an ext4 file system stands in.
    """

    def __init__(self, root: Path, image: Path | None = None) -> None:
        self.root = root
        self._image = image
        self._thaw: threading.Timer | None = None

    def freeze(self) -> None:
        """From now on whoever writes waits in the kernel, and cannot be killed."""
        self._thaw = threading.Timer(THAW_S, self.thaw)
        self._thaw.daemon = True
        self._thaw.start()
        assert _run("fsfreeze", "-f", self.root)

    def thaw(self) -> None:
        """No effect on a file system that is not frozen."""
        if self._thaw is not None:
            self._thaw.cancel()
            self._thaw = None
            _run("fsfreeze", "-u", self.root)

    def fill(self, left_bytes: int = 0) -> Path:
        """Take all its room, but for some; the file that takes it."""
        path = self.root / "lost+found" / "fill"
        path.parent.mkdir(exist_ok=True)
        figures = os.statvfs(self.root)
        size = max(0, figures.f_bavail * figures.f_frsize - left_bytes)
        with path.open("wb", buffering=0) as file:
            # at once, for whoever writes here must not have gone elsewhere before it is full
            at_once = max(0, size - FILL_BY_HAND_BYTES)
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, at_once)
                file.seek(at_once)
                size -= at_once
            try:
                while size > 0:
                    size -= file.write(bytes(min(size, 1 << 20)))
            except OSError:
                pass
        return path

    def remount(self, options: str) -> None:
        deadline = time.monotonic() + 5
        while not _run("mount", "-o", f"remount,{options}", self.root):
            assert time.monotonic() < deadline, "it cannot be remounted"
            time.sleep(0.1)

    def break_off(self) -> None:
        """The kernel finds an error in the file system (ext4 only) and makes it read-only."""
        command = ["findmnt", "-no", "SOURCE", str(self.root)]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        assert device.startswith("/dev/loop")  # never a disk of the machine
        (Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error").write_text("1")

    def cut_power(self) -> None:
        """What was not synced is gone (ext4 only); nothing is written any more."""
        root = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(root, _EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(root)

    def power_up(self) -> None:
        """After :meth:`cut_power`, when nobody uses it any more."""
        assert self._image is not None
        deadline = time.monotonic() + 10
        while not _run("umount", self.root):
            assert time.monotonic() < deadline, f"{self.root} is still in use"
            time.sleep(0.05)
        assert _run("mount", "-o", "loop,errors=remount-ro", self._image, self.root)
        probe = self.root / "lost+found" / "probe"
        try:
            probe.touch()
            probe.unlink()
        except OSError:  # a container that was started meanwhile has a copy of the mount
            pytest.skip("another mount namespace keeps the dead file system alive")

    def pull(self) -> None:
        """The mount goes away under whoever uses it."""
        assert _run("umount", "-l", self.root)


def mount_tmpfs(root: Path, size: str) -> None:
    root.mkdir(exist_ok=True)
    assert _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", root)


@contextmanager
def tmpfs(root: Path, size: str) -> Iterator[Disk]:
    """A file system in RAM; skips the test where none may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    mount_tmpfs(root, size)
    try:
        yield Disk(root)
    finally:
        while _run("umount", "-l", root):
            pass


@contextmanager
def ext4(folder: Path, size_mib: int, *, backing_mib: int | None = None) -> Iterator[Disk]:
    """An ext4 file system on a loop device. With less ``backing_mib`` than it has, writing fails
    with EIO once that is used up."""
    folder.mkdir(exist_ok=True)
    with tmpfs(folder / "backing", f"{backing_mib or size_mib + 16}m"):
        image, root = folder / "backing" / "image", folder / "root"
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        assert _run("mkfs.ext4", "-q", "-m", "0", image)
        root.mkdir(exist_ok=True)
        if not _run("mount", "-o", "loop,errors=remount-ro", image, root):
            pytest.skip("no loop device")
        disk = Disk(root, image)
        try:
            yield disk
        finally:
            disk.thaw()
            while _run("umount", "-l", root):
                pass

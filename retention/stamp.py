"""The stamp of a volume: a small JSON file at its root that holds the volume's UUID. Shell."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

from retention import layout
from retention.volume_errors import VolumeState, VolumeUnavailable, unavailable

STAMP_FORMAT = 1
#: A stamp is about 100 bytes; a longer file under its name is not one.
STAMP_BYTES_MAX = 4096

_FILE_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_blank(path: Path) -> bool:
    """Whether a directory holds nothing (but ``lost+found``, or a stamp that never was)."""
    return set(os.listdir(path)) <= {layout.LOST_FOUND, layout.STAMP + ".new"}


def is_bare(path: Path) -> bool:
    """Whether a directory holds a stamp at most. Raises :class:`OSError`."""
    return set(os.listdir(path)) <= {layout.LOST_FOUND, layout.STAMP, layout.STAMP + ".new"}


def write_stamp(path: Path, uuid: str, now_us: int) -> None:
    """Put a stamp on a directory, whole or not at all. Raises :class:`OSError`."""
    document = {"format": STAMP_FORMAT, "uuid": uuid, "created_us": now_us}
    root = os.open(path, _DIRECTORY_FLAGS)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE_FLAGS
        file = os.open(layout.STAMP + ".new", flags, 0o644, dir_fd=root)
        try:
            left = json.dumps(document).encode() + b"\n"
            while left:  # a disk that is nearly full may take a part
                left = left[os.write(file, left) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(layout.STAMP + ".new", layout.STAMP, src_dir_fd=root, dst_dir_fd=root)
        os.fsync(root)
    finally:
        os.close(root)


def read_stamp(path: Path) -> tuple[str, int]:
    """UUID in the stamp of ``path`` and its device; raises :class:`VolumeUnavailable`."""
    try:
        root = os.open(path, _DIRECTORY_FLAGS)
    except OSError as error:
        raise unavailable(path, "open", error) from error
    try:
        return stamp_of(path, root)
    finally:
        os.close(root)


def stamp_of(path: Path, root: int) -> tuple[str, int]:
    """UUID in the stamp under an open root, and the device that both stand on."""
    try:
        file = os.open(layout.STAMP, os.O_RDONLY | _FILE_FLAGS | os.O_NONBLOCK, dir_fd=root)
        try:
            status = os.fstat(file)
            text = os.read(file, STAMP_BYTES_MAX) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(file)
    except FileNotFoundError as error:
        raise VolumeUnavailable(
            f"{path} carries no stamp, so no footage is written there",
            state=VolumeState.MISSING,
            operation="check",
            error=errno.ENOENT,
            hint="is the disk mounted?",
        ) from error
    except OSError as error:
        raise unavailable(path, "check", error) from error
    try:
        document = json.loads(text)
        uuid = document["uuid"] if document["format"] == STAMP_FORMAT else None
    except (ValueError, TypeError, LookupError, RecursionError):
        uuid = None
    if not isinstance(uuid, str) or status.st_dev != os.fstat(root).st_dev:
        raise VolumeUnavailable(
            f"the stamp of {path} is not one of this program",
            state=VolumeState.WRONG_ID,
            operation="check",
            hint=f"look at {path / layout.STAMP}: was it edited, or made by a newer version?",
        )
    return uuid, status.st_dev

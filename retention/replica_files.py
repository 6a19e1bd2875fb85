"""The files of a volume's replica of the journal, for who only reads them. Shell, blocking."""

from __future__ import annotations

import os
import time
from pathlib import Path

from retention import layout
from retention.volume_errors import unavailable

#: A line just written is looked for in so much of a journal's end.
TAIL_BYTES = 2 * 1024 * 1024
LOOK_S = 0.1


def has_durably(root: Path, line: bytes, timeout_s: float) -> bool:
    """Wait until a volume's journal holds ``line``, and sync it. Blocks as long as the disk does.

    Whoever wrote it syncs it, too; asking the disk once more needs no word of the writer.

    Raises:
        VolumeUnavailable: the disk does not answer.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            for path in parts_of(root)[-2:]:
                if _synced_with(path, line):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
    except OSError as error:
        raise unavailable(root, "sync", error) from error


def _synced_with(path: Path, line: bytes) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for is_synced in (False, True):
            size = os.fstat(file).st_size
            tail = os.pread(file, TAIL_BYTES, max(0, size - TAIL_BYTES))
            if b"\n" + line + b"\n" not in b"\n" + tail:
                return False  # or not any more: its writer cut it off after a failed sync
            if not is_synced:
                os.fsync(file)
        return True
    finally:
        os.close(file)


def parts_of(root: Path) -> list[Path]:
    """The parts of a volume's journal, the oldest first. Raises :class:`OSError`."""
    folder = root / layout.JOURNAL
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if layout.is_journal_name(name)]

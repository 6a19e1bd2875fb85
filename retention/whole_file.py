"""A small file replaced whole or not at all, also through a power cut or on a full disk. Shell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

MODE = 0o640
PRIVATE = 0o600


def _nobody(file: int) -> None:
    """It stays this process's user's."""


def replace_file(
    path: Path,
    data: bytes,
    *,
    mode: int = MODE,
    give: Callable[[int], None] = _nobody,
    is_durable: bool = True,
) -> None:
    """Durable under its name when this returns. Blocks; raises :class:`OSError`: then the old
    content stands, and nothing is left beside it.

    For one writer at a time; what a killed one left beside goes.

    Args:
        give: told the open file, to give it its owner before it has content or a name.
        is_durable: False for what is of no use after a power cut; then nothing is synced.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(file, "wb") as out:
            give(file)
            if mode != PRIVATE:  # a USB stick's file system may know no modes
                os.fchmod(file, mode)
            out.write(data)
            out.flush()
            if is_durable:
                os.fsync(file)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """With those above it, each durable; nothing where it stands. Raises :class:`OSError`."""
    missing = [one for one in (path, *path.parents) if not one.is_dir()]
    for one in reversed(missing):
        one.mkdir(mode=mode, exist_ok=True)
        sync_folder(one.parent)


def sync_folder(path: Path) -> None:
    """The names in it are durable. Raises :class:`OSError`."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

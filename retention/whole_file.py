"""A small file replaced whole or not at all, also through a power cut. Shell."""

from __future__ import annotations

import os
from pathlib import Path

MODE = 0o640


def replace_file(path: Path, data: bytes) -> None:
    """Written beside as ``.new``, synced, renamed. Blocks; raises :class:`OSError`.

    For one writer at a time; what a killed one left beside is written over.
    """
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

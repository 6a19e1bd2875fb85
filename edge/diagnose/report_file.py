"""Where the ``diagnose`` service tells ``edge`` what it found. Shell.

``<state_dir>/diagnose/report.json``, of :mod:`edge.diagnose.report`; only ``diagnose`` writes it,
mode 0640, replaced whole.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edge.diagnose.report import Report, dump, parse
from retention.whole_file import replace_file

FOLDER = "diagnose"
NAME = "report.json"
FILE_BYTES_MAX = 1 << 20


def write_report(state_dir: Path, report: Report) -> None:
    """Raises :class:`OSError`."""
    write_whole(state_dir / FOLDER / NAME, dump(report))


def write_whole(path: Path, content: bytes) -> None:
    """A small file of the service's own, replaced whole; of no great use after a power cut, so it
    is not synced. Raises :class:`OSError`."""
    path.parent.mkdir(mode=0o750, exist_ok=True)
    replace_file(path, content, is_durable=False)


def read_whole(path: Path) -> bytes:
    """What :func:`write_whole` wrote. Raises :class:`OSError`, also for a file that is too large to
    be that."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(file, "rb") as stream:
        content = stream.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def read_report(state_dir: Path) -> Report | None:
    """None where there is none that can be read."""
    try:
        return parse(read_whole(state_dir / FOLDER / NAME))
    except OSError:
        return None

"""How far a process or thread gives way to recording: CPU (nice) and disk (ioprio). Shell.

ioprio_set(2) has no wrapper in libc. Both are of the calling thread; threads and processes that it
begins later take them over.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import threading
from enum import IntEnum

log = logging.getLogger(__name__)

_NUMBERS = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "i686": 289}
_WHO_PROCESS = 1


class Disk(IntEnum):
    """Class and level as linux/ioprio.h packs them."""

    LAST = 2 << 13 | 7  # best effort, behind everybody who said nothing
    IDLE = 3 << 13  # only when nobody else wants it


def give_way(nice: int, disk: Disk) -> None:
    """The calling thread, and what it begins from now on. Where it may not be done that is logged,
    and nothing else; a nice value that is higher already stays."""
    here = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, here, max(nice, os.getpriority(os.PRIO_PROCESS, here)))
    except OSError as error:
        log.info("no_cpu_priority", extra={"error": error.strerror})
    number = _NUMBERS.get(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    if number is None or libc.syscall(number, _WHO_PROCESS, 0, int(disk)):
        log.info("no_io_priority")

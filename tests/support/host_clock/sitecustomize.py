"""Puts the host's clock of whatever Python process finds this on its path under a test's control.

``XUELIANG_HOST_CLOCK`` names a file of 9 bytes: by how much UTC is off (microseconds, signed,
little-endian), and whether NTP has the clock in hand. Beside it, ``boot`` holds the boot id. Only
wall time is moved, as clock_settime(2) does; CLOCK_MONOTONIC goes on.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from retention import clock

_PATH = Path(os.environ["XUELIANG_HOST_CLOCK"])
_FILE = os.open(_PATH, os.O_RDONLY)
_utc_us = clock.SystemClock.utc_us


def _state() -> tuple[int, bool]:
    off_us, is_synchronized = struct.unpack("<q?", os.pread(_FILE, 9, 0))
    return off_us, is_synchronized


def utc_us(self: clock.SystemClock) -> int:
    return _utc_us(self) + _state()[0]


clock.SystemClock.utc_us = utc_us  # type: ignore[method-assign]
clock.is_clock_synchronized = lambda: _state()[1]
clock.boot_id = lambda: _PATH.with_name("boot").read_text()

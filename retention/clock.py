"""Where time comes from. Cores take instants as arguments; shells take a :class:`Clock`."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """A source of both times that the recorder needs."""

    def utc_us(self) -> int:
        """Wall time: microseconds since 1970-01-01T00:00:00Z; may be stepped by NTP or a person."""
        ...

    def monotonic_us(self) -> int:
        """CLOCK_MONOTONIC in microseconds: comparable between processes of one boot."""
        ...


class HostClock(Clock, Protocol):
    """What is needed to judge the host's clock (retention.trusted_time)."""

    def raw_us(self) -> int:
        """CLOCK_MONOTONIC_RAW in microseconds: nothing disciplines it; from 0 at boot."""
        ...

    def is_synchronized(self) -> bool:
        """Whether something (NTP, PTP) disciplines the clock."""
        ...


class SystemClock:
    """The host's clocks."""

    def utc_us(self) -> int:
        return time.time_ns() // 1000  # noqa: TID251 - the one place that reads the wall clock

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def raw_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) // 1000

    def is_synchronized(self) -> bool:
        return is_clock_synchronized()


def boot_id() -> str:
    """Of this boot of the host (proc_sys_kernel(5), random)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), as far as ``status``; the rest is room for the kernel."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized


def is_clock_synchronized() -> bool:
    """Whether something (NTP, PTP) disciplines the host clock, as the kernel knows it."""
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.byref(_Timex()))  # modes 0: only reads
    return 0 <= state < _TIME_ERROR

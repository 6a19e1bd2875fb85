"""Where time comes from. Cores take instants as arguments; shells take a :class:`Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of both times that the recorder needs."""

    def utc_us(self) -> int:
        """Wall time: microseconds since 1970-01-01T00:00:00Z; may be stepped by NTP or a person."""
        ...

    def monotonic_us(self) -> int:
        """CLOCK_MONOTONIC in microseconds: comparable between processes of one boot."""
        ...


class SystemClock:
    """The host's clocks."""

    def utc_us(self) -> int:
        return time.time_ns() // 1000  # noqa: TID251 - the one place that reads the wall clock

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

"""RTP and RTCP as a receiver needs them (RFC 3550). Core: bytes in, values out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

US_PER_S = 1_000_000
_HEADER = struct.Struct(">BBHII")
_NTP_EPOCH_S = 2_208_988_800
#: A packet this far behind the newest is a late or doubled one; further, the sender began anew.
MISORDER_MAX = 100
#: No clock of a track is slower, or quicker (RFC 3551, 5; 6184, 8.2.1; 7798, 7.1).
CLOCK_HZ_MIN, CLOCK_HZ_MAX = 1_000, 10_000_000
#: Beyond this (36,000 years), what a sender makes of its time stamps begins anew.
MEDIA_US_MAX = 1 << 60


class Rtp(NamedTuple):
    """The head of a packet that is one, and where its payload stands."""

    is_marked: bool
    payload_type: int
    sequence: int
    time: int
    source: int  # SSRC
    start: int
    end: int


def read_rtp(packet: bytes) -> Rtp | None:
    """RFC 3550, 5.1; None where the bytes are no packet of version 2."""
    if len(packet) < 12:
        return None
    first, second, sequence, time, source = _HEADER.unpack_from(packet)
    start, end = 12, len(packet)
    if first != 0x80:
        if first & 0xC0 != 0x80:
            return None
        start += 4 * (first & 0x0F)
        if first & 0x10:  # an extension
            if start + 4 > end:
                return None
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
        if first & 0x20:  # padding, whose last byte tells its length
            end -= packet[-1]
        if start > end:
            return None
    return Rtp(second > 127, second & 0x7F, sequence, time, source, start, end)


class Sequence:
    """Follows sequence numbers: what was lost, what came late."""

    __slots__ = ("_next", "lost")

    def __init__(self) -> None:
        self._next: int | None = None
        self.lost = 0

    def take(self, number: int) -> int:
        """Packets missing before this one; -1 for a late or doubled one, not to be used."""
        if number == self._next or self._next is None:
            self._next = number + 1 & 0xFFFF
            return 0
        missing = number - self._next & 0xFFFF
        if missing >= 0x10000 - MISORDER_MAX:
            return -1
        self._next = number + 1 & 0xFFFF
        if missing >= 0x8000:
            missing = 1  # the sender began anew: how much is missing nobody knows
        self.lost += missing
        return missing


class MediaClock:
    """Time stamps of one track as microseconds that go on where 32 bits overflow; what they are
    stays within ``MEDIA_US_MAX``, and so in 64 bits, whatever the sender says.

    Args:
        clock_hz: as the sender says; what no clock can be is taken for ``otherwise_hz``.
    """

    __slots__ = ("_back_us", "_base_us", "_clock_hz", "_last", "_newest_us", "_ticks")

    def __init__(self, clock_hz: int, otherwise_hz: int = 90_000) -> None:
        is_one = CLOCK_HZ_MIN <= clock_hz <= CLOCK_HZ_MAX
        self._clock_hz = clock_hz if is_one else otherwise_hz
        self._last: int | None = None
        self._ticks = 0
        self._base_us = 0  # of tick 0, the first time stamp seen
        self._newest_us = 0
        self._back_us = range(0)  # taken back by a shift: told once already

    def at(self, time: int) -> int:
        """The instant of a time stamp near the last one."""
        if self._last is not None:
            self._ticks += (time - self._last + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        self._last = time
        us = self._base_us + self._ticks * US_PER_S // self._clock_hz
        if not -MEDIA_US_MAX < us < MEDIA_US_MAX:
            us = self._ticks = self._base_us = 0
            self._back_us = range(0)
        if us in self._back_us:
            return self._newest_us
        self._newest_us = us
        return us

    def shift(self, by_us: int) -> None:
        """Moves what comes from now on; what would go back stands at the newest instant instead."""
        self._base_us += by_us
        self._back_us = range(self._newest_us + by_us, self._newest_us)  # empty for a shift on

    def near(self, time: int) -> int | None:
        """The same without moving on; None before the first time stamp."""
        if self._last is None:
            return None
        ticks = self._ticks + (time - self._last + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return self._base_us + ticks * US_PER_S // self._clock_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReport:
    """The sender's wall time, and the RTP time stamp of it (6.4.1)."""

    utc_us: int
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The sender ends this track (6.6)."""


def read_rtcp(packet: bytes) -> Iterator[SenderReport | Bye]:
    """What a compound packet says, as far as it can be read."""
    at = 0
    while at + 4 <= len(packet) and packet[at] & 0xC0 == 0x80:
        kind = packet[at + 1]
        size = 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
        if kind == 200 and at + 20 <= len(packet):
            seconds, fraction, time = struct.unpack_from(">III", packet, at + 8)
            utc_us = (seconds - _NTP_EPOCH_S) * US_PER_S + (fraction * US_PER_S >> 32)
            yield SenderReport(utc_us=utc_us, time=time)
        elif kind == 203:
            yield Bye()
        at += size

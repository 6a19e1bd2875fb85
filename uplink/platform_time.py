"""The Date of a REGISTER's 200 as a measured offset (GB/T 28181 9.10, gb28181.md 2.4). Core.

Nothing is set by it: what comes out is one more opinion for trusted time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

US_PER_S = 1_000_000
_BEIJING = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})[T ]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})"
    r"(?:\.([0-9]{1,6})[0-9]*)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)
#: A platform that writes UTC where Beijing time is due (or the reverse) is off by this much.
ZONE_MISTAKE_US = 8 * 3600 * US_PER_S
ZONE_MISTAKE_TOLERANCE_US = 60 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """An instant as a Date states it; the truth lies within ``resolution_us`` after it."""

    utc_us: int
    resolution_us: int


def parse_date(text: str) -> Stated | None:
    """ISO without a zone is Beijing time (the standard); RFC 1123 is GMT. None: unreadable."""
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return _parse_rfc_1123(text)
    fraction = match[7] or ""
    zone = _zone(match[8])
    try:
        at = datetime(*(int(match[place]) for place in range(1, 7)), tzinfo=zone)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return Stated(
        utc_us=_utc_us(at) + int(fraction.ljust(6, "0") or "0"),
        resolution_us=10 ** (6 - len(fraction)),
    )


def offset(stated: Stated, *, received_utc_us: int, round_trip_us: int) -> tuple[int, int] | None:
    """Platform minus ours, and how far off that may be, in microseconds.

    None for an offset of almost exactly eight hours: a mistake of zones (wvp issue 1700).
    """
    theirs_us = stated.utc_us + stated.resolution_us // 2
    ours_us = received_utc_us - round_trip_us // 2
    offset_us = theirs_us - ours_us
    if abs(abs(offset_us) - ZONE_MISTAKE_US) <= ZONE_MISTAKE_TOLERANCE_US:
        return None
    return offset_us, (round_trip_us + stated.resolution_us) // 2 + 1


def _parse_rfc_1123(text: str) -> Stated | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    try:
        return Stated(utc_us=_utc_us(at), resolution_us=US_PER_S)
    except OverflowError:
        return None


def _zone(text: str | None) -> timezone:
    if text is None:
        return _BEIJING
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    if minutes >= 24 * 60:
        return _BEIJING
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _utc_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)

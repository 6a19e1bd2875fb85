"""Times of MANSCDP: Beijing local time, ``2026-11-23T20:15:30``, no zone, no fraction. Core."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from config.instants import BEIJING, format_instant

US_PER_S = 1_000_000
_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T\s](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?\s?"
    r"(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - beside timezone() below
#: What the calendar of this device can hold: 2000-01-01 and 2200-01-01, Beijing time.
_EARLIEST_US = 946_656_000 * US_PER_S
_LATEST_US = 7_258_089_600 * US_PER_S


def parse_time(text: str) -> int | None:
    """UTC microseconds; None where ``text`` is no time.

    Taken as well: fractions, ``Z`` and offsets, one-digit fields, a blank for the ``T``, 24:00:00.
    Times outside the years 2000 to 2199 become the nearest of these.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    is_midnight = (hour, minute, second) == (24, 0, 0)
    try:
        moment = datetime(year, month, day, 0 if is_midnight else hour, minute, second)  # noqa: DTZ001
        moment = moment.replace(tzinfo=_zone(found[8]))
        instant_us = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
    instant_us += 86_400 * US_PER_S if is_midnight else 0
    instant_us += int((found[7] or "0")[:6].ljust(6, "0"))
    return min(max(instant_us, _EARLIEST_US), _LATEST_US)


def format_time(instant_us: int) -> str:
    """As platforms read it; what is below a second is cut off."""
    return format_instant(instant_us, timespec="seconds")[:19]


def _zone(text: str | None) -> timezone:
    if not text:
        assert isinstance(BEIJING, timezone)
        return BEIJING
    if text in "Zz":
        return timezone(timedelta(0))
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > 59:
        raise ValueError("an offset has at most 59 minutes")
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))

"""Instants as people write them: ISO 8601 with an offset, or local time of the site without one.

Core. Inside the project an instant is an integer: microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from config.errors import XueliangError

BEIJING: tzinfo = timezone(timedelta(hours=8), "UTC+08:00")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class BadInstant(XueliangError):
    """A text that is no instant."""

    code = "bad_instant"


def parse_instant(text: str, zone: tzinfo = BEIJING) -> int:
    """The instant that ``text`` names, in UTC microseconds; ``zone`` holds where it has no offset.

    Raises:
        BadInstant: ``text`` is not ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInstant(
            f"{text!r} is no instant",
            hint="write 2026-11-23T20:15:30 (local time) or 2026-11-23T12:15:30Z",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _US


def format_instant(
    instant_us: int, zone: tzinfo = BEIJING, *, timespec: str = "milliseconds"
) -> str:
    """ISO 8601 with offset, as :func:`parse_instant` reads it."""
    return (_EPOCH + instant_us * _US).astimezone(zone).isoformat(timespec=timespec)


def zone_named(name: str) -> tzinfo:
    """The time zone of an IANA name, as the settings hold it."""
    return ZoneInfo(name)

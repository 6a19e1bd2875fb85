"""Sizes and durations as people write them in the settings: "5GiB", "90d".

Core. Sizes are whole bytes; durations are whole microseconds.
"""

from __future__ import annotations

import re
from fractions import Fraction

BYTES_PER_UNIT = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
US_PER_UNIT = {
    "us": 1,
    "ms": 10**3,
    "s": 10**6,
    "min": 60 * 10**6,
    "h": 3600 * 10**6,
    "d": 86400 * 10**6,
}

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{1,3})", re.ASCII)
_BINARY = ("TiB", "GiB", "MiB", "KiB")
_TIMES = ("d", "h", "min", "s", "ms")


def parse_bytes(text: str) -> int:
    """The bytes that ``text`` ("5GiB", "1.5 TB") names.

    Raises:
        ValueError: no number with one of the units of ``BYTES_PER_UNIT``, or not whole bytes.
    """
    return _parse(text, BYTES_PER_UNIT, "size", "5GiB")


def parse_duration_us(text: str) -> int:
    """The microseconds that ``text`` ("90d", "1.5 s") names.

    Raises:
        ValueError: no number with one of the units of ``US_PER_UNIT``, or not whole microseconds.
    """
    return _parse(text, US_PER_UNIT, "duration", "90d")


def format_bytes(size_bytes: int) -> str:
    """``size_bytes`` (not negative) for people: at most one decimal, in binary units."""
    for unit in _BINARY:
        if size_bytes >= BYTES_PER_UNIT[unit]:
            return f"{size_bytes / BYTES_PER_UNIT[unit]:.1f}".removesuffix(".0") + unit
    return f"{size_bytes}B"


def format_duration_us(duration_us: int) -> str:
    """``duration_us`` (not negative) for people: at most one decimal, in its largest unit."""
    for unit in _TIMES:
        if duration_us >= US_PER_UNIT[unit]:
            return f"{duration_us / US_PER_UNIT[unit]:.1f}".removesuffix(".0") + unit
    return f"{duration_us}us"


def _parse(text: str, units: dict[str, int], what: str, example: str) -> int:
    match = _QUANTITY.fullmatch(text.strip())
    factor = units.get(match[2]) if match else None
    if match is None or factor is None:
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise ValueError(
            f'{shown!r} is no {what}: a number and one of {", ".join(units)}, as in "{example}"'
        )
    value = Fraction(match[1]) * factor
    if value.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of the smallest unit")
    return int(value)

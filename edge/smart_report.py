"""What a disk says of its health, out of ``smartctl --json``. Core.

Only what recording.md asks for: the raw values of five ATA attributes, which rise before most
failures, and the temperature. NVMe disks have no such attributes; their media errors count as 187.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Reallocated sectors, reported uncorrectable errors, command time-outs, pending sectors, offline
#: uncorrectable sectors.
ATTRIBUTES = (5, 187, 188, 197, 198)
_REPORTED_ERRORS = 187
_COMMAND_TIMEOUTS = 188
#: Some makers pack three counts of 16 bits into attribute 188; the lowest is that of all time-outs.
_COUNT_MASK = 0xFFFF
_TEMPERATURES_C = range(-60, 151)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartReport:
    """Raw values by attribute, as far as the disk has them."""

    attributes: dict[int, int] = field(default_factory=dict)
    temperature_c: int | None = None


def parse_smart(text: bytes) -> SmartReport:
    """Read the output of ``smartctl --json -A``; whatever it lacks is left out."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return SmartReport()
    if not isinstance(document, dict):
        return SmartReport()
    attributes = dict(_ata_attributes(_table(document, "ata_smart_attributes").get("table")))
    errors = _table(document, "nvme_smart_health_information_log").get("media_errors")
    if type(errors) is int and errors >= 0:
        attributes[_REPORTED_ERRORS] = errors
    temperature = _table(document, "temperature").get("current")
    is_sane = type(temperature) is int and temperature in _TEMPERATURES_C
    return SmartReport(attributes=attributes, temperature_c=temperature if is_sane else None)


def worst(reports: Iterable[SmartReport]) -> SmartReport:
    """The report of a volume that stands on several disks: the highest of each value."""
    found = list(reports)
    temperatures = [one.temperature_c for one in found if one.temperature_c is not None]
    return SmartReport(
        attributes={
            number: max(one.attributes[number] for one in found if number in one.attributes)
            for number in ATTRIBUTES
            if any(number in one.attributes for one in found)
        },
        temperature_c=max(temperatures, default=None),
    )


def _ata_attributes(table: Any) -> Iterable[tuple[int, int]]:
    for row in table if isinstance(table, list) else []:
        number = row.get("id") if isinstance(row, dict) else None
        if type(number) is not int or number not in ATTRIBUTES:
            continue
        value = _table(row, "raw").get("value")
        if type(value) is not int or value < 0:
            continue
        is_packed = number == _COMMAND_TIMEOUTS and value > _COUNT_MASK
        yield number, value & _COUNT_MASK if is_packed else value


def _table(document: Any, name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}

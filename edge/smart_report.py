"""What a disk says of its health, out of ``smartctl --json``. Core.

What recording.md asks for: the raw values of five ATA attributes, which rise before most failures,
and the temperature; and what a disk itself calls a failure. Disks of other kinds have no such
attributes: of NVMe (NVM Express base specification, SMART / Health Information log) media errors
count as 187; of SAS (SPC-4, error counter log pages; SBC-3, READ DEFECT DATA) grown defects count
as 5, and errors that were not corrected as 187. The shapes are those of smartmontools 7.3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Reallocated sectors, reported uncorrectable errors, command time-outs, pending sectors, offline
#: uncorrectable sectors.
ATTRIBUTES = (5, 187, 188, 197, 198)
_REALLOCATED, _REPORTED_ERRORS = 5, 187
_COMMAND_TIMEOUTS = 188
#: Some makers pack three counts of 16 bits into attribute 188; the lowest is that of all time-outs.
_COUNT_MASK = 0xFFFF
#: Bits of an NVMe disk's critical warning; a temperature alone (bit 1) is told as one.
_NVME_WARNINGS = {
    0x01: "its spare is below the threshold",
    0x04: "it is not reliable any more",
    0x08: "it takes no writes any more",
    0x10: "its backup of volatile memory failed",
}
_TEMPERATURES_C = range(-60, 151)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartReport:
    """Raw values by attribute, as far as the disk has them."""

    attributes: dict[int, int] = field(default_factory=dict)
    temperature_c: int | None = None
    #: What the disk itself calls a failure, in a few words each.
    failing: tuple[str, ...] = ()


def parse_smart(text: bytes) -> SmartReport:
    """Read the output of ``smartctl --json``; whatever it lacks is left out."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return SmartReport()
    if not isinstance(document, dict):
        return SmartReport()
    rows = _table(document, "ata_smart_attributes").get("table")
    nvme = _table(document, "nvme_smart_health_information_log")
    attributes = {**dict(_ata_attributes(rows)), **_scsi_counts(document)}
    errors = _count(nvme, "media_errors")
    if errors is not None:
        attributes[_REPORTED_ERRORS] = errors
    failing = [*_status(document), *_ata_failing(rows), *_nvme_failing(nvme)]
    temperature = _table(document, "temperature").get("current")
    is_sane = type(temperature) is int and temperature in _TEMPERATURES_C
    return SmartReport(
        attributes=attributes,
        temperature_c=temperature if is_sane else None,
        failing=tuple(failing),
    )


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
        failing=tuple(one for report in found for one in report.failing),
    )


def _status(document: dict[str, Any]) -> Iterable[str]:
    """The disk's verdict on itself (``-H``)."""
    if _table(document, "smart_status").get("passed") is False:
        yield "the disk says that it fails"


def _ata_failing(rows: Any) -> Iterable[str]:
    """Attributes at or below the maker's threshold now."""
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("when_failed") == "now":
            number = row.get("id")
            if type(number) is int and 0 < number < 256:
                yield f"attribute {number} is at its threshold"


def _nvme_failing(log: dict[str, Any]) -> Iterable[str]:
    warning = _count(log, "critical_warning") or 0
    for bit, words in _NVME_WARNINGS.items():
        if warning & bit:
            yield words
    used = _count(log, "percentage_used")
    if used is not None and used >= 100:
        yield f"{used} % of its endurance is used"


def _scsi_counts(document: dict[str, Any]) -> dict[int, int]:
    found = {}
    defects = _count(document, "scsi_grown_defect_list")
    if defects is not None:
        found[_REALLOCATED] = defects
    log = _table(document, "scsi_error_counter_log")
    errors = [
        count
        for name in ("read", "write", "verify")
        if (count := _count(_table(log, name), "total_uncorrected_errors")) is not None
    ]
    if errors:
        found[_REPORTED_ERRORS] = sum(errors)
    return found


def _count(table: dict[str, Any], name: str) -> int | None:
    value = table.get(name)
    return value if type(value) is int and value >= 0 else None


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

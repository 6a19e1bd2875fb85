"""What the platform's clock showed, from ``uplink`` to ``edge``. Shell.

``<state_dir>/uplink/platform-time.json`` (only ``uplink`` writes it, mode 0640, replaced whole):

    {"version": 1, "boot": "<boot id>", "platforms": {"<name>": {"utc_us": 1, "raw_us": 2}}}

``utc_us`` is what the platform's SIP Date said, ``raw_us`` what CLOCK_MONOTONIC_RAW showed then: so
a step of the host's clock does not change what it says. ``edge`` takes it for what it is, text that
another process wrote on the word of a peer: whatever is not exactly this counts as nothing said,
and a platform has one vote of three (``retention.trusted_time``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retention.trusted_time import READING_AGE_MAX_US, Reading
from retention.whole_file import replace_file

FOLDER = "uplink"
NAME = "platform-time.json"
FILE_BYTES_MAX = 64 * 1024
_VERSION = 1
_INSTANT_MAX_US = 1 << 60


def write_platform_time(state_dir: Path, boot_id: str, readings: Mapping[str, Reading]) -> None:
    """Tell what each platform said last. Raises :class:`OSError`."""
    document = {
        "version": _VERSION,
        "boot": boot_id,
        "platforms": {
            name: {"utc_us": one.utc_us, "raw_us": one.raw_us} for name, one in readings.items()
        },
    }
    path = state_dir / FOLDER / NAME
    path.parent.mkdir(mode=0o750, exist_ok=True)
    replace_file(path, json.dumps(document).encode(), is_durable=False)  # told anew after a restart


def read_platform_time(state_dir: Path, boot_id: str, now_raw_us: int) -> Reading | None:
    """The median of what the platforms said of late in this boot; None if none did."""
    try:
        file = os.open(state_dir / FOLDER / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        content = os.read(file, FILE_BYTES_MAX + 1)
    except OSError:
        return None
    finally:
        os.close(file)
    return parse_platform_time(content, boot_id, now_raw_us)


def parse_platform_time(content: bytes, boot_id: str, now_raw_us: int) -> Reading | None:
    """As :func:`read_platform_time`, of the file's bytes."""
    try:
        if len(content) > FILE_BYTES_MAX:
            raise ValueError("too long")
        found = json.loads(content)
        if (found["version"], found["boot"]) != (_VERSION, boot_id):
            return None
        readings = [
            Reading(utc_us=_instant(one["utc_us"]), raw_us=_instant(one["raw_us"]))
            for one in found["platforms"].values()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    fresh = [one for one in readings if 0 <= now_raw_us - one.raw_us <= READING_AGE_MAX_US]
    return median(fresh)


def median(readings: list[Reading]) -> Reading | None:
    """The reading in the middle by what it says of now; of an even number the earlier one."""
    ordered = sorted(readings, key=lambda one: one.utc_us - one.raw_us)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _instant(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _INSTANT_MAX_US:
        raise ValueError("no instant")
    return value

"""The file in which the platform's time is told: whatever is not exactly that says nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.platform_time import (
    median,
    parse_platform_time,
    read_platform_time,
    write_platform_time,
)
from retention.trusted_time import Reading

S = 1_000_000
T0 = 1_795_478_400 * S
BOOT = "b" * 36


def document(**changes: Any) -> bytes:
    whole = {"version": 1, "boot": BOOT, "platforms": {"police": {"utc_us": T0, "raw_us": 5 * S}}}
    return json.dumps(whole | changes).encode()


def test_written_and_read(tmp_path: Path) -> None:
    reading = Reading(utc_us=T0, raw_us=5 * S)
    write_platform_time(tmp_path, BOOT, {"police": reading})
    write_platform_time(tmp_path, BOOT, {"police": reading})
    path = tmp_path / "uplink" / "platform-time.json"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == [path.name]
    assert read_platform_time(tmp_path, BOOT, 6 * S) == reading
    assert parse_platform_time(path.read_bytes(), BOOT, 6 * S) == reading
    assert document() == path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        document()[:-2],
        document(version=2),
        document(boot="another"),
        document(platforms=[]),
        document(platforms={"police": {"utc_us": float(T0), "raw_us": 5}}),
        document(platforms={"police": {"utc_us": True, "raw_us": 5}}),
        document(platforms={"police": {"utc_us": -1, "raw_us": 5}}),
        document(platforms={"police": {"utc_us": 1 << 62, "raw_us": 5}}),
        document(platforms={"police": {"utc_us": T0}}),
        document(platforms={"police": {"utc_us": T0, "raw_us": 7 * S}}),  # of the future
        document(platforms={f"p{n}": {"utc_us": T0, "raw_us": 5} for n in range(3000)}),
        b"[" * 50_000,
    ],
)
def test_what_is_not_exactly_that_says_nothing(content: bytes) -> None:
    assert parse_platform_time(content, BOOT, 6 * S) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    parse_platform_time(content, BOOT, 6 * S)


def test_what_is_old_says_nothing() -> None:
    assert parse_platform_time(document(), BOOT, 6 * 3600 * S + 5 * S) is not None
    assert parse_platform_time(document(), BOOT, 6 * 3600 * S + 6 * S) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_platform_time(tmp_path, BOOT, {"police": Reading(utc_us=T0, raw_us=5 * S)})
    path = tmp_path / "uplink" / "platform-time.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_platform_time(tmp_path, BOOT, 6 * S) is None


def test_of_several_the_one_in_the_middle_speaks() -> None:
    said = [Reading(utc_us=T0 + off_us, raw_us=0) for off_us in (40, -3, 7)]
    assert median(said) == said[2]
    assert median(said[:2]) == said[1]
    assert median([]) is None

"""Dates of platforms: what they write, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.platform_time import Stated, offset, parse_date

S = 1_000_000
#: 2026-11-23T12:15:30Z
NOON = 1795436130 * S


@pytest.mark.parametrize(
    ("text", "utc_us", "resolution_us"),
    [
        ("2026-11-23T20:15:30.123", NOON + 123_000, 1_000),
        ("2026-11-23T20:15:30", NOON, S),
        ("2026-11-23 20:15:30.5", NOON + 500_000, 100_000),
        ("2026-11-23T20:15:30.123+08:00", NOON + 123_000, 1_000),
        ("2026-11-23T12:15:30Z", NOON, S),
        ("Mon, 23 Nov 2026 12:15:30 GMT", NOON, S),
    ],
)
def test_as_platforms_write_it(text: str, utc_us: int, resolution_us: int) -> None:
    assert parse_date(text) == Stated(utc_us=utc_us, resolution_us=resolution_us)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00", "2026-11-23", "0000-01-01T0:0:0"]
)
def test_unreadable(text: str) -> None:
    assert parse_date(text) is None


@given(st.text(max_size=40))
def test_nothing_raises(text: str) -> None:
    for prefix in ("", "2026-11-23T20:15:30", "Mon, 23 Nov "):
        parse_date(prefix + text)


def test_the_offset_takes_the_way_back_into_account() -> None:
    stated = Stated(utc_us=NOON + 5 * S, resolution_us=1_000)
    found = offset(stated, received_utc_us=NOON + 100_000, round_trip_us=200_000)
    assert found is not None
    offset_us, uncertainty_us = found
    assert offset_us == 5 * S + 500
    assert uncertainty_us == 100_501


@pytest.mark.parametrize("hours", [8, -8])
def test_a_mistake_of_zones_is_no_offset(hours: int) -> None:
    stated = Stated(utc_us=NOON + hours * 3600 * S + 2 * S, resolution_us=S)
    assert offset(stated, received_utc_us=NOON, round_trip_us=0) is None

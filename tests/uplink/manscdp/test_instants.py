"""Beijing local time on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.manscdp.instants import US_PER_S, format_time, parse_time

AT = 1_795_392_000 * US_PER_S  # gb28181.md, section 11: 2026-11-23T08:00:00 Beijing time


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T08:00:00",
        " 2026-11-23T08:00:00 ",
        "2026-11-23 08:00:00",
        "2026-11-23T8:0:0",
        "2026-11-23T08:00:00.000",
        "2026-11-23T00:00:00Z",
        "2026-11-23t08:00:00+08:00",
        "2026-11-22T19:00:00-0500",
    ],
)
def test_spellings_of_one_instant(text: str) -> None:
    assert parse_time(text) == AT


def test_fractions_midnight_and_bounds() -> None:
    assert parse_time("2026-11-23T08:00:00.25") == AT + 250_000
    assert parse_time("2026-11-22T24:00:00") == AT - 8 * 3600 * US_PER_S
    assert parse_time("1970-01-01T00:00:00") == parse_time("2000-01-01T00:00:00")
    assert parse_time("9999-12-31T23:59:59") == parse_time("2200-01-01T00:00:00")


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-23", "2026-13-01T00:00:00", "2026-02-30T00:00:00", "2026-11-23T25:00:00"]
    + ["2026-11-23T08:00:00+25:00", "2026-11-23T08:00:00+08:99", "0000-00-00T00:00:00"],
)
def test_what_is_no_time(text: str) -> None:
    assert parse_time(text) is None


@given(st.integers(946_656_000, 7_258_089_599))
def test_what_is_written_reads_back(seconds: int) -> None:
    assert parse_time(format_time(seconds * US_PER_S)) == seconds * US_PER_S
    assert format_time(seconds * US_PER_S + 999_999) == format_time(seconds * US_PER_S)


@given(st.text(alphabet="0123456789-:T .Z+", max_size=40) | st.text(max_size=30))
def test_the_reader_never_raises(text: str) -> None:
    parse_time(text)

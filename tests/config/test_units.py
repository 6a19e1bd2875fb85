from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import (
    BYTES_PER_UNIT,
    US_PER_UNIT,
    format_bytes,
    format_duration_us,
    parse_bytes,
    parse_duration_us,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("5GiB", 5 * 2**30), ("64MiB", 64 * 2**20), ("1.5 TB", 1_500_000_000_000), ("0B", 0)],
)
def test_sizes_carry_their_unit(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration_us"),
    [("90d", 90 * 86400 * 10**6), ("1.5s", 1_500_000), ("10 min", 600 * 10**6), ("3ms", 3000)],
)
def test_durations_carry_their_unit(text: str, duration_us: int) -> None:
    assert parse_duration_us(text) == duration_us


@pytest.mark.parametrize(
    "text", ["", "5", "GiB", "-1GiB", "5 gib", "1e3B", "0.5B", "٥GiB", "5GiB\n6"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no size|is not a whole number"):
        parse_bytes(text)


@given(st.text(max_size=200))
def test_any_text_gives_a_size_or_a_short_sentence(text: str) -> None:
    message = ""
    try:
        parse_bytes(text)
    except ValueError as error:
        message = str(error)
    assert len(message) < 400


@given(st.integers(0, 10**14), st.sampled_from(sorted(BYTES_PER_UNIT)))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert parse_bytes(f"{number}{unit}") == number * BYTES_PER_UNIT[unit]


@given(st.integers(0, 2**50))
def test_sizes_for_people_read_back_within_a_decimal(size_bytes: int) -> None:
    assert abs(parse_bytes_loose(format_bytes(size_bytes)) - size_bytes) <= size_bytes * 0.051 + 1


def parse_bytes_loose(text: str) -> float:
    for unit in ("TiB", "GiB", "MiB", "KiB", "B"):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * BYTES_PER_UNIT[unit]
    raise AssertionError(text)


def test_durations_for_people() -> None:
    assert format_duration_us(90 * US_PER_UNIT["d"]) == "90d"
    assert format_duration_us(1_500_000) == "1.5s"
    assert format_duration_us(7) == "7us"

"""Instants at the human edge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.instants import BadInstant, format_instant, parse_instant, zone_named

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T20:15:30", "2026-11-23T20:15:30+08:00", "2026-11-23T12:15:30Z"],
)
def test_local_time_is_beijing_and_an_offset_is_obeyed(text: str) -> None:
    assert parse_instant(text) == 1_795_436_130_000_000


def test_a_bad_text_gets_one_sentence_with_its_mend() -> None:
    with pytest.raises(BadInstant, match="'yesterday' is no instant") as caught:
        parse_instant("yesterday")
    assert "2026-11-23T20:15:30" in caught.value.hint


@given(st.integers(0, 50_000 * DAY_US))
def test_what_is_formatted_is_parsed_to_the_same_microsecond(instant_us: int) -> None:
    zone = zone_named("Asia/Shanghai")
    assert parse_instant(format_instant(instant_us, zone, timespec="microseconds")) == instant_us

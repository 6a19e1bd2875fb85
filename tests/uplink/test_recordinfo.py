"""RecordInfo against an oracle that counts seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import Span
from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    GATE_CHANNEL,
    T0,
    ask,
    judged,
    judged_all,
)
from uplink import recordinfo
from uplink.manscdp.instants import US_PER_S, parse_time
from uplink.recordinfo import DAY_US, Item, Window, items

HOUR_US = 3600 * US_PER_S
MIDNIGHT = T0 - 8 * HOUR_US


def _items(
    spans: list[Span], from_us: int, to_us: int, longest_us: int = HOUR_US, clip: bool = True
) -> list[Item]:
    asked = Window(from_us=from_us, to_us=to_us)
    return items(spans, asked, longest_us=longest_us, is_clipped=clip)


def test_an_ordinary_day_is_24_items() -> None:
    whole = Span(start_us=MIDNIGHT - DAY_US, end_us=MIDNIGHT + 2 * DAY_US)
    found = _items([whole], MIDNIGHT, MIDNIGHT + DAY_US)
    assert len(found) == 24
    assert (found[0].start_us, found[-1].end_us) == (MIDNIGHT, MIDNIGHT + DAY_US)


def test_ninety_days_are_cut_at_midnight_only() -> None:
    whole = Span(start_us=MIDNIGHT - 90 * DAY_US, end_us=MIDNIGHT)
    found = _items([whole], MIDNIGHT - 90 * DAY_US, MIDNIGHT)
    assert len(found) == 90
    assert all(item.end_us - item.start_us == DAY_US for item in found)


def test_gaps_stay_visible_and_nothing_is_padded() -> None:
    spans = [
        Span(start_us=T0 + 300_000, end_us=T0 + 10_700_000),
        Span(start_us=T0 + 12_000_000, end_us=T0 + 12_900_000),  # less than a whole second
        Span(start_us=T0 + 20_000_000, end_us=T0 + 30_000_000),
    ]
    assert _items(spans, T0, T0 + HOUR_US) == [
        Item(start_us=T0 + 1_000_000, end_us=T0 + 10_000_000),
        Item(start_us=T0 + 20_000_000, end_us=T0 + 30_000_000),
    ]


def test_true_bounds_where_the_platform_wants_them() -> None:
    span = Span(start_us=T0 - 600 * US_PER_S, end_us=T0 + 600 * US_PER_S)
    far = Span(start_us=T0 + 1000 * US_PER_S, end_us=T0 + 1100 * US_PER_S)
    asked = (T0 + 60 * US_PER_S, T0 + 120 * US_PER_S)
    assert _items([span, far], *asked) == [Item(start_us=asked[0], end_us=asked[1])]
    assert _items([span, far], *asked, longest_us=0, clip=False) == [
        Item(start_us=span.start_us, end_us=span.end_us)
    ]
    low_us, high_us = recordinfo.search_window(
        Window(from_us=asked[0], to_us=asked[1]), is_clipped=False
    )
    assert (low_us, high_us) == (MIDNIGHT, MIDNIGHT + DAY_US)


def test_other_types_hold_nothing_here() -> None:
    span = Span(start_us=T0, end_us=T0 + HOUR_US)
    for name, count in (("all", 1), ("time", 1), ("", 1), ("alarm", 0), ("manual", 0)):
        message = ask(
            "RecordInfo",
            "<StartTime>2026-11-23T08:00:00</StartTime><EndTime>2026-11-23T09:00:00</EndTime>",
            f"<Type>{name}</Type>",
        )
        asked = recordinfo.window(message)
        assert asked is not None
        assert len(items([span], asked, longest_us=0, is_clipped=True)) == count


@pytest.mark.parametrize(
    ("start", "end"),
    [("", ""), ("2026-11-23T08:00:00", ""), ("2026-11-23T08:00:00", "2026-11-23T07:00:00")],
)
def test_a_query_without_a_window(start: str, end: str) -> None:
    text = f"<StartTime>{start}</StartTime><EndTime>{end}</EndTime>"
    assert recordinfo.window(ask("RecordInfo", text)) is None


def _spans(steps: list[tuple[int, int]]) -> list[Span]:
    """Spans at least a second apart, in tenths of seconds."""
    spans: list[Span] = []
    place = T0
    for hole, length in steps:
        place += US_PER_S + hole * 100_000
        spans.append(Span(start_us=place, end_us=place + length * 100_000))
        place = spans[-1].end_us
    return spans


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 5000)), max_size=20),
    st.integers(0, 6000),
    st.integers(0, 6000),
    st.sampled_from([0, 60, 300, 3600]),
)
def test_items_cover_exactly_the_whole_recorded_seconds(
    steps: list[tuple[int, int]], first_s: int, length_s: int, longest_s: int
) -> None:
    spans = _spans(steps)
    from_us = T0 + first_s * US_PER_S
    to_us = from_us + length_s * US_PER_S
    found = _items(spans, from_us, to_us, longest_us=longest_s * US_PER_S)
    told: set[int] = set()
    for item in found:
        seconds = set(range(item.start_us // US_PER_S, item.end_us // US_PER_S))
        assert seconds
        assert not told & seconds  # they never overlap
        told |= seconds
        assert not longest_s or len(seconds) <= longest_s
    true = {
        second
        for second in range(from_us // US_PER_S, to_us // US_PER_S)
        if any(
            span.start_us <= second * US_PER_S and (second + 1) * US_PER_S <= span.end_us
            for span in spans
        )
    }
    assert told == true
    assert len({(item.start_us, item.end_us) for item in found}) == len(found)


@pytest.mark.parametrize("device", [DEVICE_2016, DEVICE_2022])
def test_the_answer_adds_up(device: object) -> None:
    edition = DEVICE_2016 if device is DEVICE_2016 else DEVICE_2022
    message = ask("RecordInfo", device_id=GATE)
    found = [Item(start_us=T0 + n * HOUR_US, end_us=T0 + (n + 1) * HOUR_US) for n in range(100)]
    parts = list(recordinfo.answer(message, edition, GATE_CHANNEL, edition.edition, found, 900))
    assert max(map(len, parts)) <= 900
    told = judged_all(parts, 900, "RecordList")
    assert [
        Item(
            start_us=parse_time(item.findtext("StartTime", "")) or 0,
            end_us=parse_time(item.findtext("EndTime", "")) or 0,
        )
        for item in told
    ] == found
    assert {item.findtext("DeviceID") for item in told} == {GATE}
    assert {item.findtext("RecorderID") for item in told} == {DEVICE}
    assert (told[0].find("RecordLocation") is not None) == (edition is DEVICE_2022)
    assert {judged(part).findtext("SN") for part in parts} == {"17"}


def test_nothing_is_one_answer() -> None:
    message = ask("RecordInfo", device_id=GATE)
    (only,) = recordinfo.answer(message, DEVICE_2016, GATE_CHANNEL, "2016", [], 900)
    root = judged(only)
    assert root.findtext("SumNum") == "0"
    assert root.find("RecordList") is None
    assert replace(DEVICE_2016).record_days == 90

"""A day as a platform is told it: items add up, and an answer that is wrong shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.instants import BEIJING, parse_instant
from retention.model import US_PER_S, Gap, GapCause, Span
from retention.poll import HOUR_US, instant_in, items_of, judge
from retention.timeline import Timeline, timeline

DAY = parse_instant("2026-11-24T00:00:00")
END = DAY + 24 * HOUR_US
MINUTE = 60 * US_PER_S


def _line(*gaps: tuple[int, int, GapCause]) -> Timeline:
    """Minutes of the day."""
    rows = [
        Gap(camera="gate", start_us=DAY + a * MINUTE, end_us=DAY + b * MINUTE, cause=cause)
        for a, b, cause in gaps
    ]
    edges = [DAY, *(edge for gap in rows for edge in (gap.start_us, gap.end_us or 0)), END]
    spans = [Span(start_us=a, end_us=b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return timeline("gate", spans, rows, DAY, END)


def test_a_whole_day_is_24_items() -> None:
    line = _line()
    polled = judge(line, items_of(line, BEIJING))
    assert len(polled.items) == 24
    assert (polled.due_us, polled.covered_us) == (24 * HOUR_US, 24 * HOUR_US)
    assert (polled.missing, polled.faults) == ((), ())


def test_a_gap_stays_visible_and_has_its_cause() -> None:
    line = _line((90, 95, GapCause.POWER_LOST))
    polled = judge(line, items_of(line, BEIJING))
    assert len(polled.items) == 25
    (gap,) = polled.missing
    assert (gap.start_us, gap.end_us) == (DAY + 90 * MINUTE, DAY + 95 * MINUTE)
    assert gap.cause is GapCause.POWER_LOST
    assert polled.covered_us == polled.due_us - 5 * MINUTE
    assert polled.faults == ()


def test_what_expired_is_not_due() -> None:
    line = _line((0, 60, GapCause.EXPIRED))
    polled = judge(line, items_of(line, BEIJING))
    assert polled.due_us == polled.covered_us == 23 * HOUR_US
    assert (polled.missing, polled.faults) == ((), ())


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([Span(start_us=DAY, end_us=DAY + HOUR_US)] * 2, "overlap"),
        ([Span(start_us=DAY - 1, end_us=END)], "begins before the day"),
        ([Span(start_us=DAY, end_us=END + 1)], "ends behind the day"),
        ([Span(start_us=DAY, end_us=END), Span(start_us=END, end_us=END)], "empty"),
        ([], "do not add up"),
        ([Span(start_us=DAY, end_us=END - MINUTE)], "do not add up"),
    ],
)
def test_a_wrong_answer_fails_the_check(items: list[Span], sentence: str) -> None:
    assert any(sentence in fault for fault in judge(_line(), items).faults)


@given(st.lists(st.integers(0, 24 * 60), min_size=0, max_size=20, unique=True))
def test_items_and_gaps_add_up_to_any_day(edges: list[int]) -> None:
    ordered = sorted(edges)
    pairs = zip(ordered[::2], ordered[1::2], strict=False)
    line = _line(*((a, b, GapCause.NETWORK) for a, b in pairs))
    polled = judge(line, items_of(line, BEIJING))
    assert polled.faults == ()
    assert polled.covered_us == line.recorded_us
    assert all(item.end_us - item.start_us <= HOUR_US for item in polled.items)
    assert all(
        (item.start_us - DAY) // HOUR_US == (item.end_us - 1 - DAY) // HOUR_US
        for item in polled.items
    )


@given(
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=6),
    data=st.data(),
)
def test_each_recorded_instant_is_as_likely_as_any_other(
    lengths: list[tuple[int, int]], data: st.DataObject
) -> None:
    at, spans = 0, []
    instants: list[int] = []
    for pause, length in lengths:
        spans.append(Span(start_us=at + pause, end_us=at + pause + length))
        at = spans[-1].end_us
        instants += range(spans[-1].start_us, at)
    place = data.draw(st.integers(0, len(instants) - 1))
    assert instant_in(spans, (place + 0.5) / len(instants)) == instants[place]
    assert instant_in([], 0.5) is None

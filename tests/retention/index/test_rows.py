"""Hot statements run on an index, whatever the size of the table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.index import rows
from retention.index.migrations import migrate
from retention.index.write import put_segment
from retention.model import Span
from retention.timeline import Stretch, union
from tests.retention.indexing import T0, segment_of


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        rows.AT_OR_BEFORE,
        rows.AFTER,
        rows.UNFINISHED,
        rows.ANY_OPEN,
        rows.ABSENCES,
        rows.SPANS,
        rows.SPANS_END,
        rows.NEXT_START,
        rows.LAST_STARTS,
        rows.GAPS,
        rows.OPEN_GAPS,
        rows.NEWEST,
        rows.OLDEST,
        rows.NEXT_DELETED,
        rows.NEWEST_TIMED,
        rows.VAGUE_GAPS,
        rows.MARKERS,
    ],
)
def test_no_hot_statement_scans_or_sorts(connection: sqlite3.Connection, statement: str) -> None:
    count = statement.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * count).fetchall()
    for *_, step in plan:
        assert "TEMP B-TREE" not in step
        assert re.match(
            r"SEARCH|SCAN segment USING INDEX segment_unfinished|CO-ROUTINE|SCAN \(subquery"
            r"|(CORRELATED )?SCALAR SUBQUERY",
            step,
        ), step


def test_the_time_line_touches_no_fragments(connection: sqlite3.Connection) -> None:
    for statement in (rows.SPANS, rows.SPANS_END, rows.NEXT_START, rows.LAST_STARTS):
        given = ("a",) * statement.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()
        reads = [step for *_, step in plan if "segment" in step]
        assert reads
        assert all("COVERING INDEX segment_time" in step for step in reads)


def test_an_instant_finds_the_segment_that_holds_it(connection: sqlite3.Connection) -> None:
    for number in range(10):
        start_us = T0 + number * 100 + (50 if number > 5 else 0)
        put_segment(connection, segment_of(number, start_us, start_us + 100))

    def number_at(at_us: int) -> int | None:
        found = rows.segment_at(connection, "gate", at_us)
        return None if found is None else found.number

    assert number_at(T0 - 5) == 0
    assert number_at(T0 + 99) == 0
    assert number_at(T0 + 100) == 1
    assert number_at(T0 + 620) == 6  # in the hole: the next one
    assert number_at(T0 + 2000) is None


def test_a_row_without_a_durable_fragment_is_no_footage(connection: sqlite3.Connection) -> None:
    put_segment(connection, segment_of(1, T0, T0 + 1000))
    empty = replace(segment_of(2, T0 + 2000, T0 + 2000, is_open=True), fragments=())
    put_segment(connection, empty)
    assert rows.newest_us(connection, "gate") == T0 + 1000


def test_a_segment_of_a_clock_set_back_is_found_behind_newer_starts(
    connection: sqlite3.Connection,
) -> None:
    put_segment(connection, segment_of(1, T0, T0 + 1000))
    put_segment(connection, segment_of(2, T0 + 500, T0 + 510))
    found = rows.segment_at(connection, "gate", T0 + 700)
    assert found is not None
    assert found.number == 1


def test_spans_come_with_their_neighbours_and_joined(connection: sqlite3.Connection) -> None:
    second = 1_000_000
    for number in range(5):
        start_us = T0 + number * 100 * second
        put_segment(connection, segment_of(10 + number, start_us, start_us + 90 * second))
        put_segment(
            connection,
            segment_of(20 + number, start_us + 90 * second + 5, start_us + 95 * second),
        )
    found = rows.spans(connection, "gate", T0 + 196 * second, T0 + 205 * second)
    assert (
        found
        == [
            Span(start_us=T0 + number * 100 * second, end_us=T0 + (number * 100 + 95) * second)
            for number in (0, 1, 2)
        ][:3]
    )
    # the segment behind the window is a neighbour, too
    assert rows.spans(connection, "gate", T0, T0 + 10)[-1].end_us == T0 + 95 * second


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30),
    st.integers(-5, 70),
    st.integers(0, 30),
)
def test_spans_are_the_union_of_the_rows(
    pieces: list[tuple[int, int]], from_s: int, length_s: int
) -> None:
    """Inside the window; beside it they may lack what does not touch it."""
    half = 500_000
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    stored = [
        segment_of(number, T0 + start * half, T0 + (start + length) * half)
        for number, (start, length) in enumerate(sorted(pieces))
    ]
    for segment in stored:
        put_segment(connection, segment)
    from_us, to_us = T0 + from_s * half, T0 + (from_s + length_s) * half
    found = rows.spans(connection, "gate", from_us, to_us)
    connection.close()
    near = [segment for segment in stored if segment.start_us >= from_us]
    near += [segment for segment in stored if segment.start_us < from_us][-rows.OVERLAP_SEGMENTS :]

    def inside(spans: Iterable[Stretch]) -> list[tuple[int, int]]:
        clipped = [(max(one.start_us, from_us), min(one.end_us, to_us)) for one in spans]
        return [(start_us, end_us) for start_us, end_us in clipped if start_us < end_us]

    assert inside(found) == inside(union(near))

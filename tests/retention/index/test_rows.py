"""Hot statements run on an index, whatever the size of the table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from retention.index import rows
from retention.index.migrations import migrate
from retention.index.write import put_segment
from retention.model import Span
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
        rows.SPANS,
        rows.NEXT_SPAN,
        rows.LAST_SPANS,
        rows.GAPS,
        rows.OPEN_GAPS,
        rows.NEWEST,
        rows.OLDEST,
    ],
)
def test_no_hot_statement_scans_or_sorts(connection: sqlite3.Connection, statement: str) -> None:
    count = statement.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * count).fetchall()
    for *_, step in plan:
        assert "TEMP B-TREE" not in step
        assert re.match(
            r"SEARCH|SCAN segment USING INDEX segment_unfinished|CO-ROUTINE|SCAN \(subquery", step
        ), step


def test_the_time_line_touches_no_fragments(connection: sqlite3.Connection) -> None:
    plan = connection.execute(f"EXPLAIN QUERY PLAN {rows.SPANS}", ("a", 2, 1)).fetchall()
    assert "COVERING INDEX" in plan[0][-1]


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

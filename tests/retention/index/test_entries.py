"""What each journal entry does to the rows; rows only ever follow the chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.index import rows
from retention.index.entries import add_entries
from retention.index.migrations import migrate
from retention.journal import Head, Journal, Kind
from retention.model import GapCause
from tests.retention.indexing import KEY, T0, dump

S = 1_000_000


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def gap(event: str, start_s: int, end_s: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {"event": event, "camera": "gate", "start_us": T0 + start_s * S}
    if event != "opened":
        data["end_us"] = T0 + end_s * S
    if event in ("opened", "gap"):
        data |= {"cause": GapCause.POWER_LOST.value, "detail": ""}
    return data


def test_an_entry_that_does_not_follow_is_left_out(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    one, two, three = (journal.entry(Kind.GAP, gap("gap", n * 9, n * 9 + 5), T0) for n in range(3))
    assert add_entries(connection, [one, three]) == 1
    assert add_entries(connection, [one, two, three]) == 3
    assert len(rows.gaps(connection, "gate", 0, 1 << 60)) == 3
    branch = Journal(KEY, Head(seq=3, hash="f" * 64)).entry(Kind.GAP, gap("gap", 90, 99), T0)
    assert add_entries(connection, [branch]) == 3


def test_a_removed_camera_has_no_open_gap(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    camera = {"camera": "gate"}
    told = [
        journal.entry(Kind.CAMERA, {**camera, "event": "commissioned"}, T0),
        journal.entry(Kind.GAP, gap("opened", 5), T0),
        journal.entry(Kind.CAMERA, {**camera, "event": "removed"}, T0 + 20 * S),
    ]
    add_entries(connection, told)
    assert [found.end_us for found in rows.gaps(connection, "gate", 0, 1 << 60)] == [T0 + 20 * S]


events = st.one_of(
    st.builds(gap, st.just("opened"), st.integers(0, 20)),
    *(
        st.builds(lambda a, b, e=event: gap(e, min(a, b), max(a, b)), *[st.integers(0, 20)] * 2)
        for event in ("closed", "gap", "found")
    ),
)


@settings(max_examples=80)
@given(st.lists(events, max_size=12), st.integers(0, 12))
def test_applied_in_one_go_or_in_two_the_rows_are_the_same(
    told: list[dict[str, Any]], cut: int
) -> None:
    journal = Journal(KEY, Head())
    entries = [journal.entry(Kind.GAP, data, T0) for data in told]
    dumps = []
    for parts in ([entries], [entries[:cut], entries[cut:]], [entries, entries]):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection)
        for part in parts:
            add_entries(connection, part)
        dumps.append(dump(connection))
        connection.close()
    assert dumps[0] == dumps[1] == dumps[2]

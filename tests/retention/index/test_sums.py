"""Sums kept by triggers: at any time what adding up the rows would give."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.index.migrations import migrate
from retention.index.write import drop_segment, put_segment
from retention.model import US_PER_S, SegmentState
from tests.retention.indexing import T0, segment_of

HOUR_US = 3_600 * US_PER_S
ADDED_UP = (
    "SELECT camera, start_us / 3600000000, volume, sum(size_bytes), sum(end_us - start_us),"
    " count(*) FROM segment WHERE state = 'sealed' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)

steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "seal", "drop", "retime"]),
        st.sampled_from(["gate", "yard"]),
        st.integers(1, 5),
        st.integers(0, 3),
        st.integers(200, 400),
    ),
    max_size=30,
)


@given(steps)
@settings(max_examples=100)
def test_sums_are_those_of_the_rows(steps: list[tuple[str, str, int, int, int]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    for kind, camera, number, hours, size_bytes in steps:
        if kind == "drop":
            drop_segment(connection, camera, number)
        elif kind == "retime":
            connection.execute(
                "UPDATE segment SET start_us = start_us + ?1, end_us = end_us + ?1,"
                " offset_us = offset_us + ?1 WHERE camera = ?2 AND number = ?3",
                (hours * HOUR_US, camera, number),
            )
        else:
            start_us = T0 + number * HOUR_US // 2
            one = segment_of(
                number,
                start_us,
                start_us + 60 * US_PER_S,
                camera=camera,
                is_open=kind == "open",
                size_bytes=size_bytes,
            )
            put_segment(connection, one)
        stored = connection.execute("SELECT * FROM stored ORDER BY 1, 2, 3").fetchall()
        assert stored == connection.execute(ADDED_UP).fetchall()
    connection.close()


def test_a_segment_sealed_a_second_time_counts_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    one = segment_of(1, T0, T0 + US_PER_S)
    for size_bytes in (1000, 1500):
        put_segment(connection, replace(one, size_bytes=size_bytes, state=SegmentState.SEALED))
    found = connection.execute("SELECT size_bytes, segments FROM stored").fetchall()
    assert found == [(1500, 1)]
    connection.close()

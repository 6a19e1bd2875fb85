"""What policy chooses from: in order, only what can be deleted, and never all of it at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from retention.index.entries import add_entries
from retention.index.migrations import migrate
from retention.index.read import Index
from retention.index.write import connect_for_writing, put_segments
from retention.journal import Head, Journal, Kind
from retention.model import US_PER_S, Segment
from retention.shelf import BY_KEY, BY_NUMBER, BY_TIME, IndexShelf
from tests.retention.indexing import KEY, RUN, T0, segment_of

S = US_PER_S


def sealed(number: int, start_s: int, volume: str = "v", run: str = RUN) -> Segment:
    start_us = T0 + start_s * S
    return replace(segment_of(number, start_us, start_us + 60 * S), volume=volume, run=run)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect_for_writing(tmp_path / "index.db")) as made:
        yield made


def numbers(tmp_path: Path, volumes: tuple[str, ...] = ("v",), from_s: int = 0) -> list[int]:
    with closing(Index(tmp_path / "index.db")) as index:
        shelf = IndexShelf(index, volumes)
        return [one.number for one in shelf.by_time("gate", T0 + from_s * S)]


def test_in_order_of_time_and_of_number(tmp_path: Path, connection: sqlite3.Connection) -> None:
    put_segments(connection, [sealed(1, 500), sealed(2, 100), sealed(3, 300)])
    assert numbers(tmp_path) == [2, 3, 1]
    assert numbers(tmp_path, from_s=300) == [3, 1]
    with closing(Index(tmp_path / "index.db")) as index:
        assert [one.number for one in IndexShelf(index, ["v"]).by_number("gate")] == [1, 2, 3]


def test_only_what_can_be_deleted(tmp_path: Path, connection: sqlite3.Connection) -> None:
    """Neither open, nor on a disk that is away, nor marked."""
    still_open = segment_of(4, T0 + 400 * S, T0 + 410 * S, is_open=True)
    put_segments(connection, [sealed(1, 100), sealed(2, 200, "away"), sealed(3, 300), still_open])
    connection.execute("INSERT INTO doomed VALUES ('gate', 3)")
    assert numbers(tmp_path) == [1]
    assert numbers(tmp_path, ("v", "away")) == [1, 2]


def test_many_rows_are_read_in_pieces(tmp_path: Path, connection: sqlite3.Connection) -> None:
    put_segments(connection, [sealed(n, 60 * n) for n in range(1, 2_001)])
    assert numbers(tmp_path) == list(range(1, 2_001))


def test_rows_on_a_disk_that_is_away_are_stepped_over_once(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    put_segments(connection, [sealed(n, 60 * n, "away") for n in range(1, 500)])
    put_segments(connection, [sealed(n, 60 * n) for n in range(500, 510)])
    with closing(Index(tmp_path / "index.db")) as index:
        shelf = IndexShelf(index, ["v"])
        for _ in range(3):
            assert [one.number for one in shelf.by_time("gate", -1)] == list(range(500, 510))
        assert shelf._fronts[BY_TIME, "gate"] == (T0 + 500 * 60 * S, 499)
        shelf.leave_out("gate", [500, 502])
        assert [one.number for one in shelf.by_time("gate", -1)][:2] == [501, 503]


def test_known_is_what_was_trusted_or_re_timed(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    journal = Journal(KEY, Head())
    told = [
        {"run": "1" * 32, "clock": "trusted", "epoch": 0},
        {"run": "2" * 32, "clock": "untrusted", "epoch": 7},
    ]
    media = {"video": {"codec": "h264", "width": 1, "height": 1, "parameter_sets": []}}
    same = {"camera": "gate", "start_us": T0, "format": media}
    add_entries(connection, [journal.entry(Kind.RUN, {**one, **same}, T0) for one in told])
    put_segments(connection, [sealed(n, 60 * n, run=str(n) * 32) for n in (1, 2, 3)])
    with closing(Index(tmp_path / "index.db")) as index:
        found = list(IndexShelf(index, ["v"]).by_number("gate"))
    assert [(one.is_time_known, one.epoch) for one in found] == [(True, 0), (False, 7), (False, 0)]


@pytest.mark.parametrize("statement", [BY_TIME, BY_NUMBER, BY_KEY])
def test_nothing_is_sorted_and_no_table_is_scanned(statement: str) -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    arguments = (None,) * statement.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments).fetchall()
    steps = [row[3] for row in plan]
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    assert not [step for step in steps if step.startswith("SCAN segment")], steps
    assert any("segment_time" in step or "autoindex_segment" in step for step in steps), steps
    connection.close()

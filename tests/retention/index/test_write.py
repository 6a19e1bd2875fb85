"""The write thread: what a future's answer promises."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from retention.index import rows
from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.index.write import QUEUE_OPERATIONS_MAX, IndexWriter
from retention.model import EndReason, Segment
from tests.retention.indexing import T0, segment_of
from tests.retention.writing import wait_until


def stored(index: IndexWriter, number: int = 1) -> Segment | None:
    return index.submit(lambda connection: rows.segment(connection, "gate", number)).result()


def test_an_answered_row_is_committed(tmp_path: Path) -> None:
    segment = segment_of(1, T0, T0 + 5, is_open=True)
    with IndexWriter(tmp_path / "index.db") as index:
        index.segment_opened(segment, "p").result()
        other = sqlite3.connect(tmp_path / "index.db")
        assert other.execute("SELECT count(*) FROM segment").fetchone() == (1,)
        other.close()


def test_one_failing_function_costs_no_other_its_change(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "index.db") as index:
        hold, held = threading.Event(), threading.Event()

        def wait(connection: sqlite3.Connection) -> None:
            held.set()
            hold.wait(5)

        blocker = index.submit(wait)
        held.wait(5)
        one = index.segment_sealed(segment_of(1, T0, T0 + 5))
        bad: Future[None] = index.submit(lambda connection: connection.execute("nonsense"))  # type: ignore[arg-type]
        two = index.segment_sealed(segment_of(2, T0 + 5, T0 + 9))
        hold.set()
        for future in (blocker, one, two):
            future.result()
        with pytest.raises(IndexUnavailable):
            bad.result()
        assert stored(index, 1) is not None
        assert stored(index, 2) is not None


def test_rows_go_only_forward(tmp_path: Path) -> None:
    """An index that was stuck gets its rows late and in any order."""
    small = segment_of(1, T0, T0 + 5, is_open=True, size_bytes=500)
    big = segment_of(1, T0, T0 + 9, is_open=True, size_bytes=900)
    sealed = segment_of(1, T0, T0 + 9, size_bytes=1200)
    with IndexWriter(tmp_path / "index.db") as index:
        for given, expected in ((big, big), (small, big), (sealed, sealed), (big, sealed)):
            index.fragments_durable([given]).result()
            found = stored(index)
            assert found is not None
            assert (found.end_us, found.size_bytes, found.state) == (
                expected.end_us,
                expected.size_bytes,
                expected.state,
            )


def test_a_segment_that_a_disk_gave_up_can_be_finished(tmp_path: Path) -> None:
    given_up = replace(segment_of(1, T0, T0 + 5), end_reason=EndReason.IO_ERROR)
    with IndexWriter(tmp_path / "index.db") as index:
        index.segment_sealed(given_up).result()
        assert index.submit(rows.unfinished_segments).result() == [stored(index)]
        index.segment_sealed(replace(given_up, size_bytes=1100)).result()
        found = stored(index)
        assert found is not None
        assert found.size_bytes == 1100


def test_a_withdrawn_row_is_gone(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "index.db") as index:
        index.segment_opened(segment_of(1, T0, T0, is_open=True), "p").result()
        index.segment_discarded("gate", 1).result()
        assert stored(index) is None


def test_a_full_queue_answers_at_once(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "index.db") as index:
        hold = threading.Event()
        index.submit(lambda connection: hold.wait(10))
        futures = [index.submit(lambda connection: None) for _ in range(QUEUE_OPERATIONS_MAX + 300)]
        with pytest.raises(IndexUnavailable):
            futures[-1].result(timeout=0)
        hold.set()


def test_after_close_nothing_is_taken_and_nothing_was_lost(tmp_path: Path) -> None:
    index = IndexWriter(tmp_path / "index.db")
    future = index.segment_sealed(segment_of(1, T0, T0 + 5))
    index.close()
    future.result(timeout=0)
    with pytest.raises(IndexUnavailable):
        index.submit(lambda connection: None).result()
    assert not (tmp_path / "index.db-wal").exists()


def test_a_locked_index_fails_its_transaction_and_recovers(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "index.db") as index:
        index.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 10")).result()
        other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexUnavailable):
            index.segment_sealed(segment_of(1, T0, T0 + 5)).result()
        assert index.failure
        other.execute("ROLLBACK")
        other.close()
        index.segment_sealed(segment_of(1, T0, T0 + 5)).result()
        assert not index.failure


def test_a_sealed_row_that_was_not_taken_is_told_again(tmp_path: Path) -> None:
    """A state disk that was full for a while: nobody but the writer thread knows of the row."""
    with IndexWriter(tmp_path / "index.db") as index:
        index.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 10")).result()
        other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in (1, 2):
            with pytest.raises(IndexUnavailable):
                index.segment_sealed(segment_of(number, T0, T0 + 5)).result()
        other.execute("ROLLBACK")
        other.close()
        assert stored(index, 1) is None  # any transaction that goes well
        wait_until(lambda: stored(index, 1) is not None and stored(index, 2) is not None)
        assert not index._owed


@pytest.mark.parametrize("size", [100, 4096, 20_000])
def test_a_file_that_is_no_index_is_corrupt(tmp_path: Path, size: int) -> None:
    (tmp_path / "index.db").write_bytes(b"\xa5" * size)
    with pytest.raises(IndexCorrupt):
        IndexWriter(tmp_path / "index.db")


def test_another_programs_database_is_not_taken(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "index.db")
    other.execute("PRAGMA user_version = 1")
    other.close()
    with pytest.raises(IndexCorrupt):
        IndexWriter(tmp_path / "index.db")


def test_a_newer_schema_is_not_touched(tmp_path: Path) -> None:
    IndexWriter(tmp_path / "index.db").close()
    other = sqlite3.connect(tmp_path / "index.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(IndexUnavailable, match="99") as caught:
        IndexWriter(tmp_path / "index.db")
    assert not isinstance(caught.value, IndexCorrupt)

"""Checkpoints: what is chained, when, and that a rebuilt index comes to the same."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from retention import checkpoints
from retention.chain import FIRST_LINK, link_all, numbers_in
from retention.checkpoints import Checkpoints
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.write import IndexWriter, put_segments
from retention.journal import verify
from retention.ledger import Ledger
from retention.model import EndReason, Segment
from retention.reindex import reindex
from tests.retention.indexing import T0, ledger_on, run_of, segment_of
from tests.retention.storing import Site


def _segment(number: int, camera: str = "gate", *, is_open: bool = False) -> Segment:
    made = segment_of(number, T0 + number * 60, T0 + (number + 1) * 60, camera=camera)
    digest = hashlib.sha256(f"{camera} {number}".encode()).digest()
    if is_open:
        return segment_of(number, made.start_us, made.end_us, camera=camera, is_open=True)
    return replace(made, digest=digest)


def _put(index: IndexWriter, *segments: Segment) -> None:
    index.submit(lambda connection: put_segments(connection, segments)).result()


def _rows(index: IndexWriter, camera: str = "gate") -> list[rows.CheckpointRow]:
    return index.submit(lambda connection: list(rows.checkpoints(connection, camera))).result()


def _numbers(index: IndexWriter, camera: str = "gate") -> list[list[int]]:
    return [list(numbers_in(row.numbers)) for row in _rows(index, camera)]


def _begin(ledger: Ledger, *cameras: str) -> None:
    for camera in cameras or ("gate",):
        ledger.run_started(run_of(camera, run=f"{camera:x<32}"[:32]))
    ledger.flushed().result()


def test_sealed_segments_are_chained_once_and_hang_on_one_another(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        _begin(ledger, "gate", "hall")
        one = Checkpoints(index, ledger)
        assert one.make(T0) == 0
        _put(index, *(_segment(number) for number in (1, 2, 3)), _segment(4, is_open=True))
        _put(index, _segment(1, "hall"))
        assert one.make(T0 + 1, ["gate"]) == 3
        assert one.make(T0 + 2) == 1
        assert one.make(T0 + 3) == 0
        _put(index, *(_segment(number) for number in (4, 5)))
        assert Checkpoints(index, ledger).make(T0 + 4) == 2
        assert _numbers(index) == [[1, 2, 3], [4, 5]]
        assert _numbers(index, "hall") == [[1]]
        first, second = _rows(index)
        digests = [(number, _segment(number).digest) for number in range(1, 6)]
        assert (first.position, first.before, first.at_us) == (0, FIRST_LINK, T0 + 1)
        assert first.after == second.before == link_all(FIRST_LINK, digests[:3])
        assert (second.position, second.after) == (3, link_all(FIRST_LINK, digests))
        entries = index.submit(rows.journal_entries).result()
        assert verify(entries).seq == len(entries)
        assert entries[second.seq - 1].data["numbers"] == [[4, 5]]


def test_a_late_segment_is_chained_later_and_an_open_one_holds_back_nobody(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        _begin(ledger)
        one = Checkpoints(index, ledger)
        _put(index, _segment(1), _segment(2, is_open=True), _segment(3), _segment(6))
        one.make(T0)
        _put(index, _segment(2), _segment(5))
        one.make(T0)
        _put(index, _segment(0), _segment(7))
        one.make(T0)
        assert _numbers(index) == [[1, 3, 6], [2, 5], [0, 7]]
        assert [row.position for row in _rows(index)] == [0, 3, 5]


def test_what_a_failing_disk_gave_up_waits_until_its_file_agrees(tmp_path: Path) -> None:
    settled: set[int] = set()
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        _begin(ledger)
        one = Checkpoints(index, ledger, lambda segment: segment.number in settled)
        _put(index, _segment(1), replace(_segment(2), end_reason=EndReason.IO_ERROR), _segment(3))
        one.make(T0)
        assert _numbers(index) == [[1, 3]]
        settled.add(2)
        one.make(T0)
        assert _numbers(index) == [[1, 3], [2]]


def test_many_segments_take_several_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SEGMENTS_MAX", 4)
    monkeypatch.setattr(checkpoints, "RANGES_MAX", 2)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        _begin(ledger)
        _put(index, *(_segment(number) for number in (1, 3, 5, 6, 7, 8, 9, 10, 11)))
        assert Checkpoints(index, ledger).make(T0) == 9
        assert _numbers(index) == [[1, 3], [5, 6, 7, 8], [9, 10, 11]]


def test_makers_in_several_threads_chain_each_segment_once(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _), ThreadPoolExecutor(4) as pool:
        _begin(ledger)
        one = Checkpoints(index, ledger)
        for number in range(1, 30):
            _put(index, _segment(number))
            made = [pool.submit(one.make, T0 + number) for _ in range(3)]
            assert sum(future.result() for future in made) == 1
        assert [number for row in _numbers(index) for number in row] == list(range(1, 30))
        assert verify(index.submit(rows.journal_entries).result())


def test_an_index_that_does_not_commit_gets_no_second_checkpoint_at_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, lines):
        _begin(ledger)
        one = Checkpoints(index, ledger)
        one.make(T0)
        _put(index, _segment(1))
        submit, failing = index.submit, [False]

        def refuse(operation: object) -> Future[object]:
            if failing[0]:
                future: Future[object] = Future()
                future.set_exception(IndexUnavailable("full"))
                return future
            return submit(operation)  # type: ignore[arg-type]

        monkeypatch.setattr(index, "submit", refuse)
        told = ledger.segments_chained

        def told_in_vain(*args: object, **data: object) -> Future[int]:
            failing[0] = True
            return told(*args, **data)  # type: ignore[arg-type]

        monkeypatch.setattr(ledger, "segments_chained", told_in_vain)
        with pytest.raises(IndexUnavailable):
            one.make(T0 + 1)
        with pytest.raises(IndexUnavailable):
            one.make(T0 + 2)
        failing[0] = False
        assert one.make(T0 + 3) == 0  # the first one got through after all
        assert _numbers(index) == [[1]]
        assert sum(b'"checkpoint"' in line for line in lines) == 1


def test_a_rebuilt_index_knows_the_same_checkpoints_and_goes_on_behind_them(
    tmp_path: Path,
) -> None:
    site = Site.make(tmp_path / "box", 2)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate", run="0" * 32))
        recorder.record(1, 0, 2)
        recorder.record(2, 2, 2, place=1)
    with site.running(boot="boot-2") as recorder:
        opened = recorder.opened
        assert Checkpoints(opened.index, opened.ledger).make(site.clock.utc_us()) == 2
        recorder.record(3, 4, 2)
    assert reindex(site.index_path, site.volumes, dry_run=False).differences == []
    with site.running(boot="boot-3") as recorder:
        opened = recorder.opened
        assert _numbers(opened.index) == [[1, 2]]
        assert Checkpoints(opened.index, opened.ledger).make(site.clock.utc_us()) == 1
        assert _numbers(opened.index) == [[1, 2], [3]]

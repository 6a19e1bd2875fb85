"""The synthetic store of the benchmarks is one that the real code takes for its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retention.index import read, rows, write
from retention.index.read import Index
from retention.journal import verify
from retention.model import GapCause
from retention.read import Store
from retention.replica import read_replica
from tests.retention.storing import FakeClock, Site
from tests.retention.sweeping import assert_chain
from tests.support.big_store import DAY_US, BigStore, make_big_store

UNTIL_US = 1_795_000_000_000_000
#: Instructions of SQLite between two looks.
PER_STEP = 10


@pytest.fixture
def made(tmp_path: Path) -> BigStore:
    return make_big_store(tmp_path, UNTIL_US, cameras=2, days=2, deleted_days=1, volumes=2)


def test_every_second_is_accounted_for(made: BigStore) -> None:
    with Store(made.index_path, made.volumes) as store:
        for camera in made.cameras:
            line = store.timeline(camera, 0, 1 << 60, UNTIL_US)
            assert line.to_us - line.from_us == 3 * DAY_US
            assert GapCause.UNKNOWN not in {gap.cause for gap in line.gaps}
            assert 0.6 < line.coverage < 0.67
            found = store.locate(camera, UNTIL_US - DAY_US)
            assert found is not None
            assert len(found.fragments) > 20
            assert found.fragments[-1].end_us == found.end_us


def test_its_journal_and_its_chains_hold(made: BigStore) -> None:
    with Index.open_read(made.index_path) as index:
        entries = index.read(rows.journal_entries)
    assert verify(entries).seq == made.entries
    for volume in made.volumes:
        lines = {entry.line for entry in read_replica(volume).entries}
        assert lines == {entry.line for entry in entries}
    with closing(sqlite3.connect(made.index_path)) as connection:
        for camera in made.cameras:
            assert assert_chain(connection, camera) > 2_900


def test_the_service_starts_on_it_and_goes_on(made: BigStore) -> None:
    site = Site(made.folder, made.volumes, FakeClock(UNTIL_US + 60_000_000))
    with site.running(list(made.cameras)) as recorder:
        accounts = recorder.opened.accounts
        assert {one.covered_until_us for one in accounts.values()} == {UNTIL_US}
        assert min(recorder.opened.next_numbers.values()) > 2_900


def test_what_a_start_asks_of_the_index_does_not_grow_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in SQLite's own instructions, so that no scan hides behind a quick machine: a day
    more has its gaps, runs and checkpoints, and not one instruction for each of its segments."""
    steps = 0

    def counted(connection: sqlite3.Connection) -> sqlite3.Connection:
        def step() -> None:
            nonlocal steps
            steps += 1

        connection.set_progress_handler(step, PER_STEP)
        return connection

    open_write, open_read = write.connect_for_writing, read._open
    monkeypatch.setattr(write, "connect_for_writing", lambda path: counted(open_write(path)))
    monkeypatch.setattr(
        read, "_open", lambda path, *, immutable: counted(open_read(path, immutable=immutable))
    )
    needed, segments = [], []
    for days in (1, 8):
        folder = tmp_path / str(days)
        folder.mkdir()
        made = make_big_store(folder, UNTIL_US, cameras=2, days=days, deleted_days=0, volumes=2)
        site = Site(made.folder, made.volumes, FakeClock(UNTIL_US + 60_000_000))
        steps = 0
        with site.running(list(made.cameras)) as recorder:
            assert len(recorder.opened.accounts) == 2
            needed.append(steps * PER_STEP)
        segments.append(made.segments)
    assert needed[0] > 1_000  # else nothing was counted
    assert needed[1] - needed[0] < (segments[1] - segments[0]) / 2

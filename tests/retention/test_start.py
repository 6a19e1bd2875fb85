"""Bringing the store up, again and again, with whatever killed it before."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from retention.index.read import Index
from retention.model import GapCause, SegmentState
from retention.read import Store
from retention.reindex import reindex
from tests.retention.indexing import gaps_of
from tests.retention.storing import S, Site, run_of
from tests.retention.writing import T0

CAMERAS = ("gate", "yard")

#: Records two cameras as fast as it can until it is killed; segments of three fragments.
RECORDER = """
import sys, uuid
from pathlib import Path
from retention.clock import SystemClock
from retention.model import GapCause
from tests.retention.storing import Recorder, Site, run_of
from tests.retention.writing import T0
folder, first_second = Path(sys.argv[1]), int(sys.argv[2])
site = Site(folder, tuple(sorted(folder.glob("volume*"))), None)
from tests.retention.storing import FakeClock, S
site.clock = FakeClock(T0 + first_second * S)
recorder = Recorder(site.open(("gate", "yard")), site.clock)
print("up", flush=True)
opened = recorder.opened
numbers = {camera: opened.next_numbers.get(camera, 1) for camera in ("gate", "yard")}
second = first_second
for turn in range(10_000):
    for place, camera in enumerate(("gate", "yard")):
        run = uuid.uuid4().hex
        opened.ledger.run_started(run_of(camera, second, run))
        if turn == 0:
            account = opened.accounts[camera]
            if account.open_gap is not None:
                opened.ledger.gap_closed(camera, account.open_gap.start_us, T0 + second * S)
        recorder.record(numbers[camera], second, 3, camera=camera, run=run, place=place)
        opened.ledger.gap(camera, T0 + (second + 3) * S, T0 + (second + 5) * S, GapCause.NETWORK)
        numbers[camera] += 1
    second += 5
    site.clock.now_us = T0 + second * S
    opened.ledger.alive(site.clock.now_us)
    import time; time.sleep(0.004)
"""


@pytest.mark.integration
def test_killed_at_any_moment_the_store_is_whole_after_every_start(tmp_path: Path) -> None:
    """Each round: no unfinished row, rows and files one to one, a rebuild that is equal, and no
    second without a cause."""
    site = Site.make(tmp_path, 2)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    second = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", RECORDER, str(tmp_path), str(second)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"up\n"
            time.sleep(chance.uniform(0, 0.25))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        second += 5 * 200
        site.at(second)
        opened = site.open(CAMERAS)
        opened.volumes.close()
        opened.index.close()
        assert_whole(site)
    with Store(site.index_path, site.volumes) as store:
        for camera in CAMERAS:
            line = store.timeline(camera, T0, T0 + second * S, T0 + second * S)
            assert line.spans
            causes = {gap.cause for gap in line.gaps}
            assert causes <= {GapCause.NETWORK, GapCause.SERVICE_CRASHED}, line.gaps
            list(store.access_units(camera, 0))


def assert_whole(site: Site) -> None:
    with Index.open_read(site.index_path) as index:
        states = index.read(
            lambda connection: connection.execute("SELECT DISTINCT state FROM segment").fetchall()
        )
        count = index.read(
            lambda connection: connection.execute("SELECT count(*) FROM segment").fetchone()[0]
        )
    assert states in ([], [(SegmentState.SEALED.value,)])
    assert count == len(site.files())
    # What this last start told is in the index only: nothing was started that writes volumes.
    restarted = site.open(CAMERAS)
    restarted.volumes.close()
    restarted.index.close()
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.unreadable == []
    assert [one for one in rebuilt.differences if one.table == "segment"] == []
    lag = {one.table for one in rebuilt.differences if one.volumes}
    assert lag <= {"meta", "gap"}, rebuilt.differences


def test_volumes_are_told_once_and_again_when_they_move(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    for _ in range(2):
        with site.running():
            pass
    (tmp_path / "volume0").rename(tmp_path / "elsewhere")
    site.volumes = (tmp_path / "elsewhere",)
    with site.running() as recorder:
        slot = recorder.opened.volumes.slots[0]
        with closing(sqlite3.connect(site.index_path)) as connection:
            rows = connection.execute("SELECT uuid, path FROM volume").fetchall()
        assert rows == [(slot.uuid, str(tmp_path / "elsewhere"))]


def test_what_is_told_before_the_writers_start_reaches_the_volumes(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def test_without_any_volume_the_store_comes_up(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    site.volumes[0].rmdir()
    with site.running() as recorder:
        assert recorder.opened.accounts["gate"].covered_until_us == T0
        recorder.opened.ledger.gap_opened("gate", T0, GapCause.DISK_FAILED)
        site.at(10)
    site.volumes[0].mkdir()
    site.at(20)
    with site.running() as recorder:
        assert [gap.cause for gap in gaps_of(recorder.opened.index)] == [
            GapCause.DISK_FAILED,
            GapCause.SERVICE_STOPPED,
        ]
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def test_damage_that_shows_late_sets_the_index_aside_too(tmp_path: Path) -> None:
    """The first look passes; a page that recovery needs is damaged."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        for number in range(1, 40):
            recorder.record(number, 5 * number, 3)
        site.at(300)
    content = bytearray(site.index_path.read_bytes())
    connection = sqlite3.connect(site.index_path)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'segment_unfinished'"
    ).fetchone()
    connection.close()
    content[(page - 1) * 4096 : (page - 1) * 4096 + 200] = b"\xff" * 200
    site.index_path.write_bytes(content)
    with site.running() as recorder:
        assert recorder.opened.next_numbers == {"gate": 40}
    assert list(site.index_path.parent.glob("index.db.old-1"))
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []

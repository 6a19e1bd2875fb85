"""The state folder's disk fails under edge, or at its start: footage is recorded all the same, and
index and ledger are whole again afterwards."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.disks import Disk, tmpfs
from tests.support.footage import assert_no_loss, stored_video, undecodable

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
#: Longer than an index that does not answer is waited for, and than a segment lasts.
TROUBLE_S = 8.0
NAMES = ("north", "south")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems"),
]


@contextmanager
def recording(folder: Path, state: Path) -> Iterator[tuple[Box, SiteProcess]]:
    plans = [
        CameraPlan(
            id=name,
            stream=StreamPlan(width=160, height=96),
            loop_seconds=5,
            stamp=True,
            log_units=100_000,
        )
        for name in NAMES
    ]
    with demo_process(*plans) as site:
        box = Box(
            folder=folder / "box",
            cameras=[BoxCamera(id=n, source=f'rtsp = "{site[n].rtsp}"') for n in NAMES],
            state_dir=state,
            segment_seconds=4,
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            yield box, site
        finally:
            box.kill()


def footage_bytes(box: Box) -> int:
    return sum(path.stat().st_size for path in box.segments())


def assert_goes_on(box: Box, seconds: float) -> None:
    """Footage grows on the disk, and edge knows it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before_bytes = footage_bytes(box)
        wait_for("footage grows", lambda b=before_bytes: footage_bytes(box) > b, 5)  # type: ignore[misc]
        time.sleep(0.5)
    try:
        with urlopen(f"http://127.0.0.1:{box.port}/healthz", timeout=5) as answer:
            assert answer.status == 200
    except HTTPError as error:
        raise AssertionError(error.read().decode()) from error


def assert_whole(box: Box, site: SiteProcess, begun_us: int) -> None:
    box.wait_recording()
    until_us = time.time_ns() // 1000 - 3 * US_PER_S
    assert box.stop() == 0
    for name in NAMES:
        assert box.timeline(name, begun_us, until_us)["gaps"] == []
        assert_no_loss(site.sent(name), stored_video(box, name))
    assert box.json("reindex", "--dry-run")["differences"] == []
    assert undecodable(box.segments()) == {}


def fill(disk: Disk, _state: Path) -> Callable[[], None]:
    taken = disk.fill()
    return taken.unlink


def read_only(disk: Disk, state: Path) -> Callable[[], None]:
    """As the kernel leaves a file system with errors: what is open stays open, and fails."""
    # a file system with files open for writing does not take remount,ro; its quota does as well
    disk.remount("size=4k")
    return lambda: disk.remount("size=64m")


@pytest.mark.skipif(not IS_FULL, reason="make faults")
@pytest.mark.parametrize("harm", [fill, read_only])
def test_an_index_that_takes_no_row_stops_no_recording(
    tmp_path: Path, harm: Callable[[Disk, Path], Callable[[], None]]
) -> None:
    with tmpfs(tmp_path / "state", "64m") as disk:
        with recording(tmp_path, disk.root / "state") as (box, site):
            begun_us = time.time_ns() // 1000
            mend = harm(disk, disk.root / "state")
            assert_goes_on(box, TROUBLE_S)
            mend()
            assert_whole(box, site, begun_us)


@pytest.mark.skipif(not IS_FULL, reason="make faults")
def test_an_index_damaged_under_edge_is_rebuilt_at_the_next_start(tmp_path: Path) -> None:
    """Its file and its log are overwritten with nonsense; recording goes on; nothing is lost but
    the time in which edge was not running."""
    with recording(tmp_path, tmp_path / "state") as (box, site):
        begun_us = time.time_ns() // 1000
        index = tmp_path / "state" / "index.db"
        time.sleep(4)  # some segments
        connection = sqlite3.connect(index)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log could restore it
        connection.close()
        for path in (index, index.with_name("index.db-wal")):
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * max(0, path.stat().st_size - 4096))
        assert_goes_on(box, TROUBLE_S)
        stopped_us = time.time_ns() // 1000
        box.kill()
        box.start()
        box.wait_recording()
        started_us = time.time_ns() // 1000
        assert list((tmp_path / "state").glob("index.db.old-*"))

        def differences() -> bool:
            return bool(box.json("reindex", "--dry-run")["differences"] == [])

        wait_for("everything adopted", differences, 60)
        assert box.stop() == 0
        for name in NAMES:
            gaps = box.timeline(name, begun_us, started_us)["gaps"]
            for gap in gaps:
                assert gap["start"] > stopped_us - 3 * US_PER_S, gaps
                assert gap["cause"] == "service_crashed"
            sent = site.sent(name)
            stored = {unit.sha256 for unit in stored_video(box, name)}
            lost = [
                unit.capture_utc_us
                for unit in sent
                if unit.sha256 not in stored
                and begun_us < unit.capture_utc_us < stopped_us - 3 * US_PER_S
            ]
            assert lost == []
        assert undecodable(box.segments()) == {}


@pytest.mark.parametrize("trouble", ["file", "full", "read-only"])
def test_a_state_folder_that_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, trouble: str
) -> None:
    with tmpfs(tmp_path / "disk", "1m") as disk:
        state = disk.root / "state"
        if trouble == "file":
            state.write_text("a file")
        elif trouble == "full":
            disk.fill()
        else:
            disk.remount("ro")
        box = Box(folder=tmp_path / "box", state_dir=state)
        box.write_config()
        found = box.xueliang("run", "edge")
        assert found.returncode == 1
        said = [line for line in found.stderr.splitlines() if line]
        assert "Traceback" not in found.stderr, found.stderr
        assert str(state) in said[-1]

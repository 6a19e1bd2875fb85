"""The state folder's disk fails under edge, or at its start: footage is recorded all the same, and
index and ledger are whole again afterwards."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.disks import ext4, tmpfs
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


@pytest.mark.skipif(not IS_FULL, reason="make faults")
def test_a_state_disk_that_is_full_stops_no_recording(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "state", "64m") as disk,
        recording(tmp_path, disk.root / "state") as (box, site),
    ):
        begun_us = time.time_ns() // 1000
        taken = disk.fill()
        assert_goes_on(box, TROUBLE_S)
        assert box.metrics()["nvr_index_ok"] == 0

        def is_told() -> bool:
            """As alarms; that their own account is not kept is a figure."""
            codes = {one["code"] for one in box.json("alarms")["standing"]}
            unkept = box.metrics().get('nvr_alarm_failures_total{what="write"}', 0)
            return codes >= {"state_folder_full", "index_failed"} and unkept > 0

        wait_for("told", is_told, 90)
        assert "alarms_not_kept" in box.log
        taken.unlink()
        wait_for("rows taken again", lambda: box.metrics()["nvr_index_ok"] == 1)
        assert_whole(box, site, begun_us)


@pytest.mark.skipif(not IS_FULL, reason="make faults")
def test_a_state_disk_that_turns_read_only_stops_no_recording(tmp_path: Path) -> None:
    """As the kernel leaves a file system with errors. It is mended while edge does not run, and
    only that time is missing."""
    with (
        ext4(tmp_path / "state", 64) as disk,
        recording(tmp_path, disk.root / "state") as (box, site),
    ):
        begun_us = time.time_ns() // 1000
        disk.break_off()
        assert_goes_on(box, TROUBLE_S)
        assert box.metrics()["nvr_index_ok"] == 0
        killed_us = time.time_ns() // 1000
        box.kill()
        disk.power_up()
        box.start()
        box.wait_recording()
        back_us = time.time_ns() // 1000
        assert_lost_only_between(box, site, begun_us, killed_us, back_us)


def assert_lost_only_between(
    box: Box, site: SiteProcess, begun_us: int, from_us: int, to_us: int
) -> None:
    """All else that was sent is stored; index and files agree."""

    def differences() -> bool:
        return bool(box.json("reindex", "--dry-run")["differences"] == [])

    wait_for("everything adopted", differences, 60)
    assert box.stop() == 0
    assert differences()
    from_us -= 3 * US_PER_S
    for name in NAMES:
        gaps = box.timeline(name, begun_us, to_us)["gaps"]
        for gap in gaps:
            assert gap["start"] > from_us, gaps
            assert gap["cause"] == "service_crashed"
        stored = {unit.sha256 for unit in stored_video(box, name)}
        lost = [
            unit.capture_utc_us
            for unit in site.sent(name)
            if unit.sha256 not in stored and begun_us < unit.capture_utc_us < from_us
        ]
        assert lost == []
    assert undecodable(box.segments()) == {}


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
        assert_lost_only_between(box, site, begun_us, stopped_us, started_us)


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

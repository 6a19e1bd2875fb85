"""The host's clock wrong at boot, stepped while recording, put right: nothing is lost, all of it
ends up where it belongs, and nothing is due before."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from config.instants import parse_instant
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Track
from retention.read import Store
from retention.reindex import reindex
from tests.retention.history import whole_dump
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process
from tests.support.stepped import HostClock, true_us

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FPS = 15
FRAME_US = US_PER_S // FPS
HOUR_US = 3600 * US_PER_S
YEAR_US = 365 * 24 * HOUR_US
STEPS_US: tuple[int, ...] = (YEAR_US, -HOUR_US)
if os.environ.get("XUELIANG_FAULTS") == "full":
    STEPS_US += (HOUR_US, -YEAR_US, 5 * 60 * US_PER_S, -5 * 60 * US_PER_S)
GATE = CameraPlan(
    id="gate",
    stream=StreamPlan(width=160, height=96, fps=FPS, gop_frames=FPS),
    loop_seconds=5,
    stamp=True,
    password="right",
    log_units=10_000,
)


@contextmanager
def site(folder: Path) -> Iterator[HostClock]:
    """A box beside a camera whose clock is right; the camera goes on through everything."""
    with demo_process(GATE) as cameras:
        camera = BoxCamera(
            id="gate", source=f'rtsp = "{cameras["gate"].rtsp}"', password=GATE.password
        )
        box = Box(folder=folder, cameras=[camera], segment_seconds=5, durability_seconds=0.5)
        box.write_config()
        clock = HostClock(folder=folder, box=box)
        clock.boot(1)
        try:
            yield clock
        finally:
            box.kill()


def untimed(box: Box) -> int:
    """Runs whose footage is not due whatever the date."""
    with (
        closing(sqlite3.connect(f"file:{box.state / 'index.db'}?mode=ro", uri=True)) as connection,
        connection,
    ):
        query = "SELECT count(*) FROM run WHERE offset_us IS NULL"
        return int(connection.execute(query).fetchone()[0])


def gaps(box: Box, from_us: int, to_us: int) -> list[tuple[str, float]]:
    """Causes and lengths of the gaps between first and last picture of the window."""
    line = box.timeline("gate", from_us, to_us)
    first_us, last_us = line["spans"][0]["start"], line["spans"][-1]["end"]
    return [
        (gap["cause"], (gap["end"] - gap["start"]) / US_PER_S)
        for gap in line["gaps"]
        if first_us <= gap["start"] < last_us
    ]


def assert_no_picture_missing(box: Box, from_us: int, to_us: int, holes: int = 0) -> None:
    """Every picture at its true time, one after the other, whatever the clock showed."""
    with Store(box.state / "index.db", [box.volume]) as store:
        found = [
            unit.unit.pts_us
            for unit in store.access_units("gate", from_us, to_us)
            if unit.unit.track is Track.VIDEO
        ]
    assert found
    steps = [after - before for before, after in pairwise(found)]
    assert sum(step > 5 * FRAME_US for step in steps) == holes
    # a session begins with what the camera sends in a burst, and its epoch settles in a second
    assert sum(step < -5 * FRAME_US for step in steps) == 0


def assert_rebuilt_alike(box: Box) -> None:
    """After a clean stop: the index from the volumes alone is the one there was."""
    before = whole_dump(box.state / "index.db")
    rebuilt = reindex(box.state / "index.db", [box.volume], dry_run=False)
    assert rebuilt.differences == []
    assert whole_dump(box.state / "index.db") == before


def test_a_new_box_that_boots_in_1970_is_re_timed_when_its_clock_is_put_right(
    tmp_path: Path,
) -> None:
    with site(tmp_path) as clock:
        box = clock.box
        clock.set(-true_us() + 1000 * US_PER_S)
        began_us = true_us()
        clock.start()
        clock.wait_time("impossible")
        clock.wait_recorded("gate", 2)
        assert untimed(box) == 1
        assert clock.command("status")["cameras"][0]["oldest"].startswith("1970")
        assert box.metrics()["nvr_clock_trusted"] == 0
        names = [path.name for path in box.segments()]
        assert all(name.startswith("1970") for name in names)
        clock.set(0, is_synchronized=True)  # NTP steps it
        clock.wait_trusted()
        clock.wait_until(lambda: untimed(box) == 0)
        clock.wait_recorded("gate", 2)
        oldest_us = parse_instant(clock.command("status")["cameras"][0]["oldest"])
        assert began_us < oldest_us < true_us()
        assert box.metrics()["nvr_clock_trusted"] == 1
        assert box.metrics()['nvr_clock_steps_total{direction="forward"}'] == 1
        assert box.stop() == 0
        assert {path.name for path in box.segments()} > set(names)
        assert gaps(box, began_us, true_us()) == []
        assert_no_picture_missing(box, began_us, true_us())
        assert_rebuilt_alike(box)
        assert gaps(box, began_us, true_us()) == []


def test_a_box_that_boots_in_2038_waits_and_accounts_for_every_second(tmp_path: Path) -> None:
    with site(tmp_path) as clock:
        box = clock.box
        clock.set(0, is_synchronized=True)
        clock.start()
        clock.wait_trusted()
        clock.wait_recorded("gate", 2)
        began_us = (clock.newest_us("gate") or 0) - US_PER_S
        box.kill()  # a power cut, and the battery of its clock is odd
        clock.boot(2)
        clock.set(2_147_483_640 * US_PER_S - true_us())
        time.sleep(2)
        clock.start()
        clock.wait_untrusted()
        clock.wait_recorded("gate", 2)
        assert untimed(box) == 1
        clock.set(0, is_synchronized=True)
        clock.wait_trusted()
        clock.wait_until(lambda: untimed(box) == 0)
        clock.wait_recorded("gate", 2)
        assert box.stop() == 0
        causes = gaps(box, began_us, true_us())
        assert {cause for cause, _ in causes} == {"power_lost"}
        assert 2 < sum(length for _, length in causes) < 12
        assert_rebuilt_alike(box)
        assert gaps(box, began_us, true_us()) == causes


def test_a_clock_stepped_while_recording_loses_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as clock:
        box = clock.box
        clock.set(0, is_synchronized=True)
        clock.start()
        clock.wait_trusted()
        clock.wait_recorded("gate", 2)
        began_us = (clock.newest_us("gate") or 0) - US_PER_S
        for step_us in STEPS_US:
            clock.set(step_us)
            clock.wait_untrusted()
            clock.wait_recorded("gate", 2)
            if step_us > 0:
                now_us = clock.now_us()
                line = box.timeline("gate", began_us, now_us, wrapper=clock.wrapper())
                assert {gap["cause"] for gap in line["gaps"]} == {"clock_stepped"}
                assert sum(gap["end"] - gap["start"] for gap in line["gaps"]) > 0.99 * step_us
            assert untimed(box) == 1
            clock.set(0)  # undone, by whoever did it
            clock.wait_trusted()
            clock.wait_until(lambda: untimed(box) == 0)
        clock.wait_recorded("gate", 2)
        steps = box.metrics()
        assert steps['nvr_clock_steps_total{direction="forward"}'] == len(STEPS_US)
        assert steps['nvr_clock_steps_total{direction="backward"}'] == len(STEPS_US)
        assert box.stop() == 0
        assert gaps(box, began_us, true_us()) == []
        assert_no_picture_missing(box, began_us, true_us())
        assert_rebuilt_alike(box)


def test_an_administrator_confirms_what_nothing_else_does(tmp_path: Path) -> None:
    """A jump of a day that was right: the box had been a day behind."""
    with site(tmp_path) as clock:
        box = clock.box
        clock.set(-24 * HOUR_US)
        clock.start()
        clock.wait_untrusted()
        clock.wait_recorded("gate", 1)
        refused = box.xueliang(
            "check", "--confirm-time", wrapper=clock.wrapper(), input_text="no\n"
        )
        assert refused.returncode == 1
        assert "北京时间" in refused.stdout
        assert not clock.time()["trusted"]
        assert "--confirm-time" in box.xueliang("check", wrapper=clock.wrapper()).stdout
        clock.set(0)
        clock.wait_recorded("gate", 1)
        told = clock.command("check", "--confirm-time", "--yes")
        assert told == {"trusted": True, "code": "confirmed"}
        clock.wait_until(lambda: untimed(box) == 0)
        assert clock.time()["code"] == "confirmed"
        assert box.stop() == 0
        with closing(sqlite3.connect(box.state / "index.db")) as connection, connection:
            lines = [line for (line,) in connection.execute("SELECT line FROM journal")]
        (confirmed,) = [line for line in lines if '"event":"confirmed"' in line]
        assert '"who":"os:' in confirmed

"""``xueliang plan``: with settings and without, with footage and before the first."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from config.load import load
from edge.planning import PlanIncomplete, plan_document, render_plan
from retention.index.write import connect_for_writing, put_segment
from retention.model import US_PER_S
from tests.retention.indexing import segment_of
from tests.support.box import XUELIANG, Box, BoxCamera

GB = 10**9


def box_at(folder: Path) -> Box:
    camera = BoxCamera(id="gate", source='rtsp = "rtsp://192.0.2.1/"')
    box = Box(folder=folder, cameras=[camera], reserve_bytes="1GiB")
    box.write_config()
    box.state.mkdir()
    return box


def test_the_disk_it_takes() -> None:
    found = plan_document(None, 16, 4.0, 90)
    assert found["needed_bytes"] == pytest.approx(16 * 0.5e6 * 86_400 * 90, rel=0.001)
    assert found["days_given"] is None
    assert "56.6TiB" in render_plan(found)


def test_without_settings_somebody_must_say_how_many() -> None:
    with pytest.raises(PlanIncomplete, match="how many"):
        plan_document(None, None, 4.0, 90)


def test_the_days_that_these_disks_give(tmp_path: Path) -> None:
    box = box_at(tmp_path)
    found = plan_document(load(box.config), 1, 4.0, None)
    [volume] = found["volumes"]
    assert found["days"] == 90
    assert found["days_given"] == pytest.approx(volume["usable_bytes"] / 0.5e6 / 86_400, abs=0.1)
    assert found["enough"] == (found["days_given"] >= 90)


def test_footage_that_is_there_counts_as_room_and_tells_the_rate(tmp_path: Path) -> None:
    box = box_at(tmp_path)
    (box.volume / ".xueliang-volume").write_text(json.dumps({"format": 1, "uuid": "v"}))
    empty = plan_document(load(box.config), None, None, None)
    assert (empty["mbps"], empty["measured"], empty["rate"]) == (4.0, False, "assumed")
    assert "估计" in render_plan(empty)
    assert "estimate" in render_plan(empty)
    connection = connect_for_writing(box.state / "index.db")
    from retention.clock import SystemClock

    hour_us = 3_600 * US_PER_S
    now_us = SystemClock().utc_us() // hour_us * hour_us
    for number in range(1, 9):
        start_us = now_us - (number + 2) * hour_us
        one = segment_of(number, start_us, start_us + hour_us, size_bytes=GB)
        put_segment(connection, one)
    connection.close()
    found = plan_document(load(box.config), None, None, None)
    assert (found["measured"], found["rate"]) == (True, "measured")
    assert found["mbps"] == pytest.approx(GB * 8 / 3_600 / 1e6, rel=0.01)
    assert found["usable_bytes"] == pytest.approx(empty["usable_bytes"] + 8 * GB, rel=0.01)


def test_the_command(tmp_path: Path) -> None:
    box = box_at(tmp_path)
    found = box.json("plan", "--cameras", "2", "--mbps", "1", "--days", "0.01")
    assert found["enough"] is True
    few = box.xueliang("plan", "--cameras", "9999", "--mbps", "1000")
    assert (few.returncode, "NOT ENOUGH" in few.stdout) == (1, True)
    bad = subprocess.run([*XUELIANG, "plan", "--days", "-1"], capture_output=True, check=False)
    assert bad.returncode == 2

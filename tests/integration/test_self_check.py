"""The self-check beside a recording ``edge``: it plays what is there, and costs no picture."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from config.instants import BEIJING
from edge.demo.plan import CameraPlan, StreamPlan
from retention.completeness import local_date
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process

pytestmark = pytest.mark.integration

NAMES = ("north",)


def test_a_running_box_checks_itself(tmp_path: Path) -> None:
    plans = [
        CameraPlan(id=name, stream=StreamPlan(width=320, height=192), loop_seconds=10)
        for name in NAMES
    ]
    with demo_process(*plans) as site:
        box = Box(
            folder=tmp_path / "box",
            cameras=[BoxCamera(id=n, source=f'rtsp = "{site[n].rtsp}"') for n in NAMES],
            segment_seconds=2,
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            wait_for("sealed segments", lambda: len(box.segments()) > 3)
            day = local_date(time.time_ns() // 1000, BEIJING).isoformat()
            document = box.json("self-check", "--date", day)
            assert document["summary"]["played"] == 2, repr(document["cameras"])
            assert document["summary"]["not_played"] == 0
            for camera in document["cameras"]:
                assert camera["faults"] == []
                assert camera["state"] in ("complete", "missing")
                assert [play["pictures"] > 0 for play in camera["plays"]] == [True, True]
            assert box.status()["self_check"] is None, "only the night's is kept"
            kept = box.xueliang("self-check", "--date", day, "--keep")
            assert "自检 self-check" in kept.stdout
            assert box.status()["self_check"]["date"] == day
            assert f"self-check {day}" in box.xueliang("status").stdout
            again = box.xueliang("self-check", "--date", day, "--keep")
            assert again.returncode == 1
            assert "never replaced" in again.stderr
            dropped = {
                name: value
                for name, value in box.metrics().items()
                if name.startswith("nvr_recording_dropped_frames_total") and value
            }
            assert dropped == {}
            box.wait_recording()
        finally:
            box.stop()

"""Volumes that come and retire while edge records."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from edge.status import retiring_text
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process
from tests.support.disks import tmpfs

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems"),
]


@pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="make faults")
def test_a_volume_is_added_and_another_retires_while_recording(tmp_path: Path) -> None:
    """The new one is taken into use, the one that retires gets no new segment, keeps what it has,
    and says so."""
    gate = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96), loop_seconds=5)
    with (
        tmpfs(tmp_path / "old", "300m") as old,
        tmpfs(tmp_path / "new", "100m") as new,
        demo_process(gate) as site,
    ):
        box = Box(
            folder=tmp_path / "box",
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{site["gate"].rtsp}"')],
            volumes=[old.root],
            segment_seconds=2,
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            begun_us = time.time_ns() // 1000
            box.volumes, box.retiring = [old.root, new.root], [old.root]
            box.write_config()
            box.reload()
            wait_for("footage on the new volume", lambda: list(new.root.rglob("*.mp4")))
            time.sleep(3)  # the segment that was open on the old one has ended
            kept = set(old.root.rglob("*.mp4"))
            time.sleep(2.5)
            assert set(old.root.rglob("*.mp4")) == kept
            assert box.camera_status("gate")["cause"] is None
            told = {one["path"]: one for one in box.status()["volumes"]}
            assert told[str(old.root)]["retiring"] is True
            assert told[str(new.root)]["retiring"] is False
            assert told[str(old.root)]["kept_segments"] == len(kept)
            assert told[str(old.root)]["kept_bytes"] == sum(p.stat().st_size for p in kept)
            assert "retiring" in box.xueliang("status").stdout
            assert "settings_need_restart" not in box.log
            kill_volume_processes(box)  # they come back by themselves, and nothing is missing
            box.wait_recording()
            assert box.timeline("gate", begun_us, time.time_ns() // 1000)["gaps"] == []
            assert box.stop() == 0
            box.start()  # and so it is after a restart
            box.wait_recording()
            assert set(old.root.rglob("*.mp4")) == kept
            wait_for("the old volume is well", lambda: state_of(box, old.root) == "ok")
            assert box.stop() == 0
            assert box.json("reindex", "--dry-run")["differences"] == []
        finally:
            box.kill()


def kill_volume_processes(box: Box) -> None:
    assert box.process is not None
    children = [
        child
        for child in psutil.Process(box.process.pid).children()
        if "retention.volume_child" in child.cmdline()
    ]
    assert len(children) == 2
    for child in children:
        child.kill()


def state_of(box: Box, place: Path) -> str | None:
    states = {one["path"]: one["state"] for one in box.status()["volumes"]}
    return states.get(str(place))


def test_an_empty_volume_that_retires_may_be_pulled() -> None:
    assert "may be pulled" in retiring_text({"kept_segments": 0, "kept_bytes": 0})
    assert "4711 bytes left" in retiring_text({"kept_segments": 3, "kept_bytes": 4711})

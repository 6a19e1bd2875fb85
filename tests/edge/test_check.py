"""``xueliang check``: a disk that hangs is a finding, and holds up nothing; estimates are called
so."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from edge.bounded import ask
from tests.support.box import Box, BoxCamera
from tests.support.silent_disk import silent_disk


def findings_of(box: Box, within_s: float = 45) -> dict[str, Any]:
    """Fails, and waits no longer, where the command itself hangs: nothing can end it then."""
    printed: list[str] = []
    asking = threading.Thread(
        target=lambda: printed.append(box.xueliang("check", "--json").stdout), daemon=True
    )
    asking.start()
    asking.join(within_s)
    assert printed, f"no answer within {within_s} s"
    return {one["thing"]: one for one in json.loads(printed[0])}


def box_at(folder: Path, **more: Any) -> Box:
    camera = BoxCamera(id="gate", source='rtsp = "rtsp://127.0.0.1:9/"')
    box = Box(folder=folder, cameras=[camera], reserve_bytes="1GiB", **more)
    box.write_config()
    return box


@pytest.mark.root
@pytest.mark.timeout(60)
def test_disks_that_hang_are_findings(tmp_path: Path) -> None:
    """That of the volume and that of the state folder; all else is told all the same."""
    box = box_at(tmp_path, state_dir=tmp_path / "state-disk")
    with silent_disk(box.volume), silent_disk(box.state):
        found = findings_of(box)
    for thing in (f"volume {box.volume}", f"state_dir {box.state}"):
        assert found[thing]["severity"] == "bad"
        assert "does not answer" in found[thing]["sentence"]
    assert {"capacity", "clock", "camera gate"} <= set(found)


def test_room_at_a_rate_that_nobody_measured_is_called_an_estimate(tmp_path: Path) -> None:
    capacity = findings_of(box_at(tmp_path))["capacity"]
    assert "估计" in capacity["sentence"]
    assert "estimate" in capacity["sentence"]


def test_answers_come_in_order_and_what_fails_or_hangs_answers_nothing(tmp_path: Path) -> None:
    silent = tmp_path / "fifo"  # whoever opens it waits for a writer
    os.mkfifo(silent)
    questions = [("json:loads", "[1]"), ("json:loads", "no JSON"), ("json:loads", '"b"')]
    assert ask([*questions, ("builtins:open", str(silent))], 3.0) == [[1], None, "b", None]

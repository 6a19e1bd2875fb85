"""A disk far too small for 90 days: recording goes on, and every breach is on record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from config.instants import format_instant
from edge.demo.plan import CameraPlan, StreamPlan
from tests.retention.conftest import Mount, mount
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process

__all__ = ["mount"]

MIB = 1 << 20
RESERVE_BYTES = 1 * MIB

pytestmark = [pytest.mark.integration, pytest.mark.root, pytest.mark.timeout(170)]


def _free_bytes(path: Path) -> int:
    figures = os.statvfs(path)
    return figures.f_bavail * figures.f_frsize


@pytest.fixture
def box(tmp_path: Path, mount: Mount) -> Iterator[Box]:
    volume = mount("size=8m")
    plan = CameraPlan(id="gate", stream=StreamPlan(bit_rate=1_000_000), loop_seconds=4, stamp=True)
    with demo_process(plan) as site:
        box = Box(
            folder=tmp_path,
            volumes=[volume],
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{site["gate"].rtsp}"')],
            segment_seconds=1,
            reserve_bytes="1MiB",
        )
        box.write_config()
        try:
            box.start()
            yield box
        finally:
            box.kill()


def test_the_oldest_footage_makes_room_and_no_second_is_missed(box: Box) -> None:
    box.wait_recording()
    (box.volume / "other").write_bytes(bytes(4 * MIB))  # not ours, and it stays
    least_bytes = _free_bytes(box.volume)
    since = time.monotonic()
    violations = 'nvr_retention_violations_total{camera="gate",cause="overwritten"}'
    wait_for("a breach", lambda: box.metrics().get(violations, 0) > 0, 60)
    while time.monotonic() < since + 10 or box.metrics()[violations] < 3:
        least_bytes = min(least_bytes, _free_bytes(box.volume))
        time.sleep(0.2)
        assert time.monotonic() < since + 120, box.log[-3000:]
    assert least_bytes > RESERVE_BYTES // 2  # trailers and the journal may use it, footage not
    status = box.status()
    camera = box.camera_status("gate")
    assert camera["recording"]
    assert camera["retention"]["state"] == "breached"
    assert camera["retention"]["binds"] == "disk"
    assert "gate" in status["retention"]["risk"]
    wait_for("the alarm", lambda: ("retention_breached", "gate") in _alarms_told(box))
    assert "低于下限被覆盖" in box.xueliang("status").stdout
    line = box.timeline("gate", 0, 4_000_000_000_000_000)
    causes = {gap["cause"] for gap in line["gaps"]}
    assert causes - {"config"} == {"overwritten"}, str(
        line["gaps"]
    )  # and what was before the first picture
    metrics = box.metrics()
    assert metrics['nvr_retention_deleted_bytes_total{camera="gate",reason="overwritten"}'] > 0
    assert metrics['nvr_retention_required_seconds{camera="gate"}'] == 90 * 86_400
    assert box.stop() == 0
    verified = box.xueliang("verify", "--camera", "gate", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)
    assert box.xueliang("reindex", "--dry-run", "--json").returncode == 0
    assert box.json("reindex", "--dry-run")["differences"] == []
    audit = "".join(path.read_text() for path in (box.state / "audit").rglob("*.jsonl"))
    assert audit.count('"breach"') >= 3


@pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="part of make faults")
def test_what_is_held_outlasts_the_need_of_the_disk(box: Box) -> None:
    """All around it goes, on a clock that an administrator has confirmed."""
    box.wait_recording()
    assert box.xueliang("check", "--confirm-time", "--yes").returncode == 0
    start_us = box.timeline("gate", 0, 4_000_000_000_000_000)["spans"][0]["start"]
    span = [format_instant(start_us + second * 1_000_000) for second in (2, 3)]
    why = ("--case", "2026-17", "--requester", "李警官", "--reason", "盗窃")
    added = box.json("hold", "add", "gate", "--from", span[0], "--to", span[1], *why)
    assert added["pending_volumes"] == []
    (box.volume / "other").write_bytes(bytes(4 * MIB))
    violations = 'nvr_retention_violations_total{camera="gate",cause="overwritten"}'
    wait_for("breaches", lambda: box.metrics().get(violations, 0) > 5, 120)
    line = box.timeline("gate", start_us, start_us + 20 * 1_000_000)
    held = [span for span in line["spans"] if span["start"] <= start_us + 2_000_000]
    assert held[-1]["end"] >= start_us + 3_000_000
    causes = {gap["cause"] for gap in line["gaps"]}
    assert causes - {"config"} == {"overwritten"}, str(
        line["gaps"]
    )  # and what was before the first picture
    hold_bytes = box.metrics()['nvr_hold_bytes{camera="gate"}']
    assert 0 < hold_bytes < MIB
    assert box.camera_status("gate")["recording"]
    document = box.json("self-check", "--date", span[0][:10])
    assert document["summary"]["not_played"] == 0
    assert box.stop() == 0
    assert box.json("reindex", "--dry-run")["differences"] == []
    assert [hold["state"] for hold in box.json("hold", "list")] == ["active"]


def _alarms_told(box: Box) -> set[tuple[str, str]]:
    """What uplink alarms the platforms from."""
    with urlopen(f"http://127.0.0.1:{box.port}/status", timeout=5) as answer:
        return {(one["code"], one["subject"]) for one in json.load(answer)["alarms"]}

"""The diagnose service beside a recording edge: apart from everything, and heard by everybody."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_site

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
_IOPRIO_GET = {"x86_64": 252, "aarch64": 31}
IDLE = 3


@contextmanager
def diagnose(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    with (box.folder / "diagnose.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.diagnose", "-c", str(box.config)], stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status_of(box: Box) -> Any:
    with urlopen(f"http://127.0.0.1:{box.port}/status", timeout=5) as answer:
        return json.load(answer)


def io_class(pid: int) -> int:
    number = _IOPRIO_GET[os.uname().machine]
    priority: int = ctypes.CDLL(None).syscall(number, 1, pid)
    return priority >> 13


def assert_apart(box: Box, service: psutil.Process) -> None:
    """Priorities, network, open files, libraries: of the service and of its child."""
    (child,) = service.children()
    for process in (service, child):
        assert process.nice() == 19
        assert io_class(process.pid) == IDLE
        net = os.readlink(f"/proc/{process.pid}/ns/net")
        routes = Path(f"/proc/{process.pid}/net/dev").read_text().splitlines()[2:]
        if net != os.readlink("/proc/self/ns/net"):  # else systemd's PrivateNetwork= does it
            assert [line.split(":")[0].strip() for line in routes] == ["lo"]
        else:
            assert os.geteuid() != 0, "root may leave the network"
        assert process.net_connections("inet") == []
        written = {one.path for one in process.open_files() if one.mode not in ("r", "rb")}
        allowed = (
            *(str(box.state / "diagnose"), str(box.state / "audit" / "diagnose")),
            str(box.folder / "diagnose.log"),
            # SQLite's marks of who reads; another user may not, and then reads without
            *(str(box.state / "index.db-wal"), str(box.state / "index.db-shm")),
        )
        assert [path for path in written if not path.startswith(allowed)] == []
        assert "/av.libs/" not in Path(f"/proc/{process.pid}/maps").read_text()
    assert "cv2" not in Path(f"/proc/{service.pid}/maps").read_text()
    assert "cv2" in Path(f"/proc/{child.pid}/maps").read_text()
    edge = box.process
    assert edge is not None
    for other in psutil.Process(edge.pid).children(recursive=True):
        assert "cv2" not in Path(f"/proc/{other.pid}/maps").read_text()


def test_a_lost_signal_is_told_everywhere_and_so_is_its_end(tmp_path: Path) -> None:
    with demo_site(CameraPlan(id="gate", loop_seconds=4, stamp=True)) as site:
        box = Box(
            folder=tmp_path,
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{site["gate"].url}"')],
            segment_seconds=1,
            durability_seconds=0.2,
            evidence="scrub_days = 30\n[diagnose]\ninterval_seconds = 1",
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording("gate")
            assert status_of(box)["cameras"]["gate"]["defects"] == []
            with diagnose(box) as process:
                service = psutil.Process(process.pid)
                normal = 'nvr_diagnose_checks_total{camera="gate",outcome="normal"}'
                wait_for("a check", lambda: box.metrics().get(normal, 0) >= 1, PATIENCE_S)
                assert_apart(box, service)

                def defects() -> list[str]:
                    found: list[str] = status_of(box)["cameras"]["gate"]["defects"]
                    return found

                def alarms() -> set[str]:
                    return {one["code"] for one in status_of(box)["alarms"]}

                site["gate"].switch(StreamPlan(shows="blue"))
                wait_for("the defect", lambda: defects() == ["signal_lost"], PATIENCE_S)
                wait_for("its alarm", lambda: "picture_signal_lost" in alarms())
                child = service.children()[0]
                child.send_signal(signal.SIGKILL)  # a decoder that crashes costs a check
                site["gate"].switch(StreamPlan())
                wait_for("its end", lambda: defects() == [], PATIENCE_S)
                wait_for("the alarm's end", lambda: "picture_signal_lost" not in alarms())
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            listed = box.json("audit", "list", "--service", "diagnose")
            assert [one["action"] for one in listed] == [
                "service_started",
                "diagnosis",
                "diagnosis",
                "service_stopped",
            ]
            assert all(one["sound"] for one in box.json("audit", "verify"))
        finally:
            box.stop()

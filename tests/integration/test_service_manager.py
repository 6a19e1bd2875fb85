"""``edge`` under a service manager: ready when it records, fed while it makes progress, ended
cleanly within what its unit grants."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.mp4.scan import scan
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

#: TimeoutStopSec of the unit.
STOP_S = 10.0


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        yield listener


def test_ready_fed_and_cleanly_ended(tmp_path: Path, manager: socket.socket) -> None:
    plan = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96), password="secret-12")
    with demo_process(plan) as site:
        camera = site["gate"]
        box = Box(
            folder=tmp_path / "box",
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{camera.rtsp}"', password="secret-12")],
        )
        box.write_config()
        box.start()
        try:
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            box.wait_recording()
            assert box.process is not None
            children = _children(box.process.pid)
            assert children
            for child in children:  # none of them speaks for the service
                assert b"NOTIFY_SOCKET" not in Path(f"/proc/{child}/environ").read_bytes()

            os.kill(box.process.pid, signal.SIGSTOP)  # nothing turns any more: nothing is told
            manager.settimeout(0.1)
            _drain(manager)
            time.sleep(2.5)
            assert _drain(manager) == []
            os.kill(box.process.pid, signal.SIGCONT)
            manager.settimeout(10)
            assert manager.recv(100) == b"WATCHDOG=1"

            assert box.stop(timeout_s=STOP_S) == 0
            manager.settimeout(0.1)
            assert _drain(manager)[-1] == b"STOPPING=1"
        finally:
            box.kill()
        segments = box.segments()
        assert segments
        for path in segments:  # sealed: each ends with its trailer
            data = path.read_bytes()
            assert scan(partial(_read, data), len(data)).trailer is not None, path


def _read(data: bytes, offset: int, size_bytes: int) -> bytes:
    return data[offset : offset + size_bytes]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _drain(manager: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(manager.recv(100))
        except TimeoutError:
            return found

"""``xueliang run``: services as children of one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.peers.platform import DEVICE_ID, PlatformPeer
from tests.support.box import XUELIANG, wait_for
from tests.support.uplink_box import BoxPlatform, UplinkBox

pytestmark = pytest.mark.integration

SUPERVISE = """
import json, sys
from edge.services import supervise
sys.exit(supervise(json.loads(sys.argv[1])))
"""


def start(commands: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SUPERVISE, commands])


def test_all_services_and_their_platform(tmp_path: Path) -> None:
    """Without a name every service runs; status tells of the platform; SIGTERM ends all."""
    with PlatformPeer() as peer:
        box = UplinkBox(folder=tmp_path, platforms=[BoxPlatform(server=f"127.0.0.1:{peer.port}")])
        box.write_config()
        with (tmp_path / "run.log").open("wb") as log:
            run = subprocess.Popen([*XUELIANG, "run", "-c", box.config], stdout=log, stderr=log)
        try:
            peer.wait_registered()
            children = psutil.Process(run.pid).children()
            assert len(children) == 4

            def told() -> str:
                status = subprocess.run(
                    [*XUELIANG, "status", "-c", box.config], capture_output=True, text=True
                ).stdout
                return status if "是 yes" in status else ""

            assert "police" in wait_for("status", lambda: told() or None)
            run.send_signal(signal.SIGTERM)
            assert run.wait(20) == 0
            assert DEVICE_ID not in peer.registered
            assert not [child for child in children if child.is_running()]
        finally:
            run.kill()


def test_one_that_ends_is_started_again(tmp_path: Path) -> None:
    """And all end with a parent that was killed."""
    marks = tmp_path / "marks"
    code = f"import os,time;open({str(marks)!r},'a').write(str(os.getpid())+' ');time.sleep(60)"
    run = start(f'{{"a": ["{sys.executable}", "-c", "{code}"]}}')

    def pids() -> list[int]:
        return [int(pid) for pid in marks.read_text().split()] if marks.exists() else []

    (first,) = wait_for("a first start", lambda: pids() or None)
    os.kill(first, signal.SIGKILL)
    second = wait_for("a second start", lambda: pids()[1:] or None)[0]
    run.kill()
    run.wait()
    wait_for("its end", lambda: not psutil.pid_exists(second) or None)


def test_one_that_never_came_up_ends_the_whole() -> None:
    run = start(
        f'{{"a": ["{sys.executable}", "-c", "import time;time.sleep(60)"],'
        f' "b": ["{sys.executable}", "-c", "raise SystemExit(2)"]}}'
    )
    assert run.wait(20) == 2

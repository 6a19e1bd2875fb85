"""python -m edge.demo: cameras in a process of their own."""

import signal
import subprocess
import sys

import av
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from tests.support.cameras import demo_process

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate",
    password="p w",
    loop_seconds=2,
    stamp=True,
    log_units=100,
    stream=StreamPlan(width=320, height=180),
)


def test_a_child_plays_and_obeys() -> None:
    with demo_process(_PLAN) as site:
        options = {"rtsp_transport": "tcp", "probesize": "20000", "analyzeduration": "200000"}
        with av.open(site["gate"].url_with_credentials, options=options, timeout=5) as container:
            next(container.demux(video=0))
        assert len(site.sent("gate")) > 0
        assert site.do("gate", "counts")["connections"] == 1
        with pytest.raises(RuntimeError, match="no command"):
            site.do("gate", "explode")


def test_the_end_of_stdin_or_a_signal_ends_it() -> None:
    for stdin, number in ((subprocess.PIPE, None), (subprocess.DEVNULL, signal.SIGTERM)):
        command = [sys.executable, "-m", "edge.demo", "--cameras", "1", "--loop-seconds", "1"]
        command += ["--control"] if number is None else []
        with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert b"rtsp://127.0.0.1" in child.stdout.readline()
            if number is not None:
                child.send_signal(number)
            elif child.stdin is not None:
                child.stdin.close()
            assert child.wait(10) == 0

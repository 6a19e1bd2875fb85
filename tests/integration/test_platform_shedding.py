"""A disk that hangs while platforms watch: calls step back before a picture is lost.

Edge and uplink as they are run, the only disk frozen for a while. A part of ``make faults``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from tests.peers.media_receiver import Receiver
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.disks import ext4
from tests.support.media_site import CODE, media_site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="make faults"),
    pytest.mark.timeout(200),
]

#: With the camera's bit rate this is full after half a minute.
BUFFER = 'buffer_bytes = "8MiB"\nreserve_bytes = "0B"\n'


def test_calls_step_back_before_a_hanging_disk_costs_a_picture(tmp_path: Path) -> None:
    stream = StreamPlan(width=480, height=270, fps=20, gop_frames=20, bit_rate=2_000_000)
    plan = CameraPlan(id="gate", stream=stream, loop_seconds=4, stamp=True)
    with (
        ext4(tmp_path / "disk", 192) as disk,
        demo_process(plan) as demo,
        media_site(
            tmp_path,
            {"gate": f'rtsp = "{demo["gate"].rtsp}"'},
            storage=BUFFER,
            volumes=[disk.root],
        ) as site,
        Receiver("udp").start() as first,
        Receiver("tcp").start() as second,
    ):
        begin_s = site.begin_s("gate")
        times = (begin_s, begin_s + 600)
        playing = offer(second, name="Playback", channel=CODE.format(1), times=times)
        live, playback = site.call("gate", offer(first)), site.call("gate", playing)
        site.peer.wait("pictures", lambda: first.packets and second.packets)
        try:
            disk.freeze()
            site.peer.wait("the playback's end", playback.was_left, 30)
            refused = offer(second, name="Playback", channel=CODE.format(1), times=times)
            assert PeerCall(site.peer, CODE.format(1), refused).invite().status == 486
            assert not live.was_left()
        finally:
            disk.thaw()
        count = len(first.packets)
        site.peer.wait("live pictures", lambda: len(first.packets) > count + 100)
        time.sleep(6)  # the buffer empties, uplink hears of it
        again = site.call("gate", refused)
        again.bye()
        live.bye()
        with urlopen(f"http://127.0.0.1:{site.box.metrics_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        dropped = [line for line in lines if line.startswith("nvr_recording_dropped_frames_total{")]
        assert all(line.endswith(" 0.0") for line in dropped), dropped

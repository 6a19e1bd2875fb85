"""Kinds of streams, recorded by the whole service: all decode silently, each second is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import Codec
from retention.read import Store
from tests.peers.gst import GstServer
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process
from tests.support.footage import stored_video, undecodable

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SMALL = StreamPlan(width=160, height=96)
MEDIA = Path(__file__).parents[1] / "media"


def now_us() -> int:
    return time.time_ns() // 1000


def test_a_server_nobody_here_wrote(tmp_path: Path) -> None:
    """H.264 with A-law, H.265 with AAC, B-frames; digest authentication."""
    mounts = {
        "alaw+audio": MEDIA / "street-h264-pcma.mkv",
        "aac+audio": MEDIA / "pedestrians-h265-aac.mkv",
        "bframes": MEDIA / "street-h264-bframes.mkv",
    }
    with GstServer(mounts, user="recorder", password="gst-pass") as server:
        cameras = [
            BoxCamera(
                id=name.partition("+")[0],
                source=f'rtsp = "{server.url(name)}"',
                password="gst-pass",
                audio="+audio" in name,
            )
            for name in mounts
        ]
        box = Box(folder=tmp_path, cameras=cameras, segment_seconds=4)
        box.write_config()
        begun_us = now_us()
        box.start()
        try:
            box.wait_recording()
            time.sleep(12)
            for camera in cameras:
                causes = {g["cause"] for g in box.timeline(camera.id, begun_us, now_us())["gaps"]}
                assert causes <= {"config"}
            assert box.camera_status("alaw")["audio"] == "alaw"
            assert box.camera_status("aac")["codec"] == "h265"
            assert box.stop() == 0
        finally:
            box.kill()
    assert undecodable(box.segments()) == {}
    with Store(box.state / "index.db", (box.volume,)) as store:
        tracks = {stored.unit.track.value for stored in store.access_units("alaw", 0)}
    assert tracks == {"video", "audio"}


def test_odd_streams_are_recorded_whole(tmp_path: Path) -> None:
    """Resolution switch, long GOP, a start between key frames, jumping time stamps."""
    plans = [
        CameraPlan(id="switched", stream=SMALL, loop_seconds=5, stamp=True),
        CameraPlan(
            id="long-gop",
            stream=StreamPlan(width=160, height=96, gop_frames=120),
            loop_seconds=12,
            stamp=True,
        ),
        CameraPlan(id="mid-gop", stream=SMALL, loop_seconds=5, stamp=True, start_mid_gop=True),
        CameraPlan(id="jumping", stream=SMALL, loop_seconds=5, stamp=True),
    ]
    with demo_process(*plans) as site:
        cameras = [BoxCamera(id=p.id, source=f'rtsp = "{site[p.id].rtsp}"') for p in plans]
        box = Box(folder=tmp_path, cameras=cameras, segment_seconds=5)
        box.write_config()
        begun_us = now_us()
        box.start()
        try:
            box.wait_recording(timeout_s=60)
            stream = {"codec": Codec.H264.value, "width": 320, "height": 192}
            site.do("switched", "switch", stream=stream)
            site.do("jumping", "jump", by_us=3_600_000_000)
            wait_for("320 wide", lambda: box.camera_status("switched")["width"] == 320)
            time.sleep(15)
            for camera in cameras:
                gaps = box.timeline(camera.id, begun_us, now_us())["gaps"]
                assert {gap["cause"] for gap in gaps} <= {"config", "camera_offline"}, gaps
            assert box.stop() == 0
        finally:
            box.kill()
    assert undecodable(box.segments()) == {}
    with Store(box.state / "index.db", (box.volume,)) as store:
        shapes = [stored.format.video.width for stored in store.access_units("switched", 0)]
    assert sorted(set(shapes)) == [160, 320]
    assert stored_video(box, "long-gop")[0].is_key


def test_a_bad_settings_file_leaves_the_old_ones_in_force(tmp_path: Path) -> None:
    plan = CameraPlan(id="gate", stream=SMALL, loop_seconds=5, stamp=True)
    with demo_process(plan) as site:
        box = Box(
            folder=tmp_path,
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{site["gate"].rtsp}"')],
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            since_us = now_us()
            good = box.config.read_text()
            box.config.write_text(good + "\n[retention]\nmin_days = 30\n")
            checked = box.xueliang("check")
            assert checked.returncode == 2
            assert "retention.min_days" in checked.stderr
            box.reload()
            wait_for(
                "the refusal is counted",
                lambda: box.metrics()['nvr_config_reload_total{result="failed"}'] == 1,
            )
            box.config.write_text(good)
            box.wait_recording()
            assert box.timeline("gate", since_us, now_us())["gaps"] == []
            assert "settings_refused" in box.log
            assert box.stop() == 0
        finally:
            box.kill()

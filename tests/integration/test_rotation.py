"""1,000 rotations against what the cameras sent: not one picture lost, doubled or changed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import Codec
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process
from tests.support.footage import assert_no_loss, stored_video

CAMERAS = 16
ROTATIONS = 1_000
#: A boundary each second, and a key frame each half second at which to cut.
SECONDS = ROTATIONS / CAMERAS + 12

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_no_picture_is_lost_or_doubled_in_1000_rotations(tmp_path: Path) -> None:
    plans = [
        CameraPlan(
            id=f"camera-{n}",
            stream=StreamPlan(
                codec=Codec.H265 if n % 4 == 3 else Codec.H264,
                width=160,
                height=96,
                gop_frames=5,
                b_frames=2 if n % 4 == 2 else 0,
            ),
            loop_seconds=5,
            stamp=True,
            log_units=100_000,
        )
        for n in range(CAMERAS)
    ]
    with demo_process(*plans) as site:
        box = Box(
            folder=tmp_path,
            cameras=[
                BoxCamera(id=plan.id, source=f'rtsp = "{site[plan.id].rtsp}"') for plan in plans
            ],
            segment_seconds=1,
        )
        box.write_config()
        try:
            box.start()
            box.wait_recording()
            time.sleep(SECONDS)
            assert box.stop() == 0
        finally:
            box.kill()
        sent = {plan.id: site.sent(plan.id) for plan in plans}
    for camera, units in sent.items():
        stored = stored_video(box, camera)
        assert_no_loss(units, stored)
        assert len(stored) >= 10 * (SECONDS - 2)
    assert len(box.segments()) >= ROTATIONS

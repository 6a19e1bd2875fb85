"""Reading on from disk into the live tap: nothing lost or doubled at the seam; slow readers."""

from __future__ import annotations

import hashlib
import stat
import threading
import time
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.live import SOCKET_NAME, Follower, Tap, TapUnavailable
from retention.model import US_PER_S, Codec, Track
from retention.read import Store, StoredUnit
from retention.tap_messages import Live
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process
from tests.support.footage import StoredUnit as Picture
from tests.support.footage import assert_no_loss

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SMALL = StreamPlan(width=160, height=96, gop_frames=20)
REORDERED = StreamPlan(codec=Codec.H265, width=160, height=96, gop_frames=20, b_frames=2)


def read_for(box: Box, camera: str, from_us: int, seconds: float) -> list[StoredUnit]:
    """What a follower yields in that time."""
    found: list[StoredUnit] = []
    with Store(box.state / "index.db", (box.volume,)) as store:
        follower = Follower(store, box.state, camera, from_us)
        timer = threading.Timer(seconds, follower.close)
        timer.start()
        for unit in follower:
            assert isinstance(unit, StoredUnit), "a reader that keeps up skips nothing"
            found.append(unit)
        timer.join()
    return found


def pictures(units: list[StoredUnit]) -> list[Picture]:
    return [
        Picture(
            pts_us=one.unit.pts_us,
            is_key=one.unit.is_key,
            sha256=hashlib.sha256(one.unit.data).hexdigest(),
        )
        for one in units
        if one.unit.track is Track.VIDEO
    ]


def test_a_reader_goes_on_from_disk_into_the_tap(tmp_path: Path) -> None:
    plans = [
        CameraPlan(id="gate", stream=SMALL, loop_seconds=5, stamp=True, log_units=10_000),
        CameraPlan(id="yard", stream=REORDERED, loop_seconds=5, stamp=True, log_units=10_000),
    ]
    with demo_process(*plans) as site:
        box = Box(
            folder=tmp_path,
            cameras=[BoxCamera(id=one.id, source=f'rtsp = "{site[one.id].rtsp}"') for one in plans],
            segment_seconds=3,
        )
        box.write_config()
        try:
            box.start()
            box.wait_recording()
            time.sleep(6)
            for plan in plans:
                now_us = time.time_ns() // 1000
                for back_s in (0, 5, 3600):
                    units = read_for(box, plan.id, now_us - back_s * US_PER_S, 2.5)
                    got = pictures(units)
                    assert got[0].is_key
                    newest_us = max(picture.pts_us for picture in got)
                    assert newest_us > now_us + US_PER_S  # live, not only what is stored
                    assert_no_loss(site.sent(plan.id), got)
            slow_reader_costs_nothing(box)
            assert stat.S_IMODE((box.state / SOCKET_NAME).stat().st_mode) == 0o660
            with Tap(box.state, "nobody") as tap:
                assert list(tap) == []
            assert box.stop() == 0
        finally:
            box.kill()
    with pytest.raises(TapUnavailable):
        Tap(tmp_path / "state", "gate")


def slow_reader_costs_nothing(box: Box) -> None:
    """One that never reads is not waited for: recording goes on."""
    with Tap(box.state, "gate") as silent, Tap(box.state, "gate") as other:
        waiting = 0
        for unit in other:
            if isinstance(unit, Live):
                break
            waiting += 1
        assert waiting  # at least from the newest key frame
        before_us = time.time_ns() // 1000
        box.wait_recording("gate")
        assert box.camera_status("gate")["cause"] is None
        assert time.time_ns() // 1000 - before_us < 20 * US_PER_S
        assert silent

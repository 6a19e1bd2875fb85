"""SIGKILL of camera children and of edge itself, at random moments under the load of 4 cameras.

``XUELIANG_FAULTS=full`` makes it the 100 kills of ``make faults``; CI takes a few of each kind.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.footage import stored_video, undecodable

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
CHILD_KILLS, EDGE_KILLS = (50, 50) if IS_FULL else (5, 5)
NAMES = ("north", "south", "east", "west")
GOP_US = US_PER_S
#: Beyond the group of pictures in hand: the picture that shows where it ends, and the way to disk.
SLACK_US = 600_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@dataclass(frozen=True, slots=True)
class Kill:
    at_us: int
    is_edge: bool
    back_us: int = 0  # every camera has durable footage again


def now_us() -> int:
    return time.time_ns() // 1000


def camera_children(box: Box) -> list[psutil.Process]:
    """The processes that have a camera's connection."""
    assert box.process is not None
    family = psutil.Process(box.process.pid).children(recursive=True)
    return [
        process
        for process in family
        if any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))
    ]


def kill_at_random(box: Box, order: random.Random) -> list[Kill]:
    kinds = [False] * CHILD_KILLS + [True] * EDGE_KILLS
    order.shuffle(kinds)
    kills = []
    for is_edge in kinds:
        time.sleep(order.uniform(0.2, 2.5))
        if is_edge:
            at_us = now_us()
            box.kill()
            box.start()
        else:
            children = wait_for("a camera child", lambda: camera_children(box) or None)
            at_us = now_us()
            order.choice(children).kill()
        if is_edge or order.random() < 0.5:
            box.wait_recording()
        kills.append(Kill(at_us, is_edge, now_us()))
    return kills


def test_no_kill_costs_more_than_what_was_in_hand(tmp_path: Path) -> None:
    stream = StreamPlan(width=320, height=192, gop_frames=10)
    h265 = StreamPlan(codec=Codec.H265, width=320, height=192, gop_frames=10)
    plans = [
        CameraPlan(
            id=name,
            stream=h265 if name == "west" else stream,
            password="pass-" + name,
            loop_seconds=10,
            stamp=True,
            log_units=100_000,
        )
        for name in NAMES
    ]
    with demo_process(*plans) as site:
        box = Box(
            folder=tmp_path,
            cameras=[
                BoxCamera(id=n, source=f'rtsp = "{site[n].rtsp}"', password="pass-" + n)
                for n in NAMES
            ],
            segment_seconds=10,
        )
        box.write_config()
        box.start()
        begun_us = now_us()
        try:
            box.wait_recording()
            seed = random.randrange(2**32)
            print(f"seed {seed}")
            kills = kill_at_random(box, random.Random(seed))
            box.wait_recording()
            time.sleep(2)
            until_us = now_us() - 3 * US_PER_S
            assert box.stop() == 0
            for name in NAMES:
                assert_losses_explained(box, site, name, kills, until_us)
                assert_timeline_explained(box, name, begun_us, until_us, kills)
            assert box.json("reindex", "--dry-run")["differences"] == []
            assert undecodable(box.segments()) == {}
        finally:
            box.kill()


def assert_losses_explained(
    box: Box, site: SiteProcess, name: str, kills: list[Kill], until_us: int
) -> None:
    """Whatever was sent and is not stored was sent around a kill."""
    sent = site.sent(name)
    # a session's first picture may lack what libav throws away before the answer to PLAY
    known = {unit.sha256 for unit in sent}
    hashes = [unit.sha256 for unit in stored_video(box, name) if unit.sha256 in known]
    stored = set(hashes)
    assert len(stored) == len(hashes), f"{name}: pictures stored twice"
    first = next(place for place, unit in enumerate(sent) if unit.sha256 in stored)
    lost = [
        unit.capture_utc_us
        for unit in sent[first:]
        if unit.sha256 not in stored and unit.capture_utc_us < until_us
    ]
    unexplained = [
        at_us
        for at_us in lost
        if not any(
            kill.at_us - GOP_US - SLACK_US <= at_us <= kill.back_us + 3 * US_PER_S for kill in kills
        )
    ]
    assert unexplained == [], f"{name}: {len(unexplained)} of {len(lost)} lost without a kill"


def assert_timeline_explained(
    box: Box, name: str, from_us: int, to_us: int, kills: list[Kill]
) -> None:
    line = box.timeline(name, from_us, to_us)
    pieces = sorted((p["start"], p["end"]) for p in [*line["spans"], *line["gaps"]])
    assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))
    causes = {gap["cause"] for gap in line["gaps"]}
    assert "unknown" not in causes, line["gaps"]
    started = [gap for gap in line["gaps"] if gap["cause"] != "config"]  # before the first picture
    for gap in started:
        near = [kill for kill in kills if kill.at_us - 5 * US_PER_S <= gap["end"]]
        assert near, f"a gap without a kill: {gap}"

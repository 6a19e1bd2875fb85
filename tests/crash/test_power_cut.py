"""The power goes: the file system of volume and state is shut down under load, as parts.md says.

``EXT4_IOC_SHUTDOWN`` without a journal flush drops all that was not synced.
``XUELIANG_FAULTS=full`` makes it the 20 cuts of ``make faults``.
"""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process
from tests.support.footage import stored_video, undecodable

CUTS = 20 if os.environ.get("XUELIANG_FAULTS") == "full" else 2
EXT4_IOC_SHUTDOWN = 0x8004587D
GOING_FLAGS_NOLOGFLUSH = (2).to_bytes(4, "little")
DURABILITY_S = 2.0
GOP_US = US_PER_S
#: So long a test beside this one may keep a namespace of its own.
HELD_S = 150
#: The picture that shows where a group ends, and the sync itself.
SLACK_US = 700_000
NAMES = ("north", "south")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system"),
]


class Disk:
    """An ext4 file system of its own on a loop device."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self.mount_point = folder / "disk"
        self.mount_point.mkdir()
        with self.image.open("wb") as image:
            image.truncate(512 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)

    def mount(self) -> None:
        """Anew, once nobody holds the dead one: a namespace made meanwhile holds a copy of it."""
        probe = self.mount_point / "probe"
        for _ in range(HELD_S):
            subprocess.run(
                ["mount", "-o", "loop", str(self.image), str(self.mount_point)], check=True
            )
            try:
                probe.touch()
                probe.unlink()
                return
            except OSError:
                self.unmount()
                time.sleep(1)
        pytest.skip("another mount namespace holds the dead file system")

    def cut_power(self) -> None:
        root = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, GOING_FLAGS_NOLOGFLUSH)
        finally:
            os.close(root)

    def unmount(self) -> None:
        for _ in range(50):
            if (
                subprocess.run(["umount", str(self.mount_point)], capture_output=True).returncode
                == 0
            ):
                return
            time.sleep(0.1)
        raise AssertionError("the file system is still in use")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    made.mount()
    yield made
    subprocess.run(["umount", "-l", str(made.mount_point)], capture_output=True)


def test_a_power_cut_costs_the_durability_interval_and_one_group(
    tmp_path: Path, disk: Disk
) -> None:
    plans = [
        CameraPlan(
            id=name,
            stream=StreamPlan(width=320, height=192),
            loop_seconds=10,
            stamp=True,
            log_units=100_000,
        )
        for name in NAMES
    ]
    with demo_process(*plans) as site:
        (disk.mount_point / "volume").mkdir()
        box = Box(
            folder=tmp_path / "box",
            cameras=[BoxCamera(id=n, source=f'rtsp = "{site[n].rtsp}"') for n in NAMES],
            volumes=[disk.mount_point / "volume"],
            state_dir=disk.mount_point / "state",
            segment_seconds=10,
            durability_seconds=DURABILITY_S,
        )
        box.write_config()
        cuts_us = []
        begun_us = time.time_ns() // 1000
        try:
            box.start()
            for _ in range(CUTS):
                box.wait_recording()
                time.sleep(random.uniform(3, 9))
                cuts_us.append(time.time_ns() // 1000)
                disk.cut_power()
                box.kill()
                disk.unmount()
                disk.mount()
                box.start()
            box.wait_recording()
            until_us = time.time_ns() // 1000 - 3 * US_PER_S
            assert box.stop() == 0
            worst_us = max(
                cut_us - newest_before(box, name, cut_us) for name in NAMES for cut_us in cuts_us
            )
            print(f"most lost in {CUTS} cuts: {worst_us / US_PER_S:.2f} s")
            assert worst_us <= DURABILITY_S * US_PER_S + GOP_US + SLACK_US
            for name in NAMES:
                gaps = box.timeline(name, begun_us, until_us)["gaps"]
                assert "unknown" not in {gap["cause"] for gap in gaps}, gaps
            assert box.json("reindex", "--dry-run")["differences"] == []
            assert undecodable(box.segments()) == {}
        finally:
            box.kill()


def newest_before(box: Box, camera: str, at_us: int) -> int:
    return max(unit.pts_us for unit in stored_video(box, camera) if unit.pts_us <= at_us)

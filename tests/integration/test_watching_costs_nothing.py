"""The console serves footage and live pictures to more clients than it takes, while the only disk
hangs and then is full: no picture is lost. A part of ``make faults``.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from config.instants import format_instant
from edge.console.roles import Permission, Role
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.console_box import PASSWORD, ConsoleBox
from tests.support.disks import Disk, ext4
from tests.support.footage import stored_video

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="make faults"),
    pytest.mark.timeout(400),
]

S = US_PER_S
MIB = 1 << 20
NAMES = ("gate", "parking")
PLAYERS, WATCHERS = 6, 2  # the console has three readers
PAUSE_S = 8


@dataclass(slots=True)
class Crowd:
    """Persons who take all that they are let have, as fast as it comes."""

    console: ConsoleBox
    from_us: int
    to_us: int
    is_over: threading.Event = field(default_factory=threading.Event)
    answers: Counter[int] = field(default_factory=Counter)
    live_bytes: int = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        deeds = [(self.play, seed) for seed in range(PLAYERS)] + [
            (self.watch, PLAYERS + number) for number in range(WATCHERS)
        ]
        threads = [threading.Thread(target=deed, args=(seed,)) for deed, seed in deeds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join(60)

    @contextmanager
    def person(self, number: int) -> Iterator[tuple[httpx.Client, str]]:
        """Somebody who has logged in, and his token for forms."""
        url = self.console.url
        with httpx.Client(
            base_url=url, verify=False, timeout=60, headers={"Origin": url}
        ) as client:
            login = {"name": f"head-{number}", "password": PASSWORD}
            assert client.post("/login", data=login).status_code == 303
            found = re.findall(r'name="csrf" value="([^"]+)"', client.get("/password").text)
            yield client, found[-1]

    def play(self, seed: int) -> None:
        """Another range each time, piece for piece."""
        draw = random.Random(seed)
        with self.person(seed) as (client, csrf):
            fields = {
                "csrf": csrf,
                "camera": list(NAMES),
                "from": format_instant(self.from_us)[:19],
                "to": format_instant(self.to_us)[:19],
                "reason": "家长询问丢失的书包",
            }
            grant = client.post("/playback", data=fields).headers["location"].rpartition("/")[2]
            while not self.is_over.is_set():
                base = f"/footage/{grant}/{draw.choice(NAMES)}"
                from_us = draw.randrange(self.from_us + S, self.to_us - 11 * S)
                window = {"from_us": from_us, "to_us": from_us + 10 * S}
                told = client.get(f"{base}/playlist.json", params=window)
                self.answers[told.status_code] += 1
                for chapter in told.json().get("chapters", []):
                    for place, *_ in chapter["pieces"]:
                        piece = client.get(f"{base}/{chapter['number']}/{place}.m4s")
                        self.answers[piece.status_code] += 1

    def watch(self, number: int) -> None:
        with self.person(number) as (client, csrf):
            fields = {"csrf": csrf, "camera": list(NAMES), "reason": "早间入园值守"}
            view = client.post("/live", data=fields).headers["location"]
            while not self.is_over.is_set():
                with client.stream("GET", f"{view}/{NAMES[0]}/stream") as stream:
                    for data in stream.iter_raw():
                        self.live_bytes += len(data)
                        if self.is_over.is_set():
                            return


def test_no_picture_is_lost_while_the_disk_hangs_and_is_full(tmp_path: Path) -> None:
    stream = StreamPlan(width=320, height=192, bit_rate=1_000_000)
    plans = [
        CameraPlan(id=name, stream=stream, loop_seconds=10, stamp=True, log_units=100_000)
        for name in NAMES
    ]
    with ext4(tmp_path / "disk", 96) as disk, demo_process(*plans) as site:
        volume = disk.root / "volume"
        volume.mkdir()
        role = ("face", "vehicle")
        box = Box(
            folder=tmp_path / "box",
            volumes=[volume],
            cameras=[
                BoxCamera(id=name, source=f'rtsp = "{site[name].rtsp}"\nrole = "{role[place]}"')
                for place, name in enumerate(NAMES)
            ],
            segment_seconds=2,
            reserve_bytes="1MiB",
        )
        box.write_config()
        settings = box.config.read_text().replace("[console]\n", "[console]\nlive = true\n")
        box.config.write_text(settings)
        console = ConsoleBox(folder=box.folder, volumes=[volume], cameras={}, wrapper=())
        console.port, console.metrics_port = box.console_port, box.port
        box.start()
        try:
            box.wait_recording()
            begun_us = time.time_ns() // 1000
            for number in range(PLAYERS + WATCHERS):
                console.account(f"head-{number}", Role.HEAD, Permission.LIVE)
            time.sleep(15)  # something to look at
            with console:
                crowd = Crowd(console, begun_us, time.time_ns() // 1000)
                with crowd.at_work():
                    wait_for("live pictures", lambda: crowd.live_bytes > 100_000)
                    _hangs(box, site, disk, begun_us)
                    before = Counter(crowd.answers)
                    disk.fill(left_bytes=6 * MIB)
                    gone = 'nvr_retention_deleted_bytes_total{camera="gate",reason="overwritten"}'
                    wait_for("footage to go", lambda: box.metrics().get(gone, 0) > MIB, 120)
                _nothing_dropped(box)
                print(f"answers {dict(crowd.answers)}, live {crowd.live_bytes:,} bytes")
                assert (crowd.answers - before)[200] > 100
                assert set(crowd.answers) <= {200, 404, 503}  # 404: deleted meanwhile
            box.wait_recording()
            line = box.timeline("gate", begun_us, time.time_ns() // 1000 - 2 * S)
            assert {gap["cause"] for gap in line["gaps"]} <= {"overwritten"}, line["gaps"]
            until_us = time.time_ns() // 1000 - 3 * S
            assert box.stop() == 0
            _kept(box, site, line["spans"][-1]["start"], until_us)
        finally:
            box.kill()


def _hangs(box: Box, site: SiteProcess, disk: Disk, begun_us: int) -> None:
    """For less than the buffer holds; all of it is stored."""
    for _ in range(2):
        disk.freeze()
        time.sleep(PAUSE_S)
        disk.thaw()
        box.wait_recording()
    _nothing_dropped(box)
    for name in NAMES:
        line = box.timeline(name, begun_us, time.time_ns() // 1000 - 2 * S)
        assert line["gaps"] == [], name
    _kept(box, site, begun_us, time.time_ns() // 1000 - 5 * S)


def _nothing_dropped(box: Box) -> None:
    found = {
        name: value
        for name, value in box.metrics().items()
        if name.startswith("nvr_recording_dropped_frames_total") and value
    }
    assert found == {}


def _kept(box: Box, site: SiteProcess, from_us: int, until_us: int) -> None:
    """Every picture sent meanwhile is stored, once."""
    for name in NAMES:
        counts = Counter(one.sha256 for one in stored_video(box, name))
        wanted = [
            one.sha256
            for one in site.sent(name)
            if from_us + 2 * S <= one.capture_utc_us <= until_us
        ]
        assert wanted
        assert [one for one in wanted if counts[one] != 1] == [], name

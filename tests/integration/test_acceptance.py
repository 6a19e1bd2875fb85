"""Acceptance of a box that records and is registered with a platform; and drills that a person
helps with (``XUELIANG_FAULTS=full``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.instants import BEIJING
from edge.acceptance.report import HTML_NAME, JSON_NAME
from edge.demo.plan import CameraPlan, StreamPlan
from tests.peers.platform import DEVICE_ID, PlatformPeer
from tests.support.box import XUELIANG, Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.disks import mount_tmpfs, tmpfs
from tests.support.uplink_box import BoxPlatform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(170)]

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
NAMES = ("north", "south")
PASSWORD = "Platform-2026-y"
CODES = ("34020000001320000001", "34020000001320000002")
REGISTER = (
    'archive.address = "北门"\narchive.manufacturer = "Demo"\narchive.model = "One"\n'
    'archive.civil_code = "340200"\narchive.point_type = "3"'
)


@contextmanager
def recording(
    folder: Path, volumes: tuple[Path, ...] = (), more: str = ""
) -> Iterator[tuple[Box, SiteProcess]]:
    plans = [
        CameraPlan(
            id=name,
            stream=StreamPlan(width=320, height=192),
            loop_seconds=5,
            password=f"{name.title()}-2026-x",
        )
        for name in NAMES
    ]
    with demo_process(*plans) as site:
        cameras = [
            BoxCamera(
                id=name,
                source=f'rtsp = "{site[name].rtsp}"\ngb_id = "{code}"\n{REGISTER}',
                password=f"{name.title()}-2026-x",
            )
            for name, code in zip(NAMES, CODES, strict=True)
        ]
        box = Box(folder=folder, cameras=cameras, volumes=volumes, segment_seconds=2, more=more)
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            wait_for("sealed segments", lambda: len(box.segments()) > 4)
            yield box, site
        finally:
            box.stop()


def items(box: Box, folder: Path) -> dict[str, Any]:
    done = box.xueliang("accept", "-o", str(folder), "--json")
    assert done.stdout, done.stderr
    return {one["number"]: one for one in json.loads(done.stdout)["items"]}


def ask(
    peer: PlatformPeer, command: str, channel: str, is_all: Callable[[str], bool], more: str = ""
) -> None:
    """Until all that was asked for has come."""
    body = (
        f"<?xml version='1.0'?><Query><CmdType>{command}</CmdType><SN>7</SN>"
        f"<DeviceID>{channel}</DeviceID>{more}</Query>"
    )
    fields = (("Content-Type", "Application/MANSCDP+xml"),)
    request = peer.request("MESSAGE", fields=fields, body=body.encode(), target=channel)
    assert peer.ask(request).status == 200

    def told() -> str:
        bodies = [one.body for one in peer.messages(f"<CmdType>{command}<".encode())]
        return b"".join(bodies).decode("gb18030")

    try:
        peer.wait(f"all of {command}", lambda: is_all(told()) or None)
    except AssertionError as error:
        raise AssertionError(told()) from error


@pytest.fixture
def uplink() -> Iterator[Callable[[Box], None]]:
    processes = []

    def start(box: Box) -> None:
        log = (box.folder / "uplink.log").open("ab")
        with log:
            arguments = [*XUELIANG, "run", "uplink", "-c", str(box.config)]
            processes.append(subprocess.Popen(arguments, stdout=log, stderr=log))

    yield start
    for one in processes:
        one.terminate()
        one.wait(15)


def test_a_registered_box_is_judged_as_the_platform_sees_it(
    tmp_path: Path, uplink: Callable[[Box], None]
) -> None:
    with PlatformPeer(password=PASSWORD) as peer:
        platform = BoxPlatform(server=f"127.0.0.1:{peer.port}", password=PASSWORD)
        with recording(tmp_path, more=platform.toml(tmp_path)) as (box, _):
            good = box.config.read_text()
            box.config.write_text(
                good.replace(CODES[1], "34020000001180000002")
                .replace('"北门"', '""', 1)
                .replace("摄像机 south", "摄像机 north")
            )
            found = items(box, tmp_path / "1")
            assert found["8"]["result"] == "failed"
            assert found["8"]["found"] == ["police: uplink_not_running"]
            assert found["10"]["result"] == "failed"
            text = " ".join(found["10"]["found"])
            for fault in ("address is missing", "no camera's", "another camera is called"):
                assert fault in text, text
            assert found["8"]["mend"]
            assert found["10"]["mend"]
            box.config.write_text(good)
            uplink(box)
            peer.wait_registered()
            wait_for("told", lambda: box.status()["platforms"][0]["registered"])
            found = items(box, tmp_path / "2")
            for number in ("4a", "5b", "8", "9", "10", "11a"):
                assert found[number]["result"] == "passed", found[number]
            assert found["3"]["result"] == "failed"  # the demo's picture is small
            assert found["4b"]["result"] == "not_yet"  # it is no day old
            for number in ("7", "13", "16"):
                assert found[number]["result"] == "manual", found[number]
            assert_report_is_the_boxs(box, tmp_path / "2")
            ask(peer, "Catalog", DEVICE_ID, lambda told: all(code in told for code in CODES))
            now = datetime.now(BEIJING)
            start, end = (now + timedelta(days=days) for days in (-1, 1))
            window = (
                f"<StartTime>{start:%Y-%m-%dT%H:%M:%S}</StartTime>"
                f"<EndTime>{end:%Y-%m-%dT%H:%M:%S}</EndTime>"
            )
            ask(peer, "RecordInfo", CODES[0], lambda told: "<RecordList Num=" in told, window)


def assert_report_is_the_boxs(box: Box, folder: Path) -> None:
    """And no other one is taken for it."""
    assert "密钥 key" in box.xueliang("accept", "--verify", str(folder)).stdout
    for name, change in (
        (JSON_NAME, lambda text: text.replace('"failed"', '"passed"')),
        (HTML_NAME, lambda text: "<p>all is well"),
    ):
        text = (folder / name).read_text()
        (folder / name).write_text(change(text))
        assert box.xueliang("accept", "--verify", str(folder)).returncode == 1
        (folder / name).write_text(text)
    assert any(one["action"] == "acceptance" for one in box.json("audit", "list"))


class Drill:
    """``xueliang accept`` with drills, and who does at the box what it says."""

    def __init__(self, box: Box, folder: Path, *drills: str) -> None:
        asked = [word for one in drills for word in ("--drill", one)]
        arguments = [*XUELIANG, "accept", "-o", str(folder), *asked, "--json"]
        self._process = subprocess.Popen(
            [*arguments, "-c", str(box.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, words: str) -> None:
        """Waits until it does."""
        assert self._process.stderr is not None
        heard = ""
        for line in self._process.stderr:
            heard += line
            if words in line:
                return
        raise AssertionError(heard + str(self._process.stdout and self._process.stdout.read()))

    def items(self) -> dict[str, Any]:
        told, _ = self._process.communicate(timeout=120)
        return {one["number"]: one for one in json.loads(told)["items"]}


@pytest.mark.root
@pytest.mark.skipif(not IS_FULL, reason="make faults")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")
def test_the_recorder_is_killed_a_cable_and_a_disk_are_pulled_and_put_back(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "ill", "100m") as ill, tmpfs(tmp_path / "well", "100m") as well:
        volumes = (ill.root / "volume", well.root / "volume")
        for volume in volumes:
            volume.mkdir()
        well.fill(left_bytes=60 << 20)
        with recording(tmp_path / "box", volumes) as (box, site):
            drill = Drill(box, tmp_path / "report", "recorder", "network", "disk")
            assert box.process is not None
            assert box.process.wait(60) == -signal.SIGKILL
            box.start()  # as a service manager does
            drill.says("pull one camera's cable")
            site.do("north", "unplug")
            drill.says("Plug it in again")
            site.do("north", "plug")
            drill.says("pull one disk")
            mount_tmpfs(ill.root, "20m")  # what stood there is not to be seen
            (ill.root / "volume").mkdir()
            drill.says("Put it back")
            ill.pull()
            found = drill.items()
    assert found["13b"]["result"] == "passed", found["13b"]
    assert [found[number]["result"] for number in ("13", "13a", "13b", "13c")] == [
        "passed",
        "passed",
        "passed",
        "manual",
    ], found["13"]
    assert "service_crashed" in " ".join(found["13"]["found"])
    assert "north" in " ".join(found["13a"]["found"])
    assert "south" not in " ".join(found["13a"]["found"])
    assert "nothing is missing" in " ".join(found["13b"]["found"])

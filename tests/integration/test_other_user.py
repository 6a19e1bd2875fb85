"""Uplink as a Unix user of its own, who may read index and footage and write neither.

While edge lives its write-ahead log is read along; after a clean end, when there is no log and this
user may make none, the index is read as it lies; when edge is back, what is new is seen again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S
from retention.read import Store
from tests.peers.media_receiver import Receiver
from tests.peers.platform import PlatformPeer
from tests.support.box import XUELIANG, wait_for
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.uplink.bodies import asked, judged
from uplink.manscdp.instants import format_time, parse_time

pytestmark = [pytest.mark.integration, pytest.mark.root, pytest.mark.timeout(180)]

NOBODY = 65534
VERSION = sys.version_info[:2]
GATE = "34020000001320000001"
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
#: Edge is root here; what it makes is of the group that uplink is in.
AS_EDGE = ("setpriv", f"--regid={NOBODY}", "--clear-groups")


def python_of_nobody() -> tuple[str, ...]:
    """An interpreter that the other user may run, with the program: ours, else the system's of the
    same version."""
    packages = sysconfig.get_path("purelib")
    for path in (sys.executable, "/usr/bin/python3"):
        command = (*AS_NOBODY, "env", f"PYTHONPATH={packages}", path)
        check = f"import sys, cryptography, uplink; assert sys.version_info[:2] == {VERSION}"
        if subprocess.run([*command, "-c", check], capture_output=True).returncode == 0:
            return command
    pytest.skip("no Python of this version, or not this source tree, that another user may read")


@contextmanager
def edge(box: UplinkBox) -> Iterator[None]:
    with (box.folder / "edge.log").open("ab") as log:
        process = subprocess.Popen(
            [*AS_EDGE, *XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def recorded_until_us(peer: PlatformPeer, sn: int) -> int:
    """The end of what RecordInfo tells of the last hour."""
    now_us = time.time_ns() // 1000
    window = (
        f"<StartTime>{format_time(now_us - 3600 * US_PER_S)}</StartTime>"
        f"<EndTime>{format_time(now_us + 3600 * US_PER_S)}</EndTime>"
    )
    fields = (("Content-Type", "Application/MANSCDP+xml"),)
    body = asked("RecordInfo", window, device_id=GATE, sn=sn)
    assert peer.ask(peer.request("MESSAGE", fields=fields, body=body)).status == 200

    def items() -> list[ET.Element] | None:
        parts = [judged(one.body) for one in peer.messages(f"<SN>{sn}</SN>".encode())]
        found = [item for part in parts for item in part.iter("Item")]
        return found if parts and len(found) == int(parts[0].findtext("SumNum") or 0) else None

    ends = [one.findtext("EndTime") or "" for one in peer.wait("the whole answer", items)]
    return max((parse_time(text) or 0 for text in ends), default=0)


def played(peer: PlatformPeer, name: str, times: tuple[int, int]) -> int:
    """How many pictures come within a second or so."""
    with Receiver("tcp").start() as receiver:
        call = PeerCall(peer, GATE, offer(receiver, name=name, channel=GATE, times=times))
        assert call.invite().status == 200
        time.sleep(1.2)
        call.bye()
        return len(receiver.packs())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_uplink_reads_as_another_user(tmp_path: Path) -> None:
    python = python_of_nobody()
    folder = Path(tempfile.mkdtemp(prefix="xueliang-user-"))  # pytest's own is root's alone
    folder.chmod(0o755)
    plan = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96), loop_seconds=5)
    try:
        with demo_process(plan) as demo, PlatformPeer() as peer:
            platform = BoxPlatform(server=f"127.0.0.1:{peer.port}")
            camera = f'[[camera]]\nid = "gate"\nname = "门"\ngb_id = "{GATE}"\n'
            box = UplinkBox(
                folder=folder,
                platforms=[platform],
                more=f'{camera}rtsp = "{demo["gate"].rtsp}"\n',
                storage="durability_seconds = 1\n",
                python=python,
            )
            box.write_config()
            _give(folder)
            try:
                _go_through(box, peer)
                assert box.stop() == 0
            finally:
                box.kill()
            assert [one for one in box.audit() if one["detail"].get("what") == "invite_served"]
    finally:
        shutil.rmtree(folder)


def _give(folder: Path) -> None:
    """What the installation does: the folder is edge's, parts of it are uplink's."""
    os.chown(folder / "police.password", NOBODY, NOBODY)
    state = folder / "state"
    for path in (state, state / "audit", state / "audit" / "uplink", state / "uplink"):
        path.mkdir(mode=0o750)
        is_uplinks = path.name == "uplink"
        os.chown(path, NOBODY if is_uplinks else 0, NOBODY)


def _go_through(box: UplinkBox, peer: PlatformPeer) -> None:
    index = box.folder / "state" / "index.db"
    with edge(box):
        box.start()
        box.wait_registered()
        assert box.service().uids().real == NOBODY
        sn = iter(range(100, 1000))
        kept = _kept(box)
        assert recorded_until_us(peer, next(sn)) > kept[1] * US_PER_S
        assert played(peer, "Play", (0, 0)) > 5
        assert played(peer, "Playback", kept) > 5
    left = {one.name: one.stat().st_size for one in index.parent.glob("index.db*")}
    assert left.keys() == {"index.db"}, left
    ended_us = recorded_until_us(peer, next(sn))
    assert ended_us > kept[1] * US_PER_S
    assert played(peer, "Playback", kept) > 5
    assert {one.name for one in index.parent.glob("index.db*")} == {"index.db"}
    with edge(box):
        newer = wait_for("what is new", lambda: _newer(peer, next(sn), ended_us))
        assert newer > ended_us
    write = (
        f"import sqlite3; sqlite3.connect('{index}').execute('DELETE FROM segment')",
        f"open('{next(box.folder.glob('volume/gate/*/*/*/*/*.mp4'))}', 'r+b')",
    )
    for attempt in write:
        tried = subprocess.run([*box.python, "-c", attempt], capture_output=True, text=True)
        assert tried.returncode == 1, tried
        assert "readonly" in tried.stderr or "Permission denied" in tried.stderr


def _kept(box: UplinkBox) -> tuple[int, int]:
    """Four seconds that are recorded, once they are, as root sees it."""

    def probe() -> tuple[int, int] | None:
        try:
            with Store(box.folder / "state" / "index.db", [box.folder / "volume"]) as store:
                first = next(store.access_units("gate", 0), None)
                newest_us = store.newest("gate") or 0
        except IndexUnavailable:
            return None
        start_s = 0 if first is None else first.unit.pts_us // US_PER_S + 1
        return (start_s, start_s + 4) if start_s and newest_us > (start_s + 6) * US_PER_S else None

    return wait_for("recording", probe, 60)


def _newer(peer: PlatformPeer, sn: int, than_us: int) -> int | None:
    found_us = recorded_until_us(peer, sn)
    return found_us if found_us > than_us + US_PER_S else None

"""edge.care.discover and ``xueliang discover``: over loopback only."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.camera.onvif_service import OnvifService
from edge.care.discover import DiscoveryRefused, Login, discover, discover_now, try_camera
from edge.care.discover_command import found_cameras, render_found
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import GapCause
from tests.peers import ipycam_device
from tests.support.box import Box, BoxCamera, free_port
from tests.support.cameras import demo_site
from tests.support.netns import ReservedNet
from tests.support.strangers import stranger_device

pytestmark = pytest.mark.integration
_STREAM = StreamPlan(width=320, height=180)


def plan(name: str, password: str = "p/w &<") -> CameraPlan:
    return CameraPlan(id=name, password=password, loop_seconds=2, stream=_STREAM)


def test_cameras_are_found_asked_and_tried() -> None:
    port = free_port()

    async def main() -> None:
        async with OnvifService() as onvif:
            found = await discover(
                onvif,
                seconds=1.0,
                interface="lo",
                login=Login(username="recorder", password="p/w &<"),
                port=port,
            )
            by_serial = {one.serial: one for one in found}
            assert set(by_serial) == {"DEMO-gate", "DEMO-yard", ""}
            gate = by_serial["DEMO-gate"]
            assert (str(gate.address), gate.maker) == (site["gate"].onvif, "Xueliang")
            assert [one.name for one in gate.profiles or ()] == ["main", "sub"]
            other = by_serial[""]
            assert str(other.address) == site["other"].onvif
            assert other.profiles is None
            assert "password" in other.trouble

            told = await try_camera(onvif, gate.address, "recorder", "p/w &<")
            assert told.is_ok
            assert told.inspection is not None
            assert told.description is not None
            told = await try_camera(onvif, gate.address, "recorder", "wrong")
            assert not told.is_ok
            assert told.cause is GapCause.CAMERA_AUTH
            assert told.hint

            site["yard"].do(lambda camera: camera.unplug())
            left = await discover(onvif, seconds=0.7, interface="127.0.0.1", port=port)
            assert {str(one.address) for one in left} == {site["gate"].onvif, site["other"].onvif}
            assert all(one.profiles is None for one in left)  # without a password

    with demo_site(plan("gate"), plan("yard"), plan("other", "x"), discovery_port=port) as site:
        asyncio.run(main())


@pytest.mark.root
def test_a_strangers_device_is_found_over_a_cable() -> None:
    """ipycam in a network namespace, asked over the interface that leads there, on port 3702."""
    with ReservedNet() as net:
        address = net.address(10)
        with stranger_device(address, net.wrapper) as device:
            login = Login(username=ipycam_device.USERNAME, password=ipycam_device.PASSWORD)
            (found,) = discover_now(seconds=2, interface=net.outside, login=login)
    assert str(found.address) == device
    assert found.maker == "PythonCam"
    assert found.profiles
    assert len(found.endpoint) == 32


def test_reserved_interfaces_are_left_alone() -> None:
    with pytest.raises(DiscoveryRefused):
        discover_now(seconds=0.5, interface="lo", closed=("127.0.0.1",))
    with pytest.raises(DiscoveryRefused):
        discover_now(seconds=0.5, interface="lo", closed=("lo",))
    with pytest.raises(DiscoveryRefused):
        discover_now(seconds=0.5, interface="nosuch0")


ASKED: dict[str, Any] = {"seconds": 0.7, "username": "", "password_file": None}


def test_what_a_person_and_a_machine_read(tmp_path: Path) -> None:
    port = free_port()
    with demo_site(plan("gate"), plan("new"), discovery_port=port) as site:
        camera = BoxCamera(id="gate", source=f'onvif = "{site["gate"].onvif}"', password="p/w &<")
        box = Box(folder=tmp_path / "box", cameras=[camera])
        box.write_config()
        asked = ("discover", "--seconds", "0.7", "--interface", "lo", "--port", str(port))
        told = box.json(*asked)
        text = render_found(found_cameras(box.config, interface="lo", port=port, **ASKED))
        new = site["new"].onvif
    assert {one["address"]: one["camera"] for one in told} == {
        site["gate"].onvif: "gate",
        new: None,
    }
    known = next(one for one in told if one["camera"])
    assert [one["token"] for one in known["profiles"]] == ["main", "sub"]
    lines = text.splitlines()
    assert "厂商 maker" in lines[0]
    assert any(new in line and "未添加 new" in line for line in lines)
    assert any("gate" in line and "H264 320x180" in line for line in lines)
    assert "p/w" not in text + json.dumps(told)


def test_none_found_says_what_to_look_at() -> None:
    assert "没有摄像机应答" in render_found(())


def test_who_calls_it_loads_nothing_of_soap() -> None:
    code = (
        "import sys, edge.care.discover; "
        "heavy = {'zeep', 'onvif', 'av', 'cv2'};"
        "sys.exit(any(name.split('.')[0] in heavy for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

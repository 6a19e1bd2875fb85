"""Setting a site up in the console: a real camera found wrong, then right, recorded, looked at."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config.load import load, parse
from edge.console.parts import Parts
from edge.console.roles import Role
from edge.demo.plan import CameraPlan, StreamPlan
from edge.neighbours import UPLINK_PORT
from retention.endpoint import Endpoint, Health
from tests.support.box import Box, free_port, wait_for
from tests.support.cameras import Camera, demo_site
from tests.support.console_site import Browser, ConsoleSite

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
PASSWORD = 'Kamera-7 "quoted"'


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    plan = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96), password=PASSWORD)
    with demo_site(plan) as site:
        yield site["gate"]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Box]:
    """A box without cameras, as it is after the installation."""
    box = Box(folder=tmp_path / "box")
    box.write_config()
    box.start()
    wait_for("edge", lambda: (box.state / "edge.sock").exists() or None)
    yield box
    box.stop()


def console_of(edge: Box, folder: Path) -> ConsoleSite:
    """A console of the same settings and state folder as the running edge."""
    site = ConsoleSite(folder, cameras=())
    site.__enter__()
    site.parts.config_path = edge.config
    site.parts.settings = parse(edge.config.read_text(), file=str(edge.config))

    async def reload() -> None:
        site.parts.settings = load(edge.config)

    site.parts.reload = reload
    return site


def add(browser: Browser, camera: Camera, **changes: str) -> Any:
    fields = {
        "onvif": camera.onvif,
        "id": "gate",
        "name": "人行出口",
        "role": "face",
        "gb_id": "36010200001320000001",
        "username": camera.plan.username,
        "password": PASSWORD,
    }
    return browser.post("/setup/cameras", **(fields | changes))


def test_a_camera_is_added_recorded_and_looked_at(
    edge: Box, camera: Camera, tmp_path: Path
) -> None:
    site = console_of(edge, tmp_path / "console")
    # accounts and audit log of the console are where its settings said at the start
    integrator = site.person(Role.INTEGRATOR)
    old = edge.config.read_text()
    wrong = add(integrator, camera, password="falsch")
    assert wrong.status_code == 409
    assert "密码错误" in wrong.text
    assert edge.config.read_text() == old
    assert add(integrator, camera, gb_id="123").status_code == 422
    answer = add(integrator, camera)
    assert answer.status_code == 303, answer.text
    (added,) = load(edge.config).camera
    assert (added.id, added.name, str(added.gb_id)) == (
        "gate",
        "人行出口",
        "36010200001320000001",
    )
    assert added.password_file is not None
    assert added.password_file.read_text() == PASSWORD
    assert added.password_file.stat().st_mode & 0o777 == 0o600
    edge.wait_recording("gate", timeout_s=60)
    page = wait_for("a still", lambda: _with_still(integrator), 60)
    (still,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert base64.b64decode(still)[:2] == b"\xff\xd8"
    told = [one for one in site.records() if one.action == "footage_access"]
    assert told
    assert told[-1].subject == "cameras:gate"
    lines = "".join(path.read_text() for path in edge.folder.rglob("*.jsonl")) + edge.log
    assert PASSWORD not in lines
    assert PASSWORD not in str([one.detail for one in site.records()])
    site.__exit__()


def _with_still(browser: Browser) -> str | None:
    page = browser.post("/setup/cameras/gate/still")
    return str(page.text) if "data:image/jpeg" in page.text else None


def test_what_edge_cannot_do_is_told(tmp_path: Path) -> None:
    """Without edge nothing is found, tried or added."""
    with ConsoleSite(tmp_path / "console") as site:
        integrator = site.person(Role.INTEGRATOR)
        old = site.parts.config_path.read_text()
        for path, fields in (
            ("/setup/discover", {}),
            ("/setup/cameras", {"onvif": "127.0.0.1:9", "id": "x", "name": "x"}),
            ("/setup/cameras/gate-exit/still", {}),
        ):
            answer = integrator.post(path, **fields)
            assert answer.status_code == 409, path
            assert "没有应答" in answer.text
        assert site.parts.config_path.read_text() == old


@pytest.mark.parametrize(
    ("address", "cause", "is_told"),
    [
        ("198.51.100.9:80", "network", True),
        ("198.51.100.9:80", "camera_auth", False),  # it was reached
        ("192.0.2.77:80", "network", False),  # where the site's cameras are
        ("camera.lan:80", "network", False),
    ],
)
def test_a_network_that_is_not_open_to_edge_is_told(
    tmp_path: Path, address: str, cause: str, is_told: bool
) -> None:
    """Whoever is fenced by systemd reaches no camera of a network that no setting names."""

    async def answer(_command: str, **_: Any) -> Any:
        return {"ok": False, "cause": cause, "detail": "", "hint": ""}

    with ConsoleSite(tmp_path / "console") as site, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "ask_edge", lambda _parts, command, **given: answer(command, **given))
        fields = {"onvif": address, "id": "new", "name": "新", "password": "x"}
        told = site.person(Role.INTEGRATOR).post("/setup/cameras", **fields)
        assert told.status_code == 409
        assert ("198.51.100.0/24" in told.text) == is_told


def test_discovery_asks_every_network(edge: Box, tmp_path: Path) -> None:
    """Nobody answers here; that is said, and not taken for a failure."""
    site = console_of(edge, tmp_path / "console")
    answer = site.person(Role.INTEGRATOR).post("/setup/discover")
    assert answer.status_code in (200, 409)
    assert "没有摄像机应答" in answer.text or "没有可用于查找的网络接口" in answer.text
    site.__exit__()


def test_the_platform_step_tells_what_uplink_tells(tmp_path: Path) -> None:
    """Registered, or why not, in the visitor's language; from an endpoint as uplink has it."""
    port, told = free_port(), {"platform": "police", "registered": True, "state": "registered"}
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("x")
    platform = f"""[metrics]
bind = "127.0.0.1:{port}"
[[platform]]
name = "police"
authorised_by = "test"
server = "192.0.2.200:5060"
server_id = "34020000002000000001"
domain = "3402000000"
device_id = "34020000001180000001"
password_file = "{password}"
bind = "192.0.2.50"
"""
    health = Health(is_healthy=True, reasons={})
    with ConsoleSite(tmp_path / "console", cameras=(), more=platform) as site:
        integrator = site.person(Role.INTEGRATOR)
        assert "联网服务未运行" in integrator.get("/setup").text
        with closing(
            Endpoint(
                "127.0.0.1",
                port + UPLINK_PORT,
                CollectorRegistry(),
                lambda: health,
                lambda: {"platforms": [told]},
            )
        ):
            site.clock.sleep(3)
            assert "已注册" in integrator.get("/setup").text
            told |= {"registered": False, "state": "waiting", "trouble": "auth: realm 'x'"}
            site.clock.sleep(3)
            page = integrator.get("/setup").text
            assert "未注册" in page
            assert "平台不接受密码：realm" in page
            assert "平台不接受密码" in integrator.get("/").text

"""A camera whose address moved is found by its serial; if two say that they are it, none is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.address import Address
from config.schema import Care
from config.secrets import Secret
from edge.camera.discovery import Announcement
from edge.camera.onvif_service import OnvifService
from edge.care import moving
from edge.care.known import Known
from edge.care.moving import Mover
from edge.care.store import KnownCameras, load_known, reached_at
from edge.demo.discovery import endpoint_of
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import SystemClock
from retention.model import GapCause
from tests.support.box import free_port
from tests.support.cameras import demo_site
from tests.support.onvif import OnvifThread, onvif_thread

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate", password="Tr8!kept", loop_seconds=2, stream=StreamPlan(width=320, height=180)
)
OLD = "127.0.0.1:9"  # nobody is there


@pytest.fixture(scope="module")
def onvif() -> Iterator[OnvifThread]:
    with onvif_thread() as thread:
        yield thread


class Records:
    """An audit log's side of it."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def record(self, action: Any, **told: Any) -> None:
        self.made.append({"action": action.value, **told})


class Site:
    """A mover over cameras that do not stream, and WS-Discovery on a port of its own."""

    def __init__(self, service: OnvifService, folder: Path, port: int, *cameras: str) -> None:
        self.records, self.retried = Records(), []  # type: ignore[var-annotated]
        self.known = KnownCameras(folder)
        self.cameras = {name: self._camera(name) for name in cameras or ("gate",)}
        self.up: set[str] = set()
        away = SimpleNamespace(cause=GapCause.CAMERA_OFFLINE)
        mover: Any = Mover
        self.mover: Mover = mover(
            onvif=_OnPort(service, port),
            pool=SimpleNamespace(status=lambda _: away, retry_now=self.retried.append),
            cameras=lambda: self.cameras,
            settings=lambda: SimpleNamespace(care=Care(), platform=()),
            known=self.known,
            audit=self.records,
            clock=SystemClock(),
        )

    def _camera(self, name: str) -> Any:
        onvif = Address.parse(OLD)
        settings = SimpleNamespace(
            id=name, enabled=True, onvif=onvif, username="recorder", profile="main"
        )
        one = SimpleNamespace(
            id=name, settings=settings, password=Secret("Tr8!kept"), moved_to=None, onvif=onvif
        )
        one.recorder = SimpleNamespace(is_up=lambda _: name in self.up)
        return one


class _OnPort:
    """The ONVIF process, asked to discover on loopback and a test's port."""

    def __init__(self, service: OnvifService, port: int) -> None:
        self._service, self._port = service, port
        self.describe = service.describe

    async def discover(self, _seconds: float, addresses: list[str]) -> tuple[Announcement, ...]:
        assert addresses == ["127.0.0.1"]  # towards the cameras, and nowhere else
        return await self._service.discover(0.7, addresses, port=self._port)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(moving, "MISSING_US", 0)
    return free_port()


def seek(onvif: OnvifThread, folder: Path, port: int, known: Known, *cameras: str) -> Site:
    async def work(service: OnvifService) -> Site:
        site = Site(service, folder, port, *cameras)
        await site.known.put("gate", known)
        await site.mover.seek()
        return site

    return onvif.run(work)


ENDPOINT = endpoint_of(_PLAN).replace("-", "")


@pytest.mark.parametrize(
    "known",
    [
        Known(serial="DEMO-gate", endpoint=ENDPOINT),
        Known(serial="DEMO-gate", model="demo camera"),
        Known(serial="DEMO-gate"),
    ],
)
def test_it_is_found_kept_and_on_record(
    onvif: OnvifThread, tmp_path: Path, port: int, known: Known
) -> None:
    other = dataclasses.replace(_PLAN, id="yard")
    with demo_site(_PLAN, other, discovery_port=port) as demo:
        site = seek(onvif, tmp_path, port, known)
        address = demo["gate"].onvif
    assert str(site.cameras["gate"].moved_to) == address
    assert site.retried == ["gate"]
    (record,) = site.records.made
    assert record == {
        "action": "camera_moved",
        "subject": "gate",
        "before": OLD,
        "now": address,
        "serial": "DEMO-gate",
    }
    moved = load_known(tmp_path)["gate"].moved
    assert moved is not None
    assert moved.configured == OLD
    settings: Any = site.cameras["gate"].settings
    assert str(reached_at(tmp_path, settings)) == address  # for commands, and after a restart
    assert str(site.mover.moved_to(settings)) == address
    settings.onvif = Address.parse("127.0.0.1:10")  # a person changes the settings
    assert site.mover.moved_to(settings) is None


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (Known(serial="DEMO-nosuch", endpoint=ENDPOINT), True),
        (Known(serial="DEMO-gate", endpoint="0" * 32), False),
        (Known(serial="DEMO-gate", model="Another"), False),
        (Known(serial=""), False),
    ],
)
def test_another_device_is_not_taken_and_most_are_not_even_asked(
    onvif: OnvifThread, tmp_path: Path, port: int, known: Known, asked: bool
) -> None:
    """Each question shows a digest of the password."""
    with demo_site(_PLAN, discovery_port=port) as demo:
        site = seek(onvif, tmp_path, port, known)
        calls = demo["gate"].do(lambda one: list(one.device.calls if one.device else ()))
    assert site.cameras["gate"].moved_to is None
    assert site.records.made == []
    assert ("GetDeviceInformation" in calls) is asked


def test_if_two_answer_none_is_taken(onvif: OnvifThread, tmp_path: Path, port: int) -> None:
    known = Known(serial="DEMO-gate", endpoint=ENDPOINT)
    with demo_site(_PLAN, discovery_port=port), demo_site(_PLAN, discovery_port=port):
        site = seek(onvif, tmp_path, port, known)
    assert site.cameras["gate"].moved_to is None
    assert site.mover.is_ambiguous("gate")
    (record,) = site.records.made
    assert record["outcome"].value == "refused"
    assert site.retried == []


def test_endpoints_are_learnt_of_cameras_that_are_there(
    onvif: OnvifThread, tmp_path: Path, port: int
) -> None:
    async def work(service: OnvifService) -> None:
        site = Site(service, tmp_path, port)
        site.cameras["gate"].onvif = Address.parse(demo["gate"].onvif)
        site.up.add("gate")
        await site.mover.seek()
        assert site.records.made == []

    with demo_site(_PLAN, discovery_port=port) as demo:
        onvif.run(work)
    assert load_known(tmp_path)["gate"].endpoint == ENDPOINT
    assert json.loads((tmp_path / "care.json").read_text())["gate"]["moved"] is None


def test_a_damaged_account_is_learnt_anew(tmp_path: Path) -> None:
    (tmp_path / "care.json").write_bytes(b"\xff{")
    assert load_known(tmp_path) == {}
    assert load_known(tmp_path / "nosuch") == {}

"""edge.camera.onvif_events: one subscription a camera, renewed, given back whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from edge.camera import onvif_events
from edge.camera.onvif_service import OnvifService, WatchedEvent, WatchState
from edge.demo.camera import DemoCamera
from edge.demo.onvif_events import SUBSCRIPTIONS_MAX
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import SystemClock
from retention.model import US_PER_S, MarkerKind
from tests.peers import ipycam_device
from tests.peers.soap_peer import SoapPeer, soap_answer
from tests.support.box import wait_for
from tests.support.cameras import Camera, demo_site
from tests.support.onvif import OnvifThread, onvif_thread
from tests.support.strangers import stranger_device

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate", password="p/w &<", loop_seconds=2, stream=StreamPlan(width=320, height=180)
)
USER = ("recorder", "p/w &<")


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[WatchedEvent] = []
        self.states: list[WatchState] = []
        self.is_failing = False

    def camera_event(self, event: WatchedEvent) -> None:
        if self.is_failing:
            raise AttributeError("a fault of ours")
        self.events.append(event)

    def watch_state(self, state: WatchState) -> None:
        self.states.append(state)

    def stands(self, camera: str) -> str:
        mine = [one.state for one in self.states if one.camera == camera]
        return mine[-1] if mine else ""


async def until(probe: Callable[[], object], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not probe():
            await asyncio.sleep(0.05)


def subscriptions(camera: Camera) -> tuple[int, int]:
    """Those that stand, and all that there ever were."""

    def count(one: object) -> tuple[int, int]:
        device = camera._camera.device
        assert device is not None
        return device.events.count(SystemClock().monotonic_us()), device.events.made

    return camera.do(count)


@pytest.fixture(scope="module")
def onvif() -> Iterator[OnvifThread]:
    with onvif_thread() as thread:
        yield thread


def watching(
    onvif: OnvifThread,
    work: Callable[[OnvifService, Heard], Coroutine[Any, Any, None]],
    *cameras: str,
) -> Heard:
    """Runs ``work``; the cameras are watched no more afterwards."""
    heard = Heard()

    async def watch(service: OnvifService) -> None:
        service.watcher = heard
        await work(service, heard)
        for camera in cameras or ("gate",):
            service.unwatch(camera)

    onvif.run(watch)
    return heard


def is_given_back(camera: Camera) -> bool:
    return wait_for("its end", lambda: subscriptions(camera)[0] == 0, 10)


def test_events_come_once_and_the_subscription_is_given_back(onvif: OnvifThread) -> None:
    async def work(service: OnvifService, heard: Heard) -> None:
        await service.watch("gate", gate.onvif, *USER)
        await until(lambda: heard.stands("gate") == "on")
        before_us = SystemClock().utc_us()
        for kind, is_active in (("motion", True), ("motion", True), ("motion", False)):
            gate.do(lambda camera, k=kind, a=is_active: camera.fire(k, a))  # type: ignore[misc]
        gate.do(lambda camera: camera.fire("vehicle"))
        await until(lambda: len(heard.events) >= 3)
        kept = [(one.kind, one.is_active) for one in heard.events]
        assert kept == [
            (MarkerKind.MOTION, True),
            (MarkerKind.MOTION, False),
            (MarkerKind.VEHICLE, None),
        ]
        for one in heard.events:  # a camera 8 h off dates nothing wrong
            assert before_us - 2 * US_PER_S < one.at_us <= SystemClock().utc_us()
        assert subscriptions(gate) == (1, 1)

    with demo_site(dataclasses.replace(_PLAN, clock_offset_us=8 * 3600 * US_PER_S)) as site:
        gate = site["gate"]
        heard = watching(onvif, work)
        assert is_given_back(gate)
        assert subscriptions(gate) == (0, 1)
    assert not any(word in repr(heard.events) for word in ("A12345", "Plate", "p/w"))


def test_unwatching_and_watching_with_another_password_leave_none_behind(
    onvif: OnvifThread,
) -> None:
    async def work(service: OnvifService, heard: Heard) -> None:
        for _ in range(3):
            await service.watch("gate", gate.onvif, *USER)
            await until(lambda: heard.stands("gate") == "on")
            heard.states.clear()
        await until(lambda: subscriptions(gate)[0] == 1)
        service.unwatch("gate")
        await until(lambda: subscriptions(gate)[0] == 0)

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        watching(onvif, work)
        assert is_given_back(gate)


def test_who_is_watched_anew_is_told_off_before_on(
    onvif: OnvifThread, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last word is the newest watch's, and no subscription is given back twice."""
    times = 20

    async def work(service: OnvifService, heard: Heard) -> None:
        for number in range(times):
            await service.watch("gate", gate.onvif, *USER)
            await until(lambda n=number: subscriptions(gate)[1] == n + 1)  # type: ignore[misc]
            await until(lambda n=number: said(heard).count("on") == n + 1)  # type: ignore[misc]

    def said(heard: Heard) -> list[str]:
        return [one.state for one in heard.states]

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        heard = watching(onvif, work)
        assert is_given_back(gate)
        assert wait_for("the last end", lambda: len(heard.states) == 2 * times, 10)
    assert said(heard) == ["on", "off"] * times
    assert "unsubscribe_failed" not in capfd.readouterr().err


def test_a_process_that_is_killed_leaves_none_behind_and_events_go_on(
    onvif: OnvifThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process is told what the killed one held."""
    monkeypatch.setattr("edge.camera.onvif_service.REVIVE_S", 0.2)

    async def work(service: OnvifService, heard: Heard) -> None:
        await service.watch("gate", gate.onvif, *USER)
        for _ in range(1):
            await until(lambda: heard.stands("gate") == "on")
            heard.states.clear()
            assert service.pid is not None
            os.kill(service.pid, signal.SIGKILL)
        await until(lambda: heard.stands("gate") == "on", 20)
        assert subscriptions(gate) == (1, 2)
        gate.do(lambda camera: camera.fire("face"))
        await until(lambda: heard.events)

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        watching(onvif, work)
        assert is_given_back(gate)


def test_who_hears_of_events_and_fails_ends_nothing(onvif: OnvifThread) -> None:
    async def work(service: OnvifService, heard: Heard) -> None:
        await service.watch("gate", gate.onvif, *USER)
        await until(lambda: heard.stands("gate") == "on")
        heard.is_failing = True
        gate.do(lambda camera: camera.fire("face"))
        await asyncio.sleep(0.5)
        heard.is_failing = False
        gate.do(lambda camera: camera.fire("vehicle"))
        await until(lambda: heard.events)
        assert [one.kind for one in heard.events] == [MarkerKind.VEHICLE]

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        watching(onvif, work)


def test_a_state_that_stood_before_is_told_as_such(onvif: OnvifThread) -> None:
    async def work(service: OnvifService, heard: Heard) -> None:
        gate.do(lambda camera: camera.fire("tamper", True))
        await service.watch("gate", gate.onvif, *USER)
        await until(lambda: heard.events)
        (event,) = heard.events
        assert (event.kind, event.is_active, event.is_initial) == (MarkerKind.TAMPER, True, True)

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        watching(onvif, work)
        assert is_given_back(gate)


def test_cameras_without_events_wrong_passwords_and_liars_hurt_no_other(onvif: OnvifThread) -> None:
    def lie(operation: str, _request: bytes) -> bytes | None:
        if operation == "CreatePullPointSubscription":
            return soap_answer("<nonsense/>")
        if operation == "GetCapabilities":
            return soap_answer(
                "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Events><tt:XAddr>"
                "http://198.51.100.1/ev</tt:XAddr></tt:Events></tds:Capabilities>"
                "</tds:GetCapabilitiesResponse>"
            )
        return None

    async def work(service: OnvifService, heard: Heard) -> None:
        await service.watch("none", site["none"].onvif, *USER)
        await service.watch("wrong", site["gate"].onvif, "recorder", "no")
        await service.watch("stranger", stranger, ipycam_device.USERNAME, ipycam_device.PASSWORD)
        await service.watch("liar", liar.address, *USER)
        await service.watch("gate", site["gate"].onvif, *USER)
        await until(lambda: heard.stands("gate") == "on")
        site["gate"].do(lambda camera: camera.fire("face"))
        await until(lambda: heard.events)
        wanted = {"none": "unsupported", "wrong": "off", "liar": "off"}
        await until(lambda: all(heard.stands(name) == state for name, state in wanted.items()))
        await until(lambda: heard.stands("stranger") in ("unsupported", "off"))
        details = {one.camera: one.detail for one in heard.states if one.detail}
        assert "password" in details["wrong"]
        assert "CreatePullPointSubscription" in details["liar"]
        assert not any("p/w" in detail for detail in details.values())

    plans = (_PLAN, dataclasses.replace(_PLAN, id="none", events=False))
    with demo_site(*plans) as site, SoapPeer(lie) as liar, stranger_device() as stranger:
        watching(onvif, work, "none", "wrong", "stranger", "liar", "gate")


class Inside:
    """Watches in this process, where waits can be shortened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        for name, value in seconds.items():
            monkeypatch.setattr(onvif_events, name, value)
        self.lines: list[dict[str, Any]] = []
        self.events = onvif_events.Events(SystemClock(), self.lines.append)

    def watch(self, address: str) -> None:
        self.events.watch(
            onvif_events.Watched(camera="gate", address=address, username=USER[0], password=USER[1])
        )

    @property
    def stands(self) -> str:
        states = [one["watch"]["state"] for one in self.lines if "watch" in one]
        return states[-1] if states else ""

    @property
    def told(self) -> list[dict[str, Any]]:
        return [one["event"] for one in self.lines if "event" in one]


def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand captures: the parent hears of the burst, and how many were left out."""
    inside = Inside(monkeypatch, PAUSE_S=0.01)

    def hundred(camera: DemoCamera) -> None:
        for _ in range(100):
            camera.fire("face")

    with demo_site(_PLAN) as site:
        gate = site["gate"]
        inside.watch(gate.onvif)
        wait_for("a subscription", lambda: inside.stands == "on")
        for _ in range(20):
            gate.do(hundred)
            time.sleep(0.05)
        time.sleep(0.5)
        inside.events.close()
        assert len(inside.told) >= onvif_events.EVENTS_BURST
        assert len(inside.told) <= onvif_events.EVENTS_BURST + 30
        assert sum(one["dropped"] for one in inside.told) > 100
        assert subscriptions(gate)[0] == 0


def test_a_subscription_is_renewed_and_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Inside(monkeypatch, TERM_S=2)
    with demo_site(_PLAN) as site:
        gate = site["gate"]
        inside.watch(gate.onvif)
        wait_for("a subscription", lambda: inside.stands == "on")
        time.sleep(4.5)
        assert subscriptions(gate) == (1, 1)
        inside.events.close()
        assert subscriptions(gate) == (0, 1)


def test_a_clock_that_is_set_costs_one_subscription_that_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is signed by the old clock is refused by the new one, the giving back as well."""
    inside = Inside(monkeypatch, RETRY_S=0.2, WAIT_S=1)
    with demo_site(dataclasses.replace(_PLAN, clock_offset_us=-3600 * US_PER_S)) as site:
        gate = site["gate"]
        inside.watch(gate.onvif)
        wait_for("a subscription", lambda: inside.stands == "on")
        gate.do(lambda camera: camera.set_utc_us(SystemClock().utc_us()))
        wait_for("its end", lambda: inside.stands == "off")
        wait_for("another one", lambda: inside.stands == "on")
        assert subscriptions(gate) == (1, 2)
        inside.events.close()
        assert subscriptions(gate) == (0, 2)


def test_a_camera_whose_places_are_taken_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Inside(monkeypatch, RETRY_S=0.2)

    def fill(camera: DemoCamera) -> None:
        assert camera.device is not None
        for _ in range(SUBSCRIPTIONS_MAX):
            camera.device.events.create(2 * US_PER_S, camera.monotonic_us(), 0)

    with demo_site(_PLAN) as site:
        site["gate"].do(fill)
        inside.watch(site["gate"].onvif)
        wait_for("a refusal", lambda: inside.stands == "off")
        wait_for("a place", lambda: inside.stands == "on")
        inside.events.close()

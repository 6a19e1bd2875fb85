"""Several demo cameras in one event loop, with their ONVIF devices."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from edge.demo.camera import DemoCamera
from edge.demo.discovery import Responder
from edge.demo.names import name_of, role_of
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import Clock
from retention.model import Codec

_NAMES = ("gate-exit", "gate-entry", "parking-in", "parking-out")
#: Each fourth camera sends H.265, beginning with the third.
_H265_EVERY = 4
_H265_FIRST = 2
#: What cameras of a role tell of by themselves, beside motion.
_EVENTS = {"face": "face", "vehicle": "vehicle"}

log = logging.getLogger(__name__)


def demo_plans(count: int, *, loop_seconds: int | None = None) -> tuple[CameraPlan, ...]:
    """The cameras of ``xueliang demo``: live, small, each with a random password."""
    plans = []
    for index in range(count):
        name = _NAMES[index % len(_NAMES)]
        h265 = index % _H265_EVERY == _H265_FIRST
        plans.append(
            CameraPlan(
                id=name if index < len(_NAMES) else f"{name}-{index // len(_NAMES) + 1}",
                stream=StreamPlan(codec=Codec.H265 if h265 else Codec.H264),
                password=f"Aa1-{secrets.token_urlsafe(12)}",
                loop_seconds=loop_seconds,
                ptz=index == 0,
                osd=name_of(name) if index < len(_NAMES) else None,
                event_kinds=(_EVENTS.get(role_of(name), "motion"), "motion"),
                event_seconds=20 + index % 7,
                stamp=loop_seconds is not None,
            )
        )
    return tuple(plans)


class DemoSite:
    """``async with DemoSite(plans, clock) as site``: cameras that play until it is left.

    Entering raises OSError when a fixed port is taken; a camera that fails ends the whole site
    with its error (an ExceptionGroup), since a test that lost its camera proves nothing.

    Args:
        discovery_port: where WS-Discovery is answered on loopback, if at all.
    """

    def __init__(
        self, plans: Sequence[CameraPlan], clock: Clock, discovery_port: int | None = None
    ) -> None:
        if len({plan.id for plan in plans}) != len(plans):
            raise ValueError("two demo cameras have the same id")
        self.cameras = {
            plan.id: DemoCamera(plan, clock, hue=index) for index, plan in enumerate(plans)
        }
        self._discovery_port = discovery_port
        self._responder = Responder(self._devices)
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, camera: str) -> DemoCamera:
        return self.cameras[camera]

    async def __aenter__(self) -> Self:
        try:
            for camera in self.cameras.values():
                await camera.open()
        except OSError:
            self._close()
            raise
        if self._discovery_port is not None:
            try:
                await self._responder.open(self._discovery_port)
            except OSError as error:  # a machine without multicast: the cameras play all the same
                log.warning("discovery_unavailable", extra={"error": str(error)})
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(one.run()) for one in self.cameras.values()]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            self._close()

    def _devices(self) -> Iterator[tuple[CameraPlan, str]]:
        """Those that can be reached now."""
        for camera in self.cameras.values():
            if camera.device is not None and camera.device.listener.is_open:
                yield camera.plan, camera.device.address

    def _close(self) -> None:
        self._responder.close()
        for camera in self.cameras.values():
            camera.close()

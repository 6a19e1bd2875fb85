"""Several demo cameras in one event loop, with their ONVIF devices."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from edge.demo.camera import DemoCamera
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import Clock
from retention.model import Codec

_NAMES = ("gate-exit", "gate-entry", "parking-in", "parking-out")
#: Each fourth camera sends H.265, beginning with the third.
_H265_EVERY = 4
_H265_FIRST = 2


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
                password=secrets.token_urlsafe(12),
                loop_seconds=loop_seconds,
                ptz=index == 0,
                stamp=loop_seconds is not None,
            )
        )
    return tuple(plans)


class DemoSite:
    """``async with DemoSite(plans, clock) as site``: cameras that play until it is left.

    Entering raises OSError when a fixed port is taken; a camera that fails ends the whole site
    with its error (an ExceptionGroup), since a test that lost its camera proves nothing.
    """

    def __init__(self, plans: Sequence[CameraPlan], clock: Clock) -> None:
        if len({plan.id for plan in plans}) != len(plans):
            raise ValueError("two demo cameras have the same id")
        self.cameras = {
            plan.id: DemoCamera(plan, clock, hue=index) for index, plan in enumerate(plans)
        }
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

    def _close(self) -> None:
        for camera in self.cameras.values():
            camera.close()

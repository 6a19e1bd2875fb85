"""Every camera's child process: started, read, watched, ended, and started again. Shell.

All on the event loop, and nothing here blocks it: a turn reads at most ``READ_BYTES`` of one
camera. What a camera's child says goes to that camera's :class:`CameraEvents`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

from config.errors import XueliangError
from edge.backoff import Backoff
from edge.camera.errors import CameraError
from edge.camera.events import CameraEvents
from edge.camera.link import Link, Supervision
from edge.camera.messages import Reader, StreamRequest, StreamSource
from edge.camera.session import Session, State
from edge.camera.spawner import Spawner
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

log = logging.getLogger(__name__)

#: Gives the addresses to try, in order; asked before each attempt. Raises CameraError.
Resolver = Callable[[], Awaitable[StreamSource]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of every camera's connection; times in seconds but for ``*_us``."""

    open_timeout_s: float = 5.0
    stall_timeout_s: float = 10.0
    supervision: Supervision = field(default_factory=Supervision)
    backoff_floor_us: int = US_PER_S
    backoff_cap_us: int = 30 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """One camera's connection now, for status and metrics."""

    state: State
    since_us: int  # monotonic
    retry_us: int  # monotonic; while waiting: when the next attempt is due
    cause: GapCause | None
    detail: str
    failures: int
    pid: int | None
    rss_bytes: int


@dataclass(slots=True)
class _Camera:
    id: str
    resolve: Resolver
    events: CameraEvents
    audio: bool
    reader: Reader
    session: Session
    wake: asyncio.Event
    task: asyncio.Task[None] | None = None
    link: Link | None = None
    good_url: str | None = None  # that played last: tried first next time


class CameraPool:
    """``async with CameraPool(clock=...) as pool: pool.start(...)``; leaving it stops every camera.

    Args:
        chance: a number in [0, 1) for the jitter of back-off.
        spawner: one that was warmed up; the pool ends it.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limits: PoolLimits | None = None,
        chance: Callable[[], float] = random.random,
        spawner: Spawner | None = None,
    ) -> None:
        self._clock = clock
        self._limits = limits or PoolLimits()
        self._chance = chance
        self._cameras: dict[str, _Camera] = {}
        self._spawner = spawner or Spawner()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> CameraPool:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await asyncio.gather(*(self.stop(camera) for camera in list(self._cameras)))
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self._spawner.close()

    def start(
        self,
        camera: str,
        resolve: Resolver,
        events: CameraEvents,
        *,
        audio: bool = False,
        reader: Reader = "direct",
    ) -> None:
        """Connects to a camera, and again after each end, until :meth:`stop`.

        Raises ValueError if it is started already.
        """
        if camera in self._cameras:
            raise ValueError(f"camera {camera} is started already")
        backoff = Backoff(
            chance=self._chance,
            floor_us=self._limits.backoff_floor_us,
            cap_us=self._limits.backoff_cap_us,
        )
        entry = _Camera(
            id=camera,
            resolve=resolve,
            events=events,
            audio=audio,
            reader=reader,
            session=Session(backoff, self._clock.monotonic_us()),
            wake=asyncio.Event(),
        )
        self._cameras[camera] = entry
        entry.task = self._tasks.create_task(self._live(entry), name=f"camera {camera}")

    async def stop(self, camera: str) -> None:
        """Takes leave of a camera (TEARDOWN); units that were under way still come, ended does not.

        Takes at most the supervision's ``kill_after_s`` and a moment; unknown cameras are fine.
        """
        entry = self._cameras.pop(camera, None)
        if entry is None:
            return
        entry.session.stop(self._clock.monotonic_us())
        if entry.link is not None:
            await entry.link.leave()
        if entry.task is not None:
            entry.task.cancel()
            await asyncio.wait([entry.task])

    def retry_now(self, camera: str) -> None:
        """Cuts a waiting camera's back-off short, as when it announced itself on the network."""
        if camera in self._cameras:
            self._cameras[camera].wake.set()

    def status(self, camera: str) -> CameraStatus | None:
        """None when it is not started."""
        entry = self._cameras.get(camera)
        if entry is None:
            return None
        session, child = entry.session, entry.link.child if entry.link is not None else None
        return CameraStatus(
            state=session.state,
            since_us=session.since_us,
            retry_us=session.retry_us,
            cause=session.cause,
            detail=session.detail,
            failures=session.failures,
            pid=child.pid if child is not None else None,
            rss_bytes=child.rss_bytes() if child is not None else 0,
        )

    async def _live(self, entry: _Camera) -> None:
        """One camera's life: sessions with pauses between."""
        while True:
            cause, detail = await self._attempt(entry)
            if entry.session.state is State.STOPPED:
                return
            delay_us = entry.session.ended(cause, detail, self._clock.monotonic_us())
            log.info(
                "camera_session_ended",
                extra={
                    "camera": entry.id,
                    "cause": cause,
                    "detail": detail,
                    "retry_ms": delay_us // 1000,
                },
            )
            entry.events.ended(cause, detail)
            entry.wake.clear()
            try:
                async with asyncio.timeout(delay_us / US_PER_S):
                    await entry.wake.wait()
            except TimeoutError:
                pass
            entry.session.retry(self._clock.monotonic_us())

    async def _attempt(self, entry: _Camera) -> tuple[GapCause, str]:
        try:
            source = _good_first(await entry.resolve(), entry.good_url)
            child = await self._spawner.spawn()
        except CameraError as error:
            return error.cause, error.detail
        except XueliangError as error:
            return GapCause.SERVICE_CRASHED, str(error)
        link = Link(
            child,
            entry.events,
            clock=self._clock,
            limits=self._limits.supervision,
            on_unit=lambda: entry.session.unit(self._clock.monotonic_us()),
        )
        entry.link = link
        try:
            await link.request(
                StreamRequest(
                    source=source,
                    audio=entry.audio,
                    reader=entry.reader,
                    open_timeout_s=self._limits.open_timeout_s,
                    stall_timeout_s=self._limits.stall_timeout_s,
                )
            )
            outcome = await link.run()
        finally:
            entry.link = None
            link.close()
        if link.candidate is not None and link.candidate < len(source.urls):
            entry.good_url = source.urls[link.candidate]
        return outcome


def _good_first(source: StreamSource, good_url: str | None) -> StreamSource:
    if good_url not in source.urls[1:]:
        return source
    urls = tuple(sorted(source.urls, key=lambda url: url != good_url))
    return StreamSource(urls=urls, username=source.username, password=source.password)

"""One child's messages, and the watch over it. Shell, on the event loop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass

from edge.camera.events import CameraEvents
from edge.camera.messages import StreamRequest
from edge.camera.spawner import Child
from retention.clock import Clock
from retention.framing import (
    CameraTime,
    Connected,
    Ended,
    Format,
    FramingError,
    Heartbeat,
    Lost,
    Message,
    Parser,
    Unit,
    decode,
)
from retention.model import US_PER_S, GapCause

log = logging.getLogger(__name__)

READ_BYTES = 256 * 1024
#: How long after its last word a child's exit status is waited for.
STATUS_WAIT_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """When a child is ended from outside.

    ``silence_s`` exceeds both time-outs of the child itself: it fires for a child that hangs.
    """

    silence_s: float = 13.0
    kill_after_s: float = 3.0  # from SIGTERM to SIGKILL
    rss_bytes_max: int = 256 * 1024 * 1024
    check_s: float = 1.0


class Link:
    """Reads one child until its socket closes; SIGTERM, then SIGKILL, where it must be ended."""

    def __init__(
        self,
        child: Child,
        events: CameraEvents,
        *,
        clock: Clock,
        limits: Supervision,
        on_unit: Callable[[], None],
    ) -> None:
        self.child = child
        self.candidate: int | None = None  # place of the address that played
        self._events = events
        self._clock = clock
        self._limits = limits
        self._on_unit = on_unit
        self._parser = Parser(decode)
        self._closed = asyncio.Event()
        self._outcome: tuple[GapCause, str] | None = None
        self._heard_us = clock.monotonic_us()

    async def request(self, request: StreamRequest) -> None:
        """Tells the child what to play, and begins to read."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.child.link, self._on_readable)
        try:
            await loop.sock_sendall(self.child.link, request.encode())
        except OSError:
            self._close_reader()  # it died at once; run() tells how

    async def run(self) -> tuple[GapCause, str]:
        """Waits for the session's end; its cause and a sentence."""
        while not self._closed.is_set():
            await self._wait_closed(self._limits.check_s)
            if not self._closed.is_set():
                await self._check()
        if self._outcome is None:
            self._outcome = GapCause.SERVICE_CRASHED, await self._how_it_died()
        return self._outcome

    async def leave(self) -> None:
        """Asks the child to take leave of its camera; kills it when it does not."""
        self.child.send(signal.SIGTERM)
        await self._wait_closed(self._limits.kill_after_s)
        if not self._closed.is_set():
            self.child.send(signal.SIGKILL)
            await self._wait_closed(self._limits.kill_after_s)

    def close(self) -> None:
        """Ends reading and the child, at once."""
        self._close_reader()
        self.child.close()

    async def _check(self) -> None:
        silent_us = self._clock.monotonic_us() - self._heard_us
        if silent_us > self._limits.silence_s * US_PER_S:
            if self.candidate is None:
                end = GapCause.NETWORK, "connecting hung: name resolution, or a dead line"
            else:
                end = GapCause.SERVICE_CRASHED, "the camera's process hung"
        elif (rss := self.child.rss_bytes()) > self._limits.rss_bytes_max:
            end = GapCause.SERVICE_CRASHED, f"the camera's process grew to {rss} bytes"
        else:
            return
        log.warning(
            "camera_child_ended", extra={"pid": self.child.pid, "cause": end[0], "detail": end[1]}
        )
        self._outcome = end
        await self.leave()
        self._close_reader()

    async def _wait_closed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            pass

    async def _how_it_died(self) -> str:
        try:
            async with asyncio.timeout(STATUS_WAIT_S):
                status = await asyncio.shield(self.child.exited)
        except TimeoutError:
            status = None
        if status is None:
            return "the camera's process is gone"
        if status < 0:
            return f"the camera's process was killed by signal {-status}"
        return f"the camera's process ended with status {status}"

    def _on_readable(self) -> None:
        try:
            data = self.child.link.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_reader()
            return
        try:
            for message in self._parser.feed(data):
                self._take(message)
        except FramingError as error:
            self._outcome = GapCause.SERVICE_CRASHED, f"the camera's process said nonsense: {error}"
            self._close_reader()

    def _take(self, message: Message) -> None:
        self._heard_us = self._clock.monotonic_us()
        match message:
            case Unit(unit=unit):
                self._on_unit()
                self._events.unit(unit)
            case Format(media=media):
                self._events.format_changed(media)
            case CameraTime(offset_us=offset_us):
                self._events.camera_time(offset_us)
            case Lost(packets=packets, pictures=pictures):
                self._events.lost(packets, pictures)
            case Connected(candidate=candidate):
                self.candidate = candidate
                self._events.connected()
            case Ended(cause=cause, detail=detail):
                if self._outcome is None:
                    self._outcome = cause, detail
            case Heartbeat():
                pass

    def _close_reader(self) -> None:
        if not self._closed.is_set():
            asyncio.get_running_loop().remove_reader(self.child.link)
            self._closed.set()

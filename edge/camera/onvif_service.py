"""ONVIF for the parent: asks the ONVIF process, never blocks the event loop. Shell.

The process starts with the first question (a site without ONVIF needs none), and again after it
died. Its memory and its libraries stay out of this process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from edge.camera.description import CameraDescription, decode, dumps
from edge.camera.discovery import GROUP, PORT, Announcement
from edge.camera.errors import CameraError
from edge.camera.event_kinds import Tamper
from edge.camera.inspection import Inspection, from_plain
from retention.model import GapCause, MarkerKind
from retention.plain import decoder

__all__ = ["CameraDescription", "OnvifService"]

START_TIMEOUT_S = 20.0
#: Above the child's own bound of 10 s for one description.
DESCRIBE_TIMEOUT_S = 13.0
STOP_TIMEOUT_S = 3.0
#: A process that died is started again for who is watched.
REVIVE_S = 5.0
#: A picture of 8 MiB as Base64; a description is far less.
LINE_BYTES_MAX = 12 * 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedEvent:
    """An event of a watched camera: kind and instant, no identity (``edge.camera.event_kinds``).

    ``is_active``: whether a state begins or ends; None for what has no duration. ``is_initial``:
    as it was when it was first asked for. ``dropped``: events before it that were too many.
    """

    camera: str
    kind: MarkerKind
    tamper: Tamper | None
    is_active: bool | None
    is_initial: bool
    at_us: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """How a watch stands: ``on``, ``off`` (with a reason, and tried again), ``unsupported``."""

    camera: str
    state: str
    detail: str


class Watcher(Protocol):
    """Who hears of watched cameras; on the event loop, must not block and not raise."""

    def camera_event(self, event: WatchedEvent) -> None: ...
    def watch_state(self, state: WatchState) -> None: ...


class OnvifService:
    """``async with OnvifService() as onvif: await onvif.describe(...)``."""

    #: Hears of cameras under :meth:`watch`.
    watcher: Watcher | None = None

    def __init__(self) -> None:
        self._watched: dict[str, dict[str, Any]] = {}  # what a process that died has to be told
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._reviving: asyncio.Task[None] | None = None
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reviving is not None:
            self._reviving.cancel()
        self._lose()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def pid(self) -> int | None:
        """The ONVIF process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def describe(
        self, address: str, username: str, password: str, profile: str
    ) -> CameraDescription:
        """What the camera at ``address`` ("host:port") is, and where its stream is.

        Raises:
            CameraError: with the gap's cause; after 13 s (33 s at the first call) at the latest.
        """
        whom = _whom(address, username, password, profile)
        return decode((await self._ask(whom))["description"])

    async def order(
        self,
        address: str,
        username: str,
        password: str,
        profile: str,
        verb: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What the camera answers to an order (``edge.camera.onvif_orders``).

        Raises:
            CameraError: it cannot be reached, refuses, or cannot do this; as late as `describe`.
        """
        whom = _whom(address, username, password, profile)
        answer = await self._ask({**whom, "order": verb, "arguments": dict(arguments)})
        result: dict[str, Any] = answer["result"]
        return result

    async def care(
        self,
        address: str,
        username: str,
        password: str,
        profile: str,
        verb: str,
        arguments: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What a request of care comes to (``edge.camera.onvif_care``).

        Raises:
            CameraError: it cannot be reached, refuses, or cannot do this; as late as `describe`.
        """
        whom = _whom(address, username, password, profile)
        answer = await self._ask({**whom, "care": verb, "arguments": dict(arguments)})
        result: dict[str, Any] = answer["result"]
        return result

    async def inspect(self, address: str, username: str, password: str, profile: str) -> Inspection:
        """A look at everything that care minds; changes nothing. Raises as :meth:`care`."""
        told = await self.care(address, username, password, profile, "inspect", {})
        return from_plain(told["inspection"])

    async def discover(
        self, seconds: float, addresses: Sequence[str], *, group: str = GROUP, port: int = PORT
    ) -> tuple[Announcement, ...]:
        """Devices that answer a WS-Discovery probe sent from our ``addresses``.

        Raises:
            CameraError: the ONVIF process is lost.
        """
        request = {"discover": seconds, "addresses": list(addresses), "group": group, "port": port}
        answer = await self._ask(request, timeout_s=seconds + DESCRIBE_TIMEOUT_S)
        return tuple(decoder(Announcement)(one) for one in answer["found"])

    async def watch(self, camera: str, address: str, username: str, password: str) -> None:
        """Pull a camera's events for :attr:`watcher`, until :meth:`unwatch`; through deaths of the
        process, too.

        Raises:
            CameraError: the process cannot be started.
        """
        told: dict[str, Any] = {
            "camera": camera,
            "address": address,
            "username": username,
            "password": password,
        }
        before = self._watched.get(camera)
        if before is not None and before.get("address") == address:
            told["held"] = before.get("held")
        self._watched[camera] = told
        if self._writer is None:
            await self._start()  # tells of all that are watched
        else:
            self._writer.write(dumps({"watch": told}))

    def unwatch(self, camera: str) -> None:
        """No more of a camera's events."""
        if self._watched.pop(camera, None) is not None and self._writer is not None:
            self._writer.write(dumps({"unwatch": camera}))

    def _hear(self, told: dict[str, Any]) -> None:
        """A line of a watched camera."""
        if "watch" in told:
            one = told["watch"]
            if one["camera"] in self._watched:
                self._watched[one["camera"]]["held"] = one["held"]
            if self.watcher is not None:
                self.watcher.watch_state(
                    WatchState(camera=one["camera"], state=one["state"], detail=one["detail"])
                )
        elif self.watcher is not None:
            one = told["event"]
            self.watcher.camera_event(
                WatchedEvent(
                    camera=one["camera"],
                    kind=MarkerKind(one["kind"]),
                    tamper=None if one["tamper"] is None else Tamper(one["tamper"]),
                    is_active=one["active"],
                    is_initial=one["initial"],
                    at_us=one["at_us"],
                    dropped=one["dropped"],
                )
            )

    async def _ask(
        self, request: dict[str, Any], timeout_s: float = DESCRIBE_TIMEOUT_S
    ) -> dict[str, Any]:
        await self._start()
        assert self._writer is not None
        number = next(self._ids)
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            self._writer.write(dumps({"id": number, **request}))
            async with asyncio.timeout(timeout_s):
                answer = await answered
        except TimeoutError:
            raise CameraError(
                GapCause.CAMERA_OFFLINE, "the camera's ONVIF service does not answer in time"
            ) from None
        finally:
            self._waiting.pop(number, None)
        if "cause" in answer:
            raise CameraError(GapCause(answer["cause"]), answer["detail"], hint=answer["hint"])
        return answer

    async def _start(self) -> None:
        async with self._starting:
            if self._writer is not None:
                return
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        "edge.camera.onvif_child",
                        str(theirs.fileno()),
                        pass_fds=[theirs.fileno()],
                        stdin=asyncio.subprocess.DEVNULL,
                    )
                except OSError:
                    ours.close()
                    raise _process_lost() from None
            reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    is_ready = bool(await reader.readline())
            except (TimeoutError, OSError, ValueError):
                is_ready = False
            except BaseException:
                writer.close()
                process.kill()
                raise
            self._tasks.create_task(self._live(process, reader, writer))
            if not is_ready:
                writer.close()
                raise _process_lost()
            self._process, self._writer = process, writer
            for told in self._watched.values():
                writer.write(dumps({"watch": told}))

    async def _live(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Hands out answers until the process ends, then sees it off."""
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                if "id" not in answer:
                    try:
                        self._hear(answer)
                    except Exception:  # whoever hears of events must not end the rest of edge
                        log.exception("onvif_event_unexpected")
                    continue
                answered = self._waiting.get(answer["id"])
                if answered is not None and not answered.done():
                    answered.set_result(answer)
        except (OSError, ValueError, KeyError):
            log.exception("onvif_process_garbled")
        finally:
            if self._writer is writer:
                log.error("onvif_process_died")
                self._lose()
                if self._watched:
                    self._reviving = self._tasks.create_task(self._revive())
            writer.close()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except BaseException:
                process.kill()
                await process.wait()
                raise

    async def _revive(self) -> None:
        """Cameras are watched on, whether anybody asks for anything or not."""
        while self._writer is None:
            await asyncio.sleep(REVIVE_S)
            try:
                await self._start()
            except (CameraError, OSError) as error:
                log.warning("onvif_process_not_started", extra={"error": str(error)})

    def _lose(self) -> None:
        """Closes the socket, which ends the process, and fails who waits for it."""
        writer, self._writer = self._writer, None
        self._process = None
        if writer is not None:
            writer.close()
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(_process_lost())


def _whom(address: str, username: str, password: str, profile: str) -> dict[str, Any]:
    return {"address": address, "username": username, "password": password, "profile": profile}


def _process_lost() -> CameraError:
    return CameraError(GapCause.SERVICE_CRASHED, "the ONVIF process ended; it is started again")

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
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from edge.camera.description import CameraDescription, decode, dumps
from edge.camera.errors import CameraError
from retention.model import GapCause

__all__ = ["CameraDescription", "OnvifService"]

START_TIMEOUT_S = 20.0
#: Above the child's own bound of 10 s for one description.
DESCRIBE_TIMEOUT_S = 13.0
STOP_TIMEOUT_S = 3.0
#: A picture of 8 MiB as Base64; a description is far less.
LINE_BYTES_MAX = 12 * 1024 * 1024

log = logging.getLogger(__name__)


class OnvifService:
    """``async with OnvifService() as onvif: await onvif.describe(...)``."""

    def __init__(self) -> None:
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
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
        request = {
            "address": address,
            "username": username,
            "password": password,
            "profile": profile,
        }
        return decode((await self._ask(request))["description"])

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
        request = {
            "address": address,
            "username": username,
            "password": password,
            "profile": profile,
            "order": verb,
            "arguments": dict(arguments),
        }
        result: dict[str, Any] = (await self._ask(request))["result"]
        return result

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._start()
        assert self._writer is not None
        number = next(self._ids)
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            self._writer.write(dumps({"id": number, **request}))
            async with asyncio.timeout(DESCRIBE_TIMEOUT_S):
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
                answered = self._waiting.get(answer["id"])
                if answered is not None and not answered.done():
                    answered.set_result(answer)
        except (OSError, ValueError, KeyError):
            log.exception("onvif_process_garbled")
        finally:
            if self._writer is writer:
                log.error("onvif_process_died")
                self._lose()
            writer.close()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except BaseException:
                process.kill()
                await process.wait()
                raise

    def _lose(self) -> None:
        """Closes the socket, which ends the process, and fails who waits for it."""
        writer, self._writer = self._writer, None
        self._process = None
        if writer is not None:
            writer.close()
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(_process_lost())


def _process_lost() -> CameraError:
    return CameraError(GapCause.SERVICE_CRASHED, "the ONVIF process ended; it is started again")

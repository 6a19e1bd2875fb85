"""ONVIF for the event loop: one child process serves every camera. Shell.

zeep and lxml never share a process with the recorder: what a camera's XML does to them costs the
child, which is started again with the next request.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from types import TracebackType
from typing import Any, Self

from edge.camera.description import CameraDescription
from edge.camera.errors import CameraError
from retention.model import GapCause

log = logging.getLogger(__name__)

#: Five requests of 3 s, each body bounded to twice that.
ANSWER_TIMEOUT_S = 20.0
LINE_BYTES_MAX = 1024 * 1024


class OnvifService:
    """``async with OnvifService() as onvif: await onvif.describe(...)``."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 0
        self._starting = asyncio.Lock()
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
        if self._child is not None and self._child.returncode is None:
            self._child.kill()  # it holds nothing
            await self._child.wait()
        await self._tasks.__aexit__(kind, error, trace)

    async def describe(
        self, address: str, username: str, password: str, profile: str
    ) -> CameraDescription:
        """Ask a camera who it is and where its stream is to be had.

        Raises:
            CameraError: with the gap's cause and one sentence.
        """
        answer = await self._ask(
            {"address": address, "username": username, "password": password, "profile": profile}
        )
        if "description" not in answer:
            raise CameraError(GapCause(answer["cause"]), answer["detail"])
        told = answer["description"]
        return CameraDescription(
            **{
                **told,
                "profiles": tuple(told["profiles"]),
                "stream_uris": tuple(told["stream_uris"]),
            }
        )

    async def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        child = await self._running_child()
        self._next_id += 1
        number = self._next_id
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            assert child.stdin is not None
            child.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await child.stdin.drain()
                return await future
        except (TimeoutError, ConnectionError):
            raise CameraError(
                GapCause.CAMERA_OFFLINE, f"ONVIF does not answer within {ANSWER_TIMEOUT_S:.0f} s"
            ) from None
        finally:
            self._waiting.pop(number, None)

    async def _running_child(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._child is None or self._child.returncode is not None:
                self._child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "edge.camera.onvif_child",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=LINE_BYTES_MAX,
                    start_new_session=True,
                )
                self._reading = self._tasks.create_task(self._read(self._child))
            return self._child

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        try:
            while line := await child.stdout.readline():
                answer = json.loads(line)
                future = self._waiting.get(answer["id"])
                if future is not None and not future.done():
                    future.set_result(answer)
        except ValueError:  # a line over the limit, or no JSON
            log.error("onvif_child_said_nonsense")
            child.kill()
        await child.wait()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the ONVIF child ended"))

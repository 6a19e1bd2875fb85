"""Orders to cameras, handed to ``edge`` over its order socket. Shell.

``<state_dir>/orders.sock``: one JSON request a line, one JSON answer a line, verbs as in
ARCHITECTURE.md, "Orders to cameras". The orders of one camera are carried out one after the other;
of moves that wait only the last one counts.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.errors import Retry, XueliangError
from uplink.commands import CameraOrder

log = logging.getLogger(__name__)

SOCKET_NAME = "orders.sock"
#: A camera's ONVIF answer may take so long.
TIMEOUT_S = 8.0
#: A picture of 4K is 2 MB, a third more as text.
ANSWER_BYTES_MAX = 16 * 2**20
WAITING_MAX = 32
_MOVES = frozenset({"move", "stop"})


class OrderFailed(XueliangError):
    """Edge, or the camera, did not do it."""

    code = "order_failed"


class Orders:
    """A client; ``async with`` it, in the event loop."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / SOCKET_NAME
        self._waiting: dict[str, deque[CameraOrder]] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Orders:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await self._tasks.__aexit__(*details)

    def post(self, order: CameraOrder) -> None:
        """Have it done soon; a failure is logged only, as the standard has no answer for it."""
        waiting = self._waiting.setdefault(order.camera, deque(maxlen=WAITING_MAX))
        if order.verb in _MOVES:
            kept = [one for one in waiting if one.verb not in _MOVES]
            waiting.clear()
            waiting.extend(kept)
        waiting.append(order)
        if order.camera not in self._running:
            self._running[order.camera] = self._tasks.create_task(self._work(order.camera))

    async def ask(self, order: CameraOrder) -> Mapping[str, Any]:
        """What ``edge`` answers.

        Raises:
            OrderFailed: it refused, could not, or does not answer.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._exchange(order)
        except (OSError, ValueError, TimeoutError) as error:
            raise OrderFailed(
                f"edge does not take orders on {self._path} ({type(error).__name__})",
                hint="is edge running, and may this user open the socket?",
                retry=Retry.LATER,
            ) from error
        result = answer.get("result")
        if not isinstance(result, dict):
            raise OrderFailed(f"{order.verb}: {str(answer.get('error', 'no answer'))[:300]}")
        return result

    async def _exchange(self, order: CameraOrder) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=ANSWER_BYTES_MAX)
        try:
            request = {"command": order.verb, "camera": order.camera, **order.arguments}
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
            if not line:
                raise ConnectionResetError
            answer = json.loads(line)
            if not isinstance(answer, dict):
                raise ValueError("an answer is an object")
            return answer
        finally:
            writer.close()

    async def _work(self, camera: str) -> None:
        try:
            waiting = self._waiting[camera]
            while waiting:
                order = waiting.popleft()
                try:
                    await self.ask(order)
                except OrderFailed as error:
                    log.warning(
                        "order_failed",
                        extra={"camera": camera, "verb": order.verb, "error": str(error)},
                    )
        finally:
            self._running.pop(camera, None)

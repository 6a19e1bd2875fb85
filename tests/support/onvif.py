"""One ONVIF process for the tests of a module: it takes seconds to start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from edge.camera.onvif_service import OnvifService

T = TypeVar("T")
_PATIENCE_S = 60.0


class OnvifThread:
    """An :class:`OnvifService` whose event loop runs in another thread."""

    def __init__(self, service: OnvifService, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self._loop = loop

    def run(self, work: Callable[[OnvifService], Coroutine[Any, Any, T]]) -> T:
        """What ``work`` returns, or raises."""
        return asyncio.run_coroutine_threadsafe(work(self.service), self._loop).result(_PATIENCE_S)


@contextmanager
def onvif_thread() -> Iterator[OnvifThread]:
    """Until the block is left."""
    ready: list[OnvifThread] = []
    is_ready, over = threading.Event(), []

    async def main() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        over.append(lambda: loop.call_soon_threadsafe(end.set))
        async with OnvifService() as service:
            ready.append(OnvifThread(service, loop))
            is_ready.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert is_ready.wait(_PATIENCE_S)
    try:
        yield ready[0]
    finally:
        over[0]()
        thread.join(_PATIENCE_S)

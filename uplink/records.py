"""Spans for RecordInfo, from the index, in threads of their own. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retention.clock import Clock
from retention.index.errors import IndexUnavailable
from retention.model import Span
from retention.read import Store

#: A query over 90 days is a tenth of a second of one core; more threads would only share it.
THREADS = 2
#: An index that does not answer is asked again: edge may be starting.
TRIES = 4
PAUSE_S = 1.0


class Records:
    """Answers from any task; ``close`` when the last has been answered."""

    def __init__(self, index_path: Path, volumes: Sequence[Path], clock: Clock) -> None:
        self._index_path = index_path
        self._volumes = tuple(volumes)
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="records")

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def spans(self, camera: str, from_us: int, to_us: int) -> tuple[Span, ...]:
        """What is recorded of the window, sorted, apart from each other.

        Raises:
            IndexUnavailable: after 3 s of trying; that is not "no recordings".
        """
        for _ in range(TRIES - 1):
            try:
                return await self._asked(camera, from_us, to_us)
            except IndexUnavailable:
                await asyncio.sleep(PAUSE_S)
        return await self._asked(camera, from_us, to_us)

    async def _asked(self, camera: str, from_us: int, to_us: int) -> tuple[Span, ...]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, camera, from_us, to_us)

    def _read(self, camera: str, from_us: int, to_us: int) -> tuple[Span, ...]:
        with Store(self._index_path, self._volumes) as store:
            return store.timeline(camera, from_us, to_us, self._clock.utc_us()).spans

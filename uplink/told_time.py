"""What platforms' clocks say, handed to ``edge`` through a file (retention.platform_time). Shell.

Nobody's clock is set: it is one vote of three in trusted time.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from retention.clock import HostClock
from retention.platform_time import write_platform_time
from retention.trusted_time import Reading
from uplink.metrics import UplinkMetrics
from uplink.ports import PlatformTime

log = logging.getLogger(__name__)


class ToldTime:
    """An observer of measured offsets (``ports.TimeObserver``)."""

    def __init__(
        self,
        state_dir: Path,
        boot_id: str,
        clock: HostClock,
        metrics: UplinkMetrics,
        jobs: asyncio.TaskGroup,
    ) -> None:
        self._state_dir = state_dir
        self._boot_id = boot_id
        self._clock = clock
        self._metrics = metrics
        self._jobs = jobs
        self._readings: dict[str, Reading] = {}
        self._is_writing = False

    def platform_time(self, time: PlatformTime) -> None:
        """Called in the turn in which the answer came: raw time is read now."""
        now_us = self._clock.utc_us()
        self._readings[time.platform] = Reading(
            utc_us=now_us + time.offset_us, raw_us=self._clock.raw_us()
        )
        if not self._is_writing:
            self._is_writing = True
            self._jobs.create_task(self._write())

    def keep(self, platforms: frozenset[str]) -> None:
        """Forgets what platforms said that are configured no more."""
        for name in self._readings.keys() - platforms:
            del self._readings[name]

    async def _write(self) -> None:
        readings = dict(self._readings)
        self._is_writing = False
        try:
            await asyncio.to_thread(write_platform_time, self._state_dir, self._boot_id, readings)
        except OSError as error:  # said again with the next registration
            self._metrics.swallowed_errors.labels("platform_time").inc()
            log.warning("platform_time_not_told", extra={"error": str(error)})

"""Starts the self-check of the day before, once a night. Shell, asyncio.

The check is a process of its own that gives way to everything (``edge.self_check``); this only
starts it, waits for it, and ends it with ``edge``. It decides from the results that there are: a
night on which nobody ran is made up for in the morning.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from config.instants import zone_named
from config.schema import Settings
from edge.night_results import due_date
from edge.status import open_store
from retention.clock import Clock
from retention.completeness import midnight_us
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S

log = logging.getLogger(__name__)

#: So often is looked whether a check is due.
LOOK_S = 600
#: A check that failed is not tried again before.
RETRY_US = 3600 * US_PER_S
#: 64 cameras of 4 Mbit/s, read slowly, take a quarter of an hour.
TIMEOUT_S = 4 * 3600.0
#: Exit codes of ``xueliang self-check`` with a result: passed, and with findings.
_WITH_RESULT = (0, 1)


class Nightly:
    """Args:
    settings: those in force now.
    """

    def __init__(self, config_path: Path, settings: Callable[[], Settings], clock: Clock) -> None:
        self._config_path = config_path
        self._settings = settings
        self._clock = clock
        self._not_before_us = 0

    async def check_if_due(self) -> bool:
        """Whether a check was made."""
        if self._clock.monotonic_us() < self._not_before_us:
            return False
        day = due_date(self._settings(), self._clock.utc_us())
        if day is None or not await asyncio.to_thread(self._was_anything_due, day):
            return False
        self._not_before_us = self._clock.monotonic_us() + RETRY_US
        code = await self._run(day)
        if code not in _WITH_RESULT:
            log.error("self_check_failed", extra={"date": day.isoformat(), "exit": code})
            return False
        log.info("self_check_made", extra={"date": day.isoformat(), "passed": code == 0})
        return True

    def _was_anything_due(self, day: date) -> bool:
        zone = zone_named(self._settings().site.timezone)
        from_us, to_us = midnight_us(day, zone), midnight_us(day + timedelta(days=1), zone)
        try:
            with open_store(self._settings()) as store:
                lines = (
                    store.timeline(camera, from_us, to_us, self._clock.utc_us())
                    for camera in store.cameras()
                )
                return any(line.to_us > line.from_us for line in lines)
        except IndexUnavailable:
            return False  # the next look may find it

    async def _run(self, day: date) -> int | None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge.cli",
            "self-check",
            "--keep",
            "--date",
            day.isoformat(),
            "--config",
            str(self._config_path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

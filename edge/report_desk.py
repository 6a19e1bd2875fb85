"""Evidence packs that the console asks for: made by a process that may sign and gives way. Shell.

A pack lies in ``<state_dir>/reports/<instant>`` once it is whole; the oldest go. Nothing needs to
be remembered over a restart.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.errors import Retry, XueliangError
from config.schema import Settings
from edge.control import Command
from retention.clock import Clock

log = logging.getLogger(__name__)

FOLDER = "reports"
FOLDER_MODE = 0o750
KEPT = 12
DAYS_MAX = 90
ERROR_CHARACTERS_MAX = 500
NAME = re.compile(r"\d{8}T\d{6}Z-\d{1,2}d", re.ASCII)


class ReportRefused(XueliangError):
    """No evidence pack can be made now."""

    code = "report_refused"


def packs(state_dir: Path) -> list[Path]:
    """Whole packs, the newest first. Raises :class:`OSError`."""
    folder = state_dir / FOLDER
    if not folder.is_dir():
        return []
    return sorted((one for one in folder.iterdir() if NAME.fullmatch(one.name)), reverse=True)


class ReportDesk:
    """Args:
    settings: those in force now.
    """

    def __init__(self, config_path: Path, settings: Callable[[], Settings], clock: Clock) -> None:
        self._config_path = config_path
        self._settings = settings
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._error = ""

    def commands(self) -> dict[str, Command]:
        return {"report_make": self._make, "report_state": self._state}

    def close(self) -> None:
        """What is under way is given up; nothing is left under its name."""
        if self._task is not None:
            self._task.cancel()

    async def _make(self, arguments: dict[str, Any]) -> Any:
        days = arguments.get("days")
        if type(days) is not int or not 1 <= days <= DAYS_MAX:
            raise ReportRefused("a report needs its days", hint=f"1 to {DAYS_MAX}")
        if self._task is not None and not self._task.done():
            raise ReportRefused("a report is being made", hint="wait for it", retry=Retry.LATER)
        # kept, and awaited by nobody: how it ends is asked for
        self._task = asyncio.ensure_future(self._run(days))
        return {}

    async def _state(self, _arguments: dict[str, Any]) -> Any:
        is_running = self._task is not None and not self._task.done()
        return {"running": is_running, "error": self._error}

    async def _run(self, days: int) -> None:
        self._error = ""
        try:
            self._error = await self._report(days)
        except OSError as error:
            self._error = f"the report could not be started: {error.strerror}"
        if self._error:
            log.error("report_failed", extra={"error": self._error})

    async def _report(self, days: int) -> str:
        """Empty, or why it failed."""
        state_dir = self._settings().storage.state_dir
        moment = datetime.fromtimestamp(self._clock.utc_us() / 1e6, UTC)
        folder = state_dir / FOLDER / f"{moment:%Y%m%dT%H%M%SZ}-{days}d"
        await asyncio.to_thread(folder.parent.mkdir, mode=FOLDER_MODE, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            "nice",
            "-n",
            "19",
            sys.executable,
            *(["-I"] if sys.flags.isolated else []),
            "-m",
            "edge.cli",
            "report",
            "--days",
            str(days),
            "-o",
            str(folder),
            "--json",
            "-c",
            str(self._config_path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if not await asyncio.to_thread(_is_made, folder):
            return said.decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:] or "no word"
        return ""


def _is_made(folder: Path) -> bool:
    """Whether the pack is there; then the oldest ones go. Raises :class:`OSError`."""
    if not folder.is_dir():
        return False
    for old in packs(folder.parent.parent)[KEPT:]:
        shutil.rmtree(old)
    return True

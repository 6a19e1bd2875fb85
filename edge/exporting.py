"""Exports that the console asks for: by a process that gives way, one at a time. Shell, asyncio.

The console may not sign; ``edge`` may, so it starts the process (:mod:`edge.export_job`), told over
the control socket by the console, which has put request and approval on record. An export is done
when its folder is there (it is renamed whole), so nothing needs to be remembered over a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Retry, XueliangError
from config.schema import Settings
from edge.control import Command

log = logging.getLogger(__name__)

FOLDER = "exports"
#: Waiting and running together.
JOBS_MAX = 20
FOLDER_MODE = 0o750
_ID = re.compile(r"[a-z0-9]{8,40}", re.ASCII)


class ExportJobRefused(XueliangError):
    """What was asked of the exports cannot be done."""

    code = "export_job_refused"


@dataclass(slots=True)
class _Job:
    order: dict[str, Any]
    task: asyncio.Task[None] | None = None
    state: str = "queued"
    written_bytes: int = 0
    of_bytes: int = 0
    error: str = ""


def export_dir(settings: Settings) -> Path:
    """Where finished exports of the console lie, a folder each."""
    return settings.console.export_dir or settings.storage.state_dir / FOLDER


class ExportJobs:
    """Args:
    settings: those in force now.
    """

    def __init__(self, config_path: Path, settings: Callable[[], Settings]) -> None:
        self._config_path = config_path
        self._settings = settings
        self._jobs: dict[str, _Job] = {}
        self._turn = asyncio.Semaphore(1)

    def commands(self) -> dict[str, Command]:
        return {
            "export_start": self._start,
            "export_state": self._state,
            "export_remove": self._remove,
        }

    def close(self) -> None:
        """What is under way is given up; nothing is left under its name."""
        for job in self._jobs.values():
            if job.task is not None:
                job.task.cancel()

    async def _start(self, arguments: dict[str, Any]) -> Any:
        """Again after a failure; nothing where it is done or under way."""
        number = _number(arguments)
        known = self._jobs.get(number)
        if known is not None and known.state in ("queued", "running"):
            return {}
        if self._folder(number).exists():
            return {}
        if sum(job.state in ("queued", "running") for job in self._jobs.values()) >= JOBS_MAX:
            raise ExportJobRefused(
                "too many exports wait", hint="try again later", retry=Retry.LATER
            )
        job = self._jobs[number] = _Job(arguments)
        # kept in the job, awaited by nobody: how it ends is asked for
        job.task = asyncio.ensure_future(self._run(number, job))
        return {}

    async def _state(self, arguments: dict[str, Any]) -> Any:
        """``state``: unknown, queued, running, done, failed."""
        number = _number(arguments)
        job = self._jobs.get(number)
        if self._folder(number).exists() and (job is None or job.state not in ("running",)):
            return {"state": "done"}
        if job is None:
            return {"state": "unknown"}
        return {
            "state": job.state,
            "written_bytes": job.written_bytes,
            "of_bytes": job.of_bytes,
            "error": job.error,
        }

    async def _remove(self, arguments: dict[str, Any]) -> Any:
        """The copy that an export made; footage is not touched by this."""
        number = _number(arguments)
        job = self._jobs.pop(number, None)
        if job is not None and job.task is not None and not job.task.done():
            job.task.cancel()
            await asyncio.wait([job.task])
        folder = self._folder(number)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ExportJobRefused(f"{folder} is no export", hint="look at it by hand")
        try:
            await asyncio.to_thread(shutil.rmtree, folder)
        except FileNotFoundError:
            pass  # it was gone already
        except OSError as error:
            raise ExportJobRefused(
                f"{folder} cannot be removed: {error.strerror}", hint="mend the disk, and try again"
            ) from error
        return {}

    def _folder(self, number: str) -> Path:
        return export_dir(self._settings()) / number

    async def _run(self, number: str, job: _Job) -> None:
        async with self._turn:
            job.state = "running"
            try:
                job.error = await self._export(number, job)
            except OSError as error:
                job.error = f"the export could not be started: {error.strerror}"
            job.state = "failed" if job.error else "done"
        if job.error:
            log.error("console_export_failed", extra={"export": number, "error": job.error})

    async def _export(self, number: str, job: _Job) -> str:
        """Empty, or why it failed."""
        folder = self._folder(number)
        folder.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(["-I"] if sys.flags.isolated else []),
            "-m",
            "edge.export_job",
            "-c",
            str(self._config_path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        error = "the export ended without a word"
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({**job.order, "folder": str(folder)}).encode())
            process.stdin.close()
            async for line in process.stdout:
                told = json.loads(line)
                job.written_bytes = told.get("written_bytes", job.written_bytes)
                job.of_bytes = told.get("of_bytes", job.of_bytes)
                error = told.get("error", error)
            await process.wait()
        except (ConnectionError, ValueError) as broken:
            error = f"the export broke off: {type(broken).__name__}"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return error


def _number(arguments: dict[str, Any]) -> str:
    found = arguments.get("id")
    if not isinstance(found, str) or _ID.fullmatch(found) is None:
        raise ExportJobRefused("an export needs a number", hint="id: 8 to 40 of a-z, 0-9")
    return found

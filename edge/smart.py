"""The health of the disks below the volumes, by ``smartctl`` where it is installed. Shell.

Asked in a process of its own, for a disk that hangs does not give it back: one that has not
answered is not asked again before it has ended. No answer (no ``smartctl``, no right to ask, a disk
without SMART, one that sleeps) is no error: there is then nothing to tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from edge.smart_report import SmartReport, parse_smart, worst

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 30.0
KILL_WAIT_S = 1.0
_SYS = Path("/sys/dev/block")
#: Device mappers stand on one another; deeper than this is a loop.
_DEPTH_MAX = 8


class SmartDesk:
    """Asks disks; remembers which of them have not answered yet."""

    def __init__(self, *, sys: Path = _SYS) -> None:
        self._sys = sys
        self._asked: dict[str, asyncio.subprocess.Process] = {}

    async def report(self, device: int) -> SmartReport:
        """The health of the disks that a file system's device (``st_dev``) stands on."""
        program = shutil.which("smartctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            return SmartReport()
        names = disks_of(device, self._sys)
        return worst([await self._ask(program, name) for name in names])

    async def _ask(self, program: str, name: str) -> SmartReport:
        asked = self._asked.get(name)
        if asked is not None and asked.returncode is None:
            return SmartReport()
        process = self._asked[name] = await asyncio.create_subprocess_exec(
            program,
            "--json",
            "-A",
            "-n",
            "standby",
            f"/dev/{name}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                output, _ = await process.communicate()
        except TimeoutError:
            log.warning("smartctl_silent", extra={"disk": name})
            process.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(KILL_WAIT_S):
                    await process.communicate()
            return SmartReport()
        return parse_smart(output)


def disks_of(device: int, sys: Path = _SYS) -> list[str]:
    """Kernel names of the disks below a block device: of a partition, its disk; of a device mapper
    or a software RAID, those of its parts. None for a file system without a block device."""
    place = sys / f"{os.major(device)}:{os.minor(device)}"
    return sorted(_disks_below(place, 0))


def _disks_below(place: Path, depth: int) -> set[str]:
    try:
        node = place.resolve(strict=True)
        below = [one.name for one in (node / "slaves").iterdir()] if depth < _DEPTH_MAX else []
    except OSError:
        below = []
        if not place.exists():
            return set()
        node = place.resolve()
    if below:
        return {disk for name in below for disk in _disks_below(node / "slaves" / name, depth + 1)}
    return {node.parent.name if (node / "partition").exists() else node.name}

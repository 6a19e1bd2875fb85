"""The health of the disks below the volumes, by ``smartctl`` where it is installed. Shell.

Asked in a process of its own, for a disk that hangs does not give it back: one that has not
answered is not asked again before it has ended. On an installed box only root may ask: there a unit
of its own leaves the answers in a folder (systemd/system/xueliang-smart.service). No answer (no
``smartctl``, no right to ask, a disk without SMART, one that sleeps) is no error: there is then
nothing to tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from edge.smart_report import SmartReport, parse_smart, worst

log = logging.getLogger(__name__)

#: The disk's verdict on itself, its attributes, a SAS disk's counts of errors; as root's unit asks
#: (distribution/programs/smart).
QUESTION = ("--json", "-H", "-A", "-l", "error", "-n", "standby")
ASK_TIMEOUT_S = 30.0
KILL_WAIT_S = 1.0
#: Where root's unit leaves answers, by the disk's name.
LEFT = Path("/run/xueliang-smart")
LEFT_AGE_MAX_S = 7200.0
LEFT_BYTES_MAX = 4 * 2**20
_SYS = Path("/sys/dev/block")
#: Device mappers stand on one another; deeper than this is a loop.
_DEPTH_MAX = 8


class SmartDesk:
    """Asks disks; remembers which of them have not answered yet."""

    def __init__(self, *, sys: Path = _SYS, left: Path = LEFT) -> None:
        self._sys = sys
        self._left = left
        self._asked: dict[str, asyncio.subprocess.Process] = {}

    async def report(self, device: int) -> SmartReport:
        """The health of the disks that a file system's device (``st_dev``) stands on."""
        names = disks_of(device, self._sys)
        left = [self._read_left(name) for name in names]
        if any(one is not None for one in left):
            return worst([parse_smart(one) for one in left if one is not None])
        program = shutil.which("smartctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            return SmartReport()
        return worst([await self._ask(program, name) for name in names])

    def _read_left(self, name: str) -> bytes | None:
        """What root's unit was told by a disk of late; None where there is nothing."""
        try:
            file = os.open(self._left / f"{name}.json", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            age_s = time.clock_gettime(time.CLOCK_REALTIME) - os.fstat(file).st_mtime
            is_fresh = age_s < LEFT_AGE_MAX_S
            return os.read(file, LEFT_BYTES_MAX) if is_fresh else None
        except OSError:
            return None
        finally:
            os.close(file)

    async def _ask(self, program: str, name: str) -> SmartReport:
        asked = self._asked.get(name)
        if asked is not None and asked.returncode is None:
            return SmartReport()
        process = self._asked[name] = await asyncio.create_subprocess_exec(
            program,
            *QUESTION,
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

"""A box whose host clock a test sets; the cameras beside it keep true time."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.box import Box, wait_for

_SITE = Path(__file__).with_name("host_clock")


@dataclass(slots=True)
class HostClock:
    """The clock file, and the box under it."""

    folder: Path
    box: Box
    off_us: int = 0

    def wrapper(self) -> tuple[str, ...]:
        return (
            "env",
            f"PYTHONPATH={_SITE}:{os.environ.get('PYTHONPATH', '')}",
            f"XUELIANG_HOST_CLOCK={self.folder / 'clock'}",
        )

    def set(self, off_us: int, *, is_synchronized: bool = False) -> None:
        self.off_us = off_us
        path = self.folder / "clock"
        content = struct.pack("<q?", off_us, is_synchronized)
        if not path.exists():
            path.write_bytes(content)
        with path.open("r+b", buffering=0) as file:
            file.write(content)

    def boot(self, number: int) -> None:
        (self.folder / "boot").write_text(f"boot-{number}")

    def now_us(self) -> int:
        """What the host's clock shows."""
        return true_us() + self.off_us

    def start(self) -> None:
        self.box.start(*self.wrapper())

    def command(self, *arguments: str) -> Any:
        """A command of the box, on this clock; its JSON."""
        return self.box.json(*arguments, wrapper=self.wrapper())

    def time(self) -> dict[str, Any]:
        """What the box thinks of its clock; empty while it does not answer."""
        told = self.box.xueliang("status", "--json", wrapper=self.wrapper()).stdout
        found: dict[str, Any] = (__import__("json").loads(told) if told else {}).get("time") or {}
        return found

    def wait_time(self, code: str) -> None:
        wait_for(f"time {code}", lambda: self.time().get("code") == code)

    def wait_recorded(self, camera: str, seconds: float) -> None:
        """Until so much has become durable of what is recorded from now on."""
        since_us = self.now_us()

        def is_there() -> bool:
            status = self.command("status")
            newest = next(one["newest"] for one in status["cameras"] if one["camera"] == camera)
            from config.instants import parse_instant

            return newest is not None and parse_instant(newest) >= since_us + seconds * 1e6

        wait_for(f"{seconds} s of {camera}", is_there)


def true_us() -> int:
    return time.time_ns() // 1000

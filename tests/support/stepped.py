"""A box whose host clock a test sets; the cameras beside it keep true time."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.control import ControlUnavailable, ask
from retention.model import US_PER_S
from retention.read import Store
from tests.support.box import Box, wait_for

_SITE = Path(__file__).with_name("host_clock")


@dataclass(slots=True)
class ClockFile:
    """What the processes under :meth:`wrapper` take for the host's clock."""

    folder: Path
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


@dataclass(slots=True, kw_only=True)
class HostClock(ClockFile):
    """The clock, and the box under it."""

    box: Box

    def start(self) -> None:
        self.box.start(*self.wrapper())

    def command(self, *arguments: str) -> Any:
        """A command of the box, on this clock; its JSON."""
        return self.box.json(*arguments, wrapper=self.wrapper())

    def time(self) -> dict[str, Any]:
        """What the box thinks of its clock; empty while it does not answer."""
        try:
            found: dict[str, Any] = ask(self.box.state, "status")["time"]
        except ControlUnavailable:
            return {}
        return found

    def wait_time(self, code: str) -> None:
        self.wait_until(lambda: self.time().get("code") == code, f"time {code}")

    def wait_trusted(self) -> None:
        self.wait_until(lambda: self.time().get("trusted") is True, "time trusted")

    def wait_untrusted(self) -> None:
        self.wait_until(lambda: self.time().get("trusted") is False, "time not trusted")

    def wait_until(self, fact: Callable[[], bool], what: str = "it is so") -> None:
        try:
            wait_for(what, fact)
        except AssertionError as error:
            told = f"{error}\n{self.time()}\n{self.box.log[-3000:]}"
            raise AssertionError(told) from None

    def newest_us(self, camera: str) -> int | None:
        """End of the newest durable footage up to what the clock shows."""
        with Store(self.box.state / "index.db", [self.box.volume]) as store:
            return store.newest(camera, self.now_us() + US_PER_S)

    def wait_recorded(self, camera: str, seconds: float) -> None:
        """Until so much has become durable of what is recorded from now on."""
        since_us = self.now_us()

        def is_there() -> bool:
            newest_us = self.newest_us(camera)
            return newest_us is not None and newest_us >= since_us + seconds * US_PER_S

        self.wait_until(is_there, f"{seconds} s of {camera}")


def true_us() -> int:
    return time.time_ns() // 1000

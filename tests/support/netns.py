"""A network namespace with one reserved interface, whose other end the test holds. Needs root."""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import dataclass, field

_numbers = itertools.count()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _number() -> int:
    return next(_numbers)


@dataclass(slots=True)
class ReservedNet:
    """``with`` it: inside, ``eth9`` has address ``.10``; the platform's side is ``.1``."""

    number: int = field(default_factory=_number)

    @property
    def name(self) -> str:
        return f"xl{os.getpid()}-{self.number}"

    @property
    def outside(self) -> str:
        return f"xl{os.getpid() % 100000}h{self.number}"

    def address(self, host: int) -> str:
        return f"198.18.{100 + self.number}.{host}"

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Runs a command inside."""
        return ("ip", "netns", "exec", self.name)

    def __enter__(self) -> ReservedNet:
        run("ip", "netns", "add", self.name)
        try:
            run("ip", "link", "add", self.outside, "type", "veth", "peer", "name", "eth9",
                "netns", self.name)  # fmt: skip
            run("ip", "addr", "add", f"{self.address(1)}/24", "dev", self.outside)
            run("ip", "link", "set", self.outside, "up")
            self.inside("ip", "link", "set", "lo", "up")
            self.inside("ip", "addr", "add", f"{self.address(10)}/24", "dev", "eth9")
            self.inside("ip", "link", "set", "eth9", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", self.outside], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def inside(self, *command: str) -> str:
        return run(*self.wrapper, *command)

    def link(self, *, is_up: bool) -> None:
        """The cable: carrier at the inner interface follows."""
        run("ip", "link", "set", self.outside, "up" if is_up else "down")

    def move(self, old: int, new: int) -> None:
        """Another address for the inner interface."""
        self.inside("ip", "addr", "del", f"{self.address(old)}/24", "dev", "eth9")
        self.inside("ip", "addr", "add", f"{self.address(new)}/24", "dev", "eth9")

"""A box behind a wide area network: a router between it and the platform. Needs root.

The router loses packets (iptables, statistic) and is as thin as a test wants (tc, tbf); the delay
is that of the queue before the thin link.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import dataclass, field

from tests.support.netns import run

_numbers = itertools.count()


@dataclass(slots=True)
class WideNet:
    """``with`` it: the box's ``eth9`` has ``box_host``; the platform's end is ``host``."""

    number: int = field(default_factory=lambda: (os.getpid() % 50) * 5 + next(_numbers) % 5)

    @property
    def host(self) -> str:
        return f"198.19.{self.number}.1"

    @property
    def box_host(self) -> str:
        return f"198.19.{self.number}.130"

    @property
    def _box(self) -> str:
        return f"xlwb{os.getpid()}-{self.number}"

    @property
    def _router(self) -> str:
        return f"xlwr{os.getpid()}-{self.number}"

    @property
    def _outside(self) -> str:
        return f"xlw{os.getpid() % 100000}h{self.number}"

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Runs a command in the box."""
        return ("ip", "netns", "exec", self._box)

    def __enter__(self) -> WideNet:
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        net = f"198.19.{self.number}"
        for name in (self._box, self._router):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", self._outside, "type", "veth", "peer", "name", "wan",
            "netns", self._router)  # fmt: skip
        run("ip", "link", "add", "lan", "netns", self._router, "type", "veth",
            "peer", "name", "eth9", "netns", self._box)  # fmt: skip
        run("ip", "addr", "add", f"{net}.1/25", "dev", self._outside)
        run("ip", "link", "set", self._outside, "up")
        for name, device, address in (
            (self._router, "wan", f"{net}.2/25"),
            (self._router, "lan", f"{net}.129/25"),
            (self._box, "eth9", f"{net}.130/25"),
        ):
            run("ip", "-n", name, "addr", "add", address, "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", self._box, "route", "add", "default", "via", f"{net}.129")
        run("ip", "route", "add", f"{net}.128/25", "via", f"{net}.2")
        self._inside("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", self._outside], capture_output=True)
        for name in (self._box, self._router):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def _inside(self, *command: str) -> str:
        return run("ip", "netns", "exec", self._router, *command)

    def lose(self, share: float, *what: str) -> None:
        """From now on so much of what goes to the platform (``what``: more words of iptables)."""
        self._inside("iptables", "-F", "FORWARD")
        if share:
            self._inside("iptables", "-A", "FORWARD", "-o", "wan", *what, "-m", "statistic",
                         "--mode", "random", "--probability", str(share), "-j", "DROP")  # fmt: skip

    def cut(self) -> None:
        """Nothing passes, and nobody is told."""
        self._inside("iptables", "-I", "FORWARD", "-j", "DROP")

    def mend(self) -> None:
        self.lose(0)

    def narrow(self, kbit_per_s: int, latency_ms: int = 200) -> None:
        """What goes to the platform waits for a thin link; 0: as it was."""
        subprocess.run(
            ["ip", "netns", "exec", self._router, "tc", "qdisc", "del", "dev", "wan", "root"],
            capture_output=True,
        )
        if kbit_per_s:
            rate, latency = f"{kbit_per_s}kbit", f"{latency_ms}ms"
            self._inside("tc", "qdisc", "add", "dev", "wan", "root", "tbf",
                         "rate", rate, "burst", "16k", "latency", latency)  # fmt: skip

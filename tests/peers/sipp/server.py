"""SIPp (Debian's sip-tester) as a platform: a stranger's SIP stack that keeps to a scenario.

Each scenario is a file beside this one. Call-IDs make SIPp's calls: a registration is one, each
keepalive and each Response of the device is another, which the scenarios take by an optional first
``recv``.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.support.box import free_port, wait_for

HERE = Path(__file__).parent


@dataclass(slots=True, kw_only=True)
class Sipp:
    """One run of a scenario over ``transport``: the file of that name, or ``text``."""

    scenario: str
    folder: Path
    transport: Literal["udp", "tcp"] = "udp"
    text: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Sipp:
        self.folder.mkdir(exist_ok=True)
        path = HERE / f"{self.scenario}.xml"
        if self.text:
            path = self.folder / path.name
            path.write_text(self.text)
        self.process = subprocess.Popen(
            ["sipp", "-sf", str(path), "-i", "127.0.0.1",
             "-p", str(self.port), "-t", "t1" if self.transport == "tcp" else "u1",
             "-trace_stat", "-stf", str(self._statistics), "-fd", "1",
             "-trace_err", "-error_file", str(self.folder / f"{self.scenario}.err"),
             "-trace_msg", "-message_file", str(self.folder / f"{self.scenario}.msg"),
             "-aa", "-nostdin", "-default_behaviors", "-abortunexp"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        return self

    @property
    def _statistics(self) -> Path:
        return self.folder / f"{self.scenario}.csv"

    def counts(self) -> dict[str, int]:
        """Calls so far, as SIPp itself counts them."""
        if not self._statistics.exists():
            return {}
        rows = list(csv.DictReader(self._statistics.read_text().splitlines(), delimiter=";"))
        if not rows:
            return {}
        last = {name: int(text) for name, text in rows[-1].items() if text and text.isdigit()}
        closed = last["FailedTcpClosed(C)"]  # a device that leaves closes its connection
        return {
            "successful": last["SuccessfulCall(C)"],
            "closed": closed,
            "failed": last["FailedCall(C)"] - closed,
        }

    def wait_successful(self, count: int, timeout_s: float = 20.0) -> None:
        def probe() -> bool:
            counts = self.counts()
            return counts.get("successful", 0) + counts.get("closed", 0) >= count

        try:
            wait_for(f"{count} calls of {self.scenario}", probe, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.counts()}\n{self.errors}") from None

    @property
    def errors(self) -> str:
        path = self.folder / f"{self.scenario}.err"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def messages(self) -> str:
        """Everything on the wire, as SIPp saw it."""
        path = self.folder / f"{self.scenario}.msg"
        return path.read_text(errors="replace") if path.exists() else ""

    def bodies(self, pattern: str = "") -> list[bytes]:
        """Bodies of the MESSAGEs and NOTIFYs that came and hold the regular expression."""
        path = self.folder / f"{self.scenario}.msg"
        trace = path.read_bytes() if path.exists() else b""
        found = []
        for part in re.split(rb"(?m)^-{20,} .*?\n", trace):
            told, _, message = part.partition(b"\n\n")
            head, _, body = message.partition(b"\r\n\r\n")
            if b"message received" not in told or not head.startswith((b"MESSAGE ", b"NOTIFY ")):
                continue
            length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
            found.append(body[: int(length[1])] if length else body)
        return [body for body in found if re.search(pattern.encode(), body)]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Sipp:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

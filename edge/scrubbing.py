"""The parent side of :mod:`retention.scrub_child`: starts it, listens, starts it again. Shell."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from retention.scrub import Scrubbed, ScrubResult

log = logging.getLogger(__name__)

RESTART_S = 60.0
END_S = 3.0
#: A changed setting gets there this late.
DAYS_S = 60.0


class Scrubbing:
    """Keeps the scrubbing process alive; a thread listens to it.

    Args:
        days: asked anew now and then.
        report: told of each segment, in that thread.
    """

    def __init__(
        self,
        index_path: Path,
        volumes: Sequence[Path],
        days: Callable[[], float],
        report: Callable[[Scrubbed], None],
    ) -> None:
        self._begin = {"index": str(index_path), "volumes": [str(path) for path in volumes]}
        self._days = days
        self._report = report
        self._stopping = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="scrubbing", daemon=True)
        self._teller = threading.Thread(target=self._tell_days, name="scrub pace", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._teller.start()

    def stop(self) -> None:
        """The child ends by itself, or when its disk lets it: nobody waits for it."""
        self._stopping.set()
        with self._lock:
            self._hang_up()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._child is None else self._child.pid

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.error("scrubbing_failed", extra={"error": repr(error)})
            if not self._stopping.wait(RESTART_S):
                log.warning("scrubbing_starts_again")

    def _listen(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._child = child = subprocess.Popen(
                [sys.executable, "-m", "retention.scrub_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # a terminal's Ctrl-C is for edge to handle
            )
        self._send({**self._begin, "days": self._days()})
        assert child.stdout is not None
        try:
            with child.stdout:
                for line in child.stdout:
                    found = json.loads(line)
                    found["result"] = ScrubResult(found["result"])
                    found["faults"] = tuple(found["faults"])
                    self._report(Scrubbed(**found))
        finally:
            with self._lock:
                self._hang_up()
            with contextlib.suppress(subprocess.TimeoutExpired):  # its disk hangs
                child.wait(END_S)
        log.info("scrubbing_ended", extra={"code": child.poll()})

    def _tell_days(self) -> None:
        told = self._days()
        while not self._stopping.wait(DAYS_S):
            if self._days() != told:
                told = self._days()
                self._send({"days": told})

    def _send(self, message: dict[str, object]) -> None:
        child = self._child
        if child is None or child.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it ended: the next one is told anew
            child.stdin.write(json.dumps(message) + "\n")
            child.stdin.flush()

    def _hang_up(self) -> None:
        """Close its input, which ends it. The lock is held."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                child.stdin.close()

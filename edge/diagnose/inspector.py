"""The service's end of the looking child: starts it, asks it, bounds it, buries it. Shell.

A child that dies, hangs or babbles costs the check it was at; the next check gets a new one. A
child that even SIGKILL does not end waits for a dead disk: it is left behind, and a few of those
are borne.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.diagnose.defects import Failure
from edge.diagnose.wire import Looked, looked_of_json

log = logging.getLogger(__name__)

#: Wall time of one check: far more than it takes beside a busy recorder.
CHECK_S = 60.0
#: Of the child being there: OpenCV is loaded at idle priority.
START_S = 120.0
KILL_S = 5.0
LEFT_BEHIND_MAX = 4
#: A line is a few kilobytes.
LINE_BYTES_MAX = 1 << 20
_POLL_S = 0.5
COMMAND = (sys.executable, "-m", "edge.diagnose.child")


class Inspector:
    """One child at a time.

    Args:
        is_stopping: asked while waiting; True ends the wait.
        command, check_s: for tests.
    """

    def __init__(
        self,
        index_path: Path,
        volumes: Sequence[Path],
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        command: Sequence[str] = COMMAND,
        check_s: float = CHECK_S,
    ) -> None:
        self._begin = {"index": str(index_path), "volumes": [str(path) for path in volumes]}
        self._is_stopping = is_stopping
        self._command = list(command)
        self._check_s = check_s
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._left_behind: list[subprocess.Popen[bytes]] = []
        #: CPU seconds of children that have ended.
        self._spent_s = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def look(self, camera: str, until_us: int, seen_us: int) -> Looked:
        """Look at a camera's newest sealed footage up to ``until_us``. Never raises for what the
        footage does to the child: that is a result."""
        is_new = self._child is None
        if is_new and not self._start():
            return Looked(failure=Failure.INTERNAL, detail="no child could be started")
        deadline_s = time.monotonic() + self._check_s + (START_S if is_new else 0)
        decoding_us = 0
        try:
            self._send({"camera": camera, "until_us": until_us, "seen_us": seen_us})
            while True:
                told = self._receive(deadline_s)
                if set(told) == {"decoding"}:
                    decoding_us = int(told["decoding"])
                    continue
                looked = looked_of_json(told)
                self._spent_s += looked.cpu_seconds
                return looked
        except TimeoutError:
            self._bury()
            failure = Failure.TIMED_OUT if decoding_us else Failure.UNREADABLE
            return Looked(failure=failure, footage_us=decoding_us, detail="no answer in time")
        except (OSError, EOFError) as error:
            code = self._bury()
            detail = f"the child ended with {code}" if code is not None else repr(error)
            is_hung = code == -signal.SIGXCPU
            failure = Failure.TIMED_OUT if is_hung else Failure.CRASHED
            if not decoding_us:
                failure = Failure.INTERNAL
            return Looked(failure=failure, footage_us=decoding_us, detail=detail)
        except (ValueError, KeyError, TypeError) as error:
            self._bury()
            return Looked(failure=Failure.INTERNAL, footage_us=decoding_us, detail=repr(error))

    def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            self._bury()

    def cpu_seconds(self) -> float:
        """Of all checks so far."""
        return self._spent_s

    def _start(self) -> bool:
        self._left_behind = [one for one in self._left_behind if one.poll() is None]
        if len(self._left_behind) >= LEFT_BEHIND_MAX:
            return False
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "OPENCV_LOG_LEVEL": "SILENT",
            "OPENCV_FFMPEG_LOGLEVEL": "16",  # AV_LOG_ERROR: what is counted
        }
        try:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            self._buffer = b""
            self._send(self._begin)
        except OSError as error:
            log.error("diagnose_child_failed", extra={"error": repr(error)})
            self.close()
            return False
        return True

    def _send(self, document: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(document).encode() + b"\n")
        self._child.stdin.flush()

    def _receive(self, deadline_s: float) -> dict[str, Any]:
        """One line. Raises TimeoutError, EOFError, OSError, ValueError."""
        assert self._child is not None
        assert self._child.stdout is not None
        pipe = self._child.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if time.monotonic() > deadline_s or self._is_stopping():
                    raise TimeoutError
                if not selector.select(_POLL_S):
                    continue
                piece = os.read(pipe.fileno(), 1 << 16)
                if not piece:
                    raise EOFError("the child is gone")
                self._buffer += piece
                if len(self._buffer) > LINE_BYTES_MAX:
                    raise ValueError("the child babbles")
        line, _, self._buffer = self._buffer.partition(b"\n")
        told = json.loads(line)
        if not isinstance(told, dict):
            raise ValueError("no document")
        return told

    def _bury(self) -> int | None:
        """Its exit code; None where it does not end."""
        child, self._child = self._child, None
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        for pipe in (child.stdin, child.stdout):
            try:
                pipe.close()
            except OSError:  # what was to be said is of no interest to the dead
                continue
        try:
            code = child.wait(0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            try:
                code = child.wait(KILL_S)
            except subprocess.TimeoutExpired:
                log.error("diagnose_child_left_behind", extra={"pid": child.pid})
                self._left_behind.append(child)
                return None
        return code

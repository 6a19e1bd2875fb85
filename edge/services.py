"""``xueliang run``: the services as children of one process in the foreground. Shell.

For trials, the demo and containers; an installed box has systemd do this. A service that ends by
itself is started again, after a second and then ever later; one that never came up ends the whole,
for its last lines say what a person must mend.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.backoff import Backoff

#: Modules that run a service. ``uplink`` is started, never imported (the import law).
MODULES = {
    "edge": ("edge.cli", "run", "edge"),
    "uplink": ("uplink",),
    "console": ("edge.console",),
    "diagnose": ("edge.diagnose",),
}
#: A service that ended sooner after its first start has not come up.
COMING_UP_S = 5.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Child:
    command: list[str]
    backoff: Backoff
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    again_s: float = 0.0
    starts: int = 0


def run_services(names: Sequence[str], config_path: Path) -> int:
    """Run until SIGTERM or SIGINT, which the services get as SIGTERM; SIGHUP is passed on.

    Returns: 0, or the exit code of a service that did not come up.
    """
    commands = {
        name: [sys.executable, "-m", *MODULES[name], "-c", str(config_path)] for name in names
    }
    return supervise(commands)


def supervise(commands: dict[str, list[str]]) -> int:
    """As :func:`run_services`, with any commands."""
    children = [
        _Child(command, Backoff(chance=lambda: 0.0, floor_us=1_000_000))
        for command in commands.values()
    ]
    is_stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal is_stopping
        is_stopping = True

    def pass_on(number: int, _frame: object) -> None:
        for child in children:
            if child.process is not None:
                child.process.send_signal(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, pass_on)
    code = 0
    while not is_stopping:
        for child in children:
            ended = _look_after(child)
            if ended is not None:
                code, is_stopping = ended, True
                break
        time.sleep(_POLL_S)
    _stop_all(children)
    return code


def _look_after(child: _Child) -> int | None:
    """Starts what is not running; the exit code of a service that did not come up."""
    now_s = time.monotonic()
    if child.process is None:
        if now_s >= child.again_s:
            child.process = subprocess.Popen(
                child.command,
                start_new_session=True,  # Ctrl-C is ours to pass on
                preexec_fn=_die_with_parent,
            )
            child.started_s = now_s
            child.starts += 1
        return None
    code = child.process.poll()
    if code is None:
        return None
    child.process = None
    lived_s = now_s - child.started_s
    if child.starts == 1 and lived_s < COMING_UP_S and code >= 0:
        return code or 1
    if lived_s > 60:
        child.backoff.reset()
    child.again_s = now_s + child.backoff.next_us() / 1e6
    return None


def _stop_all(children: list[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    for process in running:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    """In the child, before its program: SIGTERM when the parent is killed (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

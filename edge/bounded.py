"""Looks at what may never answer, such as a disk that hangs. Shell.

A call to a dead disk ends by nothing, not even by its process being killed, and holds the process
it is made in. So it is made in a child that nobody waits for longer than a set time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

#: A disk that sleeps has spun up by then.
LOOK_S = 10.0
#: A child that is killed is gone by then, unless it is inside such a call.
_KILLED_S = 0.2


def ask(questions: Sequence[tuple[str, str]], seconds: float = LOOK_S) -> list[Any]:
    """What functions answer, in children side by side.

    Args:
        questions: each a function of this program (``module:name``), which takes a text and
            answers what JSON holds, and its argument.

    Returns:
        In order; None where there was no answer in time, or the child failed.
    """
    deadline = time.monotonic() + seconds
    children = [_start(*question) for question in questions]
    return [_answer(child, deadline) for child in children]


def _start(function: str, argument: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge.bounded", function, argument],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answer(child: subprocess.Popen[str], deadline: float) -> Any:
    try:
        told, _ = child.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        with suppress(subprocess.TimeoutExpired):  # it is inside the call: left behind
            child.wait(_KILLED_S)
        if child.stdout is not None:
            child.stdout.close()
        return None
    return json.loads(told) if child.returncode == 0 else None


def _main(function: str, argument: str) -> None:
    module, _, name = function.partition(":")
    json.dump(getattr(importlib.import_module(module), name)(argument), sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])

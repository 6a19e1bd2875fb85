"""ipycam's ONVIF device, a stranger's work, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stranger_device() -> Iterator[str]:
    """Its ``host:port``; credentials stand in ``tests.peers.ipycam_device``."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.peers.ipycam_device"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()

"""ipycam's ONVIF device, a stranger's work, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def stranger_device(address: str = "", wrapper: Sequence[str] = ()) -> Iterator[str]:
    """Its ``host:port``; credentials stand in ``tests.peers.ipycam_device``.

    Args:
        address: where it is, in the network namespace that ``wrapper`` enters; it answers
            WS-Discovery there.
    """
    with subprocess.Popen(
        [*wrapper, sys.executable, "-m", "tests.peers.ipycam_device", *([address] * bool(address))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"{address or '127.0.0.1'}:{int(process.stdout.readline())}"
        process.stdin.close()

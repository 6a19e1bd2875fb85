"""A loopback of one's own. Chromium gives up what it fetches whenever an interface comes or goes
anywhere in its network namespace (ERR_NETWORK_CHANGED), and tests beside it make such interfaces.

Needs root; without it programs run where the test does, and the test alone on its machine.
"""

from __future__ import annotations

import atexit
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.support.box import wait_for


@cache
def quiet_network() -> tuple[str, ...]:
    """What runs a command in this process's namespace; the same for all that must meet there."""
    if os.geteuid() != 0:
        return ()
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"],
        stdin=subprocess.PIPE,  # it ends with this process, however that ends
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(holder.kill)
    assert holder.stdout is not None
    if holder.stdout.readline() != b"up\n":
        return ()
    own = os.readlink("/proc/self/ns/net")
    inside = Path(f"/proc/{holder.pid}/ns/net")
    wait_for("a namespace", lambda: os.readlink(inside) != own)
    return ("nsenter", f"--net={inside}")

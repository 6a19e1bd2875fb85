"""A process that reaches nobody. Shell, Linux."""

from __future__ import annotations

import ctypes
import os

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def leave_network() -> bool:
    """From now on this process and its children see no network interface (unshare(2)); sockets by
    path still work. To be called while there is one thread.

    Returns: False where the system allows it to nobody; systemd's PrivateNetwork= does it there.
    """
    if _is_alone():
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # the same user as before: only what it could do to the network is gone
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(line)
    return True


def _is_alone() -> bool:
    """Whether loopback is all there is, as under PrivateNetwork=."""
    with open("/proc/self/net/dev", encoding="ascii") as stream:
        names = [line.partition(":")[0].strip() for line in stream.readlines()[2:]]
    return names == ["lo"]

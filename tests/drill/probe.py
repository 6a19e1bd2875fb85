"""Run inside a service's fence, by Debian's own Python: tries what it must not be able to do.

Prints one JSON document: name of the attempt to "done" or the error's name. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Callable


def attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "done"


def write(path: str) -> Callable[[], object]:
    def act() -> None:
        with open(path, "ab"):
            pass

    return act


def read(path: str) -> Callable[[], object]:
    def act() -> None:
        with open(path, "rb") as file:
            file.read(1)

    return act


def remove(path: str) -> Callable[[], object]:
    return lambda: os.rename(path, path + ".gone")


def connect(host: str, port: int) -> Callable[[], object]:
    def act() -> None:
        with socket.socket() as peer:
            peer.settimeout(2)
            peer.connect((host, port))

    return act


def socket_file(path: str) -> Callable[[], object]:
    def act() -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(2)
            peer.connect(path)

    return act


def make(path: str) -> Callable[[], object]:
    def act() -> None:
        with open(path, "xb"):
            pass
        os.unlink(path)

    return act


def raw() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()


def packets() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


wanted = json.loads(sys.argv[1])
KINDS: dict[str, Callable[..., Callable[[], object]]] = {
    "write": write,
    "read": read,
    "remove": remove,
    "connect": connect,
    "socket": socket_file,
    "make": make,
}
found = {}
for name, (kind, *arguments) in wanted.items():
    found[name] = attempt(KINDS[kind](*arguments))
found["raw socket"] = attempt(raw)
found["packet socket"] = attempt(packets)
libc = ctypes.CDLL(None, use_errno=True)


def clock() -> None:
    """adjtimex(2) that only reads: what edge judges the time by."""
    if libc.adjtimex(ctypes.create_string_buffer(512)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")


found["state of the clock"] = attempt(clock)
found["root"] = attempt(lambda: os.setuid(0))
found["listing processes"] = str(len([one for one in os.listdir("/proc") if one.isdigit()]))
print(json.dumps(found))

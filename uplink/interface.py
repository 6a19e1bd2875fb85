"""The reserved interface: its address, its link, and word when they change. Shell (Linux).

Reads what the kernel tells everybody (ioctl, rtnetlink notifications); changes nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_SIOCGIFFLAGS = 0x8913
_SIOCGIFADDR = 0x8915
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_IFREQ_BYTES = 40
#: rtnetlink groups: link, IPv4 address, IPv4 route, IPv6 address, IPv6 route (rtnetlink(7)).
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_NETLINK_BYTES = 65536
#: A link that comes up says so in a burst of messages.
SETTLE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How an interface (or a bound address) stands; ``host`` is empty while it has no address."""

    index: int
    host: str
    is_running: bool

    @property
    def is_usable(self) -> bool:
        return bool(self.host) and self.is_running


def reach_of_interface(name: str, *, is_ipv6: bool = False) -> Reach:
    """The state of interface ``name``; not usable where it does not exist."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return Reach(index=0, host="", is_running=False)
    request = name.encode().ljust(_IFREQ_BYTES, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            flags = struct.unpack_from("H", fcntl.ioctl(probe, _SIOCGIFFLAGS, request), 16)[0]
        except OSError:
            return Reach(index=index, host="", is_running=False)
        host = _ipv6_address(name) if is_ipv6 else _ipv4_address(probe, request)
    is_running = bool(flags & _IFF_UP) and bool(flags & _IFF_RUNNING)
    return Reach(index=index, host=host, is_running=is_running)


def _ipv4_address(probe: socket.socket, request: bytes) -> str:
    try:
        return socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])
    except OSError:
        return ""


def _ipv6_address(name: str) -> str:
    """The first address of global scope (if_inet6 of proc(5))."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        digits, _, _, scope, _, owner = line.split()
        if owner == name and scope == "00":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
    return ""


class LinkWatch:
    """Calls ``changed`` (in the loop) some time after links, addresses or routes have changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        try:
            listener = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
            listener.bind((0, _GROUPS))
        except OSError as error:  # it only hurries: without it a retry comes by its time
            log.warning("link_watch_unavailable", extra={"error": os.strerror(error.errno or 0)})
            return
        self._socket = listener
        self._loop.add_reader(listener.fileno(), self._read)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            while self._socket.recv(_NETLINK_BYTES):
                pass
        except BlockingIOError:
            pass
        except OSError:
            pass  # ENOBUFS: some notes were lost, which is a change too
        if self._timer is None:
            self._timer = self._loop.call_later(SETTLE_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._changed()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

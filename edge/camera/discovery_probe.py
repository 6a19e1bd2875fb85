"""Asks the network who is there: WS-Discovery probes by UDP multicast. Shell; blocks.

Runs in the ONVIF process, so that what strangers send is parsed in no process that records.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import time
import uuid
from collections.abc import Iterable
from contextlib import ExitStack

from edge.camera.discovery import (
    DATAGRAM_BYTES_MAX,
    GROUP,
    PORT,
    Announcement,
    announcements,
    probe,
)

#: A probe may be lost, and devices answer after a random wait of up to half a second (2.4).
PROBES = 3
PROBE_PAUSE_S = 0.5
#: Devices of one answer; a flood does not grow this process.
FOUND_MAX = 1024
DATAGRAMS_MAX = 4096
#: What the kernel may keep of a flood, so that honest answers are not pushed out of it.
RECEIVE_BYTES = 2**20
_SIOCGIFADDR = 0x8915
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1


def own_addresses(leave_out: Iterable[str] = ()) -> list[str]:
    """IPv4 addresses of interfaces that are up, loopback too.

    Args:
        leave_out: interfaces, or addresses, over which nothing may go.
    """
    closed = frozenset(leave_out)
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
        for _, name in socket.if_nameindex():
            address = interface_address(name, ask)
            if address is not None and name not in closed and address not in closed:
                found.append(address)
    return found


def interface_address(name: str, ask: socket.socket | None = None) -> str | None:
    """The IPv4 address of an interface that is up; None where there is none (netdevice(7))."""
    request = struct.pack("256s", name.encode()[:15])
    try:
        with ExitStack() as stack:
            if ask is None:
                ask = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            flags = fcntl.ioctl(ask.fileno(), _SIOCGIFFLAGS, request)
            if not struct.unpack_from("H", flags, 16)[0] & _IFF_UP:
                return None
            return socket.inet_ntoa(fcntl.ioctl(ask.fileno(), _SIOCGIFADDR, request)[20:24])
    except OSError:
        return None


def address_towards(host: str) -> str | None:
    """Ours, as packets to an IPv4 address carry it; nothing is sent. None: no way there."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def discover(
    seconds: float, addresses: Iterable[str], *, group: str = GROUP, port: int = PORT
) -> list[Announcement]:
    """Devices that answer within ``seconds``, each once, in order of address.

    Args:
        addresses: our own, over whose interfaces is asked; one that cannot be used is left out.
        group, port: who is asked; another than the standard's for tests.
    """
    found: dict[tuple[str, str], Announcement] = {}
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(one)
            for address in addresses
            if (one := _socket(address)) is not None
        ]
        ids = frozenset(str(uuid.uuid4()) for _ in range(2))
        kinds = zip(sorted(ids), ("dn:NetworkVideoTransmitter", "tds:Device"), strict=True)
        asked = [probe(message_id, kind) for message_id, kind in kinds]
        end_s = time.monotonic() + seconds
        sent, next_s, heard = 0, 0.0, 0
        while (now_s := time.monotonic()) < end_s and heard < DATAGRAMS_MAX:
            if sent < PROBES and now_s >= next_s:
                _send(sockets, asked, (group, port))
                sent, next_s = sent + 1, now_s + PROBE_PAUSE_S
            wake_s = min(end_s, next_s) if sent < PROBES else end_s
            readable, _, _ = select.select(sockets, [], [], max(0.0, wake_s - time.monotonic()))
            for one in readable:
                heard += 1
                try:
                    data, sender = one.recvfrom(DATAGRAM_BYTES_MAX)
                except OSError:
                    continue  # an ICMP error of an earlier probe
                for device in announcements(data, sender[0], ids):
                    if len(found) < FOUND_MAX:
                        found[device.endpoint, str(device.address)] = device
    return sorted(found.values(), key=lambda device: _order(device))


def _order(device: Announcement) -> tuple[bytes, int]:
    return socket.inet_aton(device.address.host), device.address.port


def _socket(address: str) -> socket.socket | None:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        one.bind((address, 0))
        one.setblocking(False)
    except OSError:
        one.close()
        return None
    return one


def _send(sockets: Iterable[socket.socket], asked: Iterable[bytes], to: tuple[str, int]) -> None:
    for one in sockets:
        for message in asked:
            try:
                one.sendto(message, to)
            except OSError:
                continue  # no way there from this interface

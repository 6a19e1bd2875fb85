"""What :mod:`edge.separation` judges, looked up on this machine. Shell: ``ip`` and ``/proc``."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.schema import Camera, Settings
from edge.separation import Listener, Network, Route

TIMEOUT_S = 5.0
_SYSCTLS = Path("/proc/sys/net")
_LISTEN = "0A"  # linux/tcp_states.h
_UNCONNECTED = "07"


def look(settings: Settings) -> Network | None:
    """None where ``ip`` is not to be had."""
    links, routes = _ip("address"), _ip("route", "show", "table", "all")
    if links is None or routes is None:
        return None
    addresses = {
        link["ifname"]: tuple(one["local"] for one in link.get("addr_info", ()) if "local" in one)
        for link in links
    }
    reserved = {
        name
        for platform in settings.platform
        for name, found in addresses.items()
        if platform.interface == name or (platform.bind and platform.bind in found)
    }
    ports = {
        (kind, port)
        for one in settings.platform
        for port in (one.port, *range(one.media_ports.first, one.media_ports.last + 1))
        for kind in ("udp", "tcp")
    }
    hosts = {_host(camera) for camera in settings.camera if camera.enabled}
    return Network(
        forwarding=tuple(_forwarding()),
        addresses=addresses,
        routes=tuple(
            Route(
                network=one.get("dst", "default"),
                gateway=one.get("gateway", ""),
                interface=one.get("dev", ""),
            )
            for one in routes
            if one.get("type", "unicast") == "unicast"
        ),
        listeners=tuple(sorted(set(_listeners()), key=str)),
        camera_interfaces=frozenset(name for host in hosts if (name := _interface_to(host))),
        reserved_interfaces=frozenset(reserved),
        reserved_ports=frozenset(ports),
    )


def _host(camera: Camera) -> str:
    if camera.onvif is not None:
        return camera.onvif.host
    return urlsplit(camera.rtsp or "").hostname or ""


def _interface_to(host: str) -> str:
    """Over which interface packets to ``host`` go; empty for none, or for a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ""
    found = _ip("route", "get", host)
    return str(found[0].get("dev", "")) if found else ""


def _ip(*arguments: str) -> list[dict[str, Any]] | None:
    try:
        done = subprocess.run(
            ["ip", "-j", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return found if isinstance(found, list) else None


def _forwarding() -> Iterator[str]:
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        try:
            is_on = (_SYSCTLS / name).read_text().strip() != "0"
        except OSError:
            continue  # a kernel without that protocol forwards nothing of it
        if is_on:
            yield f"net.{name.replace('/', '.')}"


def _listeners() -> Iterator[Listener]:
    """Of ``/proc/net`` (proc(5)): TCP sockets that listen, UDP sockets without a peer."""
    for name, state in (("tcp", _LISTEN), ("udp", _UNCONNECTED)):
        for suffix in ("", "6"):
            try:
                lines = Path(f"/proc/net/{name}{suffix}").read_text().splitlines()[1:]
            except OSError:
                continue
            for line in lines:
                fields = line.split()
                if fields[3] != state or (name == "udp" and not fields[2].endswith(":0000")):
                    continue
                address, _, port = fields[1].partition(":")
                yield Listener(protocol=name, host=_address(address), port=int(port, 16))


def _address(text: str) -> str:
    """An address as /proc/net writes it: 32-bit words in the machine's own byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    found = ipaddress.ip_address(socket.inet_ntop(family, packed))
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(found)

"""What the settings mean for the services' fences: drop-ins for systemd. Core.

The units close everything. What a site's settings name (its disks, the cameras' networks, its
platforms) is opened here, unit by unit, and derived anew from the settings at each boot, after each
change of theirs (xueliang-settings.path) and at each ``systemctl daemon-reload``
(``config.fence_generator``), so that it never says something else.
The settings are taken raw: a file that the services would refuse still gets as much as it names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

Raw = Mapping[str, Any]

STATE_DIR = "/var/lib/xueliang"
#: WS-Discovery (OASIS, 2009): where cameras are asked for.
DISCOVERY = ("239.255.255.250", "ff02::c")
#: Who may be a client of the console on a management network, and a camera while none is named
#: (RFC 1918, RFC 4193, link-local as of RFC 3927 and RFC 4291).
PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
ANY = "any"
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


def drop_ins(raw: Raw) -> dict[str, str]:
    """The text of a drop-in for each service, by its name."""
    storage = _table(raw, "storage")
    volumes = [path for path in _list(storage, "volumes") if _is_path(path)]
    given = storage.get("state_dir")
    state_dir = str(given) if _is_path(given) else STATE_DIR
    platforms = _tables(raw, "platform")
    interfaces = sorted({str(one["interface"]) for one in platforms if one.get("interface")})
    uplink = [*_allow(_uplink_hosts(platforms)), f"ReadWritePaths=-{_path(state_dir)}/uplink"]
    uplink.append(f"ReadWritePaths=-{_path(state_dir)}/audit/uplink")
    if platforms and all(one.get("interface") for one in platforms):
        uplink.append(f"RestrictNetworkInterfaces=lo {' '.join(map(_word, interfaces))}")
    export_dir = _table(raw, "console").get("export_dir")
    written = [*volumes, state_dir, *([str(export_dir)] if _is_path(export_dir) else [])]
    edge = [
        *_allow(_edge_hosts(raw)),
        *(f"ReadWritePaths=-{_path(path)}" for path in written),
    ]
    console = _allow(PRIVATE) if _is_console_open(raw) else []
    console.append(f"ReadWritePaths=-{_path(state_dir)}/console")
    console.append(f"ReadWritePaths=-{_path(state_dir)}/audit/console")
    diagnose = [f"ReadWritePaths=-{_path(state_dir)}/diagnose"]
    diagnose.append(f"ReadWritePaths=-{_path(state_dir)}/audit/diagnose")
    read_only = [f"ReadOnlyPaths=-{_path(path)}" for path in volumes]
    return {
        "edge": _text(_mounts(volumes), edge),
        "uplink": _text([], [*uplink, *read_only]),
        "console": _text([], [*console, *read_only]),
        "diagnose": _text([], [*diagnose, *read_only]),
    }


def network_of(host: str) -> str | None:
    """The network that is taken to be a camera's: its /24, or /64 of IPv6; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    prefix = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, prefix), strict=False))


def host_of(text: str) -> str:
    """The host of ``host:port``, ``[v6]:port`` or a URL; empty where there is none."""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def mount_unit(path: str) -> str:
    """The unit of what is mounted at ``path`` (systemd.unit(5), "string escaping")."""
    text = str(PurePosixPath(path)).strip("/")
    if not text:
        return "-.mount"
    escaped = []
    for position, byte in enumerate(text.encode()):
        char = chr(byte)
        if char == "/":
            escaped.append("-")
        elif char in _NAME_CHARS and not (position == 0 and char == "."):
            escaped.append(char)
        else:
            escaped.append(f"\\x{byte:02x}")
    return f"{''.join(escaped)}.mount"


def camera_networks(raw: Raw) -> list[str]:
    """Networks of the cameras that the settings name; "any" for one that is given by name."""
    cameras = _tables(raw, "camera")
    hosts = (host_of(str(one.get("onvif") or one.get("rtsp") or "")) for one in cameras)
    return [network_of(host) or ANY for host in hosts if host]


def _edge_hosts(raw: Raw) -> Iterator[str]:
    """Before the first camera is added, cameras are looked for in all private networks."""
    yield from camera_networks(raw) or PRIVATE
    yield from DISCOVERY
    for table in ("evidence", "alarms"):
        for key, value in _table(raw, table).items():
            if key.endswith("_url") and value and isinstance(value, str):
                yield host_of(value)


def _uplink_hosts(platforms: Iterable[Raw]) -> Iterator[str]:
    for platform in platforms:
        yield host_of(str(platform.get("server", "")))
        for key in ("peers", "upload_hosts"):
            yield from (str(host) for host in _list(platform, key))


def _allow(hosts: Iterable[str]) -> list[str]:
    """Names cannot be fenced in: a single one opens the service to any address."""
    found: list[str] = []
    for host in hosts:
        if not host:
            continue
        try:
            known = str(ipaddress.ip_network(host, strict=False))
        except ValueError:
            known = ANY
        if known not in found:
            found.append(known)
    if ANY in found:
        found = [ANY]
    return [f"IPAddressAllow={one}" for one in found]


def _mounts(paths: Iterable[str]) -> list[str]:
    """Started after the disks that are to come, and without those that do not."""
    units = [mount_unit(path) for path in paths]
    return [f"{word}={_escaped(unit)}" for unit in units for word in ("Wants", "After")]


def _is_console_open(raw: Raw) -> bool:
    host = host_of(str(_table(raw, "console").get("bind", "")))
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(unit: Iterable[str], service: Iterable[str]) -> str:
    unit_lines, service_lines = list(unit), list(service)
    lines = ["# Derived from /etc/xueliang/xueliang.toml by xueliang-generator."]
    if unit_lines:
        lines += ["[Unit]", *unit_lines]
    return "\n".join([*lines, "[Service]", *service_lines, ""])


def _path(path: str) -> str:
    text = str(PurePosixPath(path)).replace("%", "%%").replace("\\", "\\\\")
    return text.replace(" ", "\\x20").replace('"', "\\x22").replace("'", "\\x27")


def _word(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or char in "_.@-")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and value.isprintable()


def _table(raw: Raw, name: str) -> Raw:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _tables(raw: Raw, name: str) -> list[Raw]:
    value = raw.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _list(raw: Raw, name: str) -> list[str]:
    value = raw.get(name)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

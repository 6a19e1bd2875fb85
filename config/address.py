"""Host and port, and ranges of ports, as the settings write them.

Core: nothing is resolved.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

PORT_MAX = 65535
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host (name or IP literal, without brackets) and a TCP or UDP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` as "host:port", "192.0.2.10:80" or "[2001:db8::1]:80".

        Raises:
            ValueError: no host, no port, or one of them is malformed.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not _PORT.fullmatch(port) or not 1 <= int(port) <= PORT_MAX:
            raise ValueError(f'{_shown(text)} is no host:port, as in "192.0.2.10:80"')
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if not is_ip(host, version=6):
                raise ValueError(f"{_shown(host)} is no IPv6 address")
        elif not is_host(host) or ":" in host:
            raise ValueError(f"{_shown(host)} is no host name or IP address")
        return cls(host=host, port=int(port))

    @property
    def is_ip(self) -> bool:
        return is_ip(self.host)

    @property
    def is_loopback(self) -> bool:
        return is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """Ports from ``first`` to ``last``, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` as "30000-30199".

        Raises:
            ValueError: not two ports, the first below the last.
        """
        first, dash, last = text.partition("-")
        if not dash or not _PORT.fullmatch(first) or not _PORT.fullmatch(last):
            raise ValueError(f'{_shown(text)} is no range of ports, as in "30000-30199"')
        if not 1 <= int(first) < int(last) <= PORT_MAX:
            raise ValueError(
                f"{_shown(text)} is no range of ports: from a lower to a higher one, up to 65535"
            )
        return cls(first=int(first), last=int(last))

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def is_host(text: str) -> bool:
    """Whether ``text`` is an IP literal (no brackets) or a well-formed host name."""
    if is_ip(text):
        return True
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        return False
    return not labels[-1].isdigit()  # 300.1.1.1 is a mistyped address, not a name


def is_ip(text: str, version: int = 0) -> bool:
    """Whether ``text`` is an IP literal, of ``version`` 4 or 6 where one is given."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not version or address.version == version


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")

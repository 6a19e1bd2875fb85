"""Who may speak to us, and how often: judged before a byte is parsed. Core.

Hosts are IP addresses as text; only the shell knows names. The rate is far above what a platform
sends (its answers to four RecordInfo queries at once are the most), so that it costs a flood and
nobody else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

US_PER_S = 1_000_000
MESSAGES_PER_S = 2000
BURST_MESSAGES = 4000


class Bucket:
    """So many a second, and a burst of them at most."""

    __slots__ = ("_burst", "_filled_us", "_rate_per_s", "_tokens")

    def __init__(self, *, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_us: int | None = None

    def take(self, now_us: int) -> bool:
        """False where there is none left."""
        if self._filled_us is not None:
            passed_us = max(0, now_us - self._filled_us)
            tokens = self._tokens + passed_us * self._rate_per_s / US_PER_S
            self._tokens = min(float(self._burst), tokens)
        self._filled_us = now_us
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Guard:
    """Admission at one socket.

    Args:
        rate_per_s, burst: of each allowed host; strangers have no bucket and cost no memory.
    """

    def __init__(self, *, rate_per_s: float = MESSAGES_PER_S, burst: int = BURST_MESSAGES) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._platforms: dict[str, tuple[str, ...]] = {}
        self._buckets: dict[str, Bucket] = {}

    def allow(self, platforms: Mapping[str, frozenset[str]]) -> None:
        """Sets who may speak: the hosts of each platform, in place of those before."""
        allowed: dict[str, tuple[str, ...]] = {}
        for name, hosts in platforms.items():
            for host in {canonical(host) for host in hosts}:
                allowed[host] = (*allowed.get(host, ()), name)
        self._platforms = allowed
        self._buckets = {
            host: self._buckets.get(host) or Bucket(rate_per_s=self._rate_per_s, burst=self._burst)
            for host in allowed
        }

    def platforms(self, host: str) -> tuple[str, ...]:
        """Names of the platforms that speak from ``host``; empty for a stranger."""
        return self._platforms.get(canonical(host), ())

    def refusal(self, host: str, now_us: int) -> str:
        """Why a message of ``host`` is dropped unread ("stranger", "flood"); empty: it is not."""
        bucket = self._buckets.get(canonical(host))
        if bucket is None:
            return "stranger"
        return "" if bucket.take(now_us) else "flood"


def canonical(host: str) -> str:
    """An address as the kernel writes it; IPv4 in IPv6 as IPv4, scopes left out."""
    host = host.partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)

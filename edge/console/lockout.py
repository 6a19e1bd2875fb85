"""Guesses at passwords are slowed down, by account and by address. Core.

Two fixed tables of counters, keyed by a keyed hash of the name: their memory does not grow with
what strangers send, and nobody can crowd an entry out. Two names in one place share its delay; with
4,096 places and a key that nobody knows that is neither likely nor steerable. The same holds for
names that have no account, so that a delay does not tell which exist.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

PLACES = 4096
#: So many wrong passwords are a person's; the next ones wait.
FREE_FAILURES = 5
FIRST_DELAY_US = 15_000_000
DELAY_US_MAX = 900_000_000
#: Failures are forgotten after so long without another.
FORGET_US = 3600_000_000


@dataclass(slots=True)
class _Place:
    failures: int = 0
    last_us: int = 0
    until_us: int = 0


class Lockout:
    """Failures of one kind of name (accounts, or addresses); instants are monotonic.

    Args:
        key: secret of this process.
        free: failures without a delay. Many persons may share an address.
    """

    def __init__(self, key: bytes, free: int = FREE_FAILURES) -> None:
        self._key = key
        self._free = free
        self._places: dict[int, _Place] = {}

    def wait_us(self, name: str, now_us: int) -> int:
        """How long ``name`` must still wait; 0 if it may try."""
        place = self._places.get(self._number(name))
        return 0 if place is None else max(0, place.until_us - now_us)

    def failed(self, name: str, now_us: int) -> int:
        """Count a failure; the delay that it brings, in microseconds."""
        number = self._number(name)
        place = self._places.setdefault(number, _Place())  # at most PLACES of them
        if now_us - place.last_us > FORGET_US:
            place.failures = 0
        place.failures += 1
        place.last_us = now_us
        beyond = place.failures - self._free
        if beyond < 0:
            return 0
        delay_us = min(DELAY_US_MAX, FIRST_DELAY_US << min(beyond, 16))
        place.until_us = now_us + delay_us
        return delay_us

    def succeeded(self, name: str) -> None:
        self._places.pop(self._number(name), None)

    def _number(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode(errors="replace"), key=self._key, digest_size=8)
        return int.from_bytes(digest.digest()) % PLACES


def network_of(address: str) -> str:
    """What counts as one address: an IPv6 subscriber has all of a /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)

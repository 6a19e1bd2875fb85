"""Names of platforms to addresses, asked in a thread and again from time to time. Shell."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from config.address import is_ip
from uplink.guard import canonical

log = logging.getLogger(__name__)

US_PER_S = 1_000_000
TIMEOUT_S = 5.0
AGAIN_US = 300 * US_PER_S
#: While a name has no address.
SOON_US = 30 * US_PER_S


class Resolver:
    """The last known addresses of each name; a name that stops resolving keeps its last ones."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._due_us: int | None = None

    def of(self, host: str) -> tuple[str, ...]:
        """Addresses of ``host``: itself where it is one, empty where it is not known."""
        known = self._known.get(host)
        if known is not None:
            return known
        return (canonical(host),) if is_ip(host) else ()

    def is_due(self, now_us: int) -> bool:
        return self._due_us is not None and self._due_us <= now_us

    async def resolve(self, hosts: Iterable[str], now_us: int) -> None:
        """Asks for every name among ``hosts``; literals cost nothing."""
        names = sorted({host for host in hosts if not is_ip(host)})
        self._known = {name: self._known[name] for name in names if name in self._known}
        self._due_us = None
        for name in names:
            found = await self._ask(name)
            if found:
                self._known[name] = found
            pause_us = AGAIN_US if found else SOON_US
            self._due_us = min(self._due_us or now_us + pause_us, now_us + pause_us)

    async def _ask(self, name: str) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            log.warning("name_unknown", extra={"host": name, "error": str(error)})
            return ()
        return tuple(dict.fromkeys(canonical(str(entry[4][0])) for entry in found))

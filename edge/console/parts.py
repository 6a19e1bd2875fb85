"""What all pages of the console stand on. Shell."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeVar

from config.instants import zone_named
from config.schema import Settings
from edge import control
from edge.console.accounts import Accounts
from edge.console.grants import Grants
from edge.console.lockout import FREE_FAILURES, Lockout
from edge.console.metrics import ConsoleMetrics
from edge.console.sessions import Sessions
from edge.console.tokens import Tokens
from edge.status import open_store
from retention.audit import AuditLog
from retention.clock import Clock
from retention.read import Store

T = TypeVar("T")

#: Many persons may stand behind one address.
FREE_FAILURES_OF_ADDRESS = 20
#: Argon2 takes 64 MiB and a core: so many at once, and so many that wait.
HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 16


def _token() -> str:
    return secrets.token_urlsafe(32)


def _lockout(free: int) -> Callable[[], Lockout]:
    return lambda: Lockout(secrets.token_bytes(32), free)


@dataclass(slots=True, kw_only=True)
class Parts:
    """One console; ``settings`` is replaced whole when they are read anew."""

    settings: Settings
    config_path: Path
    clock: Clock
    audit: AuditLog
    accounts: Accounts
    tokens: Tokens
    metrics: ConsoleMetrics
    sessions: Sessions = field(default_factory=lambda: Sessions(_token))
    grants: Grants = field(default_factory=Grants)
    locked_accounts: Lockout = field(default_factory=_lockout(FREE_FAILURES))
    locked_addresses: Lockout = field(default_factory=_lockout(FREE_FAILURES_OF_ADDRESS))
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HASHES_AT_ONCE))
    hashes_waiting: int = 0

    @property
    def state_dir(self) -> Path:
        return self.settings.storage.state_dir

    @property
    def zone(self) -> tzinfo:
        return zone_named(self.settings.site.timezone)

    async def read(self, look: Callable[[Store], T]) -> T:
        """What ``look`` finds in the store, read-only, in a thread.

        Raises:
            IndexUnavailable: the index does not answer; never to be shown as "no recordings".
        """

        def run() -> T:
            with open_store(self.settings) as store:
                return look(store)

        return await asyncio.to_thread(run)

    async def ask_edge(self, command: str, *, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """Send a command to the running ``edge``.

        Raises:
            ControlUnavailable, ControlRefused: it does not answer; it refused.
        """
        return await asyncio.to_thread(
            lambda: control.ask(self.state_dir, command, timeout_s=timeout_s, **arguments)
        )

"""What all pages of the console stand on. Shell."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeVar

from config.instants import format_instant, zone_named
from config.schema import Settings
from edge import control
from edge.alarms.codes import Code
from edge.console.accounts import Accounts
from edge.console.deliveries import Deliveries, Delivery
from edge.console.export_desk import ExportDesk
from edge.console.footage import Footage
from edge.console.grants import Grants
from edge.console.lights import Seen
from edge.console.lockout import FREE_FAILURES, Lockout
from edge.console.metrics import ConsoleMetrics
from edge.console.request_desk import RequestDesk
from edge.console.sessions import Sessions
from edge.console.tokens import Tokens
from edge.neighbours import told_by
from edge.status import (
    WINDOWS,
    completeness_of,
    index_path,
    open_store,
    platforms_document,
    rounded,
)
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Head
from retention.clock import Clock
from retention.read import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Many persons may stand behind one address.
FREE_FAILURES_OF_ADDRESS = 20
#: Argon2 takes 64 MiB and a core: so many at once, and so many that wait.
HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 16


#: So many failures within so long are no person's mistake.
ATTACK_FAILURES = 20
ATTACK_US = 600_000_000
SEEN_US = 2_000_000
COVERAGE_US = 120_000_000
#: Of one audit record, each some 60 characters.
RANGES_PER_RECORD = 30
DELIVERIES_LOOK_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One camera's footage, as the index has it; ratios 0 to 1, None where nothing was due."""

    day: float | None
    week: float | None
    all: float | None
    oldest_us: int | None


def seen(settings: Settings) -> Seen:
    """Ask edge and uplink; blocks for a few milliseconds, seconds where one hangs."""
    try:
        status = control.ask(settings.storage.state_dir, "status")
    except (control.ControlUnavailable, control.ControlRefused):
        status = None
    return Seen(
        told=told_by(settings, 0),
        status=status,
        platforms=list(platforms_document(settings, zone_named(settings.site.timezone))),
        cameras={camera.id: camera.name for camera in settings.camera if camera.enabled},
        min_days=settings.retention.min_days,
    )


def covered(store: Store, settings: Settings, clock: Clock) -> dict[str, Covered]:
    """Raises :class:`IndexUnavailable`."""
    found = {}
    for camera in settings.camera:
        windows = completeness_of(store, camera.id, clock.utc_us(), settings).windows
        ratios = [rounded(windows[label].ratio, 4) for label in WINDOWS.values()]
        found[camera.id] = Covered(
            day=ratios[0], week=ratios[1], all=ratios[2], oldest_us=store.oldest(camera.id)
        )
    return found


async def _nothing() -> None:
    return


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
    #: Has this service read the settings anew.
    reload: Callable[[], Awaitable[None]] = _nothing
    sessions: Sessions = field(default_factory=lambda: Sessions(_token))
    grants: Grants = field(default_factory=Grants)
    deliveries: Deliveries = field(default_factory=Deliveries)
    locked_accounts: Lockout = field(default_factory=_lockout(FREE_FAILURES))
    locked_addresses: Lockout = field(default_factory=_lockout(FREE_FAILURES_OF_ADDRESS))
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HASHES_AT_ONCE))
    hashes_waiting: int = 0
    failed_logins: deque[int] = field(default_factory=lambda: deque(maxlen=ATTACK_FAILURES))
    _seen: tuple[int, Seen] | None = None
    _coverage: tuple[int, dict[str, Covered]] | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _covering: asyncio.Lock = field(default_factory=asyncio.Lock)
    footage: Footage = field(init=False)
    viewers: int = 0  # of live pictures
    exports: ExportDesk = field(init=False)
    requests: RequestDesk = field(init=False)

    def __post_init__(self) -> None:
        storage = self.settings.storage
        self.footage = Footage(index_path(self.settings), storage.volumes, self.clock)
        self.exports = ExportDesk(self.state_dir, lambda: self.settings, self.audit, self.clock)
        self.requests = RequestDesk(self.state_dir, self.audit, self.clock)

    @property
    def state_dir(self) -> Path:
        return self.settings.storage.state_dir

    @property
    def zone(self) -> tzinfo:
        return zone_named(self.settings.site.timezone)

    def login_failed(self) -> None:
        """A wrong password, or a try while one must wait."""
        self.failed_logins.append(self.clock.monotonic_us())

    def faults(self) -> list[dict[str, str]]:
        """For edge's register of alarms (edge.alarms)."""
        oldest_us = self.failed_logins[0] if len(self.failed_logins) == ATTACK_FAILURES else None
        if oldest_us is None or self.clock.monotonic_us() - oldest_us > ATTACK_US:
            return []
        return [
            {
                "code": Code.LOGIN_ATTACK.value,
                "subject": "",
                "reason_zh": f"10 分钟内失败 {ATTACK_FAILURES} 次以上",
                "reason_en": f"{ATTACK_FAILURES} failures or more within 10 minutes",
            }
        ]

    async def tell_deliveries(self) -> None:
        """Put on record what went out under grants, until cancelled."""
        while True:
            await asyncio.sleep(DELIVERIES_LOOK_S)
            await self.record_deliveries()

    async def record_deliveries(self) -> None:
        """Of grants that ended, and what waits for long; what cannot be recorded waits on."""
        for one, futures in self.submit_deliveries():
            try:
                for future in futures:
                    await asyncio.wrap_future(future)
            except AuditUnavailable as error:
                self.deliveries.put_back(one)
                self.metrics.swallowed_errors.labels("audit").inc()
                log.error("delivery_not_recorded", extra={"error": error.sentence()})

    def submit_deliveries(
        self, *, is_end: bool = False
    ) -> list[tuple[Delivery, list[Future[Head]]]]:
        """``is_end``: all of them; the log writes what waits when it is closed."""
        now_us = self.clock.monotonic_us()
        due = self.deliveries.take(
            lambda grant: not is_end and self.grants.is_in_force(grant, now_us), now_us
        )
        return [(one, list(self._delivery_records(one))) for one in due]

    def _delivery_records(self, one: Delivery) -> Iterator[Future[Head]]:
        ranges = one.ranges
        for begin in range(0, len(ranges), RANGES_PER_RECORD):
            yield self.audit.record(
                Action.FOOTAGE_ACCESS,
                subject=f"cameras:{one.camera}",
                actor=f"person:{one.grant.user}",
                purpose=one.grant.purpose.value,
                grant=one.grant.id,
                what=one.what.value,
                ranges=", ".join(
                    "/".join(format_instant(us, self.zone) for us in span)
                    for span in ranges[begin : begin + RANGES_PER_RECORD]
                ),
                bytes=one.size_bytes if begin == 0 else 0,
            )

    async def read(self, look: Callable[[Store], T]) -> T:
        """What ``look`` finds in the store, read-only, in a thread.

        Raises:
            IndexUnavailable: the index does not answer; never to be shown as "no recordings".
        """

        def run() -> T:
            with open_store(self.settings) as store:
                return look(store)

        return await asyncio.to_thread(run)

    async def look(self) -> Seen:
        """What edge and uplink tell, at most ``SEEN_US`` old, however many pages ask."""
        async with self._looking:
            now_us = self.clock.monotonic_us()
            if self._seen is None or now_us - self._seen[0] > SEEN_US:
                self._seen = (now_us, await asyncio.to_thread(seen, self.settings))
            return self._seen[1]

    async def coverage(self) -> dict[str, Covered]:
        """Of every camera, at most ``COVERAGE_US`` old: 90 days of 16 cameras take a second.

        Raises:
            IndexUnavailable: the index does not answer.
        """
        async with self._covering:
            now_us = self.clock.monotonic_us()
            if self._coverage is None or now_us - self._coverage[0] > COVERAGE_US:
                found = await self.read(lambda store: covered(store, self.settings, self.clock))
                self._coverage = (now_us, found)
            return self._coverage[1]

    async def ask_edge(self, command: str, *, timeout_s: float = 5.0, **arguments: Any) -> Any:
        """Send a command to the running ``edge``.

        Raises:
            ControlUnavailable, ControlRefused: it does not answer; it refused.
        """
        return await asyncio.to_thread(
            lambda: control.ask(self.state_dir, command, timeout_s=timeout_s, **arguments)
        )

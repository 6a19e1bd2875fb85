"""Sends alarms to every platform, and keeps what was not taken. Shell.

Each platform's :class:`~uplink.alarms.AlarmBook` is one file in uplink's own folder, replaced whole
at each change. A subscribed platform gets NOTIFYs, another one MESSAGEs; an alarm leaves the book
when the platform answered it (or will never take it), so an outage of any length only delays it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retention.clock import Clock
from retention.model import US_PER_S
from retention.whole_file import replace_file
from uplink.alarms import (
    ORDER_REFUSED,
    RECORDER_STOPPED,
    TERMS,
    Alarm,
    AlarmBook,
    AlarmFilter,
    RecorderWatch,
    Standing,
    body,
    standing,
)
from uplink.commands import ResetAlarm
from uplink.device import Device, SiteState
from uplink.message_metrics import MessageMetrics
from uplink.ports import UserAgent

log = logging.getLogger(__name__)

TOPIC = "Alarm"
#: Between two tries of an alarm that a platform did not answer.
RETRY_S = 30.0
#: A refused order is told to the site's own register for so long.
REFUSAL_STANDS_US = 3600 * US_PER_S
#: Answers that say "not now", or that the platform lost us: the alarm stays.
_LATER = frozenset({401, 403, 404, 407, 408, 480, 481, 500, 503, 504})


@dataclass(slots=True)
class _Desk:
    """One platform's part."""

    device: Device
    path: Path
    book: AlarmBook = field(default_factory=AlarmBook)
    filter: AlarmFilter | None = None  # while subscribed
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_unsaved: bool = False  # the last try failed


class AlarmDesk:
    """Feed :meth:`observe` every second; run :meth:`run` beside it."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        folder: Path,
        clock: Clock,
        metrics: MessageMetrics,
        retry_s: float = RETRY_S,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._retry_s = retry_s
        self._watch = RecorderWatch()
        self._numbers = itertools.count(1)
        #: Of platforms: the last order that was refused, and when; replaced whole.
        self._refused: Mapping[str, tuple[str, int]] = {}
        self._desks = {
            name: _Desk(device=device, path=folder / f"alarms-{_file_name(name)}.json")
            for name, device in devices.items()
        }

    def load(self) -> None:
        """Read what an earlier life left. Blocks."""
        for name, desk in self._desks.items():
            try:
                desk.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                data = desk.path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:  # alarms go out all the same; they do not outlast us
                self._metrics.failures.labels("alarm_book_read").inc()
                log.error("alarm_book_not_read", extra={"platform": name, "error": str(error)})
                continue
            if not desk.book.loads(data):
                log.warning("alarm_book_damaged", extra={"platform": name})
                self._metrics.failures.labels("alarm_book_read").inc()

    def apply(self, devices: Mapping[str, Device]) -> None:
        """What the same platforms see from now on."""
        for name, desk in self._desks.items():
            desk.device = devices[name]

    def observe(self, state: SiteState) -> None:
        """Take what is wrong now."""
        now_us, now_monotonic_us = self._clock.utc_us(), self._clock.monotonic_us()
        lasting = standing(state)
        since_us = self._watch.observe(state.is_running, now_monotonic_us)
        if since_us is not None:
            one = Standing(camera="", condition=RECORDER_STOPPED, terms=TERMS[RECORDER_STOPPED])
            lasting.append((one, now_us - (now_monotonic_us - since_us)))
        for name, desk in self._desks.items():
            before, dropped = len(desk.book.waiting), desk.book.dropped
            desk.book.observe(desk.device, lasting, now_us, is_known=state.is_running)
            if desk.book.dropped > dropped:
                self._metrics.alarms.labels(name, "dropped").inc(desk.book.dropped - dropped)
            if len(desk.book.waiting) != before or desk.book.is_changed:
                desk.wake.set()
            self._metrics.alarms_waiting.labels(name).set(len(desk.book.waiting))

    def order_refused(self, platform: str, code: str, name: str) -> None:
        """A platform ordered what it may not: its own operators hear of it, ten minutes apart."""
        desk = self._desks[platform]
        if desk.book.happened(code, ORDER_REFUSED, name, self._clock.utc_us()):
            desk.wake.set()
        self._refused = {**self._refused, platform: (name, self._clock.monotonic_us())}

    def faults(self) -> list[dict[str, str]]:
        """What ``edge``'s register of alarms is told: platforms that lately ordered what they may
        not. From any thread."""
        now_us = self._clock.monotonic_us()
        return [
            {
                "code": "platform_orders_refused",
                "subject": platform,
                "reason_zh": f"最近一次: {name}",
                "reason_en": f"the last one: {name}",
            }
            for platform, (name, at_us) in self._refused.items()
            if now_us - at_us < REFUSAL_STANDS_US
        ]

    def reset(self, platform: str, order: ResetAlarm) -> int:
        """AlarmCmd ResetAlarm; how many conditions may be told again."""
        desk = self._desks[platform]
        count = desk.book.reset(order.code, desk.device.device_id, order.method, order.type)
        desk.wake.set()
        return count

    def is_alarming(self, platform: str, code: str) -> bool:
        return self._desks[platform].book.is_alarming(code)

    def registered(self, platform: str) -> None:
        """MESSAGEs may go out again."""
        self._desks[platform].wake.set()

    def subscribed(self, platform: str, wanted: AlarmFilter) -> None:
        self._desks[platform].filter = wanted

    def unsubscribed(self, platform: str) -> None:
        self._desks[platform].filter = None
        self._desks[platform].wake.set()

    async def run(self, agent: UserAgent) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, desk in self._desks.items():
                tasks.create_task(self._serve(name, desk, agent))

    async def _serve(self, name: str, desk: _Desk, agent: UserAgent) -> None:
        while True:
            desk.wake.clear()
            await self._save(name, desk)
            is_done = await self._send_all(name, desk, agent)
            await self._save(name, desk)
            try:
                is_idle = is_done and not desk.is_unsaved
                async with asyncio.timeout(None if is_idle else self._retry_s):
                    await desk.wake.wait()
            except TimeoutError:
                continue

    async def _send_all(self, name: str, desk: _Desk, agent: UserAgent) -> bool:
        """Whether nothing is left to try again."""
        for alarm in list(desk.book.waiting):
            if not agent.is_registered(name):
                return True  # registered() wakes us
            wanted = desk.filter
            if wanted is not None and agent.is_subscribed(name, TOPIC):
                is_taken = not wanted.takes(alarm) or await self._notify(name, desk, alarm, agent)
            else:
                is_taken = await self._message(name, desk, alarm, agent)
            if not is_taken:
                return False
            desk.book.taken(alarm.number)
            await self._save(name, desk)
        return True

    async def _message(self, name: str, desk: _Desk, alarm: Alarm, agent: UserAgent) -> bool:
        status = await agent.send(name, self._body(desk, alarm))
        if status is None or status in _LATER:
            self._metrics.alarms.labels(name, "unanswered" if status is None else "later").inc()
            return False
        result = "taken" if status < 300 else "refused"
        self._metrics.alarms.labels(name, result).inc()
        if result == "refused":
            log.warning("alarm_refused", extra={"platform": name, "status": status})
        return True

    async def _notify(self, name: str, desk: _Desk, alarm: Alarm, agent: UserAgent) -> bool:
        """In the subscription; taken if it still stands when the NOTIFY has been answered."""
        answered = asyncio.Event()

        async def bodies() -> AsyncIterator[bytes]:
            try:
                yield self._body(desk, alarm)
            finally:
                answered.set()

        if not agent.notify(name, TOPIC, bodies()):
            return False
        try:
            async with asyncio.timeout(self._retry_s * 2):
                await answered.wait()
        except TimeoutError:
            return False
        is_taken = agent.is_subscribed(name, TOPIC)
        self._metrics.alarms.labels(name, "taken" if is_taken else "unanswered").inc()
        return is_taken

    def _body(self, desk: _Desk, alarm: Alarm) -> bytes:
        return body(alarm, desk.device, str(next(self._numbers)))

    async def _save(self, name: str, desk: _Desk) -> None:
        if not desk.book.is_changed and not desk.is_unsaved:
            return
        desk.book.is_changed = desk.is_unsaved = False
        try:
            await asyncio.to_thread(replace_file, desk.path, desk.book.dumps())
        except OSError as error:
            desk.is_unsaved = True
            self._metrics.failures.labels("alarm_book_write").inc()
            log.error("alarm_book_not_written", extra={"platform": name, "error": str(error)})


def _file_name(platform: str) -> str:
    """Names of platforms are free text."""
    return hashlib.sha256(platform.encode()).hexdigest()[:16]

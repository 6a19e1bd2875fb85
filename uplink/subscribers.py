"""Who subscribed to the Catalog, to alarms and to places, and what is due to them. Shell."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from retention.clock import Clock
from retention.model import US_PER_S
from uplink import changes, deviceinfo
from uplink.alarm_desk import TOPIC as ALARM
from uplink.alarm_desk import AlarmDesk
from uplink.alarms import alarm_filter
from uplink.asked import Asked
from uplink.changes import CatalogWatch
from uplink.device import Device, Edition, SiteState
from uplink.ports import Bodies, UserAgent

CATALOG, POSITION = "Catalog", "MobilePosition"
TOPICS = (CATALOG, ALARM, POSITION)
#: MobilePosition: bounds of the interval in which a place that never changes is repeated.
INTERVAL_S_MIN, INTERVAL_S_MAX = 5, 3600


@dataclass(slots=True)
class _Positions:
    """One platform's subscription to places."""

    code: str
    edition: Edition
    interval_s: int
    due_us: int


@dataclass(slots=True)
class _Watched:
    """One platform's subscription to the Catalog."""

    watch: CatalogWatch
    edition: Edition


class Subscribers:
    """One for all platforms; ``device`` gives what a platform sees, by its name."""

    def __init__(
        self,
        *,
        clock: Clock,
        state: Callable[[], SiteState],
        device: Callable[[str], Device],
        desk: AlarmDesk,
    ) -> None:
        self._clock = clock
        self._state = state
        self._device = device
        self._desk = desk
        self._numbers = itertools.count(1)
        self._watched: dict[str, _Watched] = {}
        self._positions: dict[str, _Positions] = {}

    def begin(self, asked: Asked) -> Bodies | None:
        """The first notifications; None where this cannot be subscribed."""
        begin = {CATALOG: self._catalog, ALARM: self._alarm, POSITION: self._position}
        wanted = begin.get(asked.message.command)
        return None if wanted is None else wanted(asked)

    def end(self, platform: str, topic: str) -> None:
        """Without effect where there is no such subscription."""
        if topic == CATALOG:
            self._watched.pop(platform, None)
        elif topic == POSITION:
            self._positions.pop(platform, None)
        elif topic == ALARM:
            self._desk.unsubscribed(platform)

    def tick(self, agent: UserAgent) -> None:
        """To be called every second: changes that have settled, places that are due."""
        state, now_us = self._state(), self._clock.monotonic_us()
        for platform, watched in list(self._watched.items()):
            device = self._device(platform)
            found = watched.watch.observe(device, state, now_us)
            if found:
                bytes_max = agent.sending(platform).body_bytes_max
                bodies = changes.bodies(
                    found, device, state, watched.edition, self._sn(), bytes_max
                )
                agent.notify(platform, CATALOG, bodies)
        for platform, wanted in list(self._positions.items()):
            if now_us >= wanted.due_us:
                wanted.due_us = now_us + wanted.interval_s * US_PER_S
                places = self._places(self._device(platform), wanted.code, wanted.edition)
                if places is not None:
                    agent.notify(platform, POSITION, places)

    def _catalog(self, asked: Asked) -> Bodies | None:
        watch, state = CatalogWatch(), self._state()
        begun = watch.begin(asked.device, state, self._clock.monotonic_us())
        self._watched[asked.platform] = _Watched(watch, asked.edition)
        return changes.bodies(
            begun, asked.device, state, asked.edition, self._sn(), asked.bytes_max
        )

    def _alarm(self, asked: Asked) -> Bodies | None:
        self._desk.subscribed(asked.platform, alarm_filter(asked.message))
        return ()

    def _position(self, asked: Asked) -> Bodies | None:
        wanted_s = asked.message.number("Interval") or INTERVAL_S_MIN
        interval_s = min(max(wanted_s, INTERVAL_S_MIN), INTERVAL_S_MAX)
        bodies = self._places(asked.device, asked.code, asked.edition)
        if bodies is not None:
            self._positions[asked.platform] = _Positions(
                code=asked.code,
                edition=asked.edition,
                interval_s=interval_s,
                due_us=self._clock.monotonic_us() + interval_s * US_PER_S,
            )
        return bodies

    def _places(self, device: Device, code: str, edition: Edition) -> Bodies | None:
        """None where no place is known."""
        where = deviceinfo.positions(device, code)
        if not where:
            return None
        return deviceinfo.mobile_position(device, edition, self._sn(), where, self._clock.utc_us())

    def _sn(self) -> str:
        return str(next(self._numbers))

"""How long the disks will hold, at the rates that were measured. Core.

Footage goes in the order of its age, whatever the camera (``retention.policy``), so all cameras
come to one age: that at which the bytes recorded in it fill the disks. Until then, and after a rate
has changed, the store is what it was filled with: :func:`outlook` lets the coming weeks pass hour
by hour. Rates are those of a camera's hours of the day, for nights are quiet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retention.model import US_PER_S
from retention.policy import DAY_US, EASY_BEGINS_S, Band

HOUR_US = 3_600 * US_PER_S
HOURS = 24
#: Rates are measured over so many days, a week's weekend among them.
PATTERN_DAYS = 7
#: The newest hours are not sealed yet.
UNSEALED_HOURS = 2
#: An hour with less footage than this tells no rate.
COVERED_US_MIN = 600 * US_PER_S
#: A rate has changed when the last hours differ from the same hours of yesterday by more than this
#: share: by much, for single hours scatter. What is not seen yet of it is scaled.
CHANGED_HOURS, CHANGED_SHARE = 6, 0.3
#: Or when the last day differs from the same hours of the days before: then it counts alone.
CHANGED_DAY_SHARE = 0.1
#: A rate counts as measured from so much footage on.
MEASURED_US_MIN = HOUR_US
#: What a camera is taken to send where nothing was measured yet, bytes per hour: for plans, which
#: call it an estimate, and for the room to keep free; never for a forecast.
ASSUMED_BYTES_PER_HOUR = 4_000_000 / 8 * 3_600
#: Alarms come so long before footage under its floor would have to go.
NOTICE_DAYS = 14

#: Bytes per hour, by hour of the day (UTC).
Rates = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHour:
    """What a camera has stored of one hour, counted from 1970; by where segments begin."""

    hour: int
    size_bytes: int
    covered_us: int


def rates_of(hours: Sequence[StoredHour], now_us: int) -> Rates | None:
    """A camera's rates; None where too little was measured to tell.

    Args:
        hours: of the last days, in any order; older ones are left out.
    """
    last = now_us // HOUR_US - UNSEALED_HOURS
    counted = [
        one
        for one in hours
        if last - PATTERN_DAYS * HOURS < one.hour <= last and one.covered_us >= COVERED_US_MIN
    ]
    if sum(one.covered_us for one in counted) < MEASURED_US_MIN:
        return None
    known = {one.hour: one.size_bytes / one.covered_us * HOUR_US for one in counted}
    day = {hour: rate for hour, rate in known.items() if hour > last - HOURS}
    earlier = {hour: rate for hour, rate in known.items() if hour <= last - HOURS}
    yesterday = {hour: rate for hour, rate in earlier.items() if hour > last - 2 * HOURS}
    newest = {hour: rate for hour, rate in day.items() if hour > last - CHANGED_HOURS}
    ratio = _ratio(newest, yesterday, CHANGED_HOURS)
    if ratio is not None and abs(ratio - 1) > CHANGED_SHARE:
        new, old = _by_hour_of_day(newest), _pattern(yesterday)
        return tuple(_mean(new[h]) if h in new else old[h] * ratio for h in range(HOURS))
    ratio = _ratio(day, earlier, HOURS)
    if ratio is not None and abs(ratio - 1) > CHANGED_DAY_SHARE:
        return _pattern(day)
    return _pattern(known)


def _ratio(since: Mapping[int, float], before: Mapping[int, float], hours: int) -> float | None:
    """Over the same hours of the day; None where fewer than half of them are known."""
    rates = _by_hour_of_day(before)
    pairs = [
        (rate, _mean(rates[hour % HOURS])) for hour, rate in since.items() if hour % HOURS in rates
    ]
    old = sum(rate for _, rate in pairs)
    if 2 * len(pairs) <= hours or not old:
        return None
    return sum(rate for rate, _ in pairs) / old


def _pattern(known: Mapping[int, float]) -> Rates:
    """Mean by hour of the day; hours that are not known count as the mean of the others."""
    found = {hour: _mean(rates) for hour, rates in _by_hour_of_day(known).items()}
    mean = _mean(list(found.values()))
    return tuple(found.get(hour, mean) for hour in range(HOURS))


def _by_hour_of_day(known: Mapping[int, float]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for hour, rate in known.items():
        found.setdefault(hour % HOURS, []).append(rate)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Cameras of one band together."""

    band: Band
    stored: Mapping[int, int]  # bytes by hour, counted from 1970
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is to come if all goes on as it does."""

    #: The age that footage comes to; None where nothing is recorded.
    steady_us: int | None
    #: Of each group: how old its oldest footage will be at the end of the look ahead; None: none.
    ages_us: tuple[int | None, ...]
    #: When footage under its floor must go, from now on; None: not within the look ahead.
    danger_us: int | None


def usable_bytes(stored_bytes: int, left_bytes: int, rates: Sequence[Rates]) -> int:
    """What footage will ever take of the disks: never what else stands on them, and never what
    policy keeps free for the next hour.

    Args:
        stored_bytes: of footage on the volumes that are written to.
        left_bytes: free on them, beyond their reserves.
    """
    ahead = max((sum(hour) for hour in zip(*rates, strict=True)), default=0.0)
    return max(0, stored_bytes + left_bytes - int(ahead * EASY_BEGINS_S / 3_600))


def outlook(
    groups: Sequence[Group], usable: int, now_us: int, *, days: int = NOTICE_DAYS
) -> Outlook:
    """Let so many days pass, as policy will have them.

    Args:
        usable: bytes, see :func:`usable_bytes`.
    """
    stores = [_Store(group) for group in groups]
    now = now_us // HOUR_US
    danger_us = None
    for step in range(days * HOURS + 1):
        hour = now + step
        for store in stores:
            if step:
                store.record(hour - 1)
            store.expire(hour)
        excess = sum(store.bytes for store in stores) - usable
        while excess > 0:
            going, is_breach = _next_to_go(stores, hour)
            if going is None:
                break
            if is_breach and danger_us is None:
                danger_us = step * HOUR_US
            excess -= going.cut(excess)
    end = now + days * HOURS
    daily = sum(sum(group.rates) for group in groups)
    return Outlook(
        steady_us=int(usable / daily * DAY_US) if daily else None,
        ages_us=tuple(
            (end - store.hours[0][0]) * HOUR_US if store.hours else None for store in stores
        ),
        danger_us=danger_us,
    )


class _Store:
    """One group's footage, the oldest hour first."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.hours = deque((hour, float(size)) for hour, size in sorted(group.stored.items()))
        self.bytes = sum(size for _, size in self.hours)

    def record(self, hour: int) -> None:
        size = self.group.rates[hour % HOURS]
        if size:
            self.hours.append((hour, size))
            self.bytes += size

    def expire(self, now: int) -> None:
        while self.hours and self.age_us(now) > self.group.band.max_us:
            self.bytes -= self.hours.popleft()[1]

    def age_us(self, now: int) -> int:
        """Of the end of the oldest hour."""
        return (now - self.hours[0][0] - 1) * HOUR_US

    def cut(self, excess: float) -> float:
        """Take at most so much of the oldest hour away; how much it was."""
        hour, size = self.hours[0]
        gone = min(size, excess)
        if gone < size:
            self.hours[0] = (hour, size - gone)
        else:
            self.hours.popleft()
        self.bytes -= gone
        return gone


def _next_to_go(stores: Sequence[_Store], now: int) -> tuple[_Store | None, bool]:
    """Whose oldest hour goes next, and whether that is a breach of its floor."""
    kept = [store for store in stores if store.hours]
    free = [store for store in kept if store.age_us(now) >= store.group.band.min_us]
    chosen = max(free or kept, key=lambda store: store.age_us(now), default=None)
    return chosen, not free


def needed_bytes(cameras: int, bits_per_s: float, days: float) -> int:
    """The disk that footage takes, head-room included and reserves not."""
    per_day = cameras * bits_per_s / 8 * 86_400
    return int(per_day * (days + EASY_BEGINS_S / 86_400))


def held_days(usable: int, cameras: int, bits_per_s: float) -> float:
    """Inverse of :func:`needed_bytes`: days that so much disk gives."""
    per_day = cameras * bits_per_s / 8 * 86_400
    return max(0.0, usable / per_day - EASY_BEGINS_S / 86_400)

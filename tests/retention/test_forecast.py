"""How long the disks will hold: rates of hours of the day, and simulations two weeks ahead."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from retention.forecast import (
    HOUR_US,
    HOURS,
    NOTICE_DAYS,
    Group,
    Outlook,
    StoredHour,
    held_days,
    needed_bytes,
    outlook,
    rates_of,
    usable_bytes,
)
from retention.policy import DAY_US, Band

GB = 10**9
NOW_H = 500_000
NOW = NOW_H * HOUR_US
BAND = Band(min_us=90 * DAY_US, max_us=97 * DAY_US)


def hour(n: int, size: float, covered_us: int = HOUR_US) -> StoredHour:
    return StoredHour(hour=n, size_bytes=int(size), covered_us=covered_us)


def day_and_night(n: int, day: float = 3e9, night: float = 1e9) -> float:
    return day if 0 <= n % 24 < 12 else night


def test_rates_are_those_of_the_hours_of_the_day() -> None:
    rates = rates_of([hour(n, day_and_night(n)) for n in range(NOW_H - 200, NOW_H)], NOW)
    assert rates == tuple(day_and_night(h) for h in range(24))


def test_an_hour_with_little_footage_counts_by_what_it_has() -> None:
    """A camera that was away for half an hour does not send half as much."""
    stored = [hour(n, 1e9) for n in range(NOW_H - 100, NOW_H)]
    stored[50] = hour(NOW_H - 50, 0.5e9, HOUR_US // 2)
    stored[51] = hour(NOW_H - 49, 7e9, HOUR_US // 100)
    assert rates_of(stored, NOW) == pytest.approx([1e9] * 24)


def test_without_footage_there_is_no_rate() -> None:
    assert rates_of([], NOW) is None
    assert rates_of([hour(NOW_H - 1, 1e9), hour(NOW_H - 10_000, 1e9)], NOW) is None


def test_less_than_an_hour_of_footage_tells_no_rate() -> None:
    minutes = [hour(NOW_H - n, 1e9, HOUR_US // 4) for n in range(3, 6)]
    assert rates_of(minutes, NOW) is None
    assert rates_of([*minutes, hour(NOW_H - 9, 1e9, HOUR_US // 4)], NOW) is not None


def test_a_new_camera_has_the_rate_of_its_first_hours() -> None:
    rates = rates_of([hour(n, 2e9) for n in range(NOW_H - 5, NOW_H)], NOW)
    assert rates == tuple([2e9] * 24)


def test_a_change_counts_after_a_few_hours() -> None:
    stored = [hour(n, day_and_night(n)) for n in range(NOW_H - 200, NOW_H - 7)]
    stored += [hour(n, 2 * day_and_night(n)) for n in range(NOW_H - 7, NOW_H)]
    assert rates_of(stored, NOW) == pytest.approx([2 * day_and_night(h) for h in range(24)])


def test_after_a_day_what_was_before_a_change_does_not_count() -> None:
    """Nights that changed otherwise than days, too."""
    stored = [hour(n, day_and_night(n)) for n in range(NOW_H - 200, NOW_H - 27)]
    stored += [hour(n, day_and_night(n, 4e9, 0.5e9)) for n in range(NOW_H - 27, NOW_H)]
    rates = rates_of(stored, NOW)
    assert rates == pytest.approx([day_and_night(h, 4e9, 0.5e9) for h in range(24)])


def test_an_hour_that_stands_out_is_no_change() -> None:
    stored = [hour(n, day_and_night(n)) for n in range(NOW_H - 200, NOW_H)]
    stored[-3] = hour(NOW_H - 3, 1.5 * stored[-3].size_bytes)
    rates = rates_of(stored, NOW)
    assert rates is not None
    assert sum(rates) == pytest.approx(sum(day_and_night(h) for h in range(24)), rel=0.01)


def group(days: float, per_day: float, rate_per_day: float | None = None) -> Group:
    """Filled evenly for so many days."""
    hours = int(days * 24)
    return Group(
        band=BAND,
        stored={n: int(per_day / 24) for n in range(NOW_H - hours, NOW_H)},
        rates=tuple([(per_day if rate_per_day is None else rate_per_day) / 24] * 24),
    )


def test_disks_that_hold_enough_are_in_no_danger() -> None:
    found = outlook([group(97, 24 * GB)], 100 * 24 * GB, NOW)
    assert found.danger_us is None
    assert found.steady_us == 100 * DAY_US
    assert found.ages_us[0] == pytest.approx(97 * DAY_US, rel=0.001)


def test_danger_is_told_when_a_rate_rises() -> None:
    """Full with 97 days, then a quarter more is recorded: a quarter of a day is lost each day."""
    found = outlook([group(97, 24 * GB, 30 * GB)], 97 * 24 * GB, NOW, days=60)
    assert found.danger_us is not None
    assert found.danger_us / DAY_US == pytest.approx(7 / 0.25, rel=0.03)
    assert outlook([group(97, 24 * GB, 30 * GB)], 97 * 24 * GB, NOW).danger_us is None
    assert found.steady_us == pytest.approx(97 / 1.25 * DAY_US)


def test_a_young_site_is_in_danger_when_its_disks_run_full() -> None:
    found = outlook([group(20, 24 * GB)], 30 * 24 * GB, NOW)
    assert found.danger_us == pytest.approx(10 * DAY_US, abs=2 * HOUR_US)
    assert outlook([group(10, 24 * GB)], 30 * 24 * GB, NOW).danger_us is None


def test_a_camera_with_a_longer_floor_goes_last() -> None:
    long = Group(
        band=Band(min_us=180 * DAY_US, max_us=200 * DAY_US),
        stored=group(150, 24 * GB).stored,
        rates=group(150, 24 * GB).rates,
    )
    both = [group(97, 24 * GB), long]
    usable = (97 + 150) * 24 * GB
    found = outlook(both, usable, NOW)
    assert found.danger_us is not None  # 14 days more, and only 7 over a floor
    assert found.danger_us / DAY_US == pytest.approx(7, abs=0.5)
    assert found.ages_us[1] is not None
    assert found.ages_us[1] / DAY_US > 155


def test_nothing_recorded_nothing_foreseen() -> None:
    empty = Group(band=BAND, stored={}, rates=tuple([0.0] * 24))
    assert outlook([empty], GB, NOW) == Outlook(steady_us=None, ages_us=(None,), danger_us=None)
    assert outlook([], GB, NOW) == Outlook(steady_us=None, ages_us=(), danger_us=None)


def test_the_next_hour_is_kept_free() -> None:
    assert usable_bytes(100 * GB, 20 * GB, [tuple([float(GB)] * 24)] * 4) == 116 * GB


def test_planning_and_its_inverse() -> None:
    need = needed_bytes(16, 4e6, 90)
    assert need == pytest.approx(16 * 0.5e6 * 86_400 * 90, rel=0.001)
    assert held_days(need, 16, 4e6) == pytest.approx(90)


# Two weeks ahead ----------------------------------------------------------------------------------


@dataclass
class Site:
    """Cameras that record by the hour into disks that are emptied in the order of age."""

    usable: float
    random: random.Random
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)  # day, night
    hour: int = NOW_H
    stored: deque[tuple[int, str, float]] = field(default_factory=deque)
    bytes: float = 0

    def pass_hours(self, hours: int) -> None:
        for _ in range(hours):
            for camera, (day, night) in self.rates.items():
                size = day_and_night(self.hour, day, night) * self.random.uniform(0.8, 1.2)
                self.stored.append((self.hour, camera, size))
                self.bytes += size
            self.hour += 1
            while self.stored and (
                self.bytes > self.usable or self.hour - self.stored[0][0] > 97 * 24 + 1
            ):
                self.bytes -= self.stored.popleft()[2]

    @property
    def age_h(self) -> int:
        return self.hour - self.stored[0][0]

    def foresee(self) -> Outlook:
        now_us = self.hour * HOUR_US
        by_hour: dict[int, int] = {}
        recent: dict[str, list[StoredHour]] = {}
        for at, camera, size in self.stored:
            by_hour[at] = by_hour.get(at, 0) + int(size)
            if at > self.hour - 200:
                recent.setdefault(camera, []).append(hour(at, size))
        found = [rates_of(recent[camera], now_us) for camera in self.rates]
        rates = [sum(one[h] for one in found if one is not None) for h in range(HOURS)]
        return outlook(
            [Group(band=BAND, stored=by_hour, rates=tuple(rates))], int(self.usable), now_us
        )


@pytest.mark.parametrize("seed", range(60))
def test_two_weeks_ahead_the_error_is_at_most_five_per_cent(seed: int) -> None:
    """Day and night, a store that still grows or is full, a camera added, a rate that changes: from
    a day and a half after it on, when its night was seen as well as its day."""
    chance = random.Random(seed)
    site = Site(usable=0, random=chance)
    for n in range(4):
        site.rates[f"c{n}"] = (chance.uniform(2e9, 4e9), chance.uniform(0.2e9, 1e9))
    daily = sum(12 * (day + night) for day, night in site.rates.values())
    site.usable = daily * chance.uniform(70, 110)
    site.pass_hours(24 * chance.randint(30, 150) + chance.randint(0, 23))
    for change in range(4):
        foreseen = site.foresee().ages_us[0]
        assert foreseen is not None
        site.pass_hours(NOTICE_DAYS * 24)
        assert foreseen / HOUR_US == pytest.approx(site.age_h, rel=0.05), change
        if change % 2:
            site.rates[f"new{change}"] = (chance.uniform(2e9, 6e9), chance.uniform(0.2e9, 2e9))
        else:
            site.rates["c0"] = (chance.uniform(1e9, 9e9), chance.uniform(0.2e9, 2e9))
        site.pass_hours(chance.randint(34, 60))


def test_the_alarm_comes_two_weeks_before_the_floor_is_broken() -> None:
    """Whatever rises: the first look after it says when, to a day."""
    chance = random.Random(7)
    site = Site(usable=0, random=chance, rates={"gate": (3e9, 1e9), "yard": (2e9, 1e9)})
    site.usable = 12 * 7e9 * 96
    site.pass_hours(24 * 120)
    assert site.foresee().danger_us is None
    site.rates["gate"] = (4.5e9, 1.5e9)
    warned_h = None
    for _ in range(60 * 24):
        site.pass_hours(1)
        if warned_h is None and site.hour % 6 == 0 and site.foresee().danger_us is not None:
            warned_h = site.hour
        if site.age_h < 90 * 24:
            break
    assert warned_h is not None
    assert site.hour - warned_h >= (NOTICE_DAYS - 1) * 24

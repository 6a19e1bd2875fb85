"""Ninety days lived in minutes: real files written by the real writer, the real index, journal,
sweep and forecast on a clock that is moved on. ``XUELIANG_FAULTS=full`` makes it more than a year.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.schema import Settings
from edge.metrics import EdgeMetrics, Snapshot
from edge.sweeping import Sweeping
from retention.audit import AuditLog
from retention.checkpoints import Checkpoints
from retention.forecast import Outlook
from retention.index import rows
from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    EndReason,
    Fragment,
    GapCause,
    SegmentHeader,
    Track,
)
from retention.policy import DAY_US
from retention.read import Store
from retention.reindex import reindex
from retention.standing import Binding, State
from retention.sweep import Disk
from retention.writer_ports import Deleted, Sealed
from tests.retention.storing import FakeClock, Recorder, Site, run_of
from tests.retention.sweeping import assert_chain
from tests.retention.writing import FORMAT, T0, wait_until

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
DAYS = 400 if IS_FULL else 126
HOUR_US = 3_600 * US_PER_S
#: One segment of a camera, a picture each 20 minutes (they may not lie further apart in a file).
SEGMENT_HOURS = 6
PICTURES = 3 * SEGMENT_HOURS
CAMERAS = ("gate", "yard")
RUN = "0" * 32

pytestmark = pytest.mark.timeout(3600 if IS_FULL else 170)


def settings_of(folder: Path) -> Settings:
    document = {
        "site": {"name": "site"},
        "storage": {
            "volumes": [str(folder / "volume0")],
            "state_dir": str(folder / "state"),
            "reserve_bytes": "0B",
        },
        "camera": [{"id": name, "name": name, "rtsp": "rtsp://192.0.2.1/"} for name in CAMERAS],
    }
    return Settings.model_validate(document)


class Small(Sweeping):
    """Tells of a small disk; the bytes on it are those of the files."""

    def __init__(self, capacity_bytes: int, **other: object) -> None:
        self.capacity_bytes = capacity_bytes
        super().__init__(**other)  # type: ignore[arg-type]

    def _disks(self) -> list[Disk]:
        [slot] = self._opened.volumes.slots
        assert slot.uuid is not None
        taken = sum(path.stat().st_size for path in slot.path.rglob("*.mp4"))
        return [
            Disk(
                volume=slot.uuid,
                capacity_bytes=self.capacity_bytes,
                free_bytes=self.capacity_bytes - taken,
                reserve_bytes=0,
                looked_us=self._clock.monotonic_us(),
                is_retiring=False,
                writer=slot.writer,
            )
        ]


@dataclass
class Life:
    """A box whose time is moved on by a day at a go."""

    site: Site
    recorder: Recorder
    sweeping: Small
    checkpoints: Checkpoints
    clock: FakeClock
    hour: int = 0
    scale: float = 1.0
    number: int = 1
    seen: int = 0
    sealed: int = 0
    oldest: dict[int, float] = field(default_factory=dict)  # age in days, by day

    def pass_day(self) -> None:
        for _ in range(24 // SEGMENT_HOURS):
            for camera in CAMERAS:
                self._record(camera)
            self.number += 1
            self.hour += SEGMENT_HOURS
        self.clock.now_us = T0 + self.hour * HOUR_US
        self._settle(lambda: self.sealed == len(CAMERAS) * (self.number - 1))
        self.checkpoints.make(self.clock.now_us)
        self.sweeping.survey()
        self.sweeping.turn(self.clock.now_us)
        self._settle(lambda: self.sweeping._sweep.under_way == 0)
        self.oldest[self.hour // 24] = self._age_days()

    def _record(self, camera: str) -> None:
        writer = self.recorder.writer()
        start_us = T0 + self.hour * HOUR_US
        writer.open(
            SegmentHeader(
                camera=camera,
                run=RUN if camera == "gate" else "1" * 32,
                number=self.number,
                start_us=start_us,
                clock=ClockState.TRUSTED,
                format=FORMAT,
            )
        )
        by_day = 3 if 8 <= self.hour % 24 < 20 else 1
        size_bytes = int(6_000 * by_day * self.scale) + self.hour % 97
        data = (size_bytes - 4).to_bytes(4, "big") + bytes([0x65]) + bytes(size_bytes - 5)
        units = tuple(
            AccessUnit(
                track=Track.VIDEO, pts_us=start_us + n * HOUR_US // 3, is_key=n == 0, data=data
            )
            for n in range(PICTURES)
        )
        end_us = start_us + SEGMENT_HOURS * HOUR_US
        writer.append(
            camera,
            self.number,
            Fragment(units=units, start_us=start_us, end_us=end_us, is_key=True),
        )
        writer.seal(camera, self.number, EndReason.ROTATED)

    def _settle(self, fact: Callable[[], bool]) -> None:
        def is_so() -> bool:
            events = self.recorder.events
            while self.seen < len(events):
                event = events[self.seen]
                self.seen += 1
                self.sealed += isinstance(event, Sealed)
                if isinstance(event, Deleted):
                    assert event.left == ()
                    self.sweeping.on_deleted(event)
            return fact()

        wait_until(is_so, 60)

    def _age_days(self) -> float:
        oldest = self.recorder.opened.index.submit(
            lambda connection: [rows.oldest_us(connection, camera) for camera in CAMERAS]
        ).result()
        return (self.clock.now_us - min(one for one in oldest if one is not None)) / DAY_US

    def foresee(self) -> Outlook:
        self.sweeping.survey()
        ahead = self.sweeping.figures.ahead
        assert ahead is not None
        return ahead


def test_the_band_is_kept_and_the_forecast_is_right(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    settings = settings_of(tmp_path)
    with site.running(CAMERAS) as recorder:
        opened = recorder.opened
        for n, camera in enumerate(CAMERAS):
            opened.ledger.run_started(run_of(camera, run=str(n) * 32)).result()
        checkpoints = Checkpoints(opened.index, opened.ledger)
        with AuditLog(site.index_path.parent, "edge", site.clock) as audit:
            sweeping = Small(
                1 << 40,
                opened=opened,
                checkpoints=checkpoints,
                metrics=EdgeMetrics(_no_snapshot),
                audit=audit,
                clock=site.clock,
                settings=lambda: settings,
                due_us=lambda: site.clock.now_us,
                publish=lambda figures: None,
                again=lambda job: None,
            )
            life = Life(site, recorder, sweeping, checkpoints, site.clock)
            _live(life)
        assert opened.index.submit(lambda connection: assert_chain(connection, "gate")).result()
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    with Store(site.index_path, site.volumes) as store:
        for camera in CAMERAS:
            line = store.timeline(camera, T0, life.clock.now_us, life.clock.now_us)
            assert {gap.cause for gap in line.gaps} == {GapCause.EXPIRED}
            assert len(line.spans) == 1


def _live(life: Life) -> None:
    sweeping = life.sweeping
    for _ in range(60):
        life.pass_day()
    assert sweeping.figures.standings["gate"].state is State.IMMATURE
    taken = sum(path.stat().st_size for path in life.site.volumes[0].rglob("*.mp4"))
    for _ in range(45):
        life.pass_day()
    # By age: nothing over the band, everything below it.
    assert 97 <= life.oldest[105] <= 97 + 2 * SEGMENT_HOURS / 24
    standing = sweeping.figures.standings["gate"]
    assert (standing.state, standing.binds) == (State.HELD, Binding.AGE)
    # A disk that gives some 95 days: over the floor, the oldest goes for room.
    sweeping.capacity_bytes = int(taken / 60 * 98)
    foreseen: dict[int, float] = {}
    warned = grown = 0
    for day in range(106, DAYS):
        ahead = life.foresee()
        if day % 5 == 0 and day + 14 < DAYS:
            [age_us] = ahead.ages_us
            assert age_us is not None
            foreseen[day + 14] = age_us / DAY_US
        if day == 250:
            life.scale = 1.25  # more is recorded: the floor breaks in weeks, unless the disk grows
        if ahead.danger_us is not None and not warned:
            warned = day
            assert ahead.danger_us > 12 * DAY_US
        if warned and day == warned + 10:
            sweeping.capacity_bytes, grown = int(taken / 60 * 1.25 * 98), day
        if day in (250, grown):  # what was foreseen before counts no more
            foreseen = {at: age for at, age in foreseen.items() if at <= day}
        life.pass_day()
        assert life.oldest[day] >= 90 - SEGMENT_HOURS / 24, f"day {day}: {life.oldest[day]}"
    assert bool(warned) is bool(grown) is (DAYS > 300)
    for day, age in foreseen.items():
        assert age == pytest.approx(life.oldest[day], rel=0.05), f"foreseen for day {day}"
    assert sweeping.figures.standings["gate"].binds is Binding.DISK


def _no_snapshot() -> Snapshot:
    raise AssertionError

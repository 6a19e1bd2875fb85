"""Retention in the running ``edge``: when the sweep turns, whom it tells, and what is to come.

Shell; the jobs are for the event loop, what blocks runs in threads, figures are values that are
replaced whole.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from config.schema import Camera, Settings
from edge.metrics import EdgeMetrics
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.checkpoints import Checkpoints
from retention.clock import Clock
from retention.forecast import (
    ASSUMED_BYTES_PER_HOUR,
    HOUR_US,
    HOURS,
    NOTICE_DAYS,
    PATTERN_DAYS,
    Group,
    Outlook,
    Rates,
    StoredHour,
    outlook,
    rates_of,
    usable_bytes,
)
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.policy import DAY_US, Band, Plan, Reason, Rules
from retention.standing import Standing, State, standing
from retention.start import Opened
from retention.sweep import Buried, Disk, Sweep
from retention.volume_errors import VolumeState
from retention.writer_ports import Deleted

log = logging.getLogger(__name__)

T = TypeVar("T")

TURN_S = 60
SURVEY_S = 300
#: A volume that runs full waits so long for the sweep; the recorders' buffers bridge it.
PAUSE_S = 1.0
#: The oldest footage may be so much younger than the floor: where it ends, a segment ends.
TOLERANCE_US = 2 * HOUR_US

_STORED = "SELECT camera, hour, sum(size_bytes) FROM stored GROUP BY camera, hour"
_RECENT = (
    "SELECT camera, hour, sum(size_bytes), sum(covered_us) FROM stored WHERE hour >= ?"
    " GROUP BY camera, hour"
)
_ON_VOLUMES = "SELECT volume, sum(size_bytes) FROM stored GROUP BY volume"
_LAST_REASON = "SELECT reason FROM tombstone WHERE camera = ? ORDER BY seq DESC LIMIT 1"
_BREACH = (
    "SELECT max(end_us) FROM tombstone WHERE camera = ? AND reason = 'overwritten' AND end_us <= ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionFigures:
    """What was found out last."""

    standings: Mapping[str, Standing] = field(default_factory=dict)
    ahead: Outlook | None = None  # None: too little was measured to tell
    plan: Plan = field(default_factory=Plan)
    is_time_trusted: bool = False
    under_way: int = 0

    def risk(self) -> str:
        """One sentence while the floor is in danger or broken, for people and platforms."""
        broken = [name for name, one in self.standings.items() if one.state is State.BREACHED]
        if broken:
            return f"录像保存不足 footage below the floor was overwritten: {', '.join(broken)}"
        if self.ahead is not None and self.ahead.danger_us is not None:
            days = self.ahead.danger_us / DAY_US
            return f"{days:.0f} 天后空间不足 disks fall below the floor in {days:.0f} days"
        if self.plan.is_short:
            return "空间不足 the disks are full, and nothing may be deleted"
        return ""


def band_of(settings: Settings, camera: Camera | None = None) -> Band:
    """A camera's band, or that of the site."""
    least, most = settings.retention.min_days, settings.retention.max_days
    if camera is not None:
        least = least if camera.min_days is None else camera.min_days
        most = most if camera.max_days is None else camera.max_days
    return Band(min_us=least * DAY_US, max_us=most * DAY_US)


def rules_of(settings: Settings) -> Rules:
    return Rules(
        band=band_of(settings),
        bands={camera.id: band_of(settings, camera) for camera in settings.camera},
        overwrites=settings.retention.on_full == "overwrite",
    )


class _SharedReader:
    """An index that the sweep's thread and the survey's read in turn."""

    def __init__(self, path: Path) -> None:
        self._index = Index(path)
        self._lock = threading.Lock()

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            return self._index.read(query)

    def close(self) -> None:
        with self._lock:
            self._index.close()


class Sweeping:
    """The sweep with its surroundings.

    Args:
        settings: those in force now.
        due_us: the instant that age is judged on, None while time is not trusted; asked on the
            event loop.
        publish: given what was found out.
        again: asks the scheduler to run a job once.
    """

    def __init__(
        self,
        *,
        opened: Opened,
        checkpoints: Checkpoints,
        metrics: EdgeMetrics,
        audit: AuditLog,
        clock: Clock,
        settings: Callable[[], Settings],
        due_us: Callable[[], int | None],
        publish: Callable[[RetentionFigures], None],
        again: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self.figures = RetentionFigures()
        self._opened = opened
        self._metrics = metrics
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._due_us = due_us
        self._publish = publish
        self._again = again
        self._is_asked = False
        self._sweep = Sweep(opened.index, opened.ledger, self._disks, checkpoints, self, clock)
        self._reader = _SharedReader(opened.index.path)
        self._bytes_per_s: float | None = None  # None: not surveyed yet

    # Jobs ------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Delete what policy says; what is more than a turn takes goes on in a moment."""
        try:
            found = await asyncio.to_thread(self.turn, self._due_us())
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("sweep").inc()
            log.warning("sweep_failed", extra={"error": error.sentence()})
            return
        self._publish(self.figures)
        if found.is_cut or (found.is_pressed and found.deletions):
            self.ask()

    def close(self) -> None:
        """Let go of the index; what is read later opens it again. Blocks."""
        self._sweep.close()
        self._reader.close()

    def ask(self) -> None:
        """A disk has run full, or there is more to do."""
        if not self._is_asked:
            self._is_asked = True
            self._again(self._sweep_in_a_moment)

    async def _sweep_in_a_moment(self) -> None:
        await asyncio.sleep(PAUSE_S)
        self._is_asked = False
        await self.sweep()

    async def look_ahead(self) -> None:
        """Rates, forecast and standing of every camera."""
        try:
            await asyncio.to_thread(self.survey)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("retention").inc()
            log.warning("retention_not_surveyed", extra={"error": error.sentence()})
        self._publish(self.figures)

    # In threads ------------------------------------------------------------------------------

    def turn(self, trusted_us: int | None) -> Plan:
        """Delete what policy says; blocks. Raises ``IndexUnavailable``."""
        if self._bytes_per_s is None:
            self.survey()  # how much room it takes depends on the rate
        assert self._bytes_per_s is not None
        leftovers = self._opened.leftovers
        while leftovers:
            self._sweep.remove_leftovers(*leftovers.popleft())
        found = self._sweep.turn(
            now_us=self._clock.utc_us(),
            trusted_us=trusted_us,
            rules=rules_of(self._settings()),
            bytes_per_s=self._bytes_per_s,
        )
        self._note(
            plan=found,
            is_time_trusted=trusted_us is not None,
            standings=self._reader.read(self._standings),
        )
        return found

    def on_deleted(self, event: Deleted) -> None:
        """From the event loop; never blocks."""
        self._sweep.on_deleted(event)

    def _note(self, **changed: Any) -> None:
        old = self.figures
        names = ("standings", "ahead", "plan", "is_time_trusted")
        known = {name: getattr(old, name) for name in names}
        self.figures = RetentionFigures(**{**known, **changed, "under_way": self._sweep.under_way})

    def _disks(self) -> list[Disk]:
        volumes, reserve_bytes = self._opened.volumes, self._settings().storage.reserve_bytes
        disks = []
        for slot in volumes.slots:
            if slot.uuid is None:
                continue
            usage = slot.usage
            is_there = (
                slot.writer is not None
                and not slot.writer.is_over
                and volumes.state_of(slot) in (VolumeState.OK, VolumeState.FULL)
            )
            disks.append(
                Disk(
                    volume=slot.uuid,
                    capacity_bytes=usage.capacity_bytes if usage else 0,
                    free_bytes=usage.free_bytes if usage else 0,
                    reserve_bytes=reserve_bytes,
                    looked_us=slot.usage_us,
                    is_retiring=slot.is_retiring,
                    writer=slot.writer if is_there and usage is not None else None,
                )
            )
        return disks

    # retention.sweep.SweepObserver -----------------------------------------------------------

    def buried(self, batch: Buried) -> None:
        """Each tombstone is on record; a breach is one of its own kind."""
        is_breach = batch.reason is Reason.OVERWRITTEN
        if is_breach:
            self._metrics.retention_violations.labels(batch.camera, batch.reason.value).inc()
            log.critical(
                "retention_breach",
                extra={
                    "camera": batch.camera,
                    "from_us": batch.start_us,
                    "to_us": batch.end_us,
                    "journal": batch.seq,
                },
            )
        self._audit.record(
            Action.BREACH if is_breach else Action.DELETION,
            subject=batch.camera,
            reason=batch.reason.value,
            segments=batch.segments,
            bytes=batch.size_bytes,
            from_us=batch.start_us,
            to_us=batch.end_us,
            journal=batch.seq,
        )

    def deleted(self, camera: str, reason: Reason, size_bytes: int) -> None:
        self._metrics.retention_deleted.labels(camera, reason.value).inc(size_bytes)

    # What is to come -------------------------------------------------------------------------

    def survey(self) -> None:
        """Rates, forecast and standing of every camera; blocks. Raises ``IndexUnavailable``."""
        settings, now_us = self._settings(), self._clock.utc_us()

        ahead, self._bytes_per_s = self._reader.read(
            lambda connection: self._look_ahead(connection, settings, now_us)
        )
        self._note(ahead=ahead, standings=self._reader.read(self._standings))

    def _standings(self, connection: sqlite3.Connection) -> dict[str, Standing]:
        settings, now_us = self._settings(), self._clock.utc_us()
        return {
            camera.id: _standing(connection, camera.id, band_of(settings, camera), now_us)
            for camera in settings.camera
        }

    def _look_ahead(
        self, connection: sqlite3.Connection, settings: Settings, now_us: int
    ) -> tuple[Outlook | None, float]:
        """The weeks to come, unless they are not known yet, and bytes per second at the peak."""
        found = rates_by_camera(connection, settings, now_us)
        rates = found.by_camera
        bands = rules_of(settings)
        stored: dict[Band, dict[int, int]] = {}
        for camera, hour, size_bytes in connection.execute(_STORED):
            hours = stored.setdefault(bands.band_of(camera), {})
            hours[hour] = hours.get(hour, 0) + size_bytes
        groups = []
        for band in {*stored, *(bands.band_of(camera) for camera in rates)}:
            mine = [rate for camera, rate in rates.items() if bands.band_of(camera) == band]
            total = tuple(sum(rate[hour] for rate in mine) for hour in range(HOURS))
            groups.append(Group(band=band, stored=stored.get(band, {}), rates=total))
        peak = max((sum(rate[hour] for rate in rates.values()) for hour in range(HOURS)), default=0)
        if not found.are_measured:
            return None, peak / 3_600
        on_volumes = dict(connection.execute(_ON_VOLUMES).fetchall())
        counted = [disk for disk in self._disks() if not disk.is_retiring and disk.writer]
        usable = usable_bytes(
            sum(on_volumes.get(disk.volume, 0) for disk in counted),
            sum(disk.free_bytes - disk.reserve_bytes - disk.heal_bytes for disk in counted),
            list(rates.values()),
        )
        return outlook(groups, usable, now_us), peak / 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRates:
    by_camera: Mapping[str, Rates]
    #: Of half the cameras at least; else what is told of them is an estimate.
    are_measured: bool


def rates_by_camera(connection: sqlite3.Connection, settings: Settings, now_us: int) -> SiteRates:
    """Of each camera in use; one that is not measured counts as the mean of the others, or as
    assumed where none is."""
    first = now_us // HOUR_US - (PATTERN_DAYS + 1) * HOURS
    hours: dict[str, list[StoredHour]] = {}
    for camera, hour, size_bytes, covered_us in connection.execute(_RECENT, (first,)):
        one = StoredHour(hour=hour, size_bytes=size_bytes, covered_us=covered_us)
        hours.setdefault(camera, []).append(one)
    found = {
        camera.id: rates_of(hours.get(camera.id, []), now_us)
        for camera in settings.camera
        if camera.enabled
    }
    known = [rates for rates in found.values() if rates is not None]
    flat = tuple([ASSUMED_BYTES_PER_HOUR] * HOURS)
    mean = tuple(sum(one) / len(known) for one in zip(*known, strict=True)) if known else flat
    return SiteRates(
        by_camera={camera: mean if rates is None else rates for camera, rates in found.items()},
        are_measured=2 * len(known) >= len(found),
    )


def _standing(connection: sqlite3.Connection, camera: str, band: Band, now_us: int) -> Standing:
    row = rows.camera(connection, camera)
    reason = connection.execute(_LAST_REASON, (camera,)).fetchone()
    return standing(
        camera,
        band,
        now_us=now_us,
        due_from_us=None if row is None else row.commissioned_us,
        oldest_us=rows.oldest_us(connection, camera),
        last_reason=None if reason is None else Reason(reason[0]),
        breach_end_us=connection.execute(_BREACH, (camera, now_us)).fetchone()[0],
        tolerance_us=TOLERANCE_US,
    )


def standing_document(one: Standing, now_us: int) -> dict[str, Any]:
    """A camera's part of ``xueliang status``."""
    return {
        "min_days": one.band.min_us // DAY_US,
        "max_days": one.band.max_us // DAY_US,
        "state": one.state.value,
        "binds": one.binds.value,
        "oldest_days": None if one.oldest_us is None else _days(now_us - one.oldest_us),
        "breach_days": None if one.breach_us is None else _days(now_us - one.breach_us),
    }


def figures_document(figures: RetentionFigures) -> dict[str, Any]:
    """The site's part of ``xueliang status``."""
    ahead = figures.ahead
    steady_us = None if ahead is None else ahead.steady_us
    danger_us = None if ahead is None else ahead.danger_us
    return {
        "forecast_known": ahead is not None,
        "forecast_days": None if steady_us is None else _days(steady_us),
        "danger_days": None if danger_us is None else _days(danger_us),
        "notice_days": NOTICE_DAYS,
        "risk": figures.risk(),
        "pressed": figures.plan.is_pressed,
        "short": figures.plan.is_short,
        "deletions_under_way": figures.under_way,
        "time_trusted": figures.is_time_trusted,
    }


def _days(duration_us: int) -> float:
    return round(duration_us / DAY_US, 2)

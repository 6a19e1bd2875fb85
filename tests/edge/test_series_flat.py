"""A month of scrapes, with cameras, volumes, platforms and alarms coming and going: no more series.

The instruments are raised with every value that their labels can take, of whatever is there that
day; the clock is the test's. What goes away is forgotten as edge and uplink do it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from config.schema import Settings
from edge.alarms.board import AlarmBoard
from edge.alarms.codes import TERMS, About, Code
from edge.alarms.register import Fault
from edge.metrics import CONNECT_RESULTS, STREAM, EdgeMetrics, Snapshot
from retention.audit import AuditLog
from retention.model import US_PER_S, EndReason, GapCause, Track
from retention.policy import Reason
from tests.edge.test_endpoint import SNAPSHOT
from uplink.commands import Verdict
from uplink.media_metrics import MediaMetrics
from uplink.message_metrics import MessageMetrics
from uplink.metrics import UplinkMetrics

DAYS = 30
CAMERAS = 6
#: Scrapes a day: what is forgotten each hour is forgotten six hours late here.
SCRAPES = 4
STEP_US = 86_400 * US_PER_S // SCRAPES
#: After so many days everything has happened once.
SETTLED = 3


class Clock:
    now_us = 1_800_000_000 * US_PER_S

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us


class World:
    """A site whose things are replaced by others: their numbers stay, their names do not."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self._chance = random.Random(7)
        self._folder = folder
        self.begin(0)
        self.edge = EdgeMetrics(self.snapshot)
        self.uplink = UplinkMetrics()
        self.messages = MessageMetrics(self.uplink.registry)
        self.media = MediaMetrics(self.uplink.registry)
        self.audit = AuditLog(folder, "edge", self.clock)
        self.board = AlarmBoard(
            folder,
            settings=lambda: self.settings,
            audit=self.audit,
            registry=self.edge.registry,
            clock=self.clock,
        )

    def begin(self, day: int) -> None:
        """One camera leaves each day, and another comes; volumes and platforms more seldom."""
        self.cameras = [f"c{day + place}" for place in range(CAMERAS)]
        self.volumes = [f"/srv/v{day // 7 + place}" for place in range(2)]
        self.platforms = [f"p{day // 5}", "police"]
        self.settings = Settings.model_validate(
            {
                "site": {"name": "阳光"},
                "storage": {"volumes": self.volumes, "state_dir": str(self._folder)},
                "camera": [
                    {"id": name, "name": name, "rtsp": f"rtsp://192.0.2.1/{name}"}
                    for name in self.cameras
                ],
            }
        )

    def snapshot(self) -> Snapshot:
        camera, volume = SNAPSHOT.cameras[0], SNAPSHOT.volumes[0]
        return replace(
            SNAPSHOT,
            cameras=tuple(
                replace(camera, camera=name, firmware=f"1.{self._chance.randrange(9)}")
                for name in self.cameras
            ),
            volumes=tuple(replace(volume, volume=name) for name in self.volumes),
            retention=dict.fromkeys(self.cameras, (1.0, 2.0)),
            hold_bytes=dict.fromkeys(self.cameras, 5),
        )

    # A while of it -----------------------------------------------------------------------------

    def go_on(self) -> None:
        self.clock.now_us += STEP_US
        for camera in self.cameras:
            self._camera(camera)
        for volume in self.volumes:
            self._volume(volume)
        for platform in self.platforms:
            self._platform(platform)
        for result in ("ok", "failed", "lost"):
            self.edge.witness_posts.labels(result).inc()
        self.edge.swallowed_errors.labels("sweep").inc()
        if self._chance.random() < 0.3:
            self.board.tell("edge", list(self._faults()))
        self.board.happened(Fault(code=Code.FOOTAGE_DAMAGED, subject=self.cameras[0]))
        self.board.look()

    def _camera(self, name: str) -> None:
        metrics = self.edge
        metrics.show_camera(name)
        for result in CONNECT_RESULTS:
            metrics.connects.labels(name, STREAM, result).inc()
        for track in Track:
            metrics.received_bytes.labels(name, STREAM, track.value).inc()
        for cause in GapCause:
            metrics.gaps.labels(name, STREAM, cause.value).inc()
            metrics.gap_seconds.labels(name, STREAM, cause.value).inc()
            metrics.dropped_frames.labels(name, STREAM, cause.value).inc()
        for reason in Reason:
            metrics.retention_deleted.labels(name, reason.value).inc()
        for volume in self.volumes:
            for end in EndReason:
                metrics.recorded_segments.labels(name, STREAM, volume, end.value).inc()

    def _volume(self, name: str) -> None:
        self.edge.show_volume(name)
        self.edge.write_seconds.labels(name).observe(0.1)
        self.edge.fsync_seconds.labels(name).observe(0.1)
        for errno_name in ("EIO", "ENOSPC", "EROFS"):
            self.edge.io_errors.labels(name, "write", errno_name).inc()

    def _platform(self, name: str) -> None:
        self.uplink.show(name)
        self.uplink.time_offset.labels(name).set(0.1)
        for verdict in Verdict:
            self.messages.commands.labels(name, verdict.value).inc()
        for kind in ("live", "playback", "download"):
            self.media.sessions.labels(name, kind).set(1)
            self.media.first_packet.labels(name, kind).observe(0.1)
            for status in ("200", "486", "488"):
                self.media.invites.labels(name, kind, status).inc()

    def _faults(self) -> Iterable[Fault]:
        """Some of all that there can be, of things that are there and of things that never were."""
        subjects = {
            About.CAMERA: [*self.cameras, "never-heard-of"],
            About.VOLUME: self.volumes,
            About.PLATFORM: self.platforms,
            About.SERVICE: ["uplink"],
            About.SITE: [""],
        }
        for code, terms in TERMS.items():
            for subject in subjects[terms.about]:
                if self._chance.random() < 0.3:
                    yield Fault(code=code, subject=subject)

    def forget(self) -> None:
        """As edge does each hour, and uplink with new settings."""
        self.edge.keep(self.cameras, self.volumes)
        self.uplink.keep(self.platforms)

    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        """Every one of a scrape of both."""
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for registry in (self.edge.registry, self.uplink.registry)
            for family in registry.collect()
            for sample in family.samples
        }


def test_a_month_adds_no_series(tmp_path: Path) -> None:
    world = World(tmp_path)
    counts: list[int] = []
    steady: list[int] = []
    try:
        for day in range(DAYS):
            world.begin(day)
            for _ in range(SCRAPES):
                world.go_on()
                world.forget()
                found = world.series()
                counts.append(len(found))
                steady.append(sum(not name.startswith(_COMING) for name, _ in found))
    finally:
        world.audit.close()
    settled = steady[SETTLED * SCRAPES :]
    assert len(set(settled)) == 1, "no series came or went for good"
    kinds = len(Code) * (CAMERAS + 8) * 2  # alarms that can stand, under both of their names
    assert max(counts) - settled[0] <= kinds
    week = 7 * SCRAPES
    assert max(counts[-week:]) <= max(counts[SETTLED * SCRAPES : SETTLED * SCRAPES + week]) * 1.05
    names = {value for _, labels in found for key, value in labels if key == "camera"}
    assert names == set(world.cameras)
    assert {value for _, labels in found for key, value in labels if key == "platform"} == set(
        world.platforms
    )
    assert "never-heard-of" not in str(found)


#: Series that stand while something does, and go with it.
_COMING = ("nvr_alarm_subject_active", "nvr_camera_tamper_active")


def test_the_figures_above_would_show_a_leak() -> None:
    """Without forgetting, the same month grows by a camera a day."""
    metrics: Any = EdgeMetrics(lambda: SNAPSHOT)
    before = _series(metrics.registry)
    for number in range(3):
        metrics.show_camera(f"c{number}")
    grown = _series(metrics.registry)
    metrics.keep(["c2"], ["/srv/a"])
    assert before < _series(metrics.registry) < grown


def _series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())

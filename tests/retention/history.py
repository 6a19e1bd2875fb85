"""Months in the life of a small site, from a seed, through the real writers: what a rebuild must
come back from. Cameras come and go, runs end, clocks are set back, footage is held, chained and
deleted, and the power fails."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retention.holds import EVERY_CAMERA, Hold, added, release
from retention.index import rows
from retention.journal import Kind
from retention.model import GapCause
from retention.policy import Band, Reason, Rules
from tests.retention.indexing import LIVING
from tests.retention.storing import Recorder, S, Site, fragment, run_of
from tests.retention.sweeping import Sweeper
from tests.retention.writing import T0
from tests.support.box import wait_for

CAMERAS = ("gate", "hall", "kitchen", "yard")
VOLUMES = 3
#: A camera records at most this share of all segments in one life of the service.
LIFE_SHARE = 25
#: From one life to the next, at most.
PAUSE_S = 5_000
ENDS = ("clean", "killed", "power", "clean", "clean", "killed", "clean", "killed", "clean")


@dataclass(slots=True)
class _Camera:
    """Where a camera is in its life."""

    second: int = 0
    number: int = 0
    runs: int = 0
    run: str = ""


@dataclass(slots=True)
class History:
    """Lives below ``folder`` until ``segments`` of them are kept; :meth:`live` once."""

    folder: Path
    segments: int
    seed: int
    kept: int = 0
    deleted: int = 0
    lives: int = 0
    reasons: set[Reason] = field(default_factory=set)
    _cameras: dict[str, _Camera] = field(default_factory=dict)

    @property
    def life_segments(self) -> int:
        return self.segments // LIFE_SHARE

    def live(self) -> Site:
        order = random.Random(self.seed)
        self._cameras = {name: _Camera() for name in CAMERAS}
        site = Site.make(self.folder / "life-0", VOLUMES)
        boots = 0
        kind = ""
        while self.kept < self.segments or kind == "power":
            self.lives += 1
            away = order.choice(CAMERAS) if self.lives % 4 == 2 else ""
            names = [name for name in CAMERAS if name != away]
            kind = ENDS[self.lives % len(ENDS)]
            boot = f"boot-{boots}"
            with site.running(names, boot, is_clean=kind == "clean") as recorder:
                for name, number in recorder.opened.next_numbers.items():
                    self._cameras[name].number = number - 1
                self._live(recorder, names, order, is_idle=kind == "power")
                if kind == "power":  # with a segment of each camera in hand
                    self._begin(recorder, names)
                    site = _after_power_cut(site, recorder, self.folder / f"life-{self.lives}")
                    boots += 1
            site.at(max(one.second for one in self._cameras.values()) + order.uniform(5, PAUSE_S))
        return site

    def _live(
        self, recorder: Recorder, names: list[str], order: random.Random, *, is_idle: bool
    ) -> None:
        opened = recorder.opened
        now_s = int((opened.clock.utc_us() - T0) // S)
        for name in names:
            self._end_run(name, max(now_s, self._cameras[name].second))
        expected: dict[str, int] = {}
        for name in names * order.randrange(self.life_segments // 2, self.life_segments):
            expected[name] = self._record(recorder, name, order)
        self._wait_sealed(recorder, expected)
        self._hold(recorder, names, order)
        self._sweep(recorder, names, order, is_idle=is_idle)

    def _sweep(
        self, recorder: Recorder, names: list[str], order: random.Random, *, is_idle: bool
    ) -> None:
        """By age, and sometimes because the disks are full; ``is_idle``: up to the tombstones, the
        files go in the next life."""
        now_s = max(self._cameras[name].second for name in names)
        band = Band(min_us=now_s * S * 4 // 10, max_us=now_s * S * 8 // 10)
        sweeper = Sweeper(recorder, Rules(band=band), is_idle=is_idle)
        sweeper.checkpoints.make(recorder.opened.clock.utc_us(), names)
        sweeper.turn(now_s)
        if is_idle or order.random() < 0.25:
            sweeper.capacity_bytes, sweeper.free_bytes = 1 << 20, order.choice((60, 20)) << 10
            sweeper.turn(now_s)
        self.reasons |= {one.reason for one in sweeper.buried}
        self.deleted += len(sweeper.gone)
        self.kept = len(sweeper.rows())

    def _record(self, recorder: Recorder, name: str, order: random.Random) -> int:
        """One segment, and what may come before it; its number."""
        camera, ledger = self._cameras[name], recorder.opened.ledger
        luck = order.random()
        if luck < 0.05:
            start_us = T0 + camera.second * S
            length_s = order.randrange(2, 90)
            cause = order.choice((GapCause.NETWORK, GapCause.CAMERA_OFFLINE, GapCause.DISK_SLOW))
            ledger.gap_opened(name, start_us, cause, f"摄像机 {luck}")
            ledger.gap_closed(name, start_us, start_us + length_s * S)
            self._end_run(name, camera.second + length_s)
        elif luck < 0.06:  # the clock is set back: runs overlap
            self._end_run(name, max(0, camera.second - order.randrange(1, 300)))
        elif luck < 0.08:  # less than a second between two runs
            self._end_run(name, camera.second)
        if not camera.run:
            camera.runs += 1
            camera.run = f"{CAMERAS.index(name):02x}{self.lives:014x}{camera.runs:016x}"
            ledger.run_started(run_of(name, camera.second, camera.run))
        camera.number += 1
        seconds = order.randrange(1, 4)
        recorder.record(
            camera.number,
            camera.second,
            seconds,
            camera=name,
            run=camera.run,
            place=order.randrange(VOLUMES),
        )
        camera.second += seconds
        recorder.clock.now_us = max(recorder.clock.now_us, T0 + camera.second * S)  # type: ignore[attr-defined]
        return camera.number

    def _end_run(self, name: str, second: int) -> None:
        self._cameras[name].run = ""
        self._cameras[name].second = second

    def _begin(self, recorder: Recorder, names: list[str]) -> None:
        """A segment of which one fragment is durable; what comes after is lost."""
        begun = {}
        for name in names:
            camera = self._cameras[name]
            if not camera.run:
                continue
            camera.number += 1
            recorder.open(camera.number, camera.second, camera=name, run=camera.run)
            recorder.writer(0).append(name, camera.number, fragment(camera.second))
            camera.second += 1
            begun[name] = camera.number

        def are_durable() -> bool:
            found = recorder.opened.index.submit(
                lambda connection: [rows.segment(connection, *one) for one in begun.items()]
            ).result()
            return all(one is not None and one.fragments for one in found)

        wait_for("durable fragments", are_durable)
        recorder.opened.ledger.flushed().result()

    def _wait_sealed(self, recorder: Recorder, expected: dict[str, int]) -> None:
        def are_sealed() -> bool:
            found = recorder.opened.index.submit(
                lambda connection: connection.execute(
                    "SELECT camera, max(number) FROM segment WHERE state = 'sealed'"
                    " AND NOT EXISTS (SELECT 1 FROM segment WHERE state = 'open') GROUP BY camera"
                ).fetchall()
            ).result()
            return expected.items() <= dict(found).items()

        wait_for("sealed segments", are_sealed)

    def _hold(self, recorder: Recorder, names: list[str], order: random.Random) -> None:
        """A new hold, and perhaps an earlier one asked for and released."""
        ledger, at_us = recorder.opened.ledger, recorder.opened.clock.utc_us()
        camera = order.choice(names)
        now_us = T0 + self._cameras[camera].second * S
        hold = Hold(
            id=f"hold-{self.lives}",
            camera=order.choice((EVERY_CAMERA, camera)),
            from_us=now_us - 20 * S,
            to_us=now_us,
            case=f"洪公(治)〔2026〕{self.lives}号",
            requester="民警",
            unit="派出所",
            reason="调查",
            expires_us=order.choice((None, at_us + 86_400 * S)),
            added_us=at_us,
            added_by="园长",
        )
        is_released = order.random() < 0.5

        def decide(connection: sqlite3.Connection) -> tuple[None, list[tuple[Kind, Any]]]:
            known = rows.holds(connection)
            told = [added(hold, known)]
            if known and is_released and known[0].released_us is None:
                told += [release(known[0], by, two_persons=by == "甲") for by in ("甲", "乙")]
            return None, [(Kind.HOLD, data) for data in told]

        ledger.decide(decide, at_us).result()


def _after_power_cut(site: Site, recorder: Recorder, folder: Path) -> Site:
    """The disks as they are now; sealed segments do not change any more, and are not copied."""
    unfinished = recorder.opened.index.submit(rows.unfinished_segments).result()
    growing = {Path(segment.path).name for segment in unfinished}

    def link_or_copy(source: str, target: str) -> None:
        name = Path(source).name
        if name.endswith(".mp4") and name not in growing:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.copytree(site.folder, folder, copy_function=link_or_copy)
    return Site(folder, tuple(folder / path.name for path in site.volumes), site.clock)


def whole_dump(index_path: Path) -> dict[str, list[Any]]:
    """Every row of every table, but when ``edge`` was alive last, which only the index knows."""
    with closing(sqlite3.connect(index_path)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: sorted(
                (
                    row
                    for row in connection.execute(f"SELECT * FROM {name}")
                    if (name, row[0]) not in LIVING
                ),
                key=repr,
            )
            for name in names
        }


def causes(dump: dict[str, list[Any]]) -> Iterator[str]:
    return (row[3] for row in dump["gap"])

"""A small box at work on disks of its own, and whether it is still whole: for drills that kill it,
or cut its power, while footage is deleted, exported, or goes over to another disk."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil

from config.instants import format_instant
from edge.demo.plan import CameraPlan, StreamPlan
from retention.audit_read import verify
from retention.export_verifier import verify_export
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S, EndReason, GapCause, Segment
from retention.read import Store
from retention.reindex import reindex
from retention.verify import verify_camera
from retention.volume_errors import VolumeError
from tests.support.box import XUELIANG, Box, BoxCamera, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.disks import Disk, ext4, mount_tmpfs
from tests.support.footage import undecodable

NAMES = ("north", "south")
DISKS = 2
DISK_MIB = 40
#: Left on each disk for footage: what is recorded in about half a minute.
ROOM_BYTES = 3 << 20
#: What a sweep is made to take away from each disk; and what is left of it until then.
PRESS_BYTES, LEFT_BYTES = 1 << 20, 1 << 17
HELD_US = 3 * US_PER_S
#: What is found must go away by itself within this time, else it is a fault.
SETTLE_S = 25.0
#: What may explain that footage is missing.
CAUSES = {
    GapCause.CONFIG,
    GapCause.SERVICE_CRASHED,
    GapCause.SERVICE_STOPPED,
    GapCause.OVERWRITTEN,
    GapCause.DISK_FULL,
    GapCause.DISK_FAILED,
    GapCause.DISK_SLOW,
    GapCause.NETWORK,  # a camera's connection that is opened anew
    GapCause.CAMERA_OFFLINE,
}


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass
class AtWork:
    """One box; ``counts`` tells what was done to it, and what it was found doing."""

    box: Box
    site: SiteProcess
    disks: list[Disk]
    state_disk: Disk
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    _swapped: Disk | None = None
    _undo: list[Callable[[], None]] = field(default_factory=list)
    _exporter: subprocess.Popen[bytes] | None = None
    _decoded: set[tuple[str, int]] = field(default_factory=set)
    _held: tuple[str, int] = ("", 0)

    # Work ------------------------------------------------------------------------------------

    def press(self) -> None:
        """The disks run full: the sweep has to make room, at once."""
        for disk in self.disks:
            path = disk.root / "lost+found" / "press"
            figures = os.statvfs(disk.root)
            free_bytes = figures.f_bavail * figures.f_frsize
            with suppress(OSError), path.open("wb") as file:
                os.posix_fallocate(
                    file.fileno(), 0, min(PRESS_BYTES, max(1, free_bytes - LEFT_BYTES))
                )
            self._undo.append(lambda path=path: path.unlink(missing_ok=True))  # type: ignore[misc]

    def export(self) -> None:
        """All that is kept of a camera, by the command."""
        camera = self.random.choice(NAMES)
        with self.store() as store:
            from_us, to_us = store.oldest(camera), store.newest(camera)
        assert from_us is not None
        assert to_us is not None
        self._exporter = subprocess.Popen(
            [
                *XUELIANG,
                *("export", camera, "-c", str(self.box.config)),
                *("--from", format_instant(from_us), "--to", format_instant(to_us)),
                *("-o", str(self.out / "export"), "--reason", "drill"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_exporting(self) -> None:
        """Until the first file is being written, or the command has ended."""
        assert self._exporter is not None
        deadline = time.monotonic() + 20
        while self._exporter.poll() is None and not list(self.out.glob(".export.partial-*/*")):
            assert time.monotonic() < deadline, "the export does not begin"
            time.sleep(0.002)

    def fail_over(self, *, may_hang: bool) -> None:
        """A disk is swapped under its mount, or hangs: footage goes to the others."""
        ill = self.random.choice(self.disks)
        if may_hang and self.random.random() < 0.2:
            ill.freeze()
            self._undo.append(ill.thaw)
            self.counts["hangs"] += 1
        else:
            mount_tmpfs(ill.root, "4m")
            self._swapped = ill
            self.counts["swaps"] += 1

    def mend(self) -> None:
        self.unswap()
        while self._undo:
            self._undo.pop()()

    def unswap(self) -> None:
        if self._swapped is not None:
            self._swapped.pull()
            self._swapped = None

    @property
    def out(self) -> Path:
        """Exports lie on the state folder's disk: they lose the power, too."""
        return self.state_disk.root / "out"

    def end_exporter(self, *, kills: bool) -> None:
        if self._exporter is not None:
            if kills and self._exporter.poll() is None:
                self._exporter.kill()
                self.counts["exporters killed"] += 1
            self._exporter.wait(60)
            self._exporter = None

    def volume_process(self) -> psutil.Process | None:
        assert self.box.process is not None
        children = [
            child
            for child in psutil.Process(self.box.process.pid).children()
            if "retention.volume_child" in child.cmdline()
        ]
        return self.random.choice(children) if children else None

    # What it was doing when it was killed ----------------------------------------------------

    def note_interrupted(self) -> None:
        """To be called while edge is not running."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.box.state / "index.db")) as one:
            if one.execute("SELECT count(*) FROM doomed").fetchone()[0]:
                self.counts["found in the middle of a deletion"] += 1
        if list(self.out.glob(".export.partial-*")):
            self.counts["found in the middle of an export"] += 1

    # Whether it is whole ---------------------------------------------------------------------

    def store(self) -> Store:
        return Store(self.box.state / "index.db", [disk.root for disk in self.disks])

    def wait_recording(self) -> None:
        since_us = now_us()

        def is_recording() -> bool:
            try:
                with self.store() as store:
                    return all((store.newest(name) or 0) > since_us for name in NAMES)
            except IndexUnavailable:
                return False

        try:
            wait_for("every camera recorded", is_recording, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.box.log[-4000:]}") from None

    def wait_volumes(self) -> None:
        def are_well() -> bool:
            with suppress(OSError), urlopen(f"{self._url}/status", timeout=5) as answer:
                told = json.load(answer)["volumes"]
                return len(told) == DISKS and all(v["state"] in ("ok", "full") for v in told)
            return False

        wait_for("every volume in use", are_well, 30)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.box.port}"

    def hold_something(self) -> None:
        """A few seconds of what is there, to outlast everything."""
        camera = NAMES[0]
        with self.store() as store:
            oldest_us = (store.newest(camera) or 0) - 2 * HELD_US
        window = [
            format_instant(oldest_us + US_PER_S),
            format_instant(oldest_us + US_PER_S + HELD_US),
        ]
        why = ("--case", "2026-3", "--requester", "李警官", "--reason", "drill")
        self.box.json("hold", "add", camera, "--from", window[0], "--to", window[1], *why)
        self._held = (camera, oldest_us + US_PER_S)

    def assert_whole(self) -> None:
        """While edge records: what is under way may differ for a moment."""
        self.wait_recording()
        self.wait_volumes()
        deadline = time.monotonic() + SETTLE_S
        while found := self._faults():
            assert time.monotonic() < deadline, "\n".join(found) + self.box.log[-6000:]
            time.sleep(0.5)
            self.counts["looked again"] += 1
        self._assert_exports()
        self._assert_readable()

    def _faults(self) -> list[str]:
        """Of rows, files, chain, tombstones, ledger and holds."""
        found: list[str] = []
        roots = [disk.root for disk in self.disks]
        for name in NAMES:
            try:
                verified = verify_camera(self.box.state / "index.db", roots, name, is_live=True)
            except (IndexUnavailable, VolumeError) as error:
                return [f"{name}: {error}"]
            found += [str(one) for one in verified.differences]
            self.counts["segments verified"] += verified.segments
            self.counts["deleted ones passed"] = max(
                verified.deleted, self.counts["deleted ones passed"]
            )
            with self.store() as store:
                until_us = store.newest(name) or 0
                line = store.timeline(name, 0, until_us, now_us())
            ends = sorted([(one.start_us, one.end_us) for one in line.spans])
            ends = sorted([*ends, *((one.start_us, one.end_us or 0) for one in line.gaps)])
            if any(a[1] != b[0] for a, b in zip(ends, ends[1:], strict=False)):
                found.append(f"{name}: its time line has holes")
            found += [f"{name}: {gap}" for gap in line.gaps if gap.cause not in CAUSES]
            if name == self._held[0] and not any(
                span.start_us <= self._held[1] and self._held[1] + HELD_US <= span.end_us
                for span in line.spans
            ):
                found.append(f"{name}: what is held is not there")
        return found

    @contextmanager
    def _sql(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.box.state / "index.db")) as connection:
            yield connection

    def _assert_exports(self) -> None:
        """Whole, or not there."""
        folder = self.out / "export"
        if folder.exists():
            report = verify_export(folder)
            assert not report.differences, f"{report.differences}\n{report.manifest}"
            self.counts["exports whole"] += 1
            shutil.rmtree(folder)
        else:
            self.counts["exports absent"] += 1

    def _assert_readable(self) -> None:
        """What was cut off and adopted since the last look plays."""
        adopted = [
            segment
            for segment in self._segments()
            if segment.end_reason not in (None, EndReason.ROTATED)
            and (segment.camera, segment.number) not in self._decoded
        ]
        self._decoded |= {(segment.camera, segment.number) for segment in adopted}
        paths = [path for one in adopted if (path := self._path(one)) is not None]
        broken = undecodable(paths)
        broken = {path: said for path, said in broken.items() if Path(path).exists()}
        assert not broken, broken
        self.counts["adopted segments decoded"] += len(paths)

    def _segments(self) -> list[Segment]:
        with self.store() as store:
            return [one for name in NAMES for one in store.segments(name, 0, 1 << 60)]

    def _path(self, segment: Segment) -> Path | None:
        """None: it was deleted meanwhile."""
        paths = [disk.root / segment.path for disk in self.disks]
        return next((path for path in paths if path.exists()), None)

    def assert_rebuilt(self) -> None:
        """At rest: the volumes alone make the same index, all footage plays, audit log and holds
        are whole."""
        assert self.box.stop(timeout_s=30) == 0
        roots = [disk.root for disk in self.disks]
        found = reindex(self.box.state / "index.db", roots, dry_run=True).differences
        assert found == [], found
        files = self.box.segments()
        there = sorted(map(_name_of, files))
        with self._sql() as connection:
            known = set(connection.execute("SELECT camera, number FROM segment"))
            going = set(connection.execute("SELECT camera, number FROM doomed"))
        # what has its tombstone goes on going at the next start
        assert len(set(there)) == len(there)
        assert set(there) - going == known - going, set(there) ^ known
        broken = undecodable(files)
        assert not broken, broken
        self.counts["files decoded at rest"] += len(files)
        findings = verify(self.box.state, "edge").findings
        assert not findings, findings
        holds = self.box.json("hold", "list")
        assert [one["state"] for one in holds] == ["active"]
        self.counts["rebuilt"] += 1


def _name_of(path: Path) -> tuple[str, int]:
    """Camera and number."""
    return path.parts[-6], int(path.stem.rpartition("-")[2])


@contextmanager
def at_work(folder: Path, seed: int) -> Iterator[AtWork]:
    plans = [
        CameraPlan(
            id=name,
            stream=StreamPlan(width=160, height=96, bit_rate=500_000),
            loop_seconds=5,
            stamp=True,
        )
        for name in NAMES
    ]
    with ExitStack() as stack:
        site = stack.enter_context(demo_process(*plans))
        disks = [
            stack.enter_context(ext4(folder / f"disk{place}", DISK_MIB)) for place in range(DISKS)
        ]
        state = stack.enter_context(ext4(folder / "state", 96))
        for disk in disks:
            disk.fill(left_bytes=ROOM_BYTES)
        box = Box(
            folder=folder / "box",
            cameras=[BoxCamera(id=n, source=f'rtsp = "{site[n].rtsp}"') for n in NAMES],
            volumes=[disk.root for disk in disks],
            state_dir=state.root / "state",
            segment_seconds=1,
            reserve_bytes="512KiB",
        )
        box.write_config()
        made = AtWork(box, site, disks, state, random.Random(seed))
        made.out.mkdir()
        box.start()
        try:
            made.wait_recording()
            # what is of no known time is held by any hold of its camera, all of it
            confirmed = box.xueliang("check", "--confirm-time", "--yes")
            assert confirmed.returncode == 0, confirmed.stderr
            made.wait_recording()
            time.sleep(5)
            made.hold_something()
            yield made
        finally:
            made.mend()
            made.end_exporter(kills=True)
            box.kill()

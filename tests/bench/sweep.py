"""A day of 64 cameras deleted while 16 cameras record: 92,160 files, by the real ``edge``.

The same recording is measured before the sweep begins and while it runs: what the sweep costs a
sync, a write, and a frame. Files are as many as real ones and 128 KiB long. Three volumes are three
folders of one disk, which is worse than three disks.
"""

from __future__ import annotations

import ctypes
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Run
from retention.reindex import reindex
from tests.retention.storing import FakeClock, Site, run_of
from tests.support.big_store import DAY_US
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process
from tests.support.small_segments import write_segments

OLD_CAMERAS, RECORDING_CAMERAS, VOLUMES = 64, 16, 3
SEGMENTS_A_DAY = 1440
#: The footage is so old; first nothing is due (with 200 days), then all of it (with 97).
AGE_DAYS = 99
FILE_BYTES = 128 * 1024
#: 2 Mbit/s each, as the figures of the design have it.
STREAM = StreamPlan(width=1280, height=720, fps=25, gop_frames=50, bit_rate=2_000_000)
QUIET_S = 60
SWEEP_TIMEOUT_S = 1800
_KEEP_SIZE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Counters of ``/metrics`` at one moment."""

    at_s: float
    metrics: dict[str, float]

    @classmethod
    def of(cls, box: Box) -> Marks:
        return cls(at_s=time.monotonic(), metrics=box.metrics())

    def total(self, name: str) -> float:
        return sum(value for key, value in self.metrics.items() if key.split("{")[0] == name)

    def buckets(self, name: str) -> dict[float, float]:
        """Cumulative counts by upper bound, of all volumes."""
        found: dict[float, float] = {}
        for key, value in self.metrics.items():
            if key.startswith(f"{name}_bucket{{"):
                bound = float(key.split('le="')[1].split('"')[0])
                found[bound] = found.get(bound, 0) + value
        return found


def quantile_ms(before: Marks, after: Marks, name: str, share: float) -> float:
    """Straight between the bounds of the bucket that holds it."""
    old, new = before.buckets(name), after.buckets(name)
    counts = [(bound, new[bound] - old.get(bound, 0)) for bound in sorted(new)]
    wanted = share * counts[-1][1]
    low_bound = low_count = 0.0
    for bound, count in counts:
        if count >= wanted and count > low_count:
            if bound == float("inf"):
                return low_bound * 1000
            part = (wanted - low_count) / (count - low_count)
            return (low_bound + part * (bound - low_bound)) * 1000
        low_bound, low_count = bound, count
    return 0.0


def make_old_day(site: Site, names: list[str], from_us: int) -> int:
    """A day of every camera as an earlier life left it; the index comes from the files."""
    site.clock.now_us = from_us
    with site.running(names, "before") as recorder:
        for place, name in enumerate(names):
            started = run_of(name)
            recorder.opened.ledger.run_started(
                Run(
                    run=f"{place:032x}",
                    camera=name,
                    start_us=from_us,
                    clock=started.clock,
                    format=started.format,
                )
            )
        site.clock.now_us = from_us + DAY_US
    each = SEGMENTS_A_DAY // VOLUMES
    for place, name in enumerate(names):
        for number, root in enumerate(site.volumes):
            start_us = from_us + number * each * 60 * US_PER_S
            write_segments(
                root, name, f"{place:032x}", start_us, number * each + 1, each, 2, 30 * US_PER_S
            )
    found = reindex(site.index_path, site.volumes, dry_run=False)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    for path in site.files():
        file = os.open(path, os.O_RDWR)
        libc.fallocate(file, _KEEP_SIZE, 0, FILE_BYTES)
        os.close(file)
    return found.segments


@contextmanager
def recording_box(site: Site, names: list[str]) -> Iterator[Box]:
    plans = [
        CameraPlan(id=f"new-{n:02}", stream=STREAM, loop_seconds=10, onvif=False)
        for n in range(RECORDING_CAMERAS)
    ]
    with demo_process(*plans) as cameras:
        box = Box(
            folder=site.folder / "box",
            cameras=[
                *(BoxCamera(id=p.id, source=f'rtsp = "{cameras[p.id].rtsp}"') for p in plans),
                *(
                    BoxCamera(id=name, source='rtsp = "rtsp://127.0.0.1:9/none"', enabled=False)
                    for name in names
                ),
            ],
            volumes=site.volumes,
            state_dir=site.index_path.parent,
            durability_seconds=5,
        )
        box.write_config()
        set_max_days(box, 200)
        box.start()
        try:
            box.wait_recording(*(plan.id for plan in plans), timeout_s=120)
            yield box
        finally:
            box.stop(60)


def set_max_days(box: Box, days: int) -> None:
    text = box.config.read_text().partition("[retention]")[0]
    box.config.write_text(f"{text}[retention]\nmax_days = {days}\n")


def kept(site: Site) -> int:
    with closing(sqlite3.connect(f"file:{site.index_path}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT count(*) FROM segment WHERE camera >= 'old-' AND camera < 'old.'"
        )
        return int(found.fetchone()[0])


def print_phase(name: str, before: Marks, after: Marks) -> None:
    sync, write = "nvr_volume_fsync_seconds", "nvr_volume_write_seconds"
    figures = [
        quantile_ms(before, after, series, share)
        for series in (sync, write)
        for share in (0.5, 0.99, 0.999)
    ]
    frames = after.total("nvr_stream_frames_total") - before.total("nvr_stream_frames_total")
    dropped = after.total("nvr_recording_dropped_frames_total") - before.total(
        "nvr_recording_dropped_frames_total"
    )
    print(
        f"{name:14} {after.at_s - before.at_s:7.0f}  "
        + " ".join(f"{figure:8.2f}" for figure in figures)
        + f"  {frames:8.0f} {dropped:7.0f}",
        flush=True,
    )


def main(old_cameras: int = OLD_CAMERAS) -> None:
    with tempfile.TemporaryDirectory(prefix="xueliang-sweep-", dir="/var/tmp") as name:
        site = Site.make(Path(name), VOLUMES)
        names = [f"old-{n:02}" for n in range(old_cameras)]
        from_us = (time.time_ns() // 1000 - AGE_DAYS * DAY_US) // DAY_US * DAY_US
        site.clock = FakeClock(from_us)
        count = make_old_day(site, names, from_us)
        os.sync()
        load = os.getloadavg()[0]
        print(f"{count} files of {old_cameras} cameras; load of the machine {load:.1f}")
        with recording_box(site, names) as box:
            confirmed = box.xueliang("check", "--confirm-time", "--yes", "--json")
            print(f"time: {json.loads(confirmed.stdout or '{}')}")
            print(f"{'ms':14} {'s':>7}  {'fsync p50':>9} {'p99':>7} {'p99.9':>8}", end="")
            print(f" {'write p50':>9} {'p99':>7} {'p99.9':>8}  {'frames':>8} {'dropped':>7}")
            quiet = Marks.of(box)
            time.sleep(QUIET_S)
            before = Marks.of(box)
            print_phase("without sweep", quiet, before)
            assert kept(site) == count, "something went before it was due"
            set_max_days(box, 97)
            box.reload()
            wait_for("the sweep", lambda: kept(site) < count, 120)
            before = Marks.of(box)
            while kept(site):
                assert time.monotonic() < before.at_s + SWEEP_TIMEOUT_S, "the sweep does not end"
                time.sleep(1)
            after = Marks.of(box)
            print_phase("with sweep", before, after)
            rate = count / (after.at_s - before.at_s)
            print(f"{count} files deleted, {rate:.0f} a second")
            left = [path for root in site.volumes for path in root.glob("old-*/**/*.mp4")]
            dropped = after.total("nvr_recording_dropped_frames_total")
        if left or dropped:
            sys.exit(f"{len(left)} files left, {dropped:.0f} frames dropped")


if __name__ == "__main__":
    main()

"""Asking a store of two million segments, beside one of a day: reader, start, index, reindex.

Reads are timed in this process, through the API that everybody uses; "cold" is with the index out
of the page cache. Start is the real ``edge`` with four demo cameras.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from config.instants import BEIJING
from edge.demo.plan import CameraPlan, StreamPlan
from retention.checkpoints import Checkpoints
from retention.clock import SystemClock
from retention.fragments import decode_table
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.index.write import IndexWriter
from retention.journal import Head, Journal
from retention.keys import signing_key
from retention.layout import JOURNAL
from retention.ledger import Ledger
from retention.model import US_PER_S, EndReason, Segment, SegmentState
from retention.policy import Band, Reason, Rules
from retention.read import Store
from retention.reindex import reindex
from retention.stamp import write_stamp
from retention.sweep import Buried, Disk, Sweep
from retention.writer_ports import DoomedFile
from tests.support.big_store import DAY_US, HOUR_US, MINUTE_US, BigStore, make_big_store, table_of
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process
from tests.support.small_segments import write_segments

#: What the design promises, milliseconds.
REACH_MS = {"locate an instant": 1, "time line of a camera-day": 5, "time line of 90 days": 200}
START_CAMERAS = 4
SURVEYS = 3
WRITTEN_MINUTES = 60
#: Between two looks of a volume's writer.
DURABILITY_S = 4
REBUILT_SEGMENTS = 9_996


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    p50_ms: float
    p99_ms: float


def timed(ask: Callable[[], object], count: int) -> Times:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return Times(p50_ms=took[count // 2], p99_ms=took[min(count - 1, count * 99 // 100)])


# Reading -----------------------------------------------------------------------------------------


def read_times(made: BigStore) -> dict[str, Times]:
    order = random.Random(1)
    until_us = made.until_us
    kept_us = until_us - made.kept_from_us

    def camera() -> str:
        return order.choice(made.cameras)

    def instant_us() -> int:
        return until_us - order.randrange(kept_us)

    with Store(made.index_path, made.volumes) as store, Index.open_read(made.index_path) as index:

        def day() -> None:
            from_us = instant_us()
            store.timeline(camera(), from_us, from_us + DAY_US, until_us)

        def ninety_days() -> None:
            store.timeline(camera(), until_us - 90 * DAY_US, until_us, until_us)

        def completeness() -> None:
            for one in made.cameras:
                store.completeness(one, until_us, BEIJING)

        def status() -> None:
            """What ``xueliang status`` asks, and ``edge`` every five minutes."""
            for one in made.cameras:
                store.newest(one)
                store.oldest(one)
            completeness()

        return {
            "locate an instant": timed(lambda: store.locate(camera(), instant_us()), 5000),
            "time line of a camera-day": timed(day, 1000),
            "time line of 90 days": timed(ninety_days, 32),
            "completeness of all cameras, 90 days": timed(completeness, SURVEYS),
            "status": timed(status, SURVEYS),
            "next numbers": timed(lambda: index.read(rows.next_numbers), 100),
            "oldest of all cameras": timed(lambda: [store.oldest(c) for c in made.cameras], 100),
            "unfinished segments": timed(lambda: index.read(rows.unfinished_segments), 100),
        }


def cold_times(made: BigStore) -> dict[str, Times]:
    """The same questions asked by a reader that opens an index of which nothing is in memory."""
    order = random.Random(2)
    until_us = made.until_us

    def ask(question: Callable[[Store, str], object], count: int) -> Times:
        took = []
        for _ in range(count):
            forget(made.index_path)
            with Store(made.index_path, made.volumes) as store:
                camera = order.choice(made.cameras)
                took.append(timed(lambda: question(store, camera), 1).p50_ms)  # noqa: B023
        took.sort()
        return Times(p50_ms=took[count // 2], p99_ms=took[-1])

    def instant_us() -> int:
        return until_us - order.randrange(until_us - made.kept_from_us)

    def day(store: Store, camera: str) -> object:
        from_us = instant_us()
        return store.timeline(camera, from_us, from_us + DAY_US, until_us)

    return {
        "locate an instant, cold": ask(lambda store, one: store.locate(one, instant_us()), 20),
        "time line of a camera-day, cold": ask(day, 20),
        "time line of 90 days, cold": ask(
            lambda store, one: store.timeline(one, until_us - 90 * DAY_US, until_us, until_us), 5
        ),
    }


def forget(path: Path) -> None:
    """Take a file out of the page cache."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


# Start -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from the start of the process until the last camera's first picture was recorded,
    and until that was durable and known."""

    recorded_s: float
    durable_s: float


def start_times(made: BigStore, *, is_cold: bool) -> Start:
    plans = [
        CameraPlan(id=name, stream=StreamPlan(gop_frames=5), loop_seconds=10, onvif=False)
        for name in made.cameras[:START_CAMERAS]
    ]
    with demo_process(*plans) as site:
        cameras = [
            BoxCamera(id=name, source=f'rtsp = "{site[name].rtsp}"')
            for name in made.cameras[:START_CAMERAS]
        ]
        box = Box(
            folder=made.folder / "box", cameras=cameras, volumes=made.volumes, state_dir=made.state
        )
        box.write_config()
        if is_cold:
            for path in (made.index_path, *made.folder.glob(f"volume-*/{JOURNAL}/*")):
                forget(path)
        began_us = time.time_ns() // 1000
        box.start()
        try:
            names = [camera.id for camera in cameras]
            first_us = wait_for("recording", lambda: _firsts(made.index_path, names, began_us), 120)
            durable_us = time.time_ns() // 1000
        finally:
            box.stop(30)
    return Start(
        recorded_s=(max(first_us) - began_us) / US_PER_S,
        durable_s=(durable_us - began_us) / US_PER_S,
    )


def _firsts(index_path: Path, cameras: Sequence[str], since_us: int) -> list[int] | None:
    """Where the first footage since then begins, once each camera has any that is durable."""

    def query(connection: sqlite3.Connection) -> list[list[Segment]]:
        return [rows.segments_after(connection, one, since_us, -1, 1) for one in cameras]

    try:
        with Index.open_read(index_path) as index:
            found = index.read(query)
    except IndexUnavailable:
        return None  # there is none yet
    if not all(one and one[0].fragments for one in found):
        return None
    return [one[0].start_us for one in found]


# Sweeping ----------------------------------------------------------------------------------------


class _Nobody:
    """Takes what is to be deleted, and sees what goes; there are no files."""

    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None:
        return

    def buried(self, batch: Buried) -> None:
        return

    def deleted(self, camera: str, reason: Reason, size_bytes: int) -> None:
        return


def sweep_times(made: BigStore) -> dict[str, Times]:
    """Turns of the sweep up to the tombstones."""
    nobody = _Nobody()
    disks = [
        Disk(
            volume=uuid,
            capacity_bytes=1 << 50,
            free_bytes=1 << 49,
            reserve_bytes=0,
            looked_us=0,
            is_retiring=False,
            writer=nobody,
        )
        for uuid in made.uuids
    ]
    with IndexWriter(made.index_path) as index, ExitStack() as stack:
        head = Head.of(index.submit(rows.last_entry).result())
        ledger = Ledger(index, Journal(signing_key(made.state), head))
        checkpoints = Checkpoints(index, ledger)
        sweep = Sweep(index, ledger, lambda: disks, checkpoints, nobody, SystemClock())
        stack.callback(sweep.close)  # else this process reads an old log when it opens the index

        def turn(kept_us: int) -> None:
            sweep.turn(
                now_us=made.until_us,
                trusted_us=made.until_us,
                rules=Rules(band=Band(min_us=kept_us // 2, max_us=kept_us)),
                bytes_per_s=0,
            )

        kept_us = made.until_us - made.kept_from_us
        times = {
            "sweep, first turn, nothing due": timed(lambda: turn(kept_us + DAY_US), 1),
            "sweep, nothing due": timed(lambda: turn(kept_us + DAY_US), 20),
            "sweep, two hours of all cameras due": timed(lambda: turn(kept_us - 2 * HOUR_US), 1),
        }
        assert sweep.under_way > 100 * len(made.cameras)
    return times


# Writing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What ``WRITTEN_MINUTES`` of 16 cameras cost, told as fast as the index takes them, while
    another thread reads 90 days again and again."""

    commit: Times
    log_mb: float  # the largest that the write-ahead log was


def write_times(made: BigStore) -> Writing:
    open_us = made.until_us + DAY_US
    stopping = threading.Event()

    def survey() -> None:
        with Store(made.index_path, made.volumes) as store:
            while not stopping.is_set():
                for one in made.cameras:
                    store.completeness(one, made.until_us, BEIJING)

    reader = threading.Thread(target=survey)
    took: list[float] = []
    log_bytes = 0
    with IndexWriter(made.index_path) as index:
        reader.start()
        for minute in range(WRITTEN_MINUTES):
            segments = [
                _open_segment(made, camera, minute, open_us + minute * MINUTE_US)
                for camera in made.cameras
            ]
            for second in range(0, 60, DURABILITY_S):
                if second == 0:
                    told = [index.segment_opened(one, "") for one in segments]
                else:
                    told = [index.fragments_durable([_grown(one, second) for one in segments])]
                began = time.perf_counter()
                for future in told:
                    future.result()
                took.append((time.perf_counter() - began) * 1000)
            for one in segments:
                index.segment_sealed(_sealed(_grown(one, 60))).result()
            log_bytes = max(log_bytes, Path(f"{made.index_path}-wal").stat().st_size)
        stopping.set()
        reader.join()
    took.sort()
    count = len(took)
    return Writing(
        commit=Times(p50_ms=took[count // 2], p99_ms=took[count * 99 // 100]),
        log_mb=log_bytes / 1e6,
    )


def _open_segment(made: BigStore, camera: str, minute: int, start_us: int) -> Segment:
    return Segment(
        camera=camera,
        number=10_000_000 + minute,
        run="f" * 32,
        volume=made.volumes[0].name,
        start_us=start_us,
        end_us=start_us,
        state=SegmentState.OPEN,
        size_bytes=0,
        end_reason=None,
        digest=b"",
    )


def _grown(segment: Segment, seconds: int) -> Segment:
    end_us = segment.start_us + seconds * US_PER_S
    fragments = decode_table(table_of(segment.start_us, end_us)[0])
    return replace(
        segment,
        end_us=end_us,
        size_bytes=fragments[-1].offset + fragments[-1].size_bytes,
        fragments=fragments,
    )


def _sealed(segment: Segment) -> Segment:
    return replace(
        segment, state=SegmentState.SEALED, end_reason=EndReason.ROTATED, digest=bytes(32)
    )


# Rebuilding --------------------------------------------------------------------------------------


def print_rebuild(folder: Path) -> None:
    """Files of one segment each, with 30 fragments, on three volumes."""
    (folder / "state").mkdir(parents=True)
    roots = [folder / f"volume-{n}" for n in range(3)]
    cameras, each = 4, REBUILT_SEGMENTS // 12
    for place, root in enumerate(roots):
        root.mkdir()
        write_stamp(root, f"{place:08}-0000-4000-8000-000000000000", 0)
        for n in range(cameras):
            from_us = 1_790_000_000 * US_PER_S + place * each * MINUTE_US
            write_segments(root, f"camera-{n:02}", "a" * 32, from_us, place * each + 1, each, 30)
    for what, is_dry in (("rebuilt", False), ("compared", True)):
        began = time.perf_counter()
        found = reindex(folder / "state" / "index.db", roots, dry_run=is_dry)
        rate = found.segments / (time.perf_counter() - began)
        print(f"reindex: {found.segments} segments {what}, {rate:.0f} files/s", flush=True)


# In one run --------------------------------------------------------------------------------------


@contextmanager
def stores() -> Iterator[tuple[BigStore, BigStore]]:
    """Of 90 days and of one."""
    with tempfile.TemporaryDirectory(prefix="xueliang-scale-", dir="/var/tmp") as name:
        folders = Path(name) / "big", Path(name) / "small"
        until_us = time.time_ns() // 1000
        for folder in folders:
            folder.mkdir()
        big = make_big_store(folders[0], until_us)
        small = make_big_store(folders[1], until_us, days=1, deleted_days=0)
        yield big, small
        for folder in folders:
            shutil.rmtree(folder)


def print_times(named: Sequence[dict[str, Times]]) -> None:
    big, small = named
    print(f"{'':36} {'90 days':>20}  {'1 day':>20}   reach")
    print(f"{'ms':36} {'p50':>9} {'p99':>10}  {'p50':>9} {'p99':>10}")
    for what, times in big.items():
        reach = REACH_MS.get(what)
        print(
            f"{what:36} {times.p50_ms:9.3f} {times.p99_ms:10.3f}"
            f"  {small[what].p50_ms:9.3f} {small[what].p99_ms:10.3f}"
            f"   {'' if reach is None else reach}",
            flush=True,
        )


def main() -> None:
    with stores() as (big, small):
        for made in (big, small):
            size_mb = made.index_path.stat().st_size / 1e6
            print(f"{made.segments} segments, {made.entries} entries: index.db of {size_mb:.0f} MB")
        print_times([read_times(big), read_times(small)])
        print_times([cold_times(big), cold_times(small)])
        print_times([sweep_times(big), sweep_times(small)])
        print("start of edge, s: first picture recorded, durable (reach: recorded within 2)")
        for name, made in (("90 days", big), ("1 day", small)):
            for state, is_cold in (("cold", True), ("warm", False)):
                start = start_times(made, is_cold=is_cold)
                print(f"{name:8} {state}  {start.recorded_s:6.2f}  {start.durable_s:6.2f}")
        print("index written beside a reader of 90 days: commit ms p50, p99; log MB at most")
        for name, made in (("90 days", big), ("1 day", small)):
            written = write_times(made)
            print(
                f"{name:8}  {written.commit.p50_ms:9.3f} {written.commit.p99_ms:10.3f}"
                f"  {written.log_mb:6.1f}",
                flush=True,
            )
        print_rebuild(big.folder / "rebuild")
        for made in (big, small):
            made.index_path.unlink()
        print("start of edge without its index, s: first picture recorded, durable")
        for name, made in (("90 days", big), ("1 day", small)):
            start = start_times(made, is_cold=False)
            print(f"{name:8}  {start.recorded_s:6.2f}  {start.durable_s:6.2f}", flush=True)


if __name__ == "__main__":
    main()

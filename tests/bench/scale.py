"""Asking a store of two million segments, beside one of a day: reader, start, index, reindex.

Reads are timed in this process, through the API that everybody uses; "cold" is with the index out
of the page cache. Start is the real ``edge`` with four demo cameras.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.demo.plan import CameraPlan, StreamPlan
from retention.index import rows
from retention.index.read import Index
from retention.layout import JOURNAL
from retention.model import US_PER_S
from retention.read import Store
from tests.support.big_store import DAY_US, BigStore, make_big_store
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.cameras import demo_process

#: What the design promises, milliseconds.
REACH_MS = {"locate an instant": 1, "time line of a camera-day": 5, "time line of 90 days": 200}
START_CAMERAS = 4
#: Like an index on a disk that has other things to do.
SURVEYS = 3


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

        def coverage(days: int) -> None:
            for one in made.cameras:
                store.coverage(one, until_us - days * DAY_US, until_us)

        def status() -> None:
            """What ``xueliang status`` asks, and ``edge`` every five minutes."""
            for one in made.cameras:
                store.newest(one)
                store.oldest(one)
            for days in (1, 7, 90):
                coverage(days)

        return {
            "locate an instant": timed(lambda: store.locate(camera(), instant_us()), 5000),
            "time line of a camera-day": timed(day, 1000),
            "time line of 90 days": timed(ninety_days, 32),
            "coverage of all cameras, 1 day": timed(lambda: coverage(1), 20),
            "coverage of all cameras, 7 days": timed(lambda: coverage(7), 10),
            "coverage of all cameras, 90 days": timed(lambda: coverage(90), SURVEYS),
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
            with Index.open_read(made.index_path) as index:

                def firsts() -> list[int] | None:
                    found = [
                        index.read(
                            lambda connection, camera=camera.id: rows.segments_after(  # type: ignore[misc]
                                connection, camera, began_us, -1, 1
                            )
                        )
                        for camera in cameras
                    ]
                    if not all(one and one[0].fragments for one in found):
                        return None
                    return [one[0].start_us for one in found]

                first_us = wait_for("recording", firsts, 120)
                durable_us = time.time_ns() // 1000
        finally:
            box.stop(30)
    return Start(
        recorded_s=(max(first_us) - began_us) / US_PER_S,
        durable_s=(durable_us - began_us) / US_PER_S,
    )


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
        print("start of edge, s: first picture recorded, durable (reach: recorded within 2)")
        for name, made in (("90 days", big), ("1 day", small)):
            for state, is_cold in (("cold", True), ("warm", False)):
                start = start_times(made, is_cold=is_cold)
                print(f"{name:8} {state}  {start.recorded_s:6.2f}  {start.durable_s:6.2f}")


if __name__ == "__main__":
    main()

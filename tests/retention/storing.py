"""A store on real volumes, written by the real writer, for tests of recovery and reading."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from retention.clock import Clock, SystemClock
from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    EndReason,
    Fragment,
    Run,
    Segment,
    SegmentHeader,
    Track,
)
from retention.start import Opened, open_for_recording
from retention.volume_host import LocalVolume, Writer
from retention.volumes import MakeHost, Slot
from retention.writer_ports import WriterEvent
from tests.retention.writing import FORMAT, T0

S = US_PER_S
RUN = "0" * 32


class FakeClock:
    """Wall time as set, monotonic time as it is: writers wait for real."""

    def __init__(self, utc_us: int) -> None:
        self.now_us = utc_us

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return SystemClock().monotonic_us()


class Quiet:
    def wrote(self, volume: str, seconds: float) -> None: ...
    def synced(self, volume: str, seconds: float) -> None: ...
    def io_error(self, volume: str, operation: str, errno_name: str) -> None: ...


def fragment(start_s: int, seconds: int = 1, *, is_key: bool = True, mark: int = 0) -> Fragment:
    """Two pictures a second; ``mark`` makes their bytes differ."""
    start_us = T0 + start_s * S
    kind = b"\x65" if is_key else b"\x41"
    units = []
    for n in range(2 * seconds):
        body = kind + f"{start_s} {n} {mark} ".encode() * 30
        units.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=start_us + n * S // 2,
                is_key=is_key and n == 0,
                data=len(body).to_bytes(4, "big") + body,
            )
        )
    return Fragment(
        units=tuple(units), start_us=start_us, end_us=start_us + seconds * S, is_key=is_key
    )


def run_of(camera: str, start_s: int = 0, run: str = RUN) -> Run:
    return Run(
        run=run,
        camera=camera,
        start_us=T0 + start_s * S,
        clock=ClockState.TRUSTED,
        format=FORMAT,
    )


@dataclass(slots=True)
class Site:
    """One box: a state folder, volumes, and what was started on them."""

    folder: Path
    volumes: tuple[Path, ...]
    clock: FakeClock

    @classmethod
    def make(cls, folder: Path, count: int = 1) -> Site:
        paths = tuple(folder / f"volume{n}" for n in range(count))
        for path in paths:
            path.mkdir(parents=True)
        (folder / "state").mkdir()
        return cls(folder, paths, FakeClock(T0))

    @property
    def index_path(self) -> Path:
        return self.folder / "state" / "index.db"

    def at(self, second: float) -> None:
        self.clock.now_us = T0 + int(second * S)

    def copy(self, folder: Path) -> Site:
        """The same disks as a power cut would leave them."""
        shutil.copytree(self.folder, folder)
        return Site(folder, tuple(folder / path.name for path in self.volumes), self.clock)

    def files(self) -> list[Path]:
        return sorted(path for volume in self.volumes for path in volume.rglob("*.mp4"))

    def open(
        self,
        cameras: Sequence[str] = ("gate",),
        boot: str = "boot-1",
        host: MakeHost | None = None,
    ) -> Opened:
        return open_for_recording(
            self.index_path,
            self.volumes,
            reserve_bytes=0,
            cameras=cameras,
            boot_id=boot,
            clock=self.clock,
            make_host=host or (lambda _place: LocalVolume(self.clock)),
        )

    @contextmanager
    def running(
        self, cameras: Sequence[str] = ("gate",), boot: str = "boot-1", *, is_clean: bool = True
    ) -> Iterator[Recorder]:
        recorder = Recorder(self.open(cameras, boot), self.clock)
        try:
            yield recorder
        finally:
            recorder.stop(boot, is_clean=is_clean)


class Recorder:
    """Writers on every volume; media are handed in by hand."""

    def __init__(self, opened: Opened, clock: Clock) -> None:
        self.opened = opened
        self.events: list[WriterEvent] = []
        self.clock = clock
        for slot in opened.volumes.slots:
            if slot.is_attached:
                self.start(slot)

    def start(self, slot: Slot) -> None:
        assert slot.host is not None
        slot.writer = slot.host.start_writer(
            rows=self.opened.index,
            report=self.events.append,
            observer=Quiet(),
            durability_us=20_000,
        )
        self.opened.ledger.add_sink(slot.writer.journal, slot.holds_seq)

    def writer(self, place: int = 0) -> Writer:
        writer = self.opened.volumes.slots[place].writer
        assert writer is not None
        return writer

    def open(
        self, number: int, start_s: int, *, camera: str = "gate", run: str = RUN, place: int = 0
    ) -> None:
        self.writer(place).open(
            SegmentHeader(
                camera=camera,
                run=run,
                number=number,
                start_us=T0 + start_s * S,
                clock=ClockState.TRUSTED,
                format=FORMAT,
            )
        )

    def record(
        self,
        number: int,
        start_s: int,
        seconds: int,
        *,
        camera: str = "gate",
        run: str = RUN,
        place: int = 0,
        is_sealed: bool = True,
    ) -> None:
        """A segment of fragments of one second."""
        self.open(number, start_s, camera=camera, run=run, place=place)
        for second in range(start_s, start_s + seconds):
            self.writer(place).append(camera, number, fragment(second))
        if is_sealed:
            self.writer(place).seal(camera, number, EndReason.ROTATED)

    def stop(self, boot: str, *, is_clean: bool) -> None:
        if is_clean:
            self.opened.ledger.service_stopped(boot, self.clock.utc_us())
        self.opened.ledger.flushed().result()
        self.opened.volumes.close()
        self.opened.index.close()


def path_of(site: Site, segment: Segment, place: int = 0) -> Path:
    return site.volumes[place] / segment.path


def cut(path: Path, size_bytes: int) -> None:
    os.truncate(path, size_bytes)


def as_open(segment: Segment, count: int) -> Segment:
    """The row as it was when ``count`` fragments were durable."""
    from retention.model import SegmentState

    entries = segment.fragments[:count]
    return replace(
        segment,
        state=SegmentState.OPEN,
        end_reason=None,
        digest=b"",
        fragments=entries,
        end_us=entries[-1].end_us if entries else segment.start_us,
        size_bytes=entries[-1].offset + entries[-1].size_bytes if entries else 0,
    )

"""Segments to write in tests, and a receiver of what the writer tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from retention.clock import SystemClock
from retention.model import (
    US_PER_S,
    AccessUnit,
    ClockState,
    Codec,
    Fragment,
    MediaFormat,
    Segment,
    SegmentHeader,
    Track,
    VideoFormat,
)
from retention.volume import Volume
from retention.writer import VolumeWriter
from retention.writer_ports import WriterEvent

T0 = 1_795_478_400 * US_PER_S
CAMERA = "gate"
T = TypeVar("T", bound=WriterEvent)
FORMAT = MediaFormat(
    video=VideoFormat(
        codec=Codec.H264,
        width=64,
        height=64,
        parameter_sets=(
            bytes.fromhex("67f4000a91968426c044000003000400000300103c489a80"),
            bytes.fromhex("68ce0f1920"),
        ),
    )
)


def header(number: int = 1, camera: str = CAMERA) -> SegmentHeader:
    return SegmentHeader(
        camera=camera,
        run="0" * 32,
        number=number,
        start_us=T0,
        clock=ClockState.TRUSTED,
        format=FORMAT,
    )


def fragment(second: int, size_bytes: int = 1000) -> Fragment:
    """A group of one second that says which it is."""
    start_us = T0 + second * US_PER_S
    data = (size_bytes - 4).to_bytes(4, "big") + bytes([0x65]) + bytes(size_bytes - 5)
    units = tuple(
        AccessUnit(track=Track.VIDEO, pts_us=start_us + n * 500_000, is_key=n == 0, data=data)
        for n in range(2)
    )
    return Fragment(units=units, start_us=start_us, end_us=start_us + US_PER_S, is_key=True)


class Told:
    """Keeps rows, events and figures; stands for index, recorder and metrics."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Segment] = {}
        self.calls: list[str] = []
        self.events: list[WriterEvent] = []
        self.errors: list[tuple[str, str]] = []
        self.writes = self.syncs = 0
        self.answers: Callable[[], Future[None]] = self._at_once
        self._changed = threading.Condition()

    def _at_once(self) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def segment_opened(self, segment: Segment, path: str) -> Future[None]:
        self.calls.append(f"opened {segment.number}")
        self.rows[segment.camera, segment.number] = segment
        assert path.endswith(f"-{segment.number}.mp4")
        return self.answers()

    def fragments_durable(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self.calls.append(f"durable {segment.number}")
            self.rows[segment.camera, segment.number] = segment

    def segment_sealed(self, segment: Segment) -> None:
        self.calls.append(f"sealed {segment.number}")
        self.rows[segment.camera, segment.number] = segment

    def segment_discarded(self, camera: str, number: int) -> None:
        self.calls.append(f"discarded {number}")
        del self.rows[camera, number]

    def wrote(self, volume: str, seconds: float) -> None:
        self.writes += 1

    def synced(self, volume: str, seconds: float) -> None:
        self.syncs += 1

    def io_error(self, volume: str, operation: str, errno_name: str) -> None:
        self.errors.append((operation, errno_name))

    def report(self, event: WriterEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[WriterEvent], count: int = 1, timeout_s: float = 10.0) -> None:
        """Until so many events of a kind have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout_s), (
                f"{kind.__name__} did not come: {self.events}"
            )


def start(volume: Volume, told: Told, *, durability_us: int = 100_000) -> VolumeWriter:
    return VolumeWriter(
        volume,
        rows=told,
        report=told.report,
        observer=told,
        clock=SystemClock(),
        durability_us=durability_us,
    )


def wait_until(fact: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)

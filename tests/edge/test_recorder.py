"""One camera's recorder: nothing is lost while a volume fails, and what is dropped is a gap."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.gaps import GapKeeper
from edge.metrics import STREAM, EdgeMetrics, Snapshot
from edge.recorder import CameraRecorder
from edge.tap import CameraTap
from retention.index.write import IndexWriter
from retention.journal import Head, Journal, Kind, parse_line
from retention.ledger import Ledger
from retention.model import (
    US_PER_S,
    ClockState,
    Codec,
    EndReason,
    Fragment,
    GapCause,
    MediaFormat,
    ReceivedUnit,
    SegmentHeader,
    Track,
    VideoFormat,
)
from retention.segmenter import NewRun, Segmenter
from retention.writer_ports import Durable, Failed, Sealed

FORMAT = MediaFormat(
    video=VideoFormat(codec=Codec.H264, width=160, height=96, parameter_sets=(b"g", b"h"))
)
STEP_US = 100_000
GOP = 10


@dataclass
class Clock:
    now_us: int = 1_700_000_000 * US_PER_S
    off_us: int = 0

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us - self.off_us


@dataclass
class Sink:
    """A volume that takes everything and says nothing by itself."""

    volume: str = "v"
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def open(self, header: SegmentHeader) -> None:
        self.calls.append(("open", header))

    def append(self, camera: str, number: int, fragment: Fragment) -> None:
        self.calls.append(("append", (number, fragment)))

    def seal(self, camera: str, number: int, reason: EndReason) -> None:
        self.calls.append(("seal", (number, reason)))

    def abandon(self, camera: str, number: int) -> None:
        self.calls.append(("abandon", number))

    def fragments(self) -> list[tuple[int, Fragment]]:
        return [told for call, told in self.calls if call == "append"]


@dataclass
class Sinks:
    sink: Sink | None
    stuck: bool = False

    def choose(self) -> Sink | None:
        return None if self.stuck else self.sink

    def is_stuck(self, volume: str) -> bool:
        return self.stuck

    def name_of(self, volume: str) -> str:
        return f"/srv/{volume}"

    def trouble(self) -> GapCause:
        return GapCause.DISK_FULL


class Bench:
    """A recorder with its surroundings, and a camera that sends when told."""

    def __init__(self, folder: Path, sink: Sink | None, buffer_bytes: int = 10_000) -> None:
        self.clock = Clock()
        self.sinks = Sinks(sink)
        self.index = IndexWriter(folder / "index.db")
        self.lines: list[dict[str, Any]] = []
        journal = Journal(Ed25519PrivateKey.generate(), Head())
        self.ledger = Ledger(self.index, journal)
        self.sent = 0
        self.metrics = EdgeMetrics(_no_snapshot)
        self.recorder = CameraRecorder(
            "gate",
            gaps=GapKeeper(self.clock.now_us),
            segmenter=Segmenter(
                camera="gate",
                next_number=1,
                new_run=lambda skew_us: NewRun(run="0" * 32, clock=ClockState.TRUSTED),
            ),
            sinks=self.sinks,
            ledger=self.ledger,
            metrics=self.metrics,
            clock=self.clock,
            buffer_bytes=buffer_bytes,
            tap=CameraTap(self.clock),
            epoch_of=lambda skew_us: 1 + skew_us // US_PER_S,
        )
        self.recorder.format_changed(FORMAT)

    def send(self, groups: int) -> None:
        for _ in range(groups * GOP):
            self.recorder.unit(
                ReceivedUnit(
                    track=Track.VIDEO,
                    media_us=self.sent * STEP_US,
                    arrival_utc_us=self.clock.now_us,
                    arrival_monotonic_us=self.clock.monotonic_us(),
                    is_key=self.sent % GOP == 0,
                    is_damaged=False,
                    data=b"\0\0\0\x60" + bytes(96),
                )
            )
            self.sent += 1
            self.clock.now_us += STEP_US

    def gaps(self) -> list[dict[str, Any]]:
        self.ledger.flushed().result()

        entries: Future[Any] = self.index.submit(
            lambda connection: [
                parse_line(line.encode())
                for (line,) in connection.execute("SELECT line FROM journal ORDER BY seq")
            ]
        )
        return [dict(entry.data) for entry in entries.result() if entry.kind is Kind.GAP]


def _no_snapshot() -> Snapshot:
    raise AssertionError("nobody scrapes")


@pytest.fixture
def sink() -> Sink:
    return Sink()


def units_of(fragments: list[tuple[int, Fragment]]) -> list[int]:
    return [unit.pts_us for _, fragment in fragments for unit in fragment.units]


def test_fragments_go_to_the_volume_and_leave_the_buffer_when_durable(
    tmp_path: Path, sink: Sink
) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(4)
    assert sink.calls[0][0] == "open"
    taken = sink.fragments()
    assert len(taken) >= 2
    size_bytes = sum(fragment.size_bytes for _, fragment in taken)
    assert bench.recorder.buffered_bytes == size_bytes
    end_us = taken[-1][1].end_us
    bench.recorder.on_event(
        Durable(camera="gate", number=1, end_us=end_us, fragments=len(taken), size_bytes=size_bytes)
    )
    assert bench.recorder.buffered_bytes == 0
    assert bench.recorder.newest_durable_us == end_us
    bench.index.close()


def test_what_a_failed_volume_did_not_keep_goes_on_in_a_new_segment(
    tmp_path: Path, sink: Sink
) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(5)
    before = sink.fragments()
    kept = before[0][1]
    bench.recorder.on_event(
        Durable(camera="gate", number=1, end_us=kept.end_us, fragments=1, size_bytes=1)
    )
    sink.calls.clear()
    bench.recorder.on_event(
        Failed(
            camera="gate",
            number=1,
            durable_end_us=kept.end_us,
            cause=GapCause.DISK_FAILED,
            error="EIO",
        )
    )
    call, header = sink.calls[0]
    assert call == "open"
    assert header.number == 2
    assert header.start_us == before[1][1].start_us
    assert units_of(sink.fragments()) == units_of(before[1:])
    bench.send(2)
    assert {number for number, _ in sink.fragments()} == {2}
    bench.recorder.close()
    assert sink.calls[-1][1] == (2, EndReason.RUN_ENDED)
    assert bench.gaps() == []
    bench.index.close()


def test_a_segment_sealed_short_by_its_volume_loses_nothing(tmp_path: Path, sink: Sink) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(4)
    before = sink.fragments()
    sink.calls.clear()
    bench.recorder.on_event(
        Sealed(camera="gate", number=1, end_us=0, reason=EndReason.IO_ERROR, size_bytes=0)
    )
    assert units_of(sink.fragments()) == units_of(before)
    bench.index.close()


def test_a_full_buffer_drops_whole_groups_and_tells_the_gap(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None, buffer_bytes=2_500)
    bench.send(8)
    assert bench.recorder.buffered_bytes <= 2_500
    assert bench.recorder.gap_cause is GapCause.DISK_FULL
    bench.sinks.sink = sink = Sink()
    bench.recorder.tick()
    held = sink.fragments()
    assert len(held) == 2
    bench.recorder.on_event(
        Durable(camera="gate", number=1, end_us=held[-1][1].end_us, fragments=2, size_bytes=1)
    )
    bench.send(2)
    assert bench.recorder.gap_cause is None
    resumed = sink.fragments()[2][1]
    assert resumed.is_key
    opened, closed = bench.gaps()
    assert (opened["cause"], opened["start_us"]) == ("disk_full", held[-1][1].end_us)
    assert (closed["start_us"], closed["end_us"]) == (opened["start_us"], resumed.start_us)
    bench.index.close()


def test_pictures_too_large_to_be_any_are_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, None)
    bench.recorder.lost(3, 2)
    labels = {"camera": "gate", "stream": STREAM}
    value = bench.metrics.registry.get_sample_value
    assert value("nvr_stream_oversized_frames_total", labels) == 2
    assert value("nvr_stream_rtp_lost_packets_total", labels) == 3
    bench.index.close()


def test_what_waited_for_a_volume_goes_before_what_came_since(tmp_path: Path) -> None:
    """Else newer footage is durable first, and what waits looks like an unexplained gap."""
    bench = Bench(tmp_path, None, buffer_bytes=100_000)
    bench.recorder._segmenter.segment_us = 2 * US_PER_S
    bench.send(8)
    bench.sinks.sink = sink = Sink()
    bench.send(4)  # a new segment begins before the next tick
    numbers = [header.number for call, header in sink.calls if call == "open"]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1
    times = units_of(sink.fragments())
    assert times == sorted(times)
    bench.index.close()


def test_a_stuck_volume_is_left_for_another(tmp_path: Path, sink: Sink) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(4)
    before = units_of(sink.fragments())
    other = Sink("w")

    class Moved(Sinks):
        def is_stuck(self, volume: str) -> bool:
            return volume == sink.volume

    moved = Moved(other)
    bench.recorder._sinks = moved
    bench.recorder.tick()
    assert sink.calls[-1] == ("abandon", 1)
    assert units_of(other.fragments()) == before
    bench.recorder.on_event(
        Durable(camera="gate", number=1, end_us=1, fragments=1, size_bytes=1)
    )  # the stuck one answers after all
    assert units_of(other.fragments()) == before
    bench.index.close()


def step(bench: Bench, seconds: int) -> None:
    bench.clock.now_us += seconds * US_PER_S
    bench.clock.off_us += seconds * US_PER_S


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_over_a_step_of_the_clock_nothing_is_missing(
    tmp_path: Path, sink: Sink, seconds: int
) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(4)
    step(bench, seconds)
    bench.send(4)
    bench.recorder.close()
    bench.recorder.tick()
    taken = sink.fragments()
    assert len(units_of(taken)) == 8 * GOP
    assert bench.gaps() == []
    for number, count in ((1, 1), (2, 1)):  # becomes durable only now: the first, told before
        end_us = [fragment.end_us for place, fragment in taken if place == number][0]
        bench.recorder.on_event(
            Durable(camera="gate", number=number, end_us=end_us, fragments=count, size_bytes=1)
        )
        newest_us = bench.recorder.newest_durable_us
        assert newest_us is not None
        assert 0 <= bench.clock.now_us - newest_us < 10 * US_PER_S
    bench.index.close()


def test_a_camera_that_is_away_over_a_step_has_a_gap_on_each_clock(
    tmp_path: Path, sink: Sink
) -> None:
    bench = Bench(tmp_path, sink)
    bench.send(2)
    bench.recorder.ended(GapCause.CAMERA_OFFLINE, "away")
    for _ in range(3):
        bench.clock.now_us += US_PER_S
        bench.recorder.tick()
    step(bench, 3600)
    bench.recorder.tick()
    for _ in range(3):
        bench.clock.now_us += US_PER_S
        bench.recorder.tick()
    first, closed, second = bench.gaps()
    assert (first["event"], first["start_epoch"]) == ("opened", 1)
    assert (closed["event"], closed["epoch"]) == ("closed", 1)
    assert (second["event"], second["start_epoch"]) == ("opened", 3601)
    assert second["start_us"] == closed["end_us"] + 3600 * US_PER_S
    bench.index.close()


def test_a_cameras_clock_is_told_against_the_hosts_also_after_a_step(
    tmp_path: Path, sink: Sink
) -> None:
    bench = Bench(tmp_path, sink)
    assert bench.recorder.clock_offset_us is None
    bench.recorder.camera_time(2 * US_PER_S)
    assert bench.recorder.clock_offset_us == 2 * US_PER_S
    step(bench, 3600)
    assert bench.recorder.clock_offset_us == -3598 * US_PER_S
    bench.index.close()

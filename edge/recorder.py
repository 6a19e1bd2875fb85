"""One camera's way from access units to durable segments, and its account of gaps.

Shell, on the event loop of ``edge``; nothing here waits for disk or SQL. Fragments stay in RAM
until the volume says that they are durable: a volume that fails gives them back, and they go to
the next one. The buffer is bounded; what does not fit is dropped by whole GOPs, counted, and
becomes a gap.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from edge.gaps import GapClosed, GapEvent, GapKeeper
from edge.metrics import STREAM, EdgeMetrics
from retention.clock import Clock
from retention.ledger import Ledger
from retention.model import (
    US_PER_S,
    AccessUnit,
    EndReason,
    Fragment,
    GapCause,
    MediaFormat,
    ReceivedUnit,
    SegmentHeader,
    Track,
)
from retention.segmenter import (
    Action,
    AppendFragment,
    AskKeyFrame,
    Hole,
    OpenSegment,
    SealSegment,
    Segmenter,
    StartRun,
)
from retention.timebase import CLOCK_STEP_MIN_US, Placement, RunClock
from retention.writer_ports import Durable, Failed, Refused, Sealed

log = logging.getLogger(__name__)

#: Media that came within this time means that the camera is up (recording.md, nvr_camera_up).
UP_US = 5 * US_PER_S


class SegmentSink(Protocol):
    """One volume, as the recorder sees it; never blocks (retention.writer.VolumeWriter)."""

    @property
    def volume(self) -> str: ...
    def open(self, header: SegmentHeader) -> None: ...
    def append(self, camera: str, number: int, fragment: Fragment) -> None: ...
    def seal(self, camera: str, number: int, reason: EndReason) -> None: ...
    def abandon(self, camera: str, number: int) -> None: ...


class SinkChooser(Protocol):
    """Where new segments go (retention.volumes.VolumeSet)."""

    def choose(self) -> SegmentSink | None:
        """The volume with the largest free share, or None when none takes a byte."""
        ...

    def is_stuck(self, volume: str) -> bool:
        """Whether a volume has not answered for so long that another one should take over."""
        ...

    def name_of(self, volume: str) -> str:
        """The ``volume`` label of metrics."""
        ...

    def trouble(self) -> GapCause:
        """Why a buffer runs full now: disk_full, disk_failed or disk_slow."""
        ...


class LiveTap(Protocol):
    """Who wants units before they are on disk (edge.tap.CameraTap); never blocks."""

    def publish(self, run: str, format: MediaFormat, unit: AccessUnit) -> None: ...
    def settle(self, first_waiting: AccessUnit | None, last_taken: AccessUnit) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraClock:
    """What a camera's clock showed, and CLOCK_MONOTONIC then: a step of ours does not change it."""

    utc_us: int
    monotonic_us: int


@dataclass(slots=True)
class _Unwritten:
    """A segment that is not yet wholly durable."""

    header: SegmentHeader
    sink: SegmentSink | None
    fragments: deque[Fragment] = field(default_factory=deque)  # not yet durable
    sealed: EndReason | None = None
    #: UTC minus CLOCK_MONOTONIC, and the stretch of host time, that its instants are of.
    skew_us: int = 0
    epoch: int = 0


class _Counters:
    """What one track sent; the labels looked up once, for they are raised at each unit."""

    def __init__(self, metrics: EdgeMetrics, camera: str, track: Track) -> None:
        labels = (camera, STREAM, track.value)
        self.bytes = metrics.received_bytes.labels(*labels)
        self.frames = metrics.received_frames.labels(*labels)
        self.key_frames = metrics.key_frames.labels(*labels)


class CameraRecorder:
    """Takes one camera's events (``edge.camera.pool``) and its volumes' answers.

    Args:
        camera: the id.
        gaps: the account, continued from what the ledger holds.
        buffer_bytes: bound of what waits for disk.
        epoch_of: the stretch of host time for what UTC minus CLOCK_MONOTONIC was in it.
    """

    def __init__(
        self,
        camera: str,
        *,
        gaps: GapKeeper,
        segmenter: Segmenter,
        sinks: SinkChooser,
        ledger: Ledger,
        metrics: EdgeMetrics,
        clock: Clock,
        buffer_bytes: int,
        tap: LiveTap,
        epoch_of: Callable[[int], int] = lambda skew_us: 0,
    ) -> None:
        self.camera = camera
        self.format: MediaFormat | None = None
        self.newest_durable_us: int | None = None
        self.camera_clock: CameraClock | None = None
        self.buffered_bytes = 0
        self.received_bytes = 0
        self._gaps = gaps
        self._segmenter = segmenter
        self._sinks = sinks
        self._ledger = ledger
        self._metrics = metrics
        self._counters = {track: _Counters(metrics, camera, track) for track in Track}
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._tap = tap
        self._last_taken: AccessUnit | None = None  # newest unit that the segmenter handed out
        self._epoch_of = epoch_of
        #: UTC minus CLOCK_MONOTONIC of the account of gaps, and of what is handed out.
        self._skew_us = clock.utc_us() - clock.monotonic_us()
        self._run_clock = RunClock()
        self._unwritten: dict[int, _Unwritten] = {}
        self._template: SegmentHeader | None = None  # of the segment in hand
        self._number: int | None = None  # the segment in hand, once it has a file
        self.is_dropping = False
        self._last_media_us: int | None = None  # monotonic

    # What the camera sends -------------------------------------------------------------------

    def format_changed(self, media: MediaFormat) -> None:
        self._place(self._run_clock.flush())  # units still held are of the old format
        self._segmenter.set_format(media)
        self.format = media

    def unit(self, received: ReceivedUnit) -> None:
        self._count(received)
        self._place(self._run_clock.place(received))

    def _place(self, placements: Iterable[Placement]) -> None:
        for placement in placements:
            skipped = self._segmenter.dropped_units
            actions = self._segmenter.feed(
                placement.unit,
                placement.new_run,
                step_us=placement.step_us,
                skew_us=placement.skew_us,
            )
            self._carry_out(actions)  # of what came before, on the clock as it was then
            if placement.new_run is not None:
                self._follow_clock(placement.skew_us)
            if self._segmenter.dropped_units > skipped:
                self._metrics.skipped_frames.labels(self.camera, STREAM).inc()
            elif self._segmenter.in_hand is not None:
                self._tap.publish(*self._segmenter.in_hand, placement.unit)

    def camera_time(self, offset_us: int) -> None:
        now_us = self._clock.monotonic_us()
        utc_us = self._clock.utc_us() + offset_us
        self.camera_clock = CameraClock(utc_us=utc_us, monotonic_us=now_us)

    def lost(self, packets: int, pictures: int) -> None:
        self._metrics.lost_packets.labels(self.camera, STREAM).inc(packets)
        self._metrics.oversized_frames.labels(self.camera, STREAM).inc(pictures)
        if pictures:
            log.warning("pictures_too_large", extra={"camera": self.camera, "count": pictures})

    def time_untrusted(self) -> None:
        """The host's time is not trusted any more: what is recorded from now on is another run."""
        self._segmenter.renew()

    def _follow_clock(self, skew_us: int) -> None:
        """From now on instants are of a clock that stands so against CLOCK_MONOTONIC."""
        step_us, self._skew_us = skew_us - self._skew_us, skew_us
        epoch = self._epoch_of(skew_us)
        if abs(step_us) <= CLOCK_STEP_MIN_US:
            self._gaps.epoch = epoch
            return
        self._tell(self._gaps.stepped(step_us, self._clock.utc_us(), epoch))
        if self.newest_durable_us is not None:
            self.newest_durable_us += step_us

    def ended(self, cause: GapCause, detail: str) -> None:
        """The stream is over, or could not be had; the pool tries again by itself."""
        self.close()
        self._follow_clock(self._clock.utc_us() - self._clock.monotonic_us())
        self._tell(self._gaps.lost(cause, detail, self._clock.utc_us()))

    def close(self) -> None:
        """Hand out all that is in hand and seal; what follows is a new run."""
        self._place(self._run_clock.end())
        self._carry_out(self._segmenter.end())

    def tick(self) -> None:
        """Once a second: tell of gaps, and try again what found no volume."""
        if self._run_clock.is_idle:
            self._follow_clock(self._clock.utc_us() - self._clock.monotonic_us())
        self._tell(self._gaps.tick(self._clock.utc_us()))
        for number, segment in list(self._unwritten.items()):
            if segment.sink is None:
                self._submit()
            elif self._sinks.is_stuck(segment.sink.volume) and self._sinks.choose() is not None:
                segment.sink.abandon(self.camera, number)
                self._move_on(number)

    def _count(self, received: ReceivedUnit) -> None:
        counters = self._counters[received.track]
        self.received_bytes += len(received.data)
        counters.bytes.inc(len(received.data))
        counters.frames.inc()
        if received.is_damaged:
            self._metrics.damaged_frames.labels(self.camera, STREAM).inc()
        self._last_media_us = received.arrival_monotonic_us
        if received.is_key and received.track is Track.VIDEO:
            counters.key_frames.inc()

    # What the segmenter decides --------------------------------------------------------------

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case StartRun(run=run):
                    self._ledger.run_started(run)
                case OpenSegment(header=header):
                    self._template, self._number = header, None
                case AppendFragment(fragment=fragment):
                    self._accept(fragment)
                case SealSegment(reason=reason):
                    self._seal(reason)
                case Hole(start_us=start_us, end_us=end_us, cause=cause):
                    self._tell(self._gaps.hole(start_us, end_us, cause or GapCause.STREAM_DAMAGED))
                case AskKeyFrame():
                    log.warning("key_frame_missing", extra={"camera": self.camera})

    def _accept(self, fragment: Fragment) -> None:
        size_bytes = fragment.size_bytes
        self._last_taken = fragment.units[-1]
        if self.buffered_bytes + size_bytes > self._buffer_bytes:
            self.is_dropping = True
            if self._number is not None:
                self._seal(EndReason.DROPPED)
        elif fragment.is_key:
            self.is_dropping = False
        if self.is_dropping:
            self._drop(fragment)
            return
        self._tell(self._gaps.recorded(fragment.start_us, fragment.end_us, GapCause.STREAM_DAMAGED))
        self.buffered_bytes += size_bytes
        segment = self._segment_in_hand(fragment)
        segment.fragments.append(fragment)
        if segment.sink is not None:
            segment.sink.append(self.camera, segment.header.number, fragment)

    def _drop(self, fragment: Fragment) -> None:
        cause = self._sinks.trouble()
        frames = sum(unit.track is Track.VIDEO for unit in fragment.units)
        self._metrics.dropped_frames.labels(self.camera, STREAM, cause.value).inc(frames)
        self._tell(self._gaps.lost(cause, "the buffer is full", fragment.end_us))
        self._settle()

    def _settle(self) -> None:
        """Tell the tap what nobody needs of it any more."""
        waiting = [one.fragments[0] for one in self._unwritten.values() if one.fragments]
        oldest = min(waiting, key=lambda fragment: fragment.start_us, default=None)
        if self._last_taken is not None:
            self._tap.settle(None if oldest is None else oldest.units[0], self._last_taken)

    def _segment_in_hand(self, fragment: Fragment) -> _Unwritten:
        if self._number is not None and self._number in self._unwritten:
            return self._unwritten[self._number]
        assert self._template is not None, "a fragment belongs to an open segment"
        header = self._template
        if header.start_us != fragment.start_us:  # after a drop or a failure
            header = replace(header, number=self._take_number(), start_us=fragment.start_us)
        self._number = header.number
        segment = _Unwritten(
            header=header, sink=None, skew_us=self._skew_us, epoch=self._gaps.epoch
        )
        self._unwritten[self._number] = segment
        self._submit()
        return segment

    def _take_number(self) -> int:
        number = self._segmenter.next_number
        self._segmenter.next_number += 1
        return number

    def _seal(self, reason: EndReason) -> None:
        if self._number is None:
            return  # all of it was dropped
        segment = self._unwritten[self._number]
        segment.sealed = reason
        if segment.sink is not None:
            segment.sink.seal(self.camera, self._number, reason)
        self._number = None

    def _submit(self) -> None:
        """Hand every segment that waits to a volume, as far as it has got; without one it waits on.

        What waits longer goes first, so that footage becomes durable in order.
        """
        waiting = [one for one in self._unwritten.values() if one.sink is None]
        for one in sorted(waiting, key=lambda one: one.header.start_us):
            self._hand_over(one)

    def _hand_over(self, segment: _Unwritten) -> None:
        segment.sink = sink = self._sinks.choose()
        if sink is None:
            return
        sink.open(segment.header)
        for fragment in segment.fragments:
            sink.append(self.camera, segment.header.number, fragment)
        if segment.sealed is not None:
            sink.seal(self.camera, segment.header.number, segment.sealed)

    # What the volumes answer -----------------------------------------------------------------

    def on_event(self, event: Durable | Sealed | Failed | Refused) -> None:
        segment = self._unwritten.get(event.number)
        if segment is None:
            return  # it was abandoned, and is recorded elsewhere
        match event:
            case Durable():
                for _ in range(event.fragments):
                    self.buffered_bytes -= segment.fragments.popleft().size_bytes
                end_us = event.end_us + self._skew_us - segment.skew_us
                self.newest_durable_us = max(end_us, self.newest_durable_us or 0)
                self._settle()
                if segment.sink is not None:
                    labels = (self.camera, STREAM, self._sinks.name_of(segment.sink.volume))
                    self._metrics.recorded_bytes.labels(*labels).inc(event.size_bytes)
            case Refused():
                cause = GapCause.STREAM_DAMAGED
                self._metrics.dropped_frames.labels(self.camera, STREAM, cause.value).inc()
                self._ledger.gap(
                    self.camera,
                    event.start_us,
                    event.end_us,
                    cause,
                    event.error,
                    epoch=segment.epoch,
                )
            case Sealed():
                if segment.sink is not None:
                    labels = (self.camera, STREAM, self._sinks.name_of(segment.sink.volume))
                    self._metrics.recorded_segments.labels(*labels, event.reason.value).inc()
                self._move_on(event.number)
            case Failed():
                log.error("segment_failed", extra={"camera": self.camera, "error": event.error})
                self._move_on(event.number)

    def _move_on(self, number: int) -> None:
        """A volume is done with a segment; what it did not keep goes on in a new one."""
        segment = self._unwritten.pop(number)
        is_in_hand = self._number == number
        if is_in_hand:
            self._number = None
        if not segment.fragments:
            return
        fresh = self._take_number()
        start_us = segment.fragments[0].start_us
        segment.header = replace(segment.header, number=fresh, start_us=start_us)
        segment.sink = None
        if is_in_hand:
            self._number = fresh
        self._unwritten[fresh] = segment
        self._submit()

    @property
    def clock_offset_us(self) -> int | None:
        """The camera's clock minus the host's."""
        if self.camera_clock is None:
            return None
        skew_us = self.camera_clock.utc_us - self.camera_clock.monotonic_us
        return skew_us - (self._clock.utc_us() - self._clock.monotonic_us())

    @property
    def next_number(self) -> int:
        """The number of the segment that comes next."""
        return self._segmenter.next_number

    @property
    def is_drained(self) -> bool:
        """Whether everything taken so far is durable."""
        return not self._unwritten

    @property
    def key_frame_interval_us(self) -> int | None:
        return self._segmenter.key_interval_us

    @property
    def gap_cause(self) -> GapCause | None:
        return self._gaps.cause

    @property
    def gap_detail(self) -> str:
        return self._gaps.detail

    def is_up(self, now_monotonic_us: int) -> bool:
        last_us = self._last_media_us
        return last_us is not None and now_monotonic_us - last_us < UP_US

    # What the ledger is told -----------------------------------------------------------------

    def _tell(self, events: Iterable[GapEvent]) -> None:
        for event in events:
            if isinstance(event, GapClosed):
                self._ledger.gap_closed(
                    self.camera, event.start_us, event.end_us, epoch=event.epoch
                )
                seconds = (event.end_us - event.start_us) / US_PER_S
                labels = (self.camera, STREAM, event.cause.value)
                self._metrics.gap_seconds.labels(*labels).inc(max(0.0, seconds))
            else:
                self._ledger.gap_opened(
                    self.camera, event.start_us, event.cause, event.detail, epoch=event.epoch
                )
                self._metrics.gaps.labels(self.camera, STREAM, event.cause.value).inc()

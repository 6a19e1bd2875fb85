"""Where a demo camera's units come from: encoded live, or a list looped.

A source is asked once per tick (one picture or one audio frame); the ticks are ``interval_us``
apart. Asking may block for the time of one encoding when ``is_blocking``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

import av

from edge.demo import encode, units
from edge.demo.picture import Painter
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, AudioFormat, Codec, Track, VideoFormat

#: A file longer than this many pictures is cut: a loop lives in memory.
LOOP_PICTURES_MAX = 10_000


class Source(Protocol):
    """Units of one track, tick by tick."""

    @property
    def format(self) -> VideoFormat | AudioFormat: ...

    @property
    def interval_us(self) -> Fraction:
        """Microseconds from one tick to the next."""
        ...

    @property
    def is_blocking(self) -> bool: ...

    def produce(self, tick: int, utc_us: int) -> list[units.TimedUnit]:
        """The units that are ready at this tick; ``utc_us`` is what the camera's clock shows.

        Times are microseconds since the source's tick 0.
        """
        ...

    def ask_key_frame(self) -> None:
        """Make the next picture a key frame, if the source can."""
        ...


class LiveSource:
    """Paints and encodes each picture when it is due."""

    is_blocking = True

    def __init__(self, plan: StreamPlan, *, label: str, hue: int) -> None:
        self._plan = plan
        self._painter = painter_of(plan, label, hue)
        self._encoder = encode.PictureEncoder(plan)
        self._key_wanted = False
        self.interval_us = Fraction(US_PER_S, plan.fps)

    @property
    def format(self) -> VideoFormat:
        return self._encoder.format

    def produce(self, tick: int, utc_us: int) -> list[units.TimedUnit]:
        key, self._key_wanted = self._key_wanted, False
        picture = self._painter.paint(tick, utc_us)
        return [
            units.TimedUnit(pts_us=int(done.number * self.interval_us), unit=done.unit)
            for done in self._encoder.encode(picture, tick, key=key)
        ]

    def ask_key_frame(self) -> None:
        # A GOP of a second or less brings one soon enough, and stays as planned.
        self._key_wanted = self._plan.gop_frames > self._plan.fps


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopUnit:
    """One unit of a loop; ``shift_us`` is its presentation time minus that of its tick."""

    shift_us: int
    unit: units.MediaUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Encoded units that are sent over and over; shared by any number of cameras."""

    format: VideoFormat | AudioFormat
    interval_us: Fraction
    units: tuple[LoopUnit, ...]


class LoopSource:
    """Sends a :class:`Loop`, from its unit ``first`` on; costs next to nothing."""

    is_blocking = False

    def __init__(self, loop: Loop, *, stamp: bool = False, first: int = 0) -> None:
        if not loop.units:
            raise ValueError("a loop needs at least one unit")
        self._loop = loop
        self._stamp = stamp
        self._skipped = first  # units left out, to begin elsewhere or to reach a key frame
        self._key_wanted = False

    @property
    def format(self) -> VideoFormat | AudioFormat:
        return self._loop.format

    @property
    def interval_us(self) -> Fraction:
        return self._loop.interval_us

    def produce(self, tick: int, utc_us: int) -> list[units.TimedUnit]:
        del utc_us
        if self._key_wanted:
            self._key_wanted = False
            self._skip_to_key(tick)
        found = self._at(tick)
        unit = self._stamped(found.unit, tick) if self._stamp else found.unit
        pts_us = int(tick * self.interval_us) + found.shift_us
        return [units.TimedUnit(pts_us=pts_us, unit=unit)]

    def ask_key_frame(self) -> None:
        self._key_wanted = True

    def _at(self, tick: int) -> LoopUnit:
        return self._loop.units[(tick + self._skipped) % len(self._loop.units)]

    def _skip_to_key(self, tick: int) -> None:
        """Go to the next key frame, unless it comes within a second anyhow."""
        soon = int(US_PER_S / self.interval_us)
        for ahead in range(len(self._loop.units)):
            if self._at(tick + ahead).unit.is_key:
                if ahead > soon:
                    self._skipped += ahead
                return

    def _stamped(self, unit: units.MediaUnit, number: int) -> units.MediaUnit:
        video = self._loop.format
        if not isinstance(video, VideoFormat):
            return unit
        stamp = units.stamp_nal(video.codec, number)
        at = next((i for i, nal in enumerate(unit.nals) if units.is_picture(video.codec, nal)), 0)
        nals = (*unit.nals[:at], stamp, *unit.nals[at:])
        return units.MediaUnit(track=unit.track, is_key=unit.is_key, nals=nals)


def painter_of(plan: StreamPlan, label: str, hue: int) -> Painter:
    """A planned bit rate is to be reached, hence the grain."""
    return Painter(
        name=label,
        width=plan.width,
        height=plan.height,
        hue=hue,
        has_grain=plan.bit_rate is not None,
        is_lost=plan.shows == "blue",
    )


@lru_cache(maxsize=16)
def painted_loop(plan: StreamPlan, seconds: int) -> Loop:
    """A loop of whole GOPs, at least ``seconds`` long, encoded once per plan and process."""
    encoder = encode.PictureEncoder(plan)
    painter = painter_of(plan, "loop", hue=7)
    gops = -(-seconds * plan.fps // plan.gop_frames)
    gops += gops % 2  # an even number keeps idr_pic_id alternating across the seam
    interval_us = Fraction(US_PER_S, plan.fps)
    done: list[encode.EncodedPicture] = []
    for number in range(gops * plan.gop_frames):
        done += encoder.encode(painter.paint(number, int(number * interval_us)), number)
    done += encoder.flush()
    return Loop(
        format=encoder.format,
        interval_us=interval_us,
        units=_shifted([(int(one.number * interval_us), one.unit) for one in done], interval_us),
    )


@lru_cache(maxsize=4)
def beep_loop(codec: Codec) -> Loop:
    """The sound of a demo camera; ``codec`` is AAC, ALAW or ULAW."""
    audio, samples, found = encode.audio_loop(codec)
    return Loop(
        format=audio,
        interval_us=Fraction(samples * US_PER_S, audio.sample_rate_hz),
        units=tuple(LoopUnit(shift_us=0, unit=unit) for unit in found),
    )


@lru_cache(maxsize=4)
def file_loop(path: str, *, inband_parameter_sets: bool = True) -> Loop:
    """The first video stream of a file, from its first key frame on.

    Raises av.error.FFmpegError (not readable) and ValueError (not H.264 or H.265, no key frame).
    """
    with av.open(path) as container:
        stream = container.streams.video[0]
        names = {"h264": Codec.H264, "hevc": Codec.H265}
        codec = names.get(stream.codec_context.name)
        if codec is None:
            raise ValueError(f"{path} holds {stream.codec_context.name}, not H.264 or H.265")
        filtered = av.BitStreamFilterContext(
            "h264_mp4toannexb" if codec is Codec.H264 else "hevc_mp4toannexb", stream
        )
        assert stream.time_base is not None
        assert stream.average_rate is not None
        interval_us = Fraction(US_PER_S) / stream.average_rate
        timed: list[tuple[int, units.MediaUnit]] = []
        sets: tuple[bytes, ...] = ()
        for packet in container.demux(stream):
            for part in filtered.filter(packet):
                nals = units.split_start_codes(bytes(part))
                found = tuple(nal for nal in nals if units.is_parameter_set(codec, nal))
                sets = sets or found
                if part.pts is None or not (timed or part.is_keyframe):
                    continue
                rest = tuple(nal for nal in nals if not units.is_parameter_set(codec, nal))
                if part.is_keyframe and inband_parameter_sets:
                    rest = (found or sets) + rest
                unit = units.MediaUnit(track=Track.VIDEO, is_key=part.is_keyframe, nals=rest)
                timed.append((int(part.pts * stream.time_base * US_PER_S), unit))
            if len(timed) >= LOOP_PICTURES_MAX:
                break
        width, height = stream.codec_context.width, stream.codec_context.height
    if not timed:
        raise ValueError(f"{path} holds no key frame")
    video = VideoFormat(codec=codec, width=width, height=height, parameter_sets=sets)
    return Loop(format=video, interval_us=interval_us, units=_shifted(timed, interval_us))


def _shifted(
    timed: Sequence[tuple[int, units.MediaUnit]], interval_us: Fraction
) -> tuple[LoopUnit, ...]:
    """Units in decode order, each with its distance from the tick at which it is sent."""
    first_us = timed[0][0]
    return tuple(
        LoopUnit(shift_us=pts_us - first_us - int(index * interval_us), unit=unit)
        for index, (pts_us, unit) in enumerate(timed)
    )


def video_source(plan: CameraPlan, *, hue: int) -> Source:
    """The picture that the plan asks for; ``hue``, the camera's number, tells cameras apart.

    Loops of one plan begin at different units, so that their key frames do not come in a burst.
    """
    stream = plan.stream
    first = hue * 7
    if plan.media is not None:
        loop = file_loop(plan.media, inband_parameter_sets=stream.inband_parameter_sets)
        return LoopSource(loop, stamp=plan.stamp, first=first)
    if plan.loop_seconds is not None:
        loop = painted_loop(stream, plan.loop_seconds)
        return LoopSource(loop, stamp=plan.stamp, first=first)
    return LiveSource(stream, label=plan.label, hue=hue)


def audio_source(plan: CameraPlan) -> Source | None:
    """The sound that the plan asks for, if any."""
    if plan.stream.audio is None:
        return None
    return LoopSource(beep_loop(plan.stream.audio))

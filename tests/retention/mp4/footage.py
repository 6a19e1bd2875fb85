"""Small real encoded footage, made by libav, as the units of our model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import numpy as np

from retention.digest import segment_digest
from retention.model import (
    AccessUnit,
    AudioFormat,
    ClockState,
    Codec,
    EndReason,
    Fragment,
    FragmentEntry,
    MediaFormat,
    SegmentHeader,
    Track,
)
from retention.mp4.mux import Muxer
from retention.mp4.trailer import Trailer, trailer_bytes
from retention.nal import is_key_frame, join_lengths, split_annexb, video_format

START_US = 1_795_436_130_123_457
_ENCODERS = {Codec.H264: "libx264", Codec.H265: "libx265"}
_AUDIO_ENCODERS = {Codec.AAC: "aac", Codec.ALAW: "pcm_alaw", Codec.ULAW: "pcm_mulaw"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """Units in decode order, both tracks mixed by time, from ``START_US`` on."""

    format: MediaFormat
    units: tuple[AccessUnit, ...]
    frame_us: int

    @property
    def video(self) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.track is Track.VIDEO]

    @property
    def audio(self) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.track is Track.AUDIO]

    def header(self, number: int = 7) -> SegmentHeader:
        return SegmentHeader(
            camera="gate-exit",
            run="0123456789abcdef" * 2,
            number=number,
            start_us=self.units[0].pts_us,
            clock=ClockState.TRUSTED,
            format=self.format,
        )


@cache
def encode(
    codec: Codec,
    *,
    frames: int = 24,
    fps: int = 12,
    gop: int = 12,
    b_frames: int = 0,
    size: tuple[int, int] = (176, 144),
    open_gop: bool = False,
    pyramid: bool = False,
    repeat_headers: bool = True,
) -> Footage:
    """Pictures of a moving pattern. In-band parameter sets at key frames, as cameras send them."""
    encoder = cast(Any, av.CodecContext.create(_ENCODERS[codec], "w"))
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, fps)
    encoder.framerate = Fraction(fps, 1)
    encoder.thread_count = 1
    if not repeat_headers:
        encoder.flags |= av.codec.context.Flags.global_header
    common = [
        f"keyint={gop}",
        f"min-keyint={gop}",
        "scenecut=0",
        f"bframes={b_frames}",
        "b-adapt=0",
        f"b-pyramid={int(pyramid)}" if codec is Codec.H265 else f"b-pyramid={2 * int(pyramid)}",
        f"open-gop={int(open_gop)}",
        f"repeat-headers={int(repeat_headers)}",
    ]
    if codec is Codec.H265:
        common += ["log-level=error", "pools=none", "frame-threads=1"]
    key = "x265-params" if codec is Codec.H265 else "x264-params"
    encoder.options = {"preset": "ultrafast", key: ":".join(common)}
    frame_us = 1_000_000 // fps
    units: list[AccessUnit] = []
    packets = []
    for index in range(frames):
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[:, :, index % 3] = np.arange(size[0], dtype=np.uint8) + 5 * index
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = index
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    for packet in packets:
        nals = split_annexb(bytes(packet))
        units.append(
            AccessUnit(
                track=Track.VIDEO,
                pts_us=START_US + packet.pts * frame_us,
                is_key=is_key_frame(codec, nals),
                data=join_lengths(nals),
            )
        )
    first = bytes(packets[0] if repeat_headers else encoder.extradata)
    return Footage(
        format=MediaFormat(video=video_format(codec, split_annexb(first))),
        units=tuple(units),
        frame_us=frame_us,
    )


@cache
def with_audio(footage: Footage, codec: Codec, *, rate_hz: int = 8000) -> Footage:
    """The same pictures with a tone beside them."""
    encoder = cast(Any, av.CodecContext.create(_AUDIO_ENCODERS[codec], "w"))
    encoder.sample_rate = rate_hz
    encoder.layout = "mono"
    encoder.format = "fltp" if codec is Codec.AAC else "s16"
    encoder.time_base = Fraction(1, rate_hz)
    encoder.open()
    step = encoder.frame_size or rate_hz // 50
    video = footage.video
    last_us = max(unit.pts_us for unit in video)
    units: list[AccessUnit] = []
    position = 0
    packets = []
    while START_US + position * 1_000_000 // rate_hz <= last_us:
        wave = np.sin(np.arange(position, position + step) * 440 * 2 * np.pi / rate_hz)
        samples = wave.astype(np.float32) if codec is Codec.AAC else (wave * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None, :], encoder.format.name, "mono")
        frame.sample_rate = rate_hz
        frame.pts = position
        packets += encoder.encode(frame)
        position += step
    packets += encoder.encode(None)
    for index, packet in enumerate(packets):
        units.append(
            AccessUnit(
                track=Track.AUDIO,
                pts_us=START_US + index * step * 1_000_000 // rate_hz,
                is_key=True,
                data=bytes(packet),
            )
        )
    mixed: list[AccessUnit] = []
    waiting = list(units)
    for number, unit in enumerate(video):
        arrival_us = START_US + number * footage.frame_us
        while waiting and waiting[0].pts_us < arrival_us:
            mixed.append(waiting.pop(0))
        mixed.append(unit)
    audio = AudioFormat(
        codec=codec,
        sample_rate_hz=rate_hz,
        channels=1,
        config=bytes(encoder.extradata or b"") if codec is Codec.AAC else b"",
    )
    return replace(
        footage,
        format=replace(footage.format, audio=audio),
        units=tuple(mixed + [unit for unit in waiting if unit.pts_us <= last_us]),
    )


def from_key_frame(footage: Footage, number: int) -> Footage:
    """What remains of the footage from its key frame of that number on, counted from 0."""
    keys = [index for index, unit in enumerate(footage.units) if unit.is_key]
    return replace(footage, units=footage.units[keys[number] :])


def fragments(footage: Footage, *, pictures: int = 0) -> list[Fragment]:
    """Cut at key frames, and after ``pictures`` pictures of a long GOP (0: never)."""
    groups: list[list[AccessUnit]] = []
    count = 0
    for unit in footage.units:
        if unit.track is Track.VIDEO:
            if unit.is_key or not groups or (pictures and count == pictures):
                groups.append([])
                count = 0
            count += 1
        groups[-1].append(unit)
    times = [sorted(u.pts_us for u in group if u.track is Track.VIDEO) for group in groups]
    ends = [each[0] for each in times[1:]] + [max(times[-1]) + footage.frame_us]
    return [
        Fragment(
            units=tuple(group),
            start_us=min(each[0], end),
            end_us=max(each[0], end),
            is_key=next(u for u in group if u.track is Track.VIDEO).is_key,
        )
        for group, each, end in zip(groups, times, ends, strict=True)
    ]


@dataclass(slots=True)
class Bytes:
    """A file in memory that counts what is asked of it."""

    data: bytes
    largest: int = 0
    total: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        self.largest = max(self.largest, size)
        self.total += size
        self.asked.append((offset, size))
        return self.data[offset : offset + size]


def segment(
    footage: Footage, *, pictures: int = 0, sealed: bool = True
) -> tuple[bytes, list[FragmentEntry]]:
    """A whole segment file of the footage, and where its fragments stand."""
    muxer = Muxer(footage.header())
    data = bytearray(muxer.header)
    entries = []
    for fragment in fragments(footage, pictures=pictures):
        stored = muxer.fragment(fragment)
        entries.append(
            FragmentEntry(
                offset=len(data),
                size_bytes=len(stored),
                start_us=fragment.start_us,
                end_us=fragment.end_us,
                is_key=fragment.is_key,
                sha256=hashlib.sha256(stored).digest(),
            )
        )
        data += stored
    if sealed:
        trailer = Trailer(
            end_us=entries[-1].end_us,
            end_reason=EndReason.ROTATED,
            fragments=tuple(entries),
            digest=segment_digest(muxer.header, entries),
        )
        data += trailer_bytes(trailer)
    return bytes(data), entries

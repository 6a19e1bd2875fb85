"""What the clips of tests/media hold, read by libav: the truth that received units are held to."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av

from retention.model import Codec, ReceivedUnit, Track, VideoFormat
from retention.nal import is_key_frame, split_lengths, video_format

_CODECS = {"h264": Codec.H264, "hevc": Codec.H265}


@cache
def clip_units(clip: Path) -> list[ReceivedUnit]:
    """The pictures in decode order, length-prefixed, at the clip's own time stamps."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        codec = _CODECS[stream.codec_context.name]
        units = []
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                data = bytes(packet)
                units.append(
                    ReceivedUnit(
                        track=Track.VIDEO,
                        media_us=int(packet.pts * packet.time_base * 1_000_000),
                        arrival_utc_us=0,
                        arrival_monotonic_us=0,
                        is_key=is_key_frame(codec, split_lengths(data)),
                        is_damaged=False,
                        data=data,
                    )
                )
        return units


@cache
def clip_audio(clip: Path) -> list[bytes]:
    """The audio frames as stored."""
    with av.open(str(clip)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@cache
def clip_format(clip: Path) -> VideoFormat:
    """The parameter sets of the clip's avcC or hvcC box (ISO/IEC 14496-15)."""
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        codec, extradata = _CODECS[context.name], context.extradata or b""
    nals = []
    if codec is Codec.H264:
        at = 5
        for mask in (0x1F, 0xFF):
            count, at = extradata[at] & mask, at + 1
            for _ in range(count):
                size = int.from_bytes(extradata[at : at + 2], "big")
                nals.append(extradata[at + 2 : at + 2 + size])
                at += 2 + size
    else:
        at = 23
        for _ in range(extradata[22]):
            count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
            for _ in range(count):
                size = int.from_bytes(extradata[at : at + 2], "big")
                nals.append(extradata[at + 2 : at + 2 + size])
                at += 2 + size
    return video_format(codec, nals)

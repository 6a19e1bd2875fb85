"""The head of a segment file: ``ftyp``, ``moov`` and our ``uuid`` that explains the file. Core."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from retention.model import AudioFormat, ClockState, Codec, MediaFormat, SegmentHeader, VideoFormat
from retention.mp4.boxes import (
    AUDIO_TRACK,
    HEADER_UUID,
    MAX_HEAD_BYTES,
    MAX_INSTANT_US,
    VIDEO_LEAD,
    VIDEO_TIMESCALE,
    VIDEO_TRACK,
    SegmentCorrupt,
    box,
    full_box,
)
from retention.mp4.entries import audio_entry, video_entry

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
#: Seconds from 1904-01-01, the epoch of 14496-12, to 1970-01-01.
_EPOCH_1904_S = 2_082_844_800
_MATRIX = b"".join(
    word.to_bytes(4, "big") for word in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
)
_FTYP = box(b"ftyp", b"iso6", bytes(4), b"iso6iso5isommp41")
_VIDEO_CODECS = frozenset({Codec.H264, Codec.H265})


def header_bytes(header: SegmentHeader) -> bytes:
    """All that stands before the first fragment.

    Raises:
        ValueError: the header holds what :func:`parse_header` would not take back.
    """
    payload = json.dumps(_to_json(header), separators=(",", ":"), sort_keys=True).encode()
    try:
        if parse_header(payload) != header:
            raise ValueError("a segment header that would not be read back")
    except SegmentCorrupt as error:
        raise ValueError(str(error)) from error
    created = _created(header)
    audio = header.format.audio
    extends = [_trex(VIDEO_TRACK)] + ([_trex(AUDIO_TRACK)] if audio else [])
    head = b"".join(
        (
            _FTYP,
            box(
                b"moov",
                _mvhd(created),
                _video_track(created, header.format.video),
                _audio_track(created, audio, audio_entry(audio)) if audio else b"",
                box(b"mvex", *extends),
            ),
            box(b"uuid", HEADER_UUID, payload),
        )
    )
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError("a segment header that is far too long")
    return head


def audio_only_header(header: SegmentHeader, entry: bytes) -> bytes:
    """``ftyp`` and ``moov`` of a file with the segment's audio track alone, as ``entry`` has it.

    Raises:
        ValueError: the segment has no audio.
    """
    audio = header.format.audio
    if audio is None:
        raise ValueError("a segment without audio")
    created = _created(header)
    return _FTYP + box(
        b"moov",
        _mvhd(created),
        _audio_track(created, audio, entry),
        box(b"mvex", _trex(AUDIO_TRACK)),
    )


def _created(header: SegmentHeader) -> bytes:
    """Time of creation, and of modification, in seconds since 1904 (14496-12, 8.2.2)."""
    seconds = header.start_us // 1_000_000 + _EPOCH_1904_S
    return seconds.to_bytes(8, "big") * 2


def parse_header(payload: bytes) -> SegmentHeader:
    """The header in the payload of our ``uuid`` box.

    Raises:
        SegmentCorrupt: it is none, or of a version that this program does not know.
    """
    try:
        found = json.loads(payload)
        if not isinstance(found, dict) or found.get("version") != _VERSION:
            raise SegmentCorrupt("a segment header of no version that is known here")
        return _from_json(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SegmentCorrupt("a segment header that is damaged") from error


def _to_json(header: SegmentHeader) -> dict[str, Any]:
    video, audio = header.format.video, header.format.audio
    found: dict[str, Any] = {
        "version": _VERSION,
        "camera": header.camera,
        "run": header.run,
        "number": header.number,
        "start_us": header.start_us,
        "clock": header.clock.value,
        "video": {
            "codec": video.codec.value,
            "width": video.width,
            "height": video.height,
            "parameter_sets": [base64.b64encode(nal).decode() for nal in video.parameter_sets],
        },
    }
    if audio is not None:
        found["audio"] = {
            "codec": audio.codec.value,
            "sample_rate_hz": audio.sample_rate_hz,
            "channels": audio.channels,
            "config": base64.b64encode(audio.config).decode(),
        }
    return found


def _from_json(found: dict[str, Any]) -> SegmentHeader:
    video = found["video"]
    audio = found.get("audio")
    codec = Codec(video["codec"])
    if codec not in _VIDEO_CODECS:
        raise ValueError("no video codec")
    return SegmentHeader(
        camera=_name(found["camera"]),
        run=_name(found["run"]),
        number=_integer(found["number"], 0, (1 << 63) - 1),
        start_us=_integer(found["start_us"], 0, MAX_INSTANT_US),
        clock=ClockState(found["clock"]),
        format=MediaFormat(
            video=VideoFormat(
                codec=codec,
                width=_integer(video["width"], 1, 0xFFFF),
                height=_integer(video["height"], 1, 0xFFFF),
                parameter_sets=tuple(_binary(nal) for nal in video["parameter_sets"]),
            ),
            audio=None if audio is None else _audio_from_json(audio),
        ),
    )


def _audio_from_json(found: dict[str, Any]) -> AudioFormat:
    codec = Codec(found["codec"])
    if codec in _VIDEO_CODECS:
        raise ValueError("no audio codec")
    return AudioFormat(
        codec=codec,
        sample_rate_hz=_integer(found["sample_rate_hz"], 1, 768_000),
        channels=_integer(found["channels"], 1, 255),
        config=_binary(found["config"]),
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError("no name")
    return value


def _integer(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("no number that can be")
    return value


def _binary(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("no base64")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _mvhd(created: bytes) -> bytes:
    return full_box(
        b"mvhd",
        1,
        0,
        created + (1000).to_bytes(4, "big") + bytes(8),
        b"\x00\x01\x00\x00\x01\x00" + bytes(10) + _MATRIX + bytes(24),
        (AUDIO_TRACK + 1).to_bytes(4, "big"),
    )


def _video_track(created: bytes, video: VideoFormat) -> bytes:
    size = (video.width << 16).to_bytes(4, "big") + (video.height << 16).to_bytes(4, "big")
    return box(
        b"trak",
        _tkhd(created, VIDEO_TRACK, b"\x00\x00", size),
        _edit_list(),
        box(
            b"mdia",
            _mdhd(created, VIDEO_TIMESCALE),
            _hdlr(b"vide", b"video\0"),
            box(
                b"minf",
                full_box(b"vmhd", 0, 1, bytes(8)),
                _data_in_this_file(),
                _sample_table(video_entry(video)),
            ),
        ),
    )


def _audio_track(created: bytes, audio: AudioFormat, entry: bytes) -> bytes:
    return box(
        b"trak",
        _tkhd(created, AUDIO_TRACK, b"\x01\x00", bytes(8)),
        box(
            b"mdia",
            _mdhd(created, audio.sample_rate_hz),
            _hdlr(b"soun", b"audio\0"),
            box(
                b"minf",
                full_box(b"smhd", 0, 0, bytes(4)),
                _data_in_this_file(),
                _sample_table(entry),
            ),
        ),
    )


def _tkhd(created: bytes, track: int, volume: bytes, size: bytes) -> bytes:
    return full_box(
        b"tkhd",
        1,
        3,  # enabled, in the movie
        created + track.to_bytes(4, "big") + bytes(4 + 8 + 8 + 2 + 2),
        volume + bytes(2) + _MATRIX + size,
    )


def _edit_list() -> bytes:
    """The whole track from ``VIDEO_LEAD`` on; duration 0 says that fragments follow (8.6.6)."""
    media_time = VIDEO_LEAD.to_bytes(8, "big")
    rate = b"\x00\x01\x00\x00"
    return box(b"edts", full_box(b"elst", 1, 0, (1).to_bytes(4, "big"), bytes(8), media_time, rate))


def _mdhd(created: bytes, timescale: int) -> bytes:
    undetermined = b"\x55\xc4\x00\x00"
    return full_box(b"mdhd", 1, 0, created + timescale.to_bytes(4, "big") + bytes(8) + undetermined)


def _hdlr(kind: bytes, name: bytes) -> bytes:
    return full_box(b"hdlr", 0, 0, bytes(4) + kind + bytes(12) + name)


def _data_in_this_file() -> bytes:
    url = full_box(b"url ", 0, 1)
    return box(b"dinf", full_box(b"dref", 0, 0, (1).to_bytes(4, "big"), url))


def _sample_table(entry: bytes) -> bytes:
    """All samples stand in fragments, so the tables are empty."""
    return box(
        b"stbl",
        full_box(b"stsd", 0, 0, (1).to_bytes(4, "big"), entry),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )


def _trex(track: int) -> bytes:
    return full_box(b"trex", 0, 0, track.to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes(12))

"""The head of a segment file."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import AudioFormat, Codec
from retention.mp4.boxes import HEADER_UUID, SegmentCorrupt, children
from retention.mp4.header import header_bytes, parse_header
from tests.retention.mp4.footage import encode, with_audio

_HEADER = with_audio(encode(Codec.H265, frames=2), Codec.AAC, rate_hz=16_000).header()
_PAYLOAD = children(header_bytes(_HEADER))[2][1][16:]


def test_the_file_explains_itself() -> None:
    (ftyp, _), (moov, _), (kind, payload) = children(header_bytes(_HEADER))
    assert (ftyp, moov, kind) == (b"ftyp", b"moov", b"uuid")
    assert payload[:16] == HEADER_UUID
    found = json.loads(payload[16:])
    assert found["camera"] == "gate-exit"
    assert found["start_us"] == _HEADER.start_us
    assert parse_header(payload[16:]) == _HEADER


def test_equal_headers_give_equal_bytes() -> None:
    assert header_bytes(_HEADER) == header_bytes(replace(_HEADER))


@pytest.mark.parametrize(
    "bad",
    [
        {"camera": "../../etc"},
        {"camera": ""},
        {"camera": "a\ud800"},
        {"run": "a b"},
        {"number": -1},
        {"number": 1 << 63},
        {"start_us": -1},
        {"start_us": 253_402_300_800_000_000},
    ],
)
def test_a_header_that_would_not_read_back_is_not_written(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="header"):
        header_bytes(replace(_HEADER, **bad))


def test_garbage_as_parameter_sets_is_not_written() -> None:
    video = replace(_HEADER.format.video, parameter_sets=(b"\x00",))
    with pytest.raises(ValueError, match="parameter set"):
        header_bytes(replace(_HEADER, format=replace(_HEADER.format, video=video)))


def test_an_endless_audio_configuration_is_not_written() -> None:
    audio = AudioFormat(codec=Codec.AAC, sample_rate_hz=8000, channels=1, config=bytes(20_000))
    with pytest.raises(ValueError, match="too long"):
        header_bytes(replace(_HEADER, format=replace(_HEADER.format, audio=audio)))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2}',
        b'{"version":1}',
        b"[" * 100_000,
        b'{"version":1,"number":' + b"9" * 5000 + b"}",
        b'{"version":1,"video":[]}',
        _PAYLOAD.replace(b'"number":7', b'"number":7.0'),
        _PAYLOAD.replace(b'"number":7', b'"number":true'),
        _PAYLOAD.replace(b'"codec":"h265"', b'"codec":"alaw"'),
        _PAYLOAD.replace(b'"codec":"aac"', b'"codec":"h264"'),
        _PAYLOAD.replace(b'"parameter_sets":[', b'"parameter_sets":[7,'),
        _PAYLOAD.replace(b'"parameter_sets":[', b'"parameter_sets":["$",'),
        _PAYLOAD.replace(b'"channels":1', b'"channels":0'),
    ],
)
def test_a_damaged_header_is_corrupt(payload: bytes) -> None:
    with pytest.raises(SegmentCorrupt):
        parse_header(payload)


@given(st.integers(0, len(_PAYLOAD) - 1), st.binary(max_size=4))
def test_any_change_is_corrupt_or_another_header(at: int, bytes_: bytes) -> None:
    try:
        found = parse_header(_PAYLOAD[:at] + bytes_ + _PAYLOAD[at + len(bytes_) :])
    except SegmentCorrupt:
        return
    assert 1 <= found.format.video.width <= 0xFFFF

"""What the sample description says of each codec."""

import pytest

from retention.model import AudioFormat, Codec
from retention.mp4.boxes import children
from retention.mp4.entries import audio_entry, audio_frame_samples, video_entry
from tests.retention.mp4.footage import encode

# AudioSpecificConfig: AAC-LC 16 kHz mono; AAC-LC 48 kHz stereo; HE-AAC 16 to 32 kHz
_LC_16K, _LC_48K, _HE_32K = b"\x14\x08", b"\x11\x90", b"\x2c\x0a\x88"


def test_h264_is_avc1_with_the_first_sets() -> None:
    video = encode(Codec.H264, frames=2).format.video
    [(kind, payload)] = children(video_entry(video))
    assert kind == b"avc1"
    [(kind, record)] = children(payload[78:])
    sps, pps = video.parameter_sets
    assert kind == b"avcC"
    assert record[:6] == b"\x01" + sps[1:4] + b"\xff\xe1"
    assert sps in record
    assert pps in record


def test_h265_is_hvc1_with_complete_arrays() -> None:
    """hvc1, for players that take nothing else; its arrays must be marked complete."""
    video = encode(Codec.H265, frames=2).format.video
    [(kind, payload)] = children(video_entry(video))
    assert kind == b"hvc1"
    [(kind, record)] = children(payload[78:])
    assert kind == b"hvcC"
    assert record[22] == 3
    assert record[23] == 0x80 | 32
    assert all(nal in record for nal in video.parameter_sets)


@pytest.mark.parametrize(
    ("codec", "kind"), [(Codec.AAC, b"mp4a"), (Codec.ALAW, b"alaw"), (Codec.ULAW, b"ulaw")]
)
def test_audio_keeps_its_codec(codec: Codec, kind: bytes) -> None:
    audio = AudioFormat(codec=codec, sample_rate_hz=8000, channels=1, config=_LC_16K)
    [(found, _payload)] = children(audio_entry(audio))
    assert found == kind


@pytest.mark.parametrize(
    ("codec", "rate_hz", "channels", "config", "size_bytes", "samples"),
    [
        (Codec.ALAW, 8000, 1, b"", 160, 160),
        (Codec.ULAW, 8000, 2, b"", 320, 160),
        (Codec.ALAW, 8000, 1, b"", 0, 1),
        (Codec.AAC, 16_000, 1, _LC_16K, 99, 1024),
        (Codec.AAC, 48_000, 2, _LC_48K, 99, 1024),
        (Codec.AAC, 32_000, 1, _HE_32K, 99, 2048),
        (Codec.AAC, 16_000, 1, b"", 99, 1024),
        (Codec.AAC, 16_000, 1, b"\xff\xff", 99, 1024),
    ],
)
def test_samples_of_an_audio_unit(
    codec: Codec, rate_hz: int, channels: int, config: bytes, size_bytes: int, samples: int
) -> None:
    audio = AudioFormat(codec=codec, sample_rate_hz=rate_hz, channels=channels, config=config)
    assert audio_frame_samples(audio, size_bytes) == samples

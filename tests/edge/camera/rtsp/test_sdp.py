"""What cameras describe, and what others might."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.rtsp.sdp import read_sdp
from edge.camera.rtsp.sound import audio_format
from retention.model import AudioFormat, Codec

SPS, PPS = b"\x67\x4d\x00\x1e", b"\x68\xee\x3c\x80"
TEXT = f"""v=0\r
o=- 1 1 IN IP4 0.0.0.0\r
s=Media Presentation\r
a=control:*\r
m=video 0 RTP/AVP 96\r
a=recvonly\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 profile-level-id=4D001E; packetization-mode=1; \
sprop-parameter-sets={base64.b64encode(SPS).decode()},{base64.b64encode(PPS).decode()}\r
a=control:rtsp://10.0.0.8/trackID=1\r
m=audio 0 RTP/AVP 8\r
a=control:trackID=2\r
m=audio 0 RTP/AVP 97\r
a=rtpmap:97 mpeg4-generic/16000/1\r
a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408\r
m=application 0 RTP/AVP 107\r
""".encode()


def test_a_cameras_description() -> None:
    found = read_sdp(TEXT)
    assert found.control == "*"
    video, alaw, aac, events = found.media
    assert (video.kind, video.encoding, video.clock_hz) == ("video", "H264", 90_000)
    assert (video.payload_type, video.control) == (96, "rtsp://10.0.0.8/trackID=1")
    assert video.parameter_sets() == [SPS, PPS]
    assert audio_format(alaw) == AudioFormat(codec=Codec.ALAW, sample_rate_hz=8000, channels=1)
    assert audio_format(aac) == AudioFormat(
        codec=Codec.AAC, sample_rate_hz=16_000, channels=1, config=b"\x14\x08"
    )
    assert audio_format(events) is None


LINES = TEXT.splitlines(keepends=True)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(LINES) | st.binary(max_size=40))
    .map(b"".join))  # fmt: skip
def test_any_description_is_read_as_far_as_it_can_be(body: bytes) -> None:
    for medium in read_sdp(body).media:
        medium.parameter_sets()
        audio_format(medium)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"mpeg4-generic/16000/1", b"PCMA/8000/90000"),
        (b"mpeg4-generic/16000/1", b"PCMA/1000000/1"),
        (b"config=1408", b"config=17FFFFFF88"),  # 16 MHz
        (b"config=1408", b"config=1478"),  # 15 channels
        (b"sizelength=13", b"sizelength=" + b"1" * 5000),
    ],
)
def test_sound_that_no_camera_has_is_left_out(was: bytes, becomes: bytes) -> None:
    (medium,) = [
        one for one in read_sdp(TEXT.replace(was, becomes)).media if one.payload_type == 97
    ]
    assert audio_format(medium) is None

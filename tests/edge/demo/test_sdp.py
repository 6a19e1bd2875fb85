"""edge.demo.sdp: the session description."""

import pytest

from edge.demo import encode, sdp
from edge.demo.plan import StreamPlan
from retention.model import AudioFormat, Codec, MediaFormat


def _text(codec: Codec, audio: AudioFormat | None = None, *, sets: bool = True) -> str:
    video = encode.PictureEncoder(StreamPlan(codec=codec)).format
    media = MediaFormat(video=video, audio=audio)
    return sdp.describe(media, name="gate", host="127.0.0.1", with_parameter_sets=sets).decode()


def test_h264_names_profile_and_parameter_sets() -> None:
    text = _text(Codec.H264)
    assert "a=rtpmap:96 H264/90000\r\n" in text
    assert "packetization-mode=1;profile-level-id=" in text
    assert "sprop-parameter-sets=Z" in text


def test_h265_names_its_three_sets() -> None:
    text = _text(Codec.H265)
    assert "a=rtpmap:96 H265/90000\r\n" in text
    assert all(f"{name}=" in text for name in ("sprop-vps", "sprop-sps", "sprop-pps"))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_parameter_sets_can_be_left_out(codec: Codec) -> None:
    assert "sprop" not in _text(codec, sets=False)


def test_sound_is_described() -> None:
    g711 = AudioFormat(codec=Codec.ULAW, sample_rate_hz=8000, channels=1)
    assert "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n" in _text(Codec.H264, g711)
    aac = AudioFormat(codec=Codec.AAC, sample_rate_hz=16000, channels=1, config=b"\x14\x08")
    text = _text(Codec.H264, aac)
    assert "a=rtpmap:97 MPEG4-GENERIC/16000/1" in text
    assert "config=1408" in text


def test_a_name_cannot_break_out_of_its_line() -> None:
    video = encode.PictureEncoder(StreamPlan()).format
    text = sdp.describe(
        MediaFormat(video=video), name="a\r\nm=x", host="127.0.0.1", with_parameter_sets=False
    )
    assert b"s=a m=x\r\n" in text

"""edge.demo.encode: libx264, libx265 and sound."""

import av
import pytest

from edge.demo import encode, units
from edge.demo.picture import Painter, read_bars
from edge.demo.plan import StreamPlan
from retention.model import Codec


def _pictures(
    plan: StreamPlan, count: int, keys: tuple[int, ...] = ()
) -> list[encode.EncodedPicture]:
    encoder = encode.PictureEncoder(plan)
    painter = Painter(name="t", width=plan.width, height=plan.height, hue=0)
    found = []
    for number in range(count):
        found += encoder.encode(painter.paint(number, 0), number, key=number in keys)
    return found + encoder.flush()


def _decoded_numbers(codec: Codec, found: list[encode.EncodedPicture]) -> list[int]:
    context = av.CodecContext.create("h264" if codec is Codec.H264 else "hevc", "r")
    assert isinstance(context, av.VideoCodecContext)
    frames = []
    for one in found:
        data = b"".join(b"\0\0\0\1" + nal for nal in one.unit.nals)
        frames += context.decode(av.Packet(data))
    frames += context.decode(None)
    return [read_bars(f.to_ndarray(format="gray")).frame_number for f in frames]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_picture_comes_out_once_and_decodes(codec: Codec, b_frames: int) -> None:
    plan = StreamPlan(codec=codec, b_frames=b_frames, width=320, height=180, gop_frames=5)
    found = _pictures(plan, 12)
    assert sorted(one.number for one in found) == list(range(12))
    assert ([one.number for one in found] != list(range(12))) is bool(b_frames)
    assert [one.number for one in found if one.unit.is_key] == [0, 5, 10]
    assert _decoded_numbers(codec, found) == list(range(12))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_parameter_sets_are_in_band_only_when_planned(codec: Codec) -> None:
    for inband in (True, False):
        plan = StreamPlan(
            codec=codec, inband_parameter_sets=inband, width=320, height=180, gop_frames=5
        )
        nals = _pictures(plan, 1)[0].unit.nals
        assert any(units.is_parameter_set(codec, nal) for nal in nals) is inband


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_a_key_frame_comes_when_asked(codec: Codec) -> None:
    plan = StreamPlan(codec=codec, width=320, height=180, gop_frames=300)
    assert [one.number for one in _pictures(plan, 8, keys=(4,)) if one.unit.is_key] == [0, 4]


def test_each_codec_states_its_parameter_sets() -> None:
    assert len(encode.PictureEncoder(StreamPlan()).format.parameter_sets) == 2
    assert len(encode.PictureEncoder(StreamPlan(codec=Codec.H265)).format.parameter_sets) == 3


def test_sound_is_cut_into_frames() -> None:
    form, samples, found = encode.audio_loop(Codec.ALAW)
    assert (form.sample_rate_hz, samples, len(found)) == (8000, 320, 50)
    assert all(len(one.nals[0]) == 320 for one in found)
    form, samples, found = encode.audio_loop(Codec.AAC)
    assert (form.sample_rate_hz, samples, form.config[:2].hex()) == (16000, 1024, "1408")
    assert len(found) > 30

"""Sequence parameter sets, read bit by bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import Codec
from retention.nal import find_sps
from retention.sps import BitReader, read_h264_sps, read_h265_sps
from tests.retention.mp4.footage import encode

#: Written by libx264 and libx265 of av 18.1.0: Constrained Baseline; High; High with monochrome;
#: High 4:4:4 10 bit, coded as fields; H.265 4:2:2 10 bit with three temporal layers.
_SETS = [
    ("6742c01eda0290ff888884000003000400000300ca3c58ba80", (642, 482), 1, 8),
    ("67640028acd940780227e584000003000400000300c83c60c658", (1920, 1080), 1, 8),
    ("6764001ef2d01487fc7c7c20000003002000000651e2c5d4", (642, 482), 0, 8),
    ("67f4002890d9b280f0089f961000000300100000030321f162d960", (1920, 1080), 3, 10),
    (
        (
            "4201040408000003009d080000030000780000b003c480110724ed965652b295964932b9a0200000030020000003"
            "0321"
        ),
        (1922, 1082),
        2,
        10,
    ),
]


def _bits(text: str) -> bytes:
    text = text.replace(" ", "")
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize(("sps", "size", "chroma", "depth"), _SETS)
def test_sets_of_real_encoders(sps: str, size: tuple[int, int], chroma: int, depth: int) -> None:
    nal = bytes.fromhex(sps)
    found = read_h264_sps(nal) if nal[0] == 0x67 else read_h265_sps(nal)
    assert (found.width, found.height) == size
    assert found.chroma_format_idc == chroma
    assert found.bit_depth_luma == found.bit_depth_chroma == depth


def test_h264_scaling_lists_and_a_cycle_of_order_counts_are_skipped() -> None:
    lists = "1" + "1" * 16 + "1" + "000010001" + "0" * 6  # deltas of 0; then one of -8: use default
    sps = b"\x67\x64\x00\x28" + _bits(
        "1 010 1 1 0 1"  # id 0, 4:2:0, 8 bit, scaling matrices present
        + lists
        + "1 010 0 1 1 011 1 010"  # order count type 1 with a cycle of 2 frames
        + "1 0 000010100 00111 1 0 0 1"  # 20 x 7 macroblocks, frames only
    )
    found = read_h264_sps(sps)
    assert (found.width, found.height) == (320, 112)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("size", [(176, 144), (322, 182), (640, 360)])
def test_the_size_that_the_encoder_was_given_is_read(codec: Codec, size: tuple[int, int]) -> None:
    """322x182 is no multiple of any block: cropping or the conformance window tells it."""
    footage = encode(codec, frames=2, size=size)
    video = footage.format.video
    assert (video.width, video.height) == size


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@given(data=st.data())
def test_a_cut_or_changed_set_is_a_value_error_or_a_sane_size(
    codec: Codec, data: st.DataObject
) -> None:
    footage = encode(codec, frames=2)
    sps = bytearray(find_sps(codec, footage.format.video.parameter_sets))
    at = data.draw(st.integers(1, len(sps) - 1))
    sps[at] = data.draw(st.integers(0, 255))
    del sps[data.draw(st.integers(at, len(sps))) :]
    _is_sane(codec, bytes(sps))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@given(garbage=st.binary(max_size=80))
def test_garbage_is_a_value_error_or_a_sane_size(codec: Codec, garbage: bytes) -> None:
    first = b"\x42\x01" if codec is Codec.H265 else b"\x67"
    _is_sane(codec, first + garbage)
    _is_sane(codec, garbage)


def _is_sane(codec: Codec, sps: bytes) -> None:
    try:
        found = (read_h265_sps if codec is Codec.H265 else read_h264_sps)(sps)
    except ValueError:
        return
    assert 1 <= found.width <= 16_384
    assert 1 <= found.height <= 16_384
    assert 8 <= found.bit_depth_luma <= 16


def test_emulation_prevention_is_taken_out() -> None:
    bits = BitReader(b"\x00\x00\x03\x01\x00\x00\x03\x00")
    assert [bits.u(8) for _ in range(6)] == [0, 0, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="cut short"):
        bits.u(1)


def test_exp_golomb_codes() -> None:
    bits = BitReader(_bits("1 010 011 00100 1 010 011 00100"))
    assert [bits.ue() for _ in range(4)] == [0, 1, 2, 3]
    assert [bits.se() for _ in range(4)] == [0, 1, -1, 2]
    with pytest.raises(ValueError, match="overlong"):
        BitReader(bytes(40)).ue()

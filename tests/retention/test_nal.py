"""NAL units: splitting, kinds, formats, and joining packets to access units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import Codec, ReceivedUnit, Track
from retention.nal import (
    MAX_HELD_BYTES,
    AccessUnitAssembler,
    annexb_to_lengths,
    find_sps,
    is_key_frame,
    is_parameter_set,
    is_vcl,
    join_lengths,
    lengths_to_annexb,
    parameter_sets,
    parse_sps,
    split_annexb,
    split_lengths,
    video_format,
)
from tests.retention.mp4.footage import encode

_VIDEO = [Codec.H264, Codec.H265]
_SPS, _PPS = b"\x67\x42", b"\x68\xce"
_IDR, _P = b"\x65\x88\x80", b"\x41\x9a\x02"
_AUD, _SEI = b"\x09\x10", b"\x06\x05\x01\x80"


def _unit(*nals: bytes, media_us: int | None = 0, is_key: bool = False) -> ReceivedUnit:
    return ReceivedUnit(
        track=Track.VIDEO,
        media_us=media_us,
        arrival_utc_us=1,
        arrival_monotonic_us=2,
        is_key=is_key,
        is_damaged=False,
        data=join_lengths(nals),
    )


def test_start_codes_of_three_and_four_bytes_and_trailing_zeros() -> None:
    stream = b"\xff\x00\x00\x01\x67\x42\x00\x00\x00\x01\x68\x00\x00\x00\x00\x01\x65\x00\x80\x00\x00"
    assert split_annexb(stream) == [b"\x67\x42", b"\x68", b"\x65\x00\x80"]
    assert split_annexb(b"\x00\x00\x01\x00\x00\x01\x09") == [b"\x09"]
    assert split_annexb(b"no start code") == []


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6))
def test_length_prefixed_units_read_back(nals: list[bytes]) -> None:
    assert split_lengths(join_lengths(nals)) == nals


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda nal: nal[-1] > 3), max_size=6))
def test_annexb_reads_back_whatever_has_no_start_code_inside(nals: list[bytes]) -> None:
    clean = [nal.replace(b"\x00\x00", b"\x00\x07") for nal in nals]
    assert split_annexb(lengths_to_annexb(join_lengths(clean))) == clean


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x00\x00\x02a", b"\xff\xff\xff\xffabc"])
def test_a_length_behind_the_end_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="behind the end"):
        split_lengths(data)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_split(data: bytes) -> None:
    nals = split_annexb(data)
    assert split_lengths(annexb_to_lengths(data)) == nals
    for codec in _VIDEO:
        is_key_frame(codec, nals)
        parameter_sets(codec, nals)
        try:
            video_format(codec, nals)
        except ValueError:
            pass


@pytest.mark.parametrize("codec", _VIDEO)
def test_an_encoders_pictures_are_told_apart(codec: Codec) -> None:
    footage = encode(codec, frames=14)
    keys = [index for index, unit in enumerate(footage.units) if unit.is_key]
    assert keys == [0, 12]
    nals = split_lengths(footage.units[12].data)
    assert parameter_sets(codec, nals) == footage.format.video.parameter_sets
    assert all(is_parameter_set(codec, nal) for nal in footage.format.video.parameter_sets)
    assert not any(is_vcl(codec, nal) for nal in footage.format.video.parameter_sets)
    assert sum(is_vcl(codec, nal) for nal in split_lengths(footage.units[1].data)) == 1


@pytest.mark.parametrize("codec", _VIDEO)
def test_a_key_frame_inside_an_open_gop_is_one(codec: Codec) -> None:
    """CRA of H.265; recovery point with frame count 0 of H.264."""
    footage = encode(codec, frames=36, b_frames=2, open_gop=True)
    assert sum(unit.is_key for unit in footage.units) == 3


def test_a_recovery_point_before_p_slices_is_no_key_frame() -> None:
    """Encoders with gradual refresh send them; nothing can be decoded from there at once."""
    recovery = b"\x06\x06\x01\xc4\x80"
    i_slice = b"\x41" + b"\xb0"  # first_mb ue(0) = 1, slice_type ue(2) = 011
    assert is_key_frame(Codec.H264, [recovery, i_slice])
    assert not is_key_frame(Codec.H264, [recovery, _P])
    assert not is_key_frame(Codec.H264, [i_slice])
    assert not is_key_frame(Codec.H264, [b"\x06\x06\x01\x44\x80", i_slice])
    assert not is_key_frame(Codec.H264, [recovery])


def test_sets_stand_in_order_of_type_and_once() -> None:
    footage = encode(Codec.H265, frames=2)
    sets = footage.format.video.parameter_sets
    assert parameter_sets(Codec.H265, [*reversed(sets), b"", *sets]) == sets


@pytest.mark.parametrize("codec", _VIDEO)
def test_a_format_needs_every_kind_of_set(codec: Codec) -> None:
    sets = encode(codec, frames=2).format.video.parameter_sets
    for missing in sets:
        with pytest.raises(ValueError, match="no h26. parameter set"):
            video_format(codec, [nal for nal in sets if nal != missing])


def test_absurdly_many_sets_are_refused() -> None:
    sets = encode(Codec.H264, frames=2).format.video.parameter_sets
    many = [b"\x68" + index.to_bytes(2, "big") for index in range(100)]
    with pytest.raises(ValueError, match="too many"):
        video_format(Codec.H264, [*sets, *many])


def test_the_size_unpacks() -> None:
    sets = encode(Codec.H264, frames=2).format.video.parameter_sets
    width, height = parse_sps(Codec.H264, find_sps(Codec.H264, sets))
    assert (width, height) == (176, 144)


def test_parameter_sets_alone_wait_for_their_picture() -> None:
    assembler = AccessUnitAssembler(Codec.H264)
    assert assembler.feed(_unit(_SPS, _PPS, is_key=True)) is None
    assert assembler.feed(_unit(_SEI)) is None
    assert assembler.feed(_unit(_IDR)) == _unit(_SPS, _PPS, _SEI, _IDR, is_key=True)
    assert assembler.feed(_unit(_P, media_us=9)) == _unit(_P, media_us=9)


def test_a_picture_without_a_time_takes_that_of_its_sets() -> None:
    assembler = AccessUnitAssembler(Codec.H264)
    assert assembler.feed(_unit(_AUD, media_us=40)) is None
    assert assembler.feed(_unit(_P, media_us=None)) == _unit(_AUD, _P, media_us=40)


def test_a_unit_of_broken_lengths_is_passed_on_as_damaged() -> None:
    assembler = AccessUnitAssembler(Codec.H264)
    broken = ReceivedUnit(
        track=Track.VIDEO,
        media_us=0,
        arrival_utc_us=0,
        arrival_monotonic_us=0,
        is_key=False,
        is_damaged=False,
        data=b"\x00\x00\x00\x09a",
    )
    found = assembler.feed(broken)
    assert found is not None
    assert found.is_damaged
    assert found.data == broken.data


def test_what_waits_is_bounded() -> None:
    """A camera that sends SEI for ever costs 1 MiB, not all memory."""
    assembler = AccessUnitAssembler(Codec.H264)
    out = [assembler.feed(_unit(b"\x06" + bytes(100_000))) for _ in range(12)]
    let_go = [unit for unit in out if unit is not None]
    assert len(let_go) == 1
    assert let_go[0].is_damaged
    assert len(let_go[0].data) < MAX_HELD_BYTES + 100_010


@given(st.lists(st.lists(st.sampled_from([_SPS, _PPS, _AUD, _SEI, _IDR, _P]), max_size=3)))
def test_no_byte_is_lost_or_moved(packets: list[list[bytes]]) -> None:
    assembler = AccessUnitAssembler(Codec.H264)
    units = [assembler.feed(_unit(*nals)) for nals in [*packets, [_P]]]
    out = b"".join(unit.data for unit in units if unit is not None)
    assert out == b"".join(join_lengths(nals) for nals in [*packets, [_P]])

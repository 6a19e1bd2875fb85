"""Fragments read back as the units that went in."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import AccessUnit, Codec, Fragment, Track
from retention.mp4.boxes import MAX_INSTANT_US, SegmentCorrupt
from retention.mp4.mux import FragmentUnfit, Muxer
from retention.mp4.units import parse_moof, read_units
from tests.retention.mp4.footage import START_US, encode, fragments, with_audio

_HEADER = with_audio(encode(Codec.H264), Codec.ALAW).header()
_NO_AUDIO = replace(_HEADER, format=replace(_HEADER.format, audio=None))
_TIMES = st.integers(START_US - 500_000, START_US + 600_000_000)
_UNITS = st.builds(
    AccessUnit,
    track=st.just(Track.VIDEO),
    pts_us=_TIMES,
    is_key=st.booleans(),
    data=st.binary(max_size=9),
) | st.builds(
    AccessUnit,
    track=st.just(Track.AUDIO),
    pts_us=_TIMES,
    is_key=st.just(True),
    data=st.binary(max_size=9),
)


@given(st.lists(st.lists(_UNITS, min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_units_read_back_exactly_in_their_order(groups: list[list[AccessUnit]]) -> None:
    """Whatever times, order, sizes and mixture of tracks: bytes, instants and order are kept."""
    muxer = Muxer(_HEADER)
    for units in groups:
        stored = muxer.fragment(
            Fragment(units=tuple(units), start_us=START_US, end_us=START_US + 7, is_key=True)
        )
        assert read_units(stored, _HEADER) == units


@given(
    st.lists(
        st.builds(
            AccessUnit,
            track=st.sampled_from(Track),
            pts_us=st.integers(-(1 << 70), 1 << 70) | st.integers(0, MAX_INSTANT_US),
            is_key=st.just(True),
            data=st.binary(max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_absurd_instants_are_refused_or_kept(units: list[AccessUnit]) -> None:
    try:
        stored = Muxer(_HEADER).fragment(
            Fragment(units=tuple(units), start_us=START_US, end_us=START_US, is_key=True)
        )
    except FragmentUnfit:
        return
    assert read_units(stored, _HEADER) == units


@pytest.mark.parametrize("pictures", [0, 5])
@pytest.mark.parametrize(
    ("codec", "b_frames", "audio"),
    [(Codec.H264, 0, None), (Codec.H264, 2, Codec.AAC), (Codec.H265, 2, Codec.ULAW)],
)
def test_encoded_footage_reads_back(
    codec: Codec, b_frames: int, audio: Codec | None, pictures: int
) -> None:
    footage = encode(codec, b_frames=b_frames)
    if audio is not None:
        footage = with_audio(footage, audio)
    muxer = Muxer(footage.header())
    found = []
    for fragment in fragments(footage, pictures=pictures):
        found += read_units(muxer.fragment(fragment), footage.header())
    assert tuple(found) == footage.units


_STORED = Muxer(_HEADER).fragment(fragments(with_audio(encode(Codec.H264), Codec.ALAW))[0])


@given(st.integers(0, len(_STORED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_corrupt(at: int, change: int) -> None:
    changed = bytearray(_STORED)
    changed[at] ^= change
    with pytest.raises(SegmentCorrupt):
        read_units(bytes(changed), _HEADER)


@given(st.integers(0, len(_STORED) - 1))
def test_a_cut_fragment_is_corrupt(size: int) -> None:
    with pytest.raises(SegmentCorrupt):
        read_units(_STORED[:size], _HEADER)


@given(st.binary(max_size=200))
def test_garbage_is_corrupt(data: bytes) -> None:
    for hostile in (data, (8 + len(data)).to_bytes(4, "big") + b"moof" + data + bytes(8)):
        with pytest.raises(SegmentCorrupt):
            read_units(hostile, _HEADER)


_MOOF_BYTES = int.from_bytes(_STORED[:4], "big")


@given(st.integers(8, _MOOF_BYTES - 1), st.binary(min_size=1, max_size=6))
def test_a_moof_with_any_change_is_corrupt_or_of_bounded_size(at: int, changed: bytes) -> None:
    """Also where a forger has mended the CRC."""
    moof = (_STORED[:at] + changed + _STORED[at + len(changed) :])[:_MOOF_BYTES]
    try:
        found = parse_moof(moof)
    except SegmentCorrupt:
        return
    assert sum(len(samples.words) for samples in found.tracks.values()) < _MOOF_BYTES


@given(st.integers(8, _MOOF_BYTES - 5), st.binary(min_size=1, max_size=6))
def test_a_forged_crc_lets_nothing_but_corrupt_through(at: int, changed: bytes) -> None:
    forged = bytearray(_STORED)
    forged[at : at + len(changed)] = changed
    forged = forged[: len(_STORED)]
    body = bytes(forged[: _MOOF_BYTES - 4]), bytes(forged[_MOOF_BYTES:])
    crc = zlib.crc32(body[1], zlib.crc32(body[0])).to_bytes(4, "big")
    try:
        units = read_units(body[0] + crc + body[1], _HEADER)
    except SegmentCorrupt:
        return
    assert sum(len(unit.data) for unit in units) <= 2 * len(_STORED)


def test_audio_in_a_segment_that_has_none_is_corrupt() -> None:
    with pytest.raises(SegmentCorrupt, match="no audio track"):
        read_units(_STORED, _NO_AUDIO)

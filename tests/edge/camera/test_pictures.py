"""Pieces of RTP become the access units that the camera meant, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera.pictures import (
    MAX_PICTURE_BYTES,
    FormatTracker,
    PictureBuilder,
    Piece,
    begins_picture,
)
from retention.model import Codec, ReceivedUnit
from retention.nal import join_lengths, split_lengths
from tests.edge.camera.clips import clip_format, clip_units
from tests.peers.gst import H264_BFRAMES, H264_PCMA, H265_AAC

START = b"\x00\x00\x00\x01"
SPS_PPS = clip_format(H264_PCMA).parameter_sets


def piece(data: bytes, media_us: int | None = 0, arrival_us: int = 0) -> Piece:
    return Piece(
        data=data, media_us=media_us, arrival_utc_us=arrival_us, arrival_monotonic_us=arrival_us
    )


def build(codec: Codec, pieces: list[Piece]) -> list[ReceivedUnit]:
    builder = PictureBuilder(codec)
    units = [unit for one in pieces for unit in builder.feed(one)]
    return units + builder.flush()


def cut(nals: list[bytes], size: int, media_us: int | None) -> list[Piece]:
    """As libav's depacketisers do: a start code before each NAL unit, fragments bare."""
    pieces = []
    for nal in nals:
        parts = [nal[at : at + size] for at in range(0, len(nal), size)]
        pieces += [piece((b"" if at else START) + part, media_us) for at, part in enumerate(parts)]
    return pieces


@pytest.mark.parametrize("clip", [H264_PCMA, H264_BFRAMES, H265_AAC])
@pytest.mark.parametrize("size", [100, 1385, 100_000])
def test_real_pictures_come_out_as_they_were(clip: Path, size: int) -> None:
    codec = clip_format(clip).codec
    sent = clip_units(clip)[:40]
    pieces = [p for unit in sent for p in cut(split_lengths(unit.data), size, unit.media_us)]
    received = build(codec, pieces)
    assert [(u.data, u.media_us, u.is_key) for u in received] == [
        (u.data, u.media_us, u.is_key) for u in sent
    ]
    assert not any(unit.is_damaged for unit in received)


@pytest.mark.parametrize("clip", [H264_PCMA, H264_BFRAMES, H265_AAC])
@pytest.mark.parametrize("stamp", [7, None])
def test_a_camera_whose_time_never_moves_still_gives_single_pictures(
    clip: Path, stamp: int | None
) -> None:
    sent = clip_units(clip)[:40]
    pieces = [p for unit in sent for p in cut(split_lengths(unit.data), 1385, stamp)]
    assert [u.data for u in build(clip_format(clip).codec, pieces)] == [u.data for u in sent]


@pytest.mark.parametrize("clip", [H264_PCMA, H264_BFRAMES, H265_AAC])
def test_the_short_way_for_pieces_of_one_time_gives_the_same_pictures(clip: Path) -> None:
    sent = clip_units(clip)[:40]
    builder, received, last = PictureBuilder(clip_format(clip).codec), [], None
    for unit in sent:
        for one in cut(split_lengths(unit.data), 700, unit.media_us):
            if one.media_us == last and builder.go_on(one.data):
                continue
            last = one.media_us
            received += builder.feed(one)
    received += builder.flush()
    assert [unit.data for unit in received] == [unit.data for unit in sent]


def test_slices_of_one_picture_stay_together() -> None:
    slices = [b"\x65\x88aaa", b"\x65\x04bbb", b"\x65\x02ccc"]  # first_mb_in_slice 0, then not
    [unit] = build(Codec.H264, [piece(START + nal) for nal in slices])
    assert split_lengths(unit.data) == slices


def test_arrival_is_that_of_the_first_piece() -> None:
    units = build(
        Codec.H264,
        [
            piece(START + b"\x65\x88", 0, 10),
            piece(b"tail", 0, 20),
            piece(START + b"\x41\x9a", 5, 30),
        ],
    )
    assert [unit.arrival_monotonic_us for unit in units] == [10, 30]


def test_parameter_sets_with_a_time_of_their_own_join_their_picture() -> None:
    sps, pps = SPS_PPS
    units = build(
        Codec.H264,
        [
            piece(START + sps, 100),
            piece(START + pps, 100),
            piece(START + b"\x65\x88key", 200),
        ],
    )
    assert [(unit.data, unit.media_us) for unit in units] == [
        (join_lengths([sps, pps, b"\x65\x88key"]), 200)
    ]


def test_a_picture_without_its_beginning_is_damaged() -> None:
    units = build(
        Codec.H264,
        [piece(b"the middle of a slice", 0), piece(START + b"\x06\x05\x01", 0)]
        + [piece(START + b"\x65\x04rest", 0), piece(START + b"\x41\x9a", 9)],
    )
    assert [unit.is_damaged for unit in units] == [True, False]


def test_a_picture_that_never_ends_is_thrown_away_and_counted() -> None:
    builder = PictureBuilder(Codec.H264)
    builder.feed(piece(START + b"\x65\x88"))
    for _ in range(13):
        builder.feed(piece(bytes(1024 * 1024)))
    assert builder.feed(piece(START + b"\x65\x88next", 1)) == []
    assert builder.lost == 1
    [unit] = builder.flush()
    assert len(unit.data) < MAX_PICTURE_BYTES


@settings(max_examples=100)
@given(
    st.sampled_from([Codec.H264, Codec.H265]),
    st.lists(
        st.tuples(
            st.binary(max_size=30) | st.binary(max_size=30).map(START.__add__),
            st.none() | st.integers(0, 3),
        ),
        max_size=20,
    ),
)
def test_garbage_never_breaks_the_builder(
    codec: Codec, raw: list[tuple[bytes, int | None]]
) -> None:
    tracker = FormatTracker(codec, b"")
    for unit in build(codec, [piece(data, media_us) for data, media_us in raw]):
        tracker.feed(unit)


@given(st.sampled_from([Codec.H264, Codec.H265]), st.binary(max_size=12))
def test_any_bytes_have_an_answer(codec: Codec, data: bytes) -> None:
    begins_picture(codec, data)


def key(*sets: bytes) -> ReceivedUnit:
    [unit] = build(Codec.H264, [piece(START + nal) for nal in (*sets, b"\x65\x88key")])
    return unit


def test_sets_of_the_sdp_serve_where_the_stream_brings_none() -> None:
    tracker = FormatTracker(Codec.H264, b"".join(START + nal for nal in SPS_PPS))
    found = tracker.feed(key())
    assert found is not None
    assert (found.width, found.height, found.parameter_sets) == (640, 272, SPS_PPS)
    assert tracker.feed(key()) is None


def test_sets_of_the_first_key_frame_stand_over_those_of_the_sdp() -> None:
    other = clip_format(H264_BFRAMES).parameter_sets
    tracker = FormatTracker(Codec.H264, b"".join(START + nal for nal in SPS_PPS))
    found = tracker.feed(key(*other))
    assert found is not None
    assert found.parameter_sets == other


def test_a_change_of_sets_is_told_once() -> None:
    other = clip_format(H264_BFRAMES).parameter_sets
    tracker = FormatTracker(Codec.H264, b"")
    answers = [
        tracker.feed(unit) is not None
        for unit in (key(*SPS_PPS), key(*SPS_PPS), key(), key(*other), key(*other), key())
    ]
    assert answers == [True, False, False, True, False, False]


def test_no_format_before_both_sets_are_known() -> None:
    sps, pps = SPS_PPS
    tracker = FormatTracker(Codec.H264, b"")
    assert tracker.feed(key()) is None
    assert tracker.feed(key(sps)) is None
    assert tracker.feed(key(pps)) is not None

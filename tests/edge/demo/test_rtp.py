"""edge.demo.rtp: what is packed can be unpacked, by a reader that shares no code with it."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import rtp
from edge.demo.units import MediaUnit
from retention.model import AudioFormat, Codec, Track, VideoFormat

_SIZES = st.lists(
    st.one_of(st.integers(3, 60), st.integers(1380, 1410), st.integers(2000, 9000)),
    min_size=1,
    max_size=8,
)


def _nals(header: bytes, sizes: list[int]) -> tuple[bytes, ...]:
    return tuple(
        header + bytes((index + at) % 251 for at in range(size - len(header)))
        for index, size in enumerate(sizes)
    )


def _sized(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


def _unpack_h264(payloads: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for one in payloads:
        kind = one[0] & 31
        if kind == 24:
            found += _sized(one[1:])
        elif kind == 28:
            if one[1] & 0x80:
                found.append(bytes([one[0] & 0xE0 | one[1] & 31]))
            found[-1] += one[2:]
        else:
            found.append(one)
    return found


def _unpack_h265(payloads: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for one in payloads:
        kind = one[0] >> 1 & 63
        if kind == 48:
            found += _sized(one[2:])
        elif kind == 49:
            if one[2] & 0x80:
                found.append(bytes([one[0] & 0x81 | (one[2] & 63) << 1, one[1]]))
            found[-1] += one[3:]
        else:
            found.append(one)
    return found


@given(_SIZES)
@settings(max_examples=60, deadline=None)
def test_h264_units_survive_packing(sizes: list[int]) -> None:
    nals = _nals(b"\x65", sizes)
    parts = rtp.payloads(Codec.H264, MediaUnit(track=Track.VIDEO, is_key=True, nals=nals))
    assert max(map(len, parts)) <= rtp.PAYLOAD_BYTES_MAX
    assert _unpack_h264(parts) == list(nals)


@given(_SIZES)
@settings(max_examples=60, deadline=None)
def test_h265_units_survive_packing(sizes: list[int]) -> None:
    nals = _nals(b"\x26\x01", sizes)
    parts = rtp.payloads(Codec.H265, MediaUnit(track=Track.VIDEO, is_key=True, nals=nals))
    assert max(map(len, parts)) <= rtp.PAYLOAD_BYTES_MAX
    assert _unpack_h265(parts) == list(nals)


def test_small_units_share_a_packet_and_large_ones_are_cut() -> None:
    unit = MediaUnit(track=Track.VIDEO, is_key=True, nals=_nals(b"\x65", [20, 8, 3000]))
    parts = rtp.payloads(Codec.H264, unit)
    assert [part[0] & 31 for part in parts] == [24, 28, 28, 28]


def test_aac_has_one_frame_behind_its_size() -> None:
    unit = MediaUnit(track=Track.AUDIO, is_key=True, nals=(b"x" * 77,))
    assert rtp.payloads(Codec.AAC, unit) == [b"\x00\x10" + (77 << 3).to_bytes(2, "big") + b"x" * 77]


def test_g711_travels_as_it_is() -> None:
    unit = MediaUnit(track=Track.AUDIO, is_key=True, nals=(b"x" * 320,))
    assert rtp.payloads(Codec.ALAW, unit) == [b"x" * 320]


def test_sequence_numbers_wrap_and_only_the_last_packet_is_marked() -> None:
    found = rtp.packets(
        [b"a", b"b"], payload_type=96, sequence=65535, rtp_time=2**32 + 7, ssrc=9, marker=True
    )
    heads = [struct.unpack(">BBHII", one[:12]) for one in found]
    assert heads == [(0x80, 96, 65535, 7, 9), (0x80, 224, 0, 7, 9)]


def test_a_sender_report_pairs_wall_time_and_rtp_time() -> None:
    data = rtp.sender_report(ssrc=5, utc_us=1_500_000, rtp_time=77, packet_count=3, octet_count=400)
    head = struct.unpack(">BBHIIIIII", data[:28])
    assert head == (0x80, 200, 6, 5, 2_208_988_801, 1 << 31, 77, 3, 400)
    assert len(data[28:]) == 4 + 4 * int.from_bytes(data[30:32], "big")  # the SDES is whole


@pytest.mark.parametrize(
    ("codec", "number"), [(Codec.H264, 96), (Codec.AAC, 97), (Codec.ALAW, 8), (Codec.ULAW, 0)]
)
def test_payload_types(codec: Codec, number: int) -> None:
    assert rtp.payload_type(codec) == number


def test_video_runs_at_90_khz_and_sound_at_its_rate() -> None:
    video = VideoFormat(codec=Codec.H264, width=2, height=2, parameter_sets=())
    assert rtp.clock_hz(video) == 90_000
    assert rtp.clock_hz(AudioFormat(codec=Codec.ALAW, sample_rate_hz=8000, channels=1)) == 8000


def test_interleaved_framing() -> None:
    assert rtp.interleaved(3, b"abc") == b"$\x03\x00\x03abc"

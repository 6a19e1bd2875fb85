"""Access units from RTP packets, held against what was packed by the demo's other half."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.rtsp.pictures import MAX_HELD_UNITS, MAX_PICTURE_BYTES, PictureReader
from edge.camera.rtsp.rtp import MediaClock, read_rtcp, read_rtp
from edge.camera.rtsp.sdp import Medium, read_sdp
from edge.camera.rtsp.sound import FRAMES_MAX, SoundReader, audio_format
from edge.demo import rtp
from edge.demo.units import MediaUnit
from retention.framing import Unit, encode
from retention.model import Codec, ReceivedUnit, Track
from retention.nal import join_lengths

HEADS = {
    Codec.H264: {
        "lead": b"\x67\x42",
        "key": b"\x65\x88",
        "slice": b"\x41\x9a",
        "more": b"\x41\x1a",
    },
    Codec.H265: {
        "lead": b"\x42\x01\x01",
        "key": b"\x26\x01\xaf",
        "slice": b"\x02\x01\xd0",
        "more": b"\x02\x01\x50",
    },
}
CODECS = st.sampled_from([Codec.H264, Codec.H265])
#: Sizes on both sides of what one packet holds.
BODIES = st.integers(1, 4000).map(lambda size: random.Random(size).randbytes(size).hex().encode())


def reader(codec: Codec) -> PictureReader:
    return PictureReader(codec, clock_hz=90_000, payload_type=96, has_don=False)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Codec, list[tuple[bytes, ...]]]:
    codec = draw(CODECS)
    heads = HEADS[codec]
    found = []
    for _ in range(draw(st.integers(1, 5))):
        nals = []
        if draw(st.booleans()):
            nals += [heads["lead"] + draw(BODIES)[:40], heads["key"] + draw(BODIES)]
        else:
            nals.append(heads["slice"] + draw(BODIES))
        nals += [heads["more"] + draw(BODIES) for _ in range(draw(st.integers(0, 2)))]
        found.append(tuple(nals))
    return codec, found


def packed(codec: Codec, nals: tuple[bytes, ...], sequence: int, time: int) -> list[bytes]:
    parts = rtp.payloads(codec, MediaUnit(track=Track.VIDEO, is_key=False, nals=nals))
    return rtp.packets(
        parts, payload_type=96, sequence=sequence, rtp_time=time, ssrc=7, marker=True
    )


def take(into: PictureReader, packets: list[bytes]) -> list[ReceivedUnit]:
    units = []
    for number, packet in enumerate(packets):
        units += into.packet(packet, 1_000_000 + number, number)
    return [*units, *into.flush()]


@given(pictures(), st.booleans(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_what_was_packed_comes_out(
    made: tuple[Codec, list[tuple[bytes, ...]]], is_frozen: bool, sequence: int, time: int
) -> None:
    codec, wanted = made
    packets: list[bytes] = []
    for number, nals in enumerate(wanted):
        at = time if is_frozen else time + 3600 * number & 0xFFFFFFFF
        packets += packed(codec, nals, sequence + len(packets) & 0xFFFF, at)
    into = reader(codec)
    units = take(into, packets)
    assert [unit.data for unit in units] == [join_lengths(nals) for nals in wanted]
    key = HEADS[codec]["key"]
    keys = [any(nal.startswith(key) for nal in nals) for nals in wanted]
    assert [unit.is_key for unit in units] == keys
    assert not any(unit.is_damaged for unit in units)
    assert into.lost_packets == 0
    if not is_frozen:
        assert [unit.media_us for unit in units] == [40_000 * n for n in range(len(wanted))]


@given(pictures(), st.data())
def test_a_lost_packet_is_counted_and_flags_its_picture_alone(
    made: tuple[Codec, list[tuple[bytes, ...]]], data: st.DataObject
) -> None:
    codec, wanted = made
    packets: list[bytes] = []
    owners: list[int] = []
    for number, nals in enumerate(wanted):
        new = packed(codec, nals, len(packets), 3600 * number)
        packets += new
        owners += [number] * len(new)
    lost = data.draw(st.integers(1, max(1, len(packets) - 2)))
    if lost >= len(packets) - 1:
        return
    into = reader(codec)
    units = {u.media_us: u for u in take(into, packets[:lost] + packets[lost + 1 :])}
    assert into.lost_packets == 1
    for number, nals in enumerate(wanted):
        unit = units.get(40_000 * number)
        if number == owners[lost]:
            assert unit is None or unit.is_damaged or unit.data == join_lengths(nals)
        elif unit is not None and abs(number - owners[lost]) > 1:
            assert not unit.is_damaged
            assert unit.data == join_lengths(nals)


def test_late_and_doubled_packets_are_left_out() -> None:
    nals = (HEADS[Codec.H264]["key"] + b"x" * 5000,)
    packets = packed(Codec.H264, nals, 0xFFFE, 0)
    doubled = [packets[0], packets[0], packets[1], packets[0], *packets[2:]]
    (unit,) = take(reader(Codec.H264), doubled)
    assert unit.data == join_lengths(nals)


def test_start_codes_inside_a_nal_unit_are_taken_apart() -> None:
    """Some cameras put a whole byte stream into one NAL unit."""
    lead, key = b"\x67\x42\x00\x1e", b"\x65\x88" + b"y" * 3000
    whole = lead + b"\0\0\0\1\x68\xee" + b"\0\0\0\1" + key
    (unit,) = take(reader(Codec.H264), packed(Codec.H264, (whole,), 0, 0))
    assert unit.data == join_lengths([lead, b"\x68\xee", key])
    assert unit.is_key


def test_sets_that_come_alone_wait_for_their_picture() -> None:
    sets, key = b"\x67\x42\x00\x1e", b"\x65\x88" + b"y" * 30
    packets = packed(Codec.H264, (sets,), 0, 0) + packed(Codec.H264, (key,), 1, 3600)
    (unit,) = take(reader(Codec.H264), packets)
    assert unit.data == join_lengths([sets, key])
    assert unit.media_us == 40_000


def test_a_picture_without_end_is_thrown_away_and_counted() -> None:
    into = reader(Codec.H264)
    body = b"z" * 60_000
    parts = [b"\x7c\x85" + body, *[b"\x7c\x05" + body] * (MAX_PICTURE_BYTES // 60_000 + 2)]
    head = rtp.packets(parts, payload_type=96, sequence=0, rtp_time=0, ssrc=1, marker=False)
    for packet in head:
        into.packet(packet, 0, 0)
    nals = [b"\x41\x9aon", b"\x41\x9aon", b"\x65\x88ok"]
    after = [
        packet
        for number, nal in enumerate(nals)
        for packet in packed(Codec.H264, (nal,), len(head) + number, 3600 * (number + 1))
    ]
    units = take(into, after)
    assert [unit.data for unit in units] == [join_lengths([nal]) for nal in nals]
    assert [unit.is_damaged for unit in units] == [True, False, False]  # it lacks the one before
    assert into.oversized == 1


def test_a_picture_that_grows_past_the_limit_as_it_is_taken_apart_is_none() -> None:
    """Start codes of three bytes become lengths of four."""
    into = reader(Codec.H264)
    nal = b"\x65\x88" + b"\0\0\1\x65" * (MAX_PICTURE_BYTES // 4 - 9_000)
    cuts = range(0, len(nal), 60_000)
    parts = [b"\x7c\x85" + nal[1:60_000]]
    parts += [b"\x7c\x05" + nal[at : at + 60_000] for at in cuts[1:-1]]
    parts += [b"\x7c\x45" + nal[cuts[-1] :]]
    packets = rtp.packets(parts, payload_type=96, sequence=0, rtp_time=0, ssrc=7, marker=True)
    assert take(into, packets) == []
    assert into.oversized == 1


def single(payload: bytes, sequence: int, time: int = 0, *, kind: int = 96) -> bytes:
    (packet,) = rtp.packets(
        [payload], payload_type=kind, sequence=sequence, rtp_time=time, ssrc=7, marker=False
    )
    return packet


def test_other_packets_of_the_same_source_are_not_lost_ones() -> None:
    """Empty ones, and a maker's own between the pictures: they are numbered with the rest."""
    wanted = [b"\x65\x88a", b"\x41\x9ab", b"\x41\x9ac"]
    into = reader(Codec.H264)
    packets = [
        single(wanted[0], 0),
        single(b"", 1),
        single(wanted[1], 2, 3600),
        single(b"private", 3, 3600, kind=112),
        single(wanted[2], 4, 7200),
    ]
    units = take(into, packets)
    assert [unit.data for unit in units] == [join_lengths([nal]) for nal in wanted]
    assert into.lost_packets == 0
    assert not any(unit.is_damaged for unit in units)


@pytest.mark.parametrize(
    ("codec", "extra"),
    [
        (Codec.H264, b"\x00private"),
        (Codec.H264, b"\x1fprivate"),
        (Codec.H265, b"\x70\x01private"),  # type 56
    ],
)
def test_units_of_no_known_type_harm_no_picture(codec: Codec, extra: bytes) -> None:
    key = HEADS[codec]["key"] + b"x"
    (unit,) = take(reader(codec), [single(extra, 0), single(key, 1)])
    assert (unit.data, unit.is_key, unit.is_damaged) == (join_lengths([key]), True, False)


def test_an_end_of_sequence_of_h265_is_a_head_alone() -> None:
    key, end = HEADS[Codec.H265]["key"] + b"x", b"\x48\x01"
    (unit,) = take(reader(Codec.H265), [single(key, 0), single(end, 1)])
    assert (unit.data, unit.is_damaged) == (join_lengths([key, end]), False)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_a_picture_that_breaks_off_is_damaged(codec: Codec) -> None:
    packets = packed(codec, (HEADS[codec]["key"] + b"x" * 5000,), 0, 0)
    (unit,) = take(reader(codec), packets[:-1])
    assert unit.is_damaged


def test_sets_without_a_picture_do_not_wait_for_ever() -> None:
    """What waits is copied with each that joins it: a million of them would be no small matter."""
    into = reader(Codec.H264)
    units = take(into, [single(b"\x06\x01", number, 90 * number) for number in range(1000)])
    assert len(units) == 1000 // (MAX_HELD_UNITS + 1)
    assert all(unit.is_damaged for unit in units)


@given(CODECS, st.booleans(), st.lists(st.binary(max_size=60)))
def test_any_packets_are_read_or_left(codec: Codec, has_don: bool, packets: list[bytes]) -> None:
    into = PictureReader(codec, clock_hz=90_000, payload_type=96, has_don=has_don)
    headed = [b"\x80\x60" + bytes([0, n]) + b"\0" * 8 + one for n, one in enumerate(packets)]
    take(into, packets + headed)


@pytest.mark.parametrize(
    ("packet", "span"),
    [
        (b"\x80\x60" + b"\0" * 10 + b"abc", (12, 15)),
        (b"\x82\x60" + b"\0" * 18 + b"abc", (20, 23)),
        (b"\x90\x60" + b"\0" * 10 + b"\xab\xac\x00\x01wxyz" + b"abc", (20, 23)),
        (b"\xa0\x60" + b"\0" * 10 + b"abc\x00\x02", (12, 15)),
    ],
)
def test_heads_of_packets(packet: bytes, span: tuple[int, int]) -> None:
    found = read_rtp(packet)
    assert found is not None
    assert (found.start, found.end) == span


@given(st.binary(max_size=100))
def test_any_control_packet_is_read_as_far_as_it_can_be(data: bytes) -> None:
    list(read_rtcp(data))
    read_rtp(data)


def test_the_media_clock_goes_on_where_32_bits_end() -> None:
    clock = MediaClock(90_000)
    assert [clock.at(t) for t in (0xFFFFFFFF - 8999, 0, 9000)] == [0, 100_000, 200_000]
    assert clock.at(0xFFFFFFFF - 8999) == 0


@given(
    st.integers(0, 9_999_999),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=50),
    st.integers(0, 1 << 60),
)
def test_whatever_clock_and_time_stamps_a_camera_tells_stay_in_64_bits(
    clock_hz: int, times: list[int], far: int
) -> None:
    clock = MediaClock(clock_hz)
    clock.at(0)
    clock.shift(far)  # as after years of lies
    for time in times:
        unit = ReceivedUnit(
            track=Track.VIDEO,
            media_us=clock.at(time),
            arrival_utc_us=0,
            arrival_monotonic_us=0,
            is_key=True,
            is_damaged=False,
            data=b"",
        )
        assert encode(Unit(unit=unit))


def test_a_clock_of_one_hertz_is_none() -> None:
    """As a hostile session description names it: a picture a second would jump by 25 hours."""
    (medium,) = read_sdp(b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/1\r\n").media
    into = PictureReader(Codec.H264, clock_hz=medium.clock_hz, payload_type=96, has_don=False)
    packets = [
        packet
        for number in range(3)
        for packet in packed(Codec.H264, (b"\x65\x88",), number, 3600 * number)
    ]
    assert [unit.media_us for unit in take(into, packets)] == [0, 40_000, 80_000]
    sound = read_sdp(b"v=0\r\nm=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/1\r\n").media[0]
    assert audio_format(sound) is None


def test_a_clock_that_is_shifted_back_stands_still_until_it_is_due() -> None:
    clock = MediaClock(90_000)
    assert clock.at(0) == 0
    assert clock.at(9000) == 100_000
    clock.shift(-60_000)
    assert [clock.at(t) for t in (10_800, 12_600, 16_200)] == [100_000, 100_000, 120_000]
    clock.shift(50_000)
    assert clock.at(18_000) == 190_000
    assert clock.at(0) == -10_000  # a jump of the camera's own is no shift


AAC = Medium(
    kind="audio",
    payload_type=97,
    encoding="MPEG4-GENERIC",
    clock_hz=16_000,
    channels=1,
    control="",
    parameters={"sizelength": "13", "indexlength": "3", "indexdeltalength": "3", "config": "1408"},
)


def sound(*payloads: bytes) -> list[bytes]:
    form = audio_format(AAC)
    assert form is not None
    into = SoundReader(AAC, form)
    packets = rtp.packets(
        list(payloads), payload_type=97, sequence=0, rtp_time=0, ssrc=1, marker=True
    )
    return [unit.data for packet in packets for unit in into.packet(packet, 0, 0)]


def test_frames_of_aac_share_a_packet_or_take_several() -> None:
    two = b"\x00\x20" + (3 << 3).to_bytes(2, "big") + (2 << 3).to_bytes(2, "big") + b"abcde"
    head = b"\x00\x10" + (6 << 3).to_bytes(2, "big")
    assert sound(two, head + b"fgh", head + b"ijk") == [b"abc", b"de", b"fghijk"]


@given(st.lists(st.binary(max_size=30)))
def test_any_sound_is_read_or_left(payloads: list[bytes]) -> None:
    sound(*payloads)


def test_a_packet_that_claims_thousands_of_frames_is_not_followed_far() -> None:
    headers = b"\xff\xff" + b"\0\x08" * 4000 + b"\0" * 200  # sizes of 1
    assert len(sound(headers + b"x" * 5000)) <= FRAMES_MAX

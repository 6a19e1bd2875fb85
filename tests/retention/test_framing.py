"""The messages of a camera's child survive any cut of the stream, and garbage costs nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.framing import (
    MAX_BODY_BYTES,
    CameraTime,
    Connected,
    Ended,
    Format,
    FramingError,
    Heartbeat,
    Lost,
    Message,
    Parser,
    Unit,
    decode,
    encode,
)
from retention.model import (
    AudioFormat,
    Codec,
    GapCause,
    MediaFormat,
    ReceivedUnit,
    Track,
    VideoFormat,
)

int64 = st.integers(-(2**63), 2**63 - 1)
units = st.builds(
    ReceivedUnit,
    track=st.sampled_from(Track),
    media_us=st.none() | int64,
    arrival_utc_us=int64,
    arrival_monotonic_us=int64,
    is_key=st.booleans(),
    is_damaged=st.booleans(),
    data=st.binary(max_size=300),
)
medias = st.builds(
    MediaFormat,
    video=st.builds(
        VideoFormat,
        codec=st.sampled_from([Codec.H264, Codec.H265]),
        width=st.integers(1, 16384),
        height=st.integers(1, 16384),
        parameter_sets=st.lists(st.binary(max_size=40), max_size=5).map(tuple),
    ),
    audio=st.none()
    | st.builds(
        AudioFormat,
        codec=st.sampled_from([Codec.AAC, Codec.ALAW, Codec.ULAW]),
        sample_rate_hz=st.integers(1, 192_000),
        channels=st.integers(1, 8),
        config=st.binary(max_size=16),
    ),
)
messages: st.SearchStrategy[Message] = st.one_of(
    units.map(lambda unit: Unit(unit=unit)),
    medias.map(lambda media: Format(media=media)),
    int64.map(lambda offset_us: CameraTime(offset_us=offset_us)),
    st.integers(0, 9).map(lambda candidate: Connected(candidate=candidate)),
    st.just(Heartbeat()),
    st.builds(Lost, packets=st.integers(0, 1 << 40), pictures=st.integers(0, 1 << 40)),
    st.builds(Ended, cause=st.sampled_from(GapCause), detail=st.text(max_size=80)),
)


@settings(max_examples=60)
@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 900), max_size=6))
def test_messages_come_out_as_they_went_in_whatever_the_cuts(
    sent: list[Message], cuts: list[int]
) -> None:
    stream = b"".join(encode(message) for message in sent)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    parser = Parser(decode)
    received = [
        message
        for begin, end in zip(places, places[1:], strict=False)
        for message in parser.feed(stream[begin:end])
    ]
    assert received == sent
    assert parser.pending_bytes == 0


@settings(max_examples=150)
@given(st.binary(max_size=400))
def test_garbage_is_an_error_or_nothing_never_a_crash(garbage: bytes) -> None:
    try:
        list(Parser(decode).feed(garbage))
    except FramingError:
        return


@settings(max_examples=80)
@given(messages, st.data())
def test_a_changed_byte_is_an_error_or_another_message(
    message: Message, data: st.DataObject
) -> None:
    stream = bytearray(encode(message))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        list(Parser(decode).feed(stream))
    except FramingError:
        return


def test_a_length_beyond_the_bound_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(FramingError, match="exceeds"):
        list(Parser(decode).feed((MAX_BODY_BYTES + 1).to_bytes(4, "big") + b"\x03"))


def test_a_unit_beyond_the_bound_is_not_sent() -> None:
    unit = ReceivedUnit(
        track=Track.VIDEO,
        media_us=0,
        arrival_utc_us=0,
        arrival_monotonic_us=0,
        is_key=True,
        is_damaged=False,
        data=bytes(MAX_BODY_BYTES),
    )
    with pytest.raises(FramingError):
        encode(Unit(unit=unit))


def test_bytes_are_taken_in_even_when_nobody_reads_the_messages() -> None:
    parser = Parser(decode)
    stream = encode(Heartbeat()) * 2
    parser.feed(stream[:5])
    assert list(parser.feed(stream[5:])) == [Heartbeat(), Heartbeat()]


def test_a_long_detail_is_cut() -> None:
    [message] = Parser(decode).feed(encode(Ended(cause=GapCause.UNKNOWN, detail="x" * 9000)))
    assert isinstance(message, Ended)
    assert len(message.detail) == 500

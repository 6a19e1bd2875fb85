"""Framing of a stream, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uplink.sip.test_message import QUERY
from uplink.sip.headers import Malformed
from uplink.sip.message import HEAD_BYTES_MAX, MESSAGE_BYTES_MAX
from uplink.sip.stream import Framer

LF_ONLY = QUERY.replace(b"\r\n", b"\n")


@given(st.data())
def test_cut_anywhere_it_gives_the_same_messages(data: st.DataObject) -> None:
    sent = data.draw(st.lists(st.sampled_from([QUERY, LF_ONLY]), min_size=1, max_size=4))
    between = data.draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
    stream = between.join([b"", *sent, b""])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    framer, got = Framer(), list[bytes]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += framer.feed(stream[start:end])
    assert got == sent
    assert framer.is_empty


def test_byte_by_byte() -> None:
    framer, got = Framer(), list[bytes]()
    for place in range(len(QUERY)):
        got += framer.feed(QUERY[place : place + 1])
    assert got == [QUERY]


@pytest.mark.parametrize(
    "data",
    [
        QUERY.replace(b"Content-Length: 4\r\n", b""),
        QUERY.replace(b"Content-Length: 4", b"Content-Length: x"),
        QUERY.replace(b"Content-Length: 4", b"Content-Length: 100000"),
        b"A" * HEAD_BYTES_MAX,
        b"X: y\r\n" * 3000,
    ],
)
def test_a_lost_frame_is_told(data: bytes) -> None:
    with pytest.raises(Malformed):
        Framer().feed(data)


@given(st.lists(st.binary(max_size=200) | st.just(QUERY[:100]), max_size=30))
def test_memory_is_bounded(pieces: list[bytes]) -> None:
    framer = Framer()
    try:
        for piece in pieces * 20:
            framer.feed(piece)
            assert len(framer._buffer) <= MESSAGE_BYTES_MAX
    except Malformed:
        pass

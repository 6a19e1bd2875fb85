"""Bytes of a connection as packets and messages, however cut, and whatever lies between."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.rtsp.message import (
    BODY_BYTES_MAX,
    CameraRequest,
    NotRtsp,
    Packet,
    Response,
    Splitter,
    answer,
)

ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 12;timeout=60\r\nContent-Length: 3\r\n\r\nabc"
ASKED = b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 9\r\n\r\n"
READ = Response(
    status=200,
    headers={"cseq": ["4"], "session": ["12;timeout=60"], "content-length": ["3"]},
    body=b"abc",
)

packets = st.tuples(st.integers(0, 3), st.binary(max_size=300).map(lambda data: b"\x80\x60" + data))


def framed(packet: Packet) -> bytes:
    channel, data = packet
    return bytes([0x24, channel]) + len(data).to_bytes(2, "big") + data


def split(data: bytes, cuts: list[int]) -> list[Packet | Response | CameraRequest]:
    found: list[Packet | Response | CameraRequest] = []
    splitter, at = Splitter({0, 1, 2, 3}), 0
    for cut in [*sorted(cuts), len(data)]:
        found += splitter.feed(data[at : max(at, cut)])
        at = max(at, cut)
    return found


@given(st.lists(packets | st.sampled_from([ANSWER, ASKED])), st.lists(st.integers(0, 3000)))
def test_what_was_joined_comes_apart_however_it_is_cut(
    parts: list[Packet | bytes], cuts: list[int]
) -> None:
    data = b"".join(one if isinstance(one, bytes) else framed(one) for one in parts)
    known = {ANSWER: READ, ASKED: CameraRequest(method="OPTIONS", cseq="9")}
    expected = [known[one] if isinstance(one, bytes) else one for one in parts]
    assert split(data, cuts) == expected


@given(packets, st.binary(max_size=200), packets, st.lists(st.integers(0, 800)))
def test_noise_between_packets_is_skipped(
    before: Packet, noise: bytes, after: Packet, cuts: list[int]
) -> None:
    noise = b"\xff" + noise.replace(b"$", b"#").replace(b"RTSP", b"rtsp") + b"\xff"
    found = split(framed(before) + noise + framed(after) + framed(after), cuts)
    assert found[0] == before
    assert found[-1] == after


def test_noise_without_end_is_no_rtsp() -> None:
    splitter = Splitter({0})
    for _ in range(15):
        assert list(splitter.feed(b"\xff" * 65_536)) == []
    with pytest.raises(NotRtsp):
        list(splitter.feed(b"\xff" * 131_072))


@pytest.mark.parametrize(
    "text",
    [
        b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_a_length_that_cannot_be_is_not_waited_for(text: bytes) -> None:
    with pytest.raises(NotRtsp):
        list(Splitter({0}).feed(text))


def test_a_cameras_own_request_is_answered_and_not_obeyed() -> None:
    asked = split(ASKED.replace(b"OPTIONS", b"ANNOUNCE"), [])
    assert asked == [CameraRequest(method="ANNOUNCE", cseq="9")]
    assert isinstance(asked[0], CameraRequest)
    assert answer(asked[0]) == b"RTSP/1.0 501 Not Implemented\r\nCSeq: 9\r\n\r\n"


@given(st.binary(max_size=400) | st.lists(st.sampled_from([b"$", b"RTSP/1.0 ", b"200 ", b"\r\n",
    b"CSeq: 1", b"Content-Length: 2", b"\0", b"\x80", b"OPTIONS * RTSP/1.0", b":"])).map(b"".join),
    st.lists(st.integers(0, 400)))  # fmt: skip
def test_any_bytes_are_read_or_refused_and_held_within_bounds(data: bytes, cuts: list[int]) -> None:
    splitter, at = Splitter({0, 1}), 0
    for cut in [*sorted(cuts), len(data)]:
        try:
            list(splitter.feed(data[at : max(at, cut)]))
        except NotRtsp:
            return
        at = max(at, cut)
    assert splitter.skipped_bytes <= len(data)


class Watched(bytes):
    """Bytes that count the searches for a message in them."""

    searches = 0

    def find(self, *args: Any) -> int:
        type(self).searches += args[0] == b"RTSP/1.0 "
        return super().find(*args)


def test_dollar_signs_in_noise_cost_no_search_each() -> None:
    noise = Watched(b"\xff" + b"$\xff\xff\xff\xff" * 1000)
    assert list(Splitter({0}).feed(noise)) == []
    assert Watched.searches < 10

"""edge.demo.rtsp_message: requests and answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import rtsp_message
from edge.demo.rtsp_message import RequestMalformed, parse_request


def test_a_request_is_read() -> None:
    request = parse_request(
        b"SETUP rtsp://127.0.0.1:5/main/video?x=1 RTSP/1.0\r\nCSeq: 3\r\nSession:  a;b \r\n\r\n"
    )
    assert (request.method, request.path, request.cseq) == ("SETUP", "main/video", "3")
    assert request.headers["session"] == "a;b"
    assert request.body_bytes == 0


@pytest.mark.parametrize(
    "head", [b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"OPTIONS * RTSP/1.0\r\nnonsense\r\n\r\n"]
)
def test_what_is_no_request_is_refused(head: bytes) -> None:
    with pytest.raises(RequestMalformed):
        parse_request(head)


@pytest.mark.parametrize("length", ["-1", "x", "9999999", "²"])
def test_a_strange_content_length_is_refused(length: str) -> None:
    request = parse_request(f"PLAY * RTSP/1.0\r\nContent-Length: {length}\r\n\r\n".encode())
    with pytest.raises(RequestMalformed, match="Content-Length"):
        _ = request.body_bytes


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_any_bytes_give_a_request_or_our_error(head: bytes) -> None:
    try:
        request = parse_request(b"PLAY * RTSP/1.0\r\n" + head)
        assert request.body_bytes >= 0
    except RequestMalformed:
        pass


def test_an_answer_with_body_says_its_length() -> None:
    assert rtsp_message.response(200, "4", {"A": "b"}, b"xyz") == (
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nServer: xueliang-demo\r\n"
        b"A: b\r\nContent-Length: 3\r\n\r\nxyz"
    )


@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=2-3", (2, 3)),
        ("RTP/AVP;unicast;client_port=1-2, RTP/AVP/TCP;unicast", (0, 1)),
        ("RTP/AVP;unicast;client_port=5000-5001", None),
        ("RTP/AVP/TCP;interleaved=300-301", None),
        ("", None),
    ],
)
def test_only_tcp_transport_is_taken(transport: str, channels: tuple[int, int] | None) -> None:
    assert rtsp_message.interleaved_channels(transport) == channels

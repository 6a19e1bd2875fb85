"""The request to a child holds the password, and shows it nowhere."""

from __future__ import annotations

import pytest

from edge.camera.messages import StreamRequest, StreamSource

REQUEST = StreamRequest(
    source=StreamSource(
        urls=("rtsp://u:geheim@h/1", "rtsp://h/2"), username="u", password="geheim"
    ),
    audio=True,
)


def test_a_request_survives_the_socket() -> None:
    data = REQUEST.encode()
    assert StreamRequest.length_of(data[:4]) == len(data) - 4
    assert StreamRequest.decode(data[4:]) == REQUEST


def test_the_password_is_in_no_repr() -> None:
    assert "geheim" not in repr(REQUEST)


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        StreamRequest.length_of(b"\xff\xff\xff\xff")

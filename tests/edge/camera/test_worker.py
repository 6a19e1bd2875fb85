"""A child's life, driven in this process: one request in, messages out, nothing left behind."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from edge.camera import worker
from edge.camera.messages import StreamRequest, StreamSource
from retention.framing import Connected, Ended, Message, Parser, Unit, decode
from retention.model import GapCause
from tests.peers.gst import H264_PCMA, GstServer
from tests.peers.liar import Liar

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The worker's handlers are its process's: this one takes its own back."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    import gc

    yield
    gc.enable()  # the worker turns it off for its process


def serve(*urls: str) -> tuple[int, list[Message]]:
    ours, theirs = socket.socketpair()
    request = StreamRequest(
        source=StreamSource(urls=urls), audio=False, open_timeout_s=1, stall_timeout_s=1
    )
    received = bytearray()

    def read() -> None:
        while data := ours.recv(65536):
            received.extend(data)

    reader = threading.Thread(target=read)
    with ours:
        ours.sendall(request.encode())
        reader.start()
        status = worker.run(theirs)
        reader.join()
    return status, list(Parser(decode).feed(received))


def test_addresses_are_tried_in_order_and_the_first_that_plays_is_the_session() -> None:
    with GstServer({"gate@1": H264_PCMA}) as server:
        status, messages = serve("rtsp://127.0.0.1:1/", server.url("gate@1"), "rtsp://127.0.0.1:2/")
    assert status == 0
    assert [m.candidate for m in messages if isinstance(m, Connected)] == [1]
    assert sum(isinstance(message, Unit) for message in messages) >= 23
    assert messages[-1] == Ended(
        cause=GapCause.CAMERA_OFFLINE, detail="the camera ended the stream"
    )


def test_the_last_addresss_error_is_told_when_none_plays() -> None:
    with Liar(b"RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n\r\n") as liar:
        _, messages = serve("rtsp://127.0.0.1:1/", liar.url)
    end = messages[-1]
    assert isinstance(end, Ended)
    assert end.cause is GapCause.CAMERA_AUTH


def test_a_refused_password_is_not_shown_at_another_address() -> None:
    """It is the same camera, which locks an account that knocks."""
    refusal = b"RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n\r\n"
    with Liar(refusal) as liar, Liar(refusal) as other:
        _, messages = serve("rtsp://127.0.0.1:1/", liar.url, other.url)
        asked = len(liar.requests), len(other.requests)
    assert asked == (1, 0)
    end = messages[-1]
    assert isinstance(end, Ended)
    assert end.cause is GapCause.CAMERA_AUTH


def test_no_address_is_an_error_of_the_settings() -> None:
    _, messages = serve()
    assert messages == [Ended(cause=GapCause.CONFIG, detail="no stream address is known")]


@pytest.mark.parametrize("request_bytes", [b"", b"\x00\x00", b"\x00\x00\x00\x09{}"])
def test_a_parent_that_is_gone_ends_it(request_bytes: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(request_bytes)
    assert worker.run(theirs) == 1

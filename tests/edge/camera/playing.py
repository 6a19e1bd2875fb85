"""A session of either reader, played to its end or for a while, in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge.camera import libav
from edge.camera.errors import CameraError
from edge.camera.messages import Reader, StreamRequest, StreamSource
from edge.camera.rtsp import session
from retention.clock import SystemClock
from retention.framing import Message, Unit
from retention.model import ReceivedUnit, Track

USER, PASSWORD = "recorder", "p@s:s/w %ü"
READERS: dict[Reader, Callable[..., Iterator[list[Message]]]] = {
    "direct": session.read_stream,
    "libav": libav.read_stream,
}


def request(
    url: str, *, audio: bool = False, password: str = PASSWORD, reader: Reader = "direct"
) -> StreamRequest:
    return StreamRequest(
        source=StreamSource(urls=(url,), username=USER, password=password),
        audio=audio,
        reader=reader,
        open_timeout_s=1.5,
        stall_timeout_s=1.0,
    )


def play(asked: StreamRequest, seconds: float = 10) -> tuple[list[Message], CameraError | None]:
    """Messages of one session, and how it ended unless we left it."""
    clock = SystemClock()
    until_us = clock.monotonic_us() + int(seconds * 1_000_000)
    messages: list[Message] = []
    try:
        for some in READERS[asked.reader](asked, 0, clock, lambda: clock.monotonic_us() > until_us):
            messages += some
    except CameraError as error:
        return messages, error
    return messages, None


def units(messages: list[Message], track: Track) -> list[ReceivedUnit]:
    return [m.unit for m in messages if isinstance(m, Unit) and m.unit.track is track]


def failure(asked: StreamRequest) -> CameraError:
    messages, error = play(asked)
    assert error is not None
    assert PASSWORD not in str(error)
    return error

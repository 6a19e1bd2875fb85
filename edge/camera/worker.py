"""The life of a camera's child process: one request in, one session's messages out, then its end.

It holds one socket and one connection, no file, and no secret but this camera's.
"""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

from edge.camera.errors import CameraError
from edge.camera.messages import Reader, StreamRequest
from edge.camera.rtsp.session import read_stream
from retention.clock import Clock, SystemClock
from retention.framing import Connected, Ended, Heartbeat, Message, encode
from retention.model import GapCause

SEND_BUFFER_BYTES = 2 * 1024 * 1024
REQUEST_TIMEOUT_S = 10.0


class _Stop:
    """Set by SIGTERM; read between two packets."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def run(parent: socket.socket) -> int:
    """Serves the one request that comes over ``parent``; the exit status."""
    gc.disable()  # nothing here makes cycles, and a child that grows is replaced
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop.on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to act on
    with parent:
        parent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            request = _receive(parent)
            ended = _serve(request, parent, SystemClock(), stop)
            parent.sendall(encode(ended))
        except (BrokenPipeError, ConnectionError, TimeoutError):
            return 1  # the parent is gone: so are we
    return 0


def _receive(parent: socket.socket) -> StreamRequest:
    parent.settimeout(REQUEST_TIMEOUT_S)
    length = StreamRequest.length_of(_exactly(parent, 4))
    request = StreamRequest.decode(_exactly(parent, length))
    parent.settimeout(None)
    return request


def _exactly(parent: socket.socket, count: int) -> bytes:
    data = parent.recv(count, socket.MSG_WAITALL)
    if len(data) != count:
        raise ConnectionError("the pool closed the socket")
    return data


def _serve(request: StreamRequest, parent: socket.socket, clock: Clock, stop: _Stop) -> Ended:
    """Tries each address in order; the first that plays is the session. Once a password is refused
    no other one is tried: cameras lock an account that knocks."""
    error = CameraError(GapCause.CONFIG, "no stream address is known")
    read = _reader(request.reader)
    for candidate in range(len(request.source.urls)):
        if stop():
            break
        connected = False
        parent.sendall(encode(Heartbeat()))
        try:
            for messages in read(request, candidate, clock, stop):
                connected = connected or any(isinstance(one, Connected) for one in messages)
                parent.sendall(b"".join(map(encode, messages)))
        except CameraError as failure:
            error = failure
        if connected or error.cause is GapCause.CAMERA_AUTH:
            break
    if stop():
        return Ended(cause=GapCause.SERVICE_STOPPED, detail="asked to stop")
    return Ended(cause=error.cause, detail=error.detail)


def _reader(name: Reader) -> Callable[..., Iterator[list[Message]]]:
    if name == "direct":
        return read_stream
    from edge.camera import libav  # tens of megabytes: only where a camera needs it

    return libav.read_stream

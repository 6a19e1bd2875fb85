"""RTSP on the wire, the client's side (RFC 2326). Core: bytes in, values out.

The connection carries answers, requests of the camera, and interleaved packets (clause 10.12).
The reader is forgiving: bytes between packets that are none of these are skipped to the next
packet that can be one, because cameras leave them there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

#: An answer's head and body are a few kilobytes; more is not believed.
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 256 * 1024
#: So many bytes in a row without a packet or a message: it is no RTSP.
NOISE_BYTES_MAX = 1024 * 1024

_MESSAGE = re.compile(rb"RTSP/\d\.\d |[A-Z_]{3,20} [^\r\n ]{1,2000} RTSP/\d\.\d\r?\n")
_MAYBE = re.compile(rb"R(T(S(P(/.{0,4})?)?)?)?|[A-Z_]{1,20}( [^\r\n ]{0,2000}( [^\r\n]{0,9}\r?)?)?")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_RTP_VERSION = 0x80
_DOLLAR = 0x24


class NotRtsp(ValueError):
    """The bytes are no RTSP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer; names of ``headers`` are in lower case, repeated ones stand in a list."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first field of that name, empty where there is none."""
        return self.headers.get(name, [""])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRequest:
    """A request of the camera's own, to which an answer is due."""

    method: str
    cseq: str


Packet = tuple[int, bytes]  # channel, and what it carries: RTP or RTCP


def request(method: str, url: str, cseq: int, headers: Mapping[str, str]) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {cseq}", "User-Agent: xueliang-edge"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(asked: CameraRequest) -> bytes:
    """What a camera's own request gets: nothing is done for it."""
    status = "200 OK" if asked.method in ("OPTIONS", "GET_PARAMETER") else "501 Not Implemented"
    return f"RTSP/1.0 {status}\r\nCSeq: {asked.cseq}\r\n\r\n".encode()


def number(text: str) -> int | None:
    """A number in a camera's words; None where it is none, or has more digits than any sense."""
    return int(text) if len(text) < 10 and text.isascii() and text.isdigit() else None


class Splitter:
    """Cuts the connection's bytes into packets and messages.

    Args:
        channels: those in use; they tell a packet from noise once noise has come.
    """

    def __init__(self, channels: Collection[int]) -> None:
        self._channels = channels
        self._rest = b""
        self._noise_bytes = 0
        #: Bytes that were neither packet nor message.
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> Iterator[Packet | Response | CameraRequest]:
        """Takes the next bytes; what they complete, in order.

        Raises:
            NotRtsp: a head or body is too large, or there is nothing but noise.
        """
        if self._rest:
            data = self._rest + data
        self._rest = b""
        at, end = 0, len(data)
        while at < end:
            if data[at] == _DOLLAR:
                if end - at < 4:
                    break
                after = at + 4 + (data[at + 2] << 8 | data[at + 3])
                if after > end:
                    break
                self._noise_bytes = 0
                yield data[at + 1], data[at + 4 : after]
                at = after
            elif data[at] in b"\r\n":
                at += 1
            elif _MESSAGE.match(data, at):
                found = _message(data, at)
                if found is None:
                    break
                self._noise_bytes = 0
                message, at = found
                if message is not None:
                    yield message
            elif end - at <= 2100 and _MAYBE.fullmatch(data, at):
                break  # perhaps the beginning of a message
            else:
                after = self._resume(data, at + 1)
                self._skip(after - at)
                at = after
        self._rest = data[at:]

    def _skip(self, count: int) -> None:
        self.skipped_bytes += count
        self._noise_bytes += count
        if self._noise_bytes > NOISE_BYTES_MAX:
            raise NotRtsp("the camera sends what is no RTSP")

    def _resume(self, data: bytes, at: int) -> int:
        """Where the next packet or message may begin behind noise; the end where nothing does."""
        text = data.find(b"RTSP/1.0 ", at)  # once: noise may hold many a dollar sign
        while at < len(data):
            dollar = data.find(b"$", at)
            if text >= 0 and (dollar < 0 or text < dollar):
                return text
            if dollar < 0:
                return max(at, len(data) - 8)  # "RTSP/1.0" may just have begun
            head = data[dollar + 1 : dollar + 5]
            if len(head) < 4 or (head[0] in self._channels and head[3] & 0xC0 == _RTP_VERSION):
                return dollar
            at = dollar + 1
        return len(data)


def _message(data: bytes, at: int) -> tuple[Response | CameraRequest | None, int] | None:
    """The message at ``at`` and where it ends; None while it is not whole."""
    ends = _HEAD_END.search(data, at)
    if ends is None:
        if len(data) - at > HEAD_BYTES_MAX:
            raise NotRtsp("a message's head is too long")
        return None
    lines = data[at : ends.start()].decode("utf-8", "replace").splitlines()
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    length = number(headers.get("content-length", ["0"])[0])
    if length is None or length > BODY_BYTES_MAX:
        raise NotRtsp("a message's Content-Length is not to be believed")
    after = ends.end() + length
    if after > len(data):
        return None
    words = lines[0].split(maxsplit=2)
    if not words[0].startswith("RTSP/"):
        cseq = headers.get("cseq", ["0"])[0]
        return CameraRequest(method=words[0], cseq=cseq), after
    status = number(words[1]) if len(words) > 1 else None
    if status is None:
        return None, after
    return Response(status=status, headers=headers, body=data[ends.end() : after]), after

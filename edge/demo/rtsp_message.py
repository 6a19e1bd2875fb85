"""RTSP requests and answers of the demo cameras (RFC 2326). Core: bytes in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: A request of a player is a few hundred bytes; more is not one of ours.
REQUEST_BYTES_MAX = 8192
BODY_BYTES_MAX = 8192

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    459: "Aggregate Operation Not Allowed",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class RequestMalformed(ValueError):
    """The bytes are no RTSP request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    uri: str
    headers: Mapping[str, str]  # names in lower case

    @property
    def cseq(self) -> str:
        return self.headers.get("cseq", "")

    @property
    def path(self) -> str:
        """What follows the authority, without leading or trailing slash and query."""
        found = re.match(r"rtsps?://[^/]*(/[^?]*)?", self.uri)
        path = (found.group(1) or "") if found else self.uri
        return path.strip("/")

    @property
    def body_bytes(self) -> int:
        """Content-Length. Raises RequestMalformed when it is no number or too large."""
        text = self.headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit() or int(text) > BODY_BYTES_MAX:
            raise RequestMalformed(f"Content-Length {text[:20]!r} is not allowed")
        return int(text)


def parse_request(head: bytes) -> Request:
    """A request's head, through its empty line. Raises RequestMalformed."""
    lines = head.decode("utf-8", "replace").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("RTSP/") or not words[0].isupper():
        raise RequestMalformed(f"{lines[0][:40]!r} is no RTSP request line")
    headers = {}
    for line in lines[1:]:
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon:
            raise RequestMalformed(f"{line[:40]!r} is no header")
        headers[name.strip().lower()] = value.strip()
    return Request(method=words[0], uri=words[1], headers=headers)


def response(
    status: int, cseq: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """An answer as bytes."""
    lines = [f"RTSP/1.0 {status} {_REASONS[status]}", f"CSeq: {cseq}", "Server: xueliang-demo"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def interleaved_channels(transport: str) -> tuple[int, int] | None:
    """The RTP and RTCP channels that a Transport header asks for; None for any other transport."""
    for choice in transport.split(","):
        if not choice.strip().upper().startswith("RTP/AVP/TCP"):
            continue
        found = re.search(r"interleaved=(\d{1,3})-(\d{1,3})", choice)
        if found is None:
            return (0, 1)
        rtp, rtcp = int(found.group(1)), int(found.group(2))
        if rtp < 256 and rtcp < 256:
            return (rtp, rtcp)
    return None

"""SIP messages: a tolerant parser, a strict writer (RFC 3261 7 and 18.3). Core.

Bodies are bytes and never looked into. Tolerated: compact and oddly written names, folded lines,
LF alone, blank lines in front, a missing or wrong Content-Length where the datagram says the
length, lines that are no field, a missing blank line at the end. Not tolerated: a message without
Via, From, To, Call-ID and CSeq, for it can neither be answered nor matched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from uplink.sip.headers import (
    PARAMETERS_ADDED_MAX,
    PARAMETERS_MAX,
    CSeq,
    Headers,
    Malformed,
    NameAddress,
    Via,
    clean,
    has_control,
    split,
)

#: Largest datagram there is; a body above it over TCP is nothing that a platform sends us
#: (largest seen: 11 KiB, a Catalog answer of the platform's side).
MESSAGE_BYTES_MAX = 65535
HEAD_BYTES_MAX = 16 * 1024
FIELDS_MAX = 128
CHARSET = "utf-8"
ERRORS = "surrogateescape"

#: Standard phrases of the statuses that we send or meet (RFC 3261 21, RFC 6665).
REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    603: "Decline",
}

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(r"\r?\n")
_METHOD = re.compile(r"[A-Za-z]{1,20}", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What requests and responses have in common."""

    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return Via.parse(split(self.headers.get("Via"), ",")[0])

    @property
    def sender(self) -> NameAddress:
        return NameAddress.parse(self.headers.get("From"))

    @property
    def to(self) -> NameAddress:
        return NameAddress.parse(self.headers.get("To"))

    @property
    def call_id(self) -> str:
        return self.headers.get("Call-ID")

    @property
    def cseq(self) -> CSeq:
        return CSeq.parse(self.headers.get("CSeq"))

    @property
    def contact(self) -> str:
        """The URI of the first Contact; empty where there is none, or no such thing."""
        text = split(self.headers.get("Contact"), ",")[0]
        try:
            return NameAddress.parse(text).uri
        except Malformed:
            return ""

    @property
    def content_type(self) -> str:
        """Lower case, without parameters."""
        return self.headers.get("Content-Type").partition(";")[0].strip().lower()

    def addresses(self, name: str) -> tuple[str, ...]:
        """Every value of a list-like field (Record-Route, Route), in order, as written."""
        values = [split(value, ",") for value in self.headers.all(name)]
        return tuple(piece for pieces in values for piece in pieces if piece)

    def start_line(self) -> str:
        raise NotImplementedError

    def serialize(self) -> bytes:
        """The bytes of the wire; Content-Length is written here and nowhere else.

        Raises:
            ValueError: a header field or the start line would not stay one line.
        """
        start = self.start_line()
        if has_control(start):
            raise ValueError("the start line holds control characters")
        head = f"{start}\r\n{self.headers.serialize()}Content-Length: {len(self.body)}\r\n\r\n"
        return head.encode(CHARSET, ERRORS) + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Message):
    method: str
    uri: str

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    status: int
    reason: str = ""

    @classmethod
    def to_request(
        cls,
        request: Request,
        status: int,
        *,
        reason: str = "",
        to_tag: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Self:
        """An answer with the fields that it must copy (RFC 3261 8.2.6, 12.1.1)."""
        headers = Headers()
        for value in request.headers.all("Via"):
            headers.add("Via", value)
        headers.add("From", request.headers.get("From"))
        to = request.to
        headers.add("To", str(to.with_tag(to_tag)) if to_tag and not to.tag else str(to))
        headers.add("Call-ID", request.call_id)
        headers.add("CSeq", str(request.cseq))
        for value in request.headers.all("Record-Route"):
            headers.add("Record-Route", value)
        for name, value in fields:
            headers.add(name, value)
        return cls(
            status=status,
            reason=reason or REASONS.get(status, "Unknown"),
            headers=headers,
            body=body,
        )

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def parse(data: bytes, *, is_stream: bool = False) -> Request | Response:
    """One whole message: a datagram, or what :mod:`uplink.sip.stream` cut out of a stream.

    Raises:
        Malformed: it is none; nothing else is ever raised.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise Malformed("larger than a message may be")
    data = data.lstrip(b"\r\n")
    end = _HEAD_END.search(data, 0, HEAD_BYTES_MAX)
    if end is None and len(data) > HEAD_BYTES_MAX:
        raise Malformed("a head without end")
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    start, headers = _parse_head(head)
    if not is_stream:
        length = headers.get("Content-Length").strip()
        if _LENGTH.fullmatch(length):  # longer than the datagram: what came is all there is
            body = body[: int(length)]
    message = _parse_start(start, _without_length(headers), body)
    _check(message)
    return message


def content_length(head: bytes) -> int | None:
    """What the fields of ``head`` say of the body's length; None where they say nothing usable."""
    length = _parse_head(head)[1].get("Content-Length").strip()
    return int(length) if _LENGTH.fullmatch(length) else None


def _parse_head(head: bytes) -> tuple[str, Headers]:
    lines = _LINE_END.split(head.decode(CHARSET, ERRORS))
    start = clean(lines[0])
    fields: list[list[str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t"):
            if fields:
                fields[-1].append(clean(line))
            continue
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not _NAME.fullmatch(name):
            continue  # gb28181.md 0.19: stray lines occur
        fields.append([name, clean(value)])
        if len(fields) > FIELDS_MAX:
            raise Malformed("too many header fields")
    return start, Headers(*((name, " ".join(values)) for name, *values in fields))


def _without_length(headers: Headers) -> Headers:
    """Content-Length is a property of the bytes, not of the message."""
    return Headers(*(pair for pair in headers if pair[0].lower() != "content-length"))


def _parse_start(start: str, headers: Headers, body: bytes) -> Request | Response:
    pieces = start.split(None, 2)
    if len(pieces) < 2:
        raise Malformed("no start line")
    if pieces[0].upper() == "SIP/2.0":
        if not re.fullmatch("[1-6][0-9][0-9]", pieces[1], re.ASCII):
            raise Malformed("no status")
        reason = pieces[2] if len(pieces) > 2 else ""
        return Response(status=int(pieces[1]), reason=reason, headers=headers, body=body)
    if len(pieces) != 3 or pieces[2].strip().upper() != "SIP/2.0":
        raise Malformed("not SIP/2.0")
    if not _METHOD.fullmatch(pieces[0]):
        raise Malformed("no method")
    return Request(method=pieces[0].upper(), uri=pieces[1], headers=headers, body=body)


def _check(message: Request | Response) -> None:
    """What every message must have, parsed once, so that no later look raises."""
    if not message.call_id:
        raise Malformed("no Call-ID")
    via, to, _ = message.via, message.to, message.sender  # each raises Malformed by itself
    cseq = message.cseq
    if not isinstance(message, Request):
        return
    if cseq.method != message.method:
        raise Malformed("CSeq is of another method")
    count = max(len(via.parameters), len(to.parameters))
    if count > PARAMETERS_MAX - PARAMETERS_ADDED_MAX:
        raise Malformed("too many parameters")

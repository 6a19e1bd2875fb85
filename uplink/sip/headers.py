"""SIP header fields: an ordered list of them, and the structured ones as values. Core.

Parsing is tolerant (RFC 3261 7.3 and what platforms send: gb28181.md 2.1), writing strict. Text is
UTF-8 with ``surrogateescape``: what a peer wrote in any other charset is echoed byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

#: Parameters of one field; more is no SIP.
PARAMETERS_MAX = 64
#: Of them our answers add so many: ``rport`` and ``received`` to Via, a tag to To.
PARAMETERS_ADDED_MAX = 2
PORT_MAX = 65535
#: RFC 3261 8.1.1.5: below 2^31; platforms are let off up to 32 bits.
SEQUENCE_MAX = 2**32 - 1

#: RFC 3261 7.3.3, RFC 6665 8.2.1, RFC 3841: short names that we know.
COMPACT = {
    "i": "Call-ID",
    "m": "Contact",
    "e": "Content-Encoding",
    "l": "Content-Length",
    "c": "Content-Type",
    "f": "From",
    "s": "Subject",
    "k": "Supported",
    "t": "To",
    "v": "Via",
    "o": "Event",
    "u": "Allow-Events",
}

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)


class Malformed(ValueError):
    """What came is no SIP message. The text says why; it never quotes more than 40 characters."""


class Headers:
    """Header fields in order. Names compare without case; compact names are written out."""

    __slots__ = ("_fields",)

    def __init__(self, *fields: tuple[str, str]) -> None:
        self._fields = [(long_name(name), value) for name, value in fields]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({', '.join(name for name, _ in self._fields)})"  # values may be secrets

    def get(self, name: str, default: str = "") -> str:
        """The first field of this name; platforms double some, and the first one counts."""
        wanted = long_name(name).lower()
        for key, value in self._fields:
            if key.lower() == wanted:
                return value
        return default

    def all(self, name: str) -> list[str]:
        wanted = long_name(name).lower()
        return [value for key, value in self._fields if key.lower() == wanted]

    def has(self, name: str) -> bool:
        return bool(self.all(name))

    def add(self, name: str, value: str) -> None:
        self._fields.append((long_name(name), value))

    def set(self, name: str, value: str) -> None:
        """Replaces the first field of this name, or adds one."""
        wanted = long_name(name)
        for place, (key, _) in enumerate(self._fields):
            if key.lower() == wanted.lower():
                self._fields[place] = (key, value)
                return
        self._fields.append((wanted, value))

    def serialize(self) -> str:
        """Raises ValueError for a name or value that would not stay one field."""
        for name, value in self._fields:
            if not _TOKEN.fullmatch(name) or has_control(value):
                raise ValueError(f"no header field: {name!r}")
        return "".join(f"{name}: {value}\r\n" for name, value in self._fields)


def long_name(name: str) -> str:
    return COMPACT.get(name.lower(), name) if len(name) == 1 else name


def has_control(text: str) -> bool:
    """Whether ``text`` would not stay one field: control characters other than tab."""
    return _CONTROL.search(text) is not None


def clean(text: str) -> str:
    """``text`` as one line without control characters."""
    return _CONTROL.sub(" ", text).strip()


# Parameters --------------------------------------------------------------------------------------

Parameters = tuple[tuple[str, str | None], ...]


def split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` that stands outside quotes and angle brackets."""
    if separator not in text:
        return [text.strip()]
    pieces: list[str] = []
    start = depth = 0
    is_quoted = is_escaped = False
    for place, letter in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and letter == "\\":
            is_escaped = True
        elif letter == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif letter == "<":
            depth += 1
        elif letter == ">":
            depth = max(0, depth - 1)
        elif letter == separator and not depth:
            pieces.append(text[start:place].strip())
            start = place + 1
    pieces.append(text[start:].strip())
    return pieces


def parse_parameters(pieces: list[str]) -> Parameters:
    """``name=value`` or ``name``; quotes around a value are kept."""
    if len(pieces) > PARAMETERS_MAX:
        raise Malformed("too many parameters")
    found: list[tuple[str, str | None]] = []
    for piece in pieces:
        if not piece:
            continue
        name, equals, value = piece.partition("=")
        found.append((name.strip(), value.strip() if equals else None))
    return tuple(found)


def write_parameters(parameters: Parameters) -> str:
    return "".join(
        f";{name}" if value is None else f";{name}={value}" for name, value in parameters
    )


def parameter(parameters: Parameters, name: str) -> str | None:
    """The value of the first ``name`` ("" for one without a value), None where there is none."""
    for key, value in parameters:
        if key.lower() == name:
            return value or ""
    return None


def with_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """``parameters`` with ``name`` set, at its place or at the end."""
    if parameter(parameters, name) is None:
        return (*parameters, (name, value))
    return tuple((key, value if key.lower() == name else old) for key, old in parameters)


def unquote(text: str) -> str:
    """The text of a quoted string (RFC 3261 25.1); any other text as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Structured fields -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SipUri:
    """``sip:user@host:port;parameters`` (RFC 3261 19.1); ``port`` None where unsaid."""

    user: str
    host: str  # without brackets
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        scheme, colon, rest = text.strip().partition(":")
        if not colon or scheme.lower() not in ("sip", "sips"):
            raise Malformed("no SIP URI")
        rest = rest.partition("?")[0]
        pieces = rest.split(";")
        user, at, place = pieces[0].rpartition("@")
        host, port = _host_port(place)
        return cls(
            user=user.partition(":")[0] if at else "",
            host=host,
            port=port,
            parameters=parse_parameters(pieces[1:]),
        )

    def __str__(self) -> str:
        at = f"{self.user}@" if self.user else ""
        return f"sip:{at}{host_port(self.host, self.port)}{write_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAddress:
    """A From, To, Contact or Route value: ``"name" <uri>;parameters``."""

    uri: str
    display: str = ""  # as written, with its quotes
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        before, less, rest = _outside_quotes(text, "<")
        if not less:
            pieces = split(text, ";")
            return cls(uri=_no_blank(pieces[0]), parameters=parse_parameters(pieces[1:]))
        uri, greater, after = rest.partition(">")
        if not greater:
            raise Malformed("an address without its closing bracket")
        pieces = split(after, ";")
        return cls(
            uri=_no_blank(uri.strip()),
            display=before.strip(),
            parameters=parse_parameters(pieces[1:]),
        )

    @property
    def tag(self) -> str:
        return parameter(self.parameters, "tag") or ""

    @property
    def user(self) -> str:
        """User part of the URI; empty where the URI is none of ours."""
        try:
            return SipUri.parse(self.uri).user
        except Malformed:
            return ""

    def of_dialog(self, tag: str) -> NameAddress:
        """Address and tag: what requests in a dialog repeat (RFC 3261 12.2.1.1)."""
        return replace(self, parameters=(("tag", tag),) if tag else ())

    def with_tag(self, tag: str) -> NameAddress:
        return replace(self, parameters=with_parameter(self.parameters, "tag", tag))

    def __str__(self) -> str:
        display = f"{self.display} " if self.display else ""
        return f"{display}<{self.uri}>{write_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """One hop: ``SIP/2.0/UDP host:port;parameters``."""

    transport: str  # upper case
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        head, *pieces = split(text, ";")
        protocol, place = _protocol(head)
        host, port = _host_port(place)
        return cls(transport=protocol, host=host, port=port, parameters=parse_parameters(pieces))

    @property
    def branch(self) -> str:
        return parameter(self.parameters, "branch") or ""

    @property
    def wants_rport(self) -> bool:
        """RFC 3581: answers go where the request came from."""
        return parameter(self.parameters, "rport") is not None

    def stamped(self, host: str, port: int) -> Via:
        """With where it came from (RFC 3261 18.2.1, RFC 3581 4)."""
        parameters = self.parameters
        if self.wants_rport:
            parameters = with_parameter(parameters, "rport", str(port))
        if self.wants_rport or self.host != host:
            parameters = with_parameter(parameters, "received", host)
        return replace(self, parameters=parameters)

    def __str__(self) -> str:
        place = host_port(self.host, self.port)
        return f"SIP/2.0/{self.transport} {place}{write_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CSeq:
    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> Self:
        pieces = text.split()
        if len(pieces) != 2 or not _DIGITS.fullmatch(pieces[0]):
            raise Malformed("CSeq is no number and method")
        number = int(pieces[0])
        if number > SEQUENCE_MAX or not _TOKEN.fullmatch(pieces[1]):
            raise Malformed("CSeq is out of range")
        return cls(number=number, method=pieces[1].upper())

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def host_port(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def seconds(text: str) -> int | None:
    """A delta-seconds value (Expires, Min-Expires), None where it is none."""
    digits = text.partition(";")[0].strip()
    return int(digits) if _DIGITS.fullmatch(digits) else None


def _protocol(head: str) -> tuple[str, str]:
    """Transport and sent-by; blanks around the slashes are let pass (RFC 3261 25.1, SLASH)."""
    pieces = [piece.strip() for piece in head.split("/", 2)]
    if len(pieces) != 3 or pieces[0].upper() != "SIP" or pieces[1] != "2.0":
        raise Malformed("Via is not of SIP/2.0")
    transport, _, place = pieces[2].partition(" ")
    if not _TOKEN.fullmatch(transport):
        raise Malformed("Via without a transport")
    return transport.upper(), place.strip()


def _host_port(text: str) -> tuple[str, int | None]:
    text = text.strip()
    if text.startswith("["):
        host, closing, after = text[1:].partition("]")
        if not closing:
            raise Malformed("an IPv6 address without its closing bracket")
        port = after.strip().removeprefix(":")
    else:
        host, _, port = text.partition(":")
    host, port = host.strip(), port.strip()
    if not host or any(letter.isspace() or letter in '<>"@,' for letter in host):
        raise Malformed("no host")
    if not port:
        return host, None
    if not _DIGITS.fullmatch(port) or not 0 < int(port) <= PORT_MAX:
        raise Malformed("no port")
    return host, int(port)


def _outside_quotes(text: str, letter: str) -> tuple[str, str, str]:
    """``str.partition`` at the first ``letter`` outside quotes."""
    is_quoted = is_escaped = False
    for place, current in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and current == "\\":
            is_escaped = True
        elif current == '"':
            is_quoted = not is_quoted
        elif current == letter and not is_quoted:
            return text[:place], letter, text[place + 1 :]
    return text, "", ""


def _no_blank(uri: str) -> str:
    if not uri or any(letter.isspace() or letter in "<>" for letter in uri):
        raise Malformed("no URI")
    return uri

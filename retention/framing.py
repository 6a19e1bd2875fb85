"""Messages between a camera's child process and the recorder, over a byte stream. Core: no I/O.

Each message is a 5-byte head (big-endian length of the rest, then one byte naming the kind) and its
body. A length is believed only up to ``MAX_BODY_BYTES``: the sender is our own child, but it has
libav and a camera's bytes in its memory, so nothing that it says may cost the receiver more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from config.errors import XueliangError
from retention.index.formats import format_from_json, format_to_json
from retention.model import GapCause, MediaFormat, ReceivedUnit, Track

#: An access unit larger than this is damage, not a picture (a 4K intra picture stays under 4 MiB).
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_DETAIL_CHARS = 500

_HEAD = struct.Struct(">IB")
_UNIT = struct.Struct(">Bqqq")
_TIME = struct.Struct(">q")
_COUNTS = struct.Struct(">qq")

_CONNECTED, _FORMAT, _UNIT_KIND, _CAMERA_TIME, _HEARTBEAT, _ENDED, _LOST = range(1, 8)
_IS_AUDIO, _IS_KEY, _IS_DAMAGED, _HAS_TIME = 1, 2, 4, 8


M = TypeVar("M")


class FramingError(XueliangError):
    """The bytes are no message; the stream cannot be read on."""

    code = "framing_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The camera answered and plays; ``candidate`` is the place of its address in the request."""

    candidate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What the units from here on are made of."""

    media: MediaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    unit: ReceivedUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTime:
    """The camera's own clock, as told by RTCP, minus the host's, in microseconds."""

    offset_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Since this was last said."""

    packets: int  # of RTP that never came, by their sequence numbers
    pictures: int = 0  # thrown away, for no picture is that large


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The child still turns, though it has nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last message: why the stream is over, in one sentence without any secret."""

    cause: GapCause
    detail: str


Message = Connected | Format | Unit | CameraTime | Lost | Heartbeat | Ended


def encode(message: Message) -> bytes:
    """The bytes of one message; FramingError when its body exceeds ``MAX_BODY_BYTES``."""
    match message:
        case Unit(unit=unit):
            kind, body = _UNIT_KIND, _unit_body(unit)
        case Format(media=media):
            kind, body = _FORMAT, _json(format_to_json(media))
        case CameraTime(offset_us=offset_us):
            kind, body = _CAMERA_TIME, _TIME.pack(offset_us)
        case Lost(packets=packets, pictures=pictures):
            kind, body = _LOST, _COUNTS.pack(packets, pictures)
        case Heartbeat():
            kind, body = _HEARTBEAT, b""
        case Connected(candidate=candidate):
            kind, body = _CONNECTED, _TIME.pack(candidate)
        case Ended(cause=cause, detail=detail):
            kind, body = _ENDED, _json({"cause": cause, "detail": detail[:MAX_DETAIL_CHARS]})
    return frame(kind, body)


def frame(kind: int, body: bytes) -> bytes:
    """Head and body of one message; FramingError when the body exceeds ``MAX_BODY_BYTES``."""
    if len(body) > MAX_BODY_BYTES:
        raise FramingError(f"message of {len(body)} bytes exceeds {MAX_BODY_BYTES}")
    return _HEAD.pack(len(body), kind) + body


class Parser(Generic[M]):
    """Turns chunks of a byte stream into messages, whatever their cut.

    Args:
        decode: reads one message from its kind and body; raises FramingError.
    """

    def __init__(self, decode: Callable[[int, bytes], M]) -> None:
        self._decode = decode
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes held that are no whole message yet; at most head + ``MAX_BODY_BYTES`` + a chunk."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[M]:
        """Takes the next bytes in at once, and yields the messages that they complete.

        Raises FramingError at the first bytes that are no message; the parser is of no use then.
        """
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[M]:
        at = 0
        try:
            while len(self._buffer) - at >= _HEAD.size:
                length, kind = _HEAD.unpack_from(self._buffer, at)
                if length > MAX_BODY_BYTES:
                    raise FramingError(f"length {length} exceeds {MAX_BODY_BYTES}")
                end = at + _HEAD.size + length
                if len(self._buffer) < end:
                    return
                body = bytes(memoryview(self._buffer)[at + _HEAD.size : end])
                at = end
                yield self._decode(kind, body)
        finally:
            del self._buffer[:at]


def decode(kind: int, body: bytes) -> Message:
    """Inverse of :func:`encode`; FramingError where the bytes are no message."""
    try:
        if kind == _UNIT_KIND:
            return Unit(unit=_unit_from(body))
        if kind == _FORMAT:
            return Format(media=format_from_json(json.loads(body)))
        if kind == _CAMERA_TIME:
            return CameraTime(offset_us=_TIME.unpack(body)[0])
        if kind == _LOST:
            packets, pictures = _COUNTS.unpack(body)
            return Lost(packets=packets, pictures=pictures)
        if kind == _HEARTBEAT and not body:
            return Heartbeat()
        if kind == _CONNECTED:
            return Connected(candidate=_TIME.unpack(body)[0])
        if kind == _ENDED:
            fields = json.loads(body)
            return Ended(cause=GapCause(fields["cause"]), detail=str(fields["detail"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise FramingError(f"message of kind {kind} cannot be read") from error
    raise FramingError(f"message of kind {kind} with {len(body)} bytes is unknown")


def _unit_body(unit: ReceivedUnit) -> bytes:
    flags = (
        _IS_AUDIO * (unit.track is Track.AUDIO)
        | _IS_KEY * unit.is_key
        | _IS_DAMAGED * unit.is_damaged
        | _HAS_TIME * (unit.media_us is not None)
    )
    head = _UNIT.pack(flags, unit.media_us or 0, unit.arrival_utc_us, unit.arrival_monotonic_us)
    return head + unit.data


def _unit_from(body: bytes) -> ReceivedUnit:
    flags, media_us, arrival_utc_us, arrival_monotonic_us = _UNIT.unpack_from(body)
    return ReceivedUnit(
        track=Track.AUDIO if flags & _IS_AUDIO else Track.VIDEO,
        media_us=media_us if flags & _HAS_TIME else None,
        arrival_utc_us=arrival_utc_us,
        arrival_monotonic_us=arrival_monotonic_us,
        is_key=bool(flags & _IS_KEY),
        is_damaged=bool(flags & _IS_DAMAGED),
        data=body[_UNIT.size :],
    )


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()

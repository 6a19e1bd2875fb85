"""Messages between ``edge`` and the process of a volume as bytes. Core.

A frame is the length of its head and the length of its tail (both 4 bytes, big-endian), the head
(JSON: kind, number of the request or 0, the fields in order), and the tail: what is long and opaque
(a fragment's media, lines of the journal) as it is.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Hashable
from typing import Any, cast, get_type_hints

from config.errors import XueliangError
from retention.model import AccessUnit, Fragment, Track
from retention.plain import NotPlain, decoder, encoder
from retention.volume_messages import KINDS, Message
from retention.writer_ports import Append

PREFIX = struct.Struct(">II")
#: A part of the journal takes 16 MiB and a line; a fragment 4 MiB and a picture.
FRAME_BYTES_MAX = 64 * 1024 * 1024


class WireError(XueliangError):
    """The bytes are no message; the connection cannot be used on."""

    code = "wire_error"


def encode(message: Message, request: int = 0) -> list[bytes]:
    """A frame in pieces, to be sent one behind the other: media are not copied together."""
    kind = type(message).__name__
    tail: list[bytes] = []
    if isinstance(message, Append):
        fields, tail = _append_fields(message)
    elif (name := _TAILS[kind]) is not None:
        tail = [getattr(message, name)]
        fields = _ENCODERS[kind](_with(message, name, b""))
    else:
        fields = _ENCODERS[kind](message)
    head = json.dumps([kind, request, fields], separators=(",", ":")).encode()
    return [PREFIX.pack(len(head), sum(map(len, tail))) + head, *tail]


def lengths(prefix: bytes) -> tuple[int, int]:
    """Bytes of head and tail behind a prefix; raises :class:`WireError` for absurd ones."""
    head_bytes, tail_bytes = PREFIX.unpack(prefix)
    if head_bytes + tail_bytes > FRAME_BYTES_MAX:
        raise WireError(f"a message of {head_bytes + tail_bytes} bytes")
    return head_bytes, tail_bytes


def decode(head: bytes, tail: bytes) -> tuple[Message, int]:
    """A message and the number of its request. Raises :class:`WireError`."""
    try:
        kind, request, fields = json.loads(head)
        if type(request) is not int:
            raise NotPlain("a request has a number")
        if kind == "Append":
            return _append_from(fields, tail), request
        message = _DECODERS[kind](fields)
        name = _TAILS[kind]
        return (message if name is None else dataclasses.replace(message, **{name: tail})), request
    except (NotPlain, ValueError, LookupError, TypeError, RecursionError) as error:
        raise WireError(f"a message that cannot be read: {error}") from error


def _with(message: Any, name: str, data: bytes) -> Any:
    return dataclasses.replace(message, **{name: data})


def _append_fields(message: Append) -> tuple[list[Any], list[bytes]]:
    fragment = message.fragment
    units = fragment.units
    fields = [
        message.camera,
        message.number,
        fragment.start_us,
        fragment.end_us,
        fragment.is_key,
        [len(unit.data) for unit in units],
        [unit.pts_us for unit in units],
        [2 * (unit.track is Track.AUDIO) + unit.is_key for unit in units],
    ]
    return fields, [unit.data for unit in units]


def _append_from(fields: list[Any], tail: bytes) -> Append:
    camera, number, start_us, end_us, is_key, sizes, times, flags = fields
    # slices that copy nothing: a muxer joins them, and nobody asks for more than their bytes
    media = cast(bytes, memoryview(tail))
    units = []
    at = 0
    for size_bytes, pts_us, flag in zip(sizes, times, flags, strict=True):
        units.append(
            AccessUnit(
                track=Track.AUDIO if flag & 2 else Track.VIDEO,
                pts_us=pts_us,
                is_key=bool(flag & 1),
                data=media[at : at + size_bytes],
            )
        )
        at += size_bytes
    if at != len(tail):
        raise NotPlain("media of another length than their fragment tells")
    fragment = Fragment(units=tuple(units), start_us=start_us, end_us=end_us, is_key=is_key)
    return Append(camera=camera, number=number, fragment=fragment)


def _tail_of(kind: type[Any]) -> str | None:
    """The field that is sent as it is: the one of type ``bytes``."""
    hints = get_type_hints(kind)
    return next((one.name for one in dataclasses.fields(kind) if hints[one.name] is bytes), None)


_PLAIN = {name: kind for name, kind in KINDS.items() if kind is not Append}
_TAILS = {name: _tail_of(kind) for name, kind in _PLAIN.items()}
_ENCODERS = {name: encoder(cast(Hashable, kind)) for name, kind in _PLAIN.items()}
_DECODERS = {name: decoder(cast(Hashable, kind)) for name, kind in _PLAIN.items()}
_SHAPES = " ".join(
    f"{name}({','.join(one.name for one in dataclasses.fields(kind))})"
    for name, kind in sorted(KINDS.items())
)
#: Both ends must speak the same: a program that was replaced on the disk while it runs does not.
DIALECT = f"{zlib.crc32(_SHAPES.encode()):08x}"

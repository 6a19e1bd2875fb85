"""What a live tap says, over a byte stream (framed as in ``retention.framing``). Core.

``Run`` tells what the units after it belong to and are made of; ``Unit`` is one access unit, as
it will be stored; ``Skipped`` says that units are missing before the next one, a key frame,
because this reader was too slow; ``Live`` that what follows comes as it is received.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from retention.framing import FramingError, frame
from retention.index.formats import format_from_json, format_to_json
from retention.model import AccessUnit, MediaFormat, Track

_RUN, _UNIT, _SKIPPED, _LIVE = range(1, 5)
_IS_AUDIO, _IS_KEY = 1, 2
_UNIT_HEAD = struct.Struct(">Bq")


@dataclass(frozen=True, slots=True, kw_only=True)
class TapRun:
    run: str
    format: MediaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class TapUnit:
    unit: AccessUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Units are missing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """All that was waiting has been told."""


TapMessage = TapRun | TapUnit | Skipped | Live


def encode_tap(message: TapMessage) -> bytes:
    """Raises FramingError for a unit beyond ``framing.MAX_BODY_BYTES``."""
    match message:
        case TapUnit(unit=unit):
            flags = _IS_AUDIO * (unit.track is Track.AUDIO) | _IS_KEY * unit.is_key
            return frame(_UNIT, _UNIT_HEAD.pack(flags, unit.pts_us) + unit.data)
        case TapRun(run=run, format=format):
            document = {"run": run, "format": format_to_json(format)}
            return frame(_RUN, json.dumps(document, separators=(",", ":")).encode())
        case Skipped():
            return frame(_SKIPPED, b"")
        case Live():
            return frame(_LIVE, b"")


def decode_tap(kind: int, body: bytes) -> TapMessage:
    """Inverse of :func:`encode_tap`. Raises FramingError."""
    try:
        if kind == _UNIT:
            flags, pts_us = _UNIT_HEAD.unpack_from(body)
            return TapUnit(
                unit=AccessUnit(
                    track=Track.AUDIO if flags & _IS_AUDIO else Track.VIDEO,
                    pts_us=pts_us,
                    is_key=bool(flags & _IS_KEY),
                    data=body[_UNIT_HEAD.size :],
                )
            )
        if kind == _RUN:
            document = json.loads(body)
            return TapRun(run=str(document["run"]), format=format_from_json(document["format"]))
        if kind == _SKIPPED and not body:
            return Skipped()
        if kind == _LIVE and not body:
            return Live()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise FramingError(f"tap message of kind {kind} cannot be read") from error
    raise FramingError(f"tap message of kind {kind} with {len(body)} bytes is unknown")

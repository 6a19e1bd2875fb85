"""The values that the demo cameras send: encoded units and the record of what was sent. Core.

Kept apart from ``retention.nal`` on purpose: the demo camera is the judge of what the recorder
stored, and a judge must not share the parser of the judged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from retention.model import Codec, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaUnit:
    """One encoded picture (its NAL units) or one audio frame (a single element)."""

    track: Track
    is_key: bool
    nals: tuple[bytes, ...]
    #: SHA-256 hex digest of :func:`stored_bytes`, what a byte-exact recorder must hold.
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(stored_bytes(self)).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedUnit:
    """A unit and its presentation time, microseconds since the camera was switched on."""

    pts_us: int
    unit: MediaUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class SentUnit:
    """One line of a camera's log: an access unit that was handed to the socket of a session."""

    track: Track
    session: str
    rtp_time: int  # 32 bits, as on the wire
    capture_utc_us: int  # host wall time of the capture, whatever the camera's own clock says
    is_key: bool
    size_bytes: int
    sha256: str


def stored_bytes(unit: MediaUnit) -> bytes:
    """The unit as ``ReceivedUnit.data`` has it: NAL units behind 4-byte lengths, or raw audio."""
    if unit.track is Track.AUDIO:
        return b"".join(unit.nals)
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit.nals)


def split_start_codes(data: bytes) -> tuple[bytes, ...]:
    """NAL units of a byte stream (H.264 Annex B), without start codes and trailing zeros."""
    nals = []
    at = data.find(b"\0\0\1")
    while at >= 0:
        begin = at + 3
        at = data.find(b"\0\0\1", begin)
        nal = (data[begin:] if at < 0 else data[begin:at]).rstrip(b"\0")
        if nal:
            nals.append(nal)
    return tuple(nals)


def nal_type(codec: Codec, nal: bytes) -> int:
    """nal_unit_type (H.264, 7.3.1; H.265, 7.3.1.2)."""
    return nal[0] & 0x1F if codec is Codec.H264 else nal[0] >> 1 & 0x3F


def is_parameter_set(codec: Codec, nal: bytes) -> bool:
    """True for SPS and PPS (H.264) or VPS, SPS and PPS (H.265)."""
    kind = nal_type(codec, nal)
    return kind in (7, 8) if codec is Codec.H264 else kind in (32, 33, 34)


def is_picture(codec: Codec, nal: bytes) -> bool:
    """True for a slice of a coded picture."""
    kind = nal_type(codec, nal)
    return 1 <= kind <= 5 if codec is Codec.H264 else kind < 32


def stamp_nal(codec: Codec, number: int) -> bytes:
    """An SEI message (user_data_unregistered) that makes each unit of a loop unlike the others.

    The text has no zero byte, so that no emulation prevention is needed.
    """
    body = b"xueliang-demo-id" + b"%016d" % number  # 16 bytes of UUID, then the number
    header = b"\x06" if codec is Codec.H264 else b"\x4e\x01"
    return header + b"\x05" + bytes([len(body)]) + body + b"\x80"

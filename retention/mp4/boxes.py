"""Boxes of ISO/IEC 14496-12, and the names and limits of our own segment files. Core."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from config.errors import XueliangError

VIDEO_TRACK = 1
AUDIO_TRACK = 2
#: Of the video track, so that microseconds are exact; file time 0 is the header's start.
VIDEO_TIMESCALE = 1_000_000
#: The video's media time at file time 0, in ticks: a millisecond for each picture that may wait to
#: be shown. Players count it in the file's length; decode times closer together make libav warn.
VIDEO_LEAD_STEP = 1000
VIDEO_LEAD = 16 * VIDEO_LEAD_STEP

#: Payload of ``uuid`` behind ``moov``: version byte, JSON of the header.
HEADER_UUID = UUID("b8a2f6d4-6c1e-4a52-9d0b-3e1f7c5a9001").bytes
#: Last box of each ``moof``: retention.mp4.note.
NOTE_UUID = UUID("b8a2f6d4-6c1e-4a52-9d0b-3e1f7c5a9002").bytes
#: Last box of a sealed file: retention.mp4.trailer.
TRAILER_UUID = UUID("b8a2f6d4-6c1e-4a52-9d0b-3e1f7c5a9003").bytes

#: Bounds of what is held in memory while a file is scanned.
MAX_HEAD_BYTES = 1 << 20
MAX_MOOF_BYTES = 1 << 20  # some 60,000 units
MAX_MDAT_BYTES = 256 << 20
MAX_TRAILER_BYTES = 4 << 20  # some 70,000 fragments

#: 9999-12-31T23:59:59.999999Z; later instants have no path.
MAX_INSTANT_US = 253_402_300_799_999_999


class SegmentCorrupt(XueliangError):
    """Bytes that should be a segment, or a fragment of one, and are not."""

    code = "segment_corrupt"


class BoxHead(NamedTuple):
    """Type of a box, the size of its header and its whole size, both in bytes."""

    kind: bytes
    head_bytes: int
    size_bytes: int


def box(kind: bytes, *payload: bytes) -> bytes:
    """A box with a 32-bit size."""
    return b"".join(((8 + sum(map(len, payload))).to_bytes(4, "big"), kind, *payload))


def full_box(kind: bytes, version: int, flags: int, *payload: bytes) -> bytes:
    """A box with version and flags (14496-12, 4.2)."""
    return box(kind, (version << 24 | flags).to_bytes(4, "big"), *payload)


def read_head(data: bytes) -> BoxHead | None:
    """The header of the box that begins ``data``; None where it is cut short or absurd.

    Of 64-bit sizes and ``size = 0`` (to the end of the file) nothing is ours: absurd.
    """
    if len(data) < 8:
        return None
    size = int.from_bytes(data[:4], "big")
    return BoxHead(bytes(data[4:8]), 8, size) if size >= 8 else None


def children(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and payload of the boxes that fill ``data``.

    Raises:
        SegmentCorrupt: they do not fill it exactly.
    """
    found = []
    position = 0
    while position < len(data):
        head = read_head(data[position : position + 8])
        if head is None or position + head.size_bytes > len(data):
            raise SegmentCorrupt("a box leads behind the end of the one that holds it")
        found.append((head.kind, data[position + 8 : position + head.size_bytes]))
        position += head.size_bytes
    return found

"""Our ``uuid`` box at the end of each ``moof``: what the standard's boxes cannot say. Core.

Layout behind the UUID: version (1 byte), flags (1: begins with a key frame), start and end in UTC
microseconds (8 bytes each, two's complement), then for each audio unit two varints: the video units
that arrived since the audio unit before, and its time less the one its samples give (zigzag,
microseconds); at last CRC-32 (4 bytes) of all bytes of the fragment but these four. With it a
fragment whose bytes never reached the disk is told from a whole one without any other file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retention.mp4.boxes import MAX_INSTANT_US, NOTE_UUID, SegmentCorrupt, box
from retention.varint import get_varint, put_varint, unzigzag, zigzag

_VERSION = 1
_KEY = 1
CRC_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentNote:
    """Span and kind of a fragment, and how its audio lies among the video."""

    start_us: int
    end_us: int
    is_key: bool
    #: Per audio unit: video units since the one before, microseconds to add to its sample time.
    audio: tuple[tuple[int, int], ...] = ()


def note_box(note: FragmentNote) -> bytes:
    """The box, with four zero bytes where the CRC goes."""
    out = bytearray((_VERSION, _KEY if note.is_key else 0))
    out += note.start_us.to_bytes(8, "big", signed=True)
    out += note.end_us.to_bytes(8, "big", signed=True)
    for pictures, drift_us in note.audio:
        put_varint(out, pictures)
        put_varint(out, zigzag(drift_us))
    return box(b"uuid", NOTE_UUID, bytes(out), bytes(CRC_BYTES))


def parse_note(payload: bytes) -> FragmentNote:
    """The note in the payload of the ``uuid`` box (UUID included).

    Raises:
        SegmentCorrupt: it is none.
    """
    body = payload[16:-CRC_BYTES]
    if payload[:16] != NOTE_UUID or len(body) < 18 or body[0] != _VERSION:
        raise SegmentCorrupt("a fragment without our note")
    start_us = int.from_bytes(body[2:10], "big", signed=True)
    end_us = int.from_bytes(body[10:18], "big", signed=True)
    if not 0 <= start_us <= end_us <= MAX_INSTANT_US:
        raise SegmentCorrupt("a fragment whose span cannot be")
    try:
        audio = tuple(_pairs(body))
    except ValueError as error:
        raise SegmentCorrupt("a fragment whose note is damaged") from error
    return FragmentNote(start_us=start_us, end_us=end_us, is_key=body[1] == _KEY, audio=audio)


def _pairs(body: bytes) -> Iterable[tuple[int, int]]:
    position = 18
    while position < len(body):
        pictures, position = get_varint(body, position)
        drift, position = get_varint(body, position)
        yield pictures, unzigzag(drift)

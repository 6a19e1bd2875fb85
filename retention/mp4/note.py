"""Our ``uuid`` box at the end of each ``moof``: what the standard's boxes cannot say. Core.

Layout behind the UUID: version (1 byte), flags (1: begins with a key frame), start and end in UTC
microseconds (8 bytes each, two's complement). Then varints: how many pictures are shown before
their decode time, and of each its index among the fragment's pictures and its time less the decode
time (zigzag, microseconds); behind them for each audio unit the video units that arrived since the
audio unit before, and its time less the one its samples give (zigzag, microseconds). At last CRC-32
(4 bytes) of all bytes of the fragment but these four. With it a fragment whose bytes never reached
the disk is told from a whole one without any other file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retention.mp4.boxes import MAX_INSTANT_US, NOTE_UUID, SegmentCorrupt, box
from retention.varint import get_varint, put_varint, unzigzag, zigzag

_VERSION = 1
_KEY = 1
_FIXED_BYTES = 18
CRC_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentNote:
    """Span and kind of a fragment, and how its audio lies among the video."""

    start_us: int
    end_us: int
    is_key: bool
    #: Of pictures shown before their decode time: index among the pictures, microseconds to add.
    early: tuple[tuple[int, int], ...] = ()
    #: Per audio unit: video units since the one before, microseconds to add to its sample time.
    audio: tuple[tuple[int, int], ...] = ()


def note_box(note: FragmentNote) -> bytes:
    """The box, with four zero bytes where the CRC goes."""
    out = bytearray((_VERSION, _KEY if note.is_key else 0))
    out += note.start_us.to_bytes(8, "big", signed=True)
    out += note.end_us.to_bytes(8, "big", signed=True)
    put_varint(out, len(note.early))
    for count, delta_us in (*note.early, *note.audio):
        put_varint(out, count)
        put_varint(out, zigzag(delta_us))
    return box(b"uuid", NOTE_UUID, bytes(out), bytes(CRC_BYTES))


def parse_note(payload: bytes) -> FragmentNote:
    """The note in the payload of the ``uuid`` box (UUID included).

    Raises:
        SegmentCorrupt: it is none.
    """
    body = payload[16:-CRC_BYTES]
    if payload[:16] != NOTE_UUID or len(body) < _FIXED_BYTES or body[0] != _VERSION:
        raise SegmentCorrupt("a fragment is without our note")
    start_us = int.from_bytes(body[2:10], "big", signed=True)
    end_us = int.from_bytes(body[10:18], "big", signed=True)
    if not 0 <= start_us <= end_us <= MAX_INSTANT_US:
        raise SegmentCorrupt("a fragment says a span that cannot be")
    try:
        early_count, position = get_varint(body, _FIXED_BYTES)
        pairs = list(_pairs(body, position))
    except ValueError as error:
        raise SegmentCorrupt("a fragment's note is damaged") from error
    if early_count > len(pairs):
        raise SegmentCorrupt("a fragment's note is cut short")
    return FragmentNote(
        start_us=start_us,
        end_us=end_us,
        is_key=body[1] == _KEY,
        early=tuple(pairs[:early_count]),
        audio=tuple(pairs[early_count:]),
    )


def _pairs(body: bytes, position: int) -> Iterator[tuple[int, int]]:
    while position < len(body):
        count, position = get_varint(body, position)
        delta, position = get_varint(body, position)
        yield count, unzigzag(delta)

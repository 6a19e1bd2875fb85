"""Reading segment files back: what of one is whole, fragment by fragment. Core.

Whatever the bytes, only :class:`SegmentCorrupt` is raised, and no more is asked for or held at once
than mp4.boxes allows.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from retention.model import FragmentEntry, SegmentHeader
from retention.mp4.boxes import (
    HEADER_UUID,
    MAX_HEAD_BYTES,
    MAX_MDAT_BYTES,
    MAX_MOOF_BYTES,
    MAX_TRAILER_BYTES,
    TRAILER_UUID,
    BoxHead,
    SegmentCorrupt,
    read_head,
)
from retention.mp4.header import parse_header
from retention.mp4.note import CRC_BYTES
from retention.mp4.trailer import SIZE_BYTES, Trailer, parse_trailer
from retention.mp4.units import parse_moof, read_units

__all__ = ["Read", "ScannedSegment", "outline", "read_units", "scan"]

#: ``read(offset, size)`` gives the bytes there, fewer only at the file's end. Its OSErrors pass.
Read = Callable[[int, int], bytes]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedSegment:
    """What of a segment file is whole."""

    header: SegmentHeader
    header_bytes: bytes  # as they stand in the file, for retention.digest
    entries: tuple[FragmentEntry, ...]
    whole_bytes: int  # up to the end of the last whole fragment, or of the trailer
    trailer: Trailer | None  # as the file claims; compare it with the entries to verify

    @property
    def end_us(self) -> int:
        """End of the last whole fragment; of a segment without one its start."""
        return self.entries[-1].end_us if self.entries else self.header.start_us


def scan(read: Read, size_bytes: int) -> ScannedSegment:
    """Walk the whole file, hashing each fragment, up to the first byte that is not whole.

    A fragment is whole if its boxes are and its CRC fits, so bytes that never reached the disk end
    the walk.

    Raises:
        SegmentCorrupt: there is no header of ours at the file's beginning.
    """
    head, header = _read_header(read, size_bytes)
    entries: list[FragmentEntry] = []
    position = len(head)
    trailer = None
    while trailer is None and (start := _box_at(read, position, size_bytes)) is not None:
        if start.kind == b"moof":
            entry = _fragment_at(read, position, start, size_bytes, len(entries) + 1)
            if entry is None:
                break
            entries.append(entry)
            position += entry.size_bytes
        else:
            trailer = _trailer_at(read, position, start)
            if trailer is None:
                break
            position += start.size_bytes
    return ScannedSegment(
        header=header,
        header_bytes=head,
        entries=tuple(entries),
        whole_bytes=position,
        trailer=trailer,
    )


def outline(read: Read, size_bytes: int) -> ScannedSegment | None:
    """What header and trailer say of a sealed file, without reading its media.

    None where the file has no trailer at its end that fits its size: :func:`scan` it then.

    Raises:
        SegmentCorrupt: there is no header of ours at the file's beginning.
    """
    head, header = _read_header(read, size_bytes)
    last = read(size_bytes - SIZE_BYTES, SIZE_BYTES)
    trailer_at = size_bytes - int.from_bytes(last, "big")
    if trailer_at < len(head):
        return None
    start = _box_at(read, trailer_at, size_bytes)
    trailer = _trailer_at(read, trailer_at, start) if start is not None else None
    if trailer is None:
        return None
    position = len(head)
    for entry in trailer.fragments:
        if entry.offset != position or entry.start_us > entry.end_us:
            return None
        position += entry.size_bytes
    if position != trailer_at:
        return None
    return ScannedSegment(
        header=header,
        header_bytes=head,
        entries=trailer.fragments,
        whole_bytes=size_bytes,
        trailer=trailer,
    )


def _read_header(read: Read, size_bytes: int) -> tuple[bytes, SegmentHeader]:
    position = last = 0
    for wanted in (b"ftyp", b"moov", b"uuid"):
        start = _box_at(read, position, min(size_bytes, MAX_HEAD_BYTES))
        if start is None or start.kind != wanted:
            raise SegmentCorrupt("a file that does not begin with ftyp, moov, uuid is no segment")
        last, position = position, position + start.size_bytes
    head = read(0, position)
    if len(head) != position or head[last + 8 : last + 24] != HEADER_UUID:
        raise SegmentCorrupt("a file whose header is not ours is no segment")
    return head, parse_header(head[last + 24 :])


def _box_at(read: Read, position: int, size_bytes: int) -> BoxHead | None:
    """The head of the box at ``position`` if it ends within the file, else None."""
    if position + 8 > size_bytes:
        return None
    head = read_head(read(position, 8))
    return head if head is not None and position + head.size_bytes <= size_bytes else None


def _fragment_at(
    read: Read, position: int, start: BoxHead, size_bytes: int, sequence: int
) -> FragmentEntry | None:
    """The whole fragment at ``position``, else None."""
    media_at = position + start.size_bytes
    media = _box_at(read, media_at, size_bytes)
    if (
        start.size_bytes > MAX_MOOF_BYTES
        or media is None
        or media.kind != b"mdat"
        or media.size_bytes > MAX_MDAT_BYTES
    ):
        return None
    moof = read(position, start.size_bytes)
    if len(moof) != start.size_bytes:
        return None
    try:
        found = parse_moof(moof)
    except SegmentCorrupt:
        return None
    if found.sequence != sequence:
        return None
    sha256 = _whole_sha256(read, moof, media_at, media.size_bytes)
    if sha256 is None:
        return None
    return FragmentEntry(
        offset=position,
        size_bytes=start.size_bytes + media.size_bytes,
        start_us=found.note.start_us,
        end_us=found.note.end_us,
        is_key=found.note.is_key,
        sha256=sha256,
    )


def _whole_sha256(read: Read, moof: bytes, media_at: int, media_bytes: int) -> bytes | None:
    """The fragment's SHA-256 if its CRC fits, else None; reads ``mdat`` in bounded pieces."""
    sha256 = hashlib.sha256(moof)
    crc = zlib.crc32(moof[:-CRC_BYTES])
    done = 0
    while done < media_bytes:
        chunk = read(media_at + done, min(media_bytes - done, _CHUNK_BYTES))
        if not chunk:
            return None
        sha256.update(chunk)
        crc = zlib.crc32(chunk, crc)
        done += len(chunk)
    return sha256.digest() if crc == int.from_bytes(moof[-CRC_BYTES:], "big") else None


def _trailer_at(read: Read, position: int, start: BoxHead) -> Trailer | None:
    """The trailer that fills the box at ``position``, else None."""
    if start.kind != b"uuid" or not 24 <= start.size_bytes <= MAX_TRAILER_BYTES:
        return None
    if read(position + 8, 16) != TRAILER_UUID:
        return None
    try:
        return parse_trailer(read(position, start.size_bytes))
    except SegmentCorrupt:
        return None

"""Whether a sealed segment's file is, to the last bit, what its row says. Core.

The digest covers header, fragments and their ends; the trailer is compared with what it would be
made from these; so no byte of the file and no cell of the row can change unseen.
"""

from __future__ import annotations

from dataclasses import replace

from retention.digest import segment_digest
from retention.model import FragmentEntry, Segment
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.scan import Read, ScannedSegment, scan
from retention.mp4.trailer import trailer_bytes


def segment_faults(read: Read, size_bytes: int, row: Segment) -> list[str]:
    """Everything on which file and row do not agree, in words; empty where every bit is sound.

    Reads the whole file. Errors of ``read`` pass.
    """
    try:
        scanned = scan(read, size_bytes)
    except SegmentCorrupt as error:
        return [f"its header is damaged ({error})"]
    header = scanned.header
    faults = [
        f"the file says {name} {told}, the index {known}"
        for name, told, known in (
            ("camera", header.camera, row.camera),
            ("run", header.run, row.run),
            ("number", header.number, row.number),
            ("start", header.start_us, row.start_us),
        )
        if told != known
    ]
    if digest_of(scanned) != row.digest:
        faults.append(_where(scanned, row) or "its digest is another one: the header has changed")
    if _without_hashes(scanned.entries) != row.fragments:
        faults.append("its fragments are not where the index has them")
    if size_bytes != row.size_bytes:
        faults.append(f"the file has {size_bytes} bytes, the index says {row.size_bytes}")
    return faults + _trailer_faults(read, size_bytes, scanned, row)


def digest_of(scanned: ScannedSegment) -> bytes:
    """The digest of what a file holds."""
    return segment_digest(scanned.header_bytes, scanned.entries)


def _where(scanned: ScannedSegment, row: Segment) -> str:
    """Which fragment is the first that is not what the trailer or the row knows."""
    told = scanned.trailer.fragments if scanned.trailer else ()
    for place, (entry, other) in enumerate(zip(scanned.entries, told, strict=False), 1):
        if entry != other:
            return f"fragment {place} has changed"
    if len(scanned.entries) < len(row.fragments):
        return f"fragment {len(scanned.entries) + 1} of {len(row.fragments)} is damaged"
    return ""


def _trailer_faults(
    read: Read, size_bytes: int, scanned: ScannedSegment, row: Segment
) -> list[str]:
    trailer = scanned.trailer
    if trailer is None:
        return ["its trailer is missing or damaged"]
    faults = []
    at = scanned.entries[-1].offset + scanned.entries[-1].size_bytes if scanned.entries else 0
    if at and read(at, scanned.whole_bytes - at) != trailer_bytes(trailer):
        faults.append("its trailer is not as this program writes it")
    if trailer.fragments != scanned.entries or trailer.end_us != scanned.end_us:
        faults.append("its trailer does not fit its fragments")
    told = (trailer.end_us, trailer.end_reason, trailer.digest)
    if told != (row.end_us, row.end_reason, row.digest):
        faults.append("its trailer says another end or digest than the index")
    if scanned.whole_bytes != size_bytes:
        faults.append("bytes stand behind its trailer")
    return faults


def _without_hashes(entries: tuple[FragmentEntry, ...]) -> tuple[FragmentEntry, ...]:
    return tuple(replace(entry, sha256=b"") for entry in entries)

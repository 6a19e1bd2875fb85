"""Segment files as the writer leaves them, with as many fragments as real ones and next to no
media: where only the count of files matters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from retention.digest import segment_digest
from retention.layout import segment_path
from retention.model import (
    AccessUnit,
    ClockState,
    EndReason,
    Fragment,
    FragmentEntry,
    SegmentHeader,
    Track,
)
from retention.mp4.mux import Muxer
from retention.mp4.trailer import Trailer, trailer_bytes
from tests.support.big_store import FORMAT, GOP_US

_PICTURE = (40).to_bytes(4, "big") + b"\x65" + bytes(39)


def segment_bytes(header: SegmentHeader, fragments: int, gop_us: int = GOP_US) -> bytes:
    """A sealed segment of groups with one picture each."""
    groups = []
    for number in range(fragments):
        start_us = header.start_us + number * gop_us
        unit = AccessUnit(track=Track.VIDEO, pts_us=start_us, is_key=True, data=_PICTURE)
        groups.append(
            Fragment(units=(unit,), start_us=start_us, end_us=start_us + gop_us, is_key=True)
        )
    return sealed(header, groups)[0]


def sealed(header: SegmentHeader, groups: Iterable[Fragment]) -> tuple[bytes, list[FragmentEntry]]:
    """The bytes of a sealed segment, and its table."""
    muxer = Muxer(header)
    parts = [muxer.header]
    entries: list[FragmentEntry] = []
    offset = len(muxer.header)
    for group in groups:
        data = muxer.fragment(group)
        entries.append(
            FragmentEntry(
                offset=offset,
                size_bytes=len(data),
                start_us=group.start_us,
                end_us=group.end_us,
                is_key=True,
                sha256=hashlib.sha256(data).digest(),
            )
        )
        parts.append(data)
        offset += len(data)
    trailer = Trailer(
        end_us=entries[-1].end_us,
        end_reason=EndReason.ROTATED,
        fragments=tuple(entries),
        digest=segment_digest(muxer.header, entries),
    )
    return b"".join([*parts, trailer_bytes(trailer)]), entries


def write_segments(
    root: Path,
    camera: str,
    run: str,
    from_us: int,
    first_number: int,
    count: int,
    fragments: int,
    gop_us: int = GOP_US,
) -> None:
    """Segments one behind the other; nothing is synced."""
    for n in range(count):
        start_us = from_us + n * fragments * gop_us
        header = SegmentHeader(
            camera=camera,
            run=run,
            number=first_number + n,
            start_us=start_us,
            clock=ClockState.TRUSTED,
            format=FORMAT,
        )
        path = root / segment_path(camera, start_us, header.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(segment_bytes(header, fragments, gop_us))

"""What a segment's file says of itself, as the index would put it. Shell, read-only.

Rows that are rebuilt or adopted come from here only, so that they are the same whoever makes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retention import layout
from retention.layout import SegmentName, parse_segment_path, segment_path
from retention.model import Run, Segment, SegmentState
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.scan import Read, ScannedSegment, outline, scan
from retention.segment_check import segment_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file in a place where segments stand."""

    path: str  # relative to the volume
    name: SegmentName


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    segment: Segment  # open if the file has no trailer; its end is that of its last whole fragment
    run: Run  # as the header knows it: begins with this segment
    scanned: ScannedSegment
    size_bytes: int


def facts_of(read: Read, size_bytes: int, path: str, volume: str) -> FileFacts:
    """Look at header and trailer, or where there is no good trailer at all the fragments.

    Args:
        path: relative to the volume.
        volume: its UUID.

    Raises:
        SegmentCorrupt: it is no segment, or another one than its path says.
    """
    scanned = outline(read, size_bytes)
    if scanned is None:
        scanned = scan(read, size_bytes)
        if scanned.trailer is not None and scanned.trailer.fragments != scanned.entries:
            raise SegmentCorrupt("a segment whose trailer does not fit its fragments")
    header, entries, trailer = scanned.header, scanned.entries, scanned.trailer
    try:
        place = segment_path(header.camera, header.start_us, header.number)
    except OverflowError as error:
        raise SegmentCorrupt("a segment of no year that can be") from error
    if place != path:
        raise SegmentCorrupt("a segment that stands where another one belongs")
    whole_bytes = entries[-1].offset + entries[-1].size_bytes if entries else 0
    segment = Segment(
        camera=header.camera,
        number=header.number,
        run=header.run,
        volume=volume,
        start_us=header.start_us,
        end_us=trailer.end_us if trailer else max(scanned.end_us, header.start_us),
        state=SegmentState.SEALED if trailer else SegmentState.OPEN,
        size_bytes=scanned.whole_bytes if trailer else whole_bytes,
        end_reason=trailer.end_reason if trailer else None,
        digest=trailer.digest if trailer else b"",
        fragments=entries,
    )
    run = Run(
        run=header.run,
        camera=header.camera,
        start_us=header.start_us,
        clock=header.clock,
        format=header.format,
    )
    return FileFacts(segment=segment, run=run, scanned=scanned, size_bytes=size_bytes)


def facts_at(root: Path, path: str, volume: str) -> FileFacts:
    """:func:`facts_of` a file on a volume. Raises :class:`OSError` too."""
    file = os.open(root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size_bytes = os.fstat(file).st_size
        return facts_of(
            lambda offset, size: os.pread(file, size, max(offset, 0)), size_bytes, path, volume
        )
    finally:
        os.close(file)


def check_file(
    root: Path, row: Segment, on_read: Callable[[int], None] | None = None
) -> tuple[int, list[str]]:
    """Size and faults of a sealed segment's file (retention.segment_check).

    Args:
        on_read: told how many bytes were read, after each piece; may sleep.

    Raises:
        OSError: it cannot be read, also because it is not there.
    """
    row = row.retimed(0)
    file = os.open(root / row.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size_bytes = os.fstat(file).st_size

        def read(offset: int, size: int) -> bytes:
            data = os.pread(file, size, max(offset, 0))
            if on_read is not None:
                on_read(len(data))
            return data

        faults = segment_faults(read, size_bytes, row)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # others' pages stay in the cache
        return size_bytes, faults
    finally:
        os.close(file)


def camera_folders(root: Path) -> list[str]:
    """Names at a volume's root that may be cameras. Raises :class:`OSError`."""
    others = {layout.JOURNAL, layout.LOST_FOUND, layout.STAMP}
    return sorted(
        entry.name
        for entry in os.scandir(root)
        if entry.name not in others and entry.is_dir(follow_symlinks=False)
    )


def hour_folders(root: Path, camera: str) -> Iterator[str]:
    """Folders of a camera's hours, relative to the volume, the newest first; lazily."""

    def descend(folder: str, depth: int) -> Iterator[str]:
        if depth == 0:
            yield folder
            return
        try:
            names = sorted(
                (
                    entry.name
                    for entry in os.scandir(root / folder)
                    if entry.name.isdecimal() and entry.is_dir(follow_symlinks=False)
                ),
                reverse=True,
            )
        except FileNotFoundError:
            return
        for name in names:
            yield from descend(f"{folder}/{name}", depth - 1)

    yield from descend(camera, 4)


def files_in(root: Path, folder: str) -> list[FoundFile]:
    """Segments by name in one hour's folder, in order of number. Raises :class:`OSError`."""
    try:
        names = os.listdir(root / folder)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        path = f"{folder}/{name}"
        parsed = parse_segment_path(path)
        if parsed is not None:
            found.append(FoundFile(path=path, name=parsed))
    return sorted(found, key=lambda file: file.name.number)

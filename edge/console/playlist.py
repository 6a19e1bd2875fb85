"""What a browser must fetch to show a range: pieces of stored files, and the gaps between. Core.

Made from the index alone (the GOP table). A chapter is one stored segment: its head, and fragments
that are served as they stand in the file. A browser puts each at ``zero_us``, the instant of the
file's own time 0, so that its media time is wall time to the microsecond.

HLS is not used: its players add up lengths, and hls.js 1.7.4 was a 60th of a second later with each
minute file; here every file has its own place in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retention.model import Gap, MediaFormat, Segment
from retention.mp4.browser import audio_type, video_type
from retention.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One stored fragment; ``place`` is its number in the file, from 0."""

    place: int
    start_us: int
    end_us: int
    size_bytes: int
    is_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Fragments of one segment."""

    number: int
    zero_us: int
    type: str  # MIME type with codecs, to ask the browser about
    audio_type: str  # empty: without sound
    width: int
    height: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Playlist:
    """``[from_us, to_us)`` of a camera; nothing is known from ``known_us`` on yet."""

    camera: str
    from_us: int
    to_us: int
    known_us: int
    chapters: tuple[Chapter, ...]
    gaps: tuple[Gap, ...]


def playlist(
    line: Timeline,
    from_us: int,
    to_us: int,
    found: Iterable[tuple[Segment, int, int]],
    formats: Mapping[str, MediaFormat],
) -> Playlist:
    """Put a window's playlist together.

    Args:
        line: the camera's time line of the window; it may begin later (service), and ends earlier
            where footage is not on the disk yet.
        found: segments, each with its first fragment and their count (``Store.pieces``).
        formats: of the segments' runs; segments of a run that is unknown are left out.
    """
    chapters = [
        _chapter(segment, first, count, formats[segment.run])
        for segment, first, count in found
        if segment.run in formats
    ]
    return Playlist(
        camera=line.camera,
        from_us=from_us,
        to_us=to_us,
        known_us=min(to_us, line.to_us) if line.to_us > line.from_us else to_us,
        chapters=tuple(chapters),
        gaps=line.gaps,
    )


def _chapter(segment: Segment, first: int, count: int, format: MediaFormat) -> Chapter:
    return Chapter(
        number=segment.number,
        zero_us=segment.start_us,
        type=video_type(format.video),
        audio_type="" if format.audio is None else audio_type(format.audio),
        width=format.video.width,
        height=format.video.height,
        pieces=tuple(
            Piece(
                place=place,
                start_us=entry.start_us,
                end_us=entry.end_us,
                size_bytes=entry.size_bytes,
                is_key=entry.is_key,
            )
            for place, entry in enumerate(segment.fragments[first : first + count], first)
        ),
    )


def as_json(found: Playlist) -> dict[str, Any]:
    """For the player; instants in UTC microseconds, pieces as [place, start, end, bytes, key]."""
    return {
        "camera": found.camera,
        "from_us": found.from_us,
        "to_us": found.to_us,
        "known_us": found.known_us,
        "chapters": [
            {
                "number": one.number,
                "zero_us": one.zero_us,
                "type": one.type,
                "audio_type": one.audio_type,
                "width": one.width,
                "height": one.height,
                "pieces": [
                    [piece.place, piece.start_us, piece.end_us, piece.size_bytes, int(piece.is_key)]
                    for piece in one.pieces
                ],
            }
            for one in found.chapters
        ],
        "gaps": [
            {
                "start_us": gap.start_us,
                "end_us": found.to_us if gap.end_us is None else gap.end_us,
                "cause": gap.cause.value,
            }
            for gap in found.gaps
        ],
    }

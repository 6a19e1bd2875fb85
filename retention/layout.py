"""Where things stand on a volume. Core: names only, no I/O.

``<camera>/<YYYY>/<MM>/<DD>/<HH>/<YYYYMMDDTHHMMSS.mmmZ>-<number>.mp4``, in UTC of the segment's
start; beside the cameras only the stamp, ``journal/`` and the file system's ``lost+found``.
Paths are relative to the volume's root, with ``/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STAMP = ".xueliang-volume"
JOURNAL = "journal"
LOST_FOUND = "lost+found"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATH = re.compile(
    r"(?P<camera>[a-z0-9][a-z0-9-]*)/(?P<hour>[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2})/"
    r"(?P<stamp>[0-9]{8}T[0-9]{6}\.[0-9]{3}Z)-(?P<number>0|[1-9][0-9]{0,18})\.mp4",
    re.ASCII,
)
_JOURNAL_NAME = re.compile(r"[0-9]{8}\.jsonl", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentName:
    """What a segment's path says; its start is cut to whole milliseconds."""

    camera: str
    start_ms: int
    number: int


def segment_path(camera: str, start_us: int, number: int) -> str:
    """Path of a segment; raises :class:`OverflowError` for instants outside the years 1-9999."""
    at = _EPOCH + timedelta(microseconds=start_us)
    # not %Y, which glibc does not pad before the year 1000
    name = f"{at.year:04}{at:%m%dT%H%M%S}.{at.microsecond // 1000:03}Z-{number}.mp4"
    return f"{hour_folder(camera, start_us)}/{name}"


def hour_folder(camera: str, at_us: int) -> str:
    """Folder of the segments of ``camera`` that start in the hour of ``at_us``."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return f"{camera}/{at.year:04}/{at:%m/%d/%H}"


def parse_segment_path(path: str) -> SegmentName | None:
    """Inverse of :func:`segment_path`; None for whatever it would never have written."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    try:
        at = datetime.strptime(match["stamp"], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    name = SegmentName(
        camera=match["camera"],
        start_ms=(at - _EPOCH) // timedelta(milliseconds=1),
        number=int(match["number"]),
    )
    return name if segment_path(name.camera, name.start_ms * 1000, name.number) == path else None


def journal_path(part: int) -> str:
    """Path of one part of the journal; parts are numbered from 1 and only the last one grows."""
    return f"{JOURNAL}/{part:08}.jsonl"


def is_journal_name(name: str) -> bool:
    """Whether a file in ``journal/`` is a part of the journal."""
    return _JOURNAL_NAME.fullmatch(name) is not None

"""Which pieces of a camera's footage are looked at. Shell, read-only.

Of the newest sealed segment the last group of pictures: its first pictures, close to one another,
and the first picture of the group about a minute before. So two key frames and ten pictures between
are decoded for a check.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.diagnose.defects import Failure
from retention.model import US_PER_S, FragmentEntry, Segment
from retention.read import Store

#: The earlier picture is as near to a minute before as there is one, and no nearer than this: a
#: clock in the picture has moved by then.
APART_US = 60 * US_PER_S
APART_MIN_US = 50 * US_PER_S
APART_MAX_US = 180 * US_PER_S
#: Segments looked through for it: at the shortest they last a second.
BACK_MAX = 200
#: More is no group of pictures of a camera.
PIECE_BYTES_MAX = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Small files of one group of pictures each."""

    footage_us: int  # of the first close picture
    close: bytes
    earlier: bytes | None


def pieces_of(store: Store, camera: str, until_us: int, seen_us: int) -> Pieces | Failure:
    """What there is to look at, of footage that begins at ``until_us`` at the latest.

    Args:
        seen_us: footage up to here was looked at before.

    Raises:
        IndexUnavailable, FootageUnavailable: it cannot be had now.
    """
    segments = store.sealed_before(camera, until_us, 1)
    late = _last_key(segments, until_us)
    if late is None or late[1].start_us <= seen_us:
        return Failure.NO_FOOTAGE
    close = _piece(store, *late)
    if close is None:
        return Failure.UNREADABLE
    before = _about(store, camera, late[1].start_us)
    return Pieces(
        footage_us=late[1].start_us,
        close=close,
        earlier=None if before is None else _piece(store, *before),
    )


def _last_key(segments: list[Segment], until_us: int) -> tuple[Segment, FragmentEntry] | None:
    for segment in segments:
        keys = [one for one in segment.fragments if one.is_key and one.start_us <= until_us]
        if keys:
            return segment, keys[-1]
    return None


def _about(store: Store, camera: str, at_us: int) -> tuple[Segment, FragmentEntry] | None:
    """The key frame nearest to a minute before."""
    wanted_us = at_us - APART_US
    found: tuple[Segment, FragmentEntry] | None = None
    for segment in store.sealed_before(camera, at_us - APART_MIN_US, BACK_MAX):
        if segment.end_us < at_us - APART_MAX_US:
            break
        for entry in segment.fragments:
            apart_us = at_us - entry.start_us
            if not entry.is_key or not APART_MIN_US <= apart_us <= APART_MAX_US:
                continue
            if found is None or abs(entry.start_us - wanted_us) < abs(
                found[1].start_us - wanted_us
            ):
                found = segment, entry
        if segment.start_us <= wanted_us and found is not None:
            break
    return found


def _piece(store: Store, segment: Segment, entry: FragmentEntry) -> bytes | None:
    if entry.size_bytes > PIECE_BYTES_MAX:
        return None
    return store.excerpt(segment, entry)

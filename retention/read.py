"""The read API of the store: time lines, and a camera's access units from any instant. Shell.

Everybody who reads footage comes through here: live views beyond the tap, playback, downloads,
the console, ``xueliang status``. Only index and files are read; nothing is written.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Self

from config.errors import Retry, XueliangError
from retention.completeness import Completeness, asked_from, completeness
from retention.holds import Hold
from retention.index import rows
from retention.index.read import Index
from retention.model import (
    GAP_MIN_US,
    US_PER_S,
    AccessUnit,
    FragmentEntry,
    Gap,
    GapCause,
    Marker,
    MediaFormat,
    Segment,
    SegmentHeader,
    SegmentState,
)
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.scan import read_units, scan
from retention.segment_check import segment_faults
from retention.stamp import read_stamp
from retention.timeline import Stretch, Timeline, cut_out, timeline
from retention.volume_errors import VolumeUnavailable

log = logging.getLogger(__name__)

LOCK_NAME = "edge.lock"
#: What ``edge`` holds in RAM is at most so old; a camera that is silent for longer without a gap
#: in the ledger shows as a gap of unknown cause.
TAIL_US = 300 * US_PER_S
#: Without the right to look at the lock: ``edge`` runs if it said so this recently.
ALIVE_US = 30 * US_PER_S
#: No segment is longer: cut without a key frame at the latest (retention.segmenter).
SEGMENT_US_MAX = 900 * US_PER_S
#: Segments looked back at for a key frame, where one was cut without (NO_KEY_FRAME).
KEY_SEGMENTS_BACK = 8
#: A busy gate marks some thousand events a day.
MARKERS_MAX = 100_000


class FootageUnavailable(XueliangError):
    """The volume that holds the footage is not there now."""

    code = "footage_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnit:
    """One access unit with what a decoder must know of its run."""

    format: MediaFormat
    run: str
    unit: AccessUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the index says about the end of a camera's account."""

    camera: rows.CameraRow | None
    begin_us: int | None  # footage is due from here on, or kept from before
    first_us: int | None  # where the first footage behind that begins, or began
    newest_us: int | None
    gap_end_us: int | None
    has_open_gap: bool
    mark: rows.ServiceMark | None
    alive_us: int | None


class Store:
    """One thread's view of footage and index.

    Args:
        index_path: of ``index.db`` in the state folder.
        volumes: the configured roots; which one is which their stamps say.

    Every method raises ``IndexUnavailable`` where the index does not answer.
    """

    def __init__(self, index_path: Path, volumes: Sequence[Path]) -> None:
        self._state_dir = index_path.parent
        self._index = Index.open_read(index_path)
        self._paths = tuple(volumes)
        self._roots: dict[str, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._index.close()

    # Facts ---------------------------------------------------------------------------------

    def cameras(self) -> list[str]:
        """Every camera that footage was ever due of."""
        return self._index.read(lambda connection: [row.id for row in rows.cameras(connection)])

    def newest(self, camera: str, until_us: int = rows.FAR_US) -> int | None:
        """End of the newest durable footage, UTC microseconds; of what begins at ``until_us`` at
        the latest, for a clock that was wrong may have left footage of the future."""
        return self._index.read(lambda connection: rows.newest_us(connection, camera, until_us))

    def oldest(self, camera: str) -> int | None:
        """Start of the oldest footage kept whose time is known or the present one, UTC
        microseconds."""
        return self._index.read(lambda connection: rows.oldest_us(connection, camera))

    def kept_on(self, volume: str) -> tuple[int, int]:
        """How many segments a volume (its UUID) holds, and their bytes; a second in millions."""
        return self._index.read(lambda connection: rows.kept_on(connection, volume))

    def locate(self, camera: str, at_us: int) -> Segment | None:
        """The segment that holds the instant, else the first one after it."""
        return self._index.read(lambda connection: rows.segment_at(connection, camera, at_us))

    def segments(self, camera: str, from_us: int, to_us: int) -> list[Segment]:
        """Those that lie in the window with any part, in order of time."""

        def query(connection: sqlite3.Connection) -> list[Segment]:
            return list(_onward(connection, rows.segment_at(connection, camera, from_us), to_us))

        return self._index.read(query)

    def sealed_before(self, camera: str, until_us: int, count: int) -> list[Segment]:
        """The newest sealed segments that start at ``until_us`` at the latest, the newest first."""
        found = self._index.read(
            lambda connection: rows.segments_before(connection, camera, until_us, count + 2)
        )
        return [one for one in found if one.state is SegmentState.SEALED][:count]

    def excerpt(self, segment: Segment, entry: FragmentEntry) -> bytes | None:
        """The head of a segment's file and one of its fragments, unchanged: what a decoder plays
        as a file of its own. None if the file is gone or shorter than its row says.

        Raises:
            FootageUnavailable: the volume is not mounted, or its disk does not give it.
        """
        file = self._open(segment)
        if file is None:
            return None
        head_bytes = segment.fragments[0].offset
        try:
            data = os.pread(file, head_bytes, 0) + os.pread(file, entry.size_bytes, entry.offset)
        except OSError as error:
            raise _unavailable(segment.volume, str(error.strerror)) from error
        finally:
            os.close(file)
        return data if len(data) == head_bytes + entry.size_bytes else None

    def faults(self, segment: Segment) -> list[str]:
        """Everything on which a sealed segment's file and its row do not agree; reads all of it,
        and leaves none of it in the page cache.

        Raises:
            FileNotFoundError: there is no file.
            FootageUnavailable: the volume is not mounted, or its disk does not answer.
        """
        file = self._opened(segment)
        try:
            return segment_faults(
                lambda offset, size: os.pread(file, size, offset),
                os.fstat(file).st_size,
                segment.retimed(0),
            )
        except OSError as error:
            raise _unavailable(segment.volume, str(error.strerror)) from error
        finally:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)

    def timeline(self, camera: str, from_us: int, to_us: int, now_us: int) -> Timeline:
        """Spans and gaps of the part of the window that is due and known.

        The window is cut to the camera's service time and to now. While ``edge`` records, what
        lies behind the newest durable fragment is in its RAM and not asked for; while it does not
        run, that is a gap.
        """

        return self._index.read(
            lambda connection: timeline_of(
                connection, self._state_dir, camera, from_us, to_us, now_us
            )
        )

    def markers(self, camera: str, from_us: int, to_us: int) -> list[Marker]:
        """Events that the camera told in ``[from_us, to_us)``, the first ``MARKERS_MAX`` of them,
        in order of time. They hold no identity; a minute may pass until a new one is here."""
        return self._index.read(
            lambda connection: rows.markers(connection, camera, from_us, to_us, MARKERS_MAX)
        )

    def holds(self) -> list[Hold]:
        """Every hold that was not released; of one that has expired the index may not know yet."""
        return self._index.read(lambda connection: rows.holds(connection, is_open=True))

    def completeness(
        self, camera: str, now_us: int, zone: tzinfo, *, min_days: int = 90, tolerance_us: int = 0
    ) -> Completeness:
        """Coverage of the windows that end now, and of the past 90 calendar days."""
        from_us = asked_from(now_us, zone, min_days=min_days)
        line = self.timeline(camera, from_us, now_us, now_us)
        return completeness(line, now_us, zone, min_days=min_days, tolerance_us=tolerance_us)

    # Footage -------------------------------------------------------------------------------

    def access_units(
        self, camera: str, from_us: int, to_us: int | None = None
    ) -> Iterator[StoredUnit]:
        """Access units in stored order, from the key frame at or before ``from_us`` on, across
        segments and runs, until ``to_us`` or the newest durable fragment.

        A fragment that cannot be read is left out (with a warning), up to the next key frame.

        Raises:
            FootageUnavailable: the volume is not mounted.
        """
        place = self._index.read(lambda connection: start_of(connection, camera, from_us))
        if place is None:
            return
        segment: Segment | None = place[0]
        skip = place[1]
        while segment is not None:
            yield from self._units_of(segment, skip, to_us)
            if to_us is not None and segment.end_us >= to_us:
                return
            skip = 0
            last = segment
            following = self._index.read(
                lambda connection, last=last: rows.segments_after(  # type: ignore[misc]
                    connection, camera, last.start_us, last.number, 1
                )
            )
            segment = following[0] if following else None

    def size_bytes(self, camera: str, from_us: int, to_us: int) -> int:
        """About how many bytes are stored of the window: whole segments, and parts of those at its
        ends by their length."""

        def query(connection: sqlite3.Connection) -> int:
            found = 0.0
            for start_us, end_us, size_bytes in connection.execute(
                rows.SIZES, (camera, to_us, from_us - SEGMENT_US_MAX)
            ):
                length_us = max(1, end_us - start_us)
                inside_us = min(end_us, to_us) - max(start_us, from_us)
                found += size_bytes * max(0, inside_us) / length_us
            return round(found)

        return self._index.read(query)

    def key_before(self, camera: str, at_us: int) -> int | None:
        """The instant of the newest key frame before ``at_us``, across gaps and runs."""

        def query(connection: sqlite3.Connection) -> int | None:
            before_us = at_us
            for _ in range(KEY_SEGMENTS_BACK):
                found = rows.segments_before(connection, camera, before_us - 1, 1)
                if not found:
                    return None
                keys = [
                    entry.start_us
                    for entry in found[0].fragments
                    if entry.is_key and entry.start_us < at_us
                ]
                if keys:
                    return max(keys)
                before_us = found[0].start_us
            return None

        return self._index.read(query)

    def pieces(self, camera: str, from_us: int, to_us: int) -> list[tuple[Segment, int, int]]:
        """The segments of a window, each with the first of its fragments and their count: from the
        key frame at or before ``from_us`` on, up to the last that begins before ``to_us``."""

        def query(connection: sqlite3.Connection) -> list[tuple[Segment, int, int]]:
            found = []
            begin, first = start_of(connection, camera, from_us) or (None, 0)
            for segment in _onward(connection, begin, to_us):
                count = sum(one.start_us < to_us for one in segment.fragments[first:])
                if count:
                    found.append((segment, first, count))
                first = 0
            return found

        return self._index.read(query)

    def segment(self, camera: str, number: int) -> Segment | None:
        """One segment by its number, as it stands now."""
        return self._index.read(lambda connection: rows.segment(connection, camera, number))

    def format_of(self, run: str) -> MediaFormat | None:
        """What a run is made of; None where the index does not know it."""
        found = self._index.read(lambda connection: rows.run(connection, run))
        return None if found is None else found.format

    def stored_bytes(self, segment: Segment, offset: int, size_bytes: int) -> bytes:
        """A part of a segment's file as it stands there; shorter only at the file's end.

        Raises:
            FileNotFoundError: there is no file any more.
            FootageUnavailable: the volume is not mounted, or its disk does not answer.
        """
        file = self._opened(segment)
        try:
            return os.pread(file, size_bytes, offset)
        except OSError as error:
            raise _unavailable(segment.volume, str(error.strerror)) from error
        finally:
            os.close(file)

    def _units_of(self, segment: Segment, skip: int, to_us: int | None) -> Iterator[StoredUnit]:
        """Units of one segment; of an open one also what becomes durable meanwhile."""
        file = self._open(segment)
        if file is None:
            return
        try:
            header = _header(file, segment)
            if header is None:
                return
            is_broken = False
            while True:
                for entry in segment.fragments[skip:]:
                    if to_us is not None and entry.start_us >= to_us:
                        return
                    if is_broken and not entry.is_key:
                        continue
                    units = _units(file, segment, header, entry)
                    is_broken = units is None
                    for unit in units or ():
                        if segment.offset_us:
                            unit = replace(unit, pts_us=unit.pts_us + segment.offset_us)
                        if to_us is None or unit.pts_us < to_us:
                            yield StoredUnit(format=header.format, run=header.run, unit=unit)
                skip = len(segment.fragments)
                if segment.state is SegmentState.SEALED:
                    return
                grown = self.segment(segment.camera, segment.number)
                if grown is None or len(grown.fragments) <= skip:
                    return
                segment = grown
        finally:
            os.close(file)

    def _open(self, segment: Segment) -> int | None:
        if not segment.fragments:
            return None
        try:
            return self._opened(segment)
        except FileNotFoundError:
            log.warning("segment_gone", extra={"camera": segment.camera, "number": segment.number})
            return None

    def _opened(self, segment: Segment) -> int:
        """Raises FileNotFoundError, FootageUnavailable."""
        path = self._root(segment.volume) / segment.path
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unavailable(segment.volume, str(error.strerror)) from error

    def _root(self, volume: str) -> Path:
        root = self._roots.get(volume)
        if root is not None and _stamp(root) == volume:
            return root
        self._roots = {uuid: path for path in self._paths if (uuid := _stamp(path)) is not None}
        if volume not in self._roots:
            raise _unavailable(volume, "none of the configured folders carries its stamp")
        return self._roots[volume]


def _onward(
    connection: sqlite3.Connection, segment: Segment | None, to_us: int
) -> Iterator[Segment]:
    """A segment and those behind it that begin before ``to_us``."""
    while segment is not None and segment.start_us < to_us:
        yield segment
        following = rows.segments_after(
            connection, segment.camera, segment.start_us, segment.number, 1
        )
        segment = following[0] if following else None


def is_edge_running(state_dir: Path) -> bool:
    """Whether a process owns the state folder. Raises :class:`PermissionError`."""
    try:
        file = os.open(state_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def timeline_of(
    connection: sqlite3.Connection,
    state_dir: Path,
    camera: str,
    from_us: int,
    to_us: int,
    now_us: int,
    gone: Iterable[Stretch] = (),
) -> Timeline:
    """:meth:`Store.timeline` in a snapshot of the caller's.

    Args:
        gone: what is not to count as stored, though there are rows of it.
    """
    known = _known(connection, camera, now_us)
    low_us, high_us = _due(known, from_us, min(to_us, now_us))
    tail: list[Gap] = []
    if _is_edge_alive(state_dir, known, now_us):
        high_us = _without_ram(known, high_us, now_us)
    else:
        tail = _since_the_end(known, camera)
    return timeline(
        camera,
        cut_out(rows.spans(connection, camera, low_us, high_us), gone),
        [*rows.gaps(connection, camera, low_us, high_us), *tail],
        low_us,
        high_us,
        rows.presumed_gaps(connection, camera, low_us, high_us),
    )


def _is_edge_alive(state_dir: Path, known: _Known, now_us: int) -> bool:
    try:
        return is_edge_running(state_dir)
    except PermissionError:
        return known.alive_us is not None and now_us - known.alive_us < ALIVE_US


def _known(connection: sqlite3.Connection, camera: str, now_us: int) -> _Known:
    until_us = now_us + US_PER_S  # what a clock that was wrong told of the future is no account
    ends = "SELECT max(end_us) FROM gap WHERE camera = ? AND end_us <= ?"
    row = rows.camera(connection, camera)
    oldest_us = rows.oldest_us(connection, camera)
    begins = [] if oldest_us is None else [oldest_us]
    begin_us = min(begins if row is None else [*begins, row.commissioned_us], default=None)
    first_us = None
    if begin_us is not None:
        first_us = connection.execute(rows.NEXT_START, (camera, begin_us)).fetchone()[0]
        deleted = connection.execute(rows.NEXT_DELETED, (camera, begin_us)).fetchone()
        if deleted is not None and (first_us is None or deleted[0] < first_us):
            first_us = deleted[0]
    return _Known(
        camera=row,
        begin_us=begin_us,
        first_us=first_us,
        newest_us=rows.newest_us(connection, camera, until_us),
        gap_end_us=connection.execute(ends, (camera, until_us)).fetchone()[0],
        has_open_gap=bool(rows.open_gaps(connection, camera)),
        mark=rows.service_mark(connection),
        alive_us=rows.alive_us(connection),
    )


def _due(known: _Known, from_us: int, to_us: int) -> tuple[int, int]:
    """The part of the window in which footage was due, or is kept from before."""
    if known.begin_us is None:
        return from_us, from_us
    if known.camera is not None and known.camera.removed_us is not None:
        to_us = min(to_us, max(known.camera.removed_us, known.newest_us or 0))
    begin_us = known.begin_us
    if known.first_us is not None and known.first_us - begin_us < GAP_MIN_US:
        begin_us = known.first_us  # less than a second to the first picture is no gap
    return max(from_us, begin_us), to_us


def _accounted_us(known: _Known) -> int:
    commissioned_us = known.camera.commissioned_us if known.camera else 0
    return max(commissioned_us, known.newest_us or 0, known.gap_end_us or 0)


def _without_ram(known: _Known, to_us: int, now_us: int) -> int:
    if known.has_open_gap or now_us - _accounted_us(known) > TAIL_US:
        return to_us
    return min(to_us, _accounted_us(known))


def _since_the_end(known: _Known, camera: str) -> list[Gap]:
    """The gap from where the account ends, with nobody there to record."""
    cause = GapCause.SERVICE_CRASHED
    start_us = _accounted_us(known)
    if known.mark is not None and known.mark.event == "stopped":
        cause = GapCause.SERVICE_STOPPED
    if known.has_open_gap:  # its cause was seen until the service ended
        start_us = max(start_us, known.alive_us or 0, known.mark.at_us if known.mark else 0)
    return [Gap(camera=camera, start_us=start_us, end_us=None, cause=cause)]


def start_of(
    connection: sqlite3.Connection, camera: str, from_us: int
) -> tuple[Segment, int] | None:
    """The segment and the fragment in it to begin with, so that a decoder has a key frame."""
    first = rows.segment_at(connection, camera, from_us)
    if first is None:
        return None
    segment = first
    for _ in range(KEY_SEGMENTS_BACK):
        place = _key_at_or_before(segment.fragments, from_us)
        if place is not None:
            return segment, place
        if segment.start_us > from_us:
            break
        before = [
            row
            for row in rows.segments_before(connection, camera, segment.start_us, 2)
            if row.number != segment.number and row.run == segment.run
        ]
        if not before:
            break
        segment = before[0]
    keys = [place for place, entry in enumerate(first.fragments) if entry.is_key]
    return first, keys[0] if keys else 0


def _key_at_or_before(entries: Sequence[FragmentEntry], from_us: int) -> int | None:
    places = [
        place for place, entry in enumerate(entries) if entry.is_key and entry.start_us <= from_us
    ]
    return places[-1] if places else None


def _header(file: int, segment: Segment) -> SegmentHeader | None:
    try:
        header_bytes = segment.fragments[0].offset
        return scan(lambda offset, size: os.pread(file, size, offset), header_bytes).header
    except (SegmentCorrupt, OSError) as error:
        _warn(segment, error)
        return None


def _units(
    file: int, segment: Segment, header: SegmentHeader, entry: FragmentEntry
) -> list[AccessUnit] | None:
    try:
        return read_units(os.pread(file, entry.size_bytes, entry.offset), header)
    except (SegmentCorrupt, OSError) as error:
        _warn(segment, error)
        return None


def _warn(segment: Segment, error: Exception) -> None:
    log.warning(
        "fragment_unreadable",
        extra={"camera": segment.camera, "number": segment.number, "error": str(error)},
    )


def _stamp(path: Path) -> str | None:
    try:
        return read_stamp(path)[0]
    except VolumeUnavailable:
        return None


def _unavailable(volume: str, reason: str) -> FootageUnavailable:
    return FootageUnavailable(
        f"footage on volume {volume} cannot be read: {reason}",
        hint="is the disk mounted?",
        retry=Retry.LATER,
    )

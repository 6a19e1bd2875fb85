"""Footage for browsers: playlists, stored fragments, sound. Shell, for the console's event loop.

Reading never costs a recorded frame: a few threads read, each a piece of a file at a time, what
would wait for longer is refused, and its threads come last at the disk. Nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from config.errors import Retry, XueliangError
from edge.console.playlist import Playlist, playlist
from retention.clock import Clock
from retention.model import FragmentEntry, MediaFormat, Segment, SegmentHeader
from retention.mp4.browser import audio_fragment, audio_head, without_audio
from retention.mp4.scan import scan
from retention.priority import Disk, give_way
from retention.read import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

#: At once; a disk that records has no time for more.
READERS = 3
LOOKERS = 2
NICE = 5
WAITING_MAX = 48
#: One playlist: a browser asks for the next part while it plays.
PLAYLIST_US_MAX = 3600 * 1_000_000
#: Formats of runs that are remembered; a run's never changes.
FORMATS_MAX = 1000


class FootageGone(XueliangError):
    """There is no such piece of footage (any more)."""

    code = "footage_gone"


class NotGranted(XueliangError):
    """A piece of footage outside of what was granted."""

    code = "not_granted"


class ReadersBusy(XueliangError):
    """Recording goes first: too much is being read already."""

    code = "readers_busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What may be seen of one camera."""

    camera: str
    from_us: int
    to_us: int


class Footage:
    """Readers of one store.

    Methods raise ``IndexUnavailable`` and ``FootageUnavailable`` as the store does, and
    :class:`ReadersBusy`.
    """

    def __init__(self, index_path: Path, volumes: Sequence[Path], clock: Clock) -> None:
        self._index_path = index_path
        self._volumes = tuple(volumes)
        self._clock = clock
        self._reading = _Readers(READERS, self._open)
        self._looking = _Readers(LOOKERS, self._open)
        self._formats: dict[str, MediaFormat] = {}

    def _open(self) -> Store:
        return Store(self._index_path, self._volumes)

    def close(self) -> None:
        self._reading.close()
        self._looking.close()

    async def look(self, query: Callable[[Store], T]) -> T:
        """A query of the index alone that may take long, such as a time line of 90 days; what is
        being played does not wait for it."""
        return await self._looking.ask(query)

    async def playlist(self, window: Window) -> Playlist:
        """What a browser must fetch to show the window."""

        def query(store: Store) -> Playlist:
            now_us = self._clock.utc_us()
            found = store.pieces(window.camera, window.from_us, window.to_us)
            # later than the pieces: what became durable in between is known, and not listed twice
            line = store.timeline(window.camera, window.from_us, window.to_us, now_us)
            formats = {run: self._format(store, run) for run in {one.run for one, _, _ in found}}
            return playlist(
                line,
                window.from_us,
                window.to_us,
                found,
                {run: format for run, format in formats.items() if format is not None},
            )

        return await self._reading.ask(query)

    async def head(self, window: Window, number: int, *, is_sound: bool = False) -> bytes:
        """What stands before a segment's fragments.

        Raises:
            FootageGone, NotGranted: there is none, or it is not for this window.
        """

        def query(store: Store) -> bytes:
            segment = _segment(store, window, number)
            if not any(_is_granted(store, window, segment, one) for one in segment.fragments):
                raise _not_granted(window)
            head = _read(store, segment, 0, segment.fragments[0].offset)
            if not is_sound:
                return without_audio(head)
            return _sound(audio_head(_header(head)), window)

        return await self._reading.ask(query)

    async def piece(
        self, window: Window, number: int, place: int, *, is_sound: bool = False
    ) -> tuple[bytes, FragmentEntry]:
        """One stored fragment, or the sound of it, and its place in time.

        Raises:
            FootageGone, NotGranted: as :meth:`head`.
        """

        def query(store: Store) -> tuple[bytes, FragmentEntry]:
            segment = _segment(store, window, number)
            if not 0 <= place < len(segment.fragments):
                raise _gone(window)
            entry = segment.fragments[place]
            if not _is_granted(store, window, segment, entry):
                raise _not_granted(window)
            data = _read(store, segment, entry.offset, entry.size_bytes)
            if not is_sound:
                return without_audio(data), entry
            head = _read(store, segment, 0, segment.fragments[0].offset)
            return _sound(audio_fragment(data, _header(head)), window), entry

        return await self._reading.ask(query)

    async def key_picture(self, window: Window, at_us: int) -> tuple[bytes, int]:
        """Head and fragment to decode the key frame at or before an instant from, as one file, and
        the instant of that frame.

        Raises:
            FootageGone, NotGranted: as :meth:`head`.
        """

        def query(store: Store) -> tuple[bytes, int]:
            found = store.pieces(window.camera, at_us, at_us + 1)
            if not found:
                raise _gone(window)
            segment, first, _ = found[0]
            entry = segment.fragments[first]
            if not _is_granted(store, window, segment, entry):
                raise _not_granted(window)
            head = _read(store, segment, 0, segment.fragments[0].offset)
            data = _read(store, segment, entry.offset, entry.size_bytes)
            return without_audio(head) + without_audio(data), entry.start_us

        return await self._reading.ask(query)

    def _format(self, store: Store, run: str) -> MediaFormat | None:
        found = self._formats.get(run)
        if found is None:
            found = store.format_of(run)
            if found is not None:
                if len(self._formats) >= FORMATS_MAX:
                    self._formats.clear()
                self._formats[run] = found
        return found


class _Readers:
    """A few threads, each with a store of its own."""

    def __init__(self, count: int, make: Callable[[], Store]) -> None:
        self._make = make
        self._own = threading.local()
        self._waiting = 0
        self._pool = ThreadPoolExecutor(
            count, thread_name_prefix="footage", initializer=give_way, initargs=(NICE, Disk.LAST)
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def ask(self, query: Callable[[Store], T]) -> T:
        """Raises :class:`ReadersBusy` beside what the query raises."""
        if self._waiting >= WAITING_MAX:
            raise ReadersBusy(
                "too much footage is being read now",
                hint="try again in a few seconds, with fewer cameras or less speed",
                retry=Retry.LATER,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lambda: query(self._store())
            )
        finally:
            self._waiting -= 1

    def _store(self) -> Store:
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = self._make()
        return store


def _segment(store: Store, window: Window, number: int) -> Segment:
    segment = store.segment(window.camera, number)
    if segment is None or not segment.fragments:
        raise _gone(window)
    return segment


def _is_granted(store: Store, window: Window, segment: Segment, entry: FragmentEntry) -> bool:
    """Whole fragments of the window, and what a decoder needs before it."""
    if entry.start_us >= window.to_us:
        return False
    if entry.end_us > window.from_us:
        return True
    place = segment.fragments.index(entry)
    leading = store.pieces(window.camera, window.from_us, window.from_us + 1)
    return any(
        one.number == segment.number and first <= place < first + count
        for one, first, count in leading
    )


def _read(store: Store, segment: Segment, offset: int, size_bytes: int) -> bytes:
    try:
        data = store.stored_bytes(segment, offset, size_bytes)
    except FileNotFoundError:
        data = b""
    if len(data) != size_bytes:
        raise FootageGone(f"a file of {segment.camera} is not there any more, or cut short")
    return data


def _header(head: bytes) -> SegmentHeader:
    return scan(lambda at, size: head[at : at + size], len(head)).header


def _sound(found: bytes | None, window: Window) -> bytes:
    if found is None:
        raise FootageGone(f"there is no sound of {window.camera} here")
    return found


def _gone(window: Window) -> FootageGone:
    return FootageGone(f"there is no such footage of {window.camera}")


def _not_granted(window: Window) -> NotGranted:
    return NotGranted(
        f"this footage of {window.camera} is outside of what was granted",
        hint="state a reason for the range",
    )

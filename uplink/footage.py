"""Where a call's units come from: the store and, up to now, the tap; live, the tap alone. Shell.

Blocking reads run in a few threads of their own; what is read ahead is bounded to one batch.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from config.errors import XueliangError
from retention.framing import FramingError, Parser
from retention.live import SOCKET_NAME, Follower
from retention.model import Track
from retention.mp4.decode_times import reorder_depth
from retention.read import Store, StoredUnit
from retention.tap_messages import Live, Skipped, TapMessage, TapRun, TapUnit, decode_tap
from uplink.playback import From

log = logging.getLogger(__name__)

#: Pictures shown before the end of a range may build on one that is shown so much behind it.
REORDERED_US = 1_000_000
#: Pictures from which one sees how far they are reordered.
PICTURES_TO_TELL = 4
#: Reads of different calls that may be under way at once.
THREADS = 8
#: A batch is a group of pictures, or so much of a long one.
BATCH_UNITS = 256
BATCH_BYTES = 1024 * 1024
TAP_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Units in stored order, and how far their pictures are reordered."""

    units: tuple[StoredUnit, ...]
    depth: int


def batch_of(units: Sequence[StoredUnit]) -> Batch:
    shown = [one.unit.pts_us for one in units if one.unit.track is Track.VIDEO]
    return Batch(tuple(units), reorder_depth((), shown))


class Source(Protocol):
    """Stored units of one call."""

    async def next(self) -> Batch | None:
        """The next batch; None at the end. Raises what the store raises."""
        ...

    def close(self) -> None: ...


class Footage:
    """The store, for many calls.

    Args:
        state_dir: of ``edge``: index and tap.
    """

    def __init__(self, state_dir: Path, volumes: Sequence[Path]) -> None:
        self._state_dir = state_dir
        self._volumes = tuple(volumes)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="footage")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def source(self, camera: str, place: From, to_us: int) -> Source:
        """Units from ``place`` to ``to_us``, forward or in reverse."""

        def groups(store: Store, opened: list[Follower]) -> Iterator[list[StoredUnit]]:
            if place.is_reverse:
                return _reversed(store, camera, place.at_us, to_us)
            read_us = to_us + REORDERED_US
            follower = Follower(store, self._state_dir, camera, place.at_us, read_us)
            opened.append(follower)
            return _batches(_until(follower, to_us))

        return _StoreSource(self._threads, self._open, groups)

    async def size_bytes(self, camera: str, from_us: int, to_us: int) -> int:
        """About what a download of the range sends: the bytes that are stored of it."""

        def query() -> int:
            with self._open() as store:
                return store.size_bytes(camera, from_us, to_us)

        return await asyncio.get_running_loop().run_in_executor(self._threads, query)

    def _open(self) -> Store:
        return Store(self._state_dir / "index.db", self._volumes)


Groups = Callable[[Store, list[Follower]], Iterator[list[StoredUnit]]]


class _StoreSource:
    """Reads one batch ahead, in the threads."""

    def __init__(
        self, threads: ThreadPoolExecutor, open_store: Callable[[], Store], groups: Groups
    ) -> None:
        self._threads = threads
        self._open_store = open_store
        self._groups = groups
        self._lock = threading.Lock()  # a read, or the end: a cancelled task's read goes on
        self._store: Store | None = None
        self._iterator: Iterator[list[StoredUnit]] | None = None
        self._followers: list[Follower] = []
        self._ahead: asyncio.Future[Batch | None] | None = None
        self._is_closed = False

    async def next(self) -> Batch | None:
        batch = await (self._ahead or self._read_ahead())
        self._ahead = None if batch is None else self._read_ahead()
        return batch

    def _read_ahead(self) -> asyncio.Future[Batch | None]:
        return asyncio.get_running_loop().run_in_executor(self._threads, self._read)

    def _read(self) -> Batch | None:
        with self._lock:
            if self._is_closed:
                return None
            if self._iterator is None:
                self._store = self._open_store()
                self._iterator = self._groups(self._store, self._followers)
            units = next(self._iterator, None)
        return None if units is None else batch_of(units)

    def close(self) -> None:
        """What is being read ends soon, and the store is closed behind it."""
        self._is_closed = True
        for follower in self._followers:
            follower.close()
        if self._ahead is not None:
            self._ahead.add_done_callback(_look_at)
        with suppress(RuntimeError):  # the threads were ended: so is the service
            self._threads.submit(self._finish)

    def _finish(self) -> None:
        with self._lock:
            self._iterator = None  # its file, too
            if self._store is not None:
                self._store.close()


def _look_at(ahead: asyncio.Future[Batch | None]) -> None:
    """Nobody waits for it any more."""
    if not ahead.cancelled() and ahead.exception() is not None:
        log.info("read_ahead_failed", extra={"error": str(ahead.exception())})


def _until(units: Iterable[StoredUnit | Skipped], to_us: int) -> Iterator[StoredUnit | Skipped]:
    """What is shown before ``to_us``, with the pictures behind it that this builds on."""
    held: list[StoredUnit] = []  # shown at the end or behind it; needed if one before it follows
    newest_us = -1
    for one in units:
        if isinstance(one, Skipped):
            yield one
            continue
        at_us = one.unit.pts_us
        if one.unit.track is Track.AUDIO:
            if at_us < to_us:
                yield one
        elif at_us < to_us:
            yield from held
            held.clear()
            yield one
        elif one.unit.is_key or (held and at_us > newest_us):
            return  # nothing that is shown before the end comes any more
        else:
            held.append(one)
        if one.unit.track is Track.VIDEO:
            newest_us = max(newest_us, at_us)


def _batches(units: Iterable[StoredUnit | Skipped]) -> Iterator[list[StoredUnit]]:
    """Cut before key frames, or after so much of a long group."""
    batch: list[StoredUnit] = []
    size_bytes = 0
    for one in units:
        if isinstance(one, Skipped):
            continue  # a hole: playback sees it by the instants
        is_key = one.unit.is_key and one.unit.track is Track.VIDEO
        if batch and (is_key or len(batch) >= BATCH_UNITS or size_bytes >= BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(one)
        size_bytes += len(one.unit.data)
    if batch:
        yield batch


def _reversed(store: Store, camera: str, at_us: int, to_us: int) -> Iterator[list[StoredUnit]]:
    """Groups of pictures in falling order: the one that holds ``at_us`` up to it, then whole ones,
    the last that with ``to_us`` in it."""
    end_us = at_us + 1
    key_us = store.key_before(camera, end_us)
    while key_us is not None:
        units = list(
            itertools.takewhile(_until_next_key(), store.access_units(camera, key_us, end_us))
        )
        if units:
            yield units
        if key_us <= to_us:
            return
        end_us = key_us
        key_us = store.key_before(camera, end_us)


def _until_next_key() -> Callable[[StoredUnit], bool]:
    """A group never goes beyond its successor's key frame (overlapping runs might)."""
    keys = itertools.count()

    def is_inside(one: StoredUnit) -> bool:
        return not (one.unit.is_key and one.unit.track is Track.VIDEO) or next(keys) == 0

    return is_inside


class TapGone(XueliangError):
    """``edge`` does not run, or does not record this camera any more."""

    code = "tap_gone"


async def live_units(state_dir: Path, camera: str) -> AsyncGenerator[Batch | Skipped, None]:
    """A camera's tap: what waits, from its newest key frame on, in one batch, then what comes.

    Raises:
        TapGone: nothing listens there, or it ended.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(
            state_dir / SOCKET_NAME, limit=TAP_READ_BYTES
        )
    except OSError as error:
        raise TapGone(f"there is no live picture of {camera}: {error.strerror or error}") from error
    try:
        writer.write(camera.encode() + b"\n")
        parser = Parser(decode_tap)
        backlog = _Backlog()
        while data := await reader.read(TAP_READ_BYTES):
            for message in list(parser.feed(data)):
                told = backlog.take(message)
                if told is not None:
                    yield told
        raise TapGone(f"the live picture of {camera} has ended")
    except (OSError, FramingError) as error:
        raise TapGone(f"the live picture of {camera} broke off: {error}") from error
    finally:
        writer.close()


class _Backlog:
    """Holds units back until how far they are reordered can be told."""

    def __init__(self) -> None:
        self._told: TapRun | None = None
        self._waiting: list[StoredUnit] | None = []
        self._is_live = False
        self._depth = 0

    def take(self, message: TapMessage) -> Batch | Skipped | None:
        match message:
            case TapRun():
                self._told = message
                return None
            case Skipped():
                return message
            case Live():
                self._is_live = True
            case TapUnit(unit=unit):
                if self._told is None:
                    raise FramingError("a unit of no run")
                one = StoredUnit(format=self._told.format, run=self._told.run, unit=unit)
                if self._waiting is None:
                    return Batch((one,), self._depth)
                self._waiting.append(one)
        if self._waiting is None or not self._is_live:
            return None
        batch = batch_of(_from_newest_key(self._waiting))
        if sum(one.unit.track is Track.VIDEO for one in batch.units) < PICTURES_TO_TELL:
            return None
        self._waiting, self._depth = None, batch.depth
        return batch


def _from_newest_key(units: list[StoredUnit]) -> list[StoredUnit]:
    keys = [
        place
        for place, one in enumerate(units)
        if one.unit.is_key and one.unit.track is Track.VIDEO
    ]
    return units[keys[-1] :] if keys else []

"""Live reading: what ``edge`` has not yet written, as it comes, and the seam to what is stored.

Shell, blocking. :class:`Tap` reads a camera's tap alone; :class:`Follower` begins in the store at
any instant and goes on into the tap, without loss or doubling.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from config.errors import Retry, XueliangError
from retention.framing import FramingError, Parser
from retention.read import Store, StoredUnit
from retention.tap_messages import Live, Skipped, TapRun, TapUnit, decode_tap

SOCKET_NAME = "tap.sock"
CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 256 * 1024
#: The index tells of a durable fragment within this time; after it a hole at the seam is real.
SEAM_TIMEOUT_S = 10.0
SEAM_RETRY_S = 0.1


class TapUnavailable(XueliangError):
    """``edge`` does not run, or does not record this camera."""

    code = "tap_unavailable"


class Tap:
    """A connection to one camera's tap.

    Raises:
        TapUnavailable: nothing listens there.
    """

    def __init__(self, state_dir: Path, camera: str) -> None:
        self._told = _Told()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_TIMEOUT_S)
            self._socket.connect(os.fspath(state_dir / SOCKET_NAME))
            self._socket.sendall(camera.encode() + b"\n")
            self._socket.settimeout(None)
        except OSError as error:
            self._socket.close()
            raise _unavailable(camera, error) from error

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
        """Ends the iteration, also from another thread. May be called again."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was not connected any more
        self._socket.close()

    def __iter__(self) -> Iterator[StoredUnit | Skipped | Live]:
        """What cannot be read from disk yet, :class:`Live`, then what comes; until ``edge`` or
        :meth:`close` ends it."""
        while True:
            try:
                data = self._socket.recv(READ_BYTES)
            except OSError:
                return
            if not data:
                return
            try:
                yield from self._told.feed(data)
            except FramingError:
                return  # what follows cannot be understood: as if edge had gone


class _Told:
    """Bytes of a tap in, what they say out. ``feed`` raises :class:`FramingError`."""

    def __init__(self) -> None:
        self._parser = Parser(decode_tap)
        self._run: TapRun | None = None

    def feed(self, data: bytes) -> Iterator[StoredUnit | Skipped | Live]:
        for message in self._parser.feed(data):
            match message:
                case TapRun():
                    self._run = message
                case TapUnit(unit=unit):
                    if self._run is not None:
                        yield StoredUnit(format=self._run.format, run=self._run.run, unit=unit)
                case Skipped() | Live():
                    yield message


async def tapped(
    state_dir: Path, camera: str, idle_s: float
) -> AsyncGenerator[StoredUnit | Skipped | Live | None, None]:
    """The same as :class:`Tap` for an event loop; None each time that nothing comes for ``idle_s``.

    Ends when ``edge`` ends it; whoever leaves it early closes it (``aclosing``).

    Raises:
        TapUnavailable: nothing listens there.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(
                os.fspath(state_dir / SOCKET_NAME), limit=READ_BYTES
            )
    except OSError as error:
        raise _unavailable(camera, error) from error
    told = _Told()
    try:
        writer.write(camera.encode() + b"\n")
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                yield None
                continue
            if not data:
                return
            for message in told.feed(data):
                yield message
    except (ConnectionError, FramingError):
        return  # edge has gone, or as good as that
    finally:
        writer.close()


def _unavailable(camera: str, error: OSError) -> TapUnavailable:
    return TapUnavailable(
        f"there is no live picture of {camera}: {error.strerror or error}",
        hint="is edge running, and may this user use its tap?",
        retry=Retry.LATER,
    )


class Follower:
    """Units of a camera from the key frame at or before ``from_us`` on, first from disk, then
    from the tap.

    ``Skipped`` stands where units are missing that were there: this reader was too slow, or what
    was received could not be stored. Iterating raises ``FootageUnavailable`` and
    ``IndexUnavailable`` as the store does.

    Args:
        to_us: None: go on live until the tap ends or :meth:`close` is called, and raise
            ``TapUnavailable`` where ``edge`` does not run. Else: end before this instant, or with
            the newest unit that was received when the tap was reached.
    """

    def __init__(
        self, store: Store, state_dir: Path, camera: str, from_us: int, to_us: int | None = None
    ) -> None:
        self._store = store
        self._state_dir = state_dir
        self._camera = camera
        self._from_us = from_us
        self._to_us = to_us
        self._tap: Tap | None = None
        self._is_closed = threading.Event()

    def close(self) -> None:
        """Ends the iteration, also from another thread. May be called again."""
        self._is_closed.set()
        if self._tap is not None:
            self._tap.close()

    def __iter__(self) -> Iterator[StoredUnit | Skipped]:
        last: StoredUnit | None = None
        for last in self._store.access_units(self._camera, self._from_us, self._to_us):
            if self._is_closed.is_set():
                return
            yield last
        if self._to_us is None:
            yield from self._tapped(last)
        elif (self._store.newest(self._camera) or 0) < self._to_us:
            try:
                for one in self._tapped(last):
                    if isinstance(one, StoredUnit) and one.unit.pts_us >= self._to_us:
                        if one.unit.is_key:
                            return
                        continue
                    yield one
            except TapUnavailable:
                return  # nobody records: there is nothing beyond the disk

    def _tapped(self, last: StoredUnit | None) -> Iterator[StoredUnit | Skipped]:
        """What the tap has behind ``last``."""
        deadline_s = time.monotonic() + SEAM_TIMEOUT_S
        while True:
            with Tap(self._state_dir, self._camera) as self._tap:
                units = iter(self._tap)
                waiting = _waiting(units)
                if self._is_closed.is_set():
                    return
                at = _after(waiting, last)
                if at is None and time.monotonic() > deadline_s:
                    at = 0
                    yield Skipped()
                if at is not None:
                    yield from waiting[at:]
                    if self._to_us is None:
                        yield from (unit for unit in units if not isinstance(unit, Live))
                    return
            assert last is not None
            if self._is_closed.wait(SEAM_RETRY_S):
                return
            for stored in _behind(self._store, self._camera, last):
                yield stored
                last = stored


def _waiting(units: Iterator[StoredUnit | Skipped | Live]) -> list[StoredUnit]:
    """What a tap tells before it is live."""
    waiting = []
    for unit in units:
        if isinstance(unit, Live):
            break
        assert isinstance(unit, StoredUnit), "nothing is skipped before it is live"
        waiting.append(unit)
    return waiting


def _after(waiting: list[StoredUnit], last: StoredUnit | None) -> int | None:
    """The place behind ``last``; None where it is not there."""
    if last is None:
        return 0
    for place in range(len(waiting) - 1, -1, -1):
        if _is_same(waiting[place], last):
            return place + 1
    return None


def _is_same(one: StoredUnit, other: StoredUnit) -> bool:
    return (one.run, one.unit.track, one.unit.pts_us) == (
        other.run,
        other.unit.track,
        other.unit.pts_us,
    )


def _behind(store: Store, camera: str, last: StoredUnit) -> Iterator[StoredUnit]:
    """What has become durable behind a unit that was read from the store."""
    is_behind = False
    for stored in store.access_units(camera, last.unit.pts_us):
        if is_behind:
            yield stored
        elif _is_same(stored, last):
            is_behind = True

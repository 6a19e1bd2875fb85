"""The live tap: a local socket on which readers get a camera's access units as they are placed.

Shell, on the event loop of ``edge``. A reader names a camera (one line) and gets everything that
it could not yet read from disk, at least from the newest key frame on, then each unit as it comes.
A reader that does not keep up loses units up to a key frame and is told so; nobody waits for it.
The socket is a file in the state folder that its group may use, as the index is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from pathlib import Path

from retention.clock import Clock
from retention.live import SOCKET_NAME
from retention.model import US_PER_S, AccessUnit, MediaFormat, Track
from retention.tap_messages import Live, Skipped, TapRun, TapUnit, encode_tap

log = logging.getLogger(__name__)

#: What may wait for one reader, beyond what it is given at first.
WAITING_BYTES_MAX = 8 * 1024 * 1024
#: What is kept of a camera: a minute of 4 Mbit/s. One that sends no key frame for longer has no
#: backlog until it does.
BACKLOG_BYTES_MAX = 32 * 1024 * 1024
#: A unit is kept so much longer than its fragment takes to disk: until the index tells of it, too.
LINGER_US = 2 * US_PER_S
READERS_MAX = 128
CAMERA_LINE_BYTES_MAX = 200


class CameraTap:
    """One camera's units that cannot be read from disk yet, and who listens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backlog: deque[tuple[str, MediaFormat, AccessUnit]] = deque()
        self._backlog_bytes = 0
        self._first = 0  # place of the backlog's first unit, in the order of all
        self._places: dict[int, int] = {}  # of the backlog's units, by identity
        self._keys: deque[int] = deque()  # places of key frames
        self._settled: deque[tuple[int, int]] = deque()  # since when, all before which place
        self._readers: set[_Reader] = set()

    @property
    def backlog_units(self) -> int:
        return len(self._backlog)

    def publish(self, run: str, format: MediaFormat, unit: AccessUnit) -> None:
        """A unit was placed, and will be stored."""
        place = self._first + len(self._backlog)
        if unit.is_key and unit.track is Track.VIDEO:
            self._trim()
            self._keys.append(place)
        if self._keys:  # nobody can begin with anything else
            self._backlog.append((run, format, unit))
            self._backlog_bytes += len(unit.data)
            self._places[id(unit)] = place
        if self._backlog_bytes > BACKLOG_BYTES_MAX:
            self._drop(len(self._backlog))
            self._keys.clear()
        if self._readers:
            data = encode_tap(TapUnit(unit=unit))
            for reader in self._readers:
                reader.send(run, format, unit, data)

    def settle(self, first_waiting: AccessUnit | None, last_taken: AccessUnit) -> None:
        """Units before ``first_waiting`` are on disk, or will never be; where nothing waits, those
        up to ``last_taken``."""
        if first_waiting is not None:
            place = self._places.get(id(first_waiting), 0)
        else:
            place = self._places.get(id(last_taken), -1) + 1
        if not self._settled or place > self._settled[-1][1]:
            self._settled.append((self._clock.monotonic_us(), place))

    def _trim(self) -> None:
        """Let go of what can be read from disk, up to a key frame."""
        now_us = self._clock.monotonic_us()
        settled = 0
        while self._settled and now_us - self._settled[0][0] >= LINGER_US:
            settled = self._settled.popleft()[1]
        while len(self._keys) > 1 and self._keys[1] <= settled:
            self._keys.popleft()
        if self._keys:
            self._drop(self._keys[0] - self._first)

    def _drop(self, units: int) -> None:
        """Let go of the oldest ones."""
        for _ in range(units):
            _, _, unit = self._backlog.popleft()
            del self._places[id(unit)]
            self._backlog_bytes -= len(unit.data)
        self._first += units

    def attach(self, reader: _Reader) -> None:
        """Give a reader what there is; what comes follows."""
        for run, format, unit in self._backlog:
            reader.write(run, format, encode_tap(TapUnit(unit=unit)))
        reader.begin_live()
        self._readers.add(reader)

    def detach(self, reader: _Reader) -> None:
        self._readers.discard(reader)

    def close(self) -> None:
        """The camera leaves service: readers see the end."""
        for reader in self._readers:
            reader.writer.close()


class _Reader:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._told: tuple[str, MediaFormat] | None = None
        self._allowed_bytes = WAITING_BYTES_MAX
        self._is_skipping = False

    def begin_live(self) -> None:
        self.writer.write(encode_tap(Live()))
        self._allowed_bytes = WAITING_BYTES_MAX + self._waiting_bytes()

    def send(self, run: str, format: MediaFormat, unit: AccessUnit, data: bytes) -> None:
        waiting_bytes = self._waiting_bytes()
        self._allowed_bytes = max(
            WAITING_BYTES_MAX, min(self._allowed_bytes, WAITING_BYTES_MAX + waiting_bytes)
        )
        if self._is_skipping:
            is_key = unit.is_key and unit.track is Track.VIDEO
            if not is_key or waiting_bytes > WAITING_BYTES_MAX // 2:
                return
            self._is_skipping = False
            self.writer.write(encode_tap(Skipped()))
        elif waiting_bytes > self._allowed_bytes:
            self._is_skipping = True
            return
        self.write(run, format, data)

    def write(self, run: str, format: MediaFormat, data: bytes) -> None:
        if self._told != (run, format):
            self._told = (run, format)
            self.writer.write(encode_tap(TapRun(run=run, format=format)))
        self.writer.write(data)

    def _waiting_bytes(self) -> int:
        return self.writer.transport.get_write_buffer_size()


class TapServer:
    """Listens on the tap's socket; cameras come and go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taps: dict[str, CameraTap] = {}
        self._readers = 0

    def add(self, camera: str) -> CameraTap:
        self._taps[camera] = tap = CameraTap(self._clock)
        return tap

    def remove(self, camera: str) -> None:
        self._taps.pop(camera).close()

    async def listen(self, state_dir: Path) -> asyncio.AbstractServer:
        """Close the returned server to stop."""
        path = state_dir / SOCKET_NAME
        path.unlink(missing_ok=True)
        old_mask = os.umask(0o117)
        try:
            return await asyncio.start_unix_server(
                self._serve, path=path, limit=CAMERA_LINE_BYTES_MAX
            )
        finally:
            os.umask(old_mask)

    async def _serve(self, incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader = _Reader(writer)
        tap: CameraTap | None = None
        try:
            line = await incoming.readline()
            named = self._taps.get(line.decode("ascii", "replace").strip())
            if named is None or self._readers >= READERS_MAX:
                log.warning("tap_refused", extra={"readers": self._readers})
                return
            tap = named
            self._readers += 1
            tap.attach(reader)
            await incoming.read(1)  # until the reader goes: it has nothing more to say
        except (ConnectionError, ValueError) as error:  # ValueError: a line over the limit
            log.info("tap_reader_gone", extra={"error": type(error).__name__})
        finally:
            if tap is not None:
                self._readers -= 1
                tap.detach(reader)
            writer.close()

"""The one way in which footage goes. Shell, blocking; for a job's thread.

``retention.policy`` decides, this carries it out, and nothing else in the program removes a file
that ever held a durable fragment. The steps, as the tests name them:

K1 the segments are marked in the index (table ``doomed``), committed;
K2 a signed tombstone, made in the index thread with a last look at holds and chain, is committed;
K3 the volume's writer syncs the journal that holds it, before the first file of it goes;
K4 the files are unlinked, one at a time between recording operations (``retention.deletions``);
K5 their folders are synced;
K6 the rows are forgotten, marks included.

Killed at any point: what is marked and has no tombstone is unmarked; what has one goes. A hold that
is told before K2 keeps its footage. A disk that is away when its files should go gets them deleted
when it is back.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, TypeVar

from retention.buried import Tombstones
from retention.checkpoints import Checkpoints
from retention.clock import Clock
from retention.holds import Hold
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.index.write import IndexWriter
from retention.journal import Kind
from retention.layout import parse_segment_path, segment_path
from retention.ledger import Ledger
from retention.model import US_PER_S
from retention.policy import Candidate, Plan, Reason, Room, Rules, hold_on, plan
from retention.shelf import IndexShelf, candidate
from retention.tombstones import SEGMENTS_MAX, pieces_of, tombstone
from retention.volume import HEAL_BYTES_MAX, HEAL_SHARE
from retention.writer_ports import Deleted, DoomedFile

log = logging.getLogger(__name__)

T = TypeVar("T")
_Key = tuple[str, int]

#: How long the index may take for one step.
INDEX_TIMEOUT_S = 30.0
#: How long the end of the service waits for a turn.
CLOSE_S = 2.0
#: So often the shelf looks again at footage that could not be deleted before.
SHELF_US = 3_600 * US_PER_S
#: A fragment must fit into what is left before pressure is felt.
FRAGMENT_BYTES = 4 << 20

_MARK = "INSERT INTO doomed VALUES (?, ?) ON CONFLICT DO NOTHING"
_UNMARK = "DELETE FROM doomed WHERE camera = ? AND number = ?"
_FORGET = "DELETE FROM segment WHERE camera = ? AND number = ? AND volume = ?"
_DOOMED = (
    "SELECT doomed.camera, doomed.number, volume, start_us - offset_us, size_bytes FROM doomed"
    " LEFT JOIN segment USING (camera, number) ORDER BY doomed.camera, doomed.number"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A tombstone that was written."""

    seq: int  # of its journal entry
    camera: str
    reason: Reason
    segments: int
    size_bytes: int
    start_us: int
    end_us: int


class Deleter(Protocol):
    """A volume's writer, as far as it deletes (retention.writer)."""

    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One volume as it stands."""

    volume: str
    capacity_bytes: int
    free_bytes: int  # the reserve included
    reserve_bytes: int
    looked_us: int  # when its free space was looked at, monotonic
    is_retiring: bool
    writer: Deleter | None  # None: nothing can be deleted or recorded there now

    @property
    def heal_bytes(self) -> int:
        """What a full volume must have beyond its reserve to take the next fragment."""
        usable_bytes = max(0, self.capacity_bytes - self.reserve_bytes)
        wanted_bytes = self.reserve_bytes // HEAL_SHARE + FRAGMENT_BYTES
        return min(wanted_bytes, HEAL_BYTES_MAX, usable_bytes // 8)


#: The volumes ever attached to a configured place, looked at anew; may take a while.
Disks = Callable[[], Sequence[Disk]]


class SweepObserver(Protocol):
    """Who is told of what goes; must not block."""

    def buried(self, batch: Buried) -> None:
        """A tombstone is durable; the files go soon."""
        ...

    def deleted(self, camera: str, reason: Reason, size_bytes: int) -> None:
        """A file is gone."""
        ...


@dataclass(slots=True, kw_only=True)
class _Doom:
    """A file that has its tombstone, and is not known to be gone."""

    file: DoomedFile
    volume: str
    size_bytes: int
    reason: Reason | None  # None: of an earlier life
    tombstone: bytes  # the journal's line; empty where the volume has had it since its start
    writer: Deleter | None = None  # that it was handed to


class Sweep:
    """Carries out what policy decides. :meth:`turn` may be called from any thread.

    Args:
        checkpoints: asked to chain what is to go and is not chained yet.
        observer: see there.
        clock: for intervals only.
    """

    def __init__(
        self,
        index: IndexWriter,
        ledger: Ledger,
        disks: Disks,
        checkpoints: Checkpoints,
        observer: SweepObserver,
        clock: Clock,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._disks = disks
        self._checkpoints = checkpoints
        self._observer = observer
        self._clock = clock
        self._reader = Index(index.path)
        self._shelf: IndexShelf | None = None
        self._shelf_of: tuple[frozenset[str], int] = (frozenset(), 0)
        self._dooms: dict[_Key, _Doom] = {}
        #: When and of which volume bytes went: a disk's figures lag behind.
        self._settled: list[tuple[int, str, int]] = []
        self._lock = threading.Lock()  # of these: the writers' threads answer
        self._turning = threading.Lock()
        self._is_resumed = False

    def close(self) -> None:
        """Let go of the index, unless a turn is under way. Blocks briefly."""
        if self._turning.acquire(timeout=CLOSE_S):
            self._reader.close()
            self._turning.release()

    def turn(
        self, *, now_us: int, trusted_us: int | None, rules: Rules, bytes_per_s: float
    ) -> Plan:
        """Decide once and begin to carry it out; what it began before is tried again.

        Args:
            now_us: for the journal only.
            trusted_us: trusted time; None while there is none.

        Raises:
            IndexUnavailable: the index does not answer; the next turn resumes.
        """
        with self._turning:
            try:
                if not self._is_resumed:
                    self._resume()
                    self._is_resumed = True
                disks = self._disks()
                self._hand_out(disks)
                found = self._plan(disks, now_us, trusted_us, rules, bytes_per_s)
                for reason, batch in _batches(found):
                    self._bury(reason, batch, now_us, trusted_us)
                self._hand_out(disks)
            except BaseException:
                self._is_resumed = False
                raise
        return found

    def remove_leftovers(self, volume: str, paths: Iterable[str]) -> None:
        """Files on a volume that have their tombstone and no row: their deletion is finished."""
        with self._lock:
            for path in paths:
                name = parse_segment_path(path)
                assert name is not None
                file = DoomedFile(camera=name.camera, number=name.number, path=path)
                doom = _Doom(file=file, volume=volume, size_bytes=0, reason=None, tombstone=b"")
                self._dooms.setdefault((name.camera, name.number), doom)

    @property
    def under_way(self) -> int:
        """Files that have their tombstone and are not known to be gone."""
        return len(self._dooms)

    def on_deleted(self, event: Deleted) -> None:
        """From a volume's writer; never blocks."""
        gone: list[tuple[_Key, _Doom]] = []
        now_us = self._clock.monotonic_us()
        with self._lock:
            for file in event.gone:
                key = file.camera, file.number
                if (doom := self._dooms.pop(key, None)) is not None:
                    gone.append((key, doom))
                    self._settled.append((now_us, doom.volume, doom.size_bytes))
            for file in event.left:
                if (left := self._dooms.get((file.camera, file.number))) is not None:
                    left.writer = None
        if event.left:
            log.error(
                "deletion_put_off",
                extra={"volume": event.volume, "files": len(event.left), "error": event.error},
            )
        for (camera, _), doom in gone:
            if doom.reason is not None:
                self._observer.deleted(camera, doom.reason, doom.size_bytes)
        forgotten = [(*key, event.volume) for key, _ in gone]
        self._index.submit(lambda connection: _forget(connection, forgotten)).add_done_callback(
            self._note_forgotten
        )

    def _note_forgotten(self, future: Future[None]) -> None:
        if (error := future.exception()) is not None:  # the next turn finds the marks again
            self._is_resumed = False
            log.error("rows_not_forgotten", extra={"error": str(error)})

    # Deciding --------------------------------------------------------------------------------

    def _plan(
        self,
        disks: Sequence[Disk],
        now_us: int,
        trusted_us: int | None,
        rules: Rules,
        bytes_per_s: float,
    ) -> Plan:
        rooms = self._rooms(disks)
        reachable = frozenset(room.volume for room in rooms if room.is_writable)
        shelf = self._shelf
        if shelf is None or self._shelf_of[0] != reachable or _is_old(self._shelf_of[1], now_us):
            shelf = self._shelf = IndexShelf(self._reader, reachable)
            self._shelf_of = reachable, now_us

        def look(connection: sqlite3.Connection) -> tuple[list[str], frozenset[str], list[Hold]]:
            removed = [row.id for row in rows.cameras(connection) if row.removed_us is not None]
            holds = rows.holds(connection, is_open=True)
            return rows.cameras_ever(connection), frozenset(removed), holds

        cameras, removed, holds = self._reader.read(look)
        return plan(
            cameras=cameras,
            removed=removed,
            shelf=shelf,
            rooms=rooms,
            holds=holds,
            rules=rules,
            trusted_us=trusted_us,
            bytes_per_s=bytes_per_s,
        )

    def _rooms(self, disks: Sequence[Disk]) -> list[Room]:
        with self._lock:
            looked_us = {disk.volume: disk.looked_us for disk in disks}
            self._settled = [one for one in self._settled if one[0] > looked_us.get(one[1], one[0])]
            under_way: Counter[str] = Counter()
            for _, volume, size_bytes in self._settled:
                under_way[volume] += size_bytes
            for doom in self._dooms.values():
                under_way[doom.volume] += doom.size_bytes
        return [
            Room(
                volume=disk.volume,
                capacity_bytes=disk.capacity_bytes,
                free_bytes=disk.free_bytes,
                reserve_bytes=disk.reserve_bytes,
                is_writable=disk.writer is not None,
                is_retiring=disk.is_retiring,
                under_way_bytes=under_way[disk.volume],
                heal_bytes=disk.heal_bytes,
            )
            for disk in disks
        ]

    # Burying ---------------------------------------------------------------------------------

    def _bury(
        self, reason: Reason, batch: Sequence[Candidate], now_us: int, trusted_us: int | None
    ) -> None:
        camera = batch[0].camera
        keys = [(segment.camera, segment.number) for segment in batch]
        self._submit(lambda connection: _mark(connection, keys))  # K1
        newest = max(number for _, number in keys)
        if self._reader.read(lambda connection: _last_chained(connection, camera)) < newest:
            self._checkpoints.make(now_us, [camera])

        def decide(
            connection: sqlite3.Connection,
        ) -> tuple[list[Candidate], list[tuple[Kind, dict[str, Any]]]]:
            kept = _deletable(connection, batch, trusted_us)
            pieces = pieces_of(connection, camera, [segment.number for segment in kept])
            chained = {
                number
                for piece in pieces
                for first, last in piece.numbers
                for number in range(first, last + 1)
            }
            kept = [segment for segment in kept if segment.number in chained]
            going = {segment.number for segment in kept}
            _unmark(connection, [key for key in keys if key[1] not in going])
            if not kept:
                return [], []
            return kept, [(Kind.DELETION, tombstone(kept, reason, pieces))]

        decided = _await(self._ledger.decide(decide, now_us))  # K2
        if len(decided.result) < len(batch):
            kept = {segment.number for segment in decided.result}
            assert self._shelf is not None
            self._shelf.leave_out(camera, [key[1] for key in keys if key[1] not in kept])
            log.warning(
                "deletion_withheld",
                extra={"camera": camera, "segments": len(batch) - len(decided.result)},
            )
        if not decided.result:
            return
        [entry] = decided.entries
        with self._lock:
            for segment in decided.result:
                path = segment_path(
                    segment.camera, segment.start_us - segment.offset_us, segment.number
                )
                self._dooms[segment.camera, segment.number] = _Doom(
                    file=DoomedFile(camera=segment.camera, number=segment.number, path=path),
                    volume=segment.volume,
                    size_bytes=segment.size_bytes,
                    reason=reason,
                    tombstone=entry.line + b"\n",
                )
        self._observer.buried(
            Buried(
                seq=entry.seq,
                camera=camera,
                reason=reason,
                segments=len(decided.result),
                size_bytes=sum(segment.size_bytes for segment in decided.result),
                start_us=min(segment.start_us for segment in decided.result),
                end_us=max(segment.end_us for segment in decided.result),
            )
        )

    def _hand_out(self, disks: Sequence[Disk]) -> None:
        """Give the volumes' writers what waits for them (K3 to K5)."""
        for disk in disks:
            writer = disk.writer
            if writer is None:
                continue
            with self._lock:
                waiting = [
                    doom
                    for doom in self._dooms.values()
                    if doom.volume == disk.volume and doom.writer is not writer
                ]
                for doom in waiting:
                    doom.writer = writer
            for line, dooms in groupby(waiting, key=lambda doom: doom.tombstone):
                writer.delete([doom.file for doom in dooms], [line] if line else [])

    # Resuming --------------------------------------------------------------------------------

    def _resume(self) -> None:
        """What an earlier turn, or an earlier life, has left half done."""
        _await(self._ledger.flushed())
        stones = Tombstones()
        bare: list[_Key] = []
        for camera, number, volume, start_us, size_bytes in self._reader.read(
            lambda connection: connection.execute(_DOOMED).fetchall()
        ):
            if volume is None or not self._is_buried(stones, camera, number):
                bare.append((camera, number))
                continue
            path = segment_path(camera, start_us, number)
            doom = _Doom(
                file=DoomedFile(camera=camera, number=number, path=path),
                volume=volume,
                size_bytes=size_bytes,
                reason=None,
                tombstone=b"",
            )
            with self._lock:
                self._dooms.setdefault((camera, number), doom)
        if bare:
            self._submit(lambda connection: _unmark(connection, bare))

    def _is_buried(self, stones: Tombstones, camera: str, number: int) -> bool:
        return self._reader.read(lambda connection: stones.covers(connection, camera, number))

    def _submit(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return _await(self._index.submit(operation))


def _await(future: Future[T]) -> T:
    try:
        return future.result(INDEX_TIMEOUT_S)
    except TimeoutError as error:
        raise IndexUnavailable("the index is stuck") from error


def _is_old(made_us: int, now_us: int) -> bool:
    return not made_us <= now_us < made_us + SHELF_US


def _batches(found: Plan) -> Iterator[tuple[Reason, list[Candidate]]]:
    """What one tombstone each tells: of one camera, reason and epoch, and not too much."""
    grouped: dict[tuple[str, Reason, int], list[Candidate]] = {}
    for deletion in found.deletions:
        one = deletion.segment
        grouped.setdefault((one.camera, deletion.reason, one.epoch), []).append(one)
    for (_, reason, _), segments in grouped.items():
        for at in range(0, len(segments), SEGMENTS_MAX):
            yield reason, segments[at : at + SEGMENTS_MAX]


def _deletable(
    connection: sqlite3.Connection, batch: Sequence[Candidate], trusted_us: int | None
) -> list[Candidate]:
    """Those that are still there as they were chosen, and not held."""
    holds = [hold for hold in rows.holds(connection, is_open=True) if hold.state(trusted_us).holds]
    kept = []
    for segment in batch:
        is_as_chosen = candidate(connection, segment.camera, segment.number) == segment
        if is_as_chosen and hold_on(holds, segment) is None:
            kept.append(segment)
    return kept


def _last_chained(connection: sqlite3.Connection, camera: str) -> int:
    statement = "SELECT max(last_number) FROM checkpoint WHERE camera = ?"
    found = connection.execute(statement, (camera,)).fetchone()[0]
    return -1 if found is None else int(found)


def _mark(connection: sqlite3.Connection, keys: Sequence[_Key]) -> None:
    connection.executemany(_MARK, keys)


def _unmark(connection: sqlite3.Connection, keys: Sequence[_Key]) -> None:
    connection.executemany(_UNMARK, keys)


def _forget(connection: sqlite3.Connection, keys: Sequence[tuple[str, int, str]]) -> None:
    connection.executemany(_FORGET, keys)
    connection.executemany(_UNMARK, [key[:2] for key in keys])

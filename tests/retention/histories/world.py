"""A box that lives for years in a second: its disks, clock, people and crashes. For tests.

Policy, sweep, index, ledger, journal, checkpoints and tombstones are the real ones; files, disks,
the clock and the writers' threads are modelled here. A step is four and a half days, in which each
camera records one segment; true time is known to the world only. After every file that goes, and
after every step, the promises are checked (:class:`Promises`).
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.buried import Tombstones
from retention.chain import numbers_in
from retention.checkpoints import Checkpoints
from retention.clock import SystemClock
from retention.holds import Hold, added
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.write import IndexWriter, connect_for_writing, put_segment
from retention.journal import Head, Journal, Kind, longest_chain, parse_line, verify
from retention.layout import segment_path
from retention.ledger import Ledger
from retention.model import (
    US_PER_S,
    ClockState,
    EndReason,
    Epoch,
    FragmentEntry,
    GapCause,
    Run,
    Segment,
    SegmentState,
)
from retention.policy import DAY_US, Band, Reason, Rules
from retention.sweep import Buried, Disk, Sweep
from retention.timeline import timeline
from retention.writer_ports import Deleted, DoomedFile
from tests.retention.indexing import FORMAT
from tests.retention.sweeping import assert_chain

T = TypeVar("T")
Key = tuple[str, int]

T0 = 1_700_000_000 * US_PER_S
STEP_US = 4 * DAY_US + DAY_US // 2
BAND = Band(min_us=90 * DAY_US, max_us=97 * DAY_US)
RESERVE_BYTES = 1_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Crash(BaseException):
    """The power goes here."""


@dataclass
class Fuse:
    """Lets so many steps of the program pass, and then the power goes."""

    left: int | None = None

    def __call__(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


class DirectIndex(IndexWriter):
    """An index that carries out at once, in the caller's thread."""

    def __init__(self, path: Path, fuse: Callable[[], None]) -> None:
        self.path = path
        self._connection = connect_for_writing(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._fuse = fuse

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        self._fuse()
        future: Future[T] = Future()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = operation(self._connection)
        except Exception as error:  # noqa: BLE001 - handed to who asked, as the real one does
            self._connection.execute("ROLLBACK")
            future.set_exception(error)
            return future
        self._connection.execute("COMMIT")
        self._fuse()
        future.set_result(result)
        return future

    def close(self, timeout_s: float = 10.0) -> None:
        del timeout_s
        self._connection.close()


@dataclass
class File:
    """A sealed segment on a disk; ``true_us`` is when it began in truth."""

    segment: Segment
    true_us: int


@dataclass
class FakeDisk:
    """A disk and its writer, which works only when the world says so."""

    uuid: str
    capacity_bytes: int
    fuse: Callable[[], None]
    is_there: bool = True
    is_dead: bool = False
    other_bytes: int = 0
    files: dict[Key, File] = field(default_factory=dict)
    replica: list[bytes] = field(default_factory=list)
    unsynced: list[bytes] = field(default_factory=list)
    queue: deque[list[DoomedFile]] = field(default_factory=deque)

    @property
    def free_bytes(self) -> int:
        used = sum(file.segment.size_bytes for file in self.files.values())
        return self.capacity_bytes - used - self.other_bytes

    def journal(self, line: bytes) -> None:
        self.unsynced.append(line)

    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None:
        """As retention.writer: behind what its journal was given before."""
        self.fuse()
        del tombstones
        self.queue.append(list(files))

    def sync(self) -> None:
        self.replica += self.unsynced
        self.unsynced = []


class World:
    """One box and its history, drawn from a seed.

    Args:
        folder: for its index.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.told: list[str] = []  # what happened, for a test that fails
        self.fuse = Fuse()
        self.true_us = T0
        self.skew_us = 0
        self.is_trusted = True
        self._folder = folder
        self._indexes = 0
        self.rules = Rules(
            band=BAND,
            bands={"yard": Band(min_us=120 * DAY_US, max_us=130 * DAY_US)}
            if self.random.random() < 0.3
            else {},
            overwrites=self.random.random() < 0.8,
        )
        self.cameras: dict[str, int] = {}  # bytes of a step
        self.due_us: dict[str, int] = {}  # true instant of the first commissioning
        self.numbers: dict[str, int] = {}
        self.runs: dict[tuple[str, int], str] = {}
        self.disks: list[FakeDisk] = []
        self.holds: dict[str, set[Key]] = {}  # what each one in force protects
        self.hold_spans: dict[str, tuple[str, int, int]] = {}
        #: Steps since a crash, a hold or a wrong time: what is due must have gone meanwhile.
        self.quiet_steps = 0
        self.epoch = 0
        self.untimed: dict[int, int] = {}  # epoch: what is to be added
        self.counts: dict[str, int] = {}
        self.index = self._fresh_index()
        self._start()
        self.ledger.key_used(self.now_us)
        for _ in range(self.random.randint(1, 3)):
            self.add_disk()
        for name in ("gate", "yard", "hall")[: self.random.randint(1, 3)]:
            self.add_camera(name)

    @property
    def now_us(self) -> int:
        """What the box's clock says."""
        return self.true_us + self.skew_us

    def _fresh_index(self) -> DirectIndex:
        self._indexes += 1
        return DirectIndex(self._folder / f"index{self._indexes}.db", self.fuse)

    def _start(self) -> None:
        """What a start of the service does, as far as it matters here."""
        last = self.index.submit(rows.last_entry).result()
        self.ledger = Ledger(self.index, Journal(KEY, Head.of(last)))
        self.ledger.epoch = self.epoch
        self.checkpoints = Checkpoints(self.index, self.ledger)
        self.sweep = Sweep(
            self.index, self.ledger, self.as_disks, self.checkpoints, _Observer(self), SystemClock()
        )
        self.reasons: dict[Key, Reason] = {}
        self._reasons_seq = 0
        for disk in self.disks:
            if disk.is_there:
                self._attach(disk)

    def _attach(self, disk: FakeDisk) -> None:
        """Level the replica, and find files that have their tombstone (retention.recover)."""
        lines = self.index.submit(lambda connection: list(rows.journal_lines(connection))).result()
        held = set(disk.replica)
        disk.replica += [line + b"\n" for line in lines if line + b"\n" not in held]
        self.ledger.add_sink(disk.journal)
        stones = Tombstones()

        def known(connection: sqlite3.Connection) -> dict[Key, bool]:
            return {key: rows.segment(connection, *key) is not None for key in disk.files}

        has_row = self.index.submit(known).result()
        leftovers = []
        for key, file in list(disk.files.items()):
            if has_row[key]:
                continue
            if stones.covers(self.index._connection, *key):
                leftovers.append(_path(file.segment))
            else:
                self._put(file.segment)
        self.sweep.remove_leftovers(disk.uuid, leftovers)

    def as_disks(self) -> list[Disk]:
        return [
            Disk(
                volume=disk.uuid,
                capacity_bytes=disk.capacity_bytes,
                free_bytes=disk.free_bytes,
                reserve_bytes=RESERVE_BYTES,
                looked_us=SystemClock().monotonic_us(),
                is_retiring=False,
                writer=disk if disk.is_there else None,
            )
            for disk in self.disks
        ]

    # What happens ----------------------------------------------------------------------------

    def add_disk(self) -> None:
        n = len(self.disks)
        capacity_bytes = self.random.randint(60, 200) * 1_000_000
        disk = FakeDisk(f"disk{n}", capacity_bytes, self.fuse)
        self.disks.append(disk)
        self.ledger.volume_attached(disk.uuid, f"/srv/{n}", self.now_us)
        self._attach(disk)

    def add_camera(self, name: str) -> None:
        self.cameras[name] = self.random.randint(500_000, 4_000_000)
        self.due_us.setdefault(name, self.true_us)
        self.numbers.setdefault(name, 1)
        self.ledger.camera_commissioned(name, self.now_us)

    def step(self) -> None:
        """Four and a half days."""
        self.quiet_steps = self.quiet_steps + 1 if self.is_trusted and not self.holds else 0
        try:
            self._event()
            self._record()
            for _ in range(self.random.randint(1, 2)):
                self._turn()
                self._work(self.random.choice([None, None, None, 0, 2]))
            if self.random.random() < 0.5:
                self.checkpoints.make(self.now_us)
        except Crash:
            self._crash()
        self.true_us = max(self.true_us, self._step_end_us)

    def _event(self) -> None:
        self._step_end_us, self.fuse.left = self.true_us + STEP_US, None
        chance = self.random.random
        if chance() < 0.10:
            name = self.random.choice(list(self.cameras))
            self.cameras[name] = self.random.randint(200_000, 4_000_000)
            self._tell(f"{name} records {self.cameras[name]} bytes a step")
        if chance() < 0.05 and len(self.disks) < 5:
            self.add_disk()
            self._tell("a disk is added")
        if chance() < 0.05:
            self._pull(self.random.choice(self.disks))
        if chance() < 0.3:
            self._put_back()
        if chance() < 0.04:
            disk = self.random.choice(self.disks)
            free_bytes = disk.free_bytes + disk.other_bytes
            disk.other_bytes = self.random.randint(0, min(free_bytes, disk.capacity_bytes // 3))
            self._tell(f"{disk.other_bytes} bytes of other files on {disk.uuid}")
        if chance() < 0.08:
            self._hold()
        if chance() < 0.08 and self.holds:
            self._release(self.random.choice(list(self.holds)))
        if chance() < 0.03:
            self._remove_or_add_camera()
        if chance() < 0.04:
            days = self.random.choice([-4_000, -30, -1, 1, 400, 4_000])
            self._step_clock(days * DAY_US + self.random.randint(-DAY_US // 3, DAY_US // 3))
        elif not self.is_trusted and chance() < 0.2:
            self._set_clock_right()
        if chance() < 0.03:
            self._lose_index()
        if chance() < 0.15:
            self.fuse.left = self.random.randint(0, 80)

    def _tell(self, text: str) -> None:
        self.told.append(f"{(self.true_us - T0) // DAY_US} d: {text}")

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _pull(self, disk: FakeDisk) -> None:
        if sum(one.is_there for one in self.disks) < 2 or not disk.is_there:
            return
        disk.is_there = False
        disk.is_dead = self.random.random() < 0.3
        self.ledger.remove_sink(disk.journal)
        self._fail_queue(disk)
        self._tell(f"{disk.uuid} is {'dead' if disk.is_dead else 'pulled'}")

    def _put_back(self) -> None:
        for disk in self.disks:
            if not disk.is_there and not disk.is_dead:
                disk.is_there = True
                self._attach(disk)
                self._tell(f"{disk.uuid} is back")

    def _hold(self) -> None:
        name = f"h{len(self.hold_spans)}"
        camera = self.random.choice(["", *self.cameras])
        from_us = self.true_us - self.random.randint(0, 120) * DAY_US
        to_us = from_us + self.random.randint(1, 60) * DAY_US
        hold = Hold(
            id=name,
            camera=camera,
            from_us=from_us,
            to_us=to_us,
            case="c",
            requester="r",
            unit="",
            reason="x",
            expires_us=None,
            added_us=self.now_us,
            added_by="Li",
        )
        self.hold_spans[name] = (camera, from_us, to_us)
        self.ledger.decide(
            lambda connection: (None, [(Kind.HOLD, added(hold, rows.holds(connection)))]),
            self.now_us,
        ).result()
        buried = self._buried()
        self.holds[name] = {
            key
            for disk in self.disks
            for key, file in disk.files.items()
            if key not in buried and self._touches(name, file)
        }
        self._tell(f"hold {name} on {camera or 'all'}: {len(self.holds[name])} segments")

    def _touches(self, hold: str, file: File) -> bool:
        camera, from_us, to_us = self.hold_spans[hold]
        begin_us, end_us = file.true_us, file.true_us + STEP_US
        return camera in ("", file.segment.camera) and begin_us < to_us and end_us > from_us

    def _release(self, name: str) -> None:
        data = {"event": "released", "id": name, "by": "Wang"}
        self.ledger.decide(lambda _: (None, [(Kind.HOLD, data)]), self.now_us).result()
        del self.holds[name]
        self._tell(f"hold {name} released")

    def _remove_or_add_camera(self) -> None:
        if len(self.cameras) > 1:
            name = self.random.choice(list(self.cameras))
            del self.cameras[name]
            self.ledger.camera_removed(name, self.now_us)
            self._tell(f"{name} removed")
        elif self.is_trusted:  # in a time that was set back its absence has no length
            self.add_camera(self.random.choice(["gate", "yard", "hall"]))

    # Time

    def _step_clock(self, by_us: int) -> None:
        self._tell(f"the clock jumps by {by_us // DAY_US} d")
        self._begin_epoch(self.skew_us + by_us, is_trusted=False)

    def _set_clock_right(self) -> None:
        self._begin_epoch(0, is_trusted=True)
        for epoch, offset_us in self.untimed.items():
            self.ledger.epoch_retimed(epoch, offset_us, self.now_us, is_estimated=False).result()
        self.untimed.clear()
        self._tell("time is trusted again")

    def _begin_epoch(self, skew_us: int, *, is_trusted: bool) -> None:
        before_us = self.now_us
        self.skew_us, self.is_trusted = skew_us, is_trusted
        self.epoch += 1
        epoch = Epoch(
            id=self.epoch,
            boot_id="b",
            skew_us=0,
            start_us=self.now_us,
            cause=GapCause.CLOCK_STEPPED,
        )
        self.ledger.time_judged(
            epoch, "x", self.now_us, is_trusted=is_trusted, previous_end_us=before_us
        ).result()
        if not is_trusted:
            self.untimed[self.epoch] = -skew_us

    # Recording

    def _record(self) -> None:
        for camera, size_bytes in self.cameras.items():
            for _ in range(8):
                disk = self._roomiest(size_bytes)
                if disk is not None:
                    break
                self._turn()  # the recorder's buffer bridges it: the volume was told to be full
                self._work(None)
            if disk is None:
                self._miss(camera)
            else:
                self._write(camera, size_bytes, disk)

    def _roomiest(self, size_bytes: int) -> FakeDisk | None:
        ready = [
            disk
            for disk in self.disks
            if disk.is_there and disk.free_bytes - size_bytes >= RESERVE_BYTES
        ]
        return max(ready, key=lambda disk: disk.free_bytes / disk.capacity_bytes, default=None)

    def _miss(self, camera: str) -> None:
        """Nothing takes it: that must be policy, and stands in the ledger."""
        if self.rules.overwrites:
            assert not self._could_go(), self.explain("no room, though some could be made")
        self._count("missed")
        begin_us = self.now_us
        self.ledger.gap(camera, begin_us, begin_us + STEP_US, GapCause.DISK_FULL).result()

    def _could_go(self) -> list[Key]:
        """Footage on disks that are there which nothing protects."""
        held = set().union(*self.holds.values())
        wary = {camera for name in self.holds for camera in [self.hold_spans[name][0]]}
        return [
            key
            for disk in self.disks
            if disk.is_there
            for key in disk.files
            if key not in held and not wary & {"", key[0]}
        ]

    def _write(self, camera: str, size_bytes: int, disk: FakeDisk) -> None:
        number = self.numbers[camera]
        self.numbers[camera] += 1
        run = self._run(camera)
        digest = hashlib.sha256(f"{camera} {number}".encode()).digest()
        begin_us = self.now_us
        entry = FragmentEntry(
            offset=100,
            size_bytes=size_bytes - 100,
            start_us=begin_us,
            end_us=begin_us + STEP_US,
            is_key=True,
            sha256=digest,
        )
        segment = Segment(
            camera=camera,
            number=number,
            run=run,
            volume=disk.uuid,
            start_us=begin_us,
            end_us=begin_us + STEP_US,
            state=SegmentState.SEALED,
            size_bytes=size_bytes,
            end_reason=EndReason.ROTATED,
            digest=digest,
            fragments=(entry,),
        )
        file = disk.files[camera, number] = File(segment, self.true_us)
        assert disk.free_bytes >= RESERVE_BYTES
        for name, keys in self.holds.items():
            if self._touches(name, file):
                keys.add((camera, number))
        self._put(segment)

    def _put(self, segment: Segment) -> None:
        self.index.submit(lambda connection: put_segment(connection, segment)).result()

    def _run(self, camera: str) -> str:
        known = self.runs.get((camera, self.epoch))
        if known is not None:
            return known
        name = f"{camera}-{self.epoch:08}"
        self.ledger.run_started(
            Run(
                run=name,
                camera=camera,
                start_us=self.now_us,
                clock=ClockState.TRUSTED if self.is_trusted else ClockState.UNTRUSTED,
                format=FORMAT,
                epoch=self.epoch,
            )
        )
        self.runs[camera, self.epoch] = name
        return name

    # The sweep, its writers, and crashes

    def _turn(self) -> None:
        end_us = self.now_us + STEP_US  # what was recorded in this step is there by now
        found = self.sweep.turn(
            now_us=end_us,
            trusted_us=end_us if self.is_trusted else None,
            rules=self.rules,
            bytes_per_s=0,
        )
        self._count(f"turns{' pressed' if found.is_pressed else ''}")

    def _work(self, files_max: int | None) -> None:
        """The writers delete what they were given, or only so many files of it."""
        for disk in self.disks:
            if not disk.is_there:
                continue
            disk.sync()
            left = files_max
            while disk.queue:
                batch = disk.queue[0]
                for file in batch:
                    if left == 0:
                        break
                    self.fuse()
                    self._unlink(disk, file)
                    left = None if left is None else left - 1
                else:
                    disk.queue.popleft()
                    self.sweep.on_deleted(Deleted(volume=disk.uuid, gone=tuple(batch), left=()))
                    continue
                break

    def _unlink(self, disk: FakeDisk, file: DoomedFile) -> None:
        key = file.camera, file.number
        found = disk.files.get(key)
        if found is None:
            return  # of an earlier try
        assert file.path == _path(found.segment), self.explain(f"{key} has another path")
        self.check_deletion(key, found, disk)
        del disk.files[key]

    def check_deletion(self, key: Key, file: File, disk: FakeDisk) -> None:
        """The promises that each single deletion must keep."""
        for name, keys in self.holds.items():
            assert key not in keys, self.explain(f"{key} is held by {name}")
        reason = self._buried().get(key)
        assert reason is not None, self.explain(f"{key} goes without a tombstone")
        replica = b"".join(disk.replica)
        assert b'"kind":"deletion"' in replica, self.explain("the volume has no tombstone")
        self._count(reason.value)
        age_us = self.true_us + STEP_US - (file.true_us + STEP_US)
        if reason is not Reason.OVERWRITTEN:
            assert age_us >= self.rules.band_of(key[0]).min_us, self.explain(
                f"{key} is {age_us // DAY_US} days old and goes as {reason}"
            )

    def _buried(self) -> dict[Key, Reason]:
        found = self.index._connection.execute(
            "SELECT seq, camera, reason, pieces FROM tombstone WHERE seq > ?",
            (self._reasons_seq,),
        ).fetchall()
        for seq, camera, reason, pieces in found:
            self._reasons_seq = max(self._reasons_seq, seq)
            for numbers, _, _ in json.loads(pieces):
                for number in numbers_in((first, last) for first, last in numbers):
                    self.reasons[camera, number] = Reason(reason)
        return self.reasons

    def _fail_queue(self, disk: FakeDisk) -> None:
        while disk.queue:
            self.sweep.on_deleted(
                Deleted(volume=disk.uuid, gone=(), left=tuple(disk.queue.popleft()))
            )

    def _crash(self) -> None:
        """The power went; what was not synced may be lost. Then the service starts again."""
        self._count("crashes")
        self.quiet_steps = 0
        self._tell("crash")
        if self.index._connection.in_transaction:
            self.index._connection.execute("ROLLBACK")
        for disk in self.disks:
            kept = self.random.randint(0, len(disk.unsynced))
            disk.replica += disk.unsynced[:kept]
            disk.unsynced = []
            disk.queue.clear()
        self._start()
        # A step that was cut short is accounted for: nothing was recorded in the rest of it.
        for camera in self.cameras:
            newest = self.numbers[camera] - 1
            is_recorded = any(
                (file := disk.files.get((camera, newest))) is not None
                and file.true_us == self._step_end_us - STEP_US
                for disk in self.disks
            )
            if not is_recorded:
                begin_us = self.now_us
                cause = GapCause.POWER_LOST
                self.ledger.gap(camera, begin_us, begin_us + STEP_US, cause).result()

    def _lose_index(self) -> None:
        """The index is rebuilt from the volumes alone (retention.reindex), where all are there."""
        if any(not disk.is_there for disk in self.disks):
            return
        self._tell("the index is lost")
        self._count("rebuilt")
        for disk in self.disks:
            disk.sync()
            disk.queue.clear()
        before = _dump(self.index._connection)
        self.index.close()
        self.index = self._fresh_index()
        lines = {line for disk in self.disks for line in disk.replica}
        chain, others = longest_chain(parse_line(line[:-1]) for line in lines)
        assert not others
        stones = Tombstones()

        def rebuild(connection: sqlite3.Connection) -> None:
            add_entries(connection, chain)
            for disk in self.disks:
                for (camera, number), file in disk.files.items():
                    if not stones.covers(connection, camera, number):
                        put_segment(connection, file.segment)

        self.index.submit(rebuild).result()
        after = _dump(self.index._connection)
        going = self._going(before)
        before["segment"] = [row for row in before["segment"] if row[:2] not in going]
        for table in before:
            assert before[table] == after[table], self.explain(f"{table} is not what it was")
        self._start()

    def _going(self, before: dict[str, list[Any]]) -> set[Key]:
        """Rows whose tombstone is written: they are not made again."""
        buried = self._buried()
        return {row[:2] for row in before["segment"] if row[:2] in buried}

    # Promises --------------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold after every step."""
        for disk in self.disks:
            if not disk.other_bytes:
                assert disk.free_bytes >= RESERVE_BYTES, self.explain(f"{disk.uuid} is too full")
        if self.untimed:
            return
        for camera in self.due_us:
            self._check_timeline(camera)
        if self.quiet_steps > 2:
            self._check_overdue()

    def _check_timeline(self, camera: str) -> None:
        def look(connection: sqlite3.Connection) -> Any:
            row = rows.camera(connection, camera)
            assert row is not None
            until_us = self.true_us if row.removed_us is None else row.removed_us
            from_us = row.commissioned_us
            return timeline(
                camera,
                rows.spans(connection, camera, from_us, until_us),
                rows.gaps(connection, camera, from_us, until_us),
                from_us,
                until_us,
            )

        line = look(self.index._connection)
        unknown = [gap for gap in line.gaps if gap.cause is GapCause.UNKNOWN]
        assert not unknown, self.explain(f"{camera}: unexplained {unknown}")

    def _check_overdue(self) -> None:
        """What is due goes: nothing is kept for ever but what is held or away."""
        waiting = {
            (file.camera, file.number) for disk in self.disks for b in disk.queue for file in b
        }
        for disk in self.disks:
            if not disk.is_there:
                continue
            for key, file in disk.files.items():
                if any(self._touches(name, file) for name in self.holds):
                    continue  # since this step
                age_us = self.true_us - file.true_us - STEP_US
                limit_us = self.rules.band_of(key[0]).max_us + 3 * STEP_US
                if age_us > limit_us and key not in waiting:
                    assert key in self.sweep._dooms, self.explain(
                        f"{key} is {age_us // DAY_US} days old"
                    )

    def check_end(self) -> None:
        """Chain and journal, from the first entry to the last."""
        for camera in self.due_us:
            assert_chain(self.index._connection, camera)
        verify(rows.journal_entries(self.index._connection), trusted=[KEY.public_key()])

    def explain(self, what: str) -> str:
        history = "\n".join(self.told[-30:])
        return f"seed {self.seed}, {(self.true_us - T0) // DAY_US} d: {what}\n{history}"

    def close(self) -> None:
        self.index.close()


@dataclass
class _Observer:
    world: World

    def buried(self, batch: Buried) -> None:
        self.world._tell(f"{batch.segments} of {batch.camera} buried: {batch.reason}")
        if not self.world.is_trusted:
            assert batch.reason is Reason.OVERWRITTEN, self.world.explain("time was not trusted")

    def deleted(self, camera: str, reason: Reason, size_bytes: int) -> None:
        return


def _path(segment: Segment) -> str:
    return segment_path(segment.camera, segment.start_us, segment.number)


def _dump(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    tables: Iterable[str] = (
        "camera",
        "volume",
        "run",
        "gap",
        "absence",
        "hold",
        "checkpoint",
        "tombstone",
        "epoch",
        "segment",
    )
    return {
        table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
        for table in tables
    }


def live(seed: int, folder: Path, steps: int) -> World:
    """One history; raises :class:`AssertionError` where a promise is broken."""
    world = World(seed, folder)
    try:
        for _ in range(steps):
            world.step()
            world.check()
        world.fuse.left = None
        if not world.is_trusted:
            world._set_clock_right()
            world.check()
        world.check_end()
    finally:
        world.close()
    return world

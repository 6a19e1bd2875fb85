"""A sweep on real volumes, for tests: what it is told of the disks, and what it told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retention.chain import FIRST_LINK, link, numbers_in
from retention.checkpoints import Checkpoints
from retention.clock import SystemClock
from retention.index import rows
from retention.journal import Kind
from retention.model import US_PER_S
from retention.policy import Band, Plan, Reason, Rules
from retention.sweep import Buried, Disk, Sweep
from retention.writer_ports import Deleted, DoomedFile, Sealed
from tests.retention.storing import Recorder, run_of
from tests.retention.writing import T0, wait_until

S = US_PER_S
#: Due after 2000 s, kept for 1000 s at least.
RULES = Rules(band=Band(min_us=1_000 * S, max_us=2_000 * S))


class Idle:
    """A writer that takes deletions and never gets to them: killed before."""

    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None:
        return


@dataclass
class Sweeper:
    """A sweep with the recorder whose footage it may delete."""

    recorder: Recorder
    rules: Rules = RULES
    #: Told instead of what the file system says.
    capacity_bytes: int = 1 << 40
    free_bytes: int = 1 << 40
    is_trusted: bool = True
    is_idle: bool = False  # nothing is unlinked
    buried: list[Buried] = field(default_factory=list)
    gone: list[tuple[str, Reason, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        opened = self.recorder.opened
        self.checkpoints = Checkpoints(opened.index, opened.ledger)
        self.sweep = self._make()
        self._seen = 0

    def _make(self) -> Sweep:
        opened = self.recorder.opened
        return Sweep(
            opened.index,
            opened.ledger,
            self.disks,
            self.checkpoints,
            _Observer(self),
            SystemClock(),
        )

    def disks(self) -> list[Disk]:
        return [
            Disk(
                volume=slot.uuid,
                capacity_bytes=self.capacity_bytes,
                free_bytes=self.free_bytes,
                reserve_bytes=0,
                looked_us=SystemClock().monotonic_us(),
                is_retiring=False,
                writer=Idle() if self.is_idle else slot.writer,
            )
            for slot in self.recorder.opened.volumes.slots
            if slot.uuid is not None
        ]

    def turn(self, at_s: float) -> Plan:
        """Decide as of this second after ``T0``, and wait until it is done."""
        now_us = T0 + int(at_s * S)
        found = self.sweep.turn(
            now_us=now_us,
            trusted_us=now_us if self.is_trusted else None,
            rules=self.rules,
            bytes_per_s=0,
        )
        if not self.is_idle:
            wait_until(self._is_done)
        self.recorder.opened.ledger.flushed().result()
        return found

    def _is_done(self) -> bool:
        events = self.recorder.events
        while self._seen < len(events):
            event = events[self._seen]
            self._seen += 1
            if isinstance(event, Deleted):
                self.sweep.on_deleted(event)
                if event.left:
                    return True
        return self.sweep.under_way == 0

    def buried_numbers(self) -> list[int]:
        """Numbers that tombstones tell of."""
        found = []
        for entry in self.query(rows.journal_entries):
            if entry.kind is Kind.DELETION:
                for numbers, _, _ in entry.data["pieces"]:
                    found += list(numbers_in((first, last) for first, last in numbers))
        return sorted(found)

    def rows(self) -> list[int]:
        numbers = self.query(
            lambda connection: connection.execute("SELECT number FROM segment").fetchall()
        )
        return sorted(number for (number,) in numbers)

    def doomed(self) -> int:
        marks = self.query(
            lambda connection: connection.execute("SELECT number FROM doomed").fetchall()
        )
        return len(marks)

    def query(self, query: Any) -> Any:
        return self.recorder.opened.index.submit(query).result()


@dataclass
class _Observer:
    sweeper: Sweeper

    def buried(self, batch: Buried) -> None:
        self.sweeper.buried.append(batch)

    def deleted(self, camera: str, reason: Reason, size_bytes: int) -> None:
        self.sweeper.gone.append((camera, reason, size_bytes))


def record_hours(recorder: Recorder, numbers: range, camera: str = "gate") -> None:
    """Segments of two seconds, 1000 s apart, sealed when this returns."""
    recorder.opened.ledger.run_started(run_of(camera)).result()
    before = len([event for event in recorder.events if isinstance(event, Sealed)])
    for number in numbers:
        recorder.record(number, number * 1_000, 2, camera=camera)
    wait_until(
        lambda: (
            len([event for event in recorder.events if isinstance(event, Sealed)])
            == before + len(numbers)
        )
    )
    recorder.opened.index.submit(lambda connection: None).result()


def assert_chain(connection: sqlite3.Connection, camera: str = "gate") -> int:
    """Walk the camera's chain over what is there and what tombstones tell; segments passed."""
    stones = {}
    for (text,) in connection.execute(
        "SELECT pieces FROM tombstone WHERE camera = ?", (camera,)
    ).fetchall():
        for numbers, before, after in json.loads(text):
            stones[numbers[0][0]] = (numbers, bytes.fromhex(before), bytes.fromhex(after))
    digests = dict(
        connection.execute(
            "SELECT number, digest FROM segment WHERE camera = ? AND state = 'sealed'", (camera,)
        ).fetchall()
    )
    at, passed, count = FIRST_LINK, set(), 0
    for row in rows.checkpoints(connection, camera):
        assert row.before == at, f"checkpoint {row.position} does not hang on the one before"
        assert row.position == count
        for number in numbers_in(row.numbers):
            count += 1
            if number in passed:
                continue
            if number in stones:
                numbers, before, after = stones[number]
                assert before == at, f"the tombstone of {number} does not fit"
                at = after
                passed |= set(numbers_in((first, last) for first, last in numbers))
            else:
                assert number in digests, f"segment {number} is gone without a tombstone"
                at = link(at, number, digests[number])
        assert at == row.after, f"checkpoint {row.position} does not end where it says"
    return count


def files_of(folder: Path) -> list[int]:
    """Numbers of the segments' files."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.rglob("*.mp4"))

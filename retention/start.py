"""Everything that must stand before the first byte is recorded: volumes, index, recovery, accounts.

Shell, blocking; called once by ``edge``. No step waits for a disk that hangs: such a volume is left
out, and taken in later. The order is the point:

S1 the index is opened; a damaged one is set aside (never deleted) and a new one begun;
S2 the volumes are attached;
S3 index and replicas of the journal are brought level: a new index gets its ledger here;
S4 unfinished segments are finished, files without a row adopted (``retention.recover``);
S5 each camera's account is opened: a gap from its newest durable footage on.

The old footage of a lost index is adopted by ``retention.reconcile`` while recording goes on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from retention.clock import Clock
from retention.index import rows
from retention.index.errors import IndexCorrupt
from retention.index.write import IndexWriter
from retention.journal import Entry, Journal, Kind, ReadLines
from retention.keys import signing_key
from retention.ledger import Account, Ledger
from retention.model import Segment
from retention.recover import LedgerBook, counted
from retention.reindex import set_aside
from retention.replica import give_missing, read_for_levelling, take
from retention.volume_errors import VolumeError, VolumeState
from retention.volume_messages import Reconciled, Recovery
from retention.volumes import MakeHost, Slot, VolumeSet

T = TypeVar("T")
log = logging.getLogger(__name__)

#: After a lost index and a clock that was once set back, a camera's newest file need not carry its
#: highest number: numbers go on so far behind it (a week of segments).
NUMBERS_SKIPPED = 10_000


@dataclass(slots=True, kw_only=True)
class Opened:
    """The store, ready to be recorded to."""

    index: IndexWriter
    ledger: Ledger
    volumes: VolumeSet
    accounts: dict[str, Account]
    next_numbers: dict[str, int]
    recovered: dict[str, int]  # label result of nvr_recovery_fragments_total
    clock: Clock
    #: Volumes and files on them that have their tombstone: for retention.sweep, which takes them.
    leftovers: deque[tuple[str, tuple[str, ...]]] = field(default_factory=deque)

    def attach_late(self, slot: Slot) -> bool:
        """Take a volume into use that was not there at start, or whose process ended; it has no
        writer now. Waits for the disk, some seconds at most."""
        volumes, now_us = self.volumes, self.clock.utc_us()
        if not volumes.attach(slot):
            return False
        last = self.index.submit(rows.last_entry).result()
        held = _read_journal(volumes, slot, last, {})
        _give_missing(volumes, slot, self.index, held)
        _tell_volumes(self.index, self.ledger, [slot], now_us)
        found = _recover(volumes, slot, self.index, self.ledger, now_us, self.next_numbers)
        self._note(slot, found)
        return found is not None

    def _note(self, slot: Slot, found: Recovery | None) -> None:
        if found is not None and found.leftovers and slot.uuid is not None:
            self.leftovers.append((slot.uuid, found.leftovers))

    def take_up(self, paths: tuple[Path, ...], retiring: tuple[Path, ...]) -> list[Slot]:
        """Put new settings of the volumes in force; the slots that are new wait for
        :meth:`attach_late`. Raises ``IndexUnavailable``."""
        known = {Path(row.path): row.uuid for row in self.index.submit(rows.volumes).result()}
        return self.volumes.take_up(paths, retiring, known)

    def reconcile(self, slot: Slot, pause: Callable[[], bool]) -> Reconciled | None:
        """Compare all files and rows of one volume; None while it is not there. Blocks long.

        Args:
            pause: called between folders; may sleep; False ends it early.
        """
        if slot.host is None or not slot.is_attached:
            return None
        book, now_us = LedgerBook(self.index, self.ledger), self.clock.utc_us()
        try:
            found = slot.host.reconcile(self.index.path, book, now_us, self.next_numbers, pause)
            self._note(slot, found.recovery)
            return found
        except VolumeError as error:
            log.warning("volume_not_compared", extra={"error": error.sentence()})
            return None

    def finish_given_up(self, slot: Slot) -> bool:
        """Finish what a volume had in hand when it failed, as soon as it is back; False where it
        failed again. Blocks.

        Raises:
            IndexUnavailable: the index does not answer.
        """
        if slot.host is None or not slot.is_attached:
            return False
        self.index.submit(lambda _connection: None).result()  # the rows given up are committed
        book = LedgerBook(self.index, self.ledger)
        try:
            slot.host.finish_given_up(self.index.path, book, self.clock.utc_us(), self.next_numbers)
        except VolumeError as error:
            log.warning("given_up_not_finished", extra={"error": error.sentence()})
            return False
        return True

    def is_final(self, segment: Segment) -> bool:
        """Whether a file that a failing disk gave up is sealed as its row says. A disk that does
        not answer is not asked. Blocks, some seconds at most."""
        for slot in self.volumes.slots:
            if slot.uuid != segment.volume or slot.host is None or not slot.is_attached:
                continue
            if self.volumes.state_of(slot) is not VolumeState.OK:
                return False
            try:
                found = slot.host.look_at(segment.path)
            except VolumeError:
                return False
            return found is not None and (found.state, found.digest, found.size_bytes) == (
                segment.state,
                segment.digest,
                segment.size_bytes,
            )
        return False


def open_for_recording(
    index_path: Path,
    volume_paths: tuple[Path, ...],
    *,
    reserve_bytes: int,
    cameras: Sequence[str],
    boot_id: str,
    clock: Clock,
    make_host: MakeHost,
    retiring: tuple[Path, ...] = (),
    judge_time: Callable[[IndexWriter, Ledger], None] | None = None,
) -> Opened:
    """Bring the store up. A volume that does not answer is left for :meth:`Opened.attach_late`.

    Args:
        judge_time: called before the first instant of this life is told: what the host's clock is
            worth has to be told first (retention.trusted_time).

    Raises:
        IndexUnavailable: the index cannot be opened, and not because it is damaged.
        KeyUnusable: the journal's key.
    """
    while True:
        index = _open_index(index_path)
        volumes = None
        try:
            volumes = VolumeSet(
                volume_paths,
                known={Path(row.path): row.uuid for row in index.submit(rows.volumes).result()},
                reserve_bytes=reserve_bytes,
                clock=clock,
                make_host=make_host,
                retiring=retiring,
            )
            return _bring_up(index, volumes, cameras, boot_id, clock, judge_time)
        except BaseException as error:
            if volumes is not None:
                volumes.close()
            index.close()
            if not isinstance(error, IndexCorrupt):
                raise
            _set_aside(index_path, error)  # found out deeper than a first look goes


def _open_index(path: Path) -> IndexWriter:
    try:
        return IndexWriter(path)  # S1
    except IndexCorrupt as error:
        _set_aside(path, error)
        return IndexWriter(path)


def _set_aside(path: Path, error: IndexCorrupt) -> None:
    aside = set_aside(path)
    log.error("index_set_aside", extra={"error": str(error), "kept_as": str(aside)})


def _bring_up(
    index: IndexWriter,
    volumes: VolumeSet,
    cameras: Sequence[str],
    boot_id: str,
    clock: Clock,
    judge_time: Callable[[IndexWriter, Ledger], None] | None,
) -> Opened:
    last = index.submit(rows.last_entry).result()
    was_empty = last is None
    parsed: dict[bytes, Entry] = {}

    def read(slot: Slot) -> ReadLines | None:
        return _read_journal(volumes, slot, last, parsed) if volumes.attach(slot) else None

    held = _side_by_side(read, volumes.slots)  # S2
    key = signing_key(index.path.parent)
    levelled = take(index, list(held.values()), key.public_key())  # S3
    _side_by_side(
        lambda slot: _give_missing(volumes, slot, index, held.get(slot.path)), _there(volumes)
    )
    journal = Journal(key, levelled.head)
    ledger = Ledger(index, journal)
    last = index.submit(rows.last_entry).result()
    if last is None or last.key != journal.key:
        ledger.key_used(clock.utc_us())
    _tell_volumes(index, ledger, _there(volumes), clock.utc_us())
    recovery = Recovery()
    now_us = clock.utc_us()
    found = _side_by_side(
        lambda slot: _recover(volumes, slot, index, ledger, now_us, None), _there(volumes)
    )
    for one in found.values():
        recovery.add(one)  # S4
    ledger.flushed().result()
    numbers = index.submit(rows.next_numbers).result()
    if was_empty and last is not None:
        numbers = _past_what_was_lost(index, numbers)
    if judge_time is not None:
        judge_time(index, ledger)
    accounts = ledger.begin_service(cameras, boot_id, clock.utc_us())  # S5
    opened = Opened(
        index=index,
        ledger=ledger,
        volumes=volumes,
        accounts=accounts,
        next_numbers=numbers,
        recovered=counted(recovery),
        clock=clock,
    )
    for slot in volumes.slots:
        opened._note(slot, found.get(slot.path))
    return opened


def _there(volumes: VolumeSet) -> list[Slot]:
    return [slot for slot in volumes.slots if slot.is_attached]


def _side_by_side(work: Callable[[Slot], T | None], slots: Sequence[Slot]) -> dict[Path, T]:
    """What a function answers for each slot, by its path: no volume waits for another's disk."""
    if not slots:
        return {}
    with ThreadPoolExecutor(max_workers=len(slots)) as pool:
        answers = list(pool.map(work, slots))
    return {
        slot.path: answer for slot, answer in zip(slots, answers, strict=True) if answer is not None
    }


# The steps of one volume; one that fails in a way that leaves it usable does not keep it out -----


def _read_journal(
    volumes: VolumeSet, slot: Slot, last: Entry | None, parsed: dict[bytes, Entry]
) -> ReadLines | None:
    assert slot.host is not None
    try:
        return read_for_levelling(slot.host, last, parsed)
    except VolumeError as error:
        log.error("journal_unread", extra={"volume": slot.name, "error": error.sentence()})
        if not slot.host.is_usable:
            volumes.refuse(slot, error)
        return None


def _give_missing(
    volumes: VolumeSet, slot: Slot, index: IndexWriter, held: ReadLines | None
) -> None:
    if slot.host is None or not slot.is_attached or held is None:
        return
    try:
        slot.holds_seq = give_missing(index, slot.host, held.entries)
    except VolumeError as error:
        log.error("journal_behind", extra={"volume": slot.name, "error": error.sentence()})
        if not slot.host.is_usable:
            volumes.refuse(slot, error)


def _recover(
    volumes: VolumeSet,
    slot: Slot,
    index: IndexWriter,
    ledger: Ledger,
    now_us: int,
    own_numbers: Mapping[str, int] | None,
) -> Recovery | None:
    if slot.host is None or not slot.is_attached:
        return None
    try:
        return slot.host.recover(index.path, LedgerBook(index, ledger), now_us, own_numbers)
    except VolumeError as error:
        volumes.refuse(slot, error)
        return None


def _tell_volumes(index: IndexWriter, ledger: Ledger, slots: Sequence[Slot], now_us: int) -> None:
    known = {row.uuid: row.path for row in index.submit(rows.volumes).result()}
    for slot in slots:
        if slot.uuid is not None and known.get(slot.uuid) != slot.name:
            ledger.volume_attached(slot.uuid, slot.name, now_us)


def _past_what_was_lost(index: IndexWriter, numbers: Mapping[str, int]) -> dict[str, int]:
    """Numbers that no file of a lost index can carry, though only the newest were looked at."""
    starts: dict[str, int] = {}
    went_back: set[str] = set()
    for entry in index.submit(lambda one: rows.journal_entries_of(one, (Kind.RUN,))).result():
        camera, start_us = str(entry.data.get("camera")), int(entry.data.get("start_us", 0))
        if start_us < starts.get(camera, start_us):
            went_back.add(camera)
        starts[camera] = max(start_us, starts.get(camera, start_us))
    return {
        camera: number + (NUMBERS_SKIPPED if camera in went_back else 0)
        for camera, number in numbers.items()
    }

"""Everything that must stand before the first byte is recorded: volumes, index, recovery, accounts.

Shell, blocking; called once by ``edge``. The order is the point:

S1 the index is opened; a damaged one is set aside (never deleted) and a new one begun;
S2 the volumes are attached;
S3 index and replicas of the journal are brought level: a new index gets its ledger here;
S4 unfinished segments are finished, files without a row adopted (``retention.recover``);
S5 each camera's account is opened: a gap from its newest durable footage on.

The old footage of a lost index is adopted by ``retention.reconcile`` while recording goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retention.clock import Clock
from retention.index import rows
from retention.index.errors import IndexCorrupt
from retention.index.write import IndexWriter
from retention.journal import Journal, Kind
from retention.keys import signing_key
from retention.ledger import Account, Ledger
from retention.reconcile import Reconciled, attached_again, reconcile
from retention.recover import counted, recover
from retention.reindex import set_aside
from retention.replica import give_missing, level, read_replica
from retention.volume import Volume
from retention.volume_errors import VolumeError
from retention.volumes import Slot, VolumeSet

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

    def attach_late(self, slot: Slot) -> bool:
        """Take a volume into use that was not there at start; it has no writer yet. Blocks."""
        volume = self.volumes.attach(slot)
        if volume is None:
            return False
        try:
            held = read_replica(volume.path, is_newest_only=True).entries
            give_missing(self.index, volume, held)
            recover(self.index, self.ledger, [volume], self.clock.utc_us(), self.next_numbers)
        except VolumeError as error:
            log.error("late_volume_failed", extra={"error": error.sentence()})
        _tell_volumes(self.index, self.ledger, [volume], self.clock.utc_us())
        return True

    def reconcile(self, slot: Slot, pause: Callable[[], bool]) -> Reconciled | None:
        """Compare all files and rows of one volume; None while it is not there. Blocks long.

        Args:
            pause: called between folders; may sleep; False ends it early.
        """
        if slot.volume is None:
            return None
        try:
            volume = attached_again(slot.volume)
        except VolumeError as error:
            log.warning("volume_not_compared", extra={"error": error.sentence()})
            return None
        now_us = self.clock.utc_us()
        return reconcile(self.index, self.ledger, volume, now_us, self.next_numbers, pause)


def open_for_recording(
    index_path: Path,
    volume_paths: tuple[Path, ...],
    *,
    reserve_bytes: int,
    cameras: Sequence[str],
    boot_id: str,
    clock: Clock,
) -> Opened:
    """Bring the store up.

    Raises:
        IndexUnavailable: the index cannot be opened, and not because it is damaged.
        KeyUnusable: the journal's key.
    """
    while True:
        index = _open_index(index_path)
        try:
            volumes = VolumeSet(
                volume_paths,
                known={Path(row.path): row.uuid for row in index.submit(rows.volumes).result()},
                reserve_bytes=reserve_bytes,
                clock=clock,
            )
            return _bring_up(index, volumes, cameras, boot_id, clock)
        except IndexCorrupt as error:  # found out deeper than a first look goes
            index.close()
            _set_aside(index_path, error)
        except BaseException:
            index.close()
            raise


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
    index: IndexWriter, volumes: VolumeSet, cameras: Sequence[str], boot_id: str, clock: Clock
) -> Opened:
    was_empty = index.submit(rows.last_entry).result() is None
    attached = [volume for slot in volumes.slots if (volume := volumes.attach(slot)) is not None]
    key = signing_key(index.path.parent)
    levelled = level(index, attached, key.public_key())  # S3
    journal = Journal(key, levelled.head)
    ledger = Ledger(index, journal)
    last = index.submit(rows.last_entry).result()
    if last is None or last.key != journal.key:
        ledger.key_used(clock.utc_us())
    _tell_volumes(index, ledger, attached, clock.utc_us())
    recovery = recover(index, ledger, attached, clock.utc_us())  # S4
    numbers = index.submit(rows.next_numbers).result()
    if was_empty and last is not None:
        numbers = _past_what_was_lost(index, numbers)
    accounts = ledger.begin_service(cameras, boot_id, clock.utc_us())  # S5
    return Opened(
        index=index,
        ledger=ledger,
        volumes=volumes,
        accounts=accounts,
        next_numbers=numbers,
        recovered=counted(recovery),
        clock=clock,
    )


def _tell_volumes(
    index: IndexWriter, ledger: Ledger, attached: Sequence[Volume], now_us: int
) -> None:
    known = {row.uuid: row.path for row in index.submit(rows.volumes).result()}
    for volume in attached:
        if known.get(volume.uuid) != str(volume.path):
            ledger.volume_attached(volume.uuid, str(volume.path), now_us)


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

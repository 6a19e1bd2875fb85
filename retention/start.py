"""Everything that must stand before the first byte is recorded: volumes, index, recovery, accounts.

Shell, blocking; called once by ``edge``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.clock import Clock
from retention.index import rows
from retention.index.write import IndexWriter
from retention.journal import Head, Journal
from retention.ledger import Account, Ledger
from retention.volumes import Slot, VolumeSet


@dataclass(slots=True, kw_only=True)
class Opened:
    index: IndexWriter
    ledger: Ledger
    volumes: VolumeSet
    accounts: dict[str, Account]
    next_numbers: dict[str, int]
    recovered: dict[str, int]  # label result of nvr_recovery_fragments_total

    def attach_late(self, slot: Slot) -> bool:
        return self.volumes.attach(slot) is not None


def open_for_recording(
    index_path: Path,
    volume_paths: tuple[Path, ...],
    *,
    reserve_bytes: int,
    cameras: Sequence[str],
    boot_id: str,
    clock: Clock,
) -> Opened:
    index = IndexWriter(index_path)
    known = {Path(row.path): row.uuid for row in index.submit(rows.volumes).result()}
    volumes = VolumeSet(volume_paths, known=known, reserve_bytes=reserve_bytes, clock=clock)
    for slot in volumes.slots:
        volumes.attach(slot)
    journal = Journal(
        Ed25519PrivateKey.generate(), Head.of(index.submit(rows.last_entry).result())
    )
    ledger = Ledger(index, journal)
    accounts = ledger.begin_service(cameras, boot_id, clock.utc_us())
    return Opened(
        index=index,
        ledger=ledger,
        volumes=volumes,
        accounts=accounts,
        next_numbers=index.submit(rows.next_numbers).result(),
        recovered={},
    )

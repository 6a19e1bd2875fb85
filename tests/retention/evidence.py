"""A small store with a chain, tombstones, holds and gaps, for tests of evidence."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retention.chain import FIRST_LINK, link_all
from retention.checkpoints import Checkpoints
from retention.index import rows
from retention.index.read import Index
from retention.journal import Kind
from retention.keys import KEY_NAME, signing_key
from retention.model import GapCause
from retention.start import Opened
from retention.verify import Verified, verify_camera
from retention.witness import statement
from tests.retention.storing import RUN, S, Site, run_of
from tests.retention.writing import T0

SEGMENTS = 7
#: Deleted under a tombstone.
GONE = (2, 3)


def make_store(folder: Path, *, is_swept: bool = True, seconds: int = 3, key: bytes = b"") -> Site:
    """Two volumes, seven segments of so many seconds: numbers 1 to 5 in a first checkpoint, 6 in a
    second, 7 in none; 2 and 3 deleted (or only doomed); a hold, a gap, a second camera."""
    site = Site.make(folder, 2)
    if key:  # of another box
        path = site.index_path.parent / KEY_NAME
        path.write_bytes(key)
        path.chmod(0o600)
    with site.running(("gate", "hall")) as recorder:
        ledger = recorder.opened.ledger
        ledger.run_started(run_of("gate", run=RUN))
        ledger.run_started(run_of("hall", run="1" * 32))
        for number in range(1, 6):
            recorder.record(number, 3 * number, seconds, place=number % 2)
        recorder.record(1, 0, 2, camera="hall", run="1" * 32)
    site.at(20)
    with site.running(("gate", "hall"), boot="boot-2") as recorder:
        opened = recorder.opened
        checkpoints = Checkpoints(opened.index, opened.ledger)
        assert checkpoints.make(site.clock.utc_us()) == 6
        opened.ledger.gap("gate", T0 + 18 * S, T0 + 20 * S, GapCause.NETWORK, "cable")
        recorder.record(6, 20, 3)
    site.at(30)
    with site.running(("gate", "hall"), boot="boot-3") as recorder:
        opened = recorder.opened
        assert Checkpoints(opened.index, opened.ledger).make(site.clock.utc_us()) == 1
        _delete(site, opened, is_swept=is_swept)
        opened.ledger._record(
            Kind.HOLD,
            {
                "event": "added",
                "id": "h1",
                "camera": "gate",
                "from_us": T0,
                "to_us": T0 + 5 * S,
                "case": "2026-11",
                "requester": "Wang",
                "unit": "police",
                "reason": "theft",
                "expires_us": None,
                "by": "os:admin",
            },
            site.clock.utc_us(),
        )
        recorder.record(7, 30, 3, place=1)
    return site


def _delete(site: Site, opened: Opened, *, is_swept: bool) -> None:
    """As the sweeper does it: mark, tombstone, then files and rows."""
    opened.index.submit(
        lambda connection: connection.executemany(
            "INSERT INTO doomed VALUES ('gate', ?)", [(number,) for number in GONE]
        )
    ).result()
    segments = opened.index.submit(
        lambda connection: [rows.segment(connection, "gate", n) for n in range(1, max(GONE) + 1)]
    ).result()
    digests = [(one.number, one.digest) for one in segments if one is not None]
    before = link_all(FIRST_LINK, digests[: GONE[0] - 1])
    after = link_all(FIRST_LINK, digests)
    gone = [one for one in segments if one is not None and one.number in GONE]
    opened.ledger._record(
        Kind.DELETION,
        {
            "camera": "gate",
            "reason": "expired",
            "spans": [[gone[0].start_us, gone[-1].end_us]],
            "segments": len(gone),
            "bytes": sum(one.size_bytes for one in gone),
            "pieces": [[[[GONE[0], GONE[-1]]], before.hex(), after.hex()]],
        },
        site.clock.utc_us(),
    ).result()
    if not is_swept:
        return
    for path in site.files():
        if path.parts[-6] == "gate" and int(path.stem.rpartition("-")[2]) in GONE:
            path.unlink()
    opened.index.submit(
        lambda connection: connection.execute(
            "DELETE FROM segment WHERE camera = 'gate' AND number BETWEEN ? AND ?",
            (GONE[0], GONE[-1]),
        )
    ).result()
    opened.index.submit(lambda connection: connection.execute("DELETE FROM doomed")).result()


def statement_of(site: Site) -> dict[str, Any]:
    """What the witness is told now."""
    key = signing_key(site.index_path.parent)
    with Index.open_read(site.index_path) as index:
        told = index.read(lambda connection: statement(connection, "site", T0, key))
    assert told is not None
    return told


def verified(
    site: Site, camera: str = "gate", statements: Sequence[dict[str, Any]] = ()
) -> Verified:
    return verify_camera(
        site.index_path,
        site.volumes,
        camera,
        is_live=False,
        own_key=signing_key(site.index_path.parent).public_key(),
        statements=statements,
    )


def copy_of(site: Site, folder: Path) -> Site:
    shutil.rmtree(folder, ignore_errors=True)
    return site.copy(folder)

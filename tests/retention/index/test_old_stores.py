"""Stores that programs of earlier schemas wrote (old_store): opened, gone on with, and the same."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from retention.index.migrations import STEPS, migrate, schema_version
from retention.index.write import connect_for_writing
from retention.model import GapCause
from retention.read import Store
from retention.reindex import reindex
from tests.retention.evidence import verified
from tests.retention.index.old_store import CAMERAS, END_S, SEALED_S, STORES, facts, put_key
from tests.retention.storing import FakeClock, S, Site, run_of
from tests.retention.writing import T0

#: Schemas that knew checkpoints, tombstones and holds.
KEEPING = 2
MARKERS = 6


def unpacked(version: int, folder: Path) -> Site:
    archive = STORES / f"schema-{version}.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "--no-same-owner", "-C", folder], check=True)
    box = folder / "box"
    (box / "state").chmod(0o700)
    put_key(box / "state")
    return Site(box, (box / "volume0", box / "volume1"), FakeClock(T0 + 50 * S))


@pytest.mark.parametrize("version", range(1, max(7, len(STEPS))))
def test_an_earlier_programs_store_is_the_same_store(version: int, tmp_path: Path) -> None:
    site = unpacked(version, tmp_path)
    said = json.loads((tmp_path / "facts.json").read_text())
    with closing(sqlite3.connect(f"file:{site.index_path}?mode=ro", uri=True)) as index:
        assert schema_version(index) == version
    for number, second in ((10, 60), (11, 63)):  # two starts: it comes up, and comes up again
        with site.running(CAMERAS, f"boot-{number}") as recorder:
            recorder.opened.ledger.run_started(run_of("gate", second, f"{number:032x}"))
            recorder.record(number, second, 2, run=f"{number:032x}")
            site.at(second + 3)
        assert facts(site.index_path, site.volumes) == said
    with Store(site.index_path, site.volumes) as store:
        line = store.timeline("gate", T0, T0 + 65 * S, T0 + 66 * S)
        assert (line.from_us, line.to_us) == (T0, T0 + 65 * S)
        assert store.locate("gate", T0 + END_S * S - 1) is not None  # was in hand: adopted
        lost = [one.cause for one in line.gaps if one.start_us == T0 + END_S * S]
        assert lost == [GapCause.POWER_LOST]
        assert [one.id for one in store.holds()] == (["h1"] if version >= KEEPING else [])
        assert len(store.markers("gate", T0, T0 + SEALED_S * S)) == 2 * (version >= MARKERS)
    for camera in CAMERAS:
        result = verified(site, camera)
        assert result.differences == []
        assert result.segments == (9 if version < KEEPING else 7) + 2 if camera == "gate" else 1
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


@pytest.mark.parametrize("version", range(1, max(7, len(STEPS))))
def test_steps_that_were_taken_are_not_changed_any_more(version: int, tmp_path: Path) -> None:
    """A step that says another thing than it once did leaves boxes that differ from new ones."""
    site = unpacked(version, tmp_path)
    connect_for_writing(site.index_path).close()
    statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    with (
        closing(sqlite3.connect(site.index_path)) as migrated,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh,
    ):
        migrate(fresh)
        assert migrated.execute(statement).fetchall() == fresh.execute(statement).fetchall()


def test_gaps_that_a_damaged_journal_cannot_tell_again_stay(tmp_path: Path) -> None:
    site = unpacked(4, tmp_path)
    with closing(sqlite3.connect(site.index_path)) as index:
        before = index.execute("SELECT * FROM gap").fetchall()
        index.execute("UPDATE journal SET line = replace(line, 'cable', 'chair') WHERE seq > 3")
        index.commit()
    connect_for_writing(site.index_path).close()
    with closing(sqlite3.connect(site.index_path)) as index:
        assert index.execute("SELECT * FROM gap").fetchall() == before

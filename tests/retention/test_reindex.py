"""An index from the volumes alone is the one that was lost; every difference is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retention.model import GapCause, Marker, MarkerKind
from retention.reindex import reindex, set_aside
from retention.volume_errors import VolumeUnavailable
from tests.retention.indexing import dump
from tests.retention.storing import S, Site, run_of
from tests.retention.sweeping import Sweeper, files_of, record_hours
from tests.retention.writing import T0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path, 2)
    with site.running(["gate", "yard"]) as recorder:
        ledger = recorder.opened.ledger
        ledger.run_started(run_of("gate"))
        ledger.run_started(run_of("yard", run="c" * 32))
        recorder.record(1, 0, 5)
        recorder.record(1, 0, 5, camera="yard", run="c" * 32, place=1)
        ledger.gap("gate", T0 + 5 * S, T0 + 9 * S, GapCause.NETWORK, "timed out")
        recorder.record(2, 9, 5)
        markers = [
            Marker(at_us=T0 + n * S, camera="gate", kind=kind) for n, kind in enumerate(MarkerKind)
        ]
        ledger.markers_seen(markers, T0 + 20 * S)
        site.at(20)
    return site


def dumped(path: Path) -> dict[str, list[object]]:
    connection = sqlite3.connect(path)
    found = dump(connection)
    connection.close()
    return found


def test_rebuilt_from_the_volumes_alone_it_equals_the_original(site: Site) -> None:
    """The whole dump, after the original, its folder and all that stood in it are gone."""
    original = dumped(site.index_path)
    for path in site.index_path.parent.iterdir():
        path.unlink()
    rebuilt = reindex(site.index_path, site.volumes, dry_run=False)
    assert rebuilt.segments == 3
    assert dumped(site.index_path) == original
    assert len(rebuilt.differences) > 3  # there was nothing to agree with


def test_without_differences_nothing_is_told_and_the_old_one_is_kept(site: Site) -> None:
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    assert not site.index_path.with_name("index.db.old-1").exists()
    assert reindex(site.index_path, site.volumes, dry_run=False).differences == []
    assert site.index_path.with_name("index.db.old-1").exists()
    with site.running(["gate", "yard"]):
        pass


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("DELETE FROM segment WHERE number = 2", "segment"),
        ("UPDATE segment SET end_us = end_us + 1 WHERE number = 2", "segment"),
        ("UPDATE segment SET digest = zeroblob(32) WHERE number = 2", "segment"),
        ("UPDATE segment SET number = 7 WHERE number = 2", "segment"),
        ("DELETE FROM gap", "gap"),
        ("UPDATE gap SET cause = 'unknown'", "gap"),
        ("DELETE FROM marker WHERE kind = 'face'", "marker"),
        ("UPDATE marker SET at_us = 5 WHERE kind = 'face'", "marker"),
        ("DELETE FROM run WHERE camera = 'yard'", "run"),
        ("UPDATE camera SET commissioned_us = 5", "camera"),
        ("DELETE FROM journal WHERE seq = 4", "journal"),
    ],
)
def test_every_difference_is_told_and_mended(site: Site, statement: str, table: str) -> None:
    original = dumped(site.index_path)
    connection = sqlite3.connect(site.index_path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    found = reindex(site.index_path, site.volumes, dry_run=True).differences
    assert {difference.table for difference in found} == {table}
    assert all(str(difference) and difference.as_json()["key"] for difference in found)
    reindex(site.index_path, site.volumes, dry_run=False)
    assert dumped(site.index_path) == original


def test_a_missing_volume_rebuilds_nothing(site: Site) -> None:
    before = site.index_path.read_bytes()
    site.volumes[1].rename(site.folder / "away")
    with pytest.raises(VolumeUnavailable):
        reindex(site.index_path, site.volumes, dry_run=False)
    assert site.index_path.read_bytes() == before


def change(volume: Path, old: bytes, new: bytes) -> None:
    (path,) = (volume / "journal").iterdir()
    path.write_bytes(path.read_bytes().replace(old, new))


def test_a_line_that_was_changed_on_one_volume_is_told_and_not_believed(site: Site) -> None:
    original = dumped(site.index_path)
    change(site.volumes[0], b"network", b"unknown")
    found = reindex(site.index_path, site.volumes, dry_run=False).differences
    assert [difference.table for difference in found] == ["journal"]
    assert "not signed" in str(found[0])
    assert dumped(site.index_path) == original


def test_a_line_that_was_changed_on_every_volume_is_told(site: Site) -> None:
    for volume in site.volumes:
        change(volume, b"network", b"unknown")
    found = reindex(site.index_path, site.volumes, dry_run=True).differences
    assert "not signed" in str(found[0])
    assert "gap" in {difference.table for difference in found}


def test_beside_a_living_edge_only_what_stood_before_counts(site: Site) -> None:
    site.at(30)
    with site.running(["gate", "yard"]) as recorder:
        recorder.record(3, 30, 5, is_sealed=False)
        recorder.opened.ledger.gap("yard", T0 + 5 * S, T0 + 30 * S, GapCause.NETWORK)
        found = reindex(site.index_path, site.volumes, dry_run=True, is_live=True)
        assert found.differences == []
        recorder.opened.ledger.gap("yard", T0 + 50 * S, T0 + 60 * S, GapCause.NETWORK)
        recorder.opened.ledger.flushed().result()


def test_a_set_aside_index_takes_its_log_along(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"index.db{suffix}").touch()
    assert set_aside(tmp_path / "index.db").name == "index.db.old-1"
    (tmp_path / "index.db").touch()
    assert set_aside(tmp_path / "index.db").name == "index.db.old-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.db.old-1",
        "index.db.old-1-shm",
        "index.db.old-1-wal",
        "index.db.old-2",
    ]


def test_a_deletion_under_way_is_no_difference(
    tmp_path: Path,
) -> None:
    """Six of the files are gone, one is still there; all seven have their tombstone."""
    site = Site.make(tmp_path)
    with site.running(is_clean=False) as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder, is_idle=True)
        sweeper.turn(9_700)
        assert sweeper.buried_numbers() == [1, 2, 3, 4, 5, 6, 7]
    for path in site.files()[:6]:
        path.unlink()
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    site.files()[-1].unlink()  # and one that nobody said anything of
    [difference] = reindex(site.index_path, site.volumes, dry_run=False).differences
    assert difference.key == "gate 10"
    with closing(sqlite3.connect(site.index_path)) as rebuilt:
        assert rebuilt.execute("SELECT number FROM segment").fetchall() == [(8,), (9,)]
    assert files_of(tmp_path) == [7, 8, 9]

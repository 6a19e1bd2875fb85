"""The schema: what it refuses, and that old files come up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retention.index import migrations
from retention.index.errors import IndexUnavailable
from retention.index.migrations import APPLICATION_ID, STEPS, migrate, schema_version
from retention.index.read import Index
from retention.index.write import connect_for_writing
from retention.model import GapCause
from retention.read import Store
from retention.reindex import reindex
from tests.retention.history import whole_dump
from tests.retention.storing import S, Site, run_of
from tests.retention.writing import T0


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def test_migrating_twice_changes_nothing(connection: sqlite3.Connection) -> None:
    before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    migrate(connection)
    assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
    assert schema_version(connection) == len(STEPS)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO gap VALUES ('a', 10, 10, 'network', '', 0, 0)",
        "INSERT INTO gap VALUES ('a', 10, 20, 'aliens', '', 0, 0)",
        "INSERT INTO gap VALUES ('a', 'ten', 20, 'network', '', 0, 0)",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'open', 1, 'rotated', x'', x'', 0)",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'sealed', 1, NULL, x'', x'', 0)",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 3, 2, 'open', 1, NULL, x'', x'', 0)",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'open', 1, NULL, x'00', x'', 0)",
        "INSERT INTO run VALUES ('r', 'a', 1, 'perhaps', '{}', NULL, 0)",
    ],
)
def test_what_cannot_be_is_refused(connection: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


#: What a column said before the third step.
_OLDER_WORDS = {"clock": "CASE clock WHEN 'trusted' THEN 'synchronized' ELSE 'unsynchronized' END"}


def make_older(index_path: Path, version: int) -> None:
    """Replace an index by what a program of an earlier schema would have made of the same facts."""
    newer = index_path.with_name("newer.db")
    index_path.rename(newer)
    with closing(sqlite3.connect(index_path, isolation_level=None)) as old:
        for step in STEPS[:version]:
            old.executescript(step)
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        old.execute("ATTACH ? AS newer", (str(newer),))
        tables = old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table == "stored":
                continue  # by triggers
            columns = [row[1] for row in old.execute(f"PRAGMA main.table_info({table})")]
            words = _OLDER_WORDS if version < 3 else {}
            values = ", ".join(words.get(column, column) for column in columns)
            old.execute(
                f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {values}"
                f" FROM newer.{table}"
            )
    newer.unlink()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two lives, the second one ended by a power cut; nothing in it that schema 1 did not know."""
    site = Site.make(tmp_path / "one", 2)
    with site.running(["gate", "yard"]) as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        for number in range(1, 6):
            recorder.record(number, number * 10, 9, place=number % 2)
        recorder.opened.ledger.gap("yard", T0 + 3 * S, T0 + 20 * S, GapCause.CAMERA_AUTH, "401")
        site.at(70)
    site.at(100)
    with site.running(["gate", "yard"], is_clean=False) as recorder:
        recorder.record(6, 110, 9)
        site.at(130)
    return site


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_an_older_index_opens_and_equals_a_rebuilt_one(site: Site, version: int) -> None:
    before = whole_dump(site.index_path)
    make_older(site.index_path, version)
    with closing(sqlite3.connect(site.index_path)) as older:
        assert schema_version(older) == version
    connect_for_writing(site.index_path).close()
    assert whole_dump(site.index_path) == before
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    site.at(200)
    with site.running(["gate", "yard"], "boot-2") as recorder:  # and recording goes on
        recorder.record(7, 210, 5)
        site.at(220)
    with closing(sqlite3.connect(site.index_path)) as migrated:
        assert migrated.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert schema_version(migrated) == len(STEPS)
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    after = whole_dump(site.index_path)
    site.index_path.unlink()
    reindex(site.index_path, site.volumes, dry_run=False)
    assert whole_dump(site.index_path) == after


def test_a_migrated_schema_is_the_fresh_one(connection: sqlite3.Connection, site: Site) -> None:
    make_older(site.index_path, 1)
    connect_for_writing(site.index_path).close()
    statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    with closing(sqlite3.connect(site.index_path)) as migrated:
        assert migrated.execute(statement).fetchall() == connection.execute(statement).fetchall()


def test_a_reader_of_an_older_index_is_told_so(site: Site) -> None:
    """Never "no recordings", and never half an answer."""
    make_older(site.index_path, 1)
    with pytest.raises(IndexUnavailable, match="schema 1") as told:
        Index.open_read(site.index_path)
    assert "edge" in told.value.hint
    connect_for_writing(site.index_path).close()
    with Store(site.index_path, site.volumes) as store:
        assert store.locate("gate", T0 + 30 * S) is not None


def test_a_step_that_fails_leaves_the_index_as_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of it, a kill: the next start takes the step again."""
    before = whole_dump(site.index_path)
    half = f"{STEPS[1]}\nINSERT INTO gap VALUES ('a', 10, 10, 'network', '');"
    make_older(site.index_path, 1)
    monkeypatch.setattr(migrations, "STEPS", (STEPS[0], half))
    with pytest.raises(IndexUnavailable):
        connect_for_writing(site.index_path)
    assert set(whole_dump(site.index_path)) < set(before)
    monkeypatch.undo()
    connect_for_writing(site.index_path).close()
    assert whole_dump(site.index_path) == before

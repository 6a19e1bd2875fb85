"""The schema: what it refuses, and that old files come up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from retention.index.migrations import STEPS, migrate, schema_version


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
        "INSERT INTO gap VALUES ('a', 10, 10, 'network', '')",
        "INSERT INTO gap VALUES ('a', 10, 20, 'aliens', '')",
        "INSERT INTO gap VALUES ('a', 'ten', 20, 'network', '')",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'open', 1, 'rotated', x'', x'')",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'sealed', 1, NULL, x'', x'')",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 3, 2, 'open', 1, NULL, x'', x'')",
        "INSERT INTO segment VALUES ('a', 1, 'r', 'v', 1, 2, 'open', 1, NULL, x'00', x'')",
        "INSERT INTO run VALUES ('r', 'a', 1, 'perhaps', '{}')",
    ],
)
def test_what_cannot_be_is_refused(connection: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)

"""A reader is answered, or told that the index is unavailable; never "empty" for the latter."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from retention.index import read, rows
from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.index.read import Index
from retention.index.write import IndexWriter
from tests.retention.indexing import T0, segment_of


def newest(index: Index) -> int | None:
    return index.read(lambda connection: rows.newest_us(connection, "gate"))


def test_no_index_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable):
        Index.open_read(tmp_path / "index.db")
    assert not (tmp_path / "index.db").exists()


def test_an_empty_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "index.db").touch()
    with pytest.raises(IndexUnavailable):
        Index.open_read(tmp_path / "index.db")


def test_garbage_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"\x00garbage" * 1000)
    with pytest.raises(IndexCorrupt):
        Index.open_read(tmp_path / "index.db")


def test_a_reader_sees_what_was_committed_last(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "index.db") as writer, Index.open_read(writer.path) as index:
        assert newest(index) is None
        writer.segment_sealed(segment_of(1, T0, T0 + 5)).result()
        assert newest(index) == T0 + 5


def test_a_reader_survives_a_clean_end_and_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with IndexWriter(path) as writer:
        writer.segment_sealed(segment_of(1, T0, T0 + 5)).result()
        index = Index.open_read(path)
    assert newest(index) == T0 + 5
    with IndexWriter(path) as writer:
        writer.segment_sealed(segment_of(2, T0 + 5, T0 + 9)).result()
        assert newest(index) == T0 + 9
    index.close()


def test_a_reader_notices_a_replaced_index(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    IndexWriter(path).close()
    with Index.open_read(path) as index:
        os.rename(path, tmp_path / "old.db")
        with IndexWriter(path) as writer:
            writer.segment_sealed(segment_of(1, T0, T0 + 5)).result()
            assert newest(index) == T0 + 5


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    IndexWriter(tmp_path / "index.db").close()
    with Index.open_read(tmp_path / "index.db") as index, pytest.raises(IndexUnavailable):
        index.read(lambda connection: connection.execute("DELETE FROM segment"))


_OTHER_USER = """
import os, sys
from contextlib import closing
from pathlib import Path
from retention.index import read, rows
from retention.index.read import Index
os.setgid(65534); os.setuid(65534)  # after the imports, which may lie in a folder of root's
index = Index(Path(sys.argv[1]))
for line in sys.stdin:
    try:
        print(index.read(lambda connection: rows.newest_us(connection, "gate")), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.root
@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_reads_while_edge_lives_and_after_its_clean_end(tmp_path: Path) -> None:
    folder = tmp_path
    while folder != folder.parent and folder.stat().st_mode & 0o005 != 0o005:
        folder.chmod(0o755)
        folder = folder.parent
    path = tmp_path / "index.db"
    umask = os.umask(0o022)
    reader = subprocess.Popen(
        [sys.executable, "-c", _OTHER_USER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None

    def answer() -> str:
        assert reader.stdin is not None
        assert reader.stdout is not None
        print(file=reader.stdin, flush=True)
        return reader.stdout.readline().strip()

    try:
        assert answer() == "IndexUnavailable"
        for turn in (1, 2):
            with IndexWriter(path) as writer:
                path.chmod(0o644)
                end_us = T0 + turn * 10
                writer.segment_sealed(segment_of(turn, T0, end_us)).result()
                for beside in ("-wal", "-shm"):
                    Path(f"{path}{beside}").chmod(0o644)
                assert answer() == str(end_us), "while edge lives"
            assert answer() == str(end_us), "after its clean end"
    finally:
        os.umask(umask)
        reader.stdin.close()
        reader.wait(10)
        reader.stdout.close()


def test_an_index_that_is_locked_is_not_taken_for_one_that_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while edge starts: the log is empty still, and the file about to change."""
    path = tmp_path / "index.db"
    IndexWriter(path).close()
    monkeypatch.setattr(read, "BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(IndexUnavailable):
            Index.open_read(path)


@pytest.mark.parametrize("error", [None, ValueError("torn"), sqlite3.DatabaseError("malformed")])
def test_what_was_read_of_a_file_that_changed_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """A reader without a right to the folder opened it while nobody wrote."""
    path = tmp_path / "index.db"
    with IndexWriter(path) as writer:
        writer.segment_sealed(segment_of(1, T0, T0 + 5)).result()
    monkeypatch.setattr(read, "_connect", lambda path: (read._open(path, immutable=True), True))
    with Index.open_read(path) as index:
        monkeypatch.undo()
        asked = 0

        def query(connection: sqlite3.Connection) -> int | None:
            nonlocal asked
            asked += 1
            found = rows.newest_us(connection, "gate")
            if asked == 1:
                with IndexWriter(path) as writer:
                    writer.segment_sealed(segment_of(2, T0 + 5, T0 + 9)).result()
                if error is not None:
                    raise error
            return found

        assert index.read(query) == T0 + 9
        assert asked == 2

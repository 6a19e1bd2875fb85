"""Read-only connections to the index. Shell.

A reader gets one of three answers: rows, no rows, or :class:`IndexUnavailable`, and never the
second for the third. While ``edge`` lives its write-ahead log lies beside the index and any user
who may read both may read. After a clean end there is no log; a user who may not write into the
folder then opens the file as immutable, and looks before each query whether a log has come back.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.index.migrations import STEPS, schema_version

T = TypeVar("T")

BUSY_TIMEOUT_S = 2.0


class Index:
    """One thread's read-only view. Survives that the index is replaced or that ``edge`` restarts.

    Each :meth:`read` is one consistent snapshot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._is_immutable = False
        self._identity: tuple[int, int, int] | None = None

    @classmethod
    def open_read(cls, path: Path) -> Self:
        """Open and try an index.

        Raises:
            IndexUnavailable: there is none, or it may not or cannot be read now.
            IndexCorrupt: it is damaged.
        """
        index = cls(path)
        index.read(lambda connection: connection.execute("SELECT 1 FROM meta").fetchone())
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run queries in one read transaction.

        Raises:
            IndexUnavailable, IndexCorrupt: as :meth:`open_read`.
        """
        try:
            while True:
                try:
                    answer = self._answer(query)
                except (sqlite3.Error, LookupError, TypeError, ValueError):
                    if not self._has_changed():
                        raise
                else:
                    if not self._has_changed():
                        return answer
                self.close()  # edge began to write meanwhile: that was no snapshot
        except sqlite3.Error as error:
            self.close()
            raise _explained(self.path, error) from error

    def _has_changed(self) -> bool:
        if self._connection is None or not self._is_immutable:
            return False
        return _has_log(self.path) or _identity(self.path) != self._identity

    def _answer(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._current()
        connection.execute("BEGIN")
        try:
            return query(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """May be called again; the next read opens anew."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current(self) -> sqlite3.Connection:
        identity = _identity(self.path)
        is_stale = (
            identity != self._identity
            if self._is_immutable
            else (self._identity is None or identity[:2] != self._identity[:2])
        )
        if self._connection is not None and (
            is_stale or (self._is_immutable and _has_log(self.path))
        ):
            self.close()
        if self._connection is None:
            self._connection, self._is_immutable = _connect(self.path)
            self._identity = identity
        return self._connection


def _connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    try:
        return _open(path, immutable=False), False
    except sqlite3.OperationalError as error:
        # No log, and no right to make one: whoever wrote is gone, so the file does not change.
        # One that is locked is about to change.
        if _has_log(path) or _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
    return _open(path, immutable=True), True


def _open(path: Path, *, immutable: bool) -> sqlite3.Connection:
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = 1")
        version = schema_version(connection)
        if version == 0:
            raise IndexUnavailable(
                f"the index {path} holds nothing yet", hint="was 'xueliang run edge' ever started?"
            )
        if version < len(STEPS):
            raise IndexUnavailable(
                f"the index {path} is of schema {version}, this program reads {len(STEPS)}",
                hint="start edge once, which brings it up to date",
            )
        connection.execute("SELECT 1 FROM segment LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _has_log(path: Path) -> bool:
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise IndexUnavailable(
            f"the index {path} cannot be read: {error.strerror}",
            hint="was 'xueliang run edge' ever started here, and may this user read it?",
        ) from error
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _explained(path: Path, error: sqlite3.Error) -> IndexUnavailable:
    if _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IndexCorrupt(f"the index {path} is damaged: {error}")
    return IndexUnavailable(
        f"the index {path} does not answer: {error}",
        hint="it can be read while edge runs, by its user, or after edge has ended cleanly",
    )

"""Random changes of everything that proves footage: every single one must be found.

What counts as one mutation, drawn at random:

- ``segment``: of one sealed segment file one byte gets another value, anywhere (head, fragments,
  trailer); or a byte is taken out or put in; or the file is cut, removed, doubled under another
  number, or swapped with another segment's;
- ``row``: one cell of a row of ``segment`` gets another value of its type (NULL where it may), or
  the row is removed;
- ``checkpoint``: the same, of ``checkpoint``, ``tombstone``, ``hold``, ``gap``, ``run``,
  ``camera``, ``volume``, ``journal`` and ``meta`` but for ``alive_us``, which says nothing of
  footage;
- ``journal``: one byte of a volume's replica gets another value, line feeds included, or a line is
  taken out that is not the last one (a replica may lack the newest lines until the next start);
- ``manifest``: one byte of an export's ``manifest.json`` gets another value, is taken out or put
  in, or it is cut;
- ``media``: the same, of an exported MP4 file.

Store and export are verified after each one, and mended again. 100,000 of them in ``make faults``,
some hundreds in CI.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retention.export_verifier import MANIFEST, verify_export
from retention.keys import signing_key
from retention.verify import verify_camera
from tests.retention.evidence import make_store
from tests.retention.storing import Site
from tests.retention.test_export import exported

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
MUTATIONS = 100_000 if IS_FULL else 600
WORKERS = 2 if IS_FULL else 1
#: CI draws the same ones each time, ``make faults`` others: what it finds is told with its seed.
SEED = random.SystemRandom().randrange(1 << 32) if IS_FULL else 20_261_125

SHARES = {"segment": 40, "row": 20, "checkpoint": 15, "journal": 10, "manifest": 10, "media": 5}
LEDGER = (
    "checkpoint",
    "tombstone",
    "hold",
    "gap",
    "run",
    "camera",
    "volume",
    "journal",
    "meta",
)

Undo = Callable[[], None]


class Drill:
    """A small store and an export of it, changed and mended again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._site = make_store(folder / "box")
        self._out = folder / "out"
        exported(self._site, self._out, 0, 40)
        self._index = sqlite3.connect(self._site.index_path, isolation_level=None)
        self._index.execute("PRAGMA synchronous = OFF")
        self._index.execute("PRAGMA ignore_check_constraints = ON")
        self._key = signing_key(self._site.index_path.parent).public_key()
        self._files = self._site.files()
        self.counts: Counter[str] = Counter()
        self.escaped: list[str] = []

    def run(self, count: int) -> None:
        kinds = self._random.choices(list(SHARES), list(SHARES.values()), k=count)
        for kind in kinds:
            what, undo = getattr(self, f"_{kind}")()
            if not self._is_found(kind, what):
                self.escaped.append(f"{kind}: {what}")
            undo()
            self.counts[kind] += 1
        assert self._is_sound(), "a mutation was not mended"

    def close(self) -> None:
        self._index.close()

    def _is_sound(self) -> bool:
        return not (
            self._differences("gate")
            or self._differences("hall")
            or verify_export(self._out).differences
        )

    def _is_found(self, kind: str, what: str) -> bool:
        if kind in ("manifest", "media"):
            return bool(verify_export(self._out).differences)
        if "hall" in what:
            return bool(self._differences("hall"))
        return bool(self._differences("gate"))

    def _differences(self, camera: str) -> list[Any]:
        return verify_camera(
            self._site.index_path,
            self._site.volumes,
            camera,
            is_live=False,
            own_key=self._key,
        ).differences

    # Files -------------------------------------------------------------------------------------

    def _segment(self) -> tuple[str, Undo]:
        path = self._random.choice(self._files)
        if self._random.random() < 0.97:
            return self._change_bytes(path)
        other = self._random.choice([one for one in self._files if one != path])
        content, strange = path.read_bytes(), other.read_bytes()
        kind = self._random.choice(["remove", "double", "swap"])
        if kind == "double":
            number = int(path.stem.rpartition("-")[2])
            double = path.with_name(path.name.replace(f"-{number}.mp4", f"-{number + 50}.mp4"))
            double.write_bytes(content)
            return f"{kind} {path}", double.unlink
        if kind == "remove":
            path.unlink()
        else:
            path.write_bytes(strange)
            other.write_bytes(content)

        def undo() -> None:
            path.write_bytes(content)
            other.write_bytes(strange)

        return f"{kind} {path}", undo

    def _manifest(self) -> tuple[str, Undo]:
        return self._change_bytes(self._out / MANIFEST)

    def _media(self) -> tuple[str, Undo]:
        return self._change_bytes(self._random.choice(sorted(self._out.glob("*.mp4"))))

    def _journal(self) -> tuple[str, Undo]:
        volume = self._random.choice(self._site.volumes)
        path = self._random.choice(sorted((volume / "journal").iterdir()))
        if self._random.random() < 0.95:
            return self._change_bytes(path, may_move=False)
        content = path.read_bytes()
        lines = content.splitlines(keepends=True)
        at = self._random.randrange(len(lines) - 1)
        path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
        return f"{path} without line {at + 1}", lambda: _write(path, content)

    def _change_bytes(self, path: Path, *, may_move: bool = True) -> tuple[str, Undo]:
        content = path.read_bytes()
        at = self._random.randrange(len(content))
        kind = self._random.choices(["change", "take out", "put in", "cut"], [94, 2, 2, 2])[0]
        if kind == "change" or not may_move:
            kind = "change"
            changed = content[at] ^ self._random.randrange(1, 256)
            mutated = content[:at] + bytes([changed]) + content[at + 1 :]
        elif kind == "take out":
            mutated = content[:at] + content[at + 1 :]
        elif kind == "put in":
            mutated = content[:at] + self._random.randbytes(1) + content[at:]
        else:
            mutated = content[:at]
        path.write_bytes(mutated)
        return f"{kind} byte {at} of {path}", lambda: _write(path, content)

    # Rows --------------------------------------------------------------------------------------

    def _row(self) -> tuple[str, Undo]:
        return self._change_row("segment")

    def _checkpoint(self) -> tuple[str, Undo]:
        return self._change_row(self._random.choice(LEDGER))

    def _change_row(self, table: str) -> tuple[str, Undo]:
        columns = self._index.execute(f"PRAGMA table_info({table})").fetchall()
        where = "WHERE key <> 'alive_us'" if table == "meta" else ""
        row = self._random.choice(self._index.execute(f"SELECT * FROM {table} {where}").fetchall())
        keys = [column[1] for column in columns if column[5]]
        places = {column[1]: column[0] for column in columns}
        key = tuple(row[places[name]] for name in keys)
        match = " AND ".join(f"{name} = ?" for name in keys)
        marks = ", ".join("?" * len(row))

        def put_back() -> None:
            self._index.execute(f"INSERT INTO {table} VALUES ({marks})", row)

        if self._random.random() < 0.02:
            self._index.execute(f"DELETE FROM {table} WHERE {match}", key)
            return f"row {table} {key} removed", put_back
        while True:
            column = self._random.choice(columns)
            name, is_needed = column[1], bool(column[3])
            value = self._other(row[column[0]], column[2], may_be_null=not is_needed)
            try:
                self._index.execute(f"UPDATE {table} SET {name} = ? WHERE {match}", (value, *key))
                break
            except sqlite3.IntegrityError:
                continue  # another row has that key, or NULL is refused
        changed_key = tuple(value if one == name else row[places[one]] for one in keys)

        def undo() -> None:
            self._index.execute(f"DELETE FROM {table} WHERE {match}", changed_key)
            put_back()

        return f"row {table} {key}: {name} = {value!r:.80}", undo

    def _other(self, value: Any, kind: str, *, may_be_null: bool) -> Any:
        """Another value of the column's type."""
        if value is not None and may_be_null and self._random.random() < 0.1:
            return None
        if kind == "INTEGER":
            old = 0 if value is None else value
            new = old + self._random.choice([-1, 1, 1000, -1000, 1 << 40])
            return new if self._random.random() < 0.5 else old ^ 1 << self._random.randrange(48)
        if kind == "BLOB":
            return _mutated(self._random, value, bytes([self._random.randrange(256)]))
        letter = self._random.choice('0123456789abcdefghijklmnopqrstuvwxyz :,"[]{}-')
        return _mutated(self._random, "" if value is None else value, letter)


def _mutated(chance: random.Random, value: Any, piece: Any) -> Any:
    """Text or bytes with one piece changed, put in or taken out."""
    while True:
        at = chance.randrange(len(value) + 1)
        kind = chance.choice(["change", "put in", "take out"])
        rest = value[at:] if kind == "put in" else value[at + 1 :]
        found = value[:at] + (value[:0] if kind == "take out" else piece) + rest
        if found != value:
            return found
        piece = piece[:0] + (b"\x07" if isinstance(piece, bytes) else "~")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _drill(folder: Path, seed: int, count: int) -> tuple[Counter[str], list[str]]:
    drill = Drill(folder, seed)
    try:
        drill.run(count)
    finally:
        drill.close()
    return drill.counts, drill.escaped


@contextmanager
def _told(count: int) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    print(f"{count} mutations in {time.monotonic() - began_s:.0f} s")


@pytest.mark.timeout(4 * 3600 if IS_FULL else 180)
def test_every_random_mutation_is_found(tmp_path: Path) -> None:
    share = MUTATIONS // WORKERS
    folders = [tmp_path / str(worker) for worker in range(WORKERS)]
    for folder in folders:
        folder.mkdir()
    print(f"seed {SEED}")
    with _told(MUTATIONS):
        if WORKERS == 1:
            results = [_drill(folders[0], SEED, share)]
        else:
            with ProcessPoolExecutor(WORKERS) as pool:
                seeds = range(SEED, SEED + WORKERS)
                results = list(pool.map(_drill, folders, seeds, [share] * WORKERS))
    counts: Counter[str] = Counter()
    escaped: list[str] = []
    for found, missed in results:
        counts += found
        escaped += missed
    print(dict(counts))
    assert escaped == [], f"seed {SEED}"
    assert sum(counts.values()) == MUTATIONS
    assert set(counts) == set(SHARES)


def test_a_store_as_drilled_is_sound(tmp_path: Path) -> None:
    """Else everything would be found."""
    site: Site = make_store(tmp_path / "box")
    exported(site, tmp_path / "out", 0, 40)
    assert verify_export(tmp_path / "out").differences == []
    found = [
        verify_camera(site.index_path, site.volumes, camera, is_live=False).differences
        for camera in ("gate", "hall")
    ]
    assert found == [[], []]

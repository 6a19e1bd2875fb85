"""Holding a camera's footage against index, chain, checkpoints, tombstones and journal. Shell.

Blocking, read-only, beside a living ``edge`` too. The journal is the only thing believed, as far as
it is signed: the ledger is rebuilt from it in a temporary database, the index's rows are compared
with that, the chain is walked along its checkpoints with the rows' digests, and every byte of every
segment is read and compared with its row. What only a witness outside can tell: whether somebody
who holds the box's key has signed another past.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from retention.chain import NumberRange, holes_of, is_in, merged, ranges_of
from retention.chain_walk import ChainedSegments, DeletedPiece, Walk, walk
from retention.digest import DIGEST_BYTES
from retention.export_verifier import is_statement
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.migrations import migrate
from retention.index.read import Index
from retention.journal import (
    Entry,
    Head,
    JournalDamaged,
    Kind,
    authentic,
    fingerprint,
    parse_line,
    public_key_of,
    verify,
)
from retention.layout import hour_folder, parse_segment_path
from retention.model import Segment, SegmentState
from retention.reindex import LEDGER_TABLES, ledger_rows
from retention.replica_files import parts_of
from retention.segment_files import check_file, hour_folders
from retention.stamp import read_stamp
from retention.volume_errors import VolumeUnavailable

log = logging.getLogger(__name__)

_BATCH_LINES = 1000
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing, and what is the matter with it."""

    thing: str
    what: str

    def __str__(self) -> str:
        return f"{self.thing}: {self.what}"


@dataclass(slots=True, kw_only=True)
class Verified:
    """What was looked at, and what did not agree."""

    camera: str
    head: Head = field(default_factory=Head)
    keys: list[str] = field(default_factory=list)  # fingerprints, in order of use
    segments: int = 0  # files read to the last byte
    size_bytes: int = 0
    chained: int = 0  # segments passed on the walk along the chain
    deleted: int = 0  # of the chain, under a tombstone
    witnessed: int = 0  # the newest entry of the journal that a witness knew, as it is now
    #: Of the segments in the window, the numbers that no checkpoint covers (yet).
    unchained: tuple[NumberRange, ...] = ()
    differences: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)  # no fault, but worth knowing

    def differ(self, thing: str, what: str) -> None:
        self.differences.append(Finding(thing=thing, what=what))

    def note(self, thing: str, what: str) -> None:
        self.notes.append(Finding(thing=thing, what=what))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which footage is read; chain and ledger are looked at as a whole."""

    from_us: int = 0
    to_us: int = 1 << 62

    def holds(self, segment: Segment) -> bool:
        return segment.start_us < self.to_us and segment.end_us > self.from_us


@dataclass(slots=True, kw_only=True)
class _Snapshot:
    """What the index said at one instant."""

    lines: dict[bytes, int] = field(default_factory=dict)  # SHA-256 of each line: its number
    keys: list[Ed25519PublicKey] = field(default_factory=list)
    digests: dict[int, bytes] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)  # of the rows whose footage is to be read
    going: set[int] = field(default_factory=set)  # doomed under a tombstone
    links: dict[int, str] = field(default_factory=dict)  # by the position that they end at
    #: Numbers that tombstones of the journal tell of, merged.
    buried: tuple[NumberRange, ...] = ()
    #: What re-timing added to each run of the camera, as the journal has it.
    offsets: dict[str, int] = field(default_factory=dict)
    newest: int = 0


def verify_camera(
    index_path: Path,
    volumes: Sequence[Path],
    camera: str,
    window: Window | None = None,
    *,
    is_live: bool,
    own_key: Ed25519PublicKey | None = None,
    statements: Sequence[Any] = (),
) -> Verified:
    """Compare everything that is known of a camera.

    Args:
        volumes: the configured roots.
        is_live: ``edge`` runs: what is younger than the comparison is left out.
        own_key: the key in the state folder, where it may be read.
        statements: that a witness got (retention.export_verifier).

    Raises:
        IndexUnavailable, IndexCorrupt: there is nothing to compare with.
    """
    wanted = window or Window()
    result = Verified(camera=camera)
    with Index.open_read(index_path) as index:
        snapshot = index.read(lambda connection: _ledger(connection, camera, wanted, result))
        result.keys = [fingerprint(key) for key in snapshot.keys]
        if own_key is not None and fingerprint(own_key) not in result.keys:
            result.differ("journal", "this box's key never came into use in it")
        for statement in statements:
            _compare_statement(statement, snapshot, result)
        roots = _roots(volumes, result)
        for uuid, root in roots.items():
            _compare_replica(index, uuid, root, snapshot, result, is_live=is_live)
        files = _Files(index, roots, camera, result, snapshot, is_live=is_live)
        for number in snapshot.numbers:
            files.compare(number)
        files.tell_missing()
        for uuid, root in roots.items():
            files.look_for_strangers(uuid, root, wanted)
    return result


# Ledger and chain --------------------------------------------------------------------------------


def _ledger(
    connection: sqlite3.Connection, camera: str, window: Window, result: Verified
) -> _Snapshot:
    snapshot = _Snapshot()
    with closing(sqlite3.connect("", isolation_level=None)) as rebuilt:
        migrate(rebuilt)
        rebuilt.execute("PRAGMA synchronous = OFF")
        _replay(connection, rebuilt, snapshot, result)
        _compare_tables(connection, rebuilt, result)
        snapshot.buried = merged(
            one for piece in pieces_of(rows.tombstones(rebuilt, camera)) for one in piece.numbers
        )
        _read_segments(connection, camera, window, snapshot)
        result.chained, result.deleted = _walk(rebuilt, camera, snapshot, result)
        snapshot.offsets = dict(
            rebuilt.execute(
                "SELECT run, coalesce(offset_us, 0) FROM run WHERE camera = ?", (camera,)
            ).fetchall()
        )
    return snapshot


def _replay(
    connection: sqlite3.Connection,
    rebuilt: sqlite3.Connection,
    snapshot: _Snapshot,
    result: Verified,
) -> None:
    """Check the journal line by line, and rebuild the ledger from what is good of it."""
    is_sound = True
    lines = connection.execute("SELECT seq, line FROM journal ORDER BY seq")
    while is_sound and (batch := list(islice(lines, _BATCH_LINES))):
        entries = []
        for seq, text in batch:
            try:
                entry = parse_line(str(text).encode())
                if entry.seq != seq:
                    raise JournalDamaged(f"line {seq} of the journal is entry {entry.seq}")
                result.head = verify([entry], result.head, snapshot.keys)
            except JournalDamaged as error:
                result.differ(f"journal {seq}", f"{error}; what follows it proves nothing")
                is_sound = False
                break
            snapshot.lines[hashlib.sha256(entry.line).digest()] = seq
            if entry.kind is Kind.KEY:
                snapshot.keys.append(public_key_of(entry))
            entries.append(entry)
        rebuilt.execute("BEGIN")
        add_entries(rebuilt, entries)
        rebuilt.execute("COMMIT")


def _compare_tables(
    connection: sqlite3.Connection, rebuilt: sqlite3.Connection, result: Verified
) -> None:
    tables = [table for table in LEDGER_TABLES if table != "journal"]
    index, journal = ledger_rows(connection, tables), ledger_rows(rebuilt, tables)
    for table in tables:
        for key in sorted({*index[table], *journal[table]}):
            one, other = index[table].get(key), journal[table].get(key)
            if one != other:
                what = "the index has it, the journal does not" if other is None else "changed"
                what = "the journal tells of it, the index does not" if one is None else what
                result.differ(f"{table} {key}", what)


def _read_segments(
    connection: sqlite3.Connection,
    camera: str,
    window: Window,
    snapshot: _Snapshot,
) -> None:
    for number, digest, start_us, end_us in connection.execute(
        "SELECT number, digest, start_us, end_us FROM segment WHERE camera = ? ORDER BY number",
        (camera,),
    ):
        if len(digest) == DIGEST_BYTES:
            snapshot.digests[number] = digest
        if start_us < window.to_us and end_us > window.from_us:
            snapshot.numbers.append(number)
        snapshot.newest = number
    doomed = connection.execute("SELECT number FROM doomed WHERE camera = ?", (camera,)).fetchall()
    snapshot.going = {number for (number,) in doomed if is_in(snapshot.buried, number)}


def _walk(
    rebuilt: sqlite3.Connection, camera: str, snapshot: _Snapshot, result: Verified
) -> tuple[int, int]:
    checkpoints = [chained_segments(row) for row in rows.checkpoints(rebuilt, camera)]
    snapshot.links = {one.position + one.segments: one.after.hex() for one in checkpoints}
    walked: Walk = walk(
        checkpoints,
        pieces_of(rows.tombstones(rebuilt, camera)),
        snapshot.digests.get,
        snapshot.going.__contains__,
    )
    for sentence in walked.breaks:
        result.differ(f"chain of {camera}", sentence)
    chained = sorted(one for checkpoint in checkpoints for one in checkpoint.numbers)
    free = holes_of(chained)
    result.unchained = ranges_of(
        number
        for number in snapshot.numbers
        if any(first <= number and (last is None or number <= last) for first, last in free)
    )
    return walked.segments, walked.deleted


def chained_segments(row: rows.CheckpointRow) -> ChainedSegments:
    return ChainedSegments(
        position=row.position,
        numbers=row.numbers,
        segments=row.segments,
        before=row.before,
        after=row.after,
        name=f"checkpoint {row.position} (journal {row.seq})",
    )


def pieces_of(tombstones: Iterator[rows.TombstoneRow]) -> Iterator[DeletedPiece]:
    for tombstone in tombstones:
        for numbers, before, after in tombstone.pieces:
            yield DeletedPiece(
                numbers=numbers,
                before=before,
                after=after,
                name=f"the tombstone in journal {tombstone.seq}",
            )


# The witness -------------------------------------------------------------------------------------


def _compare_statement(statement: Any, snapshot: _Snapshot, result: Verified) -> None:
    """What was told outside must still be what journal and chain say of that time."""
    if not is_statement(statement):
        result.differ("witness", "a statement is not signed as it says")
        return
    try:
        seq, told = int(statement["journal"]["seq"]), bytes.fromhex(statement["journal"]["hash"])
        at_us, camera = int(statement["at_us"]), statement["cameras"].get(result.camera)
        position, link = (camera["position"], camera["link"]) if camera else (0, "")
        key = fingerprint(Ed25519PublicKey.from_public_bytes(bytes.fromhex(statement["key"])))
    except (ValueError, TypeError, LookupError, AttributeError):
        result.differ("witness", "a statement is not laid out as it should be")
        return
    name = f"witness at {at_us}"
    if key not in result.keys:
        result.differ(name, "was told by another box, or with a key that the journal does not know")
    elif seq > result.head.seq:
        result.differ(name, f"knew the journal's entry {seq}, and it ends at {result.head.seq}")
    elif snapshot.lines.get(told) != seq:
        result.differ(name, f"knew another entry {seq} of the journal: it was signed anew")
    elif link and snapshot.links.get(position) != link:
        result.differ(name, f"knew another link at {position} of the chain")
    else:
        result.witnessed = max(result.witnessed, seq)


# Volumes -----------------------------------------------------------------------------------------


def _roots(volumes: Sequence[Path], result: Verified) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for path in volumes:
        try:
            roots[read_stamp(path)[0]] = path
        except VolumeUnavailable as error:
            result.note(f"volume {path}", f"not compared: {error}")
    return roots


def _compare_replica(
    index: Index,
    uuid: str,
    root: Path,
    snapshot: _Snapshot,
    result: Verified,
    *,
    is_live: bool,
) -> None:
    """Each line of a replica is one of the index's; a torn one is the beginning of one."""
    thing = f"journal on {root}"
    held: set[int] = set()
    strange: set[bytes] = set()
    try:
        for path in parts_of(root):
            for line in path.read_bytes().split(b"\n"):
                seq = snapshot.lines.get(hashlib.sha256(line).digest())
                if seq is not None:
                    held.add(seq)
                elif line:
                    strange.add(line)
    except OSError as error:
        result.differ(thing, f"cannot be read: {error.strerror}")
        return
    for line in _not_torn(index, strange):
        _tell_strange(thing, line, snapshot, result, is_live=is_live)
    missing = ranges_of(sorted(set(snapshot.lines.values()) - held))
    for first, last in missing:
        what = f"lacks the entries {first} to {last}"
        if last == result.head.seq:
            result.note(thing, f"{what}: they come with the next start")
        else:
            result.differ(thing, what)


def _not_torn(index: Index, lines: set[bytes]) -> list[bytes]:
    """Those that no line of the journal begins with."""
    if not lines:
        return []

    def query(connection: sqlite3.Connection) -> list[bytes]:
        left = set(lines)
        for known in rows.journal_lines(connection):
            left = {line for line in left if not known.startswith(line)}
        return sorted(left)

    return index.read(query)


def _tell_strange(
    thing: str, line: bytes, snapshot: _Snapshot, result: Verified, *, is_live: bool
) -> None:
    try:
        entry: Entry | None = parse_line(line)
    except JournalDamaged:
        entry = None
    if entry is None or not authentic([entry], snapshot.keys)[0]:
        result.differ(thing, f"a line is damaged or forged: {line[:120]!r}")
    elif entry.seq > result.head.seq:
        if not is_live:
            result.differ(thing, f"entry {entry.seq} is signed, and not in the index's journal")
    else:
        result.note(thing, f"entry {entry.seq} is signed, and of another branch of the journal")


class _Files:
    """One camera's files, each held against its row."""

    def __init__(
        self,
        index: Index,
        roots: dict[str, Path],
        camera: str,
        result: Verified,
        snapshot: _Snapshot,
        *,
        is_live: bool,
    ) -> None:
        self._index = index
        self._roots = roots
        self._camera = camera
        self._result = result
        self._is_live = is_live
        self._newest = snapshot.newest
        self._offsets = snapshot.offsets
        self._buried = snapshot.buried
        self._absent: dict[str, int] = {}

    def compare(self, number: int) -> None:
        faults = self._faults(number)
        if faults:
            faults = self._faults(number)  # it may have been sealed or deleted meanwhile
        for fault in faults:
            self._result.differ(f"segment {self._camera} {number}", fault)

    def _row(self, number: int) -> Segment | None:
        return self._index.read(lambda connection: rows.segment(connection, self._camera, number))

    def _faults(self, number: int) -> list[str]:
        try:
            row = self._row(number)
        except ValueError as error:
            return [f"its row is damaged: {error}"]
        if row is None:
            return []
        if row.volume not in self._roots:
            self._absent[row.volume] = self._absent.get(row.volume, 0) + 1
            return []
        if row.state is SegmentState.OPEN:
            return self._faults_of_open(row)
        try:
            size_bytes, faults = check_file(self._roots[row.volume], row)
            if row.offset_us != self._offsets.get(row.run, 0):
                faults.append("it was re-timed otherwise than the journal tells")
        except FileNotFoundError:
            return [] if self._is_going(number) else ["its file is not there"]
        except OSError as error:
            return [f"its file cannot be read: {error.strerror}"]
        if not faults:
            self._result.segments += 1
            self._result.size_bytes += size_bytes
        return faults

    def _is_going(self, number: int) -> bool:
        """Whether it is being deleted, under a tombstone of the journal."""

        def query(connection: sqlite3.Connection) -> bool:
            if not rows.is_doomed(connection, self._camera, number):
                return False
            younger = (
                one
                for piece in pieces_of(
                    rows.tombstones(connection, self._camera, self._result.head.seq)
                )
                for one in piece.numbers
            )
            return is_in(self._buried, number) or is_in(merged(younger), number)

        try:
            return self._index.read(query)
        except ValueError:  # a row is damaged, which is told already
            return False

    def _faults_of_open(self, row: Segment) -> list[str]:
        if row.digest:
            return ["its row says that it is open, and has a digest"]
        if self._is_live:
            self._result.note(f"segment {row.camera} {row.number}", "is being written")
            return []
        return ["is not sealed: the next start of edge finishes it"]

    def tell_missing(self) -> None:
        for volume, count in self._absent.items():
            self._result.differ(
                f"volume {volume}", f"is not there, and holds {count} of the segments"
            )

    def look_for_strangers(self, uuid: str, root: Path, window: Window) -> None:
        """Files that no row knows."""
        low = hour_folder(self._camera, max(0, window.from_us - HOUR_US))
        high = hour_folder(self._camera, min(window.to_us, _YEAR_9999_US))
        for folder in hour_folders(root, self._camera):
            if not low <= folder <= high:
                continue
            for name in sorted(os.listdir(root / folder)):
                if not self._is_known(uuid, f"{folder}/{name}"):
                    self._result.differ(
                        f"file {root / folder / name}", "the index knows nothing of it"
                    )

    def _is_known(self, uuid: str, path: str) -> bool:
        name = parse_segment_path(path)
        if name is None:
            return False
        if self._is_live and name.number > self._newest:
            return True
        try:
            row = self._row(name.number)
        except ValueError:
            return True  # told already
        if row is None and is_in(self._buried, name.number):
            self._result.note(f"file {self._roots[uuid] / path}", "has its tombstone, and goes")
            return True
        if row is None:
            return not os.path.lexists(self._roots[uuid] / path)  # deleted meanwhile
        return (row.volume, row.path) == (uuid, path)


_YEAR_9999_US = 253_402_300_799_999_999


def as_json(result: Verified) -> dict[str, Any]:
    """The document of ``xueliang verify --camera --json``."""
    return {
        "camera": result.camera,
        "journal": {"seq": result.head.seq, "hash": result.head.hash},
        "keys": result.keys,
        "segments": result.segments,
        "bytes": result.size_bytes,
        "chained": result.chained,
        "deleted": result.deleted,
        "witnessed": result.witnessed,
        "unchained": [list(one) for one in result.unchained],
        "differences": [{"thing": one.thing, "what": one.what} for one in result.differences],
        "notes": [{"thing": one.thing, "what": one.what} for one in result.notes],
    }

"""Exports: footage of a range with everything that proves it, in one folder. Shell, blocking.

Each MP4 is the head of one segment and some of its fragments, byte for byte, so that hashes, digest
and chain hold for what is handed out; a player shows the files of ``play.m3u8`` one behind the
other. (Fragments of two segments cannot stand in one file unchanged: each segment counts its decode
times from its own start.) ``manifest.json`` is described, and verified, by
:mod:`retention.export_verifier`, a copy of which goes along.

A folder under the asked name is whole: it is written beside and renamed at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import XueliangError
from retention import export_verifier
from retention.buried import Tombstones
from retention.chain import numbers_in
from retention.digest import segment_digest
from retention.export_verifier import FORMAT, MANIFEST, canonical, manifest_bytes
from retention.index import rows
from retention.index.errors import IndexCorrupt
from retention.index.read import Index
from retention.journal import Kind, key_id, parse_line, public_key_of
from retention.model import FragmentEntry, Gap, Segment, SegmentState
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.scan import Read, ScannedSegment, outline, scan
from retention.read import start_of, timeline_of
from retention.stamp import read_stamp
from retention.timeline import cut_out, union
from retention.volume_errors import VolumeUnavailable
from retention.whole_file import sync_folder

log = logging.getLogger(__name__)

VERIFIER = "verify.py"
PLAYLIST = "play.m3u8"
#: Segments looked up at once.
_BATCH_SEGMENTS = 200
#: What the manifest and the other small files may take.
_SMALL_FILES_BYTES = 16 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExportFailed(XueliangError):
    """No export was made; nothing lies under its name."""

    code = "export_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked, by whom and why."""

    camera: str
    from_us: int
    to_us: int
    reason: str
    actor: str
    camera_name: str = ""
    site: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """A segment, and which of its fragments."""

    segment: Segment
    first: int
    count: int

    @property
    def entries(self) -> tuple[FragmentEntry, ...]:
        return self.segment.fragments[self.first : self.first + self.count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an order comes to; nothing is written yet."""

    order: Order
    choices: tuple[_Choice, ...]
    gaps: tuple[Gap, ...]
    checkpoints: tuple[dict[str, Any], ...]
    tombstones: tuple[str, ...]
    other_keys: tuple[str, ...]
    unchained: tuple[int, ...]  # numbers of segments that no checkpoint covers

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for choice in self.choices for entry in choice.entries) + sum(
            choice.segment.fragments[0].offset for choice in self.choices
        )


@dataclass(slots=True, kw_only=True)
class Exported:
    """What was handed out."""

    plan: Plan
    folder: Path
    files: list[str] = field(default_factory=list)
    size_bytes: int = 0
    manifest_sha256: str = ""
    fingerprint: str = ""
    #: Exactly: whole fragments, from a key frame on.
    range_us: tuple[int, int] | None = None
    damaged: list[str] = field(default_factory=list)  # handed out as it is, and told
    notes: list[str] = field(default_factory=list)  # that the manifest carries, too
    gone: list[int] = field(default_factory=list)  # segments whose file was not there any more


def plan_export(index_path: Path, order: Order, own_key: str, now_us: int) -> Plan:
    """Find what belongs to a range, in one snapshot of the index.

    What has its tombstone is no footage any more, though its file may be there for a while: chain
    and gaps of the manifest tell that it is gone.

    Args:
        own_key: id of the key that will sign.

    Raises:
        IndexUnavailable, IndexCorrupt: the index does not answer, or nonsense.
        ExportFailed: there is nothing in the range.
    """
    try:
        with Index.open_read(index_path) as index:
            plan = index.read(
                lambda connection: _plan(connection, index_path.parent, order, own_key, now_us)
            )
    except (ValueError, TypeError) as error:
        raise IndexCorrupt(f"a row of the index {index_path} is damaged: {error}") from error
    if not plan.choices:
        raise ExportFailed(
            f"there is no footage of {order.camera} in the range",
            hint=f"see: xueliang timeline {order.camera} --from … --to …",
        )
    return plan


class FootageGone(ExportFailed):
    """Footage of the plan went by policy before it was copied: a new plan tells its gap."""

    code = "footage_gone"


def write_export(
    plan: Plan,
    volumes: Sequence[Path],
    folder: Path,
    key: Ed25519PrivateKey,
    *,
    now_us: int,
    record: dict[str, Any],
    notes: Sequence[str] = (),
    is_last_try: bool = True,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Exported:
    """Write the folder; it is there whole, or not at all.

    Args:
        record: where the access record stands in the audit log.
        notes: for who reads the manifest.
        is_last_try: what is gone meanwhile is told as damaged.
        progress: told how many bytes are written, after each fragment.

    Raises:
        FootageGone: unless ``is_last_try``.
        ExportFailed: the folder is there already, the disk is full, or a volume is not there. A
            segment that is damaged or gone is told in ``damaged``, the rest is handed out.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportFailed(f"{folder} is not empty", hint="name a new folder")
    if os.path.ismount(folder):
        raise ExportFailed(f"{folder} is a disk of its own", hint="name a new folder on it")
    beside = folder.parent / f"{_beside(folder)}{secrets.token_hex(4)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        _require_room(folder.parent, plan.size_bytes)
        beside.mkdir(mode=0o700)
        with _locked(beside):
            writer = _Writer(plan, _roots(volumes), beside, key, progress)
            result = writer.write(now_us, record, notes)
            if result.gone and not is_last_try:
                raise FootageGone(
                    f"segment {result.gone[0]} of {plan.order.camera} was deleted meanwhile",
                    hint="run it again",
                )
            os.rename(beside, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise ExportFailed(
            f"the export to {folder} failed: {error.strerror or error}",
            hint="nothing was left there; mend the disk, and run it again",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    result.folder, result.notes = folder, list(notes)
    return result


def _beside(folder: Path) -> str:
    """How the names of its unfinished forerunners begin."""
    return f".{folder.name}.partial-"


def _remove_leftovers(folder: Path) -> None:
    """What a killed export to the same name left: footage that nobody would look after."""
    for name in os.listdir(folder.parent):
        path = folder.parent / name
        if name.startswith(_beside(folder)) and path.is_dir() and not path.is_symlink():
            with suppress(BlockingIOError), _locked(path):  # else another one is at work
                shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Raises :class:`BlockingIOError` if another process holds the folder."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


# Planning ----------------------------------------------------------------------------------------


def _plan(
    connection: sqlite3.Connection, state_dir: Path, order: Order, own_key: str, now_us: int
) -> Plan:
    stones = Tombstones()
    choices: list[_Choice] = []
    buried: list[Segment] = []
    for choice in _choices(connection, order):
        if stones.covers(connection, order.camera, choice.segment.number):
            buried.append(choice.segment)
        else:
            choices.append(choice)
    line = timeline_of(
        connection,
        state_dir,
        order.camera,
        order.from_us,
        order.to_us,
        now_us,
        cut_out(union(buried, 0), [choice.segment for choice in choices]),
    )
    numbers = {choice.segment.number for choice in choices}
    covering = [
        row
        for row in rows.checkpoints(connection, order.camera)
        if not numbers.isdisjoint(numbers_in(row.numbers))
    ]
    digests = {row.seq: _digests(connection, row) for row in covering}
    missing = {
        number for found in digests.values() for number, digest in found.items() if digest is None
    }
    tombstones = _tombstones(connection, order.camera, missing, digests.values())
    lines = {seq: _line(connection, seq) for seq in (*digests, *tombstones)}
    chained = {number for found in digests.values() for number in found}
    return Plan(
        order=order,
        choices=tuple(choices),
        gaps=line.gaps,
        checkpoints=tuple(
            {
                "line": lines[seq],
                "digests": [None if digest is None else digest.hex() for digest in found.values()],
            }
            for seq, found in digests.items()
        ),
        tombstones=tuple(lines[seq] for seq in tombstones),
        other_keys=_other_keys(connection, lines.values(), own_key),
        unchained=tuple(sorted(numbers - chained)),
    )


def _choices(connection: sqlite3.Connection, order: Order) -> Iterator[_Choice]:
    place = start_of(connection, order.camera, order.from_us)
    if place is None:
        return
    segments, first = [place[0]], place[1]
    fragments = place[0].fragments
    while first and fragments[first].start_us > order.from_us < fragments[first - 1].end_us:
        first -= 1  # no key frame is near: what no decoder shows is evidence all the same
    while segments:
        for segment in segments:
            if segment.start_us >= order.to_us:
                return
            count = sum(one.start_us < order.to_us for one in segment.fragments[first:])
            if count:
                yield _Choice(segment=segment, first=first, count=count)
            first = 0
        last = segments[-1]
        segments = rows.segments_after(
            connection, order.camera, last.start_us, last.number, _BATCH_SEGMENTS
        )


def _digests(connection: sqlite3.Connection, row: rows.CheckpointRow) -> dict[int, bytes | None]:
    """Of each number of a checkpoint, in chain order; None where the segment is gone."""
    found: dict[int, bytes | None] = {}
    for first, last in row.numbers:
        known = dict(
            connection.execute(
                "SELECT number, digest FROM segment"
                " WHERE camera = ? AND number BETWEEN ? AND ? AND length(digest) = 32",
                (row.camera, first, last),
            ).fetchall()
        )
        found |= {number: known.get(number) for number in range(first, last + 1)}
    return found


def _tombstones(
    connection: sqlite3.Connection,
    camera: str,
    missing: set[int],
    digests: Iterable[dict[int, bytes | None]],
) -> list[int]:
    """Journal numbers of the tombstones over what is missing; what else they tell of is passed by
    them too, though some of it may not have been unlinked yet: it is not handed out."""
    found = []
    for tombstone in rows.tombstones(connection, camera) if missing else ():
        for numbers, _, _ in tombstone.pieces:
            told = set(numbers_in(numbers))
            if missing.isdisjoint(told):
                continue
            found.append(tombstone.seq)
            for known in digests:
                for number in told & set(known):
                    known[number] = None
    return sorted(set(found))


def _line(connection: sqlite3.Connection, seq: int) -> str:
    return str(connection.execute("SELECT line FROM journal WHERE seq = ?", (seq,)).fetchone()[0])


def _other_keys(
    connection: sqlite3.Connection, lines: Iterable[str], own_key: str
) -> tuple[str, ...]:
    """Keys that signed some of the lines before the one that is used now."""
    wanted = {parse_line(line.encode()).key for line in lines} - {own_key}
    if not wanted:
        return ()
    keys = [
        public_key_of(entry)
        for line in rows.journal_lines(connection)
        if b'"kind":"key"' in line and (entry := parse_line(line)).kind is Kind.KEY
    ]
    return tuple(key.public_bytes_raw().hex() for key in keys if key_id(key) in wanted)


# Writing -----------------------------------------------------------------------------------------


class _Writer:
    def __init__(
        self,
        plan: Plan,
        roots: dict[str, Path],
        folder: Path,
        key: Ed25519PrivateKey,
        progress: Callable[[int], None],
    ) -> None:
        self._progress = progress
        self._plan = plan
        self._roots = roots
        self._folder = folder
        self._key = key
        self._result = Exported(plan=plan, folder=folder)
        self._files: list[dict[str, Any]] = []
        self._segments: list[dict[str, Any]] = []
        self._spans: list[tuple[int, int]] = []

    def write(self, now_us: int, record: dict[str, Any], notes: Sequence[str]) -> Exported:
        for choice in self._plan.choices:
            self._write_choice(choice)
        if self._spans:
            starts, ends = zip(*self._spans, strict=True)
            self._result.range_us = min(starts), max(ends)
        attachments = [
            self._write_small(PLAYLIST, self._playlist()),
            self._write_small(VERIFIER, Path(export_verifier.__file__).read_bytes()),
        ]
        document = self._manifest(now_us, record, [*notes, *self._result.damaged], attachments)
        public = self._key.public_key().public_bytes_raw()
        document["key"] = public.hex()
        document["signature"] = self._key.sign(canonical(document)).hex()
        content = manifest_bytes(document)
        self._write_small(MANIFEST, content)  # the last one: without it nothing looks whole
        sync_folder(self._folder)
        self._result.manifest_sha256 = hashlib.sha256(content).hexdigest()
        self._result.fingerprint = export_verifier.fingerprint_of(public)
        return self._result

    def _write_choice(self, choice: _Choice) -> None:
        segment = choice.segment
        root = self._roots.get(segment.volume)
        if root is None:
            raise ExportFailed(
                f"the volume {segment.volume} that holds a part of the range is not there",
                hint="mount it, or ask for a range without it",
            )
        path = root / segment.path
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._result.gone.append(segment.number)
            self._damaged(segment, f"its file cannot be opened: {error.strerror}")
            return
        try:
            self._copy(choice, source)
        except SegmentCorrupt as error:
            self._damaged(segment, str(error))
        finally:
            os.close(source)

    def _copy(self, choice: _Choice, source: int) -> None:
        """Raises :class:`SegmentCorrupt` where the head cannot be read."""
        segment = choice.segment

        def read(offset: int, size: int) -> bytes:
            try:
                return os.pread(source, size, max(offset, 0))
            except OSError as error:
                raise SegmentCorrupt(f"its file cannot be read: {error.strerror}") from error

        scanned = _looked_at(read, os.fstat(source).st_size, segment)
        entries = scanned.entries[: len(segment.fragments)]
        head = scanned.header_bytes
        # a segment that a dying process gave up is sealed in its row, and has no digest yet
        digest = segment.digest.hex() or None
        if digest is not None and segment_digest(head, entries).hex() != digest:
            self._damaged(segment, "head or fragments are not those of its digest")
        chosen = entries[choice.first : choice.first + choice.count]
        if len(chosen) != choice.count:
            self._damaged(segment, f"only {len(entries)} of its fragments are whole")
        if not chosen:
            return
        offset_us = segment.start_us - scanned.header.start_us
        span_us = chosen[0].start_us + offset_us, chosen[-1].end_us + offset_us
        name = self._name(segment, span_us)
        sha256, size_bytes, count = hashlib.sha256(head), len(head), 0
        target = self._create(name)
        try:
            _write_all(target, head)
            for entry in chosen:
                piece = read(entry.offset, entry.size_bytes)
                if hashlib.sha256(piece).digest() != entry.sha256:
                    self._damaged(segment, f"the fragment at byte {entry.offset} has changed")
                _write_all(target, piece)
                sha256.update(piece)
                size_bytes += len(piece)
                count += 1
                self._progress(self._result.size_bytes + size_bytes)
        except SegmentCorrupt as error:
            self._damaged(segment, f"from byte {chosen[count].offset} on, {error}")
        finally:
            os.fsync(target)
            os.close(target)
        if not count:
            os.unlink(self._folder / name)
            return
        self._result.size_bytes += size_bytes
        self._result.files.append(name)
        self._files.append(
            {
                "name": name,
                "size": size_bytes,
                "sha256": sha256.hexdigest(),
                "segment": segment.number,
                "first": choice.first,
                "count": count,
            }
        )
        self._segments.append(_segment_document(segment, scanned, entries, digest))
        self._spans.append((span_us[0], chosen[count - 1].end_us + offset_us))

    def _damaged(self, segment: Segment, what: str) -> None:
        self._result.damaged.append(f"segment {segment.number} is damaged: {what}")

    def _name(self, segment: Segment, span_us: tuple[int, int]) -> str:
        start, end = map(_stamp, span_us)
        name = f"{segment.camera}_{start}_{end}.mp4"
        if name in self._result.files:  # the clock was set back, and forward
            name = f"{segment.camera}_{start}_{end}_{segment.number}.mp4"
        return name

    def _playlist(self) -> bytes:
        lines = ["#EXTM3U"]
        for file, (start_us, end_us) in zip(self._files, self._spans, strict=True):
            lines += [f"#EXTINF:{(end_us - start_us) / 1e6:.3f},{_text(start_us)}", file["name"]]
        return ("\n".join(lines) + "\n").encode()

    def _create(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(self._folder / name, flags, 0o600)

    def _write_small(self, name: str, content: bytes) -> dict[str, Any]:
        target = self._create(name)
        try:
            _write_all(target, content)
            os.fsync(target)
        finally:
            os.close(target)
        sha256 = hashlib.sha256(content).hexdigest()
        return {"name": name, "size": len(content), "sha256": sha256}

    def _manifest(
        self,
        now_us: int,
        record: dict[str, Any],
        notes: Sequence[str],
        attachments: list[dict[str, Any]],
    ) -> dict[str, Any]:
        plan, order, range_us = self._plan, self._plan.order, self._result.range_us
        return {
            "format": FORMAT,
            "tool": order.tool,
            "site": order.site,
            "camera": order.camera,
            "camera_name": order.camera_name,
            "exported": {"at_us": now_us, "at": _text(now_us), "by": order.actor},
            "reason": order.reason,
            "access_record": record,
            "asked": _span(order.from_us, order.to_us),
            "range": None if range_us is None else _span(*range_us),
            "gaps": [
                {
                    **_span(gap.start_us, order.to_us if gap.end_us is None else gap.end_us),
                    "cause": gap.cause.value,
                    "detail": gap.detail,
                }
                for gap in plan.gaps
            ],
            "files": self._files,
            "attachments": attachments,
            "segments": self._segments,
            "checkpoints": list(plan.checkpoints),
            "tombstones": list(plan.tombstones),
            "other_keys": list(plan.other_keys),
            "notes": list(notes),
        }


def _looked_at(read: Read, size_bytes: int, segment: Segment) -> ScannedSegment:
    """Hashes of all of a segment's fragments: from its trailer, else from its media."""
    found = outline(read, size_bytes) if segment.state is SegmentState.SEALED else None
    return found or scan(read, size_bytes)


def _segment_document(
    segment: Segment,
    scanned: ScannedSegment,
    entries: Sequence[FragmentEntry],
    digest: str | None,
) -> dict[str, Any]:
    return {
        "number": segment.number,
        "run": segment.run,
        "clock": scanned.header.clock.value,
        "start_us": scanned.header.start_us,
        "offset_us": segment.start_us - scanned.header.start_us,
        "state": segment.state.value,
        "end_reason": None if segment.end_reason is None else segment.end_reason.value,
        "head_bytes": len(scanned.header_bytes),
        "head_sha256": hashlib.sha256(scanned.header_bytes).hexdigest(),
        "digest": digest,
        "fragments": [
            [one.size_bytes, one.start_us, one.end_us, int(one.is_key), one.sha256.hex()]
            for one in entries
        ],
    }


def _roots(volumes: Sequence[Path]) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for path in volumes:
        try:
            roots[read_stamp(path)[0]] = path
        except VolumeUnavailable as error:
            log.warning("volume_not_read", extra={"error": error.sentence()})
    return roots


def _require_room(folder: Path, size_bytes: int) -> None:
    figures = os.statvfs(folder)
    free_bytes = figures.f_bavail * figures.f_frsize
    needed_bytes = size_bytes + _SMALL_FILES_BYTES
    if free_bytes < needed_bytes:
        raise ExportFailed(
            f"the export takes {needed_bytes >> 20} MiB, and {folder} has {free_bytes >> 20} left",
            hint="make room, or ask for less",
        )


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _span(from_us: int, to_us: int) -> dict[str, Any]:
    return {"from_us": from_us, "to_us": to_us, "from": _text(from_us), "to": _text(to_us)}


def _text(instant_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=instant_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _stamp(instant_us: int) -> str:
    """As in the names of segments."""
    at = _EPOCH + timedelta(microseconds=instant_us)
    return f"{at.year:04}{at:%m%dT%H%M%S}.{at.microsecond // 1000:03}Z"

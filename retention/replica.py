"""A volume's replica of the journal: reading it, and bringing it and the index level. Shell.

A replica is a set of lines in numbered parts; lines may be torn, doubled, late or missing. It is
only ever appended to.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from retention import layout
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.write import IndexWriter
from retention.journal import (
    Entry,
    Head,
    ReadLines,
    authentic,
    read_lines,
    signed_chain,
)
from retention.volume import Volume
from retention.volume_errors import VolumeError, unavailable

log = logging.getLogger(__name__)

#: A line just written is looked for in so much of a journal's end.
TAIL_BYTES = 2 * 1024 * 1024
LOOK_S = 0.1


def read_replica(
    root: Path, *, is_newest_only: bool = False, parsed: dict[bytes, Entry] | None = None
) -> ReadLines:
    """The entries of a volume's journal, of all its parts or of the newest one that has any.

    Args:
        parsed: as in :func:`retention.journal.read_lines`.

    Raises:
        VolumeUnavailable: the disk does not answer.
    """
    entries: list[Entry] = []
    damaged = 0
    try:
        for path in reversed(parts_of(root)):
            found = read_lines(path.read_bytes(), parsed)
            entries += found.entries
            damaged += found.damaged_lines
            if is_newest_only and entries:
                break
    except OSError as error:
        raise unavailable(root, "read", error) from error
    return ReadLines(entries=tuple(entries), damaged_lines=damaged)


def has_durably(root: Path, line: bytes, timeout_s: float) -> bool:
    """Wait until a volume's journal holds ``line``, and sync it. Blocks as long as the disk does.

    Whoever wrote it syncs it, too; asking the disk once more needs no word of the writer.

    Raises:
        VolumeUnavailable: the disk does not answer.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            for path in parts_of(root)[-2:]:
                if _synced_with(path, line):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
    except OSError as error:
        raise unavailable(root, "sync", error) from error


def _synced_with(path: Path, line: bytes) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for is_synced in (False, True):
            size = os.fstat(file).st_size
            tail = os.pread(file, TAIL_BYTES, max(0, size - TAIL_BYTES))
            if b"\n" + line + b"\n" not in b"\n" + tail:
                return False  # or not any more: its writer cut it off after a failed sync
            if not is_synced:
                os.fsync(file)
        return True
    finally:
        os.close(file)


def parts_of(root: Path) -> list[Path]:
    """The parts of a volume's journal, the oldest first. Raises :class:`OSError`."""
    folder = root / layout.JOURNAL
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if layout.is_journal_name(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levelled:
    """What :func:`level` found."""

    head: Head
    taken: int  # entries that only a volume had
    strangers: int  # entries of another branch: kept where they are, without effect
    damaged_lines: int


def level(index: IndexWriter, volumes: Sequence[Volume], public_key: Ed25519PublicKey) -> Levelled:
    """Take into the index what only a replica knows; give each replica what it lacks. Blocks.

    To be called before this life's first entry. A volume that fails is left as it is: it lags
    until the next start.

    Raises:
        IndexUnavailable: the index does not answer.
    """
    last = index.submit(rows.last_entry).result()
    replicas = {}
    parsed: dict[bytes, Entry] = {}
    for volume in volumes:
        try:
            found = read_replica(volume.path, is_newest_only=last is not None, parsed=parsed)
            if last is not None and found.entries and _lowest(found.entries) > last.seq + 1:
                found = read_replica(volume.path, parsed=parsed)
            replicas[volume.uuid] = found
        except VolumeError as error:
            log.error("journal_unread", extra={"volume": volume.uuid, "error": error.sentence()})
    if last is None:
        taken, forged = signed_chain(parsed.values(), [public_key])
    else:
        good, forged = authentic(
            [entry for entry in parsed.values() if entry.seq > last.seq], [public_key]
        )
        taken = _take(last, good)
    if forged:
        first_seq = min(entry.seq for entry in forged)
        log.error("journal_entries_forged", extra={"from": first_seq, "count": len(forged)})
    if taken:
        index.submit(lambda connection: add_entries(connection, taken)).result()
    strangers = 0
    for volume in volumes:
        if volume.uuid in replicas:
            strangers += give_missing(index, volume, replicas[volume.uuid].entries)
    return Levelled(
        head=Head.of(taken[-1] if taken else last),
        taken=len(taken),
        strangers=strangers,
        damaged_lines=sum(one.damaged_lines for one in replicas.values()),
    )


def _lowest(entries: Sequence[Entry]) -> int:
    return min(entry.seq for entry in entries)


def _take(last: Entry, found: Iterable[Entry]) -> list[Entry]:
    """The entries that follow the index's newest one."""
    followers: dict[str, list[Entry]] = {}
    for entry in {entry.hash: entry for entry in found if entry.seq > last.seq}.values():
        followers.setdefault(entry.prev, []).append(entry)
    # One level at a time from the head on; of two branches the longer is taken.
    depths: dict[str, int] = {}

    def depth(entry: Entry) -> int:
        chain = [entry]
        while chain:
            top = chain[-1]
            waiting = [one for one in followers.get(top.hash, []) if one.hash not in depths]
            if waiting:
                chain += waiting
                continue
            below = [depths[one.hash] for one in followers.get(top.hash, [])]
            depths[top.hash] = 1 + max(below, default=0)
            chain.pop()
        return depths[entry.hash]

    taken: list[Entry] = []
    at, seq = last.hash, last.seq
    while True:
        following = [entry for entry in followers.get(at, []) if entry.seq == seq + 1]
        if not following:
            return taken
        best = min(following, key=lambda entry: (-depth(entry), entry.hash))
        taken.append(best)
        at, seq = best.hash, best.seq


def give_missing(index: IndexWriter, volume: Volume, held: Sequence[Entry]) -> int:
    """Append to a replica what the index has and it has not; durable when this returns.

    Args:
        held: the entries of its newest parts; what is older than these is taken to be there.

    Returns:
        How many of ``held`` the index does not have.
    """
    after_seq = min((entry.seq for entry in held), default=1) - 1
    lines = index.submit(lambda connection: list(rows.journal_lines(connection, after_seq)))
    known = lines.result()
    held_lines = {entry.line for entry in held}
    missing = [line for line in known if line not in held_lines]
    try:
        if missing:
            volume.append_journal(b"".join(line + b"\n" for line in missing))
            volume.sync_journal()
    except VolumeError as error:
        log.error("journal_behind", extra={"volume": volume.uuid, "error": error.sentence()})
    known_lines = set(known)
    strangers = [entry for entry in held if entry.line not in known_lines]
    if strangers:
        log.warning(
            "journal_branch",
            extra={"volume": volume.uuid, "entries": len(strangers), "from": strangers[0].seq},
        )
    return len(strangers)

"""A volume's replica of the journal: reading it, and bringing it and the index level. Shell.

A replica is a set of lines in numbered parts; lines may be torn, doubled, late or missing. It is
only ever appended to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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
from retention.replica_files import parts_of
from retention.volume_errors import unavailable
from retention.volume_host import VolumeHost

log = logging.getLogger(__name__)

#: Lines that a replica gets at once: some 2 MB.
GIVE_LINES = 4000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Levelled:
    """What :func:`take` found."""

    head: Head
    taken: int  # entries that only a volume had
    damaged_lines: int


def read_from(
    host: VolumeHost, *, is_newest_only: bool = False, parsed: dict[bytes, Entry] | None = None
) -> ReadLines:
    """:func:`read_replica` by whoever waits for the volume's disk.

    Raises:
        VolumeError: the disk does not answer.
    """
    entries: list[Entry] = []
    damaged = 0
    for part in reversed(host.journal_parts()):
        found = read_lines(host.read_journal(part), parsed)
        entries += found.entries
        damaged += found.damaged_lines
        if is_newest_only and entries:
            break
    return ReadLines(entries=tuple(entries), damaged_lines=damaged)


def read_for_levelling(
    host: VolumeHost, last: Entry | None, parsed: dict[bytes, Entry]
) -> ReadLines:
    """As much of a replica as tells what it has beyond the index's newest entry, and lacks.

    Raises:
        VolumeError: the disk does not answer.
    """
    found = read_from(host, is_newest_only=last is not None, parsed=parsed)
    if last is not None and found.entries and _lowest(found.entries) > last.seq + 1:
        found = read_from(host, parsed=parsed)
    return found


def take(
    index: IndexWriter, replicas: Sequence[ReadLines], public_key: Ed25519PublicKey
) -> Levelled:
    """Take into the index what only replicas know. To be called before this life's first entry.

    Raises:
        IndexUnavailable: the index does not answer.
    """
    last = index.submit(rows.last_entry).result()
    new = {entry.line: entry for one in replicas for entry in one.entries}.values()
    if last is None:
        taken, forged = signed_chain(new, [public_key])
    else:
        good, forged = authentic([entry for entry in new if entry.seq > last.seq], [public_key])
        taken = _take(last, good)
    if forged:
        first_seq = min(entry.seq for entry in forged)
        log.error("journal_entries_forged", extra={"from": first_seq, "count": len(forged)})
    if taken:
        index.submit(lambda connection: add_entries(connection, taken)).result()
    return Levelled(
        head=Head.of(taken[-1] if taken else last),
        taken=len(taken),
        damaged_lines=sum(one.damaged_lines for one in replicas),
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


def give_missing(index: IndexWriter, host: VolumeHost, held: Sequence[Entry]) -> int:
    """Append to a replica what the index has and it has not; durable when this returns.

    Args:
        held: the entries of its newest parts; what is older than these is taken to be there.

    Returns:
        The newest entry that the replica holds now.

    Raises:
        VolumeError: the replica lags until it is tried again.
        IndexUnavailable: the index does not answer.
    """
    after_seq = min((entry.seq for entry in held), default=1) - 1
    known, last = index.submit(
        lambda connection: (
            list(rows.journal_lines(connection, after_seq)),
            rows.last_entry(connection),
        )
    ).result()
    held_lines = {entry.line for entry in held}
    missing = [line + b"\n" for line in known if line not in held_lines]
    for at in range(0, len(missing), GIVE_LINES):
        host.give_journal(b"".join(missing[at : at + GIVE_LINES]))
    known_lines = set(known)
    strangers = [entry for entry in held if entry.line not in known_lines]
    if strangers:
        log.warning("journal_branch", extra={"entries": len(strangers), "from": strangers[0].seq})
    return 0 if last is None else last.seq

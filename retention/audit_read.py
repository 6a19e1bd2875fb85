"""Reading and verifying audit logs, their own service running or not. Shell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from config.errors import Retry
from retention.audit import FOLDER, AuditUnavailable, parts_of
from retention.audit_chain import (
    LINE_BYTES_MAX,
    Anchor,
    AuditDamaged,
    Head,
    Loss,
    Record,
    Verdict,
    Verifier,
    parse_line,
)
from retention.audit_loss import COMMANDS, announced
from retention.index import rows
from retention.index.read import Index
from retention.journal import Entry, Kind, authentic

#: Seven milliseconds of work.
PAUSE_RECORDS = 200
PAUSE_ENTRIES = 40
#: Read from a log's end to find its head: more than a group of the longest lines.
TAIL_BYTES = 1024 * 1024
WRITING_LOOKS = 2
WRITING_PAUSE_S = 0.05


def services(state_dir: Path) -> list[str]:
    """Services that have a log.

    Raises:
        AuditUnavailable: the folder cannot be read.
    """
    folder = state_dir / FOLDER
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def heads(state_dir: Path) -> dict[str, Head]:
    """The newest record of each log that this user may read, to be anchored in the journal.

    Each is on its disk when this returns, so that no power cut makes an anchor accuse a log.
    """
    found = {}
    for service in services(state_dir):
        try:
            head = _head(state_dir / FOLDER / service)
        except OSError:
            continue  # another user's: verify tells
        if head is not None:
            found[service] = head
    return found


def records(state_dir: Path, service: str, since_us: int | None = None) -> Iterator[Record]:
    """The records of one log in order, from ``since_us`` on; damaged lines are left out (verify
    tells of them).

    Raises:
        AuditUnavailable: the log cannot be read.
    """
    for line, _ in _lines(state_dir / FOLDER / service):
        try:
            record = parse_line(line.removesuffix(b"\n"))
        except AuditDamaged:
            continue
        if since_us is None or record.at_us >= since_us:
            yield record


def newest(state_dir: Path, service: str, since_us: int, count: int) -> list[Record]:
    """The newest ``count`` records of one log from ``since_us`` on, the newest first; reads from
    the end, and no further than it must. Damaged lines are left out.

    Raises:
        AuditUnavailable: the log cannot be read.
    """
    folder, found = state_dir / FOLDER / service, list[Record]()
    try:
        for part in reversed(parts_of(folder)):
            is_older = True  # all of this part is, as far as it was looked at
            for line in reversed(part.path.read_bytes().split(b"\n")):
                if not line:
                    continue
                try:
                    record = parse_line(line)
                except AuditDamaged:
                    continue
                if record.at_us >= since_us:
                    is_older = False
                    found.append(record)
                if len(found) >= count:
                    return found
            if is_older:  # a whole part before the instant: what is before it is older still
                break
    except OSError as error:
        raise _unreadable(folder, error) from error
    return found


def verify(
    state_dir: Path,
    service: str,
    anchors: Iterable[Anchor] = (),
    pause: Callable[[], None] | None = None,
    loss: Loss | None = None,
) -> Verdict:
    """Check one log against itself and against the heads in the journal.

    Args:
        loss: what :func:`loss_told` found.
        pause: called every :data:`PAUSE_RECORDS`; may sleep, for who has other things to do.

    Raises:
        AuditUnavailable: the log cannot be read.
    """
    verifier = Verifier(service, anchors, loss)
    folder = state_dir / FOLDER / service
    if not folder.is_dir():
        return verifier.end()
    for count, (line, place) in enumerate(_lines(folder), 1):
        if pause is not None and count % PAUSE_RECORDS == 0:
            pause()
        if line.endswith(b"\n") or len(line) > LINE_BYTES_MAX:
            verifier.line(line.removesuffix(b"\n"), place)
        else:
            verifier.torn(len(line), place)
    return verifier.end()


def loss_told(
    state_dir: Path, anchors: Sequence[Anchor], pause: Callable[[], None] | None = None
) -> Loss | None:
    """Whether a restore tells that logs went with an old state folder.

    Args:
        anchors: of the commands' log.
        pause: as in :func:`verify`.

    Raises:
        AuditUnavailable: the commands' log cannot be read.
    """
    if not (state_dir / FOLDER / COMMANDS).is_dir():
        return None

    def told() -> Iterator[Record]:
        for count, record in enumerate(records(state_dir, COMMANDS), 1):
            if pause is not None and count % PAUSE_RECORDS == 0:
                pause()
            yield record

    return announced(told(), anchors)


def anchors(index: Index, pause: Callable[[], None] | None = None) -> dict[str, list[Anchor]]:
    """The heads that the journal's ``audit`` entries hold, by service; only such entries count as
    are signed as they say.

    Args:
        pause: as in :func:`verify`.

    Raises:
        IndexUnavailable: the index does not answer.
    """
    keys, told = index.read(
        lambda connection: (
            rows.journal_entries_of(connection, (Kind.KEY,)),
            rows.journal_entries_of(connection, (Kind.AUDIT,)),
        )
    )
    found: dict[str, list[Anchor]] = {}
    for start in range(0, len(told), PAUSE_ENTRIES):
        if pause is not None and start:
            pause()
        for entry in authentic([*keys, *told[start : start + PAUSE_ENTRIES]])[0]:
            for service, anchor in _anchors_of(entry):
                found.setdefault(service, []).append(anchor)
    return found


def _anchors_of(entry: Entry) -> Iterator[tuple[str, Anchor]]:
    told = entry.data.get("heads") if entry.kind is Kind.AUDIT else None
    for service, head in told.items() if isinstance(told, dict) else ():
        if isinstance(head, dict):
            seq, digest = head.get("seq"), head.get("hash")
            if type(seq) is int and isinstance(digest, str):
                yield service, Anchor(seq=seq, hash=digest, at_us=entry.at_us, entry=entry.seq)


def _lines(folder: Path) -> Iterator[tuple[bytes, str]]:
    """Lines, with their line feeds, and their places; the last of a part may be torn."""
    try:
        for part in parts_of(folder):
            with part.path.open("rb") as file:
                number = 0
                while line := _line(file):
                    number += 1
                    yield line, f"{part.path.name}:{number}"
    except OSError as error:
        raise _unreadable(folder, error) from error


def _line(file: BinaryIO) -> bytes:
    """The next line; one without its end is looked at again: its service may be writing it."""
    place = file.tell()
    for _ in range(WRITING_LOOKS):
        line = file.readline(LINE_BYTES_MAX + 2)
        if not line or line.endswith(b"\n") or len(line) > LINE_BYTES_MAX:
            break
        time.sleep(WRITING_PAUSE_S)
        file.seek(place)
    else:
        line = file.readline(LINE_BYTES_MAX + 2)
    return line


def _head(folder: Path) -> Head | None:
    for part in reversed(parts_of(folder)):
        with part.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            content = file.read()
            os.fsync(file.fileno())
        for line in reversed(content.split(b"\n")[:-1]):
            try:
                return parse_line(line).head
            except AuditDamaged:
                continue
    return None


def _unreadable(folder: Path, error: OSError) -> AuditUnavailable:
    return AuditUnavailable(
        f"the audit log {folder} cannot be read: {error.strerror}",
        hint="read it as the user of its service, as a member of its group, or as root",
        retry=Retry.LATER,
    )

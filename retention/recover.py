"""Start-up: whatever an earlier life left unfinished becomes whole. Shell, blocking.

Looked at are the rows that are open (or were given up by a failing disk) and the files without a
row in the newest hours of each camera, so that the time it takes does not grow with the store.
Footage that is found is adopted, never thrown away:

R1 a file is cut behind its last whole fragment;
R2 it gets a trailer (reason ``recovered``) unless it has one;
R3 file and folders are synced;
R4 its run, if the ledger does not know it, is told there;
R5 its row is sealed.

Killed between any two of these, the next start does the same again. A row whose file is not there
is dropped, with a gap ``footage_lost`` if it had durable fragments. A file that never got one whole
fragment holds no footage and goes away. Whatever else is found stays as it is, and is told.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from retention.buried import Tombstones
from retention.digest import segment_digest
from retention.index import rows
from retention.index.entries import UNSEEN_CAUSES
from retention.index.read import Index
from retention.index.write import IndexWriter, drop_segment, put_segment
from retention.model import EndReason, GapCause, Run, Segment, SegmentState
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.trailer import Trailer, trailer_bytes
from retention.segment_files import (
    FileFacts,
    camera_folders,
    facts_of,
    files_in,
    hour_folders,
)
from retention.volume import SegmentFile, Volume
from retention.volume_errors import VolumeError, unavailable
from retention.volume_messages import Recovery
from retention.whole_file import sync_folder

if TYPE_CHECKING:
    from retention.ledger import Ledger  # cryptography: 10 MB that a volume's process needs not

log = logging.getLogger(__name__)

#: Hours looked into for each camera: so many without a find end the search, so many it may have in
#: all (more of them are the reconciler's work, while recording goes on already).
QUIET_HOURS = 2
HOURS_MAX = 6
#: Segments looked at for media that were recorded twice; one takes what another volume gave back.
OTHERS_MAX = 4
#: A file without a readable header is our own torn beginning only if it is at most so long: the
#: first write holds the header and one fragment.
TORN_BYTES_MAX = 16 << 20


class Book(Protocol):
    """Where recovery tells what it finds: index and ledger, near or far."""

    def put(self, row: Segment) -> None:
        """Insert or bring forward a row."""
        ...

    def drop(self, camera: str, number: int) -> None:
        """Forget the row of a segment without a file."""
        ...

    def run_started(self, run: Run) -> None: ...
    def gap(
        self, camera: str, start_us: int, end_us: int, cause: GapCause, detail: str, epoch: int
    ) -> None: ...
    def footage_found(
        self, camera: str, start_us: int, end_us: int, at_us: int, epoch: int
    ) -> None: ...

    def progress(self) -> None:
        """The disk still answers."""
        ...

    def wait(self) -> None:
        """Until everything told is committed; raises ``IndexUnavailable`` if it is not."""
        ...


class LedgerBook:
    """The book of this process: the index's write thread and the ledger."""

    def __init__(self, index: IndexWriter, ledger: Ledger) -> None:
        self._index = index
        self._ledger = ledger
        self._pending: list[Future[None]] = []
        self._has_entries = False

    def put(self, row: Segment) -> None:
        self._pending.append(self._index.submit(lambda connection: put_segment(connection, row)))

    def drop(self, camera: str, number: int) -> None:
        self._pending.append(
            self._index.submit(lambda connection: drop_segment(connection, camera, number))
        )

    def run_started(self, run: Run) -> None:
        self._ledger.run_started(run)
        self._has_entries = True

    def gap(
        self, camera: str, start_us: int, end_us: int, cause: GapCause, detail: str, epoch: int
    ) -> None:
        self._ledger.gap(camera, start_us, end_us, cause, detail, epoch=epoch)
        self._has_entries = True

    def footage_found(
        self, camera: str, start_us: int, end_us: int, at_us: int, epoch: int
    ) -> None:
        self._ledger.footage_found(camera, start_us, end_us, at_us, epoch=epoch)
        self._has_entries = True

    def progress(self) -> None:
        return

    def wait(self) -> None:
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()
        if self._has_entries:
            self._has_entries = False
            self._ledger.flushed().result()


def recover(
    reader: Index,
    book: Book,
    volume: Volume,
    now_us: int,
    own_numbers: Mapping[str, int] | None = None,
) -> Recovery:
    """Finish what is unfinished on a volume that nobody writes to.

    Args:
        now_us: for the journal only.
        own_numbers: of each camera, the first number that this life gave out: its own segments
            are left alone, unless they were given up. None at start, when there are none.

    Raises:
        IndexUnavailable: the index does not answer.
    """
    worker = SegmentRecovery(reader, book, volume, now_us, own_numbers, is_idle=True)
    try:
        worker.finish_all()
        worker.adopt_newest()
    except VolumeError as error:
        log.error("recovery_cut_short", extra={"volume": volume.uuid, "error": str(error)})
    book.wait()
    return worker.result


def finish_given_up(
    reader: Index,
    book: Book,
    volume: Volume,
    now_us: int,
    own_numbers: Mapping[str, int],
) -> Recovery:
    """Finish what a volume had in hand when it failed, while its writer is at work again: nobody
    else writes to a segment that was given up. As :func:`recover`, but for files without a row.

    Args:
        volume: an object of its own, attached for this (not the writer's).

    Raises:
        VolumeError: it failed again; the rest waits.
        IndexUnavailable: the index does not answer.
    """
    worker = SegmentRecovery(reader, book, volume, now_us, own_numbers)
    try:
        worker.finish_all()
    finally:
        book.wait()
    return worker.result


class SegmentRecovery:
    """Recovery on one volume; also used for files that the reconciler finds."""

    def __init__(
        self,
        reader: Index,
        book: Book,
        volume: Volume,
        now_us: int,
        own_numbers: Mapping[str, int] | None,
        *,
        is_idle: bool = False,
    ) -> None:
        self._is_idle = is_idle  # nobody writes to the volume
        self.result = Recovery()
        self._reader = reader
        self._book = book
        self._volume = volume
        self._now_us = now_us
        self._own_numbers = own_numbers
        self._stones = Tombstones()
        self._synced: set[str] = set()
        self._runs: set[str] = set()

    def is_own(self, camera: str, number: int) -> bool:
        """Whether this process writes the segment, or wrote it."""
        return self._own_numbers is not None and number >= self._own_numbers.get(camera, 1)

    def is_buried(self, camera: str, number: int) -> bool:
        """Whether a segment has its tombstone: a file of it is no footage any more."""
        return self._reader.read(lambda connection: self._stones.covers(connection, camera, number))

    def finish_all(self) -> None:
        """Every unfinished row of the volume but those that its writer writes. Raises
        :class:`VolumeError`."""
        self._volume.check()
        for row in self._reader.read(rows.unfinished_segments):
            is_written = self.is_own(row.camera, row.number) and row.state is SegmentState.OPEN
            if row.volume == self._volume.uuid and not is_written:
                self.finish(row)

    def adopt_newest(self) -> None:
        """Adopt files without a row in the newest hours, going back while there are any."""
        root = self._volume.path
        try:
            for camera in camera_folders(root):
                quiet_hours = 0
                for folder in islice(hour_folders(root, camera), HOURS_MAX):
                    found = self.adopt_in(folder)
                    quiet_hours = 0 if found else quiet_hours + 1
                    if quiet_hours >= QUIET_HOURS:
                        break
        except OSError as error:
            raise unavailable(root, "list", error) from error

    def adopt_in(self, folder: str) -> int:
        """Adopt the files of one hour that have no row; how many there were."""
        self._book.progress()
        count = 0
        for file in files_in(self._volume.path, folder):
            camera, number = file.name.camera, file.name.number
            if self.is_own(camera, number) and not self._is_never_begun(file.path):
                continue
            row = self._row(camera, number)
            if row is not None and self._path_of(row) == file.path:
                continue
            if row is None and self.is_buried(camera, number):
                self.result.leftovers += (file.path,)
                continue
            count += 1
            if row is not None:
                self._leave(file.path, "its number belongs to another segment")
            else:
                self._finish_file(file.path, None)
        return count

    def _is_never_begun(self, path: str) -> bool:
        """Whether the volume's writer, which has ended, made a file and got no further."""
        return self._is_idle and not os.lstat(self._volume.path / path).st_size

    def finish(self, row: Segment) -> None:
        """Finish one unfinished row's file, or drop the row."""
        if row.state is SegmentState.SEALED and self.is_buried(row.camera, row.number):
            return  # it is about to go (retention.sweep)
        path = self._path_of(row)
        if not os.path.lexists(self._volume.path / path):
            self._volume.check()  # else it is the disk that is not there
            self._drop(row, "its file is not there")
            return
        self._finish_file(path, row)

    def _finish_file(self, path: str, row: Segment | None) -> None:
        """One file that fails is left for the next start; the others are not."""
        self._book.progress()
        try:
            self._try_to_finish(path, row)
        except VolumeError as error:
            log.error(
                "segment_not_finished",
                extra={"volume": self._volume.uuid, "path": path, "error": str(error)},
            )

    def _try_to_finish(self, path: str, row: Segment | None) -> None:
        file = self._volume.open_existing(path)
        try:
            try:
                facts = facts_of(file.read, file.size_bytes, path, self._volume.uuid)
            except SegmentCorrupt as error:
                if self._is_torn_beginning(file, row):
                    self._discard(file, row)
                else:
                    self._leave(path, str(error))
                return
            if row is not None and (row.run, row.start_us - row.offset_us) != (
                facts.segment.run,
                facts.segment.start_us,
            ):
                self._leave(path, "its row is another segment's")
                return
            if row is not None and len(row.fragments) > len(facts.segment.fragments):
                self._lose(row, facts, path)
                return
            if row is not None and _is_finished(row, facts):
                return  # given up by a failing disk, which took the trailer after all
            if row is not None and row.state is SegmentState.SEALED:
                facts = _cut_back(facts, row)
            if not facts.segment.fragments:
                self._discard(file, row)
                return
            if row is None:
                # Readable, and looked at by the next start, should one of the steps below fail.
                self._tell_run(facts.run)
                self._book.put(_as_open(facts.segment))
            self._seal(file, facts, row)
        finally:
            file.close()

    def _lose(self, row: Segment, facts: FileFacts, path: str) -> None:
        """Fragments that were durable once are not whole now: the file is evidence, and stays."""
        lost = row.fragments[len(facts.segment.fragments) :]
        self._leave(path, f"{len(lost)} fragments that were durable are not whole")
        told = self._reader.read(
            lambda connection: rows.gaps(connection, row.camera, lost[0].start_us, lost[-1].end_us)
        )
        if any(gap.cause is GapCause.FOOTAGE_LOST for gap in told):
            return  # an earlier start found it
        self.result.lost += len(lost)
        cause, epoch = GapCause.FOOTAGE_LOST, self._epoch_of(row.run)
        self._book.gap(row.camera, lost[0].start_us, lost[-1].end_us, cause, "", epoch)

    def _seal(self, file: SegmentFile, facts: FileFacts, row: Segment | None) -> None:
        segment, scanned = facts.segment, facts.scanned
        known = len(row.fragments) if row is not None else 0
        if segment.state is SegmentState.OPEN:
            reason = EndReason.RECOVERED
            if row is not None and row.state is SegmentState.SEALED:
                reason = row.end_reason or reason
            elif self._is_elsewhere(segment, known):
                segment = replace(segment, fragments=segment.fragments[:known])
            last = segment.fragments[-1]
            digest = segment_digest(scanned.header_bytes, segment.fragments)
            trailer = Trailer(
                end_us=last.end_us,
                end_reason=reason,
                fragments=segment.fragments,
                digest=digest,
            )
            whole_bytes = last.offset + last.size_bytes
            self.result.truncated += file.size_bytes > whole_bytes
            file.truncate(whole_bytes)  # R1
            file.append(trailer_bytes(trailer), may_use_reserve=True)  # R2
            segment = replace(
                segment,
                end_us=last.end_us,
                state=SegmentState.SEALED,
                size_bytes=file.size_bytes,
                end_reason=reason,
                digest=digest,
            )
        elif file.size_bytes > scanned.whole_bytes:
            file.truncate(scanned.whole_bytes)
        file.sync()  # R3
        self._sync_folders(file.path)
        self._tell_run(facts.run)  # R4
        self._tell_gaps(segment, row)
        self._book.put(segment)  # R5
        self.result.sealed += 1
        self.result.adopted += max(0, len(segment.fragments) - known)
        log.info(
            "segment_recovered",
            extra={
                "camera": segment.camera,
                "number": segment.number,
                "fragments": len(segment.fragments),
            },
        )

    def _is_elsewhere(self, segment: Segment, known: int) -> bool:
        """Whether all that follows the durable mark was recorded a second time, on another volume,
        because this one hung; then the second time counts."""
        segment = segment.retimed(self._offset_us(segment.run))
        rest = segment.fragments[known:]
        if not known or not rest:
            return False
        others = self._reader.read(
            lambda connection: rows.segments_after(
                connection, segment.camera, segment.start_us, segment.number, OTHERS_MAX
            )
        )
        return any(
            other.run == segment.run
            and other.start_us <= rest[0].start_us
            and other.end_us >= rest[-1].end_us
            for other in others
        )

    def _tell_run(self, run: Run) -> None:
        if run.run in self._runs:
            return
        if self._reader.read(lambda connection: rows.run(connection, run.run)) is None:
            self._book.run_started(run)
        self._runs.add(run.run)

    def _tell_gaps(self, segment: Segment, row: Segment | None) -> None:
        """Footage that an unseen gap lies over was not lost."""
        segment = segment.retimed(self._offset_us(segment.run))
        found = segment.fragments[len(row.fragments) if row is not None else 0 :]
        if not found:
            return
        start_us, end_us = found[0].start_us, found[-1].end_us
        gaps = self._reader.read(
            lambda connection: rows.gaps(connection, segment.camera, start_us, end_us)
        )
        if any(gap.cause in UNSEEN_CAUSES for gap in gaps):
            epoch = self._epoch_of(segment.run)
            self._book.footage_found(segment.camera, start_us, end_us, self._now_us, epoch)

    def _offset_us(self, run: str) -> int:
        """What re-timing has added to the instants in a run's files."""
        return self._reader.read(lambda connection: rows.run_offset_us(connection, run)) or 0

    def _epoch_of(self, run: str) -> int:
        """The epoch of instants that the index gives for a run: true time once it is timed."""
        found = self._reader.read(lambda connection: rows.untimed_epoch(connection, run))
        return found or 0

    def _drop(self, row: Segment, why: str) -> None:
        if row.fragments:
            self.result.lost += len(row.fragments)
            cause, epoch = GapCause.FOOTAGE_LOST, self._epoch_of(row.run)
            self._book.gap(row.camera, row.start_us, row.end_us, cause, why, epoch)
            log.error("footage_lost", extra={"camera": row.camera, "number": row.number})
        self._book.drop(row.camera, row.number)
        self.result.dropped += 1

    def _is_torn_beginning(self, file: SegmentFile, row: Segment | None) -> bool:
        """Whether a file without a header is one that never got its first write onto the disk."""
        if row is not None and not row.fragments and file.size_bytes <= TORN_BYTES_MAX:
            return True
        return file.size_bytes <= TORN_BYTES_MAX and not any(_chunks(file))

    def _discard(self, file: SegmentFile, row: Segment | None) -> None:
        """Remove a file without one whole fragment, and its row."""
        file.truncate(0)
        file.discard()
        self._sync_folders(file.path, again=True)
        if row is not None:
            self._drop(row, "its file holds no whole fragment")
        else:
            self.result.dropped += 1
        log.info("empty_segment_removed", extra={"path": file.path})

    def _leave(self, path: str, why: str) -> None:
        self.result.not_understood += (path,)
        log.error(
            "file_not_understood",
            extra={"volume": self._volume.uuid, "path": path, "error": why},
        )

    def _row(self, camera: str, number: int) -> Segment | None:
        return self._reader.read(lambda connection: rows.segment(connection, camera, number))

    def _path_of(self, row: Segment) -> str:
        return row.path

    def _sync_folders(self, path: str, *, again: bool = False) -> None:
        """The names that lead to a file may be as young as the file itself."""
        folders = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        for folder in [*reversed(folders), ""]:
            if folder in self._synced and not (again and folder == folders[-1]):
                continue
            _sync_folder(self._volume.path / folder)
            self._synced.add(folder)


def _chunks(file: SegmentFile) -> Iterable[bytes]:
    """The file's bytes without its zeros: empty pieces where there is nothing else."""
    for offset in range(0, file.size_bytes, 1 << 20):
        yield file.read(offset, 1 << 20).strip(b"\0")


def _sync_folder(path: Path) -> None:
    try:
        sync_folder(path)
    except OSError as error:
        raise unavailable(path, "fsync", error) from error


def counted(recovery: Recovery) -> dict[str, int]:
    """By the ``result`` label of ``nvr_recovery_fragments_total``."""
    return {
        "adopted": recovery.adopted,
        "truncated": recovery.truncated,
        "lost": recovery.lost,
    }


def _is_finished(row: Segment, facts: FileFacts) -> bool:
    return (
        row.state is facts.segment.state is SegmentState.SEALED
        and row.digest == facts.segment.digest
        and row.size_bytes == facts.size_bytes
    )


def _cut_back(facts: FileFacts, row: Segment) -> FileFacts:
    """A file that was given up: what follows its mark was recorded elsewhere, trailer or not."""
    known = len(row.fragments)
    if len(facts.segment.fragments) <= known:
        return facts
    fragments = facts.segment.fragments[:known]
    segment = replace(facts.segment, fragments=fragments, state=SegmentState.OPEN)
    return replace(facts, segment=segment)


def _as_open(segment: Segment) -> Segment:
    last = segment.fragments[-1]
    return replace(
        segment,
        end_us=max(last.end_us, segment.start_us),
        state=SegmentState.OPEN,
        size_bytes=last.offset + last.size_bytes,
        end_reason=None,
        digest=b"",
    )

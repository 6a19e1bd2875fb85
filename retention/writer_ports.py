"""What a volume's writer is told, what it tells, and whom.

Operations come from any thread and are done in order. Events for the recorder, rows for the index
and latencies are told from the writer's own thread, so no receiver may block.

A further operation is a class in ``Operation`` and a method of :class:`WriterOperations`, a further
event a class in ``WriterEvent``: the way to a writer in a process of its own (``volume_wire``)
carries both as they are declared here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from retention.model import EndReason, Fragment, GapCause, Segment, SegmentHeader
from retention.volume_errors import VolumeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Write the next fragment of an open segment."""

    camera: str
    number: int
    fragment: Fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """End a segment behind its last fragment."""

    camera: str
    number: int
    reason: EndReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Give a segment up at its durable mark."""

    camera: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """Append a line, with its line feed, to the volume's journal."""

    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomedFile:
    """A segment that has its tombstone, and is still there."""

    camera: str
    number: int
    path: str  # relative to the volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete segments once the volume's journal holds their tombstones durably."""

    files: tuple[DoomedFile, ...]
    tombstones: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Seal all that is open, make everything durable, and end."""


#: A header announces a segment.
Operation = SegmentHeader | Append | Seal | Abandon | JournalLine | Delete | Close


class WriterOperations:
    """What may be asked of a volume's writer. From any thread; nothing here blocks."""

    def post(self, operation: Operation) -> None:
        raise NotImplementedError

    def open(self, header: SegmentHeader) -> None:
        """Announce a segment; its file and row are made when its first fragment comes."""
        self.post(header)

    def append(self, camera: str, number: int, fragment: Fragment) -> None:
        """Write the next fragment of an open segment."""
        self.post(Append(camera=camera, number=number, fragment=fragment))

    def seal(self, camera: str, number: int, reason: EndReason) -> None:
        """End a segment behind its last fragment; told as :class:`Sealed` once it is durable."""
        self.post(Seal(camera=camera, number=number, reason=reason))

    def abandon(self, camera: str, number: int) -> None:
        """Give a segment up whose volume does not answer; it is submitted elsewhere by now.

        It ends at its durable mark. Events about it that are under way may still arrive.
        """
        self.post(Abandon(camera=camera, number=number))

    def journal(self, line: bytes) -> None:
        """Append a line (with its line feed) to the volume's journal, durable with the group."""
        self.post(JournalLine(line=line))

    def delete(self, files: Sequence[DoomedFile], tombstones: Sequence[bytes]) -> None:
        """Delete segments, one at a time between other operations; told as one :class:`Deleted`.

        Only for retention.sweep. Nothing is deleted before the volume's journal holds the
        tombstones durably.

        Args:
            tombstones: the journal's lines (with line feeds) that tell of these files; they are
                known to have been handed to :meth:`journal` before.
        """
        self.post(Delete(files=tuple(files), tombstones=tuple(tombstones)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """The next ``fragments`` fragments of a segment, in order of submission, are on the disk."""

    camera: str
    number: int
    end_us: int
    fragments: int
    size_bytes: int  # of these fragments
    row: Segment | None = None  # the segment as the index is to know it from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A segment is whole and durable; nothing more is told of it."""

    camera: str
    number: int
    end_us: int
    reason: EndReason
    size_bytes: int  # of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A segment was given up at its durable mark; nothing more is told of it.

    What was submitted and not told :class:`Durable` is to be submitted anew, under another number.
    """

    camera: str
    number: int
    durable_end_us: int | None  # None: nothing of it was durable, and it has no row and no file
    cause: GapCause
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A batch of deletions is over; told once for each."""

    volume: str
    gone: tuple[DoomedFile, ...]  # for good: their folders are synced
    left: tuple[DoomedFile, ...]  # to be tried again
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A fragment that no segment can hold was dropped; :class:`Durable` counts it all the same."""

    camera: str
    number: int
    start_us: int
    end_us: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChanged:
    """A volume got worse, or was proven well by a probe write."""

    volume: str
    state: VolumeState
    error: str = ""


WriterEvent = Durable | Sealed | Failed | Refused | Deleted | VolumeChanged
Report = Callable[[WriterEvent], None]


class SegmentRows(Protocol):
    """The index, as the writer needs it (``retention.index.write``). No call may block."""

    def segment_opened(self, segment: Segment, path: str) -> Future[Any]:
        """Commit the row of a segment that has no byte yet; the future tells when."""
        ...

    def fragments_durable(self, segments: Sequence[Segment]) -> object:
        """These open segments have grown: ``fragments`` are all the durable ones."""
        ...

    def segment_sealed(self, segment: Segment) -> object:
        """The segment is whole and durable, or was given up at its durable mark."""
        ...

    def segment_discarded(self, camera: str, number: int) -> object:
        """Withdraw the row of an open segment: nothing of it became durable, its file is gone."""
        ...


class DiskObserver(Protocol):
    """Latencies and errors of one volume, for the metrics."""

    def wrote(self, volume: str, seconds: float) -> None: ...
    def synced(self, volume: str, seconds: float) -> None: ...
    def io_error(self, volume: str, operation: str, errno_name: str) -> None: ...

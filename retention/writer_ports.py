"""What a volume's writer tells, and whom: events for the recorder, rows for the index, latencies.

All of it is called from the writer's own thread, so no receiver may block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from retention.model import EndReason, GapCause, Segment
from retention.volume_errors import VolumeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """The next ``fragments`` fragments of a segment, in order of submission, are on the disk."""

    camera: str
    number: int
    end_us: int
    fragments: int
    size_bytes: int  # of these fragments


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
class DoomedFile:
    """A segment that has its tombstone, and is still there."""

    camera: str
    number: int
    path: str  # relative to the volume


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

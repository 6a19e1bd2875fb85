"""What ``edge`` and the process of a volume say to each other. Core: values only.

Requests are answered by a value of ``Answer``; while one is worked on
the child tells what it finds (``Call``). Operations, events, rows and latencies
(``retention.writer_ports``) go one way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from config.errors import XueliangError
from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.model import GapCause, Run, Segment
from retention.volume_errors import VolumeError, VolumeState, VolumeUnavailable
from retention.writer_ports import Append, Operation, WriterEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Take the volume at ``path`` into use, or stamp it if it is blank and not known yet."""

    path: str
    uuid: str | None  # that the index knows for this path
    new_uuid: str  # for its stamp, if it gets one
    now_us: int
    reserve_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListJournal:
    """Which parts has the volume's replica of the journal?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadJournal:
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveJournal:
    """Append whole lines to the replica; durable when answered."""

    lines: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Finish what is unfinished (``retention.recover``)."""

    index_path: str
    now_us: int
    own_numbers: dict[str, int] | None
    is_beside_writer: bool = False  # only what was given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Compare all files and rows (``retention.reconcile``)."""

    index_path: str
    now_us: int
    own_numbers: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Wait until the replica holds a line durably (``retention.replica.has_durably``)."""

    line: str
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAt:
    """What does this file say of itself?"""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWriter:
    durability_us: int


Request = (
    Attach
    | ListJournal
    | ReadJournal
    | GiveJournal
    | Recover
    | Reconcile
    | Confirm
    | LookAt
    | StartWriter
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    uuid: str
    device: int  # as stat tells it
    capacity_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalParts:
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPart:
    lines: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    segment: Segment | None


@dataclass(slots=True, kw_only=True)
class Recovery:
    """What recovery found; fragments unless said otherwise."""

    adopted: int = 0  # that the index did not know
    truncated: int = 0  # files cut behind their last whole fragment
    lost: int = 0  # that were durable once and are not whole now
    sealed: int = 0  # segments finished
    dropped: int = 0  # rows and files without footage
    not_understood: tuple[str, ...] = ()  # files left as they are
    leftovers: tuple[str, ...] = ()  # files that have their tombstone, and no row

    def add(self, other: Recovery) -> None:
        self.adopted += other.adopted
        self.truncated += other.truncated
        self.lost += other.lost
        self.sealed += other.sealed
        self.dropped += other.dropped
        self.not_understood += other.not_understood
        self.leftovers += other.leftovers


@dataclass(slots=True, kw_only=True)
class Reconciled:
    """One volume, compared to the end unless ``is_whole`` says otherwise."""

    orphan_bytes: int = 0  # in files that no row knows
    missing_segments: int = 0  # rows without a file
    recovery: Recovery | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error, told by its code; ``state`` only if it is the volume's."""

    code: str
    message: str
    hint: str
    state: str = ""
    operation: str = ""
    errno_name: str = ""

    @classmethod
    def of(cls, error: XueliangError) -> Failure:
        volume = error if isinstance(error, VolumeError) else None
        return cls(
            code=error.code,
            message=str(error),
            hint=error.hint,
            state="" if volume is None else volume.state.value,
            operation="" if volume is None else volume.operation,
            errno_name="" if volume is None else volume.errno_name,
        )

    def as_error(self) -> VolumeError | IndexUnavailable:
        """The error again; one of neither kind is the volume's."""
        if self.code == IndexCorrupt.code:
            return IndexCorrupt(self.message)
        if self.code == IndexUnavailable.code:
            return IndexUnavailable(self.message, hint=self.hint)
        error = VolumeUnavailable(
            self.message,
            state=VolumeState(self.state) if self.state else VolumeState.FAILED,
            operation=self.operation,
            hint=self.hint,
        )
        error.errno_name = self.errno_name
        return error


Answer = (
    Attached
    | JournalParts
    | JournalPart
    | Seen
    | Recovery
    | Reconciled
    | Confirmed
    | Done
    | Failure
)


# While recovery or comparison goes on ----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRow:
    row: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRow:
    camera: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFound:
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class GapFound:
    camera: str
    start_us: int
    end_us: int
    cause: GapCause
    detail: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FootageFound:
    camera: str
    start_us: int
    end_us: int
    at_us: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Work goes on; resets the time in which the disk is taken to hang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitRows:
    """Until everything told so far is in the index; wants a :class:`Reply`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Between two folders of a comparison; wants a :class:`Reply`."""


Call = PutRow | DropRow | RunFound | GapFound | FootageFound | Progress | AwaitRows | Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    go_on: bool = True
    failure: Failure | None = None


# What a writer tells besides its events --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOpened:
    """Wants :class:`RowCommitted` with the same token."""

    token: int
    row: Segment
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCommitted:
    token: int
    error: str  # empty: it is on the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSealed:
    row: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDiscarded:
    camera: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    seconds: float
    done_bytes: int  # media dealt with since the writer started


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IoError:
    operation: str
    errno_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """Told every second."""

    busy_since_us: int | None  # monotonic: inside one disk operation since then
    done_bytes: int
    journal_is_behind: bool
    capacity_bytes: int | None = None  # told every few seconds
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The writer has ended as asked."""


_News = RowOpened | RowSealed | RowDiscarded | Wrote | Synced | IoError | Alive | Closed

Message = Operation | Request | Reply | RowCommitted | WriterEvent | Answer | Call | _News
_ALL = (Operation, Request, WriterEvent, Answer, Call, _News)
#: Every kind of message, by the name that it has on the wire.
KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in [Append, Reply, RowCommitted, *(one for union in _ALL for one in get_args(union))]
}

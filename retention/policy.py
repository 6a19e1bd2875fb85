"""What to delete, and why: the one place that decides it. Core.

Retention is a band. Footage older than ``max_days`` goes, footage younger than the floor
(``min_days``) stays, both judged by the segment's *end* on trusted time. In between it goes when
the disks need the room, the globally oldest first. Only where that is not enough, and the settings
say ``overwrite``, does the oldest footage under the floor go: a breach, told as such in its
tombstone. What is under a hold never goes, nor does footage of an unknown time while any hold
stands on its camera: it might be the held one.

While time is not trusted nothing goes by its age. Pressure goes on, in the order of recording, and
every such deletion counts as a breach, for nobody can say that it is none.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from retention.holds import EVERY_CAMERA, Hold
from retention.model import US_PER_S

DAY_US = 86_400 * US_PER_S
#: What is due by age goes once so much of a camera has come together: a tombstone of an hour's
#: segments is as long as that of one.
BATCH_US = 3_600 * US_PER_S
#: Deletions of one turn; as many as a disk unlinks in a minute.
TURN_SEGMENTS_MAX = 12_000

#: Pressure begins when so much recording fits the disks, and ends when so much does again: early
#: where footage over its floor can go, late where each hour is a breach.
EASY_BEGINS_S, EASY_ENDS_S = 3_600, 7_200
BREACH_BEGINS_S, BREACH_ENDS_S = 600, 1_800
#: What is taken for either while the rate is not known: a few seconds of a large site.
UNKNOWN_BYTES = 256 << 20
#: But at most such shares (one in so many) of what a small disk can hold at all.
EASY_BEGINS_SHARE, EASY_ENDS_SHARE = 6, 3
BREACH_BEGINS_SHARE, BREACH_ENDS_SHARE = 8, 4


class Reason(StrEnum):
    """Why footage goes; also the ``reason`` of tombstones and metrics."""

    AGE = "age"  # over max_days
    OVER_FLOOR = "over_floor"  # the disks need its room, and the floor is behind it
    OVERWRITTEN = "overwritten"  # the disks need its room, and it is a breach of the floor
    REMOVED = "removed"  # of a camera that is not in service any more, past its floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A sealed segment that nothing is known of to be under way."""

    camera: str
    number: int
    volume: str
    start_us: int
    end_us: int
    size_bytes: int
    is_time_known: bool  # recorded on trusted time, or re-timed since
    offset_us: int = 0  # contained in the instants, not in the file's name
    epoch: int = 0  # of an unknown time: what its instants will be moved with


class Shelf(Protocol):
    """Footage that can be deleted: sealed, on disks that answer, not marked. Read lazily."""

    def by_time(self, camera: str, from_us: int) -> Iterator[Candidate]:
        """In order of start, those that start at ``from_us`` or later."""
        ...

    def by_number(self, camera: str) -> Iterator[Candidate]:
        """In the order in which they were recorded."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One volume as it stands."""

    volume: str
    capacity_bytes: int
    free_bytes: int  # the reserve included
    reserve_bytes: int
    is_writable: bool  # well, or only full
    is_retiring: bool = False
    under_way_bytes: int = 0  # of deletions that are decided and not done
    heal_bytes: int = 0  # with less than this beyond its reserve a full volume stays full

    @property
    def usable_bytes(self) -> int:
        """What footage and other files can ever take of it."""
        return max(0, self.capacity_bytes - self.reserve_bytes)

    @property
    def left_bytes(self) -> int:
        """What can be recorded to it, once what is under way is done; below zero where other
        files have eaten into the reserve."""
        return self.free_bytes - self.reserve_bytes + self.under_way_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """How long footage of a camera is kept."""

    min_us: int
    max_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that policy goes by."""

    band: Band  # of cameras without one of their own, removed ones too
    bands: Mapping[str, Band] = field(default_factory=dict)
    overwrites: bool = True  # on_full; else recording stops by itself when the disks are full

    def band_of(self, camera: str) -> Band:
        return self.bands.get(camera, self.band)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    segment: Candidate
    reason: Reason

    @property
    def is_breach(self) -> bool:
        return self.reason is Reason.OVERWRITTEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one turn does."""

    deletions: tuple[Deletion, ...] = ()
    is_pressed: bool = False  # the disks need room
    is_short: bool = False  # and did not get all of it: held, or on_full = stop
    is_cut: bool = False  # there is more to delete than a turn may


def plan(
    *,
    cameras: Iterable[str],
    removed: frozenset[str],
    shelf: Shelf,
    rooms: Sequence[Room],
    holds: Sequence[Hold],
    rules: Rules,
    trusted_us: int | None,
    bytes_per_s: float,
    turn_segments: int = TURN_SEGMENTS_MAX,
) -> Plan:
    """Decide one turn.

    Args:
        cameras: every camera that has footage.
        removed: those of them that are not in service any more.
        holds: all of them, or those that were not released.
        trusted_us: trusted time; None while there is none.
        bytes_per_s: at which all cameras together record; 0 while that is not known.
    """
    names = list(cameras)
    turn = _Turn(shelf, [hold for hold in holds if hold.state(trusted_us).holds], turn_segments)
    if trusted_us is not None:
        for camera in names:
            _age(turn, camera, rules.band_of(camera), trusted_us, is_removed=camera in removed)
    needs = [room for room in rooms if room.is_writable and not room.is_retiring]
    easy = _Need(needs, bytes_per_s, EASY_BEGINS_S, EASY_ENDS_S, EASY_BEGINS_SHARE, EASY_ENDS_SHARE)
    is_pressed = easy.is_felt(turn)
    if is_pressed and trusted_us is not None:
        over_floor = [_past_floor(turn, name, rules.band_of(name), trusted_us) for name in names]
        _relieve(turn, easy, over_floor, Reason.OVER_FLOOR)
    hard = _Need(
        needs, bytes_per_s, BREACH_BEGINS_S, BREACH_ENDS_S, BREACH_BEGINS_SHARE, BREACH_ENDS_SHARE
    )
    is_short = hard.is_felt(turn)
    if is_short and rules.overwrites:
        oldest = [turn.unheld_by_number(name) for name in names]
        is_short = not _relieve(turn, hard, oldest, Reason.OVERWRITTEN)
    return Plan(
        deletions=tuple(turn.deletions),
        is_pressed=is_pressed,
        is_short=is_short and not turn.is_full,
        is_cut=turn.is_full,
    )


class _Turn:
    """What was decided so far, and how far it may go."""

    def __init__(self, shelf: Shelf, holds: Sequence[Hold], segments_max: int) -> None:
        self.deletions: list[Deletion] = []
        self.freed_bytes: dict[str, int] = {}  # by volume
        self._taken: set[tuple[str, int]] = set()
        self._shelf = shelf
        self._holds = holds
        self._segments_max = segments_max

    @property
    def is_full(self) -> bool:
        return len(self.deletions) >= self._segments_max

    def take(self, segment: Candidate, reason: Reason) -> None:
        self.deletions.append(Deletion(segment=segment, reason=reason))
        self._taken.add((segment.camera, segment.number))
        freed = self.freed_bytes.get(segment.volume, 0)
        self.freed_bytes[segment.volume] = freed + segment.size_bytes

    def unheld_by_time(self, camera: str) -> Iterator[Candidate]:
        """Footage of known time that may go, the oldest first."""
        from_us: int | None = _BEGINNING_US
        while from_us is not None:
            at_us, from_us = from_us, None
            for segment in self._shelf.by_time(camera, at_us):
                hold = self._hold_on(segment)
                if hold is None:
                    if segment.is_time_known and not self._is_taken(segment):
                        yield segment
                elif hold.from_us <= segment.start_us < hold.to_us and segment.is_time_known:
                    from_us = hold.to_us  # whatever starts before its end is held, too
                    break

    def unheld_by_number(self, camera: str) -> Iterator[Candidate]:
        for segment in self._shelf.by_number(camera):
            if self._hold_on(segment) is None and not self._is_taken(segment):
                yield segment

    def _is_taken(self, segment: Candidate) -> bool:
        return (segment.camera, segment.number) in self._taken

    def _hold_on(self, segment: Candidate) -> Hold | None:
        return hold_on(self._holds, segment)


#: Before any instant that a file can carry.
_BEGINNING_US = -(1 << 62)


def hold_on(holds: Iterable[Hold], segment: Candidate) -> Hold | None:
    """Which of these holds keeps a segment; one of unknown time is kept by any on its camera."""
    for hold in holds:
        if segment.is_time_known:
            if hold.touches(segment.camera, segment.start_us, segment.end_us):
                return hold
        elif hold.camera in (EVERY_CAMERA, segment.camera):
            return hold
    return None


def _age(turn: _Turn, camera: str, band: Band, now_us: int, *, is_removed: bool) -> None:
    """What is over the band, or of a removed camera past its floor, once it is a batch."""
    kept_us = band.min_us if is_removed else band.max_us
    reason = Reason.REMOVED if is_removed else Reason.AGE
    is_batch = False
    for segment in turn.unheld_by_time(camera):
        if segment.start_us + kept_us > now_us or turn.is_full:
            return
        if segment.end_us + kept_us > now_us:
            continue
        if not is_batch and segment.end_us + kept_us > now_us - BATCH_US:
            return
        is_batch = True
        turn.take(segment, reason)


def _past_floor(turn: _Turn, camera: str, band: Band, now_us: int) -> Iterator[Candidate]:
    for segment in turn.unheld_by_time(camera):
        if segment.start_us + band.min_us > now_us:
            return
        if segment.end_us + band.min_us <= now_us:
            yield segment


@dataclass(frozen=True, slots=True)
class _Need:
    """When volumes want room, and how much."""

    rooms: Sequence[Room]
    bytes_per_s: float
    begins_s: int
    ends_s: int
    begins_share: int
    ends_share: int

    def counts(self, volume: str) -> bool:
        return any(room.volume == volume for room in self.rooms)

    def is_felt(self, turn: _Turn) -> bool:
        """Not while any volume has room: new footage goes there. And not without a volume."""
        return bool(self.rooms) and all(
            self._left_bytes(room, turn) <= self._begin_bytes(room) for room in self.rooms
        )

    def is_met(self, turn: _Turn) -> bool:
        left_bytes = sum(max(0, self._left_bytes(room, turn)) for room in self.rooms)
        return not self.is_felt(turn) and left_bytes >= self._end_bytes()

    def _left_bytes(self, room: Room, turn: _Turn) -> int:
        return room.left_bytes + turn.freed_bytes.get(room.volume, 0)

    def _begin_bytes(self, room: Room) -> int:
        share_bytes = room.usable_bytes // self.begins_share
        return max(room.heal_bytes, self._bounded(share_bytes, self.begins_s))

    def _end_bytes(self) -> int:
        usable_bytes = sum(room.usable_bytes for room in self.rooms)
        return self._bounded(usable_bytes // self.ends_share, self.ends_s)

    def _bounded(self, share_bytes: int, seconds: int) -> int:
        """So much recording, but at most a share of a small disk; little where no rate is known."""
        wanted = UNKNOWN_BYTES if self.bytes_per_s <= 0 else int(self.bytes_per_s * seconds)
        return min(share_bytes, wanted)


def _relieve(
    turn: _Turn, need: _Need, footage: Sequence[Iterator[Candidate]], reason: Reason
) -> bool:
    """Take the globally oldest until the need is met; whether it was."""
    for segment in heapq.merge(*footage, key=_end_of):
        if need.is_met(turn) or turn.is_full:
            break
        if need.counts(segment.volume):
            turn.take(segment, reason)
    return need.is_met(turn)


def _end_of(segment: Candidate) -> int:
    return segment.end_us

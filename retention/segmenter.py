"""Cuts one camera's units into runs, segments and fragments. Core: no I/O, no clock, no log.

* A fragment is a group of pictures: it ends where the next key frame begins, or after 4 s or
  4 MiB of a long group. It is handed out when the first unit behind its successor's first picture
  has come, for only then is it known where the successor's pictures begin (B-frames shown before a
  key frame follow it in the stream). So fragments meet exactly.
* A segment is cut at the first key frame at or after its boundary. Boundaries are one segment's
  length apart, each camera at its own offset, so that closes do not come in a burst.
* A session begins at its first key frame; after it every unit comes out once, in order.

The actions are values for the recorder to carry out in order. ``OpenSegment`` comes with the
first fragment, so a segment without one never exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from retention.model import (
    GAP_MIN_US,
    US_PER_S,
    AccessUnit,
    ClockState,
    EndReason,
    Fragment,
    GapCause,
    MediaFormat,
    Run,
    SegmentHeader,
    Track,
)
from retention.timebase import RunReason

SEGMENT_US = 60 * US_PER_S
FRAGMENT_US = 4 * US_PER_S
FRAGMENT_BYTES = 4 * 1024 * 1024
#: Without a key frame for this long the camera is asked for one, and asked again.
ASK_KEY_FRAME_US = 120 * US_PER_S
#: The same before a session's first key frame, where each second is one lost.
ASK_FIRST_KEY_FRAME_US = 5 * US_PER_S
#: Without a key frame for this long the segment is cut all the same.
CUT_WITHOUT_KEY_US = 300 * US_PER_S
#: Audio this far ahead of the last picture is not footage: the video has stopped.
AUDIO_AHEAD_MAX_US = 5 * US_PER_S
#: No picture is taken to last longer than this when nothing follows it.
PICTURE_MAX_US = US_PER_S
PICTURE_DEFAULT_US = US_PER_S // 25


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    run: Run
    reason: RunReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSegment:
    header: SegmentHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendFragment:
    number: int
    fragment: Fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class SealSegment:
    number: int
    end_us: int
    reason: EndReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AskKeyFrame:
    """No key frame for ``missing_us``: ask the camera for one."""

    missing_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Pictures are missing inside a session; ``cause`` is None where only the session knows it."""

    start_us: int
    end_us: int
    cause: GapCause | None


#: Runs that begin where the one before ended.
_UNBROKEN = (None, RunReason.FORMAT, RunReason.TRUST)

Action = StartRun | OpenSegment | AppendFragment | SealSegment | AskKeyFrame | Hole


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What the shell knows when a run begins."""

    run: str
    clock: ClockState
    epoch: int | None = None


@dataclass(slots=True)
class _Gathering:
    """A fragment that is being gathered, and what is to happen before it is handed out."""

    units: list[AccessUnit]
    is_key: bool
    first_us: int  # of its first picture in the stream
    oldest_us: int  # of its pictures as shown
    newest_us: int
    size_bytes: int
    pictures: int = 1
    #: Ends the segment before it, for this reason.
    cut: EndReason | None = None
    new_run: RunReason | None = None
    #: What the shell knows of that run.
    begun: NewRun | None = None
    #: What it is in, if not what its predecessor was in.
    format: MediaFormat | None = None
    #: Where pictures are missing before it.
    is_after_hole: bool = False

    def add(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self.size_bytes += len(unit.data)
        if unit.track is Track.VIDEO:
            self.pictures += 1
            self.oldest_us = min(self.oldest_us, unit.pts_us)
            self.newest_us = max(self.newest_us, unit.pts_us)


@dataclass(slots=True)
class _Open:
    """The segment that fragments go to."""

    number: int
    end_us: int = 0


@dataclass(slots=True, kw_only=True)
class Segmenter:
    """One camera's cutter.

    Call :meth:`set_format` for each format that the session tells (after
    ``RunClock.flush`` has been fed), :meth:`feed` for each placed unit, and :meth:`end` when the
    session ends. Carry out the actions of each call, in order, before the next.

    Args:
        camera: its id.
        next_number: one more than the highest segment number the camera ever had.
        new_run: called when a run begins, with what UTC minus CLOCK_MONOTONIC is in it, for its id
            and the state of the host's clock.
        segment_us: how long segments are meant to be.
    """

    camera: str
    next_number: int
    new_run: Callable[[int], NewRun]
    segment_us: int = SEGMENT_US
    #: Units that no segment takes: before the first key frame, and audio without video.
    dropped_units: int = field(init=False, default=0)
    #: Length of the last whole group of pictures.
    key_interval_us: int | None = field(init=False, default=None)

    _offset_us: int = field(init=False)
    _told: MediaFormat | None = field(init=False, default=None)
    _format: MediaFormat | None = field(init=False, default=None)
    _run: Run | None = field(init=False, default=None)
    _begun: NewRun | None = field(init=False, default=None)  # of the fragment in hand
    _open: _Open | None = field(init=False, default=None)
    #: The first key frame from here on begins a segment.
    _boundary_us: int = field(init=False, default=0)
    #: The fragment in hand, and before it one whose end is not known yet.
    _ending: _Gathering | None = field(init=False, default=None)
    _current: _Gathering | None = field(init=False, default=None)
    _picture_us: int = field(init=False, default=PICTURE_DEFAULT_US)
    _end_us: int | None = field(init=False, default=None)  # of what was handed out this session
    _run_reason: RunReason | None = field(init=False, default=None)
    _skew_us: int = field(init=False, default=0)
    _is_renewing: bool = field(init=False, default=False)
    _key_us: int | None = field(init=False, default=None)  # newest key frame, or cut without one
    _asked_us: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.camera.encode()).digest()
        self._offset_us = int.from_bytes(digest[:8]) % self.segment_us

    @property
    def in_hand(self) -> tuple[str, MediaFormat] | None:
        """Run and format of the unit that was fed last, before it is handed out; None before a
        session's first key frame."""
        if self._current is None or self._begun is None or self._format is None:
            return None
        return self._begun.run, self._format

    def set_format(self, told: MediaFormat) -> None:
        """The next key frame is in this format: if it is another one, a run begins there."""
        self._told = told

    def renew(self) -> None:
        """The host's time is not trusted any more: the next key frame begins a run."""
        self._is_renewing = True

    def feed(
        self,
        unit: AccessUnit,
        new_run: RunReason | None = None,
        *,
        step_us: int = 0,
        skew_us: int = 0,
    ) -> list[Action]:
        """Take the next unit; the rest as :class:`retention.timebase.Placement` says.

        Where the host's clock was stepped that alone makes no hole: what came before goes on at
        the same moment, told on the new clock.
        """
        actions: list[Action] = []
        if new_run is not None:
            if self._current is not None:
                self._finish(actions)
            self._run_reason, self._skew_us = new_run, skew_us
            if self._end_us is not None:
                self._end_us += step_us
            if self._key_us is not None:
                self._key_us += step_us
            if self._asked_us is not None:
                self._asked_us += step_us
        if unit.track is Track.AUDIO:
            self._feed_audio(unit, actions)
        else:
            self._feed_picture(unit, actions)
        return actions

    def end(self, reason: EndReason = EndReason.RUN_ENDED) -> list[Action]:
        """The session ended: hand out what is in hand, seal, and wait for a key frame."""
        actions: list[Action] = []
        self._finish(actions)
        self._seal(actions, reason)
        self._told = self._format = self._run = self._run_reason = self._begun = None
        self._end_us = self._key_us = self._asked_us = None
        self._is_renewing = False
        self._picture_us = PICTURE_DEFAULT_US
        return actions

    def _feed_audio(self, unit: AccessUnit, actions: list[Action]) -> None:
        current = self._current
        if current is None or current.size_bytes + len(unit.data) > 2 * FRAGMENT_BYTES:
            self.dropped_units += 1
        elif self._format is None or self._format.audio is None:
            self.dropped_units += 1  # there is no track for it
        elif unit.pts_us > current.newest_us + AUDIO_AHEAD_MAX_US:
            self.dropped_units += 1
            self._finish(actions)
        else:
            current.add(unit)

    def _feed_picture(self, unit: AccessUnit, actions: list[Action]) -> None:
        is_start = self._end_us is None and self._current is None
        if is_start and not (unit.is_key and self._told is not None):
            self.dropped_units += 1
            self._key_us = unit.pts_us if self._key_us is None else self._key_us
            self._ask(unit.pts_us, ASK_FIRST_KEY_FRAME_US, actions)
            return
        if self._current is not None:
            self._go_on(self._current, unit, actions)
        else:
            is_after_hole = self._end_us is not None and unit.pts_us - self._end_us >= GAP_MIN_US
            self._begin(unit, is_after_hole=is_after_hole)
        if unit.is_key:
            if self._key_us is not None and not is_start:
                self.key_interval_us = max(0, unit.pts_us - self._key_us)
            self._key_us, self._asked_us = unit.pts_us, None
        else:
            self._ask(unit.pts_us, ASK_KEY_FRAME_US, actions)

    def _go_on(self, current: _Gathering, unit: AccessUnit, actions: list[Action]) -> None:
        if self._ending is not None and unit.pts_us > current.first_us:
            self._hand_out_ending(actions, current.oldest_us)
        step_us = unit.pts_us - current.newest_us
        if step_us - self._picture_us_of(current) >= GAP_MIN_US:
            self._finish(actions)
            self._begin(unit, is_after_hole=True)
            return
        size_bytes = current.size_bytes + len(unit.data)
        is_long = size_bytes > 2 * FRAGMENT_BYTES or (
            step_us > 0
            and (unit.pts_us - current.oldest_us >= FRAGMENT_US or size_bytes > FRAGMENT_BYTES)
        )
        if unit.is_key or is_long:
            if self._ending is not None:
                self._hand_out_ending(actions, current.oldest_us)
            self._picture_us = self._picture_us_of(current)
            self._ending = current
            self._begin(unit)
        else:
            current.add(unit)

    def _begin(self, unit: AccessUnit, *, is_after_hole: bool = False) -> None:
        """Begin a fragment, and decide what begins with it."""
        gathering = _Gathering(
            units=[unit],
            is_key=unit.is_key,
            first_us=unit.pts_us,
            oldest_us=unit.pts_us,
            newest_us=unit.pts_us,
            size_bytes=len(unit.data),
            is_after_hole=is_after_hole,
        )
        self._current = gathering
        if self._run_reason is not None or self._format is None:
            gathering.new_run, self._run_reason = self._run_reason or RunReason.SESSION, None
            gathering.cut = EndReason.CLOCK
        if unit.is_key and self._told is not None and self._told != self._format:
            gathering.format = self._format = self._told
            if gathering.new_run is None:
                gathering.new_run, gathering.cut = RunReason.FORMAT, EndReason.FORMAT
        if unit.is_key and self._is_renewing and gathering.new_run is None:
            gathering.new_run, gathering.cut = RunReason.TRUST, EndReason.CLOCK
        if gathering.new_run is not None:
            gathering.begun = self._begun = self.new_run(self._skew_us)
            self._is_renewing = False
        if gathering.cut is None:
            gathering.cut = self._cut_at(unit, is_after_hole=is_after_hole)
        if gathering.cut is not None:
            # at least half a segment long, so that a session does not begin with a scrap
            earliest_us = unit.pts_us + self.segment_us // 2
            self._boundary_us = earliest_us + (self._offset_us - earliest_us) % self.segment_us
        if gathering.cut is EndReason.NO_KEY_FRAME:
            self._key_us, self._asked_us = unit.pts_us, None

    def _cut_at(self, unit: AccessUnit, *, is_after_hole: bool) -> EndReason | None:
        """Whether a segment is cut before this picture, inside a run."""
        if unit.is_key and is_after_hole:
            return EndReason.RUN_ENDED
        if unit.is_key and unit.pts_us >= self._boundary_us:
            return EndReason.ROTATED
        if self._key_us is not None and unit.pts_us - self._key_us >= CUT_WITHOUT_KEY_US:
            return EndReason.NO_KEY_FRAME
        return None

    def _finish(self, actions: list[Action]) -> None:
        """Hand out all that is in hand: nothing follows it closely."""
        current = self._current
        if current is None:
            return
        if self._ending is not None:
            self._hand_out_ending(actions, current.oldest_us)
        self._current = None
        self._picture_us = self._picture_us_of(current)
        self._hand_out(actions, current, current.newest_us + self._picture_us)

    def _picture_us_of(self, gathered: _Gathering) -> int:
        """How long its last picture is taken to last: as long as the others on average."""
        if gathered.pictures == 1 or gathered.newest_us == gathered.oldest_us:
            return self._picture_us
        mean_us = (gathered.newest_us - gathered.oldest_us) // (gathered.pictures - 1)
        return max(1, min(mean_us, PICTURE_MAX_US))

    def _hand_out_ending(self, actions: list[Action], next_us: int) -> None:
        assert self._ending is not None
        ending, self._ending = self._ending, None
        self._hand_out(actions, ending, max(next_us, ending.newest_us + 1))

    def _hand_out(self, actions: list[Action], gathered: _Gathering, end_us: int) -> None:
        start_us = gathered.oldest_us
        if self._end_us is not None and gathered.new_run in _UNBROKEN:
            # Pictures that came out of order may have filled what looked like a hole.
            is_hole = gathered.is_after_hole and start_us - self._end_us >= GAP_MIN_US
            start_us = start_us if is_hole else self._end_us
        end_us = max(end_us, start_us + 1)
        if gathered.cut is not None:
            self._seal(actions, gathered.cut)
        if self._end_us is not None and start_us - self._end_us >= GAP_MIN_US:
            is_clock = gathered.new_run in (RunReason.CLOCK, RunReason.CAMERA)
            cause = GapCause.CLOCK_STEPPED if is_clock else None
            actions.append(Hole(start_us=self._end_us, end_us=start_us, cause=cause))
        if gathered.new_run is not None:
            self._start_run(actions, gathered, start_us)
        if self._open is None:
            self._open_segment(actions, start_us)
        assert self._open is not None
        fragment = Fragment(
            units=tuple(gathered.units), start_us=start_us, end_us=end_us, is_key=gathered.is_key
        )
        actions.append(AppendFragment(number=self._open.number, fragment=fragment))
        self._open.end_us = self._end_us = end_us

    def _start_run(self, actions: list[Action], gathered: _Gathering, start_us: int) -> None:
        known = gathered.format or (None if self._run is None else self._run.format)
        new = gathered.begun
        assert gathered.new_run is not None
        assert new is not None
        assert known is not None
        self._run = Run(
            run=new.run,
            camera=self.camera,
            start_us=start_us,
            clock=new.clock,
            format=known,
            epoch=new.epoch,
        )
        actions.append(StartRun(run=self._run, reason=gathered.new_run))
        if not gathered.is_key:
            actions.append(AskKeyFrame(missing_us=0))

    def _open_segment(self, actions: list[Action], start_us: int) -> None:
        assert self._run is not None
        self._open = _Open(self.next_number)
        self.next_number += 1
        header = SegmentHeader(
            camera=self.camera,
            run=self._run.run,
            number=self._open.number,
            start_us=start_us,
            clock=self._run.clock,
            format=self._run.format,
        )
        actions.append(OpenSegment(header=header))

    def _seal(self, actions: list[Action], reason: EndReason) -> None:
        if self._open is not None:
            actions.append(
                SealSegment(number=self._open.number, end_us=self._open.end_us, reason=reason)
            )
            self._open = None

    def _ask(self, now_us: int, after_us: int, actions: list[Action]) -> None:
        """Ask for a key frame when one is ``after_us`` overdue, and again as often."""
        if self._key_us is None:
            return
        last_us = self._key_us if self._asked_us is None else self._asked_us
        if now_us - last_us >= after_us:
            self._asked_us = now_us
            actions.append(AskKeyFrame(missing_us=now_us - self._key_us))

"""Wall time of access units. Core: no I/O, no clock, no log.

The spacing of pictures is the camera's (RTP), the epoch is the host's clock. A unit's *delay* is
``arrival_utc_us - media_us``; the least delay lately seen is the mapping from the camera's time
to ours, because nothing can arrive before it was sent, but much arrives late (a stalled network, a
burst at the start of a session). So:

* The units of a run's first second are held back, and all of that second places them.
* Later the mapping is slewed towards the least delay of the last minutes by at most 500 ppm of
  the time that passes, and never stepped.
* Where only a step would do, a new run begins: the host's clock was stepped, or the camera's
  time stamps jumped.
* A camera whose time stamps jump again and again is placed by arrival alone.

Audio shares the mapping of the video. Audio that strays from it by itself is anchored to its
arrival and never begins a run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from retention.model import US_PER_S, AccessUnit, ReceivedUnit, Track

#: How long the units of a new run wait for their common epoch, and how many bytes of them at most.
HOLD_US = US_PER_S
HOLD_BYTES_MAX = 8 * 1024 * 1024
SLEW_PPM = 500
#: Errors of the mapping below this are left alone: spacing stays exactly the camera's.
SLEW_MIN_US = 5_000
#: A host clock that moves against CLOCK_MONOTONIC by more than this between two units was stepped.
CLOCK_STEP_MIN_US = US_PER_S // 2
#: A unit this much earlier than anything can arrive, or before the newest one, is a jump.
JUMP_MIN_US = US_PER_S
#: A unit this late is a jump too: no network keeps a live stream back so long.
LATE_MAX_US = 30 * US_PER_S
#: In a run's first second arrival tells little, so only a leap this long is a jump.
HELD_JUMP_MIN_US = 5 * US_PER_S
#: The least delay is taken over this many spans of this length.
SPANS = 10
SPAN_US = 30 * US_PER_S
#: So many jumps within this time, and the camera's time stamps are not used until the session ends.
JUMPS_MAX = 5
JUMPS_WITHIN_US = 60 * US_PER_S
#: Two units of a track never share an instant: the later one is moved by this.
BUMP_US = 1_000
RECENT_UNITS = 64


class RunReason(StrEnum):
    """Why a run begins."""

    SESSION = "session"  # the first of a session
    CLOCK = "clock"  # the host's clock was stepped
    CAMERA = "camera"  # the camera's time stamps jumped
    FORMAT = "format"  # parameter sets or codec changed (told by the segmenter)
    TRUST = "trust"  # the host's time is not trusted any more (told by the segmenter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A unit in wall time; ``new_run`` says that it is the first of a run."""

    unit: AccessUnit
    is_damaged: bool
    new_run: RunReason | None = None
    #: How far the host's clock was stepped, where that is the reason.
    step_us: int = 0
    #: UTC minus CLOCK_MONOTONIC in the run, where one begins.
    skew_us: int = 0


@dataclass(slots=True)
class _TrackState:
    """What one track has shown in this run."""

    media_us: int | None = None  # of its last unit
    newest_media_us: int | None = None
    interval_us: int | None = None  # between its last two units that had time stamps
    recent_pts_us: deque[int] | None = None

    def unique(self, pts_us: int) -> int:
        """``pts_us``, or the next instant that no recent unit of the track stands at."""
        if self.recent_pts_us is None:
            self.recent_pts_us = deque(maxlen=RECENT_UNITS)
        while pts_us in self.recent_pts_us:
            pts_us += BUMP_US
        self.recent_pts_us.append(pts_us)
        return pts_us


class RunClock:
    """Places the units of one camera.

    Call :meth:`place` for each unit as it arrives, :meth:`flush` before a new format is passed on
    (units still held belong to the old one), and :meth:`end` when the session ends. Each answers
    with the units that have found their place, in order of arrival.
    """

    def __init__(self) -> None:
        #: Audio before a run's first picture: it has no mapping, and no segment to go to.
        self.dropped_units = 0
        self._skew_us: int | None = None  # utc - monotonic at the last unit
        self._jumps_us: deque[int] = deque(maxlen=JUMPS_MAX)
        self._is_by_arrival = False
        self._held: list[tuple[ReceivedUnit, int]] = []
        self._is_settled = False
        self._begin(RunReason.SESSION)

    def place(self, received: ReceivedUnit) -> list[Placement]:
        """Take the next unit in order of arrival."""
        out: list[Placement] = []
        skew_us = received.arrival_utc_us - received.arrival_monotonic_us
        if self._skew_us is not None and abs(skew_us - self._skew_us) > CLOCK_STEP_MIN_US:
            out += self.flush()
            self._begin(RunReason.CLOCK, step_us=skew_us - self._skew_us)
        self._skew_us = skew_us
        if received.track is Track.AUDIO and self._video.newest_media_us is None:
            self.dropped_units += 1
            return out
        media_us = self._media_us(received)
        if received.track is Track.VIDEO and self._has_jumped(received, media_us):
            out += self.flush()
            self._note_jump(received)
            self._begin(RunReason.CAMERA)
            media_us = self._media_us(received)
        self._note(received, media_us)
        self._held.append((received, media_us))
        self._held_bytes += len(received.data)
        held_us = received.arrival_monotonic_us - self._held[0][0].arrival_monotonic_us
        if self._is_settled or held_us >= HOLD_US or self._held_bytes >= HOLD_BYTES_MAX:
            out += self.flush()
        return out

    @property
    def is_idle(self) -> bool:
        """Whether no session is under way."""
        return self._skew_us is None

    def flush(self) -> list[Placement]:
        """Place what is held now, though a better epoch might have been found."""
        if self._held and not self._is_settled:
            self._is_settled = True
            self._offset_us = self._least_delay_us()
        held, self._held = self._held, []
        self._held_bytes = 0
        return [self._placed(received, media_us) for received, media_us in held]

    def end(self) -> list[Placement]:
        """The session ended: place what is held; the next unit begins a run."""
        out = self.flush()
        self._skew_us = None
        self._jumps_us.clear()
        self._is_by_arrival = False
        self._begin(RunReason.SESSION)
        return out

    def _begin(self, reason: RunReason, *, step_us: int = 0) -> None:
        self._new_run: RunReason | None = reason
        self._step_us = step_us
        self._held = []
        self._held_bytes = 0
        self._is_settled = False
        self._offset_us = 0
        self._slewed_to_us: int | None = None
        self._lateness_us = 0  # of the newest picture
        self._audio_shift_us = 0
        self._delays_us: deque[tuple[int, int]] = deque()  # (span, least delay in it)
        self._video = _TrackState()
        self._audio = _TrackState()

    def _track(self, track: Track) -> _TrackState:
        return self._video if track is Track.VIDEO else self._audio

    def _least_delay_us(self) -> int:
        return min((delay_us for _, delay_us in self._delays_us), default=self._offset_us)

    def _media_us(self, received: ReceivedUnit) -> int:
        """The camera's time of the unit; where it gives none: a unit later, or by arrival."""
        if received.media_us is not None and not self._is_by_arrival:
            return received.media_us
        state = self._track(received.track)
        by_arrival_us = received.arrival_utc_us - self._least_delay_us()
        if received.track is Track.AUDIO:
            by_arrival_us -= self._audio_shift_us
        if state.media_us is None:
            return by_arrival_us
        if state.interval_us is not None:
            next_us = state.media_us + state.interval_us
            if abs(next_us - by_arrival_us) <= JUMP_MIN_US:
                return next_us
        return max(by_arrival_us, state.media_us + BUMP_US)

    def _has_jumped(self, received: ReceivedUnit, media_us: int) -> bool:
        newest_us, last_us = self._video.newest_media_us, self._video.media_us
        if newest_us is None or last_us is None:
            return False
        # B-frames go back by a few intervals, which are long where there are few pictures
        reorder_us = 4 * (self._video.interval_us or 0)
        if media_us < newest_us - JUMP_MIN_US - min(reorder_us, LATE_MAX_US):
            return True
        if not self._is_settled:
            return media_us - newest_us > HELD_JUMP_MIN_US
        lateness_us = received.arrival_utc_us - media_us - self._offset_us
        if not -JUMP_MIN_US <= lateness_us <= LATE_MAX_US:
            return True
        # minutes of nothing but late units: the mapping is wrong, by more than slewing mends
        is_seasoned = len(self._delays_us) >= SPANS
        return is_seasoned and self._least_delay_us() - self._offset_us > JUMP_MIN_US

    def _note_jump(self, received: ReceivedUnit) -> None:
        now_us = received.arrival_monotonic_us
        self._jumps_us.append(now_us)
        if len(self._jumps_us) == JUMPS_MAX and now_us - self._jumps_us[0] <= JUMPS_WITHIN_US:
            self._is_by_arrival = True

    def _note(self, received: ReceivedUnit, media_us: int) -> None:
        """Learn from a unit: spacing, newest time, and from a picture the delay."""
        state = self._track(received.track)
        if state.media_us is not None and received.media_us is not None:
            state.interval_us = None if self._is_by_arrival else abs(media_us - state.media_us)
        state.media_us = media_us
        if state.newest_media_us is None or media_us > state.newest_media_us:
            state.newest_media_us = media_us
        if received.track is Track.AUDIO:
            return
        delay_us = received.arrival_utc_us - media_us
        span = received.arrival_monotonic_us // SPAN_US
        if self._delays_us and self._delays_us[-1][0] == span:
            delay_us = min(delay_us, self._delays_us.pop()[1])
        self._delays_us.append((span, delay_us))
        while self._delays_us[0][0] <= span - SPANS:
            self._delays_us.popleft()

    def _placed(self, received: ReceivedUnit, media_us: int) -> Placement:
        state = self._track(received.track)
        if received.track is Track.VIDEO:
            self._slew(media_us)
            self._lateness_us = received.arrival_utc_us - media_us - self._offset_us
            pts_us = state.unique(media_us + self._offset_us)
        else:
            pts_us = self._audio_pts_us(received, media_us)
            if state.recent_pts_us:  # audio is never reordered
                pts_us = max(pts_us, state.recent_pts_us[-1] + BUMP_US)
            pts_us = state.unique(pts_us)
        new_run, self._new_run = self._new_run, None
        step_us, self._step_us = self._step_us, 0
        skew_us = 0 if new_run is None else self._skew_us or 0
        return Placement(
            unit=AccessUnit(
                track=received.track, pts_us=pts_us, is_key=received.is_key, data=received.data
            ),
            is_damaged=received.is_damaged,
            new_run=new_run,
            step_us=step_us,
            skew_us=skew_us,
        )

    def _slew(self, media_us: int) -> None:
        last_us, self._slewed_to_us = self._slewed_to_us, media_us
        if last_us is None or media_us <= last_us:
            self._slewed_to_us = last_us if last_us is not None else media_us
            return
        error_us = self._least_delay_us() - self._offset_us
        if abs(error_us) >= SLEW_MIN_US:
            most_us = (media_us - last_us) * SLEW_PPM // US_PER_S
            self._offset_us += max(-most_us, min(most_us, error_us))

    def _audio_pts_us(self, received: ReceivedUnit, media_us: int) -> int:
        """On the video's mapping, if the audio comes about as late as the video does."""
        lateness_us = received.arrival_utc_us - media_us - self._offset_us
        if abs(lateness_us - self._lateness_us) <= JUMP_MIN_US:
            self._audio_shift_us = 0
        elif abs(lateness_us - self._audio_shift_us - self._lateness_us) > JUMP_MIN_US:
            self._audio_shift_us = lateness_us - max(0, self._lateness_us)
        return media_us + self._offset_us + self._audio_shift_us

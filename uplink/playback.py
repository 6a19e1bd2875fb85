"""What a playback or download does: position, speed, direction, pause; when a picture is due. Core.

Positions are recorded instants. Forward, units are sent in stored order from the key frame at or
before the position; at eight times and more (or a speed above the link's) key frames only; in
reverse, groups of pictures in falling order, each in its own order, the first up to the position.
Behind a change that needs other units than those at hand the source begins anew (:class:`From`).

A playback shows its speed in the time stamps (RFC 2326, "wall time"); a download keeps the recorded
ones and only sends faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from retention.model import GAP_MIN_US, US_PER_S, MediaFormat, Track
from retention.read import StoredUnit
from uplink.mansrtsp import Method, PlaybackRequest, supported_scale
from uplink.outgoing import OutgoingTimes
from uplink.ps import CLOCK_HZ

#: From this speed on key frames are sent alone.
KEYS_ONLY_SCALE = 8.0
#: What may be sent ahead of its time at a start, to fill the receiver's buffer.
AHEAD_US = 300_000
#: A sender that is later than this does not hurry: what follows is due from now on.
LATE_MAX_US = US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """Where units are to be read from.

    Forward: from the key frame at or before ``at_us``. In reverse: the group that holds ``at_us``
    up to it, then those before it.
    """

    at_us: int
    is_reverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A unit that is to be sent."""

    stored: StoredUnit
    pts: int
    dts: int


@dataclass(slots=True, kw_only=True)
class Playback:
    """One session. Feed :meth:`place` what the source reads from :meth:`begin` on.

    Args:
        start_us, end_us: the range that was asked for; position 0 is ``start_us``.
        download_speed: None for a playback.
        scale_max: the highest speed at which all pictures go down the link.
    """

    start_us: int
    end_us: int
    download_speed: float | None = None
    scale_max: float = KEYS_ONLY_SCALE
    times: OutgoingTimes = field(default_factory=OutgoingTimes)
    scale: float = 1.0
    is_paused: bool = False
    #: The recorded instant of the picture sent last; where it stands before the first.
    position_us: int = field(init=False)
    #: Where it ends: pictures at or behind it are not sent (groups before it, in reverse).
    to_us: int = field(init=False)
    _has_sent: bool = field(init=False, default=False)
    #: Of the newest picture that was read, sent or not.
    _run: tuple[str, MediaFormat] | None = field(init=False, default=None)
    _seen_us: int = field(init=False, default=0)
    _behind_us: int | None = field(init=False, default=None)
    _awaits_key: bool = field(init=False, default=True)
    #: What is shown before this key frame of the first group cannot be decoded.
    _leading_us: int | None = field(init=False, default=None)
    _is_restarting: bool = field(init=False, default=True)
    _anchor: tuple[int, int] | None = field(init=False, default=None)
    #: The latest presentation and decode time that went out.
    _sent: tuple[int, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.position_us = self.start_us
        self.to_us = self.end_us

    @property
    def is_reverse(self) -> bool:
        return self.scale < 0

    @property
    def is_keys_only(self) -> bool:
        is_fast = self.scale >= KEYS_ONLY_SCALE or self.scale > max(1.0, self.scale_max)
        return self.download_speed is None and is_fast

    @property
    def position_s(self) -> float:
        """As MANSRTSP counts it."""
        return max(0.0, (self.position_us - self.start_us) / US_PER_S)

    @property
    def _stretch(self) -> float:
        return 1.0 if self.download_speed is not None else 1.0 / abs(self.scale)

    def begin(self) -> From:
        """Where the first unit is read."""
        return self._from(self.start_us)

    def control(self, request: PlaybackRequest) -> From | None:
        """Carry out a request; None where the units at hand go on."""
        self._anchor = None  # what is at hand is due when it goes on
        if request.method is not Method.PLAY:
            self.is_paused = self.is_paused or request.method is Method.PAUSE
            return None
        was_reverse, was_keys_only = self.is_reverse, self.is_keys_only
        if request.scale is not None and self.download_speed is None:
            self.scale = supported_scale(request.scale)
        self.is_paused = False
        self._is_restarting = True
        is_turned = self.is_reverse is not was_reverse
        if request.from_s is not None or request.to_s is not None or is_turned:
            opposite_us = self.start_us if self.is_reverse else self.end_us
            self.to_us = opposite_us if request.to_s is None else self._instant(request.to_s)
        if request.from_s is not None:
            self.position_us = self._instant(request.from_s)
            self._has_sent = False
            return self._from(self.position_us)
        if is_turned or self.is_keys_only is not was_keys_only:
            return self._from(self.position_us)
        return None

    def _instant(self, position_s: float) -> int:
        at_us = self.start_us + round(position_s * US_PER_S)
        return min(max(at_us, self.start_us), self.end_us)

    def _from(self, at_us: int) -> From:
        """The source begins anew; forward, behind what was sent last."""
        self._run = None
        self._awaits_key = self._is_restarting = True
        if self._sent is not None:
            self.times.take_back(*self._sent)
        self._behind_us = at_us if self._has_sent and not self.is_reverse else None
        return From(at_us=at_us, is_reverse=self.is_reverse)

    def skip(self) -> None:
        """What comes was not taken: go on at the next key frame."""
        self._awaits_key = self._is_restarting = True

    def place(self, stored: StoredUnit, depth: int) -> Placed | None:
        """The next unit of the source: when it is shown; None where it is not to be sent.

        Args:
            depth: how far pictures are reordered here.
        """
        if stored.unit.track is Track.AUDIO:
            return self._place_sound(stored)
        if self._is_jump(stored):
            self._awaits_key = self._is_restarting = True
            self._seen_us = stored.unit.pts_us
        self._run = stored.run, stored.format
        self._seen_us = max(self._seen_us, stored.unit.pts_us)
        if not self._is_sent(stored) or (self.is_keys_only and not stored.unit.is_key):
            return None
        if self._is_restarting:
            self.times.restart(0 if self.is_keys_only else depth, self._stretch)
            self._is_restarting = False
        pts, dts = self.times.picture(stored.unit.pts_us)
        return Placed(stored=stored, pts=pts, dts=dts)

    def _is_jump(self, stored: StoredUnit) -> bool:
        if self._run != (stored.run, stored.format):
            return True
        is_next_group = self.is_reverse and stored.unit.is_key
        return is_next_group or abs(stored.unit.pts_us - self._seen_us) >= GAP_MIN_US

    def _is_sent(self, stored: StoredUnit) -> bool:
        """Whether a decoder that got what was sent can use the picture, and has not got it."""
        unit = stored.unit
        if self._behind_us is not None:
            is_gone = unit.is_key and unit.pts_us > self._behind_us
            if unit.pts_us == self._behind_us or is_gone:
                self._behind_us, self._awaits_key = None, False
                self._is_restarting = True
            if not is_gone:
                return False
        if unit.is_key:
            self._leading_us = unit.pts_us if self._awaits_key else None
            self._awaits_key = False
        elif self._leading_us is not None and unit.pts_us < self._leading_us:
            return False
        return not self._awaits_key

    def _place_sound(self, stored: StoredUnit) -> Placed | None:
        is_plain = self._stretch == 1.0 and not self.is_reverse
        if not is_plain or self._is_restarting or self._run != (stored.run, stored.format):
            return None
        times = self.times.sound(stored.unit.pts_us)
        if times is None:
            return None
        return Placed(stored=stored, pts=times[0], dts=times[1])

    def due_us(self, placed: Placed, now_us: int) -> int:
        """When a placed unit is to be sent, on the monotonic clock of ``now_us``."""
        if self._anchor is None:
            self._anchor = now_us - AHEAD_US, placed.dts
        at_us, ticks = self._anchor
        rate = self.download_speed or 1.0
        due_us = at_us + round((placed.dts - ticks) * US_PER_S / CLOCK_HZ / rate)
        if now_us - due_us > LATE_MAX_US:
            self._anchor = now_us, placed.dts
            return now_us
        return due_us

    def sent(self, placed: Placed) -> None:
        """It went out."""
        newest, decoded = self._sent or (placed.pts, placed.dts)
        self._sent = max(newest, placed.pts), max(decoded, placed.dts)
        if placed.stored.unit.track is Track.VIDEO:
            self.position_us = placed.stored.unit.pts_us
            self._has_sent = True

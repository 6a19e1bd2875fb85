"""The 90 kHz clock of one call: what recorded instants become on the wire. Core.

Times never go back (but for B-frames, which are shown before what they follow) and never jump:
behind a gap, a seek or a change of direction the next picture follows the last by one picture's
length. Decode times rise strictly, and no picture is decoded after it is shown.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from retention.model import US_PER_S
from uplink.ps import CLOCK_HZ

#: What a first picture begins at: a second, so that decode times before it are not negative.
START = CLOCK_HZ
#: One picture, until two have told.
PICTURE = CLOCK_HZ // 25
PICTURE_MAX = CLOCK_HZ


@dataclass(slots=True)
class OutgoingTimes:
    """Recorded instants (microseconds) in, ticks of 90 kHz out.

    Args:
        stretch: seconds on the wire for each recorded one: 0.5 shows double speed.
    """

    stretch: float = 1.0
    #: The latest presentation time given out, and how long its picture lasts.
    newest: int = field(init=False, default=START - PICTURE)
    _picture: int = field(init=False, default=PICTURE)
    _origin_us: int | None = field(init=False, default=None)
    _base: int = field(init=False, default=START)
    _decoded: int = field(init=False, default=0)
    _waiting: list[int] = field(init=False, default_factory=list)
    _depth: int = field(init=False, default=0)

    @property
    def following(self) -> int:
        """What the next picture gets if nothing lies between."""
        return self.newest + self._picture

    def restart(self, depth: int, stretch: float | None = None) -> None:
        """The next picture follows at once, whatever its instant.

        Args:
            depth: pictures that come before one which is shown earlier
                (``retention.mp4.decode_times.reorder_depth``).
            stretch: from here on, if it changes.
        """
        self._origin_us = None
        self._depth = depth
        if stretch is not None:
            self.stretch = stretch

    def take_back(self, newest: int, decoded: int) -> None:
        """What was given out behind these times was not sent; :meth:`restart` follows."""
        self.newest, self._decoded = newest, decoded

    def picture(self, pts_us: int) -> tuple[int, int]:
        """Presentation and decode time of the next picture in the stream."""
        if self._origin_us is None:
            self._origin_us = pts_us
            self._base = self.following
            first = self._base - self._depth * self._picture
            self._waiting = [first + n * self._picture for n in range(self._depth)]
        pts = self._ticks(pts_us, self._origin_us)
        step = pts - self.newest
        if step > 0:
            if step < PICTURE_MAX:
                self._picture = step
            self.newest = pts
        decoded = max(self._decoded + 1, heapq.heappushpop(self._waiting, pts))
        self._decoded = decoded
        return max(pts, decoded), decoded

    def sound(self, pts_us: int) -> tuple[int, int] | None:
        """The same of an audio frame (its second value is the pack's clock); None before the
        first picture, or for what belongs before it."""
        if self._origin_us is None or pts_us < self._origin_us:
            return None
        return self._ticks(pts_us, self._origin_us), self._decoded

    def _ticks(self, pts_us: int, origin_us: int) -> int:
        return self._base + round((pts_us - origin_us) * CLOCK_HZ * self.stretch / US_PER_S)

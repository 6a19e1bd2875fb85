"""What a playback is to send for an order of commands, said by indices of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from retention.model import US_PER_S
from uplink.mansrtsp import Method, PlaybackRequest


class Oracle:
    """Instead of sources and states: the pictures that are due, as a queue.

    Args:
        times_us: of the pictures in stored order, from the beginning of the range on.
        keys: which of them are key frames.
        end_s: of the range.
        picture_us: how long a picture is shown: what begins later behind it lies behind a gap.
    """

    def __init__(
        self, times_us: Sequence[int], keys: Sequence[int], end_s: float, picture_us: int
    ) -> None:
        self.times = times_us
        self.picture_us = picture_us
        self.keys = keys
        self.end_s = end_s
        self.scale = 1.0
        self.last: int | None = None  # index of the picture sent last, since the last seek
        self.sought_us = 0
        self.queue = self._forward()

    def _group(self, n: int) -> int:
        return max(key for key in self.keys if key <= n)

    def _at(self, at_us: int) -> int:
        """The last picture at or before an instant."""
        return max(n for n, time in enumerate(self.times) if time <= at_us)

    def _forward(self) -> list[int]:
        first = self._sought() if self.last is None else self.last + 1
        if self.scale >= 8:
            return [key for key in self.keys if key >= first]
        return list(range(first, len(self.times)))

    def _sought(self) -> int:
        """The group that holds the instant; from inside a gap the next one."""
        n = self._at(self.sought_us)
        is_over = self.sought_us >= self.times[n] + self.picture_us
        return n + 1 if is_over else self._group(n)

    def _backward(self) -> list[int]:
        upto = self._at(self.sought_us) if self.last is None else self.last
        found = list(range(self._group(upto), upto + 1))
        for key, following in reversed(list(pairwise(self.keys))):
            if following <= self._group(upto):
                found += range(key, following)
        return found

    def control(self, asked: PlaybackRequest) -> None:
        if asked.method is not Method.PLAY:
            return
        was = self.scale
        self.scale = asked.scale or was
        if asked.from_s is not None:
            self.sought_us, self.last = round(min(asked.from_s, self.end_s) * US_PER_S), None
        is_other = (self.scale < 0, self.scale >= 8) != (was < 0, was >= 8)
        if asked.from_s is not None or is_other:
            self.queue = self._backward() if self.scale < 0 else self._forward()

    def next(self) -> int | None:
        if not self.queue:
            return None
        self.last = self.queue.pop(0)
        return self.last

    def due(self, script: Sequence[tuple[int, PlaybackRequest]]) -> list[int]:
        """Everything that is sent where each request comes after so many pictures in all (or,
        where there are not so many, at the end)."""
        found: list[int] = []
        requests = list(script)
        while True:
            if requests and len(found) >= requests[0][0]:
                self.control(requests.pop(0)[1])
                continue
            n = self.next()
            if n is not None:
                found.append(n)
            elif requests:
                requests[0] = (0, requests[0][1])
            else:
                return found

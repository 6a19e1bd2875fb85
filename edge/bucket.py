"""So many at once, and so many a second on average. Core: instants in, a word out."""

from __future__ import annotations

from retention.model import US_PER_S


class Bucket:
    """Holds ``burst`` tokens at first, gets ``per_s`` a second back, and never more than it holds.

    Instants are monotonic microseconds.
    """

    def __init__(self, *, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._tokens = float(burst)
        self._at_us: int | None = None

    def take(self, now_us: int) -> bool:
        """Whether there was one."""
        if self._at_us is not None:
            gained = max(0, now_us - self._at_us) / US_PER_S * self._per_s
            self._tokens = min(float(self._burst), self._tokens + gained)
        self._at_us = now_us
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

"""Markers that wait to be told to the ledger, and how many a camera may make. Core."""

from __future__ import annotations

from edge.bucket import Bucket
from retention.model import Marker, MarkerKind

#: Of one camera and kind: at once, and on average one a minute. 64 cameras, 90 days: as many rows
#: as segments, whatever cameras send.
BURST, PER_S = 30, 1 / 60
#: Of all cameras between two tellings.
WAITING_MAX = 10_000


class MarkerBook:
    """Gathers markers, each with the epoch of host time that its instant is of."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, MarkerKind], Bucket] = {}
        self._waiting: dict[int, list[Marker]] = {}
        self._count = 0

    def add(self, marker: Marker, epoch: int, now_us: int) -> bool:
        """Whether it is kept: there may have been too many.

        Args:
            now_us: monotonic.
        """
        key = (marker.camera, marker.kind)
        bucket = self._buckets.setdefault(key, Bucket(burst=BURST, per_s=PER_S))
        if self._count >= WAITING_MAX or not bucket.take(now_us):
            return False
        self._waiting.setdefault(epoch, []).append(marker)
        self._count += 1
        return True

    def take(self) -> dict[int, list[Marker]]:
        """All that wait, by epoch."""
        found, self._waiting, self._count = self._waiting, {}, 0
        return found

"""Decode times of pictures, derived from when they are shown and the order they came in. Core.

Where up to ``k`` pictures come before one that is shown earlier (B-frames), the stream needs ``k``
pictures of delay: the n-th picture is decoded at the smallest of the first ``n`` shown times that
is still free, the first ``k`` at times made up before. So decode times rise, no picture is decoded
after it is shown, and a cut between any two pictures changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappushpop

from retention.mp4.boxes import VIDEO_LEAD, VIDEO_LEAD_STEP

#: Pictures that may wait to be shown: the largest decoded picture buffer (H.264 A.3.1, H.265 A.4.2)
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTimes:
    """Where a track stands between two fragments; all in ticks of the file."""

    #: Shown times that no picture was decoded at yet, as many as the stream's depth.
    waiting: tuple[int, ...] = ()
    #: The least decode time that the next picture may get.
    least: int = 0

    def assign(self, shown: Sequence[int], end: int) -> tuple[list[int], DecodeTimes]:
        """Decode times of the pictures that are shown at these times, in their order of arrival.

        The list has one more: where the last picture's decode time ends, which is ``end`` for a
        stream without reordering. All rise strictly, also from fragment to fragment. Only where a
        stream breaks the depth seen so far, or begins with pictures that are shown before time 0,
        a picture is decoded after it is shown. The very first one is decoded at time 0: GStreamer's
        qtdemux takes the edit list from there.
        """
        missing = reorder_depth(self.waiting, shown) - len(self.waiting)
        step = _step(self.least)
        heap = [*self.waiting, *range(self.least, self.least + missing * step, step)]
        heapify(heap)
        least = self.least
        decode = []
        for time in shown:
            free = heappushpop(heap, time)
            decode.append(max(least, free) if least else 0)
            least = decode[-1] + _step(decode[-1])
        decode.append(max(least, heap[0] if heap else end))
        return decode, DecodeTimes(waiting=tuple(heap), least=least)


def _step(decode: int) -> int:
    """How much later the next picture is decoded at least."""
    return VIDEO_LEAD_STEP if decode < VIDEO_LEAD else 1


def reorder_depth(waiting: Sequence[int], shown: Sequence[int]) -> int:
    """The most pictures that come before one and are shown after it, at most ``MAX_DEPTH``."""
    latest = sorted(waiting)
    depth = len(waiting)
    for time in shown:
        depth = max(depth, len(latest) - bisect_right(latest, time))
        insort(latest, time)
        del latest[:-MAX_DEPTH]
    return depth

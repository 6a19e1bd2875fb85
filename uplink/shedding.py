"""When calls step back, and which of them go, so that recording never suffers for them. Core.

``edge`` tells how full the fullest buffer before its disks is. Well before pictures are lost new
playbacks and downloads get 486 and downloads wait; then calls end, one at each look: downloads
before playbacks, the newest first, and live ones (which read no disk) only at the very last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retention.model import GapCause
from uplink.device import SiteState
from uplink.sdp import Kind

#: Shares of a camera's buffer (``storage.buffer_bytes``). In health a few seconds wait there.
STRAINED = 0.25
STORED_END = 0.5
LIVE_ENDS = 0.8
_ORDER = (Kind.DOWNLOAD, Kind.PLAYBACK, Kind.PLAY)


@dataclass(frozen=True, slots=True)
class Held:
    """A call that is being served; ``number`` rises from one to the next."""

    id: str
    kind: Kind
    number: int


def is_strained(state: SiteState) -> bool:
    """Whether the disks are to be left alone."""
    return _pressure(state) >= STRAINED


def first_to_end(calls: Iterable[Held], state: SiteState) -> str | None:
    """The call to end now; None where all may go on."""
    pressure = _pressure(state)
    if pressure < STORED_END:
        return None
    going = [one for one in calls if one.kind is not Kind.PLAY or pressure >= LIVE_ENDS]
    last = min(going, key=lambda one: (_ORDER.index(one.kind), -one.number), default=None)
    return None if last is None else last.id


def _pressure(state: SiteState) -> float:
    """1 where pictures are being lost to a slow disk now."""
    is_losing = any(one.cause == GapCause.DISK_SLOW.value for one in state.cameras.values())
    return 1.0 if is_losing else state.pressure

"""How a camera's retention stands: whether the floor is kept, and what ends its footage. Core."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from retention.policy import Band, Reason


class State(StrEnum):
    """What can be said of the floor."""

    IMMATURE = "immature"  # in service for less than the floor: nothing is missing yet
    HELD = "held"
    SHORT = "short"  # the oldest footage is younger than the floor; the ledger says why
    BREACHED = "breached"  # footage that should still be there was overwritten


class Binding(StrEnum):
    """What ended the oldest footage last."""

    NOTHING = "nothing"  # nothing was deleted yet
    AGE = "max_days"
    DISK = "disk"
    REMOVED = "removed"  # the camera is not in service any more


_BINDINGS = {
    Reason.AGE: Binding.AGE,
    Reason.OVER_FLOOR: Binding.DISK,
    Reason.OVERWRITTEN: Binding.DISK,
    Reason.REMOVED: Binding.REMOVED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    camera: str
    band: Band
    state: State
    binds: Binding
    oldest_us: int | None
    #: Until here footage younger than the floor is gone; None: none is.
    breach_us: int | None


def standing(
    camera: str,
    band: Band,
    *,
    now_us: int,
    due_from_us: int | None,
    oldest_us: int | None,
    last_reason: Reason | None,
    breach_end_us: int | None,
    tolerance_us: int,
) -> Standing:
    """Judge one camera.

    Args:
        due_from_us: since when its footage is due; None: it never was.
        last_reason: of the newest tombstone.
        breach_end_us: where the newest footage that was overwritten ended.
        tolerance_us: by so much the oldest footage may be younger than the floor: it ends where a
            segment does.
    """
    floor_us = now_us - band.min_us
    is_breached = breach_end_us is not None and floor_us < breach_end_us <= now_us
    if is_breached:
        state = State.BREACHED
    elif due_from_us is None or due_from_us > floor_us:
        state = State.IMMATURE
    elif oldest_us is not None and oldest_us <= floor_us + tolerance_us:
        state = State.HELD
    else:
        state = State.SHORT
    return Standing(
        camera=camera,
        band=band,
        state=state,
        binds=Binding.NOTHING if last_reason is None else _BINDINGS[last_reason],
        oldest_us=oldest_us,
        breach_us=breach_end_us if is_breached else None,
    )

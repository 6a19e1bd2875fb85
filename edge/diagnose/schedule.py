"""Whose turn it is: one camera after the other, evenly spread, within a share of the CPU. Core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retention.model import US_PER_S

#: Of one core: what checks may take on the average, whatever the number of cameras.
CPU_SHARE = 0.1


def whose_turn(cameras: Sequence[str], last_us: Mapping[str, int]) -> str | None:
    """The camera whose last check is the longest ago; those never looked at first, in their order.

    Args:
        last_us: when each was last begun with, in monotonic microseconds.
    """
    return min(cameras, key=lambda camera: last_us.get(camera, -1), default=None)


def next_start_us(
    *, began_us: int, ended_us: int, cpu_seconds: float, interval_us: int, cameras: int
) -> int:
    """When the following check begins, monotonic microseconds.

    Checks of all cameras are spread over the interval; checks that take more CPU than their share
    come later, all cameras alike.

    Args:
        began_us, ended_us: of the check before.
        cpu_seconds: what that took.
    """
    spread_us = began_us + interval_us // max(1, cameras)
    afforded_us = ended_us + round(cpu_seconds * (1 / CPU_SHARE - 1) * US_PER_S)
    return max(spread_us, afforded_us)

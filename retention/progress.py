"""Has a service made progress? What its watchdog is fed by. Core.

A service names its parts and how long each may stand still. Who does a part's work beats for it
after the work is done, never beside it: a part that hangs, or that nobody turns any more, is then
silent, whatever else of the process still runs.
"""

from __future__ import annotations

from collections.abc import Mapping


class Progress:
    """When each part last got something done.

    Args:
        limits_us: how long each part may be silent, microseconds.
        now_us: the present instant on a clock that only goes forward; every part has its whole
            limit from here on.
    """

    def __init__(self, limits_us: Mapping[str, int], now_us: int) -> None:
        self._limits_us = dict(limits_us)
        self._done_us = dict.fromkeys(limits_us, now_us)

    def beat(self, part: str, now_us: int) -> None:
        """``part`` has got something done. Raises :class:`KeyError` for a part without a limit."""
        if now_us > self._done_us[part]:
            self._done_us[part] = now_us

    def stalled(self, now_us: int) -> tuple[str, ...]:
        """The parts that have been silent for longer than they may."""
        return tuple(
            part
            for part, limit_us in self._limits_us.items()
            if now_us - self._done_us[part] > limit_us
        )

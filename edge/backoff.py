"""How long to wait before trying again. Core: chance is injected."""

from __future__ import annotations

from collections.abc import Callable

from retention.model import US_PER_S

#: After a password was refused again and again: cameras lock an account after five to seven tries
#: in half an hour (factory settings of common makers).
REFUSED_US = 30 * 60 * US_PER_S


class Backoff:
    """Doubling delays between a floor and a cap, each drawn from the upper half of its step.

    ``chance()`` gives a number in [0, 1), such as ``random.random``: a district's cameras that
    failed together must not come back together.
    """

    def __init__(
        self,
        *,
        chance: Callable[[], float],
        floor_us: int = US_PER_S,
        cap_us: int = 30 * US_PER_S,
    ) -> None:
        if not 0 < floor_us <= cap_us:
            raise ValueError("0 < floor_us <= cap_us does not hold")
        self._chance = chance
        self._floor_us = floor_us
        self._cap_us = cap_us
        self._step_us = floor_us

    def next_us(self) -> int:
        """The next delay in microseconds, in [floor_us, cap_us]; each call is one more failure."""
        self._step_us = min(self._step_us * 2, self._cap_us)
        return self._draw()

    def refused_us(self, refusals: int) -> int:
        """How long after the ``refusals``-th refusal in a row of a password, from 1: near the cap,
        then four times that, then ``REFUSED_US``. Four tries in the first half hour, two in each
        that follows."""
        self._step_us = self._cap_us
        if refusals == 1:
            return self._draw()
        half_us = (4 * self._cap_us if refusals == 2 else REFUSED_US) // 2
        return half_us + int(half_us * self._chance())

    def reset(self) -> None:
        """Begins again at the floor."""
        self._step_us = self._floor_us

    def _draw(self) -> int:
        low_us = max(self._floor_us, self._step_us // 2)
        return low_us + int((self._step_us - low_us) * self._chance())

"""How long to wait before trying again. Core: chance is injected."""

from __future__ import annotations

from collections.abc import Callable

from retention.model import US_PER_S


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

    def longest_us(self) -> int:
        """A delay near the cap at once: for refusals that trying again soon makes worse."""
        self._step_us = self._cap_us
        return self._draw()

    def reset(self) -> None:
        """Begins again at the floor."""
        self._step_us = self._floor_us

    def _draw(self) -> int:
        low_us = max(self._floor_us, self._step_us // 2)
        return low_us + int((self._step_us - low_us) * self._chance())

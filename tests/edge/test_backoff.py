"""Delays double between floor and cap, with chance in the upper half."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backoff import Backoff
from retention.model import US_PER_S

chances = st.floats(0, 1, exclude_max=True)


@given(st.lists(chances, min_size=1, max_size=40))
def test_every_delay_is_between_floor_and_cap(drawn: list[float]) -> None:
    left = iter(drawn)
    backoff = Backoff(chance=lambda: next(left))
    for _ in drawn:
        assert US_PER_S <= backoff.next_us() <= 30 * US_PER_S


def test_the_step_doubles_to_the_cap() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    assert [backoff.next_us() // US_PER_S for _ in range(6)] == [1, 2, 4, 8, 15, 15]


def test_reset_begins_at_the_floor_again() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    for _ in range(5):
        backoff.next_us()
    backoff.reset()
    assert backoff.next_us() == US_PER_S


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_refused_password_is_tried_four_times_in_the_first_half_hour(chance: float) -> None:
    """And then twice at most: cameras lock an account after five."""
    backoff = Backoff(chance=lambda: chance)
    tries_s, now_s = [0.0], 0.0
    for refusals in range(1, 30):
        now_s += backoff.refused_us(refusals) / US_PER_S
        tries_s.append(now_s)
    assert 15 <= tries_s[1] <= 30  # it may have been the camera's start
    for place, first in enumerate(tries_s):
        count = len([one for one in tries_s if first <= one < first + 1800])
        assert count <= (4 if place < 3 else 2)


def test_floor_equal_to_cap_is_a_constant() -> None:
    backoff = Backoff(chance=lambda: 0.9, floor_us=5, cap_us=5)
    assert {backoff.next_us() for _ in range(4)} == {5}


def test_a_floor_above_the_cap_is_refused() -> None:
    with pytest.raises(ValueError, match="floor_us"):
        Backoff(chance=lambda: 0.0, floor_us=2, cap_us=1)

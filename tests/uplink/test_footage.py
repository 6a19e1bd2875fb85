"""Cutting stored units into batches, and ending where a range ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import AccessUnit, Track
from retention.read import StoredUnit
from tests.uplink.test_playback import FORMAT
from uplink.footage import BATCH_UNITS, _batches, _until, batch_of


def pictures(shown: list[int], keys: set[int] | None = None) -> list[StoredUnit]:
    known = {shown[0]} if keys is None else keys
    return [
        StoredUnit(
            format=FORMAT,
            run="a",
            unit=AccessUnit(track=Track.VIDEO, pts_us=n, is_key=n in known, data=b"x"),
        )
        for n in shown
    ]


def times(units: object) -> list[int]:
    return [one.unit.pts_us for one in units if isinstance(one, StoredUnit)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("shown", "end", "sent"),
    [
        ([0, 1, 2, 3, 4], 3, [0, 1, 2]),
        ([0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 5, [0, 3, 1, 2, 6, 4]),
        ([0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 4, [0, 3, 1, 2]),
        ([0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11], 6, [0, 4, 2, 1, 3, 8, 6, 5]),
        ([0, 1], 9, [0, 1]),
    ],
)
def test_an_end_among_reordered_pictures(shown: list[int], end: int, sent: list[int]) -> None:
    """Everything that is shown before the end, and what that builds on."""
    assert times(_until(pictures(shown), end)) == sent


@given(st.integers(1, 4), st.integers(1, 60), st.booleans())
def test_nothing_before_the_end_is_left_out(mini: int, end: int, is_pyramid: bool) -> None:
    shown = [0]
    for anchor in range(mini, 60, mini):
        between = list(range(anchor - mini + 1, anchor))
        shown += [anchor, *(between[::-1] if is_pyramid else between)]
    found = times(_until(pictures(shown), end))
    assert found == shown[: len(found)]
    assert {n for n in shown if n < end} <= set(found)
    assert sum(n >= end for n in found) <= mini


def test_batches_are_groups_or_parts_of_long_ones() -> None:
    shown = list(range(0, 3 * BATCH_UNITS))
    units = pictures(shown, {0, 10, 20})
    batches = list(_batches(units))
    assert [len(batch) for batch in batches[:3]] == [10, 10, BATCH_UNITS]
    assert times(one for batch in batches for one in batch) == shown
    assert batch_of(pictures([0, 3, 1, 2])).depth == 1

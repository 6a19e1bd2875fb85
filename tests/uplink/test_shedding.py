"""Which call ends, and when, for recording's sake."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.uplink.bodies import ON, STATE
from uplink.device import SiteState
from uplink.sdp import Kind
from uplink.shedding import Held, first_to_end, is_strained

CALLS = [
    Held("live", Kind.PLAY, 1),
    Held("download", Kind.DOWNLOAD, 2),
    Held("playback", Kind.PLAYBACK, 3),
    Held("newer download", Kind.DOWNLOAD, 4),
    Held("newest live", Kind.PLAY, 5),
]


def ended(state: SiteState) -> list[str]:
    """One after the other, as long as it goes on so."""
    left, found = list(CALLS), []
    while (ending := first_to_end(left, state)) is not None:
        found.append(ending)
        left = [one for one in left if one.id != ending]
    return found


@pytest.mark.parametrize(
    ("pressure", "strained", "count"),
    [(0.0, False, 0), (0.24, False, 0), (0.25, True, 0), (0.5, True, 3), (0.8, True, 5)],
)
def test_newest_downloads_go_first_and_live_calls_last(
    pressure: float, strained: bool, count: int
) -> None:
    state = replace(STATE, pressure=pressure)
    order = ["newer download", "download", "playback", "newest live", "live"]
    assert is_strained(state) is strained
    assert ended(state) == order[:count]


def test_pictures_that_are_being_lost_are_pressure_enough() -> None:
    losing = replace(STATE, cameras={"gate": replace(ON, is_recording=False, cause="disk_slow")})
    assert is_strained(losing)
    assert len(ended(losing)) == len(CALLS)
    assert ended(SiteState()) == []

"""A head that turns, and its presets."""

from __future__ import annotations

from edge.demo.turning import SPACE_PER_S, Head, Place
from retention.model import US_PER_S

FOREVER_US = 60 * US_PER_S


def test_it_turns_at_its_speed_and_stops() -> None:
    head = Head()
    head.move(Place(pan=-1, tilt=0.5), FOREVER_US, 0)
    assert head.is_moving(US_PER_S)
    assert head.place(US_PER_S) == Place(pan=-SPACE_PER_S, tilt=SPACE_PER_S / 2)
    head.stop(US_PER_S)
    assert not head.is_moving(US_PER_S)
    assert head.place(9 * US_PER_S) == Place(pan=-SPACE_PER_S, tilt=SPACE_PER_S / 2)


def test_it_goes_no_further_than_its_ends_and_its_time() -> None:
    head = Head()
    head.move(Place(pan=1, zoom=-1), FOREVER_US, 0)
    assert head.place(30 * US_PER_S) == Place(pan=1, zoom=0)
    head.stop(30 * US_PER_S)
    head.move(Place(pan=-1), US_PER_S, 30 * US_PER_S)
    assert head.place(50 * US_PER_S) == Place(pan=1 - SPACE_PER_S)
    assert not head.is_moving(50 * US_PER_S)


def test_presets_are_set_called_and_replaced() -> None:
    head = Head()
    head.move(Place(pan=1), FOREVER_US, 0)
    assert head.set_preset("a", "", US_PER_S) == "1"
    assert head.set_preset("b", "", 2 * US_PER_S) == "2"
    assert head.call_preset("1", 3 * US_PER_S)
    assert head.place(9 * US_PER_S) == Place(pan=SPACE_PER_S)
    assert head.set_preset("c", "1", 9 * US_PER_S) == "1"
    assert [preset.name for preset in head.presets.values()] == ["c", "b"]
    assert not head.call_preset("9", 10 * US_PER_S)

"""PTZCmd, by the vectors of gb28181.md, section 11."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.manscdp import ptz
from uplink.manscdp.ptz import (
    Cruise,
    Lens,
    Move,
    Preset,
    PresetAction,
    Scan,
    Switch,
    TourAction,
)

VECTORS = {
    "A50F01029600004D": Move(pan=-0x96 / 255, tilt=0, zoom=0),
    "A50F0100000000B5": Move(pan=0, tilt=0, zoom=0),
    "A50F01080080003D": Move(pan=0, tilt=0x80 / 255, zoom=0),
    "A50F0029404090ED": Move(pan=0x40 / 255, tilt=0x40 / 255, zoom=-9 / 15),
    "A50F018100020038": Preset(action=PresetAction.SET, number=2),
    "A50F018200020039": Preset(action=PresetAction.CALL, number=2),
    "A50F01830002003A": Preset(action=PresetAction.DELETE, number=2),
    "A50F01880100003E": Cruise(action=TourAction.START, group=1, value=0),
    "A50F01890100003F": Scan(action=TourAction.START, group=1, value=0),
}


@pytest.mark.parametrize(("text", "command"), VECTORS.items())
def test_vectors(text: str, command: ptz.Command) -> None:
    assert ptz.decode(text) == command
    assert ptz.decode(text.lower()) == command
    frame = bytes.fromhex(text)
    again = ptz.encode(frame[3], frame[4], frame[5], frame[6] >> 4, address=frame[2])
    assert again == text


def test_the_rest_of_the_table() -> None:
    assert ptz.decode(ptz.encode(0x48, 0, 0x80, 0)) == Lens(focus=0, iris=-0x80 / 255)
    assert ptz.decode(ptz.encode(0x41, 0xFF, 0, 0)) == Lens(focus=1, iris=0)
    assert ptz.decode(ptz.encode(0x40, 0, 0, 0)) == Lens(focus=0, iris=0)
    assert ptz.decode(ptz.encode(0x84, 3, 9, 0)) == Cruise(
        action=TourAction.ADD_POINT, group=3, value=9
    )
    assert ptz.decode(ptz.encode(0x85, 3, 0, 0)) == Cruise(
        action=TourAction.DELETE, group=3, value=0
    )
    assert ptz.decode(ptz.encode(0x87, 3, 0x2C, 1)) == Cruise(
        action=TourAction.SET_DWELL, group=3, value=300
    )
    assert ptz.decode(ptz.encode(0x8A, 2, 0xFF, 0xF)) == Scan(
        action=TourAction.SET_SPEED, group=2, value=4095
    )
    assert ptz.decode(ptz.encode(0x8C, 1, 0, 0)) == Switch(number=1, is_on=True)
    assert ptz.decode(ptz.encode(0x8D, 1, 0, 0)) == Switch(number=1, is_on=False)


def test_contradictory_bits_hold_their_axis_still() -> None:
    assert ptz.decode(ptz.encode(0x03, 0xFF, 0xFF, 0)) == Move(pan=0, tilt=0, zoom=0)
    assert ptz.decode(ptz.encode(0x3B, 0xFF, 0xFF, 0xF)) == Move(pan=0, tilt=1, zoom=0)


@pytest.mark.parametrize(
    "text",
    ["", "A50F", "A50F01029600004E", "B50F01029600005D", "A50F0102960000XX", "A50E01029600004C"]
    + [ptz.encode(0x81, 0, 0, 0), ptz.encode(0x90, 0, 0, 0), ptz.encode(0x89, 0, 7, 0)],
)
def test_what_is_no_command(text: str) -> None:
    assert ptz.decode(text) is None


@given(st.binary(min_size=8, max_size=8))
def test_any_eight_bytes(frame: bytes) -> None:
    command = ptz.decode(frame.hex())
    if command is not None:
        assert frame[7] == sum(frame[:7]) % 256


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 15))
def test_speeds_are_in_range(command: int, first: int, second: int, nibble: int) -> None:
    decoded = ptz.decode(ptz.encode(command, first, second, nibble))
    if isinstance(decoded, Move):
        assert all(-1 <= axis <= 1 for axis in (decoded.pan, decoded.tilt, decoded.zoom))
    if isinstance(decoded, Lens):
        assert all(-1 <= axis <= 1 for axis in (decoded.focus, decoded.iris))


@given(st.text(max_size=40))
def test_the_reader_never_raises(text: str) -> None:
    ptz.decode(text)

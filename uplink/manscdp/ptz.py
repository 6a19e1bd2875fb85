"""The eight bytes of PTZCmd (GB/T 28181-2022 annex A.3). Core.

``A5``, check nibble, address, command, two data bytes, a nibble of data with the address' high
nibble, and the sum of all modulo 256; on the wire as 16 hexadecimal digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_HEX = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
FIRST_BYTE = 0xA5
SPEED_MAX = 0xFF
ZOOM_SPEED_MAX = 0x0F
PRESET_MAX = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Pan, tilt and zoom, each -1 to 1: right, up and in are positive; all 0 is a stop."""

    pan: float
    tilt: float
    zoom: float

    @property
    def is_stop(self) -> bool:
        return not (self.pan or self.tilt or self.zoom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Focus and iris, each -1 to 1: far and open are positive; both 0 is a stop."""

    focus: float
    iris: float


class PresetAction(StrEnum):
    SET = "set"
    CALL = "call"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    action: PresetAction
    number: int  # 1 to 255


class TourAction(StrEnum):
    """What is done with a cruise (a tour of presets) or a scan."""

    ADD_POINT = "add_point"
    DELETE_POINT = "delete_point"
    DELETE = "delete"
    SET_SPEED = "set_speed"
    SET_DWELL = "set_dwell"
    START = "start"
    SET_LEFT = "set_left"
    SET_RIGHT = "set_right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cruise:
    action: TourAction
    group: int
    value: int  # preset, speed (12 bits) or seconds (12 bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    action: TourAction
    group: int
    value: int  # speed (12 bits), else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An auxiliary switch; 1 is the wiper."""

    number: int
    is_on: bool


Command = Move | Lens | Preset | Cruise | Scan | Switch

_PRESETS = {0x81: PresetAction.SET, 0x82: PresetAction.CALL, 0x83: PresetAction.DELETE}
_SCANS = {0: TourAction.START, 1: TourAction.SET_LEFT, 2: TourAction.SET_RIGHT}


def decode(text: str) -> Command | None:
    """The command of 16 hexadecimal digits.

    None: wrong length, first byte, check nibble or sum, or a command that the standard does not
    know; the standard has no answer for these, they are ignored.
    """
    text = re.sub(r"[\s:-]", "", text[:64])
    if not _HEX.fullmatch(text):
        return None
    frame = bytes.fromhex(text)
    if frame[0] != FIRST_BYTE or frame[7] != sum(frame[:7]) % 256:
        return None
    if frame[1] & 0x0F != (0xA + 0x5 + (frame[1] >> 4)) % 16:
        return None
    command, first, second, nibble = frame[3], frame[4], frame[5], frame[6] >> 4
    if command < 0x40:
        return _move(command, first, second, nibble)
    if command < 0x50:
        return Lens(
            focus=_axis(command & 0x01, command & 0x02, first / SPEED_MAX),
            iris=_axis(command & 0x04, command & 0x08, second / SPEED_MAX),
        )
    return _function(command, first, second, second | nibble << 8)


def encode(command: int, first: int, second: int, nibble: int, address: int = 1) -> str:
    """The digits of any command: what :func:`decode` reads."""
    head = bytes(
        (
            FIRST_BYTE,
            0x0F,
            address & 0xFF,
            command,
            first,
            second,
            nibble << 4 | address >> 8 & 0x0F,
        )
    )
    return (head + bytes((sum(head) % 256,))).hex().upper()


def _move(command: int, first: int, second: int, nibble: int) -> Move:
    return Move(
        pan=_axis(command & 0x01, command & 0x02, first / SPEED_MAX),
        tilt=_axis(command & 0x08, command & 0x04, second / SPEED_MAX),
        zoom=_axis(command & 0x10, command & 0x20, nibble / ZOOM_SPEED_MAX),
    )


def _axis(up: int, down: int, speed: float) -> float:
    """Both directions at once contradict each other: that axis stands still."""
    if bool(up) == bool(down):
        return 0.0
    return speed if up else -speed


def _function(command: int, first: int, second: int, twelve_bits: int) -> Command | None:
    if command in _PRESETS:
        is_number = 1 <= second <= PRESET_MAX
        return Preset(action=_PRESETS[command], number=second) if is_number else None
    if command == 0x84:
        return Cruise(action=TourAction.ADD_POINT, group=first, value=second)
    if command == 0x85:
        action = TourAction.DELETE_POINT if second else TourAction.DELETE
        return Cruise(action=action, group=first, value=second)
    if command in (0x86, 0x87):
        action = TourAction.SET_SPEED if command == 0x86 else TourAction.SET_DWELL
        return Cruise(action=action, group=first, value=twelve_bits)
    if command == 0x88:
        return Cruise(action=TourAction.START, group=first, value=0)
    if command == 0x89 and second in _SCANS:
        return Scan(action=_SCANS[second], group=first, value=0)
    if command == 0x8A:
        return Scan(action=TourAction.SET_SPEED, group=first, value=twelve_bits)
    if command in (0x8C, 0x8D):
        return Switch(number=first, is_on=command == 0x8C)
    return None

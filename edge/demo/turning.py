"""Where a demo camera looks: pan, tilt, zoom and presets. Core: instants in, positions out.

Positions and speeds are those of ONVIF's generic spaces: pan and tilt -1 to 1, zoom 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from retention.model import US_PER_S

#: At full speed a camera turns from one end to the other in four seconds.
SPACE_PER_S = 0.5
MOVE_US_MAX = 60 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    token: str
    name: str
    place: Place


@dataclass(slots=True)
class Head:
    """One camera's; instants are monotonic microseconds."""

    presets: dict[str, Preset] = field(default_factory=dict)
    _place: Place = field(default_factory=Place)
    _speed: Place = field(default_factory=Place)
    _since_us: int = 0
    _until_us: int = 0

    def place(self, now_us: int) -> Place:
        """Where it looks now."""
        seconds = max(0, min(now_us, self._until_us) - self._since_us) / US_PER_S
        way = seconds * SPACE_PER_S
        return Place(
            pan=_within(self._place.pan + self._speed.pan * way, -1),
            tilt=_within(self._place.tilt + self._speed.tilt * way, -1),
            zoom=_within(self._place.zoom + self._speed.zoom * way, 0),
        )

    def is_moving(self, now_us: int) -> bool:
        return now_us < self._until_us and self._speed != Place()

    def move(self, speed: Place, duration_us: int, now_us: int) -> None:
        """Turn at ``speed`` until told otherwise, for ``duration_us`` at most."""
        self._place, self._since_us = self.place(now_us), now_us
        self._speed, self._until_us = speed, now_us + min(duration_us, MOVE_US_MAX)

    def stop(self, now_us: int) -> None:
        self._place = self.place(now_us)
        self._speed, self._until_us = Place(), now_us

    def set_preset(self, name: str, token: str, now_us: int) -> str:
        """Remember where it looks; the token, a new one where none was given."""
        if not token:
            token = str(
                next(n for n in range(1, len(self.presets) + 2) if str(n) not in self.presets)
            )
        self.presets[token] = Preset(token=token, name=name, place=self.place(now_us))
        return token

    def call_preset(self, token: str, now_us: int) -> bool:
        """Look there, at once; False where there is none."""
        preset = self.presets.get(token)
        if preset is None:
            return False
        self.stop(now_us)
        self._place = preset.place
        return True


def _within(value: float, least: float) -> float:
    return min(max(value, least), 1.0)

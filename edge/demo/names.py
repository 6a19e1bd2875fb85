"""What the cameras of ``xueliang demo`` are called: name and role by id."""

from __future__ import annotations

NAMES = {
    "gate-exit": ("人行出口", "face"),
    "gate-entry": ("人行入口", "face"),
    "parking-in": ("停车场入口", "vehicle"),
    "parking-out": ("停车场出口", "vehicle"),
}


def name_of(camera: str) -> str:
    return NAMES.get(camera, (camera, ""))[0]


def role_of(camera: str) -> str:
    return NAMES.get(camera, ("", "general"))[1]

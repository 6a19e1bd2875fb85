"""What is known of each camera from earlier looks, and where one was found that moved. Core.

Kept as ``<state_dir>/care.json`` (:mod:`edge.care.store`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from config.address import Address
from edge.camera.description import Profile
from edge.camera.inspection import Inspection
from edge.care.finding import Finding

CAMERAS_MAX = 256
TEXT_CHARS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where a camera was found, as long as the settings say ``configured``."""

    configured: str  # host:port
    address: str
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One camera; empty where it never told."""

    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""
    profiles: tuple[str, ...] = ()  # as "main H264 1920x1080"
    endpoint: str = ""  # of WS-Discovery
    moved: Moved | None = None


def learnt(before: Known, looked: Inspection) -> Known:
    """With what a look told; what it did not tell stays."""
    return replace(
        before,
        manufacturer=_cut(looked.manufacturer) or before.manufacturer,
        model=_cut(looked.model) or before.model,
        firmware=_cut(looked.firmware) or before.firmware,
        serial=_cut(looked.serial) or before.serial,
        profiles=tuple(map(_profile, looked.profiles)) or before.profiles,
    )


def changes(before: Known, after: Known) -> Iterator[Finding]:
    """What is not as it was; nothing of a camera that is seen for the first time."""
    for name, zh in (
        ("serial", "序列号"),
        ("manufacturer", "厂商"),
        ("model", "型号"),
        ("firmware", "固件"),
    ):
        old, new = getattr(before, name), getattr(after, name)
        if old and new != old:
            yield Finding(zh=f"{zh}由 {old} 变为 {new}", en=f"{name} changed from {old} to {new}")
    if before.profiles and after.profiles != before.profiles:
        gone = [one for one in before.profiles if one not in after.profiles]
        come = [one for one in after.profiles if one not in before.profiles]
        parts = [*(f"-{one}" for one in gone), *(f"+{one}" for one in come)] or ["order"]
        text = _cut(", ".join(parts))
        yield Finding(zh=f"码流配置变化：{text}", en=f"profiles changed: {text}")


def address_of(known: Known | None, configured: Address | None) -> Address | None:
    """Where a camera is reached: where it was found, unless the settings were changed since."""
    if known is None or known.moved is None or configured is None:
        return configured
    if known.moved.configured != str(configured):
        return configured
    try:
        return Address.parse(known.moved.address)
    except ValueError:
        return configured


def dumps(cameras: Mapping[str, Known]) -> str:
    return json.dumps(
        {name: asdict(one) for name, one in sorted(cameras.items())}, ensure_ascii=False, indent=1
    )


def loads(text: str) -> dict[str, Known]:
    """Raises ValueError, TypeError, KeyError or AttributeError where it is damaged."""
    found: dict[str, Known] = {}
    for name, told in list(json.loads(text).items())[:CAMERAS_MAX]:
        moved, profiles = told.pop("moved"), told.pop("profiles")
        found[str(name)] = Known(
            **{key: str(value) for key, value in told.items()},
            profiles=tuple(str(one) for one in profiles),
            moved=None
            if moved is None
            else Moved(
                configured=str(moved["configured"]),
                address=str(moved["address"]),
                since_us=int(moved["since_us"]),
            ),
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device that may be a camera that is looked for; ``serial`` is what it told itself."""

    address: Address
    endpoint: str
    hardware: str = ""
    serial: str = field(default="")


def candidates(
    known: Known, found: Mapping[Address, Candidate], taken: frozenset[Address]
) -> list[Candidate]:
    """Which devices may be asked for their serial: those of the camera's endpoint where that is
    known, else those that announce its model; never one at which another camera is."""
    free = [one for address, one in found.items() if address not in taken]
    if known.endpoint:
        return [one for one in free if one.endpoint == known.endpoint]
    if not known.model:
        return free
    model = known.model.casefold()
    return [one for one in free if one.hardware.casefold() == model]


def _profile(profile: Profile) -> str:
    return _cut(f"{profile.token} {profile.encoding} {profile.width}x{profile.height}")


def _cut(text: str) -> str:
    return text[:TEXT_CHARS_MAX]

"""From an ONVIF notification to what is kept of it: a kind, and whether it lasts. Core.

Topics are those of the ONVIF topic set (core 9.10, imaging, video analytics) and those that makers
hang below it. Everything else that a message carries (plate, face picture, name, place in the
picture) is never looked at, so that it cannot be kept by mistake.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from retention.model import US_PER_S, MarkerKind

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Tamper(StrEnum):
    """What is wrong with the picture, as the camera says; a label of the metrics."""

    COVERED = "covered"
    BLURRED = "blurred"
    DARK = "dark"
    BRIGHT = "bright"
    MOVED = "moved"
    LOST = "lost"  # its own sensor gives no picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One NotificationMessage, parsed; ``source`` and ``data`` are its simple items by name."""

    topic: str
    utc: str
    operation: str  # Initialized, Changed, Deleted; empty for an event without state
    source: Mapping[str, str]
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraEvent:
    """What is kept: nothing of it names anybody.

    ``is_active`` is None for an event without duration; ``camera_us`` is the camera's own clock,
    None where it tells no instant. ``is_initial``: the state as it was when it was asked for.
    """

    kind: MarkerKind
    tamper: Tamper | None
    is_active: bool | None
    is_initial: bool
    camera_us: int | None


_TAMPERS = {
    "tamper": Tamper.COVERED,
    "tamperdetector": Tamper.COVERED,
    "videocovered": Tamper.COVERED,
    "globalscenechange": Tamper.MOVED,
    "imagetooblurry": Tamper.BLURRED,
    "imagetoodark": Tamper.DARK,
    "imagetoobright": Tamper.BRIGHT,
    "signalloss": Tamper.LOST,
    "videoloss": Tamper.LOST,
}
_MOTION = re.compile(r"motion(alarm|detector|regiondetector)?|cellmotiondetector")
_FACE = re.compile(r"(my)?face(capture|detect|detector|detection|recognition|snap)?s?|facecount")
_VEHICLE = re.compile(
    r"vehicle(capture|detect|detector|detection)?|(license|number)?plate(capture|detect|detector"
    r"|detection|recognition|recognizer)?|anpr|lpr|(my)?carplate|vehicledetect"
)
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})
#: Names of the one item that says whether a state holds.
_STATES = frozenset(
    {"state", "ismotion", "istamper", "value", "isinside", "active", "isface", "isvehicle"}
    | {"ispeople", "ispresent", "logicalstate"}
)
DEPTH_MAX = 12


def event_of(notification: Notification) -> CameraEvent | None:
    """What is kept of a notification; None where it is nothing that we mark."""
    parts = [part.rpartition(":")[2].casefold() for part in notification.topic.strip().split("/")][
        :DEPTH_MAX
    ]
    tamper = next((_TAMPERS[part] for part in parts if part in _TAMPERS), None)
    kind = MarkerKind.TAMPER if tamper is not None else _kind(parts)
    if kind is None or notification.operation == "Deleted":
        return None
    return CameraEvent(
        kind=kind,
        tamper=tamper,
        is_active=_state(notification.data),
        is_initial=notification.operation == "Initialized",
        camera_us=_instant(notification.utc),
    )


def source_key(notification: Notification) -> str:
    """Tells apart the detectors of one camera, for the time of its subscription."""
    items = sorted(notification.source.items())[:8]
    return "|".join([notification.topic, *(f"{name}={value}" for name, value in items)])[:300]


def _kind(parts: list[str]) -> MarkerKind | None:
    for pattern, kind in (
        (_FACE, MarkerKind.FACE),
        (_VEHICLE, MarkerKind.VEHICLE),
        (_MOTION, MarkerKind.MOTION),
    ):
        if any(pattern.fullmatch(part) for part in parts):
            return kind
    return None


def _state(data: Mapping[str, str]) -> bool | None:
    for name, value in data.items():
        if name.casefold() in _STATES:
            word = value.strip().casefold()
            if word in _TRUE or word in _FALSE:
                return word in _TRUE
    return None


def _instant(text: str) -> int | None:
    """xs:dateTime; without an offset it is UTC, as the attribute's name promises."""
    try:
        at = datetime.datetime.fromisoformat(text.strip()[:40])
        if at.tzinfo is None:
            at = at.replace(tzinfo=datetime.UTC)
        return (at - _EPOCH) // datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


#: A message may wait so long in a camera until it is pulled.
LATE_US_MAX = 60 * US_PER_S


def instant_of(event: CameraEvent, offset_us: int | None, now_us: int) -> int:
    """When it happened, on the host's clock: by the camera's, less what that is off, as far as that
    can be; else now. A camera in 1970 dates nothing."""
    if event.camera_us is None or offset_us is None:
        return now_us
    at_us = event.camera_us - offset_us
    return at_us if now_us - LATE_US_MAX <= at_us <= now_us else now_us


class States:
    """Which detectors of one camera are active; told of a rise once, and of the end of it.

    Bounded: a camera that invents detectors without end has the oldest forgotten.
    """

    DETECTORS_MAX = 64

    def __init__(self) -> None:
        self._active: dict[str, bool] = {}

    def is_news(self, key: str, event: CameraEvent) -> bool:
        """Whether the event changes something: an event without state always does."""
        if event.is_active is None:
            return True
        known = self._active.pop(key, False)
        self._active[key] = event.is_active
        while len(self._active) > self.DETECTORS_MAX:
            del self._active[next(iter(self._active))]
        return known != event.is_active

"""What ONVIF tells of a camera, and its form between two processes. Core.

Texts are the camera's, cut to ``TEXT_CHARS_MAX`` and without control characters.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

TEXT_CHARS_MAX = 500
PROFILES_MAX = 64
URI_CHARS_MAX = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One media profile; sizes are 0 where the camera tells none."""

    token: str
    name: str
    encoding: str  # "H264", "JPEG", …; empty without a video encoder
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDescription:
    """A camera as it describes itself."""

    manufacturer: str
    model: str
    firmware: str
    serial: str
    #: Where the stream may be had, likeliest first; without credentials.
    stream_uris: tuple[str, ...]
    #: The camera's clock minus the host's, microseconds, to half a second; None if not told.
    clock_offset_us: int | None
    profiles: tuple[Profile, ...]
    profile: str  # the token of the profile that stream_uris belong to


def encode(description: CameraDescription) -> dict[str, Any]:
    """The JSON form."""
    return asdict(description)


def decode(document: dict[str, Any]) -> CameraDescription:
    """The inverse of :func:`encode`, for documents that it made."""
    return CameraDescription(
        **{
            **document,
            "stream_uris": tuple(document["stream_uris"]),
            "profiles": tuple(Profile(**profile) for profile in document["profiles"]),
        }
    )


def clean(text: object) -> str:
    """A camera's text in one line of bounded length."""
    shown = "" if text is None else str(text)[: TEXT_CHARS_MAX * 4]
    shown = "".join(char if char.isprintable() else " " for char in shown).strip()
    return shown if len(shown) <= TEXT_CHARS_MAX else shown[: TEXT_CHARS_MAX - 1] + "…"


def dumps(document: dict[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"

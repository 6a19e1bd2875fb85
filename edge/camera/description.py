"""What a camera says of itself over ONVIF. Core: values only."""

from __future__ import annotations

from dataclasses import dataclass

#: A camera's own words are cut here; no screen or label shows more.
TOLD_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDescription:
    manufacturer: str
    model: str
    firmware: str
    serial: str
    profiles: tuple[str, ...]  # names, as the camera lists them
    stream_uris: tuple[str, ...]  # without credentials, in the order to be tried
    clock_offset_us: int | None  # camera minus recorder; None where it does not tell


def cut(text: object) -> str:
    """A camera's word as printable text of bounded length."""
    plain = "".join(letter for letter in str(text or "") if letter.isprintable())
    return plain[:TOLD_CHARACTERS_MAX]

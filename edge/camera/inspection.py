"""What care learns of one camera at a look, and how it is written between two processes. Core.

Texts are the camera's, cut and cleaned (``edge.camera.description``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.camera.description import Profile
from retention.model import US_PER_S
from retention.plain import decoder, encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """A video encoder, as ONVIF Media tells it; 0 where it tells nothing."""

    codec: str  # "H264", "JPEG", "MPEG4"; H.265 is none of Media version 1
    width: int
    height: int
    fps: int
    bits_per_second: int
    gop_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A text in the picture (OSD). ``kind``: ``Plain``, ``Date``, ``Time``, ``DateAndTime``."""

    token: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """The camera's clock minus the host's lies between these, in microseconds."""

    low_us: int
    high_us: int

    @property
    def middle_us(self) -> int:
        return (self.low_us + self.high_us) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One look. None where the camera does not tell; ``troubles`` says why, in one line each."""

    manufacturer: str
    model: str
    firmware: str
    serial: str
    clock: ClockOffset | None
    is_ntp: bool | None  # its clock is set by NTP
    encoder: EncoderSettings | None
    overlays: tuple[Overlay, ...] | None
    profiles: tuple[Profile, ...]
    profile: str  # token of the one that is recorded
    troubles: tuple[str, ...]


def to_plain(inspection: Inspection) -> Any:
    """Its JSON form."""
    return encoder(Inspection)(inspection)


def from_plain(document: Any) -> Inspection:
    """The way back. Raises NotPlain."""
    found: Inspection = decoder(Inspection)(document)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSample:
    """One answer to GetSystemDateAndTime: whole seconds, shown between two of our instants."""

    before_us: int
    after_us: int
    shown_us: int


def narrowed(samples: Iterable[ClockSample]) -> ClockOffset | None:
    """The offset that all samples allow; of the newest alone where they contradict one another.

    A camera cuts its seconds off: it showed between ``shown_us`` and a second later, at some
    instant between ``before_us`` and ``after_us``.
    """
    found: ClockOffset | None = None
    for sample in samples:
        low_us = sample.shown_us - sample.after_us
        high_us = sample.shown_us + US_PER_S - sample.before_us
        if found is not None and max(found.low_us, low_us) <= min(found.high_us, high_us):
            low_us, high_us = max(found.low_us, low_us), min(found.high_us, high_us)
        found = ClockOffset(low_us=low_us, high_us=high_us)
    return found

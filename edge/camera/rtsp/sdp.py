"""What a camera's session description offers (RFC 4566, 6184 8.2.1, 7798 7.1, 3640 4.1). Core."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 26: ("JPEG", 90000), 32: ("MPV", 90000)}
MEDIA_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """One m= section: its first payload type, in the words of RFC 4566."""

    kind: str  # video, audio, …
    payload_type: int
    encoding: str  # upper case; empty where nothing names it
    clock_hz: int
    channels: int
    control: str
    parameters: Mapping[str, str] = field(default_factory=dict)  # of fmtp, names in lower case

    def parameter_sets(self) -> list[bytes]:
        """The NAL units that the description carries; what is no base64 is left out."""
        texts = self.parameters.get("sprop-parameter-sets", "").split(",")
        texts += [self.parameters.get(name, "") for name in ("sprop-vps", "sprop-sps", "sprop-pps")]
        found = []
        for text in (piece for one in texts for piece in one.split(",") if piece):
            try:
                found.append(base64.b64decode(text + "=" * (-len(text) % 4)))
            except (binascii.Error, ValueError):
                continue
        return [nal for nal in found if nal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    control: str  # of the whole session; empty where there is none
    media: tuple[Medium, ...]


def read_sdp(body: bytes) -> Description:
    """The description as far as it can be read; a medium without payload type is left out."""
    sections: list[list[str]] = [[]]
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line.strip())
    media = [_medium(lines) for lines in sections[1 : MEDIA_MAX + 1]]
    return Description(
        control=_attribute(sections[0], "control"),
        media=tuple(one for one in media if one is not None),
    )


def _attribute(lines: list[str], name: str) -> str:
    head = f"a={name}:"
    return next((line[len(head) :].strip() for line in lines if line.startswith(head)), "")


def _medium(lines: list[str]) -> Medium | None:
    words = lines[0][2:].split()
    if len(words) < 4 or not (words[3].isascii() and words[3].isdigit()) or len(words[3]) > 3:
        return None
    number = int(words[3])
    encoding, clock_hz, channels = *_STATIC.get(number, ("", 0)), 1
    parameters: dict[str, str] = {}
    for line in lines:
        name, _, value = line.removeprefix("a=").partition(":")
        head, _, rest = value.strip().partition(" ")
        if head != str(number):
            continue
        if name == "rtpmap":
            pieces = rest.strip().split("/")
            encoding = pieces[0].upper()
            clock_hz = _number(pieces[1]) if len(pieces) > 1 else clock_hz
            channels = _number(pieces[2]) or 1 if len(pieces) > 2 else 1
        elif name == "fmtp":
            for piece in rest.split(";"):
                key, _, text = piece.partition("=")
                parameters[key.strip().lower()] = text.strip()
    return Medium(
        kind=words[0].lower(),
        payload_type=number,
        encoding=encoding,
        clock_hz=clock_hz,
        channels=channels,
        control=_attribute(lines, "control"),
        parameters=parameters,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0

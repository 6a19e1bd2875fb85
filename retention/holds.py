"""Legal holds: footage that no policy deletes while they stand. Core.

A hold touches a camera (or every camera) from one instant to another; a segment that it touches
in any part is held whole. It ends by release, which may take two persons, or at its expiry, which
is judged by trusted time only: a clock that has jumped ends no hold.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.errors import XueliangError

TEXT_CHARACTERS_MAX = 200
#: ``camera`` of a hold on every camera, also those that come later.
EVERY_CAMERA = ""
#: ``released_by`` of a hold that ended by its term.
EXPIRY = "expiry"


class HoldRefused(XueliangError):
    """What was asked of a hold cannot be done, and was not."""

    code = "hold_refused"


class HoldState(StrEnum):
    ACTIVE = "active"
    RELEASE_ASKED = "release_asked"  # holds until a second person releases it
    EXPIRED = "expired"
    RELEASED = "released"

    @property
    def holds(self) -> bool:
        return self in (HoldState.ACTIVE, HoldState.RELEASE_ASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Half open: ``[from_us, to_us)``; ``to_us`` may lie ahead."""

    id: str
    camera: str  # EVERY_CAMERA, or an id
    from_us: int
    to_us: int
    case: str
    requester: str
    unit: str
    reason: str
    expires_us: int | None
    added_us: int
    added_by: str
    asked_us: int | None = None
    asked_by: str | None = None
    released_us: int | None = None
    released_by: str | None = None

    def state(self, trusted_us: int | None) -> HoldState:
        """``trusted_us`` is None while time is not trusted: then nothing expires."""
        if self.released_us is not None:
            return HoldState.EXPIRED if self.released_by == EXPIRY else HoldState.RELEASED
        if self.expires_us is not None and trusted_us is not None and self.expires_us <= trusted_us:
            return HoldState.EXPIRED
        return HoldState.ACTIVE if self.asked_us is None else HoldState.RELEASE_ASKED

    def touches(self, camera: str, start_us: int, end_us: int) -> bool:
        """Whether any part of ``[start_us, end_us)`` lies in it; an empty span is its instant."""
        if self.camera not in (EVERY_CAMERA, camera):
            return False
        return start_us < self.to_us and max(end_us, start_us + 1) > self.from_us


def held(
    camera: str, start_us: int, end_us: int, holds: Iterable[Hold], now_us: int | None
) -> bool:
    """Whether a segment of ``[start_us, end_us)`` must stay whole.

    Args:
        now_us: trusted time; None while there is none.
    """
    return any(
        hold.touches(camera, start_us, end_us) and hold.state(now_us).holds for hold in holds
    )


def spans_held(camera: str, holds: Iterable[Hold], now_us: int | None) -> list[tuple[int, int]]:
    """What is held of a camera, as rising spans that do not touch."""
    spans: list[tuple[int, int]] = []
    wanted = [
        (hold.from_us, hold.to_us)
        for hold in holds
        if hold.camera in (EVERY_CAMERA, camera) and hold.state(now_us).holds
    ]
    for from_us, to_us in sorted(wanted):
        if spans and from_us <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], to_us)
        else:
            spans.append((from_us, to_us))
    return spans


# What is told to the journal -------------------------------------------------------------------


def added(hold: Hold, known: Iterable[Hold]) -> dict[str, Any]:
    """The entry (kind ``hold``) that puts a hold in force.

    Raises:
        HoldRefused: it says nothing sensible, or its id is taken.
    """
    if any(other.id == hold.id for other in known):
        raise HoldRefused(f"there is a hold {hold.id} already")
    if hold.to_us <= hold.from_us:
        raise HoldRefused("the hold ends before it begins", hint="give --from and a later --to")
    if hold.expires_us is not None and hold.expires_us <= hold.added_us:
        raise HoldRefused("the hold expires before now", hint="give a later --expires, or none")
    for name in ("case", "requester", "reason"):
        if not getattr(hold, name).strip():
            raise HoldRefused(f"the hold has no {name}", hint=f"give --{name}")
    texts = {name: _text(name, getattr(hold, name)) for name in ("case", "requester", "reason")}
    return {
        "event": "added",
        "id": hold.id,
        "camera": hold.camera,
        "from_us": hold.from_us,
        "to_us": hold.to_us,
        **texts,
        "unit": _text("unit", hold.unit),
        "expires_us": hold.expires_us,
        "by": _text("by", hold.added_by),
    }


def release(hold: Hold | None, by: str, *, two_persons: bool) -> dict[str, Any]:
    """The entry that releases a hold, or with ``two_persons`` first asks for it.

    Raises:
        HoldRefused: there is none, it does not hold any more, or the same person asks again.
    """
    name = _text("by", by)
    if hold is None:
        raise HoldRefused("there is no such hold", hint="see: xueliang hold list")
    if hold.released_us is not None:
        raise HoldRefused(f"hold {hold.id} was released by {hold.released_by}")
    if not name.strip():
        raise HoldRefused("nobody is named who releases the hold", hint="give --by NAME")
    if two_persons and hold.asked_by is None:
        return {"event": "release_asked", "id": hold.id, "by": name}
    if two_persons and _person(str(hold.asked_by)) == _person(name):
        raise HoldRefused(
            f"{name} asked for the release of hold {hold.id}; another person must do it",
            hint="give another --by, or set retention.two_person_release = false",
        )
    return {"event": "released", "id": hold.id, "by": name}


def expired(hold: Hold) -> dict[str, Any]:
    """The entry that tells of a hold's end by its own term."""
    return {"event": "released", "id": hold.id, "by": EXPIRY}


def _text(name: str, text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise HoldRefused(
            f"{name} is {len(text)} characters long",
            hint=f"shorten it to {TEXT_CHARACTERS_MAX}; the file of the case holds the rest",
        )
    # Chinese keyboards give wide spaces
    plain = "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)
    if not plain.isprintable():
        raise HoldRefused(f"{name} holds control characters", hint="write one line of plain text")
    return plain.strip()


def _person(name: str) -> str:
    """The same person, however the name is typed."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())

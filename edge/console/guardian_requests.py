"""Requests of guardians to see or get footage: the register that regulators ask for. Core.

State Council Order 799, article 21, and the regulation on minors' protection online, article 34:
who asked, in what relation to which child, for what range, what was decided by whom and why, and
what was shown or handed out when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from config.errors import XueliangError

TEXT_CHARACTERS_MAX = 200
REQUESTS_MAX = 5000


class RequestRefused(XueliangError):
    """A request cannot be entered, decided on or closed in this way."""

    code = "request_refused"


class RequestState(StrEnum):
    OPEN = "open"
    GRANTED = "granted"
    REFUSED = "refused"
    CLOSED = "closed"  # granted, and carried out


class Outcome(StrEnum):
    """What became of a request that was granted."""

    VIEWED = "viewed"  # on site
    HANDED_OUT = "handed_out"
    NOTHING_FOUND = "nothing_found"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One line of the register; ``…_by`` are accounts, the guardian and the child are as told."""

    id: str
    guardian: str
    relation: str
    child: str
    identified_by: str  # how it was made sure who asks
    camera: str  # empty: not known yet
    from_us: int
    to_us: int
    purpose: str
    entered_by: str
    entered_us: int
    state: RequestState = RequestState.OPEN
    decided_by: str = ""
    decided_us: int | None = None
    why: str = ""  # of the decision
    outcome: str = ""
    export: str = ""  # number of the export that was handed out
    closed_by: str = ""
    closed_us: int | None = None


def text_of(value: str, *, is_needed: bool = True) -> str:
    """A field's text, tidied. Raises :class:`RequestRefused`."""
    found = " ".join(value.split())
    if (is_needed and not found) or len(found) > TEXT_CHARACTERS_MAX or not found.isprintable():
        raise RequestRefused(
            "a field is empty, too long or no plain text",
            hint=f"at most {TEXT_CHARACTERS_MAX} characters",
        )
    return found


def entered(found: Request) -> Request:
    """Raises :class:`RequestRefused` for a range that is none."""
    if not 0 < found.to_us - found.from_us <= 31 * 86_400 * 1_000_000:
        raise RequestRefused("a request needs a range of at most 31 days", hint="look at it again")
    return found


def decided(found: Request, *, is_granted: bool, why: str, by: str, now_us: int) -> Request:
    """Raises :class:`RequestRefused`: it is decided already, or a refusal gives no reason."""
    _must_be(found, RequestState.OPEN)
    return replace(
        found,
        state=RequestState.GRANTED if is_granted else RequestState.REFUSED,
        why=text_of(why, is_needed=not is_granted),
        decided_by=by,
        decided_us=now_us,
    )


def closed(found: Request, outcome: Outcome, export: str, by: str, now_us: int) -> Request:
    """Raises :class:`RequestRefused`: it was not granted, or is closed."""
    _must_be(found, RequestState.GRANTED)
    return replace(
        found,
        state=RequestState.CLOSED,
        outcome=outcome.value,
        export=text_of(export, is_needed=False),
        closed_by=by,
        closed_us=now_us,
    )


def _must_be(found: Request, state: RequestState) -> None:
    if found.state is not state:
        raise RequestRefused(
            f"request {found.id} is {found.state.value}, not {state.value}",
            hint="load the page again",
        )


def to_json(found: Request) -> dict[str, Any]:
    """For the register's file."""
    return {name: getattr(found, name) for name in Request.__dataclass_fields__}


def from_json(found: dict[str, Any]) -> Request:
    """Raises KeyError, TypeError, ValueError for what is none."""
    return Request(**{**found, "state": RequestState(found["state"])})

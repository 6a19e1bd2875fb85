"""What somebody may see, and why he said he wants to. Core.

Nobody sees a frame without a grant: cameras, range, the stated reason, the person, and an end. It
is made only once its reason is on record (:meth:`edge.console.visit.Visit.grant`), belongs to one
session, and ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from config.errors import XueliangError

GRANT_US = 30 * 60 * 1_000_000
PER_SESSION_MAX = 20
GRANTS_MAX = 2000
REASON_CHARACTERS_MIN = 4
REASON_CHARACTERS_MAX = 200
CAMERAS_MAX = 64


class Purpose(StrEnum):
    """In what way pictures are seen."""

    PLAYBACK = "playback"
    LIVE = "live"


class ReasonNeeded(XueliangError):
    """No grant covers what was asked for: a reason must be stated first."""

    code = "reason_needed"


class ReasonUnusable(XueliangError):
    """What was stated is no reason, or no range."""

    code = "reason_unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one session may see.

    ``from_us``, ``to_us``: recorded range in UTC microseconds, end excluded; of a live view the
    instant it was asked for and 0.
    """

    id: str
    session: str
    user: str
    purpose: Purpose
    cameras: tuple[str, ...]
    from_us: int
    to_us: int
    reason: str
    expires_us: int  # monotonic

    def covers(self, camera: str, from_us: int, to_us: int) -> bool:
        """Whether footage of ``camera`` in the range may be shown under this grant."""
        if camera not in self.cameras:
            return False
        if self.purpose is Purpose.LIVE:
            return True
        return self.from_us <= from_us and to_us <= self.to_us


class Grants:
    """Every grant in force; instants are monotonic."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}

    def put(self, grant: Grant, now_us: int) -> None:
        for key, one in list(self._grants.items()):
            if one.expires_us <= now_us:
                del self._grants[key]
        own = [key for key, one in self._grants.items() if one.session == grant.session]
        for key in own[: max(0, len(own) - PER_SESSION_MAX + 1)]:
            del self._grants[key]
        while len(self._grants) >= GRANTS_MAX:
            del self._grants[next(iter(self._grants))]
        self._grants[grant.id] = grant

    def find(self, grant_id: str, session: str, now_us: int) -> Grant | None:
        """The grant, for the session that it was made for, while it is in force."""
        grant = self._grants.get(grant_id)
        if grant is None or grant.session != session or grant.expires_us <= now_us:
            return None
        return grant

    def covering(
        self, session: str, purpose: Purpose, camera: str, from_us: int, to_us: int, now_us: int
    ) -> Grant | None:
        """The newest grant of the session that covers this."""
        for grant in reversed(self._grants.values()):
            if (
                grant.session == session
                and grant.purpose is purpose
                and grant.expires_us > now_us
                and grant.covers(camera, from_us, to_us)
            ):
                return grant
        return None

    def is_in_force(self, grant: Grant, now_us: int) -> bool:
        return self.find(grant.id, grant.session, now_us) is not None

    def end_session(self, session: str) -> None:
        for key, one in list(self._grants.items()):
            if one.session == session:
                del self._grants[key]


def reason_of(text: str) -> str:
    """The stated reason, tidied.

    Raises:
        ReasonUnusable: too short to be one, or too long.
    """
    reason = " ".join(text.split())
    if len(reason) < REASON_CHARACTERS_MIN:
        raise ReasonUnusable(
            "a reason must be stated",
            hint=f"say in {REASON_CHARACTERS_MIN} characters or more why you look",
        )
    if len(reason) > REASON_CHARACTERS_MAX or not reason.isprintable():
        raise ReasonUnusable(
            "the reason is too long", hint=f"at most {REASON_CHARACTERS_MAX} characters of text"
        )
    return reason

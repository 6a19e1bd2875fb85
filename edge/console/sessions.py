"""Who is logged in, kept on the server alone. Core: instants are monotonic, chance is passed in.

A cookie is 256 random bits; what is kept is its hash. A session ends after half an hour without a
request of its person, after twelve hours in any case, and with its account's next change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

IDLE_US = 30 * 60 * 1_000_000
ABSOLUTE_US = 12 * 3600 * 1_000_000
#: One person at several machines; the oldest session makes room.
PER_ACCOUNT_MAX = 5
#: Accounts are at most 200 (edge.console.accounts).
SESSIONS_MAX = 1000


@dataclass(slots=True, kw_only=True)
class Session:
    """One person at one browser."""

    id: str  # public: names the session in grants, never lets anybody in
    account: str
    generation: int  # of the account, when the session began
    csrf: str
    began_us: int
    seen_us: int


class Sessions:
    """Every session.

    Args:
        token: a fresh random text of 256 bits or more.
    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, account: str, generation: int, now_us: int) -> tuple[str, Session]:
        """A new session and the cookie that opens it."""
        self.expire(now_us)
        own = [key for key, one in self._sessions.items() if one.account == account]
        for key in own[: max(0, len(own) - PER_ACCOUNT_MAX + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        cookie = self._token()
        session = Session(
            id=self._token()[:16],
            account=account,
            generation=generation,
            csrf=self._token(),
            began_us=now_us,
            seen_us=now_us,
        )
        self._sessions[_key(cookie)] = session
        return cookie, session

    def find(self, cookie: str, now_us: int, *, is_seen: bool = True) -> Session | None:
        """The session that ``cookie`` opens.

        Args:
            is_seen: its person did something; a page that asks by itself does not count.
        """
        key = _key(cookie)
        session = self._sessions.get(key)
        if session is None:
            return None
        if _is_over(session, now_us):
            del self._sessions[key]
            return None
        if is_seen:
            session.seen_us = now_us
        return session

    def end(self, cookie: str) -> None:
        self._sessions.pop(_key(cookie), None)

    def end_all(self, account: str, *, but: str = "") -> None:
        """End the sessions of an account, except the one with the id ``but``."""
        for key, one in list(self._sessions.items()):
            if one.account == account and one.id != but:
                del self._sessions[key]

    def expire(self, now_us: int) -> None:
        for key, one in list(self._sessions.items()):
            if _is_over(one, now_us):
                del self._sessions[key]

    def is_alive(self, session_id: str, now_us: int) -> bool:
        return any(
            one.id == session_id and not _is_over(one, now_us) for one in self._sessions.values()
        )


def _is_over(session: Session, now_us: int) -> bool:
    return now_us - session.seen_us > IDLE_US or now_us - session.began_us > ABSOLUTE_US


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()

"""Tokens for the JSON API and the metrics: ``tokens.json`` in the console's folder. Shell.

A token is shown once; what is kept is its SHA-256 (256 random bits need no slow hash). It opens
what its scopes name, until it expires; never a page, never a picture.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from edge.console.records_file import RecordsFile
from edge.console.roles import Scope
from retention.clock import Clock

FILE_NAME = "tokens.json"
PREFIX = "xl1"
TOKENS_MAX = 100
DAYS_MAX = 730
_DAY_US = 86_400 * 1_000_000


class TokenRefused(XueliangError):
    """A token cannot be made in this way."""

    code = "token_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created_us: int
    created_by: str
    expires_us: int

    def is_valid(self, now_us: int) -> bool:
        return self.created_us - _DAY_US <= now_us < self.expires_us


class Tokens:
    """The file as it stands now."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._file = RecordsFile(state_dir, FILE_NAME, dict)
        self._clock = clock

    def list(self) -> list[Token]:
        """The newest first. Raises :class:`ConsoleFileUnusable`."""
        found = [_token(key, record) for key, record in self._file.read().items()]
        return sorted(found, key=lambda one: -one.created_us)

    def add(self, name: str, scopes: frozenset[Scope], days: int, by: str) -> tuple[Token, str]:
        """A new token and its text.

        Raises:
            TokenRefused: without a name or a scope, or for longer than ``DAYS_MAX``.
            ConsoleFileUnusable: nothing was changed.
        """
        name = " ".join(name.split())
        if not name or len(name) > 60 or not name.isprintable():
            raise TokenRefused("the token needs a name", hint="who uses it, in 60 characters")
        if not scopes:
            raise TokenRefused("the token opens nothing", hint="choose at least one scope")
        if not 1 <= days <= DAYS_MAX:
            raise TokenRefused("the token never ends", hint=f"1 to {DAYS_MAX} days")
        now_us = self._clock.utc_us()
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        record = {
            "name": name,
            "scopes": sorted(scopes),
            "created_us": now_us,
            "created_by": by,
            "expires_us": now_us + days * _DAY_US,
            "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        }
        with self._file.changing() as records:
            if len(records) >= TOKENS_MAX:
                raise TokenRefused(f"there are {TOKENS_MAX} tokens", hint="revoke old ones first")
            records[token_id] = record
        return _token(token_id, record), f"{PREFIX}_{token_id}_{secret}"

    def revoke(self, token_id: str) -> Token | None:
        """The token that was; None if there was none. Raises :class:`ConsoleFileUnusable`."""
        with self._file.changing() as records:
            record = records.pop(token_id, None)
        return None if record is None else _token(token_id, record)

    def find(self, text: str) -> Token | None:
        """The valid token of this text. Raises :class:`ConsoleFileUnusable`."""
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        record = self._file.read().get(token_id)
        if prefix != PREFIX or record is None:
            return None
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        if not hmac.compare_digest(digest, record["sha256"]):
            return None
        token = _token(token_id, record)
        return token if token.is_valid(self._clock.utc_us()) else None


def _token(token_id: str, record: dict[str, Any]) -> Token:
    return Token(
        id=token_id,
        name=record["name"],
        scopes=frozenset(map(Scope, record["scopes"])),
        created_us=record["created_us"],
        created_by=record["created_by"],
        expires_us=record["expires_us"],
    )

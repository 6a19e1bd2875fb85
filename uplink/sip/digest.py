"""HTTP Digest for SIP, client side (RFC 3261 22, RFC 2617, RFC 8760). Core.

Every answer starts a count of its own: ``nc`` is always 00000001 with a fresh cnonce, since some
platforms rebuild it without keeping nonces (gb28181.md 0.2).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from uplink.sip.headers import (
    Malformed,
    Parameters,
    parameter,
    parse_parameters,
    quote,
    split,
    unquote,
)

NONCE_COUNT = "00000001"
#: Algorithms that we answer, strongest first.
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}
_SCHEME = re.compile(r"\s*([A-Za-z0-9_-]{1,40})\s+(.*)", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A WWW-Authenticate field. ``algorithm`` as the peer wrote it, "" where it wrote none."""

    realm: str
    nonce: str
    algorithm: str = ""
    opaque: str | None = None
    qop: tuple[str, ...] = ()  # empty: the old form without qop
    is_stale: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Malformed for another scheme than Digest, or one that lacks realm or nonce."""
        match = _SCHEME.fullmatch(text)
        if match is None or match[1].lower() != "digest":
            raise Malformed("the challenge is not of scheme Digest")
        parameters = parse_parameters(split(match[2], ","))
        realm, nonce = _text(parameters, "realm"), _text(parameters, "nonce")
        if realm is None or nonce is None:
            raise Malformed("the challenge lacks realm or nonce")
        qop = _text(parameters, "qop") or ""
        return cls(
            realm=realm,
            nonce=nonce,
            algorithm=_text(parameters, "algorithm") or "",
            opaque=_text(parameters, "opaque"),
            qop=tuple(piece.strip().lower() for piece in qop.split(",") if piece.strip()),
            is_stale=(_text(parameters, "stale") or "").lower() == "true",
        )

    @property
    def is_supported(self) -> bool:
        """Whether :func:`authorize` can answer it."""
        return self._canonical() in _HASHES and (not self.qop or "auth" in self.qop)

    def _canonical(self) -> str:
        return self.algorithm.upper() or "MD5"

    @property
    def rank(self) -> int:
        """Lower is stronger, for a peer that offers several (RFC 8760 2.4)."""
        return list(_HASHES).index(self._canonical())

    def hash_name(self) -> str:
        return _HASHES[self._canonical()]


def choose(fields: list[str]) -> Challenge | None:
    """The strongest challenge that we can answer, None where there is none."""
    usable: list[Challenge] = []
    for text in fields:
        try:
            challenge = Challenge.parse(text)
        except Malformed:
            continue
        if challenge.is_supported:
            usable.append(challenge)
    return min(usable, key=lambda challenge: challenge.rank, default=None)


def authorize(
    challenge: Challenge, *, username: str, password: str, method: str, uri: str, cnonce: str
) -> str:
    """The value of Authorization. ``uri`` must be the Request-URI, byte for byte."""
    algorithm = challenge.hash_name()

    def digest(text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()

    secret = digest(f"{username}:{challenge.realm}:{password}")
    about = digest(f"{method}:{uri}")
    counted = f":{NONCE_COUNT}:{cnonce}:auth" if challenge.qop else ""
    parts = [
        f"username={quote(username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{digest(f"{secret}:{challenge.nonce}{counted}:{about}")}"',
        # Upper case: a platform took "md5" for SHA-256 (gb28181.md 0.2).
        f"algorithm={challenge.algorithm.upper() or 'MD5'}",
    ]
    if challenge.qop:
        parts += ["qop=auth", f"nc={NONCE_COUNT}", f'cnonce="{cnonce}"']
    if challenge.opaque is not None:
        parts.append(f"opaque={quote(challenge.opaque)}")
    return "Digest " + ", ".join(parts)


def _text(parameters: Parameters, name: str) -> str | None:
    value = parameter(parameters, name)
    return None if value is None else unquote(value)

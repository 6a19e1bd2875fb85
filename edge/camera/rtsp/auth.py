"""HTTP digest and basic as RTSP uses them, the client's side (RFC 2617, RFC 7616). Core."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Possessive, and never from a word's middle: what a camera sends must not cost its length squared.
_PARAMETER = re.compile(r'(?<![\w-])([\w-]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*)"|([^\s,]*))')
#: Strongest first; RFC 2617 takes MD5 where none is named.
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a camera asks; ``algorithm`` is empty for basic."""

    realm: str = ""
    nonce: str = ""
    algorithm: str = ""
    names_algorithm: bool = False
    opaque: str | None = None
    has_qop: bool = False
    is_stale: bool = False  # the proof was right, its nonce too old (RFC 2617, 3.2.1)


def choose(fields: Sequence[str]) -> Challenge | None:
    """The strongest of a 401's WWW-Authenticate fields; None where there is none for us."""
    found: list[tuple[int, Challenge]] = []
    for text in fields:
        scheme, _, rest = text.strip().partition(" ")
        if scheme.lower() == "basic":
            found.append((len(_HASHES), Challenge()))
        if scheme.lower() != "digest":
            continue
        given = {m[1].lower(): m[3] if m[2] is None else m[2] for m in _PARAMETER.finditer(rest)}
        algorithm = given.get("algorithm", "").upper() or "MD5"
        choices = [word.strip().lower() for word in given.get("qop", "").split(",") if word]
        if algorithm in _HASHES and "nonce" in given and (not choices or "auth" in choices):
            challenge = Challenge(
                realm=given.get("realm", ""),
                nonce=given["nonce"],
                algorithm=algorithm,
                names_algorithm="algorithm" in given,
                opaque=given.get("opaque"),
                has_qop=bool(choices),
                is_stale=given.get("stale", "").lower() == "true",
            )
            found.append((list(_HASHES).index(algorithm), challenge))
    return min(found, key=lambda one: one[0])[1] if found else None


def authorization(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    url: str,
    cnonce: str,
    count: int,
) -> str:
    """The value of Authorization; ``url`` as the request has it, ``count`` from 1 for a nonce."""
    if not challenge.algorithm:
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def digest(text: str) -> str:
        name = _HASHES[challenge.algorithm]
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    middle = f"{count:08x}:{cnonce}:auth:" if challenge.has_qop else ""
    secret = digest(f"{username}:{challenge.realm}:{password}")
    proof = digest(f"{secret}:{challenge.nonce}:{middle}{digest(f'{method}:{url}')}")
    name = username.replace("\\", "\\\\").replace('"', '\\"')
    parts = [f'username="{name}"', f'realm="{challenge.realm}"', f'nonce="{challenge.nonce}"']
    parts += [f'uri="{url}"', f'response="{proof}"']
    if challenge.names_algorithm:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.has_qop:
        parts += ["qop=auth", f"nc={count:08x}", f'cnonce="{cnonce}"']
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    return "Digest " + ", ".join(parts)

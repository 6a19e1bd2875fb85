"""HTTP digest as RTSP uses it (RFC 2617), and WS-Security's, both the verifier's side. Core."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def digest_challenge(*, realm: str, nonce: str, qop: bool, stale: bool = False) -> str:
    """The value of WWW-Authenticate."""
    text = f'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5'
    text += ', qop="auth"' if qop else ""
    return text + (", stale=true" if stale else "")


def digest_parameters(authorization: str) -> dict[str, str]:
    """The parameters of an Authorization header; empty when it is not Digest."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "digest":
        return {}
    return {found[1].lower(): found[2] or found[3] or "" for found in _PARAMETER.finditer(rest)}


def digest_is_right(
    given: dict[str, str], *, method: str, realm: str, nonce: str, username: str, password: str
) -> bool:
    """Whether the answer to our challenge proves the password."""
    if given.get("username") != username or given.get("nonce") != nonce:
        return False
    ha1 = _md5(f"{username}:{realm}:{password}")
    ha2 = _md5(f"{method}:{given.get('uri', '')}")
    middle = nonce
    if given.get("qop"):
        middle = f"{nonce}:{given.get('nc', '')}:{given.get('cnonce', '')}:{given['qop']}"
    return hmac.compare_digest(
        given.get("response", "").encode(), _md5(f"{ha1}:{middle}:{ha2}").encode()
    )


def wsse_digest(*, nonce: bytes, created: str, password: str) -> str:
    """PasswordDigest of WS-Security's UsernameToken profile 1.0, section 3.1."""
    secret = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False)
    return base64.b64encode(secret.digest()).decode()


def wsse_is_right(*, given: str, nonce_base64: str, created: str, password: str) -> bool:
    """Whether a UsernameToken's digest proves the password."""
    try:
        nonce = base64.b64decode(nonce_base64, validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = wsse_digest(nonce=nonce, created=created, password=password)
    return hmac.compare_digest(given.encode(), wanted.encode())

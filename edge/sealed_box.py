"""Bytes under a passphrase: scrypt (RFC 7914), AES-256-GCM. Core, but for the chance it takes."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"xueliang sealed 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
#: 64 MiB and a quarter of a second for each guess.
_COST, _BLOCK, _LANES = 2**16, 8, 1


class WrongPassphrase(ValueError):
    """The passphrase is another one, or the bytes were changed."""


def is_sealed(data: bytes) -> bool:
    return data.startswith(MAGIC)


def seal(data: bytes, passphrase: str) -> bytes:
    """``data`` for who knows the passphrase alone."""
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, data, MAGIC)
    return MAGIC + salt + nonce + sealed


def unseal(data: bytes, passphrase: str) -> bytes:
    """What was sealed.

    Raises:
        WrongPassphrase: another passphrase, or other bytes.
    """
    body = data[len(MAGIC) :]
    salt, nonce = body[:_SALT_BYTES], body[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    try:
        sealed = body[_SALT_BYTES + _NONCE_BYTES :]
        return AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, MAGIC)
    except (InvalidTag, ValueError) as error:
        raise WrongPassphrase("another passphrase, or the bytes were changed") from error


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_LANES).derive(passphrase.encode())

"""The key that signs the journal: ``signing-key.pem`` in the state folder. Shell."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import XueliangError
from retention.ownership import hand_over
from retention.whole_file import replace_file

KEY_NAME = "signing-key.pem"
KEY_BYTES_MAX = 4096


class KeyUnusable(XueliangError):
    """The signing key is there and cannot be used."""

    code = "key_unusable"


def signing_key(state_dir: Path) -> Ed25519PrivateKey:
    """Read the Ed25519 key, or make one (mode 0600, durable before it is used).

    Raises:
        KeyUnusable: unreadable, damaged, of another kind, or readable by others.
    """
    path = state_dir / KEY_NAME
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise KeyUnusable(
            f"the signing key {path} cannot be used: {error.strerror}",
            hint="the state folder must belong to the user that runs edge",
        ) from error


def _read(path: Path) -> Ed25519PrivateKey:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mode = os.fstat(file).st_mode & 0o777
        if mode & 0o077:
            raise KeyUnusable(
                f"the signing key {path} may be read by others", hint=f"run: chmod 600 {path}"
            )
        content = os.read(file, KEY_BYTES_MAX)
    finally:
        os.close(file)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return key


def _damaged(path: Path) -> KeyUnusable:
    return KeyUnusable(
        f"the signing key {path} is damaged",
        hint="put it back from a copy, or move it away: a new one is then made and announced",
    )


def _make(path: Path) -> None:
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    replace_file(path, content, mode=0o600, give=lambda file: hand_over(file, path.parent))

"""Passwords: what makes a good one, first ones, and their Argon2id hashes. Shell (chance)."""

from __future__ import annotations

import secrets

import argon2

from config.errors import XueliangError

LENGTH_MIN = 10
LENGTH_MAX = 200
CLASSES_MIN = 3
#: So long a one needs no mixture.
PHRASE_LENGTH = 16
#: Without what looks alike; 14 of these are 80 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS = (5, 5, 5)

#: RFC 9106, 4, second choice: 64 MiB, 3 passes; about 0.1 s of one core.
_HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
#: Verified where there is no account, so that its absence takes no less time.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))


class PasswordWeak(XueliangError):
    """A new password is too easy; ``phrase`` is the catalogue's key of what is wrong."""

    code = "password_weak"

    def __init__(self, message: str, *, phrase: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.phrase = phrase


def first_password() -> str:
    """A random one that a person can type; it must be changed at the first login."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(size)) for size in _GROUPS)


def check(password: str, account: str) -> None:
    """Raises :class:`PasswordWeak`, which says what is wrong."""
    hint = (
        f"take {PHRASE_LENGTH} characters or more, or {LENGTH_MIN} with {CLASSES_MIN} of:"
        " lower case, upper case, digits, others"
    )
    if len(password) < LENGTH_MIN:
        raise PasswordWeak("the password is too short", phrase="password.too_short", hint=hint)
    if len(password) > LENGTH_MAX:
        raise PasswordWeak(
            "the password is too long",
            phrase="password.too_long",
            hint=f"at most {LENGTH_MAX} characters",
        )
    classes = (
        any(char.islower() for char in password),
        any(char.isupper() for char in password),
        any(char.isdigit() for char in password),
        any(not char.isalnum() or not char.isascii() for char in password),
    )
    if len(password) < PHRASE_LENGTH and sum(classes) < CLASSES_MIN:
        raise PasswordWeak("the password is too simple", phrase="password.too_simple", hint=hint)
    if len(set(password)) < 6:
        raise PasswordWeak("the password repeats itself", phrase="password.repeats", hint=hint)
    if account.lower() in password.lower():
        raise PasswordWeak(
            "the password holds the account's name", phrase="password.holds_name", hint=hint
        )


def hashed(password: str) -> str:
    """Takes a tenth of a second and 64 MiB: call it in a thread."""
    return _HASHER.hash(password)


def is_right(stored: str | None, password: str) -> bool:
    """Whether ``password`` fits the hash; as long for no account (None). Call it in a thread."""
    try:
        _HASHER.verify(stored or _NOBODY, password[: LENGTH_MAX + 1])
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return stored is not None

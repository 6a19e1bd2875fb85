"""Passwords: read from files of their own, never shown.

Shell: reads files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import final

from config.errors import Retry, XueliangError

PASSWORD_BYTES_MAX = 1024
#: Any of these bits lets somebody else read or change the file.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretUnusable(XueliangError):
    """A password file is missing, unreadable, open to others, empty or malformed."""

    code = "config"


@final
class Secret:
    """A password. ``repr`` and ``str`` never show it; :meth:`reveal` does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself: for the wire, never for a log, an error or an argument list."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


def file_fault(path: Path) -> tuple[str, str] | None:
    """What is wrong with a password file from outside, as (sentence, mend), or None.

    Looks at its state only: another user's file is judged too, without reading it.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return (
            f"the password file {path} does not exist",
            f"write it: install -m 600 /dev/stdin {path}",
        )
    except OSError:
        return None  # a folder closed to this user: the service that needs the file will say so
    if not stat.S_ISREG(mode):
        return (f"the password file {path} is not a file", "name a file that holds the password")
    if mode & _OTHERS:
        return (
            f"the password file {path} is open to other users (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {path}",
        )
    return None


def read_secret(path: Path) -> Secret:
    """The first and only line of ``path``, without its line end.

    Raises:
        SecretUnusable: missing, unreadable, open to others, empty, more than a line, not UTF-8,
            or above ``PASSWORD_BYTES_MAX``.
    """
    fault = file_fault(path)
    if fault is not None:
        raise SecretUnusable(fault[0], hint=fault[1])
    try:
        with open(path, "rb") as file:
            raw = file.read(PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        raise SecretUnusable(
            f"the password file {path} cannot be read: {os.strerror(error.errno or 0)}",
            hint="give the service's user the right to read it",
            retry=Retry.LATER,
        ) from None
    hint = "it holds the password alone, in one line of UTF-8"
    try:
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnusable(f"the password file {path} is not UTF-8", hint=hint) from None
    if len(raw) > PASSWORD_BYTES_MAX:
        raise SecretUnusable(
            f"the password file {path} is longer than {PASSWORD_BYTES_MAX} bytes", hint=hint
        )
    if not text:
        raise SecretUnusable(f"the password file {path} is empty", hint=hint)
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise SecretUnusable(
            f"the password file {path} holds control characters or several lines", hint=hint
        )
    return Secret(text)

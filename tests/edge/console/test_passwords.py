"""Passwords: how hard they are to guess from a stolen file, and what first ones look like."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from edge.console import passwords
from edge.console.passwords import PasswordWeak


def test_what_is_kept_is_argon2id_as_the_rfc_recommends() -> None:
    """RFC 9106, 4: 64 MiB and 3 passes. Asked of a process in which nothing was replaced."""
    code = "from edge.console import passwords; print(passwords.hashed('x'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=1\$", found.stdout)


def test_only_the_right_one_fits() -> None:
    stored = passwords.hashed("Sonnenschein-90")
    assert passwords.is_right(stored, "Sonnenschein-90")
    assert not passwords.is_right(stored, "sonnenschein-90")
    assert not passwords.is_right(stored, "")
    assert not passwords.is_right(None, "nobody")
    assert not passwords.is_right("damaged", "x")


def test_first_passwords_differ_and_can_be_typed() -> None:
    found = {passwords.first_password() for _ in range(200)}
    assert len(found) == 200
    for password in found:
        assert re.fullmatch(r"[a-zA-Z2-9]{5}-[a-zA-Z2-9]{5}-[a-zA-Z2-9]{5}", password)
        assert not set("0O1lI") & set(password)


@pytest.mark.parametrize(
    "password", ["Abcdef-12", "abcdefghijkl", "ABABAB11ab", "chen-Chen-1234", "x" * 201]
)
def test_weak_ones_are_refused(password: str) -> None:
    with pytest.raises(PasswordWeak):
        passwords.check(password, "chen")


@pytest.mark.parametrize(
    "password", ["Abcdef-123", "一个很长的密码也可以用abc123", "correct horse staple"]
)
def test_good_ones_are_taken(password: str) -> None:
    passwords.check(password, "chen")

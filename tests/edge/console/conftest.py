"""Passwords are hashed cheaply here; test_passwords.py looks at what the console really takes."""

from __future__ import annotations

from collections.abc import Iterator

import argon2
import pytest

from edge.console import passwords


@pytest.fixture(autouse=True, scope="session")
def cheap_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        patch.setattr(passwords, "_NOBODY", cheap.hash("nobody"))
        yield

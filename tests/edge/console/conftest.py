"""A browser for who wants one. Passwords are hashed cheaply here, but for test_passwords.py."""

from __future__ import annotations

from collections.abc import Iterator

import argon2
import pytest
from playwright.sync_api import Browser

from edge.console import passwords
from tests.support.console_box import chromium


@pytest.fixture(autouse=True, scope="session")
def cheap_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        patch.setattr(passwords, "_NOBODY", cheap.hash("nobody"))
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found

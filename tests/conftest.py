"""How hypothesis draws its examples: the same ones on every CI run, new ones by hand.

``XUELIANG_FUZZ=N`` multiplies the examples of each property by N and draws them anew: what
``make fuzz`` does, so that a new find is a failure there and a regression test here.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

FUZZ_FACTOR = int(os.environ.get("XUELIANG_FUZZ", "0"))

settings.register_profile("given", deadline=None, derandomize=FUZZ_FACTOR == 0, database=None)
settings.load_profile("given")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not FUZZ_FACTOR:
        return
    tests = [(item, getattr(item, "function", None)) for item in items]
    items[:] = [item for item, test in tests if getattr(test, "is_hypothesis_test", False)]
    for test in {test for _, test in tests if test is not None}:
        chosen = getattr(test, "_hypothesis_internal_use_settings", None)
        if chosen is not None:
            more = settings(chosen, max_examples=chosen.max_examples * FUZZ_FACTOR)
            test._hypothesis_internal_use_settings = more

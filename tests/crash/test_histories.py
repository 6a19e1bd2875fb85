"""Years of random boxes: surging bit rates, clock steps, disks lost and added, holds, restarts at
any point. ``XUELIANG_FAULTS=full`` makes it 10,000 of them.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.retention.histories.world import live

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
HISTORIES = 10_000 if IS_FULL else 200
#: Steps of four and a half days: one to three years, in CI less than one.
STEPS = (80, 120, 160, 240) if IS_FULL else (50, 70)
BLOCKS = 4
#: Their indexes stand in RAM.
FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else None

pytestmark = pytest.mark.timeout(7200)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_promise_is_kept_in_every_history(block: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block, HISTORIES, BLOCKS):
        with tempfile.TemporaryDirectory(prefix="history-", dir=FOLDER) as folder:
            seen.update(live(seed, Path(folder), STEPS[seed % len(STEPS)]).counts)
    # What was to happen did happen: histories in which nothing goes wrong prove nothing.
    for what in ("age", "over_floor", "overwritten", "removed", "crashes", "rebuilt"):
        assert seen[what] > 0, what

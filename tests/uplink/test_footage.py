"""Cutting stored units into batches, and ending where a range ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import AccessUnit, Track
from retention.read import StoredUnit
from tests.retention.storing import S, Site, run_of
from tests.retention.writing import T0
from tests.uplink.test_playback import FORMAT
from uplink.footage import BATCH_UNITS, Footage, _batches, _until, batch_of
from uplink.playback import From


def pictures(shown: list[int], keys: set[int] | None = None) -> list[StoredUnit]:
    known = {shown[0]} if keys is None else keys
    return [
        StoredUnit(
            format=FORMAT,
            run="a",
            unit=AccessUnit(track=Track.VIDEO, pts_us=n, is_key=n in known, data=b"x"),
        )
        for n in shown
    ]


def times(units: object) -> list[int]:
    return [one.unit.pts_us for one in units if isinstance(one, StoredUnit)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("shown", "end", "sent"),
    [
        ([0, 1, 2, 3, 4], 3, [0, 1, 2]),
        ([0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 5, [0, 3, 1, 2, 6, 4]),
        ([0, 3, 1, 2, 6, 4, 5, 9, 7, 8], 4, [0, 3, 1, 2]),
        ([0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11], 6, [0, 4, 2, 1, 3, 8, 6, 5]),
        ([0, 1], 9, [0, 1]),
    ],
)
def test_an_end_among_reordered_pictures(shown: list[int], end: int, sent: list[int]) -> None:
    """Everything that is shown before the end, and what that builds on."""
    assert times(_until(pictures(shown), end)) == sent


@given(st.integers(1, 4), st.integers(1, 60), st.booleans())
def test_nothing_before_the_end_is_left_out(mini: int, end: int, is_pyramid: bool) -> None:
    shown = [0]
    for anchor in range(mini, 60, mini):
        between = list(range(anchor - mini + 1, anchor))
        shown += [anchor, *(between[::-1] if is_pyramid else between)]
    found = times(_until(pictures(shown), end))
    assert found == shown[: len(found)]
    assert {n for n in shown if n < end} <= set(found)
    assert sum(n >= end for n in found) <= mini


def test_batches_are_groups_or_parts_of_long_ones() -> None:
    shown = list(range(0, 3 * BATCH_UNITS))
    units = pictures(shown, {0, 10, 20})
    batches = list(_batches(units))
    assert [len(batch) for batch in batches[:3]] == [10, 10, BATCH_UNITS]
    assert times(one for batch in batches for one in batch) == shown
    assert batch_of(pictures([0, 3, 1, 2])).depth == 1


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_calls_that_end_while_their_store_is_read_leave_nothing(tmp_path: Path) -> None:
    """BYE may come at any moment of a read: the store is closed behind it, never under it."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 20)

    async def scenario() -> None:
        footage = Footage(site.index_path.parent, site.volumes)

        async def call() -> None:
            source = footage.source("gate", From(at_us=T0), T0 + 3600 * S)
            try:
                while await source.next() is not None:
                    await asyncio.sleep(0)
            finally:
                source.close()

        await call()
        before = open_files()
        for n in range(600):
            task = asyncio.ensure_future(call())
            await asyncio.sleep(n % 10 * 0.0005)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for _ in range(100):
            if open_files() <= before:
                break
            await asyncio.sleep(0.05)
        assert open_files() <= before
        await call()  # and reading goes on
        footage.close()

    asyncio.run(scenario())

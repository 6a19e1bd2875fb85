"""A service's own log is pruned on the time that edge last proved, and on no other."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from retention import audit_hourly
from retention.audit import DAY_US, AuditLog
from retention.audit_chain import Action
from retention.audit_hourly import end_terms_hourly
from retention.audit_read import verify
from retention.audit_terms import end_terms
from retention.index.rows import Alive
from retention.index.write import IndexWriter, put_alive
from retention.trusted_time import Past, Sample, TrustedTime
from tests.retention.storing import FakeClock
from tests.retention.writing import T0

KEEP_DAYS = 183
#: The first of two months is over then for as long as it must be kept, and a day.
OLD_US = T0 + (40 + KEEP_DAYS + 1) * DAY_US


def tell(index_path: Path, at_us: int, *, confirms: bool) -> None:
    """What an edge that judges its clock leaves in the index."""
    first = Sample(utc_us=at_us, monotonic_us=0, raw_us=0, readings={})
    judge = TrustedTime("boot", Past(), first)
    if confirms:
        judge.confirm(first)
    state = json.dumps(judge.state())
    with IndexWriter(index_path) as index:
        alive = Alive(at_us=at_us, epoch=1)
        index.submit(lambda connection: put_alive(connection, alive, state)).result(5)


def first_seq_after(state: Path, service: str = "uplink") -> int | None:
    """Of a log of two months, once its old parts went."""
    clock = FakeClock(T0)
    with AuditLog(state, service, clock) as audit:
        for day in (0, 40):
            clock.now_us = T0 + day * DAY_US
            audit.record(Action.PLATFORM_QUERY, subject=f"day {day}").result(5)
        clock.now_us = OLD_US + 9000 * DAY_US  # whatever this service's clock says
        assert end_terms(audit, state / "index.db", KEEP_DAYS)
    found = verify(state, service)
    assert found.is_sound
    return found.first_seq


def test_old_months_go_on_proven_time(tmp_path: Path) -> None:
    tell(tmp_path / "index.db", OLD_US, confirms=True)
    assert first_seq_after(tmp_path) == 2


def test_younger_months_stay(tmp_path: Path) -> None:
    tell(tmp_path / "index.db", OLD_US - DAY_US, confirms=True)
    assert first_seq_after(tmp_path) == 1


def test_nothing_goes_while_time_is_not_trusted(tmp_path: Path) -> None:
    tell(tmp_path / "index.db", OLD_US, confirms=False)
    assert first_seq_after(tmp_path) == 1


@pytest.mark.parametrize("trust", [None, "", "{", "[]", "{}"])
def test_nothing_goes_where_nothing_is_known_of_time(tmp_path: Path, trust: str | None) -> None:
    with IndexWriter(tmp_path / "index.db") as index:
        alive = Alive(at_us=OLD_US, epoch=1)
        index.submit(lambda connection: put_alive(connection, alive, trust)).result(5)
    assert first_seq_after(tmp_path) == 1


def test_without_an_index_it_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_hourly, "EVERY_S", 0.001)
    failures = []

    async def run(audit: AuditLog) -> None:
        enough = asyncio.Event()

        def failed() -> None:
            failures.append(1)
            if len(failures) == 2:
                enough.set()

        looks = asyncio.create_task(
            end_terms_hourly(audit, tmp_path / "index.db", lambda: KEEP_DAYS, failed)
        )
        await asyncio.wait_for(enough.wait(), 10)
        looks.cancel()

    with AuditLog(tmp_path, "uplink", FakeClock(T0)) as audit:
        asyncio.run(run(audit))
    assert len(failures) >= 2

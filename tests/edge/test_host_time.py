"""Trusted time in edge: what is told, who is asked, what a person may confirm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.host_time import ConfirmationRefused, HostTime
from edge.recorder import CameraClock
from retention.index import rows
from retention.index.write import IndexWriter
from retention.journal import Head, Journal, Kind
from retention.ledger import Ledger
from retention.model import US_PER_S, ClockState
from retention.platform_time import write_platform_time
from retention.trusted_time import Code, Reading, Source
from tests.edge.test_account_over_steps import Clock
from tests.retention.indexing import KEY

S = US_PER_S


class Bench:
    def __init__(self, folder: Path, index: IndexWriter) -> None:
        self.folder, self.index = folder, index
        self.clock = Clock()
        self.steps: list[str] = []
        self.untrusted = 0
        self.start()

    def start(self) -> None:
        head = Head.of(self.index.submit(rows.last_entry).result())
        self.ledger = Ledger(self.index, Journal(KEY, head))
        self.time = HostTime(
            self.clock,
            "boot-1",
            self.folder,
            on_step=self.steps.append,
            on_untrusted=self._lost,
        )
        self.time.begin(self.index, self.ledger)
        self.untrusted = 0  # whoever records begins after this

    def _lost(self) -> None:
        self.untrusted += 1

    def told(self) -> list[tuple[str, str]]:
        self.ledger.flushed().result()
        entries = self.index.submit(rows.journal_entries).result()
        return [
            (str(one.data["event"]), str(one.data.get("code", one.data.get("who"))))
            for one in entries
            if one.kind is Kind.TIME
        ]

    def cameras(self, *offsets_us: int) -> None:
        utc_us, monotonic_us = self.clock.utc_us(), self.clock.monotonic_us()
        self.time.gather(
            [
                CameraClock(utc_us=utc_us + offset_us, monotonic_us=monotonic_us)
                for offset_us in offsets_us
            ]
        )

    def platform(self, offset_us: int) -> None:
        reading = Reading(utc_us=self.clock.utc_us() + offset_us, raw_us=self.clock.raw_us())
        write_platform_time(self.folder, "boot-1", {"police": reading})
        self.time.gather([])


@contextmanager
def bench_in(folder: Path) -> Iterator[Bench]:
    with IndexWriter(folder / "index.db") as index:
        yield Bench(folder, index)


def test_sources_are_ntp_the_platform_and_the_median_of_the_cameras(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        assert bench.time.look().offsets_us == {}
        bench.clock.synchronized = True
        bench.platform(3 * S)
        bench.cameras(2 * S, -900 * S, 5 * S)
        assert bench.time.look().offsets_us == {
            Source.NTP: 0,
            Source.PLATFORM: 3 * S,
            Source.CAMERAS: 2 * S,
        }
        status = bench.time.status()
        assert (status["trusted"], status["code"]) == (True, "agreed")
        assert status["offsets_seconds"] == {"ntp": 0.0, "platform": 3.0, "cameras": 2.0}
        assert bench.told() == [("untrusted", "unconfirmed"), ("trusted", "agreed")]


def test_a_run_is_of_the_clock_that_its_pictures_came_by(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        bench.clock.synchronized = True
        good_us = bench.clock.utc_us() - bench.clock.monotonic_us()
        before = bench.time.new_run(good_us)
        bench.clock.off_us = 3600 * S
        bench.clock.synchronized = False
        after = bench.time.new_run(good_us + 3600 * S)  # a recorder sees it before edge looks
        late = bench.time.new_run(good_us)  # of before the step, handed out after it
        assert [one.clock for one in (before, after, late)] == [
            ClockState.TRUSTED,
            ClockState.UNTRUSTED,
            ClockState.TRUSTED,
        ]
        assert before.epoch == late.epoch == bench.time.epoch_of(good_us)
        assert after.epoch == bench.ledger.epoch
        assert bench.steps == ["forward"]
        assert bench.untrusted == 0  # the step begins runs by itself
        assert bench.time.due_us() is None


def test_trust_that_ends_without_a_step_is_told_to_the_recorders(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        bench.clock.synchronized = True
        bench.time.look()
        bench.clock.synchronized = False
        bench.platform(-3600 * S)
        bench.cameras(-3600 * S)
        assert bench.time.look().code is Code.CONTRADICTED
        assert bench.untrusted == 1
        assert bench.steps == []


def test_a_person_confirms_the_time_that_was_shown_and_no_other(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        shown_us = bench.clock.utc_us()
        bench.clock.off_us = 3600 * S
        with pytest.raises(ConfirmationRefused, match="after its time was shown"):
            bench.time.confirm("os:alice", shown_us)
        bench.clock.off_us = -40 * 365 * 86_400 * S
        with pytest.raises(ConfirmationRefused, match="cannot be"):
            bench.time.confirm("os:alice", bench.clock.utc_us())
        assert not bench.time.look().is_trusted
        bench.clock.off_us = 0
        bench.clock.true_us += 60 * S
        bench.clock.monotonic += 60 * S
        assert bench.time.confirm("os:alice", shown_us).is_trusted
        assert bench.told()[-2:] == [("confirmed", "os:alice"), ("trusted", "confirmed")]


@pytest.mark.parametrize("state", [None, "", "[]", "nonsense", '{"boot": 7}'])
def test_a_lost_or_damaged_state_is_as_a_new_judge_with_old_footage(
    tmp_path: Path, state: Any
) -> None:
    with bench_in(tmp_path) as bench:
        bench.clock.synchronized = True
        assert bench.time.look().is_trusted
        bench.ledger.alive(bench.clock.utc_us(), state)
        bench.ledger.flushed().result()
        bench.clock.synchronized = False
        bench.start()
        assert bench.time.look().code is Code.UNCONFIRMED
        bench.clock.synchronized = True
        assert bench.time.look().code is Code.RESTARTED

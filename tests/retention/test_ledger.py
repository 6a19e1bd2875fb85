"""The ledger: gaps with causes, over crashes and restarts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from retention.index import rows
from retention.index.write import IndexWriter
from retention.journal import Head, Journal, Kind, parse_line, verify
from retention.ledger import Account, Ledger
from retention.model import US_PER_S, Gap, GapCause
from tests.retention.indexing import (
    KEY,
    RUN,
    T0,
    dump,
    dump_of,
    gaps_of,
    ledger_on,
    run_of,
    segment_of,
)

S = US_PER_S
BOOT = "boot-1"


def gap(start_s: float, end_s: float | None, cause: GapCause, detail: str = "") -> Gap:
    return Gap(
        camera="gate",
        start_us=T0 + int(start_s * S),
        end_us=None if end_s is None else T0 + int(end_s * S),
        cause=cause,
        detail=detail,
    )


def begin(ledger: Ledger, at_s: float, boot: str = BOOT) -> Account:
    return ledger.begin_service(["gate"], boot, T0 + int(at_s * S))["gate"]


def test_a_gap_is_opened_and_closed(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.gap_opened("gate", T0, GapCause.NETWORK, "no route")
        assert gaps_of(index) == [gap(0, None, GapCause.NETWORK, "no route")]
        ledger.gap_closed("gate", T0, T0 + 5 * S)
        assert gaps_of(index) == [gap(0, 5, GapCause.NETWORK, "no route")]


def test_a_gap_below_a_second_vanishes(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.gap_opened("gate", T0, GapCause.NETWORK)
        ledger.gap_closed("gate", T0, T0 + S - 1)
        ledger.gap("gate", T0 + 9 * S, T0 + 10 * S - 1, GapCause.STREAM_DAMAGED)
        assert gaps_of(index) == []


def test_every_entry_is_signed_chained_and_handed_to_the_volumes_in_order(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, lines):
        ledger.run_started(run_of("gate"))
        begin(ledger, 1)
        ledger.service_stopped(BOOT, T0 + 2 * S).result()
        in_index = index.submit(lambda connection: list(rows.journal_lines(connection))).result()
        assert [line.removesuffix(b"\n") for line in lines] == in_index
        entries = [parse_line(line) for line in in_index]
        assert verify(entries).seq == len(entries)
        assert entries[0].kind is Kind.KEY
        assert index.submit(lambda connection: rows.run(connection, RUN)).result() == run_of("gate")


def test_replaying_the_journal_gives_the_same_rows(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "a.db") as (index, ledger, lines):
        begin(ledger, 0)
        ledger.run_started(run_of("gate"))
        ledger.volume_attached("v", "/srv/a", T0)
        ledger.gap_opened("gate", T0 + S, GapCause.CAMERA_OFFLINE, "摄像机 \ud800")
        ledger.gap_closed("gate", T0 + S, T0 + 90 * S)
        ledger.gap("gate", T0 + 95 * S, T0 + 99 * S, GapCause.SERVICE_CRASHED)
        ledger.footage_found("gate", T0 + 96 * S, T0 + 98 * S, T0 + 99 * S)
        ledger.camera_removed("gate", T0 + 100 * S)
        ledger.camera_commissioned("gate", T0 + 200 * S)
        ledger.flushed().result()
        original = dump_of(index)
    from retention.index.entries import add_entries

    with IndexWriter(tmp_path / "b.db") as second:
        entries = [parse_line(line.strip()) for line in lines]
        second.submit(lambda connection: add_entries(connection, entries)).result()
        assert dump_of(second) == original
    assert len(original["gap"]) == 4  # one, one cut in two, one of the settings


def test_the_first_start_commissions_and_owes_nothing(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        assert begin(ledger, 0) == Account(covered_until_us=T0, open_gap=None)
        assert gaps_of(index) == []


@pytest.mark.parametrize(
    ("is_clean", "boot", "cause"),
    [
        (True, BOOT, GapCause.SERVICE_STOPPED),
        (True, "boot-2", GapCause.SERVICE_STOPPED),
        (False, BOOT, GapCause.SERVICE_CRASHED),
        (False, "boot-2", GapCause.POWER_LOST),
    ],
)
def test_a_start_opens_a_gap_from_the_newest_durable_footage(
    tmp_path: Path, is_clean: bool, boot: str, cause: GapCause
) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(1, T0, T0 + 60 * S))
        if is_clean:
            ledger.service_stopped(BOOT, T0 + 61 * S)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        account = begin(ledger, 100, boot)
        assert account.covered_until_us == T0 + 60 * S
        assert account.open_gap == gap(60, None, cause)
        assert gaps_of(index) == [gap(60, None, cause)]


def test_a_restart_within_a_second_leaves_no_gap(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(1, T0, T0 + 60 * S))
        assert begin(ledger, 60.9) == Account(
            covered_until_us=T0 + 60 * S, open_gap=None, cause=GapCause.SERVICE_CRASHED
        )
        assert gaps_of(index) == []


def test_an_open_gap_keeps_its_cause_until_the_service_died(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(9, T0, T0 + 10 * S))
        ledger.gap_opened("gate", T0 + 10 * S, GapCause.CAMERA_OFFLINE)
        ledger.alive(T0 + 40 * S)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        account = begin(ledger, 100)
        assert account.covered_until_us == T0 + 40 * S
        assert gaps_of(index) == [
            gap(10, 40, GapCause.CAMERA_OFFLINE),
            gap(40, None, GapCause.SERVICE_CRASHED),
        ]


def test_a_gap_whose_end_was_not_told_ends_where_footage_begins(tmp_path: Path) -> None:
    """Killed between the durable fragment and the entry that closes the gap."""
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(9, T0, T0 + 10 * S))
        ledger.gap_opened("gate", T0 + 10 * S, GapCause.CAMERA_OFFLINE)
        index.segment_sealed(segment_of(1, T0 + 30 * S, T0 + 50 * S))
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 100)
        assert gaps_of(index) == [
            gap(10, 30, GapCause.CAMERA_OFFLINE),
            gap(50, None, GapCause.SERVICE_CRASHED),
        ]


def test_a_gap_that_was_closed_by_lost_footage_is_followed_by_the_crash(tmp_path: Path) -> None:
    """The gap was closed for a fragment that then died in RAM."""
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        ledger.gap("gate", T0 + 10 * S, T0 + 30 * S, GapCause.NETWORK)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        assert begin(ledger, 100).covered_until_us == T0 + 30 * S
        assert gaps_of(index)[0] == gap(0, 10, GapCause.SERVICE_CRASHED)


def test_footage_that_died_in_ram_before_a_later_gap_is_accounted_for(tmp_path: Path) -> None:
    """The camera went offline, and then the service died with the seconds before it."""
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(1, T0, T0 + 96 * S))
        ledger.gap_opened("gate", T0 + 100 * S, GapCause.CAMERA_OFFLINE)
        ledger.alive(T0 + 102 * S)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 110)
        assert gaps_of(index) == [
            gap(96, 100, GapCause.SERVICE_CRASHED),
            gap(100, 102, GapCause.CAMERA_OFFLINE),
            gap(102, None, GapCause.SERVICE_CRASHED),
        ]


def test_a_clock_set_back_makes_no_gap_that_ends_before_it_starts(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(1, T0, T0 + 60 * S))
        ledger.gap_opened("gate", T0 + 60 * S, GapCause.NETWORK)
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, -3600)
        assert gaps_of(index) == []


def test_a_camera_that_left_the_settings_is_due_no_more(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        begin(ledger, 0)
        index.segment_sealed(segment_of(1, T0, T0 + 60 * S))
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.begin_service([], BOOT, T0 + 100 * S)
        (row,) = index.submit(rows.cameras).result()
        assert row.removed_us == T0 + 60 * S
        assert begin(ledger, 200) == Account(covered_until_us=T0 + 200 * S, open_gap=None)
        assert gaps_of(index) == [gap(60, 200, GapCause.CONFIG)]


def test_found_footage_cuts_only_gaps_that_nobody_saw(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.gap("gate", T0, T0 + 10 * S, GapCause.NETWORK)
        ledger.gap_opened("gate", T0 + 20 * S, GapCause.POWER_LOST)
        ledger.footage_found("gate", T0, T0 + 40 * S, T0 + 99 * S)
        assert gaps_of(index) == [
            gap(0, 10, GapCause.NETWORK),
            gap(40, None, GapCause.POWER_LOST),
        ]
        # Who opened it closes it under the start that it had then.
        ledger.gap_closed("gate", T0 + 20 * S, T0 + 50 * S)
        assert gaps_of(index)[1] == gap(40, 50, GapCause.POWER_LOST)


def test_an_index_that_fails_holds_no_volume_back_and_catches_up(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, lines):
        index.submit(lambda connection: connection.execute("PRAGMA busy_timeout = 1")).result()
        other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        before = len(lines)
        ledger.gap("gate", T0, T0 + 10 * S, GapCause.NETWORK).exception()
        assert len(lines) == before + 1
        ledger.alive(T0 + 10 * S)
        ledger.flushed().exception()
        assert ledger.index_trouble
        other.execute("ROLLBACK")
        other.close()
        ledger.alive(T0 + 11 * S)
        ledger.flushed().result()
        assert ledger.index_trouble == ""
        assert gaps_of(index) == [gap(0, 10, GapCause.NETWORK)]
        assert len(lines) == before + 1


def test_an_index_that_hangs_holds_no_volume_back(tmp_path: Path) -> None:
    import threading

    with ledger_on(tmp_path / "index.db") as (index, ledger, lines):
        ledger.flushed().result()
        before, hold = len(lines), threading.Event()
        index.submit(lambda connection: hold.wait(10))
        ledger.gap("gate", T0, T0 + 10 * S, GapCause.NETWORK)
        ledger.alive(T0 + 11 * S)
        assert len(lines) == before
        ledger.alive(T0 + 13 * S)
        assert len(lines) == before + 1
        assert ledger.index_trouble == ""  # not so soon
        for second in range(14, 19):
            ledger.alive(T0 + second * S)
        assert "does not answer" in ledger.index_trouble
        hold.set()
        ledger.flushed().result()
        assert ledger.index_trouble == ""


def test_an_entry_that_makes_no_sense_changes_nothing_else(tmp_path: Path) -> None:
    """As a later version's would."""
    from retention.index.entries import add_entries

    journal = Journal(KEY, Head())
    odd = [
        journal.entry(Kind.GAP, {"event": "opened"}, T0),
        journal.entry(Kind.GAP, {"event": "opened", "camera": [], "start_us": 1}, T0),
        journal.entry(Kind.RUN, {"run": {}}, T0),
        journal.entry(Kind.CAMERA, {"event": "commissioned", "camera": "gate"}, 1 << 80),
        journal.entry(Kind.CAMERA, {"event": "commissioned", "camera": "gate"}, T0),
    ]
    with IndexWriter(tmp_path / "index.db") as index:
        assert index.submit(lambda connection: add_entries(connection, odd)).result() == 5
        found = index.submit(dump).result()
    assert [row[0] for row in found["camera"]] == ["gate"]
    assert found["gap"] == found["run"] == []
    assert len(found["journal"]) == 5


def test_decisions_see_what_was_decided_before(tmp_path: Path) -> None:
    """Also where that is not committed yet; what is told of it goes to the volumes, too."""
    with ledger_on(tmp_path / "index.db") as (_, ledger, lines):

        def once(connection: sqlite3.Connection) -> tuple[int, list[tuple[Kind, dict[str, str]]]]:
            known = len(rows.cameras(connection))
            data = {"event": "commissioned", "camera": "gate"}
            return known, [] if known else [(Kind.CAMERA, data)]

        asked = [ledger.decide(once, T0) for _ in range(3)]
        assert [future.result().result for future in asked] == [0, 1, 1]
        [entry] = asked[0].result().entries
        assert entry.line + b"\n" in lines  # the volumes have it when the answer comes
    assert sum(b'"commissioned"' in line for line in lines) == 1


def test_a_decision_that_fails_tells_nothing(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, lines):

        def fail(_: sqlite3.Connection) -> tuple[None, list[tuple[Kind, dict[str, str]]]]:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            ledger.decide(fail, T0).result()
        ledger.camera_commissioned("gate", T0).result()
        verify([parse_line(line[:-1]) for line in lines], trusted=[KEY.public_key()])
        assert [row[0] for row in dump_of(index)["camera"]] == ["gate"]

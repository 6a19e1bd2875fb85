"""What each journal entry does to the rows; rows only ever follow the chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.index import rows
from retention.index.entries import add_entries
from retention.index.migrations import migrate
from retention.journal import Entry, Head, Journal, Kind
from retention.model import Gap, GapCause
from retention.timeline import timeline
from tests.retention.indexing import KEY, T0, dump

S = 1_000_000


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def gap(event: str, start_s: int, end_s: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {"event": event, "camera": "gate", "start_us": T0 + start_s * S}
    if event != "opened":
        data["end_us"] = T0 + end_s * S
    if event in ("opened", "gap"):
        data |= {"cause": GapCause.POWER_LOST.value, "detail": ""}
    return data


def test_an_entry_that_does_not_follow_is_left_out(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    one, two, three = (journal.entry(Kind.GAP, gap("gap", n * 9, n * 9 + 5), T0) for n in range(3))
    assert add_entries(connection, [one, three]) == 1
    assert add_entries(connection, [one, two, three]) == 3
    assert len(rows.gaps(connection, "gate", 0, 1 << 60)) == 3
    branch = Journal(KEY, Head(seq=3, hash="f" * 64)).entry(Kind.GAP, gap("gap", 90, 99), T0)
    assert add_entries(connection, [branch]) == 3


def test_a_removed_camera_has_no_open_gap(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    camera = {"camera": "gate"}
    told = [
        journal.entry(Kind.CAMERA, {**camera, "event": "commissioned"}, T0),
        journal.entry(Kind.GAP, gap("opened", 5), T0),
        journal.entry(Kind.CAMERA, {**camera, "event": "removed"}, T0 + 20 * S),
    ]
    add_entries(connection, told)
    assert [found.end_us for found in rows.gaps(connection, "gate", 0, 1 << 60)] == [T0 + 20 * S]


events = st.one_of(
    st.builds(gap, st.just("opened"), st.integers(0, 20)),
    *(
        st.builds(lambda a, b, e=event: gap(e, min(a, b), max(a, b)), *[st.integers(0, 20)] * 2)
        for event in ("closed", "gap", "found")
    ),
)


@settings(max_examples=80)
@given(st.lists(events, max_size=12), st.integers(0, 12))
def test_applied_in_one_go_or_in_two_the_rows_are_the_same(
    told: list[dict[str, Any]], cut: int
) -> None:
    journal = Journal(KEY, Head())
    entries = [journal.entry(Kind.GAP, data, T0) for data in told]
    dumps = []
    for parts in ([entries], [entries[:cut], entries[cut:]], [entries, entries]):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection)
        for part in parts:
            add_entries(connection, part)
        dumps.append(dump(connection))
        connection.close()
    assert dumps[0] == dumps[1] == dumps[2]


def keeping(journal: Journal) -> list[Entry]:
    """A camera that was recorded, held, checkpointed, and in part deleted."""
    hold = {
        "event": "added",
        "id": "h1",
        "camera": "gate",
        "from_us": T0,
        "to_us": T0 + 60 * S,
        "case": "东公刑〔2026〕7号",
        "requester": "王警官",
        "unit": "东湖分局",
        "reason": "a case",
        "expires_us": None,
        "by": "head",
    }
    chained = {"camera": "gate", "position": 0, "numbers": [[1, 3], [5, 5]]}
    links = {"before": "00" * 32, "after": "ab" * 32}
    deleted = {
        "camera": "gate",
        "reason": "age",
        "segments": 2,
        "bytes": 99,
        "spans": [[T0, T0 + 60 * S], [T0 + 70 * S, T0 + 90 * S]],
        "pieces": [[[[1, 2]], "00" * 32, "cd" * 32]],
    }
    overwritten = {**deleted, "reason": "overwritten", "spans": [[T0 + 90 * S, T0 + 99 * S]]}
    more = {**deleted, "spans": [[T0 + 90 * S, T0 + 95 * S]]}
    told: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.HOLD, hold),
        (Kind.CHECKPOINT, {**chained, **links}),
        (Kind.DELETION, deleted),
        (Kind.DELETION, more),
        (Kind.DELETION, overwritten),
        (Kind.HOLD, {"event": "release_asked", "id": "h1", "by": "head"}),
        (Kind.HOLD, {"event": "released", "id": "h1", "by": "guard"}),
    ]
    return [journal.entry(kind, data, T0 + n) for n, (kind, data) in enumerate(told)]


def test_holds_checkpoints_and_tombstones_become_rows(connection: sqlite3.Connection) -> None:
    add_entries(connection, keeping(Journal(KEY, Head())))
    hold = connection.execute("SELECT * FROM hold").fetchall()
    assert [row[:4] + row[-4:] for row in hold] == [
        ("h1", "gate", T0, T0 + 60 * S, T0 + 5, "head", T0 + 6, "guard")
    ]
    checkpoint = connection.execute("SELECT numbers, last_number, segments FROM checkpoint")
    assert checkpoint.fetchall() == [("[[1,3],[5,5]]", 5, 4)]
    assert rows.next_numbers(connection) == {}
    connection.execute("INSERT INTO camera VALUES ('gate', ?, NULL, 0, 0)", (T0,))
    assert rows.next_numbers(connection) == {"gate": 6}
    assert connection.execute("SELECT seq, segments, size_bytes FROM tombstone").fetchall() == [
        (3, 2, 99),
        (4, 2, 99),
        (5, 2, 99),
    ]
    gaps = rows.gaps(connection, "gate", 0, 1 << 60)
    assert [(g.start_us - T0, (g.end_us or 0) - T0, g.cause) for g in gaps] == [
        (0, 60 * S, GapCause.EXPIRED),
        (70 * S, 95 * S, GapCause.EXPIRED),
        (90 * S, 99 * S, GapCause.OVERWRITTEN),
    ]


def test_a_hold_is_released_once(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    again = {"event": "released", "id": "h1", "by": "another"}
    entries = [*keeping(journal), journal.entry(Kind.HOLD, again, T0 + 99)]
    add_entries(connection, entries)
    assert connection.execute("SELECT released_by FROM hold").fetchall() == [("guard",)]


def test_gaps_that_begin_at_once_stay_two(connection: sqlite3.Connection) -> None:
    journal = Journal(KEY, Head())
    longer, shorter = gap("gap", 0, 10), gap("gap", 0, 5) | {"cause": GapCause.NETWORK.value}
    for told in (longer, shorter):
        add_entries(connection, [journal.entry(Kind.GAP, told, T0)])
    found = timeline("gate", [], rows.gaps(connection, "gate", 0, 1 << 60), T0, T0 + 10 * S)
    assert [(one.start_us, one.end_us, one.cause) for one in found.gaps] == [
        (T0, T0 + 5 * S, GapCause.NETWORK),
        (T0 + 5 * S, T0 + 10 * S, GapCause.POWER_LOST),
    ]


def test_of_gaps_that_begin_at_once_for_one_cause_the_longer_one_stays(
    connection: sqlite3.Connection,
) -> None:
    journal = Journal(KEY, Head())
    for end_s in (10, 5):
        add_entries(connection, [journal.entry(Kind.GAP, gap("gap", 0, end_s), T0)])
    assert [one.end_us for one in rows.gaps(connection, "gate", 0, 1 << 60)] == [T0 + 10 * S]


def time_told(event: str, epoch: int, **more: Any) -> dict[str, Any]:
    data = {"event": event, "epoch": epoch, "boot": "b", "skew_us": 0, "cause": "clock_stepped"}
    return data | {"code": "jumped", "previous_end_us": T0 + 20 * S} | more


def camera_told(event: str, epoch: int) -> dict[str, Any]:
    return {"event": event, "camera": "gate", "epoch": epoch}


@pytest.mark.parametrize("estimates", [(3600,), (-5, 3600), (0, 3600)])
def test_a_camera_that_comes_back_while_the_clock_is_set_back_was_absent(
    connection: sqlite3.Connection, estimates: tuple[int, ...]
) -> None:
    """Removed, the clock set back by an hour, added again: it stays explained however often the
    stretch of wrong time is re-timed."""
    journal, hour = Journal(KEY, Head()), 3600 * S
    told = [
        (Kind.TIME, time_told("trusted", 1), T0),
        (Kind.CAMERA, camera_told("commissioned", 1), T0),
        (Kind.CAMERA, camera_told("removed", 1), T0 + 10 * S),
        (Kind.TIME, time_told("untrusted", 2), T0 + 20 * S - hour),
        (Kind.CAMERA, camera_told("commissioned", 2), T0 + 30 * S - hour),
    ]
    add_entries(connection, [journal.entry(*one) for one in told])
    hole = (T0 + 10 * S, T0 + 30 * S)

    def causes() -> set[GapCause]:
        found = timeline(
            "gate",
            [],
            rows.gaps(connection, "gate", *hole),
            *hole,
            rows.presumed_gaps(connection, "gate", *hole),
        )
        return {one.cause for one in found.gaps}

    assert GapCause.UNKNOWN not in causes()
    for off_s in estimates:
        data = {"event": "retimed", "epoch": 2, "offset_us": off_s * S, "estimated": True}
        add_entries(connection, [journal.entry(Kind.TIME, data, T0)])
    assert rows.gaps(connection, "gate", 0, 1 << 60) == [
        Gap(camera="gate", start_us=hole[0], end_us=hole[1], cause=GapCause.CONFIG)
    ]
    assert causes() == {GapCause.CONFIG}

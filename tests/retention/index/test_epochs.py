"""Re-timing comes to the same rows whether the index lived through it or is rebuilt."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from retention.index import rows
from retention.index.entries import add_entries
from retention.index.formats import run_to_json
from retention.index.migrations import migrate
from retention.index.write import put_segment
from retention.journal import Entry, Head, Journal, Kind
from retention.model import ClockState, GapCause, Run, Segment
from tests.retention.indexing import FORMAT, KEY, T0, dump, segment_of

S = 1_000_000
CAUSES = st.sampled_from([GapCause.NETWORK, GapCause.POWER_LOST, GapCause.STREAM_DAMAGED])
EPOCHS = st.integers(1, 4)
RUNS = st.integers(1, 6)
INSTANTS = st.integers(0, 2000)
OFFSETS = st.sampled_from([0, -3600, 3600, 100_000, -77])


def time_of(epoch: int, event: str) -> dict[str, Any]:
    return {
        "event": event,
        "epoch": epoch,
        "boot": "b",
        "skew_us": epoch,
        "cause": "clock_stepped",
        "code": "jumped",
        "previous_end_us": T0 + epoch * 500 * S,
    }


def run_of(number: int, epoch: int | None, *, trusted: bool) -> Run:
    return Run(
        run=f"{number:032x}",
        camera="gate",
        start_us=T0 + number * 100 * S,
        clock=ClockState.TRUSTED if trusted else ClockState.UNTRUSTED,
        format=FORMAT,
        epoch=epoch,
    )


def gap_of(event: str, start_s: int, length_s: int, cause: GapCause, **epochs: int) -> Any:
    data = {"event": event, "camera": "gate", "start_us": T0 + start_s * S, **epochs}
    if event != "opened":
        data["end_us"] = T0 + (start_s + length_s) * S
    if event != "closed":
        data |= {"cause": cause.value, "detail": ""}
    return Kind.GAP, data


TOLD = st.one_of(
    st.builds(
        lambda epoch, event: (Kind.TIME, time_of(epoch, event)),
        EPOCHS,
        st.sampled_from(["trusted", "untrusted"]),
    ),
    st.builds(
        lambda epoch, offset_s, est: (
            Kind.TIME,
            {"event": "retimed", "epoch": epoch, "offset_us": offset_s * S, "estimated": est},
        ),
        EPOCHS,
        OFFSETS,
        st.booleans(),
    ),
    st.builds(
        lambda run, offset_s: (
            Kind.TIME,
            {"event": "retimed", "run": f"{run:032x}", "offset_us": offset_s * S},
        ),
        RUNS,
        OFFSETS,
    ),
    st.builds(
        lambda number, epoch, trusted: (
            Kind.RUN,
            run_to_json(run_of(number, epoch, trusted=trusted)),
        ),
        RUNS,
        st.one_of(st.none(), EPOCHS),
        st.booleans(),
    ),
    st.builds(
        lambda event, start_s, length_s, cause, start, end: gap_of(
            event, start_s, length_s, cause, start_epoch=start, epoch=end
        ),
        st.sampled_from(["opened", "closed", "gap"]),
        INSTANTS,
        st.integers(1, 50),
        CAUSES,
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    st.builds(
        lambda event, epoch: (Kind.CAMERA, {"event": event, "camera": "gate", "epoch": epoch}),
        st.sampled_from(["commissioned", "removed"]),
        EPOCHS,
    ),
    st.builds(
        lambda epoch, at_s: (
            Kind.MARKER,
            {
                "event": "seen",
                "epoch": epoch,
                "markers": {"gate": [[T0 + at_s * S, "motion"], [T0 + (at_s + 77) * S, "face"]]},
            },
        ),
        EPOCHS,
        INSTANTS,
    ),
    st.builds(
        lambda before_s: (
            Kind.MARKER,
            {"event": "dropped", "camera": "gate", "before_us": T0 + before_s * S},
        ),
        INSTANTS,
    ),
)
#: A segment of a run, as its file says; each number is of one run for ever.
WRITTEN = st.builds(
    lambda number: replace(
        segment_of(number, T0 + number * 10 * S, T0 + (number * 10 + 9) * S),
        run=f"{1 + number % 6:032x}",
    ),
    st.integers(1, 40),
)


def new_index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


@example(  # a run that was moved by itself, before its epoch was judged anew
    [
        (Kind.TIME, time_of(1, "trusted")),
        (Kind.RUN, run_to_json(run_of(3, 1, trusted=False))),
        replace(segment_of(8, T0 + 80 * S, T0 + 89 * S), run=f"{3:032x}"),
        (Kind.TIME, {"event": "retimed", "run": f"{3:032x}", "offset_us": -3600 * S}),
        (Kind.TIME, time_of(1, "trusted")),
    ]
)
@given(st.lists(st.one_of(TOLD, WRITTEN), max_size=40))
@settings(max_examples=150)
def test_lived_through_or_rebuilt_the_rows_are_the_same(events: list[Any]) -> None:
    journal = Journal(KEY, Head())
    lived, rebuilt = new_index(), new_index()
    entries: list[Entry] = []
    written: dict[int, Segment] = {}
    for number, event in enumerate(events):
        if isinstance(event, Segment):
            written.setdefault(event.number, event)
            put_segment(lived, event)
        else:
            kind, data = event
            entry = journal.entry(kind, data, T0 + number * S)
            entries.append(entry)
            add_entries(lived, [entry])
    add_entries(rebuilt, entries)
    for segment in written.values():
        put_segment(rebuilt, segment)
    assert dump(lived) == dump(rebuilt)
    for number, segment in written.items():
        row = rows.segment(lived, "gate", number)
        assert row is not None
        assert row.retimed(0) == segment
        assert row.offset_us == (rows.run_offset_us(lived, row.run) or 0)
        assert row.path == segment.path
    for connection in (lived, rebuilt):
        connection.close()

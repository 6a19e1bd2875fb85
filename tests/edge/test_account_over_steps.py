"""A camera's account over steps, power cuts and clocks of all ages: once time is trusted and what
came before is re-timed, every second is where it was in truth, recorded or explained."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.gaps import GapClosed, GapEvent, GapKeeper, GapOpened
from edge.host_time import HostTime
from edge.recorder import CameraClock
from retention.index import rows
from retention.index.entries import add_entries
from retention.index.write import IndexWriter, put_segment, put_segments
from retention.journal import Head, Journal
from retention.ledger import Ledger
from retention.model import US_PER_S, GapCause, Run, Segment, Span
from retention.timeline import Timeline, timeline
from tests.retention.indexing import FORMAT, KEY, dump_of, segment_of
from tests.retention.writing import T0

S = US_PER_S
YEAR = 365 * 86_400 * S


@dataclass
class Clock:
    """A host whose clock is ``off_us`` from true time."""

    true_us: int = T0
    monotonic: int = 30 * S
    off_us: int = 0
    synchronized: bool = False

    def utc_us(self) -> int:
        return self.true_us + self.off_us

    def monotonic_us(self) -> int:
        return self.monotonic

    def raw_us(self) -> int:
        return self.monotonic

    def is_synchronized(self) -> bool:
        return self.synchronized


@dataclass
class World:
    """One box with one camera; instants of ``recorded`` are true ones."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    recorded: list[Span] = field(default_factory=list)
    boots: int = 1
    is_estimated: bool = False
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.index = IndexWriter(self.folder / "index.db")
        self.began_us = self.clock.true_us
        self.run: str | None = None
        self.start()

    def start(self) -> None:
        head = Head.of(self.index.submit(rows.last_entry).result())
        self.ledger = Ledger(self.index, Journal(KEY, head))
        self.time = HostTime(
            self.clock,
            f"boot-{self.boots}",
            self.folder,
            on_step=lambda direction: None,
            on_untrusted=lambda: setattr(self, "run", None),
        )
        self.time.begin(self.index, self.ledger)
        self.skew_us = self.clock.utc_us() - self.clock.monotonic
        accounts = self.ledger.begin_service(["gate"], f"boot-{self.boots}", self.clock.utc_us())
        account = accounts["gate"]
        gap = account.open_gap
        self.keeper = GapKeeper(
            account.covered_until_us,
            None
            if gap is None
            else GapOpened(start_us=gap.start_us, cause=gap.cause, detail=gap.detail),
            epoch=self.ledger.epoch,
        )
        if gap is None:
            self.tell(self.keeper.lost(account.cause, "", self.clock.utc_us()))
        self.run = None
        self.tick()

    def pass_time(self, us: int) -> None:
        self.clock.true_us += us
        self.clock.monotonic += us

    def tick(self) -> None:
        """As edge does each second."""
        self.time.look()
        skew_us = self.clock.utc_us() - self.clock.monotonic
        if skew_us != self.skew_us:
            step_us, self.skew_us = skew_us - self.skew_us, skew_us
            epoch = self.time.epoch_of(skew_us)
            self.tell(self.keeper.stepped(step_us, self.clock.utc_us(), epoch))
            self.run = None
        self.tell(self.keeper.tick(self.clock.utc_us()))
        self.ledger.alive(self.clock.utc_us(), self.time.state())

    def tell(self, events: list[GapEvent]) -> None:
        for event in events:
            if isinstance(event, GapClosed):
                self.ledger.gap_closed("gate", event.start_us, event.end_us, epoch=event.epoch)
            else:
                self.ledger.gap_opened(
                    "gate", event.start_us, event.cause, event.detail, epoch=event.epoch
                )

    # What happens ----------------------------------------------------------------------------

    def record(self, us: int) -> None:
        self.tick()
        start_us, true_us = self.clock.utc_us(), self.clock.true_us
        if self.run is None:
            new = self.time.new_run(self.skew_us)
            self.run = f"{next(self.ids):032x}"
            self.ledger.run_started(
                Run(
                    run=self.run,
                    camera="gate",
                    start_us=start_us,
                    clock=new.clock,
                    format=FORMAT,
                    epoch=new.epoch,
                )
            )
        self.pass_time(us)
        self.recorded.append(Span(start_us=true_us, end_us=self.clock.true_us))
        segment = segment_of(next(self.ids), start_us, self.clock.utc_us())
        row = replace(segment, run=self.run)
        self.index.submit(lambda connection: put_segment(connection, row)).result()
        self.tell(self.keeper.recorded(start_us, self.clock.utc_us(), GapCause.STREAM_DAMAGED))
        self.tick()

    def lose(self, us: int) -> None:
        self.tick()
        self.run = None
        self.tell(self.keeper.lost(GapCause.NETWORK, "", self.clock.utc_us()))
        self.pass_time(us)
        self.tick()

    def step(self, by_us: int) -> None:
        self.clock.synchronized = False
        self.clock.off_us += by_us
        self.tick()

    def cut(self, off_us: int, clock_us: int | None) -> None:
        """The power goes, and comes back with this on the clock (None: what it should be)."""
        self.tick()
        self.ledger.flushed().result()
        self.boots += 1
        self.clock.true_us += off_us
        self.clock.monotonic = 30 * S
        self.clock.synchronized = False
        self.clock.off_us = 0 if clock_us is None else clock_us - self.clock.true_us
        self.start()

    def restart(self, away_us: int) -> None:
        self.tick()
        self.ledger.service_stopped(f"boot-{self.boots}", self.clock.utc_us())
        self.ledger.flushed().result()
        self.pass_time(away_us)
        self.start()

    def trust(self) -> None:
        """The clock is put right, and two say so."""
        self.clock.off_us, self.clock.synchronized = 0, True
        skewed = CameraClock(utc_us=self.clock.true_us, monotonic_us=self.clock.monotonic)
        self.time.gather([skewed])
        self.tick()
        assert self.time.look().is_trusted
        epochs = self.index.submit(rows.epochs).result()
        self.ledger.flushed().result()
        self.time.retime()
        self.is_estimated |= any(
            one.is_estimated for one in self.index.submit(rows.epochs).result()
        )
        assert len(epochs) == len(self.index.submit(rows.epochs).result())

    def line(self) -> Timeline:
        self.ledger.flushed().result()
        to_us = self.clock.true_us

        def query(connection: sqlite3.Connection) -> Timeline:
            camera = rows.camera(connection, "gate")
            assert camera is not None
            from_us = camera.commissioned_us
            assert self.is_estimated or abs(from_us - self.began_us) < S
            return timeline(
                "gate",
                rows.spans(connection, "gate", from_us, to_us),
                rows.gaps(connection, "gate", from_us, to_us),
                from_us,
                to_us,
                rows.presumed_gaps(connection, "gate", from_us, to_us),
            )

        return self.index.submit(query).result()


LENGTHS = st.integers(2, 900).map(lambda seconds: seconds * S)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), LENGTHS),
        st.tuples(st.just("record"), LENGTHS),
        st.tuples(st.just("lose"), LENGTHS),
        st.tuples(st.just("step"), st.sampled_from([3600, -3600, 400 * 86_400, -86_400, 40, -40])),
        st.tuples(st.just("cut"), LENGTHS, st.sampled_from(["good", "1970", "2038", "year"])),
        st.tuples(st.just("restart"), LENGTHS),
        st.tuples(st.just("trust")),
    ),
    max_size=14,
)
CLOCKS = {"good": None, "1970": 100 * S, "2038": 2_147_483_640 * S, "year": T0 + YEAR}


def live(world: World, event: tuple[Any, ...]) -> None:
    match event:
        case ("record", us):
            world.record(us)
        case ("lose", us):
            world.lose(us)
        case ("step", by_s):
            world.step(by_s * S)
        case ("cut", us, kind):
            world.cut(us, CLOCKS[kind])
        case ("restart", us):
            world.restart(us)
        case _:
            world.trust()


def overlap_us(spans: list[Span], others: list[Span]) -> int:
    return sum(
        max(0, min(one.end_us, other.end_us) - max(one.start_us, other.start_us))
        for one in spans
        for other in others
    )


@given(st.sampled_from(["good", "1970", "2038", "year"]), EVENTS)
@settings(max_examples=60)
def test_every_second_ends_up_where_it_was_recorded_or_explained(
    first: str, events: list[tuple[Any, ...]]
) -> None:
    with TemporaryDirectory() as folder:
        clock = Clock()
        clock.off_us = (CLOCKS[first] or T0) - T0
        world = World(Path(folder), clock)
        world.record(10 * S)
        for event in events:
            live(world, event)
        world.trust()
        world.record(10 * S)
        line = world.line()
        causes = {gap.cause for gap in line.gaps}
        assert GapCause.UNKNOWN not in causes, line
        recorded_us = sum(span.end_us - span.start_us for span in world.recorded)
        kept = list(line.spans)
        if not world.is_estimated:
            slack_us = 2 * S * len(events) + 2 * S  # holes below a second count as recorded
            assert overlap_us(kept, world.recorded) >= recorded_us - slack_us, line
            assert line.recorded_us <= recorded_us + slack_us, line
        assert_rebuilt_alike(world)
        world.index.close()


def assert_rebuilt_alike(world: World) -> None:
    """From the journal's entries and what the files say."""
    entries = world.index.submit(rows.journal_entries).result()

    def as_in_files(connection: sqlite3.Connection) -> list[Segment]:
        numbers = connection.execute("SELECT number FROM segment").fetchall()
        found = [rows.segment(connection, "gate", number) for (number,) in numbers]
        return [segment.retimed(0) for segment in found if segment is not None]

    segments = world.index.submit(as_in_files).result()
    with IndexWriter(world.folder / "rebuilt.db") as rebuilt:
        rebuilt.submit(lambda one: add_entries(one, entries)).result()
        rebuilt.submit(lambda one: put_segments(one, segments)).result()
        assert dump_of(rebuilt) == dump_of(world.index)

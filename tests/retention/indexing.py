"""Values and helpers for the tests of index, journal and ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.index import rows
from retention.index.write import IndexWriter
from retention.journal import Head, Journal
from retention.ledger import Ledger
from retention.model import (
    US_PER_S,
    ClockState,
    Codec,
    EndReason,
    FragmentEntry,
    Gap,
    MediaFormat,
    Run,
    Segment,
    SegmentState,
    VideoFormat,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
T0 = 1_700_000_000 * US_PER_S
RUN = "a" * 32
FORMAT = MediaFormat(
    video=VideoFormat(codec=Codec.H264, width=64, height=48, parameter_sets=(b"\x67", b"\x68"))
)
LIVING = (("meta", "alive_us"), ("meta", "alive_epoch"), ("meta", "trust"))
TABLES = (
    "camera",
    "volume",
    "epoch",
    "run",
    "segment",
    "gap",
    "absence",
    "marker",
    "journal",
    "meta",
)


def run_of(camera: str, run: str = RUN, start_us: int = T0) -> Run:
    return Run(run=run, camera=camera, start_us=start_us, clock=ClockState.TRUSTED, format=FORMAT)


def segment_of(
    number: int,
    start_us: int,
    end_us: int,
    *,
    camera: str = "gate",
    is_open: bool = False,
    size_bytes: int = 1000,
) -> Segment:
    entry = FragmentEntry(
        offset=100,
        size_bytes=size_bytes - 100,
        start_us=start_us,
        end_us=end_us,
        is_key=True,
        sha256=b"",
    )
    return Segment(
        camera=camera,
        number=number,
        run=RUN,
        volume="v",
        start_us=start_us,
        end_us=end_us,
        state=SegmentState.OPEN if is_open else SegmentState.SEALED,
        size_bytes=size_bytes,
        end_reason=None if is_open else EndReason.ROTATED,
        digest=b"" if is_open else b"d" * 32,
        fragments=(entry,),
    )


def dump(connection: sqlite3.Connection, tables: tuple[str, ...] = TABLES) -> dict[str, list[Any]]:
    """Every row of the index but the alive mark, which only a living edge knows."""
    return {
        table: sorted(
            (
                row
                for row in connection.execute(f"SELECT * FROM {table}")
                if (table, row[0]) not in LIVING
            ),
            key=repr,  # an open gap has no end to compare
        )
        for table in tables
    }


def dump_of(index: IndexWriter) -> dict[str, list[Any]]:
    return index.submit(dump).result()


def gaps_of(index: IndexWriter, camera: str = "gate") -> list[Gap]:
    return index.submit(lambda connection: rows.gaps(connection, camera, 0, 1 << 60)).result()


@contextmanager
def ledger_on(path: Path) -> Iterator[tuple[IndexWriter, Ledger, list[bytes]]]:
    """An index with a ledger that goes on where its journal ends, and what a volume would get."""
    lines: list[bytes] = []
    with IndexWriter(path) as index:
        head = Head.of(index.submit(rows.last_entry).result())
        ledger = Ledger(index, Journal(KEY, head))
        ledger.add_sink(lines.append)
        if head.seq == 0:
            ledger.key_used(T0)
        yield index, ledger, lines
        ledger.flushed().result()

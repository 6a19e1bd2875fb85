"""A store as it stands after months: index and journal without the footage, made in a minute.

Rows go in as they would have come, camera by camera in order of time, so that tables and indexes
lie on the disk as a grown store's do. Gaps, runs, hourly checkpoints and tombstones go through the
journal, signed. There are no media: what is asked of it is asked of the index.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from retention import layout
from retention.chain import FIRST_LINK, link
from retention.fragments import encode_table
from retention.index.entries import add_entries
from retention.index.formats import run_to_json
from retention.index.rows import Alive
from retention.index.write import connect_for_writing, put_alive
from retention.journal import Entry, Head, Journal, Kind
from retention.keys import signing_key
from retention.model import (
    US_PER_S,
    ClockState,
    Codec,
    EndReason,
    FragmentEntry,
    GapCause,
    MediaFormat,
    Run,
    VideoFormat,
)
from retention.stamp import write_stamp
from retention.varint import put_varint, zigzag
from retention.volume import JOURNAL_PART_BYTES

HOUR_US = 3600 * US_PER_S
DAY_US = 24 * HOUR_US
MINUTE_US = 60 * US_PER_S
#: Two seconds a group of pictures, 2 Mbit/s.
GOP_US = 2 * US_PER_S
GOP_BYTES = 500_000
HEADER_BYTES = 1_100
TRAILER_BYTES = 2_400
#: Boundaries stray from the full minute by so much, in a cycle.
_STRAY_US = tuple((n * 37 % 50) * 40_000 for n in range(97))
#: Sessions that end a day and camera, each with a gap behind it.
GAPS_A_DAY = 3
_CAUSES = (GapCause.NETWORK, GapCause.CAMERA_OFFLINE, GapCause.CAMERA_REFUSED)
FORMAT = MediaFormat(
    video=VideoFormat(
        codec=Codec.H264,
        width=1920,
        height=1080,
        parameter_sets=(
            bytes.fromhex("67f4000a91968426c044000003000400000300103c489a80"),
            bytes.fromhex("68ce0f1920"),
        ),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BigStore:
    folder: Path
    volumes: tuple[Path, ...]
    uuids: tuple[str, ...]
    cameras: tuple[str, ...]
    kept_from_us: int  # the oldest footage, all but a minute
    until_us: int  # the newest
    segments: int
    entries: int

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def index_path(self) -> Path:
        return self.state / "index.db"


def make_big_store(
    folder: Path,
    until_us: int,
    *,
    cameras: int = 16,
    days: int = 90,
    deleted_days: int = 30,
    volumes: int = 3,
) -> BigStore:
    """Write index, journal replicas and stamps below ``folder``.

    Args:
        until_us: where the newest footage ends.
        deleted_days: of footage that has expired before the ``days`` that are kept.
    """
    names = tuple(f"camera-{n:02}" for n in range(cameras))
    roots = tuple(folder / f"volume-{n}" for n in range(volumes))
    uuids = tuple(f"{n:08}-0000-4000-8000-000000000000" for n in range(volumes))
    kept_from_us = until_us - days * DAY_US
    commissioned_us = kept_from_us - deleted_days * DAY_US
    for root, uuid in zip(roots, uuids, strict=True):
        (root / layout.JOURNAL).mkdir(parents=True)
        write_stamp(root, uuid, commissioned_us)
    state = folder / "state"
    state.mkdir(mode=0o700)
    histories = [
        _History(name, n, commissioned_us, kept_from_us, until_us) for n, name in enumerate(names)
    ]
    with closing(connect_for_writing(state / "index.db")) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        rows = heapq.merge(
            *(one.segments(uuids, place) for place, one in enumerate(histories)),
            key=lambda row: row[4],
        )
        connection.executemany(f"INSERT INTO segment VALUES ({', '.join('?' * 11)}, 0)", rows)
        entries = _entries(Journal(signing_key(state), Head()), histories, roots, uuids)
        told = _Kept(entries)
        add_entries(connection, told)
        put_alive(connection, Alive(at_us=until_us))
        connection.execute("COMMIT")
        segments = connection.execute("SELECT count(*) FROM segment").fetchone()[0]
        connection.execute("PRAGMA journal_mode = WAL")
    for root in roots:
        _write_replica(root, told.lines)
    return BigStore(
        folder=folder,
        volumes=roots,
        uuids=uuids,
        cameras=names,
        kept_from_us=kept_from_us,
        until_us=until_us,
        segments=segments,
        entries=len(told.lines),
    )


@dataclass
class _Kept:
    """Hands entries on and keeps their lines."""

    entries: Iterable[Entry]
    lines: list[bytes] = field(default_factory=list)

    def __iter__(self) -> Iterator[Entry]:
        for entry in self.entries:
            self.lines.append(entry.line)
            yield entry


class _History:
    """What one camera lived through, from a seed."""

    def __init__(
        self, camera: str, seed: int, commissioned_us: int, kept_from_us: int, until_us: int
    ) -> None:
        self.camera = camera
        self.commissioned_us = commissioned_us
        self.kept_from_us = kept_from_us
        self.until_us = until_us
        self.offset_us = seed * MINUTE_US // 16
        self._random = random.Random(seed)
        days = (until_us - commissioned_us) // DAY_US
        starts = sorted(
            commissioned_us + int(self._random.uniform(0.0001, 0.9999) * days * DAY_US)
            for _ in range(GAPS_A_DAY * days)
        )
        self.gaps: list[tuple[int, int, GapCause]] = []
        at_us = commissioned_us + 2 * HOUR_US
        for start_us in starts:
            length_us = (
                int(min(self._random.lognormvariate(3, 1.5), 7200) * US_PER_S) + 2 * US_PER_S
            )
            if start_us > at_us and start_us + length_us < until_us - HOUR_US:
                self.gaps.append((start_us, start_us + length_us, self._random.choice(_CAUSES)))
                at_us = start_us + length_us + 2 * MINUTE_US
        edges = [commissioned_us, *(edge for gap in self.gaps for edge in gap[:2]), until_us]
        self.runs = [
            (f"{seed:04x}{n:028x}", edges[n * 2], edges[n * 2 + 1]) for n in range(len(edges) // 2)
        ]
        #: At each full hour: the newest segment begun before it, where that ends, and the chain's
        #: link behind it.
        self.hours = [(commissioned_us, 0, commissioned_us, FIRST_LINK)]

    def segments(self, uuids: tuple[str, ...], place: int) -> Iterator[tuple[Any, ...]]:
        """Rows of what is kept, in order of time; fills :attr:`hours` on the way."""
        number = 0
        hour_us = self.commissioned_us + HOUR_US
        patterns = _patterns()
        link_behind, before_us = FIRST_LINK, self.commissioned_us
        for run, run_start_us, run_end_us in self.runs:
            for start_us, end_us, pattern in self._cuts(run_start_us, run_end_us):
                number += 1
                if start_us >= hour_us:
                    self.hours.append((hour_us, number - 1, before_us, link_behind))
                    hour_us += HOUR_US
                is_kept = start_us >= self.kept_from_us
                digest = self._random.randbytes(32) if is_kept else bytes(32)
                link_behind, before_us = link(link_behind, number, digest), end_us
                if not is_kept:
                    continue
                if pattern is None:
                    table, size_bytes = table_of(start_us, end_us)
                else:
                    rest, size_bytes = patterns[pattern]
                    table = _with_start(rest, start_us)
                yield (
                    self.camera,
                    number,
                    run,
                    uuids[(number + place) % len(uuids)],
                    start_us,
                    end_us,
                    "sealed",
                    size_bytes,
                    (EndReason.RUN_ENDED if end_us == run_end_us else EndReason.ROTATED).value,
                    digest,
                    table,
                )

    def _cuts(self, from_us: int, to_us: int) -> Iterator[tuple[int, int, int | None]]:
        """Start, end and pattern of each segment of a run."""
        minute = (from_us - self.offset_us) // MINUTE_US + 1
        at_us, pattern = from_us, None
        while at_us < to_us:
            place = minute % len(_STRAY_US)
            end_us = minute * MINUTE_US + self.offset_us + _STRAY_US[place]
            if end_us >= to_us:
                yield at_us, to_us, None
            elif end_us > at_us:
                yield at_us, end_us, pattern
            at_us, pattern = max(at_us, end_us), place
            minute += 1


def table_of(start_us: int, end_us: int) -> tuple[bytes, int]:
    """The fragments of a segment as the index keeps them, and the size of its file."""
    entries = []
    offset = HEADER_BYTES
    starts = [*range(start_us, end_us, GOP_US), end_us]
    for n, (low_us, high_us) in enumerate(pairwise(starts)):
        size_bytes = GOP_BYTES * (high_us - low_us) // GOP_US + n * 1_931 % 40_000
        entries.append(
            FragmentEntry(
                offset=offset,
                size_bytes=size_bytes,
                start_us=low_us,
                end_us=high_us,
                is_key=True,
                sha256=b"",
            )
        )
        offset += size_bytes
    return encode_table(entries), offset + TRAILER_BYTES


def _patterns() -> list[tuple[bytes, int]]:
    """Blobs of whole segments that start at 0, by the place where they begin in the cycle."""
    cycle = len(_STRAY_US)
    return [
        table_of(0, MINUTE_US + _STRAY_US[(n + 1) % cycle] - _STRAY_US[n]) for n in range(cycle)
    ]


def _with_start(table: bytes, start_us: int) -> bytes:
    """The blob of a segment at 0, moved to ``start_us``: the one absolute number in it."""
    at = 2  # version and count, both short
    for _ in range(2):  # the first fragment's offset, its size
        while table[at] & 0x80:
            at += 1
        at += 1
    assert table[at] == 0
    start = bytearray()
    put_varint(start, zigzag(start_us))
    return table[:at] + bytes(start) + table[at + 1 :]


def _entries(
    journal: Journal, histories: list[_History], roots: tuple[Path, ...], uuids: tuple[str, ...]
) -> Iterator[Entry]:
    """The whole journal, in order of time. The rows must have been made before."""
    first_us = histories[0].commissioned_us
    yield journal.entry(Kind.KEY, journal.key_data(), first_us)
    for root, uuid in zip(roots, uuids, strict=True):
        yield journal.entry(Kind.VOLUME, {"uuid": uuid, "path": str(root)}, first_us)
    told: list[tuple[int, Kind, dict[str, Any]]] = []
    for one in histories:
        told += _told(one)
    for at_us, kind, data in sorted(told, key=lambda item: item[0]):
        yield journal.entry(kind, data, at_us)
    mark = {"event": "stopped", "boot": "another-boot"}
    yield journal.entry(Kind.SERVICE, mark, histories[0].until_us)


def _told(one: _History) -> Iterator[tuple[int, Kind, dict[str, Any]]]:
    camera = {"camera": one.camera}
    yield one.commissioned_us, Kind.CAMERA, {**camera, "event": "commissioned"}
    for run, start_us, _ in one.runs:
        told = Run(
            run=run,
            camera=one.camera,
            start_us=start_us,
            clock=ClockState.TRUSTED,
            format=FORMAT,
        )
        yield start_us, Kind.RUN, run_to_json(told)
    for start_us, end_us, cause in one.gaps:
        opened = {"event": "opened", "start_us": start_us, "cause": cause.value, "detail": "told"}
        yield start_us, Kind.GAP, {**camera, **opened}
        closed = {"event": "closed", "start_us": start_us, "end_us": end_us}
        yield end_us, Kind.GAP, {**camera, **closed}
    for (_, before, start_us, link_before), (to_us, last, end_us, link_after) in pairwise(
        one.hours
    ):
        if last <= before:
            continue
        numbers = [[before + 1, last]]
        links = {"before": link_before.hex(), "after": link_after.hex()}
        yield to_us, Kind.CHECKPOINT, {**camera, "position": before, "numbers": numbers, **links}
        if to_us <= one.kept_from_us:
            yield (
                to_us + one.until_us - one.kept_from_us,
                Kind.DELETION,
                {
                    **camera,
                    "reason": "expired",
                    "spans": [[start_us, end_us]],
                    "segments": last - before,
                    "bytes": (last - before) * 15_000_000,
                    "pieces": [[numbers, links["before"], links["after"]]],
                },
            )


def _write_replica(root: Path, lines: list[bytes]) -> None:
    """In parts, the newest of them as full as any may be: start-up reads that one."""
    parts: list[list[bytes]] = [[]]
    size_bytes = 0
    for line in reversed(lines):
        if size_bytes >= JOURNAL_PART_BYTES - len(line) - 1:
            parts.append([])
            size_bytes = 0
        parts[-1].append(line + b"\n")
        size_bytes += len(line) + 1
    for number, part in enumerate(reversed(parts), 1):
        (root / layout.journal_path(number)).write_bytes(b"".join(reversed(part)))

"""What a tap keeps, and what a reader that does not keep up is told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import tap as tap_module
from edge.tap import CameraTap, TapServer
from retention.framing import FramingError, Parser
from retention.live import SOCKET_NAME, Tap
from retention.model import US_PER_S, AccessUnit, Codec, MediaFormat, Track, VideoFormat
from retention.read import StoredUnit
from retention.tap_messages import (
    Live,
    Skipped,
    TapMessage,
    TapRun,
    TapUnit,
    decode_tap,
    encode_tap,
)

FORMAT = MediaFormat(
    video=VideoFormat(codec=Codec.H264, width=64, height=48, parameter_sets=(b"s", b"p"))
)


@dataclass
class Clock:
    now_us: int = 0

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us


def unit(number: int, *, key: bool = False, size: int = 8) -> AccessUnit:
    data = str(number).encode().ljust(size)
    return AccessUnit(track=Track.VIDEO, pts_us=number, is_key=key, data=data)


def test_what_is_on_disk_goes_up_to_a_key_frame_a_little_later() -> None:
    clock = Clock()
    tap = CameraTap(clock)
    units = [unit(n, key=n % 5 == 0) for n in range(40)]
    for one in units[:20]:
        tap.publish("r", FORMAT, one)
    assert tap.backlog_units == 20
    tap.settle(units[12], units[19])  # 12 and later wait for disk
    tap.publish("r", FORMAT, units[20])
    assert tap.backlog_units == 21  # the index may not tell of it yet
    clock.now_us += 3 * US_PER_S
    for one in units[21:26]:
        tap.publish("r", FORMAT, one)
    assert tap.backlog_units == 16  # from 10 on
    tap.settle(None, units[25])
    clock.now_us += 3 * US_PER_S
    for one in units[26:31]:
        tap.publish("r", FORMAT, one)
    assert tap.backlog_units == 6  # the newest key frame before this one stays


def test_a_camera_without_key_frames_takes_no_memory_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its units go to who listens; there is a backlog again from the next key frame on."""
    monkeypatch.setattr(tap_module, "BACKLOG_BYTES_MAX", 10_000)
    clock = Clock()
    tap = CameraTap(clock)
    tap.publish("r", FORMAT, unit(0, key=True, size=1000))
    for n in range(1, 200):
        one = unit(n, size=1000)
        tap.publish("r", FORMAT, one)
        tap.settle(None, one)
        assert tap.backlog_units <= 10
        clock.now_us += US_PER_S
    assert tap.backlog_units == 0
    tap.publish("r", FORMAT, unit(200, key=True, size=1000))
    tap.publish("r", FORMAT, unit(201, size=1000))
    assert tap.backlog_units == 2


async def read(folder: Path, camera: str, count: int) -> list[StoredUnit | Skipped | Live]:
    def blocking() -> list[StoredUnit | Skipped | Live]:
        found: list[StoredUnit | Skipped | Live] = []
        with Tap(folder, camera) as tap:
            for message in tap:
                found.append(message)
                if len(found) == count:
                    break
        return found

    return await asyncio.to_thread(blocking)


def test_a_reader_gets_what_waits_then_what_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = TapServer(Clock())
        tap = server.add("gate")
        listener = await server.listen(tmp_path)
        for n in range(3):
            tap.publish("r", FORMAT, unit(n, key=n == 0))
        reading = asyncio.ensure_future(read(tmp_path, "gate", 6))
        while not tap._readers:
            await asyncio.sleep(0.01)
        tap.publish("r", FORMAT, unit(3))
        tap.publish("q", FORMAT, unit(4, key=True))
        found = await reading
        assert [one.unit.pts_us if isinstance(one, StoredUnit) else one for one in found] == [
            0,
            1,
            2,
            Live(),
            3,
            4,
        ]
        assert [one.run for one in found if isinstance(one, StoredUnit)] == [*"rrrr", "q"]
        listener.close()

    asyncio.run(scenario())


def test_a_slow_reader_skips_to_a_key_frame_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_module, "WAITING_BYTES_MAX", 1_000_000)

    async def scenario() -> None:
        server = TapServer(Clock())
        tap = server.add("gate")
        listener = await server.listen(tmp_path)
        incoming, outgoing = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        outgoing.write(b"gate\n")
        while not tap._readers:
            await asyncio.sleep(0.01)
        for n in range(200):  # 20 MB that nobody reads
            tap.publish("r", FORMAT, unit(n, key=n % 50 == 0, size=100_000))
        [reader] = tap._readers
        assert reader._waiting_bytes() < 1_300_000
        parser = Parser(decode_tap)
        got: list[TapMessage] = []
        with contextlib.suppress(TimeoutError):
            while True:
                got += parser.feed(await asyncio.wait_for(incoming.read(1 << 20), 0.3))
        for n in range(200, 260):
            tap.publish("r", FORMAT, unit(n, key=n % 50 == 0, size=1000))
        while not got or not isinstance(got[-1], TapUnit) or got[-1].unit.pts_us != 259:
            got += parser.feed(await incoming.read(1 << 20))
        places = [m.unit.pts_us for m in got if isinstance(m, TapUnit)]
        skipped = got.index(Skipped())
        following = got[skipped + 1]
        assert isinstance(following, TapUnit)
        assert following.unit.is_key
        first_lost = next(n for n, place in enumerate(places) if n != place)
        assert 5 <= first_lost < 50
        assert places[first_lost:] == list(range(200, 260))
        outgoing.close()
        listener.close()

    asyncio.run(scenario())


units = st.builds(
    AccessUnit,
    track=st.sampled_from(Track),
    pts_us=st.integers(-(2**63), 2**63 - 1),
    is_key=st.booleans(),
    data=st.binary(max_size=200),
)
messages: st.SearchStrategy[TapMessage] = st.one_of(
    units.map(lambda one: TapUnit(unit=one)),
    st.text(max_size=20).map(lambda run: TapRun(run=run, format=FORMAT)),
    st.just(Skipped()),
    st.just(Live()),
)


@given(st.lists(messages, max_size=6))
def test_messages_come_out_as_they_went_in(sent: list[TapMessage]) -> None:
    stream = b"".join(encode_tap(message) for message in sent)
    assert list(Parser(decode_tap).feed(stream)) == sent


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_nothing(garbage: bytes) -> None:
    with contextlib.suppress(FramingError):
        list(Parser(decode_tap).feed(garbage))

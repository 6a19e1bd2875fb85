"""RecordInfo over 90 days of 16 cameras, four queries at once, beside an answer of one item a file.

The index holds a synthetic history (about three gaps a day and camera, segments of a minute). Each
answer is compared with an oracle that knows the history. The peer reads the same rows and tells
each segment by itself, as recorders do whose answers never complete (domain.md, finding 6); it
answers in UDP-sized parts, too. Times are from the query's bytes to the last body: first without
SIP, then with the real service before a platform that answers each part (annex M: one at a time).
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from retention.clock import SystemClock
from tests.peers.platform import PlatformPeer
from tests.support.history import DAY_US, History, make_history, whole_seconds, write_history
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.uplink.bodies import DEVICE_2022, GATE_CHANNEL, ask, asked, judged_all
from tests.uplink.uplinking import BYTES_MAX, Bench, bench
from uplink import recordinfo
from uplink.device import Channel, Device
from uplink.manscdp.instants import US_PER_S, format_time, parse_time
from uplink.recordinfo import Item

CAMERAS = 16
DAYS = 90
AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    first_s: float  # until the first body was there
    last_s: float
    bodies: int
    items: int


def _device() -> Device:
    channels = tuple(
        replace(GATE_CHANNEL, camera=f"camera-{n}", gb_id=f"3402000000132{n:07}")
        for n in range(CAMERAS)
    )
    return replace(DEVICE_2022, channels=channels)


async def _query(one: Bench, channel: Channel, history: History, days: int) -> Answered:
    from_us = history.to_us - days * DAY_US
    times = (
        f"<StartTime>{format_time(from_us)}</StartTime>"
        f"<EndTime>{format_time(history.to_us)}</EndTime><Type>all</Type>"
    )
    began = time.perf_counter()
    status, parts, first_s = 0, [], 0.0
    status, bodies = await one.begin("RecordInfo", times, device_id=channel.gb_id)
    assert status == 200
    async for body in bodies:
        first_s = first_s or time.perf_counter() - began
        parts.append(body)
    last_s = time.perf_counter() - began
    items = judged_all(parts, BYTES_MAX, "RecordList")
    true = whole_seconds(history.spans[channel.camera], from_us, history.to_us)
    assert _joined(items) == true, "the answer is not what was recorded"
    return Answered(first_s=first_s, last_s=last_s, bodies=len(parts), items=len(items))


def _joined(items: Sequence[ET.Element]) -> list[tuple[int, int]]:
    """Ranges of seconds that the items claim together."""
    joined: list[tuple[int, int]] = []
    for item in items:
        low = (parse_time(item.findtext("StartTime", "")) or 0) // US_PER_S
        high = (parse_time(item.findtext("EndTime", "")) or 0) // US_PER_S
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def _peer(index: Path, device: Device, channel: Channel, history: History, days: int) -> Answered:
    """One item a segment."""
    from_us = history.to_us - days * DAY_US
    began = time.perf_counter()
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection, connection:
        rows = connection.execute(
            "SELECT start_us, end_us FROM segment WHERE camera = ? AND start_us >= ? ORDER BY 1",
            (channel.camera, from_us),
        ).fetchall()
    items = [Item(start_us=low, end_us=high) for low, high in rows]
    message = ask("RecordInfo", device_id=channel.gb_id)
    parts = list(recordinfo.answer(message, device, channel, "2022", items, BYTES_MAX))
    last_s = time.perf_counter() - began
    return Answered(first_s=last_s, last_s=last_s, bodies=len(parts), items=len(items))


def _line(name: str, days: int, found: Sequence[Answered]) -> str:
    first = sorted(one.first_s for one in found)
    last = sorted(one.last_s for one in found)
    return (
        f"{name:16} {days:4}  {statistics.median(first) * 1000:9.0f} {first[-1] * 1000:7.0f}"
        f"  {statistics.median(last) * 1000:9.0f} {last[-1] * 1000:7.0f}"
        f"  {round(statistics.mean(one.items for one in found)):7}"
        f"  {round(statistics.mean(one.bodies for one in found)):7}"
    )


async def _measure(folder: Path, device: Device, history: History) -> None:
    async with bench(folder, device) as one:
        one.clock.now_us = history.to_us
        for days in (1, 7, DAYS):
            found: list[Answered] = []
            for place in range(0, CAMERAS, AT_ONCE):
                async with asyncio.TaskGroup() as tasks:
                    asking = [
                        tasks.create_task(_query(one, channel, history, days))
                        for channel in device.channels[place : place + AT_ONCE]
                    ]
                found += [task.result() for task in asking]
            print(_line(f"ours, {AT_ONCE} at once", days, found), flush=True)
            alone = [await _query(one, channel, history, days) for channel in device.channels[:4]]
            print(_line("ours, alone", days, alone), flush=True)
            channel = device.channels[0]
            peer = _peer(folder / "index.db", device, channel, history, days)
            print(_line("an item a file", days, [peer]), flush=True)


def _over_sip(folder: Path, history: History, cameras: int) -> None:
    """The uplink as it is run; its index is the synthetic one, its edge is not there."""
    tables = "".join(
        f'[[camera]]\nid = "camera-{n}"\nname = "摄像机{n}"\ngb_id = "3402000000132{n:07}"\n'
        'rtsp = "rtsp://127.0.0.1:9/"\n[camera.archive]\naddress = "长江路1号"\n'
        for n in range(cameras)
    )
    print("over SIP            days  last ms: median, max    items   bodies")
    for transport in ("udp", "tcp"):
        with PlatformPeer() as peer:
            platform = BoxPlatform(server=f"127.0.0.1:{peer.port}", transport=transport)
            with UplinkBox(folder=folder, platforms=[platform], more=tables) as box:
                box.wait_registered()
                for days in (1, 7, DAYS):
                    found = [_asked(peer, history, days, place) for place in range(0, cameras, 4)]
                    last = sorted(seconds for seconds, _, _ in found)
                    print(
                        f"{transport}, {AT_ONCE} at once {days:11}"
                        f"  {statistics.median(last) * 1000:10.0f} {last[-1] * 1000:7.0f}"
                        f"  {found[0][1]:9} {found[0][2]:8}",
                        flush=True,
                    )


def _asked(peer: PlatformPeer, history: History, days: int, first: int) -> tuple[float, int, int]:
    """Four queries at once: seconds until all were whole, items and bodies of one."""
    from_us = history.to_us - days * DAY_US
    times = (
        f"<StartTime>{format_time(from_us)}</StartTime>"
        f"<EndTime>{format_time(history.to_us)}</EndTime>"
    )
    numbers = [1000 * days + first + n for n in range(AT_ONCE)]
    began = time.perf_counter()
    for n, sn in enumerate(numbers):
        code = f"3402000000132{first + n:07}"
        fields = (("Content-Type", "Application/MANSCDP+xml"),)
        body = asked("RecordInfo", times, device_id=code, sn=sn)
        peer.send(peer.request("MESSAGE", fields=fields, body=body).serialize())

    def parts(sn: int) -> list[bytes]:
        return [one.body for one in peer.messages(f"<SN>{sn}</SN>".encode())]

    def is_whole(sn: int) -> bool:
        bodies = parts(sn)
        if not bodies:
            return False
        total = int(bodies[0].partition(b"<SumNum>")[2].partition(b"<")[0])
        return sum(body.count(b"<Item>") for body in bodies) >= total

    peer.wait("whole answers", lambda: all(map(is_whole, numbers)) or None, 60)
    took_s = time.perf_counter() - began
    for n, sn in enumerate(numbers):
        items = judged_all(parts(sn), 1 << 20, "RecordList")
        assert _joined(items) == whole_seconds(
            history.spans[f"camera-{first + n}"], from_us, history.to_us
        )
    return took_s, len(judged_all(parts(numbers[0]), 1 << 20, "RecordList")), len(parts(numbers[0]))


def main(cameras: int = CAMERAS, days: int = DAYS) -> None:
    device = _device()
    names = [channel.camera for channel in device.channels]
    with tempfile.TemporaryDirectory(prefix="xueliang-recordinfo-") as name:
        folder = Path(name)
        state = folder / "state"
        state.mkdir()
        # whole seconds, and past for every clock that is asked
        to_us = SystemClock().utc_us() // US_PER_S * US_PER_S - 60 * US_PER_S
        history = make_history(names[:cameras], to_us, days=days)
        count = write_history(state / "index.db", history)
        print(f"RecordInfo: {cameras} cameras, {days} days, {count} segments")
        print("answer           days  first body ms: median, max  last  items  bodies")
        asyncio.run(_measure(state, device, history))
        _over_sip(folder, history, cameras)


if __name__ == "__main__":
    main()

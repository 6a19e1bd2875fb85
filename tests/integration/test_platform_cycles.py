"""Calls begun and ended by the thousand: no port, file, task or memory stays behind, in uplink and
in edge, whose live tap they all read.

``XUELIANG_FAULTS=full`` makes it 10,000; CI takes some hundreds.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from tests.peers.media_receiver import Receiver
from tests.support.box import free_range, wait_for
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.media_site import CODE, MediaSite, media_site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
CYCLES = 10_000 if IS_FULL else 240
#: Cycles after which both processes have all that they ever will.
WARM = 1000 if IS_FULL else 60
#: Calls at once: as many as there are pairs of ports, so that one that leaked would be missed.
AT_ONCE = 8
GROWTH_BYTES_MAX = 8 * 2**20
KINDS = ("live", "live tcp", "live in", "unheard", "taken back", "playback", "download", "refused")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a leak would show in."""

    fds: int
    tasks: int
    kept: int
    rss: int
    edge_fds: int
    edge_rss: int


def figures(site: MediaSite, edge: psutil.Process) -> Figures:
    status: Any = json.loads(site.box._get("/status"))
    uplink = site.box.service()
    return Figures(
        fds=uplink.num_fds(),
        tasks=status["tasks"],
        kept=sum(one["kept"] for one in status["platforms"]),
        rss=uplink.memory_info().rss,
        edge_fds=edge.num_fds(),
        edge_rss=edge.memory_info().rss,
    )


def cycle(site: MediaSite, receivers: dict[str, Receiver], n: int, begin_s: int) -> str:
    """One call from beginning to end; what it was."""
    chance = random.Random(n)
    kind = KINDS[n % len(KINDS)]
    receiver = receivers["tcp" if kind == "live tcp" else "udp"]
    name, more = "Play", ""
    if kind in ("playback", "download"):
        name, more = kind.capitalize(), "a=downloadspeed:4"
    times = (0, 0) if name == "Play" else (begin_s, begin_s + 3)
    sdp = offer(receiver, name=name, channel=CODE.format(1), times=times, more=more)
    if kind == "live in":
        sdp = sdp.replace(b"RTP/AVP 96 97 98", b"TCP/RTP/AVP 96\r\na=setup:active")
    if kind == "refused":
        sdp = sdp.replace(b"96 97 98", b"98")
    call = PeerCall(site.peer, CODE.format(1), sdp)
    if kind == "taken back":
        call.invite_and_cancel()
        return kind
    answer = call.invite(acknowledges=kind != "unheard")
    assert answer.status == (488 if kind == "refused" else 200), (kind, answer)
    if kind == "live in" and chance.random() < 0.7:
        place = "127.0.0.1", int(call.sdp_line("m").split()[1])
        with socket.create_connection(place, timeout=5) as taken:
            taken.settimeout(5)
            try:
                assert taken.recv(10)
            except TimeoutError:
                told = [one for one in site.peer.responses if one.call_id == call.call_id]
                raise AssertionError(f"no picture: {told}\n{site.box.log[-2000:]}") from None
    elif kind != "refused":
        time.sleep(chance.choice([0.0, 0.0, 0.02, 0.1]))
    if kind != "refused":
        # 481: it has noticed before us that its connection was closed
        assert call.bye().status in ((200, 481) if kind == "live in" else (200,))
    return kind


def test_calls_leave_nothing_behind(tmp_path: Path) -> None:
    plan = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96), loop_seconds=5)
    ports = f'media_ports = "{free_range(2 * AT_ONCE)}"\nmedia_sessions = 32\n'
    with (
        demo_process(plan) as demo,
        media_site(
            tmp_path, {"gate": f'rtsp = "{demo["gate"].rtsp}"'}, recorded_s=5, extra=ports
        ) as site,
        Receiver("udp").start() as udp,
        Receiver("tcp").start() as tcp,
    ):
        receivers = {"udp": udp, "tcp": tcp}
        begin_s = site.begin_s("gate")
        (edge,) = [
            one
            for one in psutil.Process().children()
            if one.cmdline()[-1:] == [site.box.config] and "edge" in one.cmdline()
        ]
        early: Figures | None = None
        counts: Counter[str] = Counter()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for first in range(0, CYCLES, 10 * AT_ONCE):
                numbers = range(first, min(first + 10 * AT_ONCE, CYCLES))
                counts.update(threads.map(lambda n: cycle(site, receivers, n, begin_s), numbers))
                site.peer.forget()
                for receiver in receivers.values():
                    receiver.packets.clear()
                if early is None and first >= WARM:
                    early = figures(site, edge)
        assert early is not None
        sessions = [f'nvr_gb28181_sessions{{kind="{kind}",platform="police"}}' for kind in
                    ("live", "playback", "download")]  # fmt: skip
        wait_for("all ended", lambda: not any(site.box.metrics()[name] for name in sessions))
        late = wait_for("nothing kept", lambda: _rested(site, edge, early), 60)
        print(f"\n{sum(counts.values())} calls, {dict(counts)}\n{early}\n{late}")
        # every port can be had at once
        code, times = CODE.format(1), (begin_s, begin_s + 3)
        sdps = [offer(udp, name="Playback", channel=code, times=times) for _ in range(AT_ONCE + 1)]
        calls = [PeerCall(site.peer, code, sdp) for sdp in sdps]
        assert [one.invite().status for one in calls] == [200] * AT_ONCE + [486]
        for one in calls[:-1]:
            one.bye()


def _rested(site: MediaSite, edge: psutil.Process, early: Figures) -> Figures | None:
    """Figures that are no more than they were; transactions take 32 s to be forgotten."""
    late = figures(site, edge)
    is_rested = (
        late.fds <= early.fds + 2
        and late.tasks <= early.tasks + 1
        and late.edge_fds <= early.edge_fds + 2
        and late.rss - early.rss < GROWTH_BYTES_MAX
        and late.edge_rss - early.edge_rss < GROWTH_BYTES_MAX
    )
    return late if is_rested and (not IS_FULL or late.kept < 20) else None

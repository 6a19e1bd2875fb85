"""Network cuts in a namespace: registered again every time, and nothing leaks.

``XUELIANG_FAULTS=full`` makes it the 1,000 cuts of ``make faults``, in four namespaces at once; CI
takes one of each of the short kinds. Each cut strikes two platforms: one over UDP, one over TCP.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.peers.platform import DEVICE_ID, PlatformPeer
from tests.support.box import wait_for
from tests.support.netns import ReservedNet
from tests.support.uplink_box import BoxPlatform, UplinkBox

pytestmark = [pytest.mark.integration, pytest.mark.root, pytest.mark.timeout(3600)]

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
WORLDS, CUTS = (4, 250) if IS_FULL else (1, 4)
#: From the end of a cut until both platforms have us again: a REGISTER that a silent platform took
#: over TCP is waited for as long as RFC 3261 says (32 s), then a retry of 1 s and jitter.
BACK_S_MAX = 40.0
#: Cuts after which the process has all that it ever will.
WARM_CUTS = 50
OTHER_DEVICE = "34029900001180000001"
KINDS = ("link", "address", "restart", "forbid", "long link", "silent")


@dataclass(slots=True)
class Figures:
    """What a leak would show in."""

    fds: int
    rss: int
    tasks: int
    kept: int


@dataclass(slots=True)
class World:
    net: ReservedNet
    box: UplinkBox
    peers: tuple[PlatformPeer, PlatformPeer]
    host: int = 10
    back_s: list[tuple[str, float]] = field(default_factory=list)

    def figures(self) -> Figures:
        process = self.box.service()
        status: Any = json.loads(self.box._get("/status"))
        return Figures(
            fds=process.num_fds(),
            rss=process.memory_info().rss,
            tasks=status["tasks"],
            kept=sum(one["kept"] for one in status["platforms"]),
        )

    def cut(self, kind: str, chance: random.Random) -> None:
        """One cut from beginning to end; then both platforms must have us again."""
        if kind == "link":
            self.net.link(is_up=False)
            time.sleep(chance.uniform(0.05, 1.0))
            self.net.link(is_up=True)
        elif kind == "long link":
            self.net.link(is_up=False)
            time.sleep(chance.uniform(4.5, 6.0))
            self.net.link(is_up=True)
        elif kind == "address":
            new = 10 + (self.host - 9) % 40
            self.net.move(self.host, new)
            self.host = new
        elif kind == "restart":
            for peer in self.peers:
                peer.stop()
            time.sleep(chance.uniform(0.0, 1.5))
            for peer in self.peers:
                peer.start()
        elif kind == "forbid":
            for peer in self.peers:
                peer.mood = "forbid"
                peer.registered.clear()
            time.sleep(chance.uniform(1.0, 3.0))
        else:
            for peer in self.peers:
                peer.mood = "silent"
            time.sleep(chance.uniform(1.0, 6.0))
        self.come_back(kind)

    def come_back(self, kind: str) -> None:
        began_s = time.monotonic()
        for peer in self.peers:
            peer.mood = "kind"
        for peer, device in zip(self.peers, (DEVICE_ID, OTHER_DEVICE), strict=True):
            had = peer.counts["keepalive"]

            def is_back(peer: PlatformPeer = peer, device: str = device, had: int = had) -> bool:
                return device in peer.registered and peer.counts["keepalive"] > had

            try:
                wait_for(f"back after {kind}", is_back, BACK_S_MAX)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.box.log[-4000:]}") from None
        self.back_s.append((kind, time.monotonic() - began_s))


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        net = stack.enter_context(ReservedNet())
        first = stack.enter_context(PlatformPeer(host=net.address(1)))
        second = stack.enter_context(
            PlatformPeer(host=net.address(1), server_id="34029900002000000001", domain="3402990000")
        )
        hurry: dict[str, Any] = {
            "place": 'interface = "eth9"',
            "port": 5060,
            "keepalive_seconds": 1,
            "retry_seconds": 1,
        }
        platforms = [
            BoxPlatform(name="udp", server=f"{first.host}:{first.port}", **hurry),
            BoxPlatform(
                name="tcp",
                server=f"{second.host}:{second.port}",
                server_id=second.server_id,
                domain=second.domain,
                device_id=OTHER_DEVICE,
                transport="tcp",
                **hurry,
            ),
        ]
        box = UplinkBox(folder=folder, platforms=platforms, wrapper=net.wrapper)
        with box:
            made = World(net=net, box=box, peers=(first, second))
            first.wait_registered()
            second.wait_registered(OTHER_DEVICE)
            yield made
            assert box.process is not None
            box.service().terminate()
            box.process.wait(10)


def drill(folder: Path, seed: int) -> tuple[list[tuple[str, float]], Figures, Figures]:
    """``CUTS`` cuts; the times until back, and figures early and late."""
    chance = random.Random(seed)
    with world(folder) as made:
        early = made.figures()
        for number in range(CUTS):
            made.cut(KINDS[number] if len(KINDS) >= CUTS else chance.choice(KINDS), chance)
            if number == WARM_CUTS:
                early = made.figures()
        time.sleep(1.5)  # what the last cut left under way
        return made.back_s, early, made.figures()


def test_cuts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(WORLDS) as threads:
        runs = list(threads.map(lambda n: drill(tmp_path / f"world{n}", n), range(WORLDS)))
    for _, early, late in runs:
        assert late.fds <= early.fds + 2, (early, late)
        assert late.tasks <= early.tasks + 1, (early, late)
        assert late.kept <= 12, (early, late)
        if IS_FULL:
            assert late.rss - early.rss < 6 * 2**20, (early, late)
    back = [pair for found, _, _ in runs for pair in found]
    for kind in {kind for kind, _ in back}:
        times = sorted(seconds for name, seconds in back if name == kind)
        print(f"{kind}: {len(times)} cuts, back after {times[len(times) // 2]:.1f} s in the middle,"
              f" {times[-1]:.1f} s at most")  # fmt: skip
    for _, early, late in runs:
        print(f"descriptors {early.fds} -> {late.fds}, tasks {early.tasks} -> {late.tasks}, "
              f"memory {early.rss >> 10} -> {late.rss >> 10} KiB, kept {late.kept}")  # fmt: skip


def test_nothing_is_heard_beside_the_reserved_interface(tmp_path: Path) -> None:
    """The kernel keeps the sockets on the interface, even towards its own address over loopback;
    what belongs to nobody else listens on nothing else."""
    ask = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(0.5)\n"
        "s.connect((sys.argv[1],5060))\ns.send(sys.argv[2].encode())\n"
        "try: print(s.recv(100))\nexcept OSError as e: print('nothing', type(e).__name__)\n"
        "t=socket.socket()\nt.settimeout(0.5)\n"
        "try: t.connect((sys.argv[1],5060));print('connected, and read', t.recv(100))\n"
        "except OSError as e: print('no connection', type(e).__name__)"
    )
    with world(tmp_path) as made:
        peer = made.peers[0]
        text = peer.request("OPTIONS").serialize().decode()
        told = made.net.inside("python3", "-c", ask, "127.0.0.1", text)
        assert "nothing" in told
        assert "no connection" in told
        # What this machine sends to the reserved address is a stranger's, and let go at once.
        told = made.net.inside("python3", "-c", ask, made.net.address(10), text)
        assert "nothing" in told
        assert "no connection" in told or "connected, and read b''" in told
        assert peer.ask(peer.request("OPTIONS")).status == 200
        lines = made.net.inside("ss", "-H", "-lntu").splitlines()
        listening = {line.split()[4] for line in lines}
        assert listening == {"0.0.0.0%eth9:5060", f"127.0.0.1:{made.box.metrics_port + 1}"}

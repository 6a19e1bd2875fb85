"""Calls over a network that loses, that is thin, and peers that stop reading or vanish.

What takes long, until buffers fill or peers are given up, is for ``XUELIANG_FAULTS=full``.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import av
import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec
from retention.nal import split_annexb
from tests.peers.media_receiver import Packet, Receiver, elementary
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.media_site import MediaSite, bare, expected, media_site, received
from tests.support.wide_net import WideNet

pytestmark = [pytest.mark.integration, pytest.mark.root, pytest.mark.timeout(400)]

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
full = pytest.mark.skipif(not IS_FULL, reason="make faults")
GATE = "34020000001320000001"
FPS = 20
MBITS = 6
#: What may wait for a live peer: ours, the kernel's (it takes twice what it was asked for), the
#: link's queue.
WAITING_BYTES_MAX = (2 + 2 + 1) << 20


@dataclass(frozen=True, slots=True)
class Wide:
    net: WideNet
    site: MediaSite

    def rss(self) -> int:
        size: int = self.site.box.service().memory_info().rss
        return size

    def metric(self, name: str) -> float:
        return self.site.box.metrics().get(name, 0.0)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wide]:
    stream = StreamPlan(width=480, height=270, fps=FPS, gop_frames=FPS, bit_rate=MBITS * 10**6)
    plan = CameraPlan(id="gate", stream=stream, loop_seconds=4, stamp=True)
    folder = tmp_path_factory.mktemp("wan")
    with (
        WideNet() as net,
        demo_process(plan, wrapper=net.wrapper) as demo,
        media_site(
            folder,
            {"gate": f'rtsp = "{demo["gate"].rtsp}"'},
            recorded_s=7 if IS_FULL else 2,
            wrapper=net.wrapper,
            host=net.host,
            place='interface = "eth9"',
            keepalive_seconds=4,
            retry_seconds=1,
            extra='media_ports = "31000-31099"\nmedia_sessions = 6\n',  # in a namespace of its own
        ) as site,
    ):
        yield Wide(net, site)


@pytest.fixture(autouse=True)
def well(wide: Wide) -> Iterator[None]:
    yield
    wide.net.mend()
    wide.net.narrow(0)


def whole_packs(packets: list[Packet]) -> list[tuple[float, bytes | None]]:
    """Packs with the arrival of their last packet; None for one that lost something."""
    found: list[tuple[float, bytes | None]] = []
    parts: list[bytes] = []
    is_whole = True
    for before, packet in zip([None, *packets], packets, strict=False):
        if before is not None:
            is_whole = is_whole and (packet.sequence - before.sequence) % 65536 == 1
            if before.stamp != packet.stamp and parts:  # the end of the pack before is missing
                found.append((before.at_s, None))
                parts = []
        parts.append(packet.payload)
        if packet.is_last:
            data = b"".join(parts)
            is_pack = is_whole and data[:4] == b"\0\0\1\xba"
            found.append((packet.at_s, data if is_pack else None))
            parts, is_whole = [], True
    return found


def test_live_over_udp_with_loss(wide: Wide) -> None:
    """What arrives whole is as it was recorded, each group that lost nothing decodes, sending goes
    on in time, and behind the loss everything comes."""
    with Receiver("udp", host=wide.net.host).start() as receiver:
        made = wide.site.call("gate", offer(receiver))
        wide.site.peer.wait("pictures", lambda: len(receiver.packets) > 100)
        wide.net.lose(0.004, "-p", "udp", "--sport", "31000:31099")
        began_s = time.monotonic()
        time.sleep(4)
        wide.site.peer.wait("losses", lambda: receiver.lost_packets() > 3)
        wide.net.mend()
        ended_s = time.monotonic()
        time.sleep(1.5)
        assert made.bye().status == 200
        packets = list(receiver.packets)
    packs = whole_packs(packets)
    during = [at_s for at_s, _ in packs if began_s < at_s < ended_s]
    pictures = (ended_s - began_s) * FPS
    assert 0.8 * pictures < len(during) < 1.2 * pictures  # paced: no more, no less
    assert max(b - a for a, b in zip(during, during[1:], strict=False)) < 1.0
    behind = [one.sequence for one in packets if one.at_s > ended_s + 0.1]
    assert {(b - a) % 65536 for a, b in zip(behind, behind[1:], strict=False)} == {1}
    wide.site.wait_stored("gate")
    known = set(expected(wide.site.stored("gate", wide.site.begun_us), Codec.H264))
    groups: list[list[bytes]] = []
    is_broken = True
    for _, pack in packs:
        if pack is None:
            is_broken = True
            continue
        assert digest(pack) in known
        if b"\0\0\1\xbb" in pack[:40]:  # a system header: a key frame
            groups.append([])
            is_broken = False
        if not is_broken:
            groups[-1].append(pack)
    assert len(groups) >= 3
    assert sum(decoded(group) == len(group) for group in groups) == len(groups)


def digest(pack: bytes) -> str:
    return hashlib.sha256(bare(Codec.H264, split_annexb(elementary(pack, 0xE0)))).hexdigest()


def decoded(packs: list[bytes]) -> int:
    with av.open(io.BytesIO(b"".join(packs)), "r", format="mpeg") as container:
        return sum(1 for _ in container.decode(video=0))


@full
def test_live_over_a_thin_link_skips_to_key_frames(wide: Wide) -> None:
    """What waits is bounded; what arrives is whole groups, or their beginnings, in order."""
    before = wide.rss()
    stalls = 'nvr_gb28181_send_stalls_total{platform="police",transport="tcp"}'
    wide.net.narrow(1500)
    with Receiver("tcp", host=wide.net.host).start() as receiver:
        made = wide.site.call("gate", offer(receiver))
        wide.site.peer.wait("a stall", lambda: wide.metric(stalls) > 0, 40)
        assert wide.rss() - before < 2 * WAITING_BYTES_MAX
        wide.net.narrow(0)
        count = len(receiver.packs())
        wide.site.peer.wait("more", lambda: len(receiver.packs()) > count + 10 * FPS, 30)
        assert made.bye().status == 200
        got = received(receiver, Codec.H264)
    assert receiver.lost_packets() == 0
    wide.site.wait_stored("gate")
    stored = wide.site.stored("gate", wide.site.begun_us)
    hashes = expected(stored, Codec.H264)
    places = [hashes.index(one) for one in got]
    jumps = [(a, b) for a, b in zip(places, places[1:], strict=False) if b != a + 1]
    assert jumps
    assert all(a < b and stored[b].unit.is_key for a, b in jumps)
    assert receiver.decoded() == len(got)


@full
def test_playback_over_a_thin_link_waits_and_loses_nothing(wide: Wide) -> None:
    start_s = wide.site.begin_s("gate")
    wide.net.narrow(3000)
    with Receiver("tcp", host=wide.net.host).start() as receiver:
        times = (start_s, start_s + 3)
        sdp = offer(receiver, name="Playback", channel=GATE, times=times)
        made = wide.site.call("gate", sdp)
        wide.site.peer.wait("the end", made.has_ended, 40)
        made.bye()
        got = received(receiver, Codec.H264)
        packs = receiver.packs()
    whole = wide.site.stored("gate", start_s * US_PER_S, (start_s + 3) * US_PER_S)
    assert got == expected(whole, Codec.H264)
    size_bits = 8 * sum(len(pack) for _, _, pack in packs)
    assert packs[-1][0] - packs[0][0] > 0.8 * size_bits / 3e6  # as long as the link takes


@full
def test_a_platform_that_vanishes_is_let_go_and_comes_back(wide: Wide) -> None:
    """Nothing says that it is gone but its silence: calls end with the registration, their ports
    are free again."""
    sessions = 'nvr_gb28181_sessions{kind="live",platform="police"}'
    with (
        Receiver("udp", host=wide.net.host).start() as first,
        Receiver("tcp", host=wide.net.host).start() as second,
    ):
        for receiver in (first, second):
            wide.site.call("gate", offer(receiver))
        wide.site.peer.wait("pictures", lambda: first.packets and second.packets)
        wide.net.cut()
        wide.site.peer.wait("both ended", lambda: wide.metric(sessions) == 0, 60)
        assert not wide.site.box.platform()["registered"]
        wide.site.peer.registered.clear()
        wide.net.mend()
        wide.site.peer.wait_registered(timeout_s=40)
        again = PeerCall(wide.site.peer, GATE, offer(first))
        assert again.invite().status == 200
        count = len(first.packets)
        wide.site.peer.wait("pictures again", lambda: len(first.packets) > count + 50)
        again.bye()


@full
def test_a_media_port_that_nobody_listens_on_is_left(wide: Wide) -> None:
    """UDP: the network says so for some seconds."""
    with Receiver("udp", host=wide.net.host).start() as receiver:
        made = wide.site.call("gate", offer(receiver))
        wide.site.peer.wait("pictures", lambda: receiver.packets)
    wide.site.peer.wait("our BYE", made.was_left, 20)


@full
@pytest.mark.parametrize("name", ["Play", "Playback"])
def test_a_peer_that_never_reads_is_given_up(wide: Wide, name: str) -> None:
    before = wide.rss()
    start_s = wide.site.begin_s("gate")
    times = (0, 0) if name == "Play" else (start_s, start_s + 300)
    with Receiver("tcp", host=wide.net.host).start() as receiver:
        receiver.reads = False
        made = wide.site.call("gate", offer(receiver, name=name, channel=GATE, times=times))
        wide.site.peer.wait("our BYE", made.was_left, 120)
    assert wide.rss() - before < 2 * WAITING_BYTES_MAX
    assert wide.metric('nvr_gb28181_media_failures_total{cause="media_peer_gone"}') >= 1

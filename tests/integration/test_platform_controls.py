"""Orders to playbacks over the wire: what arrives is, picture by picture, what the store holds for
that order of commands.

The answer to each INFO names the packet that follows it (RTP-Info), so it is known behind which
picture an order took effect. ``XUELIANG_FAULTS=full`` takes 500 sequences, CI a dozen.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from retention.model import US_PER_S, Codec
from tests.peers.media_receiver import Receiver
from tests.support.calls import offer
from tests.support.kept_site import FPS, GATE, START_S, KeptSite, kept_site, told
from tests.support.media_site import expected, received
from tests.support.playback_oracle import Oracle
from tests.uplink.bodies import asked, judged
from uplink.mansrtsp import Method, PlaybackRequest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEQUENCES = 500 if os.environ.get("XUELIANG_FAULTS") == "full" else 12
AT_ONCE = 6
full = pytest.mark.skipif(SEQUENCES < 500, reason="make faults")
#: What is recorded; between the two nothing is.
SPANS_S = ((0, 25), (35, 60))
END_S = 60
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, -1.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptSite]:
    # a link on which each key frame is still leaving when the next order comes
    with kept_site(tmp_path_factory.mktemp("kept"), SPANS_S, more="link_mbps = 12\n") as made:
        yield made


@dataclass(frozen=True, slots=True)
class Stored:
    hashes: list[str]
    times_us: list[int]
    keys: list[int]


@pytest.fixture(scope="module")
def stored(site: KeptSite) -> Stored:
    units = site.units()
    times = [one.unit.pts_us - START_S * US_PER_S for one in units]
    keys = [n for n, one in enumerate(units) if one.unit.is_key]
    return Stored(expected(units, Codec.H264), times, keys)


def drawn(chance: random.Random) -> PlaybackRequest:
    """Pause, resume, a seek, a speed, or both at once; often near the ends and the gap."""
    kind = chance.randrange(8)
    if kind == 0:
        return PlaybackRequest(method=Method.PAUSE, cseq="1")
    place = chance.choice([chance.uniform(0, END_S), 0.0, 24.9, 30.0, 59.5, 60.0])
    scale = chance.choice(SCALES) if kind in (1, 2, 3, 4) else None
    from_s = round(place, 3) if kind in (4, 5, 6) else None
    return PlaybackRequest(method=Method.PLAY, cseq="1", scale=scale, from_s=from_s)


def lines(asked: PlaybackRequest, number: int) -> list[str]:
    if asked.method is Method.PAUSE:
        return ["PAUSE RTSP/1.0", f"CSeq: {number}", "PauseTime: now"]
    found = ["PLAY RTSP/1.0", f"CSeq: {number}"]
    found += [] if asked.scale is None else [f"Scale: {asked.scale:.6f}"]
    found += ["Range: npt=now-" if asked.from_s is None else f"Range: npt={asked.from_s:.3f}-"]
    return found


def sequence(site: KeptSite, stored: Stored, seed: int) -> tuple[int, int]:
    """One call; how many orders and pictures it took."""
    chance = random.Random(seed)
    orders: list[tuple[int, PlaybackRequest]] = []  # with the packet that follows
    with Receiver(chance.choice(["udp", "tcp"])).start() as receiver:
        times = (START_S, START_S + END_S)
        made = site.call(offer(receiver, name="Playback", channel=GATE, times=times))
        for number in range(1, chance.randint(2, 7)):
            time.sleep(chance.uniform(0.0, 0.4))
            asked = drawn(chance)
            answer = made.control(*lines(asked, number))
            assert answer.status == 200
            told = re.search(rb"seq=(\d+)", answer.body)
            assert (told is not None) is (asked.method is Method.PLAY)
            if told is not None:  # a pause changes nothing in the order of pictures
                orders.append((int(told[1]), asked))
        time.sleep(chance.uniform(0.2, 0.8))
        assert made.bye().status == 200
        time.sleep(0.1)
        got = received(receiver, Codec.H264)
        packets = list(receiver.packets)
    assert receiver.lost_packets() == 0
    first = packets[0].sequence
    ends = [(one.sequence - first) % 65536 for one in packets if one.is_last]
    script = []
    for sequence_number, asked in orders:
        offset = (sequence_number - first) % 65536
        count = sum(end < offset for end in ends)
        assert count == 0 or ends[count - 1] == offset - 1  # between two pictures
        script.append((count, asked))
    due = Oracle(stored.times_us, stored.keys, END_S, US_PER_S // FPS).due(script)
    wanted = [stored.hashes[n] for n in due[: len(got)]]
    assert got == wanted, (seed, script, [stored.hashes.index(one) for one in got], due[: len(got)])
    stamps = [one.stamp for one in packets if one.is_last]
    assert all(0 < (b - a) % 2**32 < 2**31 for a, b in zip(stamps, stamps[1:], strict=False))
    return len(script), len(got)


def test_what_arrives_is_what_the_store_holds_for_each_order_of_commands(
    site: KeptSite, stored: Stored
) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        done = list(threads.map(lambda n: sequence(site, stored, n), range(SEQUENCES)))
    orders, pictures = (sum(column) for column in zip(*done, strict=True))
    print(f"{len(done)} sequences, {orders} orders, {pictures} pictures, each as it must be")
    assert pictures > len(done) * 5


def test_what_is_no_order_and_what_ends_or_repeats_a_call(site: KeptSite) -> None:
    times = (START_S, START_S + END_S)
    with Receiver("tcp").start() as receiver, Receiver("tcp").start() as other:
        sdp = offer(receiver, name="Playback", channel=GATE, times=times)
        made = site.call(sdp)
        assert made.inside("INFO", b"Signal=1\r\n", "application/dtmf-relay").status == 415
        assert made.inside("INFO", b"not a word of it", "Application/MANSRTSP").status == 400
        again = made.inside("INVITE", sdp, "Application/SDP")
        assert again.status == 200
        assert b"y=" + made.sdp_line("y").encode() in again.body
        elsewhere = offer(other, name="Playback", channel=GATE, times=times)
        assert made.inside("INVITE", elsewhere, "Application/SDP").status == 488
        count = len(receiver.packets)
        site.peer.wait("more pictures", lambda: len(receiver.packets) > count + 20)
        assert made.control("TEARDOWN RTSP/1.0", "CSeq: 9").status == 200
        site.peer.wait("our BYE", made.was_left, 10)
        for method in ("INFO", "BYE"):
            body = b"PLAY RTSP/1.0\r\nCSeq: 3\r\n\r\n"
            assert made.inside(method, body, "Application/MANSRTSP").status == 481


@full
def test_behind_the_end_of_file_we_leave_by_ourselves(site: KeptSite) -> None:
    """MediaStatus 121 in the dialog, time to seek, then our BYE (gb28181.md 5.5)."""
    with Receiver("tcp").start() as receiver:
        sdp = offer(receiver, name="Download", channel=GATE, times=(START_S, START_S + 2))
        made = site.call(sdp)
        site.peer.wait("the end", made.has_ended, 20)
        assert not made.was_left()
        site.peer.wait("our BYE", made.was_left, 30)


@full
def test_a_defect_is_told_to_subscribers_as_an_alarm_and_with_its_end(site: KeptSite) -> None:
    fields = (
        ("Content-Type", "Application/MANSCDP+xml"),
        ("Event", "Catalog;id=1"),
        ("Expires", "600"),
    )
    subscribe = site.peer.request("SUBSCRIBE", fields=fields, body=asked("Catalog"))
    assert site.peer.ask(subscribe).status == 200

    def events() -> list[str | None]:
        notified = site.peer.messages(b"<CmdType>Catalog</CmdType>")
        roots = [judged(one.body) for one in notified if one.method == "NOTIFY"]
        return [item.findtext("Event") for root in roots for item in root.iter("Item")]

    def alarms() -> list[str]:
        roots = [judged(one.body) for one in site.peer.messages(b"<CmdType>Alarm</CmdType>")]
        return [
            f"{root.findtext('AlarmMethod')}/{root.findtext('Info/AlarmType')}" for root in roots
        ]

    covered = {
        "code": "picture_covered", "about": "camera", "subject": "gate", "number": 1,
        "name_zh": "画面遮挡", "name_en": "covered picture", "reason_zh": "", "reason_en": "",
        "since_us": time.time_ns() // 1000, "defect": True,
        "gb": {"method": 5, "type": 13, "priority": 2},
    }  # fmt: skip
    try:
        site.told = told(alarms=[covered])
        site.peer.wait("DEFECT", lambda: events() == ["DEFECT"], 40)
        site.peer.wait("an alarm", lambda: alarms()[:1] == ["5/13"], 40)
    finally:
        site.told = told()
    site.peer.wait("ON", lambda: events() == ["DEFECT", "ON"], 40)


def test_calls_step_back_while_recording_has_no_room(site: KeptSite) -> None:
    """At a quarter of the buffer no new ones that read disks; at half of it they end, the newest
    download first."""
    times = (START_S, START_S + END_S)
    with Receiver("tcp").start() as first, Receiver("tcp").start() as second:
        playback = site.call(offer(first, name="Playback", channel=GATE, times=times))
        download = site.call(offer(second, name="Download", channel=GATE, times=times))
        site.peer.wait("pictures", lambda: first.packets and second.packets)
        try:
            site.told = told(pressure=0.3)
            refused = site.peer.wait("a download that waits", lambda: _is_still(second), 10)
            assert refused
            other = offer(first, name="Playback", channel=GATE, times=times)
            site.call(other, 486)
            assert not playback.was_left()
            assert not download.was_left()
            site.told = told(pressure=0.6)
            site.peer.wait("the download's end", download.was_left, 10)
            assert not playback.was_left()
            site.peer.wait("the playback's end", playback.was_left, 10)
        finally:
            site.told = told()
    notes = [one["detail"] for one in site.box.audit()]
    assert sum(one.get("what") == "invite_shed" for one in notes) == 2
    assert site.box.metrics()['nvr_gb28181_media_failures_total{cause="shed"}'] == 2


def _is_still(receiver: Receiver) -> bool:
    count = len(receiver.packets)
    time.sleep(1.0)
    return len(receiver.packets) == count

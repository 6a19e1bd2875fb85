"""Live, playback and download of the whole box, to a platform's media server.

What arrives is taken apart and held, picture by picture, against what the store holds and what the
camera sent; libav decodes all of it.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec, Track
from retention.nal import is_parameter_set, join_lengths, split_annexb, split_lengths
from retention.read import Store, StoredUnit
from tests.peers.media_receiver import Receiver
from tests.peers.platform import PlatformPeer
from tests.support.box import XUELIANG, wait_for
from tests.support.calls import PeerCall, offer
from tests.support.cameras import SiteProcess, demo_process
from tests.support.uplink_box import BoxPlatform, UplinkBox

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CODES = {"gate": "34020000001320000001", "yard": "34020000001320000002"}
CODECS = {"gate": Codec.H264, "yard": Codec.H265}
FPS = 20
PICTURE = 90_000 // FPS
ABSENT = "34020000001320000003"
PLANS = (
    CameraPlan(
        id="gate",
        stream=StreamPlan(width=320, height=180, fps=FPS, gop_frames=FPS),
        loop_seconds=5,
        stamp=True,
        log_units=10_000,
    ),
    CameraPlan(
        id="yard",
        stream=StreamPlan(
            codec=Codec.H265, width=320, height=180, fps=FPS, gop_frames=15, b_frames=2
        ),
        loop_seconds=5,
        stamp=True,
        log_units=10_000,
    ),
)


@dataclass(frozen=True, slots=True)
class Site:
    demo: SiteProcess
    box: UplinkBox
    peer: PlatformPeer
    begun_us: int

    def store(self) -> Store:
        return Store(self.box.folder / "state" / "index.db", [self.box.folder / "volume"])

    def wait_stored(self, camera: str) -> None:
        """Until what the camera sent so far is on disk."""
        now_us = time.time_ns() // 1000

        def is_stored() -> bool:
            with self.store() as store:
                return (store.newest(camera) or 0) > now_us

        wait_for("footage on disk", is_stored)

    def begin_s(self, camera: str) -> int:
        """A whole second soon behind the camera's first picture, in the middle of a group."""
        return self.stored(camera, 0, self.begun_us + 30 * US_PER_S)[0].unit.pts_us // US_PER_S + 2

    def stored(self, camera: str, from_us: int, to_us: int | None = None) -> list[StoredUnit]:
        with self.store() as store:
            found = store.access_units(camera, from_us, to_us)
            return [one for one in found if one.unit.track is Track.VIDEO]


def camera_toml(name: str, rtsp: str) -> str:
    code = CODES.get(name, ABSENT)
    return f'[[camera]]\nid = "{name}"\nname = "{name}"\ngb_id = "{code}"\nrtsp = "{rtsp}"\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("media")
    with demo_process(*PLANS) as demo, PlatformPeer() as peer:
        platform = BoxPlatform(
            server=f"127.0.0.1:{peer.port}",
            extra='media_ports = "31000-31099"\nmedia_sessions = 6\n',
        )
        tables = [camera_toml(name, demo[name].rtsp) for name in CODES]
        tables.append(camera_toml("dead", "rtsp://127.0.0.1:9/none"))
        box = UplinkBox(folder=folder, platforms=[platform], more="".join(tables))
        box.storage = "segment_seconds = 3\ndurability_seconds = 1\n"
        box.write_config()
        begun_us = time.time_ns() // 1000
        with (folder / "edge.log").open("wb") as log:
            edge = subprocess.Popen(
                [*XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
            )
        try:
            made = Site(demo, box, peer, begun_us)
            wait_for("recording", lambda: recorded_s(made) > 12, 60)
            with box:
                box.wait_registered()
                time.sleep(2.5)  # what edge tells is known
                yield made
                assert box.stop() == 0
        finally:
            edge.terminate()
            edge.wait(20)


def recorded_s(site: Site) -> float:
    try:
        with site.store() as store:
            newest = [store.newest(name) for name in CODES]
    except Exception:  # noqa: BLE001 - there is no index yet
        return 0.0
    return min((one or 0) - site.begun_us for one in newest) / US_PER_S


def bare(codec: Codec, nals: list[bytes]) -> bytes:
    """A picture without parameter sets, which we add where the camera has them elsewhere."""
    return join_lengths(nal for nal in nals if not is_parameter_set(codec, nal))


def received(receiver: Receiver, camera: str) -> list[str]:
    codec = CODECS[camera]
    return [
        hashlib.sha256(bare(codec, split_annexb(picture))).hexdigest()
        for picture in receiver.pictures()
    ]


def expected(units: list[StoredUnit], camera: str) -> list[str]:
    codec = CODECS[camera]
    return [hashlib.sha256(bare(codec, split_lengths(one.unit.data))).hexdigest() for one in units]


def call(site: Site, camera: str, sdp: bytes) -> PeerCall:
    made = PeerCall(site.peer, CODES[camera], sdp)
    answer = made.invite()
    assert answer.status == 200, answer
    return made


def assert_part_of(got: list[str], whole: list[str]) -> None:
    """Nothing lost, doubled or changed between the first and the last."""
    assert got
    first = whole.index(got[0])
    assert got == whole[first : first + len(got)]


@pytest.mark.parametrize("camera", ["gate", "yard"])
@pytest.mark.parametrize(
    ("transport", "setup"), [("udp", ""), ("tcp", "passive"), ("tcp", "active")]
)
def test_live(site: Site, camera: str, transport: str, setup: str) -> None:
    with Receiver(transport) as receiver:
        if setup != "active":
            receiver.start()
        made = call(site, camera, offer(receiver, setup=setup))
        if setup == "active":
            receiver.connect(int(made.sdp_line("m").split()[1]))
            assert made.attribute("setup") == "passive"
        time.sleep(1.6)
        assert made.bye().status == 200
        time.sleep(0.2)
        count = len(receiver.packets)
        time.sleep(0.3)
        assert len(receiver.packets) == count  # BYE stops at once
        assert receiver.lost_packets() == 0
        assert {one.ssrc for one in receiver.packets} == {int(made.sdp_line("y"))}
        got = received(receiver, camera)
        assert len(got) > FPS
        assert receiver.decoded() == len(got)
    site.wait_stored(camera)
    assert_part_of(got, expected(site.stored(camera, site.begun_us), camera))


@pytest.mark.parametrize("camera", ["gate", "yard"])
def test_playback_across_segments_from_the_middle_of_a_group(site: Site, camera: str) -> None:
    start_s = site.begin_s(camera)
    with Receiver("tcp").start() as receiver:
        sdp = offer(receiver, name="Playback", channel=CODES[camera], times=(start_s, start_s + 4))
        made = call(site, camera, sdp)
        site.peer.wait("the end", made.has_ended, 20)
        assert made.bye().status == 200
        got = received(receiver, camera)
        assert receiver.decoded() == len(got)
        times = [stamp for _, stamp, _ in receiver.packs()]
    end_us = (start_s + 4) * US_PER_S
    whole = site.stored(camera, start_s * US_PER_S, end_us + US_PER_S)
    assert got == expected(whole[: len(got)], camera)
    assert all(one.unit.pts_us >= end_us for one in whole[len(got) :])
    behind = [one for one in whole[: len(got)] if one.unit.pts_us >= end_us]
    assert len(behind) <= (1 if camera == "yard" else 0)  # what B-frames build on
    assert whole[0].unit.is_key
    assert (times[-1] - times[0]) % 2**32 <= (len(got)) * PICTURE
    arrived_s = receiver.packs()[-1][0] - receiver.packs()[0][0]
    assert 3.0 < arrived_s < 6.5  # in real time


def test_playback_up_to_the_newest_picture_at_the_time_of_the_request(site: Site) -> None:
    asked_us = time.time_ns() // 1000
    start_s = asked_us // US_PER_S - 2
    with Receiver("tcp").start() as receiver:
        sdp = offer(
            receiver, name="Playback", channel=CODES["gate"], times=(start_s, start_s + 600)
        )
        made = call(site, "gate", sdp)
        site.peer.wait("the end", made.has_ended, 20)
        made.bye()
        got = received(receiver, "gate")
    site.wait_stored("gate")
    whole = site.stored("gate", start_s * US_PER_S)
    hashes = expected(whole, "gate")
    assert got == hashes[: len(got)]
    newest_us = whole[len(got) - 1].unit.pts_us
    assert abs(newest_us - asked_us) < 0.7 * US_PER_S


def test_download_is_quicker_and_tells_its_size_and_end(site: Site) -> None:
    start_s = site.begin_s("gate")
    with Receiver("tcp").start() as receiver:
        sdp = offer(
            receiver,
            name="Download",
            channel=CODES["gate"],
            times=(start_s, start_s + 6),
            more="a=downloadspeed:4",
        )
        made = call(site, "gate", sdp)
        site.peer.wait("the end", made.has_ended, 20)
        time.sleep(0.2)
        assert made.bye().status == 200
        packs = receiver.packs()
        got = received(receiver, "gate")
    whole = site.stored("gate", start_s * US_PER_S, (start_s + 6) * US_PER_S)
    assert got == expected(whole, "gate")
    size_bytes = sum(len(pack) for _, _, pack in packs)
    assert abs(int(made.attribute("filesize")) - size_bytes) < 0.3 * size_bytes
    assert packs[-1][0] - packs[0][0] < 3.0
    assert (packs[-1][1] - packs[0][1]) % 2**32 == (len(got) - 1) * PICTURE  # recorded time


def test_seek_speed_pause_and_reverse(site: Site) -> None:
    start_s = site.begin_s("gate")
    whole = site.stored("gate", start_s * US_PER_S, (start_s + 6) * US_PER_S)
    hashes = expected(whole, "gate")
    with Receiver("tcp").start() as receiver:
        sdp = offer(receiver, name="Playback", channel=CODES["gate"], times=(start_s, start_s + 6))
        made = call(site, "gate", sdp)
        site.peer.wait("pictures", lambda: len(receiver.packs()) > 10)
        assert made.control("PAUSE RTSP/1.0", "CSeq: 1", "PauseTime: now").status == 200
        time.sleep(0.3)
        paused = len(receiver.packs())
        time.sleep(0.7)
        assert len(receiver.packs()) == paused
        answer = made.control("PLAY RTSP/1.0", "CSeq: 2", "Scale: 4.0", "Range: npt=3.5-")
        assert answer.status == 200
        assert b"Scale: 4" in answer.body
        assert b"RTP-Info: seq=" in answer.body
        site.peer.wait("the end", made.has_ended, 10)
        before = len(receiver.packs())
        assert made.control("PLAY RTSP/1.0", "CSeq: 3", "Scale: -1").status == 200
        site.peer.wait("pictures in reverse", lambda: len(receiver.packs()) > before + 40)
        made.bye()
        got = received(receiver, "gate")
        stamps = [stamp for _, stamp, _ in receiver.packs()]
    assert got[:paused] == hashes[:paused]
    seek = [n for n, one in enumerate(whole) if one.unit.is_key]
    target_us = (start_s + 3.5) * US_PER_S
    at = max(n for n in seek if whole[n].unit.pts_us <= target_us)
    assert got[paused:before] == hashes[at:]
    last_key = seek[-1]
    assert got[before : before + len(hashes) - last_key] == hashes[last_key:]
    behind = got[before + len(hashes) - last_key]
    assert behind == hashes[seek[-2]]
    steps = [(b - a) % 2**32 for a, b in zip(stamps, stamps[1:], strict=False)]
    assert all(0 < step <= PICTURE for step in steps), steps


@pytest.mark.parametrize(
    ("channel", "change", "status"),
    [
        (ABSENT, ("", ""), 480),  # the camera gives no picture
        ("34020000001320000099", ("", ""), 404),
        ("34020000001180000001", ("", ""), 488),
        (CODES["gate"], ("m=video", "x=video"), 400),
        (CODES["gate"], ("RTP/AVP 96 97 98", "RTP/AVP 98"), 488),
        (CODES["gate"], ("s=Play", "s=Talk"), 488),
        (CODES["gate"], ("s=Play", "s=Playback"), 400),
        (CODES["gate"], ("s=Play", "s=Playback\r\nt=1000000000 1000000600"), 404),
    ],
)
def test_refusals(site: Site, channel: str, change: tuple[str, str], status: int) -> None:
    with Receiver() as receiver:
        sdp = offer(receiver).decode().replace(*change) if change[0] else offer(receiver).decode()
        made = PeerCall(site.peer, channel, sdp.encode())
        assert made.invite().status == status


def test_calls_are_bounded_and_come_free_again(site: Site) -> None:
    with Receiver().start() as receiver:
        calls = [PeerCall(site.peer, CODES["gate"], offer(receiver)) for _ in range(7)]
        assert [one.invite().status for one in calls] == [200] * 6 + [486]
        assert [one.bye().status for one in calls[:6]] == [200] * 6
        again = PeerCall(site.peer, CODES["gate"], offer(receiver))
        assert again.invite().status == 200
        again.bye()


def test_a_peer_that_vanishes_or_takes_nothing_costs_nobody_anything(site: Site) -> None:
    with Receiver("tcp").start() as stuck, Receiver("tcp").start() as gone:
        stuck.reads = False
        held = call(site, "gate", offer(stuck))
        left = call(site, "gate", offer(gone))
        site.peer.wait("pictures", lambda: gone.packets or None)
        gone.stop()
        site.peer.wait("our BYE", left.was_left, 10)
        with Receiver().start() as other:
            third = call(site, "gate", offer(other))
            site.peer.wait("pictures", lambda: len(other.packs()) > 30)
            third.bye()
        held.bye()


def test_everything_watched_is_on_record_and_counted(site: Site) -> None:
    def served() -> list[dict[str, Any]]:
        return [one for one in site.box.audit() if one["detail"].get("what") == "invite_served"]

    records = wait_for("records", lambda: served() or None)
    assert all(one["actor"] == "platform:police" for one in records)
    notes = [one["detail"]["note"] for one in records]
    assert any(note.startswith("download ") and " bytes, " in note for note in notes)
    assert all("call call-" in note and "ssrc " in note for note in notes)
    metrics = site.box.metrics()
    assert metrics['nvr_gb28181_invites_total{kind="play",platform="police",status="200"}'] >= 6
    assert metrics['nvr_gb28181_sent_bytes_total{platform="police",transport="tcp"}'] > 10_000
    assert metrics['nvr_gb28181_sessions{kind="play",platform="police"}'] == 0
    assert metrics['nvr_gb28181_first_packet_seconds_count{kind="play",platform="police"}'] >= 6

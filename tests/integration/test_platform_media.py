"""Live, playback and download of the whole box, to a platform's media server.

What arrives is taken apart and held, picture by picture, against what the store holds and what the
camera sent; libav decodes all of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec
from tests.peers.media_receiver import Receiver
from tests.support.box import wait_for
from tests.support.calls import PeerCall, offer
from tests.support.cameras import demo_process
from tests.support.media_site import (
    CODE,
    MediaSite,
    assert_part_of,
    expected,
    media_site,
    received,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

GATE = CODE.format(1)
CODECS = {"gate": Codec.H264, "yard": Codec.H265}
FPS = 20
PICTURE = 90_000 // FPS
ABSENT = CODE.format(3)
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaSite]:
    with demo_process(*PLANS) as demo:
        cameras = {name: f'rtsp = "{demo[name].rtsp}"' for name in CODECS}
        cameras["dead"] = 'rtsp = "rtsp://127.0.0.1:9/none"'
        with Receiver().start() as receiver:
            folder = tmp_path_factory.mktemp("media")
            with media_site(folder, cameras, silent=["dead"]) as made:
                yield made
                made.call("gate", offer(receiver))
                made.peer.wait("pictures", lambda: receiver.packets or None)
            # what is watched when the service stops is on record as well
            notes = [one["detail"].get("note", "") for one in made.box.audit()]
            assert any(note.endswith(", stopping") for note in notes)


@pytest.mark.parametrize("camera", ["gate", "yard"])
@pytest.mark.parametrize(
    ("transport", "setup"), [("udp", ""), ("tcp", "passive"), ("tcp", "active")]
)
def test_live(site: MediaSite, camera: str, transport: str, setup: str) -> None:
    with Receiver(transport) as receiver:
        if setup != "active":
            receiver.start()
        made = site.call(camera, offer(receiver, setup=setup))
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
        got = received(receiver, CODECS[camera])
        assert len(got) > FPS
        assert receiver.decoded() == len(got)
    site.wait_stored(camera)
    assert_part_of(got, expected(site.stored(camera, site.begun_us), CODECS[camera]))


@pytest.mark.parametrize("camera", ["gate", "yard"])
def test_playback_across_segments_from_the_middle_of_a_group(site: MediaSite, camera: str) -> None:
    start_s = site.begin_s(camera)
    with Receiver("tcp").start() as receiver:
        sdp = offer(
            receiver, name="Playback", channel=site.codes[camera], times=(start_s, start_s + 4)
        )
        made = site.call(camera, sdp)
        site.peer.wait("the end", made.has_ended, 20)
        assert made.bye().status == 200
        got = received(receiver, CODECS[camera])
        assert receiver.decoded() == len(got)
        times = [stamp for _, stamp, _ in receiver.packs()]
    end_us = (start_s + 4) * US_PER_S
    whole = site.stored(camera, start_s * US_PER_S, end_us + US_PER_S)
    assert got == expected(whole[: len(got)], CODECS[camera])
    assert all(one.unit.pts_us >= end_us for one in whole[len(got) :])
    behind = [one for one in whole[: len(got)] if one.unit.pts_us >= end_us]
    # what B-frames before the end build on: the anchor behind them, and a B-frame between
    assert len(behind) <= (2 if camera == "yard" else 0)
    assert whole[0].unit.is_key
    assert (times[-1] - times[0]) % 2**32 <= (len(got)) * PICTURE
    arrived_s = receiver.packs()[-1][0] - receiver.packs()[0][0]
    assert 3.0 < arrived_s < 6.5  # in real time


def test_playback_up_to_the_newest_picture_at_the_time_of_the_request(site: MediaSite) -> None:
    asked_us = time.time_ns() // 1000
    start_s = asked_us // US_PER_S - 2
    with Receiver("tcp").start() as receiver:
        sdp = offer(receiver, name="Playback", channel=GATE, times=(start_s, start_s + 600))
        made = site.call("gate", sdp)
        site.peer.wait("the end", made.has_ended, 20)
        made.bye()
        got = received(receiver, CODECS["gate"])
    site.wait_stored("gate")
    whole = site.stored("gate", start_s * US_PER_S)
    hashes = expected(whole, CODECS["gate"])
    assert got == hashes[: len(got)]
    newest_us = whole[len(got) - 1].unit.pts_us
    assert abs(newest_us - asked_us) < 0.7 * US_PER_S


def test_download_is_quicker_and_tells_its_size_and_end(site: MediaSite) -> None:
    start_s = site.begin_s("gate")
    with Receiver("tcp").start() as receiver:
        sdp = offer(
            receiver,
            name="Download",
            channel=GATE,
            times=(start_s, start_s + 6),
            more="a=downloadspeed:4",
        )
        made = site.call("gate", sdp)
        site.peer.wait("the end", made.has_ended, 20)
        time.sleep(0.2)
        assert made.bye().status == 200
        packs = receiver.packs()
        got = received(receiver, CODECS["gate"])
    whole = site.stored("gate", start_s * US_PER_S, (start_s + 6) * US_PER_S)
    assert got == expected(whole, CODECS["gate"])
    size_bytes = sum(len(pack) for _, _, pack in packs)
    assert abs(int(made.attribute("filesize")) - size_bytes) < 0.3 * size_bytes
    assert packs[-1][0] - packs[0][0] < 3.0
    recorded_us = whole[-1].unit.pts_us - whole[0].unit.pts_us  # slewed, where the host was late
    assert abs((packs[-1][1] - packs[0][1]) % 2**32 - recorded_us * 9 // 100) <= 1


def test_seek_speed_pause_and_reverse(site: MediaSite) -> None:
    start_s = site.begin_s("gate")
    whole = site.stored("gate", start_s * US_PER_S, (start_s + 6) * US_PER_S)
    hashes = expected(whole, CODECS["gate"])
    with Receiver("tcp").start() as receiver:
        sdp = offer(receiver, name="Playback", channel=GATE, times=(start_s, start_s + 6))
        made = site.call("gate", sdp)
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
        got = received(receiver, CODECS["gate"])
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
        (GATE, ("m=video", "x=video"), 400),
        (GATE, ("RTP/AVP 96 97 98", "RTP/AVP 98"), 488),
        (GATE, ("s=Play", "s=Talk"), 488),
        (GATE, ("m=video", "m=audio"), 488),  # a broadcast that nobody agreed to
        ("34020000001370000001", ("m=video", "m=audio"), 488),  # to a loudspeaker
        (GATE, ("s=Play", "s=Playback"), 400),
        (GATE, ("s=Play", "s=Playback\r\nt=1000000000 1000000600"), 404),
    ],
)
def test_refusals(site: MediaSite, channel: str, change: tuple[str, str], status: int) -> None:
    with Receiver() as receiver:
        sdp = offer(receiver).decode().replace(*change) if change[0] else offer(receiver).decode()
        made = PeerCall(site.peer, channel, sdp.encode())
        assert made.invite().status == status


def test_calls_are_bounded_and_come_free_again(site: MediaSite) -> None:
    with Receiver().start() as receiver:
        calls = [PeerCall(site.peer, GATE, offer(receiver)) for _ in range(7)]
        assert [one.invite().status for one in calls] == [200] * 6 + [486]
        assert [one.bye().status for one in calls[:6]] == [200] * 6
        again = PeerCall(site.peer, GATE, offer(receiver))
        assert again.invite().status == 200
        again.bye()


def test_a_peer_that_vanishes_or_takes_nothing_costs_nobody_anything(site: MediaSite) -> None:
    with Receiver("tcp").start() as stuck, Receiver("tcp").start() as gone:
        stuck.reads = False
        held = site.call("gate", offer(stuck))
        left = site.call("gate", offer(gone))
        site.peer.wait("pictures", lambda: gone.packets or None)
        gone.stop()
        site.peer.wait("our BYE", left.was_left, 10)
        with Receiver().start() as other:
            third = site.call("gate", offer(other))
            site.peer.wait("pictures", lambda: len(other.packs()) > 30)
            third.bye()
        held.bye()


def test_everything_watched_is_on_record_and_counted(site: MediaSite) -> None:
    def served() -> list[dict[str, Any]]:
        return [one for one in site.box.audit() if one["detail"].get("what") == "invite_served"]

    records = wait_for("records", lambda: served() or None)
    assert all(one["actor"] == "platform:police" for one in records)
    notes = [one["detail"]["note"] for one in records]
    assert any(note.startswith("download ") and " bytes, " in note for note in notes)
    assert all("call call-" in note and "ssrc " in note for note in notes)
    metrics = site.box.metrics()
    assert metrics['nvr_gb28181_invites_total{kind="live",platform="police",status="200"}'] >= 6
    assert metrics['nvr_gb28181_sent_bytes_total{platform="police",transport="tcp"}'] > 10_000
    assert metrics['nvr_gb28181_sessions{kind="live",platform="police"}'] == 0
    assert metrics['nvr_gb28181_first_packet_seconds_count{kind="live",platform="police"}'] >= 6


def test_a_camera_that_is_not_exposed_any_more_is_not_shown_any_more(site: MediaSite) -> None:
    """From the reload on: calls of it end, new ones find nothing; others go on."""
    with Receiver().start() as hidden, Receiver().start() as shown:
        ended = site.call("yard", offer(hidden))
        goes_on = site.call("gate", offer(shown))
        site.peer.wait("pictures", lambda: hidden.packets and shown.packets)
        name = 'name = "yard"\n'
        site.box.more = site.box.more.replace(name, name + "expose = false\n")
        site.box.write_config()
        site.box.reload()
        site.peer.wait("our BYE", ended.was_left, 10)
        again = PeerCall(site.peer, site.codes["yard"], offer(hidden))
        assert again.invite().status == 404
        count = len(shown.packets)
        site.peer.wait("pictures", lambda: len(shown.packets) > count + 20)
        assert not goes_on.was_left()
        assert goes_on.bye().status == 200

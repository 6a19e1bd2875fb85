"""The ``uplink`` service as a real process, before platforms of our own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from retention.clock import SystemClock, boot_id
from retention.platform_time import read_platform_time
from tests.peers.platform import DEVICE_ID, PASSWORD, PlatformPeer
from tests.support.box import XUELIANG, free_port, wait_for
from tests.support.uplink_box import BoxPlatform, UplinkBox
from uplink.sip.message import Request

pytestmark = pytest.mark.integration

MANSCDP = (("Content-Type", "Application/MANSCDP+xml"),)


def query(command: str, target: str = DEVICE_ID, sn: int = 17, more: str = "") -> bytes:
    text = (
        f'<?xml version="1.0" encoding="GB2312"?>\r\n<Query>\r\n<CmdType>{command}</CmdType>\r\n'
        f"<SN>{sn}</SN>\r\n<DeviceID>{target}</DeviceID>\r\n{more}</Query>\r\n"
    )
    return text.encode("gb18030")


@pytest.fixture(scope="module")
def peer() -> Iterator[PlatformPeer]:
    with PlatformPeer() as platform:
        yield platform


@pytest.fixture(scope="module")
def box(peer: PlatformPeer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UplinkBox]:
    """One service before one platform, in a hurry; each test leaves it registered."""
    platform = BoxPlatform(
        server=f"127.0.0.1:{peer.port}", keepalive_seconds=1, retry_seconds=1, register_seconds=60
    )
    with UplinkBox(folder=tmp_path_factory.mktemp("uplink"), platforms=[platform]) as made:
        made.wait_registered()
        yield made


def test_it_is_registered_and_says_so(box: UplinkBox, peer: PlatformPeer) -> None:
    peer.wait_keepalive()
    assert DEVICE_ID in peer.registered
    told = wait_for("a round trip", lambda: box.platform()["keepalive_rtt_ms"] and box.platform())
    assert told["state"] == "registered"
    assert told["server"] == f"127.0.0.1:{peer.port}"
    metrics = box.metrics()
    assert metrics['nvr_gb28181_registered{platform="police"}'] == 1
    assert metrics['nvr_gb28181_register_total{platform="police",result="ok"}'] >= 1
    assert metrics['nvr_gb28181_keepalive_total{platform="police",result="ok"}'] >= 1
    assert metrics['nvr_gb28181_keepalive_rtt_seconds_count{platform="police"}'] >= 1
    assert box.health() == {"healthy": True, "reasons": {}}


def test_it_gives_way_by_itself(box: UplinkBox) -> None:
    """Every thread, whoever started the service: CPU, and the disks."""
    process = box.service()
    for thread in process.threads():
        assert os.getpriority(os.PRIO_PROCESS, thread.id) >= 5
        told = subprocess.run(["ionice", "-p", str(thread.id)], capture_output=True, text=True)
        assert told.stdout.strip() == "best-effort: prio 7"


def test_a_query_is_answered_and_on_record(box: UplinkBox, peer: PlatformPeer) -> None:
    answer = peer.ask(peer.request("MESSAGE", fields=MANSCDP, body=query("DeviceInfo", sn=4711)))
    assert (answer.status, answer.body) == (200, b"")
    (response,) = wait_for("its Response", lambda: peer.messages(b"<SN>4711</SN>") or None)
    assert b"<Result>OK</Result>" in response.body
    assert response.sender.user == DEVICE_ID

    def recorded() -> list[dict[str, Any]] | None:
        what = "query_deviceinfo"
        return [one for one in box.audit() if one["detail"].get("what") == what] or None

    (record,) = wait_for("its record", recorded)
    assert (record["actor"], record["outcome"]) == ("platform:police", "done")
    assert record["action"] == "platform_query"
    assert record["subject"] == DEVICE_ID
    assert record["detail"]["messages"] == 1


def test_a_retransmission_is_answered_once_more_and_run_once(
    box: UplinkBox, peer: PlatformPeer
) -> None:
    request = peer.request("MESSAGE", fields=MANSCDP, body=query("DeviceInfo", sn=4712))
    for _ in range(3):
        peer.send(request.serialize())

    def answers() -> bool:
        return len([one for one in peer.responses if one.call_id == request.call_id]) == 3

    wait_for("three answers", answers)
    wait_for("its Response", lambda: peer.messages(b"<SN>4712</SN>") or None)
    peer.ask(peer.request("OPTIONS"))
    assert len({one.call_id for one in peer.messages(b"<SN>4712</SN>")}) == 1


def test_a_catalog_subscription(box: UplinkBox, peer: PlatformPeer) -> None:
    fields = (*MANSCDP, ("Event", "Catalog;id=9"), ("Expires", "60"))
    request = peer.request("SUBSCRIBE", fields=fields, body=query("Catalog", sn=5))
    answer = peer.ask(request)
    assert (answer.status, answer.headers.get("Expires")) == (200, "60")

    def notified() -> Request | None:
        found = [one for one in peer.requests if one.method == "NOTIFY"]
        return found[0] if found else None

    notify = wait_for("a NOTIFY", notified)
    assert notify.call_id == request.call_id
    assert notify.headers.get("Event") == "Catalog;id=9"
    assert box.platform()["subscriptions"] == ["Catalog"]
    over = peer.request(
        "SUBSCRIBE",
        call_id=request.call_id,
        to_tag=answer.to.tag,
        fields=(("Event", "Catalog;id=9"), ("Expires", "0")),
    )
    assert peer.ask(over).status == 200
    assert box.platform()["subscriptions"] == []


def test_no_call_is_left_without_an_answer(box: UplinkBox, peer: PlatformPeer) -> None:
    answer = peer.ask(peer.request("INVITE", target="34020000001320000001", body=b"v=0\r\n"))
    assert answer.status >= 400
    assert box.platform()["calls"] == 0


def test_strangers_are_dropped_unread(box: UplinkBox, peer: PlatformPeer) -> None:
    """Over UDP and TCP, before a byte is parsed, and counted."""
    (platform,) = box.platforms
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.settimeout(0.3)
        for _ in range(5):
            data = peer.request("OPTIONS").serialize()
            stranger.sendto(data, ("127.0.0.1", platform.port))
        with pytest.raises(TimeoutError):
            stranger.recv(2000)
    assert box.metrics()['nvr_gb28181_dropped_total{reason="stranger"}'] == 5


def test_garbage_and_floods_cost_little(box: UplinkBox, peer: PlatformPeer) -> None:
    """From the platform's own address: parsed, counted, bounded; and it goes on answering."""
    process = box.service()
    before = process.memory_info().rss
    pieces = [os.urandom(200), b"MESSAGE sip:x SIP/2.0\r\n\r\n", b"\r\n" * 50, b"INVITE " * 8000]
    for number in range(6000):
        try:
            peer.send(pieces[number % len(pieces)])
        except OSError:
            continue
    for number in range(3000):
        peer.send(peer.request("MESSAGE", call_id=f"flood-{number}", body=b"x").serialize())
    assert peer.ask(peer.request("OPTIONS")).status == 200
    metrics = box.metrics()
    assert metrics['nvr_gb28181_dropped_total{reason="malformed"}'] > 100
    assert process.memory_info().rss - before < 32 * 2**20
    peer.wait_keepalive()
    box.wait_registered()


def test_no_secret_leaves(box: UplinkBox) -> None:
    texts = [box.log, str(box.audit()), box._get("/metrics"), box._get("/status")]
    assert not [text for text in texts if PASSWORD in text]
    assert "Digest" not in box.log


def test_the_platforms_time_is_handed_on(box: UplinkBox, peer: PlatformPeer) -> None:
    """Measured at a REGISTER's 200, told to edge, and nothing set by it."""
    beijing = time.gmtime(time.time() + 8 * 3600 + 120)
    peer.date = time.strftime("%Y-%m-%dT%H:%M:%S.500", beijing)
    peer.registered.clear()
    peer.wait_registered()
    state, now_us = box.folder / "state", time.time_ns() // 1000

    def handed_on() -> int | None:
        raw_us = SystemClock().raw_us()
        reading = read_platform_time(state, boot_id(), raw_us)
        if reading is None:
            return None
        return reading.utc_us + raw_us - reading.raw_us - time.time_ns() // 1000

    offset_us = wait_for("a reading", handed_on)
    assert 110 * 10**6 < offset_us < 125 * 10**6
    assert 110 < wait_for("an offset", lambda: box.platform()["time_offset_seconds"]) < 125
    assert abs(time.time_ns() // 1000 - now_us) < 60 * 10**6


def test_leaving_unregisters(box: UplinkBox, peer: PlatformPeer) -> None:
    """Last in this file: ends the service."""
    assert box.stop() == 0
    assert DEVICE_ID not in peer.registered
    assert box.audit()[-1]["action"] == "service_stopped"


def test_a_challenge_of_sha_256_and_another_edition(tmp_path: Path) -> None:
    with PlatformPeer(algorithm="SHA-256") as peer:
        platform = BoxPlatform(server=f"127.0.0.1:{peer.port}", edition="2016")
        with UplinkBox(folder=tmp_path, platforms=[platform]) as box:
            box.wait_registered()
            register = next(one for one in peer.requests if one.method == "REGISTER")
            assert register.headers.get("X-GB-Ver") == "2.0"
            assert box.platform()["edition"] == "2022"  # as the platform says of itself


def camera(name: str, number: int) -> str:
    code = f"3402000000132000000{number}"
    return f'[[camera]]\nid = "{name}"\nname = "摄像机 {name}"\ngb_id = "{code}"\nrtsp = "rtsp://127.0.0.1:9/x"\n'


def channels(peer: PlatformPeer, device: str) -> set[bytes]:
    """Codes of the cameras in the Catalog, over however many messages."""
    body = query("Catalog", target=device, sn=77)
    assert peer.ask(peer.request("MESSAGE", target=device, fields=MANSCDP, body=body)).status == 200

    def found() -> set[bytes] | None:
        bodies = b"".join(one.body for one in peer.messages(b"<SN>77</SN>"))
        total = re.search(rb"<SumNum>([0-9]+)<", bodies)
        items = re.findall(rb"<Item>.*?<DeviceID>([0-9]+)<", bodies, re.DOTALL)
        return set(items) if total and len(items) >= int(total[1]) else None

    return {code for code in peer.wait("the whole Catalog", found) if code[10:13] == b"132"}


def test_two_platforms_reload_and_nothing(tmp_path: Path) -> None:
    """One of 2016 over UDP, one of 2022 over TCP, at once and on one port, each with the channels
    that it may see; one taken away by SIGHUP; a bad file; none at all."""
    other = "34029900002000000001"
    with PlatformPeer() as first, PlatformPeer(server_id=other, domain="3402990000") as second:
        port = free_port()
        platforms = [
            BoxPlatform(
                name="county",
                server=f"127.0.0.1:{first.port}",
                port=port,
                edition="2016",
                extra='channels = ["gate", "yard"]',
            ),
            BoxPlatform(
                name="city",
                server=f"127.0.0.1:{second.port}",
                server_id=other,
                domain="3402990000",
                device_id="34029900001180000001",
                port=port,
                transport="tcp",
                extra='channels = ["hall"]',
            ),
        ]
        cameras = "".join(camera(name, n) for n, name in enumerate(("gate", "yard", "hall"), 1))
        with UplinkBox(folder=tmp_path, platforms=platforms, more=cameras) as box:
            box.wait_registered("county")
            box.wait_registered("city")
            for peer, device in ((first, DEVICE_ID), (second, "34029900001180000001")):
                peer.wait_registered(device)
                body = query("DeviceInfo", target=device, sn=99)
                request = peer.request("MESSAGE", target=device, fields=MANSCDP, body=body)
                assert peer.ask(request).status == 200
                (told,) = peer.wait("its Response", lambda p=peer: p.messages(b"<SN>99<") or None)  # type: ignore[misc]
                assert told.sender.user == device
            codes = [f"3402000000132000000{number}".encode() for number in (1, 2, 3)]
            assert channels(first, DEVICE_ID) == set(codes[:2])
            assert channels(second, "34029900001180000001") == {codes[2]}
            assert second.peer is not None
            assert second.peer.transport == "tcp"
            assert second.counts["connections"] == 1

            box.platforms = platforms[:1]
            box.write_config()
            box.reload()
            wait_for("the city left", lambda: "34029900001180000001" not in second.registered)
            box.wait_registered("county")
            assert [one["platform"] for one in box_platforms(box)] == ["county"]

            (tmp_path / "xueliang.toml").write_text("nonsense")
            box.reload()
            wait_for("refused", lambda: "settings_refused" in box.log)
            assert box.platform("county")["registered"]

            box.platforms = []
            box.write_config()
            box.reload()
            wait_for("nothing left", lambda: not box_platforms(box))
            process = box.service()
            wait_for("nothing listens", lambda: listening(process) == {box.metrics_port + 1})
            assert box.health() == {"healthy": True, "reasons": {}}
            assert box.stop() == 0


def box_platforms(box: UplinkBox) -> list[dict[str, Any]]:
    platforms: list[dict[str, Any]] = json.loads(box._get("/status"))["platforms"]
    return platforms


def listening(process: psutil.Process) -> set[int]:
    """Ports on which ``process`` takes anything, UDP or TCP."""
    return {one.laddr.port for one in process.net_connections("inet") if not one.raddr}


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A password file that is gone, an interface that is not there: the others go on."""
    with PlatformPeer() as peer:
        server = f"127.0.0.1:{peer.port}"
        platforms = [
            BoxPlatform(name="well", server=server),
            BoxPlatform(
                name="nowhere",
                server=server,
                server_id="34020000002000000002",
                device_id="34020000001180000002",
                place='interface = "no-such-if0"',
            ),
            BoxPlatform(
                name="elsewhere",
                server=server,
                server_id="34020000002000000004",
                device_id="34020000001180000004",
                place='bind = "192.0.2.77"',
            ),
            BoxPlatform(
                name="wrong",
                server=server,
                device_id="34020000001180000003",
                password="not-the-one",
            ),
        ]
        with UplinkBox(folder=tmp_path, platforms=platforms) as box:
            box.wait_registered("well")
            wait_for("refused", lambda: "refused" in box.platform("wrong")["trouble"])
            assert box.platform("nowhere")["state"] == "no_interface"
            reasons = box.health()["reasons"]
            assert set(reasons) == {"nowhere", "elsewhere", "wrong"}
            assert "cannot listen on 192.0.2.77" in reasons["elsewhere"]
            assert box.log.count("socket_unavailable") == 1
            told = subprocess.run(
                [*XUELIANG, "check", "-c", box.config], capture_output=True, text=True
            ).stdout
            assert "has no interface no-such-if0" in told
            assert "cannot use 192.0.2.77" in told
            assert "platform well: has its address 127.0.0.1" in told
            assert "not-the-one" not in box.log

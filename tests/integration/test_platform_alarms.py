"""A camera goes away: what the platform hears of it from the whole box, also after an outage.

Minutes of waiting for debounced events, hence a part of ``make faults``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from tests.peers.platform import DEVICE_ID, PlatformPeer
from tests.support.box import XUELIANG, wait_for
from tests.support.cameras import demo_site
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.uplink.bodies import asked, judged

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="make faults"),
    pytest.mark.timeout(400),
]

GATE = "34020000001320000001"
MANSCDP = (("Content-Type", "Application/MANSCDP+xml"),)


def test_a_lost_camera_is_told_at_once_and_after_an_outage(tmp_path: Path) -> None:
    plan = CameraPlan(id="gate", loop_seconds=2, stream=StreamPlan(width=320, height=180))
    with PlatformPeer() as peer, demo_site(plan) as demo:
        camera = demo["gate"]
        platform = BoxPlatform(
            server=f"127.0.0.1:{peer.port}", keepalive_seconds=5, retry_seconds=1
        )
        more = f'[[camera]]\nid = "gate"\nname = "门"\ngb_id = "{GATE}"\nrtsp = "{camera.url}"\n'
        box = UplinkBox(folder=tmp_path, platforms=[platform], more=more)
        box.write_config()
        with (tmp_path / "edge.log").open("wb") as log:
            edge = subprocess.Popen(
                [*XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
            )
        try:
            with box:
                peer.wait_registered()
                _subscribe(peer)
                wait_for("recording", lambda: _record(peer) == "ON" or None, 30)

                def events() -> list[str]:
                    return [
                        item.findtext("Event") or ""
                        for one in peer.messages(b"<CmdType>Catalog</CmdType>")
                        if one.method == "NOTIFY"
                        for item in judged(one.body).findall("DeviceList/Item")
                    ]

                def alarms() -> list[str]:
                    """Of the camera, each once: without retransmissions, and without ends."""
                    found = peer.messages(b"<CmdType>Alarm</CmdType>")
                    roots = {one.call_id: judged(one.body) for one in found}
                    return [
                        f"{root.findtext('AlarmMethod')}/{root.findtext('Info/AlarmType')}"
                        for root in roots.values()
                        if root.tag == "Notify"
                        and root.findtext("DeviceID") == GATE
                        and root.findtext("AlarmMethod") == "2"
                    ]

                camera.unplug()
                wait_for("OFF", lambda: "OFF" in events() or None, 60)
                wait_for("the alarm", lambda: alarms() or None, 60)
                assert alarms() == ["2/1"]
                wait_for("no recording", lambda: _record(peer) == "OFF" or None, 60)
                camera.plug()
                wait_for("ON", lambda: events()[-1:] == ["ON"] or None, 60)

                _reset(peer)
                peer.mood = "silent"
                wait_for("offline", lambda: not box.platform()["registered"] or None, 90)
                camera.unplug()
                waiting = 'nvr_gb28181_alarms_waiting{platform="police"}'
                wait_for("it waits", lambda: box.metrics().get(waiting) == 1 or None, 90)
                assert alarms() == ["2/1"]
                peer.mood = "kind"
                wait_for("it comes", lambda: alarms() == ["2/1", "2/1"] or None, 90)
                wait_for("none waits", lambda: box.metrics()[waiting] == 0 or None)
                assert box.stop() == 0
        finally:
            edge.terminate()
            edge.wait(20)


def _subscribe(peer: PlatformPeer) -> None:
    fields = (*MANSCDP, ("Event", "Catalog;id=1"), ("Expires", "600"))
    answer = peer.ask(peer.request("SUBSCRIBE", fields=fields, body=asked("Catalog")))
    assert answer.status == 200


def _reset(peer: PlatformPeer) -> None:
    body = asked("DeviceControl", "<AlarmCmd>ResetAlarm</AlarmCmd>", kind="Control", device_id=GATE)
    assert peer.ask(peer.request("MESSAGE", fields=MANSCDP, body=body)).status == 200


_numbers = iter(range(500, 10_000))


def _record(peer: PlatformPeer) -> str:
    """What DeviceStatus tells of the camera's recording."""
    sn = next(_numbers)
    body = asked("DeviceStatus", device_id=GATE, sn=sn)
    assert peer.ask(peer.request("MESSAGE", fields=MANSCDP, body=body)).status == 200
    told = peer.wait("its status", lambda: peer.messages(f"<SN>{sn}</SN>".encode()) or None)[0]
    root = judged(told.body)
    assert root.findtext("CmdType") == "DeviceStatus"
    assert told.sender.user == DEVICE_ID
    return root.findtext("Record") or ""

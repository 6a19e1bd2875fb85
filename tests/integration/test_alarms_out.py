"""A picture defect and its end, all the way out of a box: each way once, also over a restart.

The diagnosis is played by its report file; edge, uplink, platform and webhook are processes and
sockets of their own. A minute of waiting, hence a part of ``make faults``; without platform and
restart tests/prometheus/test_watching.py does the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from edge.diagnose.defects import Defect, Outcome
from edge.diagnose.gating import Gate
from edge.diagnose.report import CameraReport, Report
from edge.diagnose.report_file import write_report
from tests.peers.platform import PlatformPeer
from tests.support.box import XUELIANG, wait_for
from tests.support.cameras import demo_process
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.support.witness import WitnessServer, witness_server
from tests.uplink.bodies import asked, judged

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.environ.get("XUELIANG_FAULTS") != "full", reason="make faults"),
    pytest.mark.timeout(170),
]

GATE = "34020000001320000001"
MANSCDP = (("Content-Type", "Application/MANSCDP+xml"),)


class Out:
    """Everybody who hears of alarms."""

    def __init__(self, box: UplinkBox, peer: PlatformPeer, hook: WitnessServer) -> None:
        self.box, self.peer, self._hook = box, peer, hook

    def edge(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.box.metrics_port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def standing(self) -> list[str]:
        try:
            return [one["code"] for one in json.loads(self.edge("/status"))["alarms"]]
        except OSError:
            return ["?"]

    def posts(self) -> list[tuple[str, int]]:
        told = [json.loads(body) for body in list(self._hook.bodies)]
        return [(one["event"], one["number"]) for one in told if one["code"] == "picture_covered"]

    def records(self) -> list[tuple[str, Any]]:
        parts = sorted((self.box.folder / "state" / "audit" / "edge").glob("*.jsonl"))
        lines = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
        return [
            (line["outcome"], line["detail"]["number"])
            for line in lines
            if line["action"] == "alarm" and line["detail"]["code"] == "picture_covered"
        ]

    def events(self) -> list[str]:
        """Of the gate, in the Catalog's subscription."""
        return [
            item.findtext("Event") or ""
            for one in self.peer.messages(b"<CmdType>Catalog</CmdType>")
            if one.method == "NOTIFY"
            for item in judged(one.body).findall("DeviceList/Item")
            if item.findtext("DeviceID") == GATE
        ]

    def alarms(self) -> list[tuple[str | None, str | None]]:
        """Method and type of the gate's alarms at the platform."""
        roots = [judged(one.body) for one in self.peer.messages(b"<CmdType>Alarm</CmdType>")]
        return [
            (root.findtext("AlarmMethod"), root.findtext("Info/AlarmType"))
            for root in roots
            if root.findtext("DeviceID") == GATE
        ]

    def diagnose(self, *, is_covered: bool) -> None:
        marks = Gate(recent=(is_covered,) * 5, is_standing=is_covered)
        outcome = Outcome.ABNORMAL if is_covered else Outcome.NORMAL
        one = CameraReport(
            at_us=time.time_ns() // 1000,
            outcome=outcome,
            checks=dict.fromkeys(Outcome, 1),
            gates={Defect.COVERED: marks},
        )
        report = Report(at_us=time.time_ns() // 1000, cameras={"gate": one})
        write_report(self.box.folder / "state", report)


@contextmanager
def _edge(box: UplinkBox) -> Iterator[None]:
    with (box.folder / "edge.log").open("ab") as log:
        process = subprocess.Popen(
            [*XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_a_covered_picture_goes_every_way_once_and_so_does_its_end(tmp_path: Path) -> None:
    plan = CameraPlan(id="gate", loop_seconds=2, stream=StreamPlan(width=320, height=192))
    with PlatformPeer() as peer, demo_process(plan) as demo, witness_server() as hook:
        more = (
            f'[[camera]]\nid = "gate"\nname = "门"\ngb_id = "{GATE}"\n'
            f'rtsp = "{demo["gate"].rtsp}"\n'
            f'[alarms]\nwebhook_url = "http://127.0.0.1:{hook.server_port}/"\n'
        )
        platform = BoxPlatform(server=f"127.0.0.1:{peer.port}", retry_seconds=1)
        box = UplinkBox(folder=tmp_path, platforms=[platform], more=more)
        box.write_config()
        out = Out(box, peer, hook)
        with box:
            with _edge(box):
                peer.wait_registered()
                wait_for("edge", lambda: out.standing() != ["?"] or None)
                subscribe = (*MANSCDP, ("Event", "Catalog;id=1"), ("Expires", "600"))
                answer = peer.ask(
                    peer.request("SUBSCRIBE", fields=subscribe, body=asked("Catalog"))
                )
                assert answer.status == 200
                out.diagnose(is_covered=True)
                wait_for("it stands", lambda: "picture_covered" in out.standing() or None)
                (first,) = wait_for("the webhook", lambda: out.posts() or None)
                assert first[0] == "begun"
                assert out.records() == [("begun", first[1])]
                tamper = 'nvr_camera_tamper_active{camera="gate",kind="covered"} 1.0'
                assert tamper in out.edge("/metrics")
                wait_for("the platform", lambda: out.alarms() or None)
                assert out.alarms() == [("5", "13")]
                wait_for("the Catalog", lambda: "DEFECT" in out.events() or None, 60)
            with _edge(box):  # again, as if after an update
                wait_for("edge", lambda: "picture_covered" in out.standing() or None)
                out.diagnose(is_covered=True)
                time.sleep(7)  # the diagnosis was looked at again
                assert out.posts() == [first]
                assert out.records() == [("begun", first[1])]
                assert out.alarms() == [("5", "13")]
                out.diagnose(is_covered=False)
                wait_for("its end", lambda: len(out.posts()) == 2 or None)
                assert out.posts() == [first, ("ended", first[1])]
                assert out.records() == [("begun", first[1]), ("done", first[1])]
                assert "picture_covered" not in out.standing()
                assert tamper not in out.edge("/metrics")
                wait_for("the Catalog", lambda: out.events()[-1:] == ["ON"] or None, 60)
                shown = subprocess.run(
                    [*XUELIANG, "alarms", "--all", "--json", "-c", box.config],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                ended = json.loads(shown.stdout)["ended"]
                assert [one["number"] for one in ended if one["code"] == "picture_covered"] == [
                    first[1]
                ]

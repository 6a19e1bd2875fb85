"""Every query, order and subscription of GB/T 28181, asked by SIPp of the whole box.

The box is edge and uplink as they are run, recording a demo camera that turns and one that does
not, before two platforms at once: of 2016 over UDP, and of 2022 over TCP, which may see one camera
only. SIPp checks digest, statuses and dialogs; the bodies are read by expat.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from config.instants import parse_instant
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.peers.platform import DEVICE_ID
from tests.peers.sipp.scenario import expect, request, scenario
from tests.peers.sipp.server import Sipp
from tests.support.box import XUELIANG, free_port, wait_for
from tests.support.cameras import Camera, demo_site
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.uplink.bodies import judged
from tests.uplink.uplinking import picture_server

pytestmark = pytest.mark.integration

GATE = "34020000001320000001"
YARD = "34020000001320000002"
HIDDEN = "34020000001320000003"
_STREAM = StreamPlan(width=320, height=180)
_PLANS = (
    CameraPlan(id="gate", password="pass-word-1", loop_seconds=2, stream=_STREAM, ptz=True),
    CameraPlan(id="yard", password="pass-word-1", loop_seconds=2, stream=_STREAM),
)
Transport = Literal["udp", "tcp"]
EVER = "<StartTime>2020-01-01T00:00:00</StartTime>\r\n<EndTime>2037-01-01T00:00:00</EndTime>\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A box that records."""

    folder: Path
    cameras: str
    gate: Camera


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with demo_site(*_PLANS) as demo:
        folder = tmp_path_factory.mktemp("site")
        secret = folder / "camera.password"
        secret.write_text("pass-word-1")
        secret.chmod(0o600)
        tables = [
            f'[[camera]]\nid = "{name}"\nname = "{title}"\ngb_id = "{code}"\n{more}\n'
            f'onvif = "{demo[name].onvif}"\nusername = "recorder"\npassword_file = "{secret}"\n'
            f'[camera.archive]\naddress = "北门"\nlongitude = 118.37\nlatitude = 31.32\n'
            for name, title, code, more in (
                ("gate", "人行出口", GATE, ""),
                ("yard", "操场", YARD, ""),
            )
        ]
        tables.append(
            f'[[camera]]\nid = "nap"\nname = "午睡室"\ngb_id = "{HIDDEN}"\nexpose = false\n'
            'rtsp = "rtsp://127.0.0.1:9/"\nenabled = false\n'
        )
        yield Site(folder=folder, cameras="".join(tables), gate=demo["gate"])


@contextmanager
def whole_box(site: Site, platforms: Sequence[BoxPlatform]) -> Iterator[UplinkBox]:
    """Edge and uplink of one configuration; recording when it begins."""
    box = UplinkBox(folder=site.folder / "box", platforms=platforms, more=site.cameras)
    box.folder.mkdir()
    box.write_config()
    with (box.folder / "edge.log").open("wb") as log:
        edge = subprocess.Popen(
            [*XUELIANG, "run", "edge", "-c", box.config], stdout=log, stderr=log
        )
    try:
        wait_for("recording", lambda: _is_recording(box) or None, 30)
        with box:
            yield box
            assert box.stop() == 0
    finally:
        edge.terminate()
        edge.wait(20)


def _is_recording(box: UplinkBox) -> bool:
    """Both cameras do, and have for some seconds."""
    told = subprocess.run(
        [*XUELIANG, "status", "--json", "-c", box.config], capture_output=True, text=True
    ).stdout
    if not told.startswith("{"):
        return False
    cameras = [one for one in json.loads(told)["cameras"] if one["enabled"]]
    ends = [(one["history"]["due_from"], one["newest"]) for one in cameras]
    return all(
        due and newest and parse_instant(newest) - parse_instant(due) > 6 * US_PER_S
        for due, newest in ends
    )


_WORDS = itertools.count(1)
_MANSCDP = "Content-Type: Application/MANSCDP+xml\n"
PAUSE = '<pause milliseconds="500"/>'


def body_of(command: str, *elements: str, kind: str = "Query", code: str = DEVICE_ID) -> str:
    sn = sum(command.encode())
    return (
        f'<?xml version="1.0" encoding="GB2312"?>\n<{kind}>\n<CmdType>{command}</CmdType>\n'
        f"<SN>{sn}</SN>\n<DeviceID>{code}</DeviceID>\n{''.join(elements)}\n</{kind}>\n"
    )


def ask(body: str, status: int = 200, fields: str = _MANSCDP) -> str:
    return request("MESSAGE", status, word=f"m{next(_WORDS)}", fields=fields, body=body)


def query(command: str, *elements: str, code: str = DEVICE_ID, status: int = 200) -> str:
    return ask(body_of(command, *elements, code=code), status)


def control(
    *elements: str, code: str = GATE, command: str = "DeviceControl", status: int = 200
) -> str:
    return ask(body_of(command, *elements, kind="Control", code=code), status)


def subscribe(event: str, body: str, *, notifies: int = 1, status: int = 200) -> str:
    """SUBSCRIBE, its first NOTIFYs, and a cancellation with its last one."""
    word = f"s{next(_WORDS)}"
    fields = f"Event: {event}\n{_MANSCDP}"
    first = request("SUBSCRIBE", status, word=word, fields=f"{fields}Expires: 600\n", body=body)
    if status >= 300:
        return first
    last = request(
        "SUBSCRIBE",
        200,
        word=word,
        number=2,
        fields=f"{fields}Expires: 0\n",
        body=body,
        is_in_dialog=True,
    )
    active = expect("NOTIFY", Subscription_State="^ *active", Event=event)
    return first + active * notifies + last + expect("NOTIFY", Subscription_State="terminated")


QUERIES: list[str] = [
    query("Catalog"),
    query("DeviceInfo"),
    query("DeviceStatus"),
    query("RecordInfo", EVER, "<Type>all</Type>", code=GATE),
    query("ConfigDownload", "<ConfigType>BasicParam/VideoParamOpt</ConfigType>"),
    control("<PTZCmd>A50F018100020038</PTZCmd>"),  # preset 2 is set
    PAUSE,
    query("PresetQuery", code=GATE),
    control(
        "<HomePosition><Enabled>1</Enabled><ResetTime>30</ResetTime>"
        "<PresetIndex>2</PresetIndex></HomePosition>"
    ),
    PAUSE,
    query("HomePositionQuery", code=GATE),
    query("CruiseTrackListQuery", code=GATE),
    query("CruiseTrackQuery", "<Number>0</Number>", code=GATE),
    query("PTZPosition", code=GATE),
    query("SDCardStatus"),
    query("MobilePosition", "<Interval>5</Interval>", code=GATE),
    query("Alarm"),
    query("MakeCoffee"),
]
ORDERS: list[str] = [
    control("<PTZCmd>A50F01029600004D</PTZCmd>"),
    PAUSE,
    control("<PTZCmd>A50F0100000000B5</PTZCmd>"),
    control("<PTZCmd>A50F018200020039</PTZCmd>"),
    control("<PTZCmd>A50F01830002003A</PTZCmd>"),
    control("<PTZCmd>A50F01029600004E</PTZCmd>"),  # a wrong sum: ignored
    control("<PTZCmd>A50F01880100003E</PTZCmd>", status=501),  # a cruise
    control("<IFameCmd>Send</IFameCmd>"),
    control("<IFrameCmd>Send</IFrameCmd>"),
    control("<GuardCmd>SetGuard</GuardCmd>"),
    control("<AlarmCmd>ResetAlarm</AlarmCmd>"),
    control("<RecordCmd>Record</RecordCmd>"),
    control("<RecordCmd>StopRecord</RecordCmd>"),
    control("<TeleBoot>Boot</TeleBoot>", code=DEVICE_ID, status=403),
    control("<FormatSDCard>0</FormatSDCard>", code=DEVICE_ID, status=403),
    control("<DeviceUpgrade><FileURL>http://x/</FileURL></DeviceUpgrade>"),
    control("<DragZoomIn><Length>1</Length></DragZoomIn>", status=501),
    control("<TargetTrack>Auto</TargetTrack>", status=501),
    control("<PTZCmd>A50F0100000000B5</PTZCmd>", code=HIDDEN, status=404),
    *(
        control(f"<{name}><On>1</On></{name}>", command="DeviceConfig")
        for name in ("OSDConfig", "PictureMask", "FrameMirror", "VideoRecordPlan")
    ),
    control(
        "<BasicParam><HeartBeatInterval>60</HeartBeatInterval></BasicParam>",
        code=DEVICE_ID,
        command="DeviceConfig",
    ),
    ask(
        body_of(
            "Broadcast",
            f"<SourceID>34020000001360000001</SourceID><TargetID>{GATE}</TargetID>",
            kind="Notify",
        )
    ),
]
MALFORMED: list[str] = [
    ask("<Query><SN>1</SN></Query>", 400),
    ask("not a word of XML", 400),
    ask(
        '<!DOCTYPE q SYSTEM "http://192.0.2.1/q.dtd">'
        "<Query><CmdType>Catalog</CmdType><SN>1</SN></Query>",
        400,
    ),
    query("RecordInfo", "<StartTime>yesterday</StartTime>", code=GATE, status=400),
    query("RecordInfo", EVER, code=HIDDEN, status=404),
    ask(body_of("Catalog"), 415, "Content-Type: text/plain\n"),
]
SUBSCRIPTIONS: list[str] = [
    subscribe("Catalog;id=1234", body_of("Catalog")),
    subscribe(
        "presence;id=5",
        body_of(
            "Alarm",
            "<StartAlarmPriority>1</StartAlarmPriority>\n"
            "<EndAlarmPriority>4/EndAlarmPriority>\n<AlarmMethod>0</AlarmMethod>",
        ),
        notifies=0,
    ),
    subscribe("presence;id=6", body_of("MobilePosition", "<Interval>30</Interval>", code=GATE)),
    subscribe("presence;id=7", body_of("PTZPosition", code=GATE), status=489),
]
LAST = "everything"


def text(upload_port: int) -> str:
    """The scenario; pictures go to a port of the platform's own host."""
    snapshot = control(
        "<SnapShotConfig><SnapNum>2</SnapNum><Interval>1</Interval>"
        f"<UploadURL>http://127.0.0.1:{upload_port}/snap</UploadURL>"
        "<SessionID>3cffba1f5df14a47acb6594b2375c5c7</SessionID></SnapShotConfig>",
        command="DeviceConfig",
    )
    last = request("OPTIONS", 200, word=LAST)
    return scenario(*QUERIES, *ORDERS, snapshot, *MALFORMED, *SUBSCRIPTIONS, last)


def test_sipp_asks_everything(site: Site) -> None:
    old = BoxPlatform(
        name="old", server=f"127.0.0.1:{free_port()}", edition="2016", retry_seconds=1
    )
    new = BoxPlatform(
        name="new",
        server=f"127.0.0.1:{free_port()}",
        transport="tcp",
        retry_seconds=1,
        extra='channels = ["gate"]',
    )
    pictures: list[bytes] = []
    with (
        picture_server(200, pictures) as upload_port,
        _sipp(site, old, "udp", upload_port) as first,
        whole_box(site, [old, new]) as box,
    ):
        _wait_last(first)
        _judge(first, "2016", [DEVICE_ID, GATE, YARD])
        with _sipp(
            site, new, "tcp", upload_port
        ) as second:  # the presets are one camera's: not both at once
            _wait_last(second)
            _judge(second, "2022", [DEVICE_ID, GATE])
            assert box.platform("old")["registered"]
            assert box.platform("new")["registered"]
            assert (first.counts()["failed"], second.counts()["failed"]) == (0, 0)
        for actor in ("platform:old", "platform:new"):
            refused = [
                one["detail"]["what"]
                for one in box.audit()
                if (one["outcome"], one["actor"]) == ("refused", actor)
            ]
            for word in ("teleboot", "formatsdcard", "stoprecord", "osdconfig", "picturemask"):
                assert f"control_{word}" in refused
    calls = site.gate.do(lambda one: list(one.device.calls if one.device else ()))
    for operation in ("ContinuousMove", "Stop", "SetPreset", "GotoPreset", "RemovePreset"):
        assert operation in calls
    assert "SetSynchronizationPoint" in calls
    assert "SystemReboot" not in calls
    assert len(pictures) == 4
    assert all(b"\xff\xd8" in one and b'name="SessionID"' in one for one in pictures)


def _sipp(site: Site, platform: BoxPlatform, transport: Transport, upload_port: int) -> Sipp:
    return Sipp(
        scenario="platform",
        text=text(upload_port),
        folder=site.folder / f"sipp-{transport}",
        transport=transport,
        port=int(platform.server.rpartition(":")[2]),
    )


def _wait_last(sipp: Sipp) -> None:
    """Every step was answered as it must be, or SIPp would not have come to its last one."""
    pattern = re.compile(rf"SIP/2\.0 200 [^\n]*\n(?:[^\n]+\n)*Call-ID: {LAST}///")

    def probe() -> bool:
        assert sipp.counts().get("failed", 0) == 0, sipp.errors
        return bool(pattern.search(sipp.messages.replace("\r", "")))

    wait_for("the last step", probe, 60)


def _judge(sipp: Sipp, edition: str, codes: list[str]) -> None:
    def answers(command: str, count: int = 1, root: str = "Response") -> list[Any]:
        pattern = rf"<{root}>\s*<CmdType>{command}</CmdType>"

        def probe() -> list[bytes] | None:
            found = sipp.bodies(pattern)
            return found if len(found) >= count else None

        return [judged(body) for body in wait_for(f"{count} of {command}", probe)]

    def items(command: str, path: str) -> list[Any]:
        total = int(answers(command)[0].findtext("SumNum") or 0)

        def whole() -> list[Any] | None:
            found = [one for root in answers(command) for one in root.findall(path)]
            return found if len(found) >= total else None

        found = wait_for(f"{total} items of {command}", whole)
        assert len(found) == total
        return found

    catalog = items("Catalog", "DeviceList/Item")
    assert sorted(one.findtext("DeviceID") for one in catalog) == sorted(codes)
    gate = next(one for one in catalog if one.findtext("DeviceID") == GATE)
    assert (gate.findtext("Name"), gate.findtext("Status")) == ("人行出口", "ON")
    assert (gate.find("Info/RecordSaveDays") is not None) == (edition == "2022")
    records = items("RecordInfo", "RecordList/Item")
    assert len(records) >= 1
    results = {
        command: answers(command)[0].findtext("Result")
        for command in ("DeviceInfo", "DeviceStatus", "Alarm", "MakeCoffee", "CruiseTrackQuery")
    }
    assert results == {
        "DeviceInfo": "OK",
        "DeviceStatus": "OK",
        "Alarm": "OK",
        "MakeCoffee": "ERROR",
        "CruiseTrackQuery": "ERROR",
    }
    status = answers("DeviceStatus")[0]
    assert (status.findtext("Status"), status.findtext("Record")) == ("OK", "ON")
    assert len(answers("ConfigDownload", 2)) == 2
    (preset,) = items("PresetQuery", "PresetList/Item")
    assert preset.findtext("PresetID") == "2"
    assert answers("HomePositionQuery")[0].findtext("HomePosition/PresetIndex") == "2"
    assert answers("PTZPosition")[0].findtext("DeviceID") == GATE
    assert answers("CruiseTrackListQuery")[0].findtext("SumNum") == "0"
    (card,) = items("SDCardStatus", "SDCardStatusInfo/Item")
    assert card.findtext("Status") == "ok"
    place = answers("MobilePosition", 2, root="Notify")[0]
    assert place.findtext(".//Longitude") == "118.370000"
    assert answers("Broadcast")[0].findtext("Result") == "ERROR"
    controls = [root.findtext("Result") for root in answers("DeviceControl", 6)]
    # home position, guard, alarm, record; stop of recording and upgrade are refused
    assert sorted(map(str, controls)) == ["ERROR", "ERROR", "OK", "OK", "OK", "OK"]
    configs = [root.findtext("Result") for root in answers("DeviceConfig", 6)]
    assert sorted(map(str, configs)) == ["ERROR", "ERROR", "ERROR", "ERROR", "OK", "OK"]
    (finished,) = answers("UploadSnapShotFinished", root="Notify")
    assert len(finished.findall("SnapShotList/SnapShotFileID")) == 2

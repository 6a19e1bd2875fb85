"""The uplink before SIPp: a stranger's stack as the platform, over UDP and TCP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from tests.peers.sipp.scenario import expect, message, request, scenario
from tests.peers.sipp.server import Sipp
from tests.support.box import wait_for
from tests.support.uplink_box import BoxPlatform, UplinkBox

pytestmark = pytest.mark.integration

Transport = Literal["udp", "tcp"]
both = pytest.mark.parametrize("transport", ["udp", "tcp"])
CAMERA = "34020000001320000001"


def box_before(sipp: Sipp, folder: Path, keepalive_seconds: int = 60) -> UplinkBox:
    platform = BoxPlatform(
        server=f"127.0.0.1:{sipp.port}",
        transport=sipp.transport,
        keepalive_seconds=keepalive_seconds,
        retry_seconds=1,
    )
    return UplinkBox(folder=folder, platforms=[platform])


@both
def test_registration(tmp_path: Path, transport: Transport) -> None:
    """Challenge (qop, then none and another realm), refresh, keepalives, leaving."""
    with Sipp(scenario="register", folder=tmp_path / "sipp", transport=transport) as sipp:
        with box_before(sipp, tmp_path / "box", keepalive_seconds=1) as box:
            box.wait_registered()
            refreshed = 'nvr_gb28181_register_total{platform="police",result="ok"}'
            wait_for("two refreshes", lambda: box.metrics()[refreshed] >= 3)
            assert box.platform()["time_offset_seconds"] is not None
            sipp.wait_successful(3)
            assert box.stop() == 0
        sipp.wait_successful(4)
        assert sipp.counts()["failed"] == 0, sipp.errors


def query(name: str, sn: int, target: str = "34020000001180000001", more: str = "") -> str:
    return message(
        sn,
        f"<Query><CmdType>{name}</CmdType><SN>{sn}</SN><DeviceID>{target}</DeviceID>{more}</Query>",
    )


WINDOW = "<StartTime>2026-11-23T00:00:00</StartTime><EndTime>2026-11-23T01:00:00</EndTime>"
#: Name, further elements: each must be answered by a Response with its SN.
QUERIES = [
    ("Catalog", ""),
    ("DeviceInfo", ""),
    ("DeviceStatus", ""),
    ("RecordInfo", WINDOW),
    ("ConfigDownload", "<ConfigType>BasicParam</ConfigType>"),
    ("PresetQuery", ""),
    ("HomePositionQuery", ""),
    ("CruiseTrackListQuery", ""),
    ("CruiseTrackQuery", "<Number>0</Number>"),
    ("PTZPosition", ""),
    ("SDCardStatus", ""),
    ("MobilePosition", "<Interval>5</Interval>"),
    ("Alarm", ""),
    ("NoSuchQuery", ""),
]
DEVICE = "34020000001180000001"
SNAP = (
    "<SnapShotConfig><SnapNum>1</SnapNum><Interval>1</Interval><UploadURL>http://198.51.100.1/x"
    "</UploadURL><SessionID>0123456789abcdef0123456789abcdef</SessionID></SnapShotConfig>"
)
UPGRADE = (
    "<DeviceUpgrade><Firmware>1</Firmware><FileURL>http://a/</FileURL><Manufacturer>x"
    "</Manufacturer><SessionID>0123456789abcdef0123456789abcdef</SessionID></DeviceUpgrade>"
)
BOX = "<Length>1</Length><Width>1</Width><MidPointX>1</MidPointX><MidPointY>1</MidPointY>"
#: CmdType, target, element, SIP status, whether a Response follows (gb28181.md 3.11 and 3.12).
ORDERS = [
    ("DeviceControl", CAMERA, "<PTZCmd>A50F01029600004D</PTZCmd>", 200, False),
    ("DeviceControl", CAMERA, "<PTZCmd>A50F0100000000B5</PTZCmd>", 200, False),
    ("DeviceControl", CAMERA, "<PTZCmd>A50F018200020039</PTZCmd>", 200, False),
    ("DeviceControl", CAMERA, "<IFameCmd>Send</IFameCmd>", 200, False),
    ("DeviceControl", CAMERA, "<IFrameCmd>Send</IFrameCmd>", 200, False),
    ("DeviceControl", CAMERA, f"<DragZoomIn>{BOX}</DragZoomIn>", 501, False),
    ("DeviceControl", CAMERA, "<PTZPreciseCtrl><Pan>1</Pan></PTZPreciseCtrl>", 501, False),
    ("DeviceControl", CAMERA, "<TargetTrack>Stop</TargetTrack>", 501, False),
    ("DeviceControl", CAMERA, "<HomePosition><Enabled>0</Enabled></HomePosition>", 200, True),
    ("DeviceControl", "34020000001320000099", "<IFrameCmd>Send</IFrameCmd>", 404, False),
    ("DeviceControl", DEVICE, "<TeleBoot>Boot</TeleBoot>", 403, False),
    ("DeviceControl", CAMERA, "<RecordCmd>StopRecord</RecordCmd>", 200, True),
    ("DeviceControl", CAMERA, "<RecordCmd>Record</RecordCmd>", 200, True),
    ("DeviceControl", DEVICE, "<GuardCmd>SetGuard</GuardCmd>", 200, True),
    ("DeviceControl", DEVICE, "<GuardCmd>ResetGuard</GuardCmd>", 200, True),
    ("DeviceControl", DEVICE, "<AlarmCmd>ResetAlarm</AlarmCmd>", 200, True),
    ("DeviceControl", DEVICE, "<FormatSDCard>0</FormatSDCard>", 403, False),
    ("DeviceControl", DEVICE, UPGRADE, 200, True),
    ("DeviceConfig", DEVICE, "<BasicParam><Expiration>3600</Expiration></BasicParam>", 200, True),
    ("DeviceConfig", CAMERA, "<OSDConfig><Length>1</Length></OSDConfig>", 200, True),
    ("DeviceConfig", CAMERA, "<PictureMask><On>1</On></PictureMask>", 200, True),
    ("DeviceConfig", CAMERA, SNAP, 200, True),
]


@both
def test_every_query_and_order(tmp_path: Path, transport: Transport) -> None:
    """Each gets its SIP status at once, and a Response of its own where the standard has one."""
    steps, answered = [], []
    for sn, (name, more) in enumerate(QUERIES, 100):
        steps.append(query(name, sn, more=more))
        answered.append(sn)
    for sn, (kind, target, element, status, has_response) in enumerate(ORDERS, 200):
        body = (
            f"<Control><CmdType>{kind}</CmdType><SN>{sn}</SN>"
            f"<DeviceID>{target}</DeviceID>{element}</Control>"
        )
        steps.append(message(sn, body, status))
        answered += [sn] if has_response else []
    text = scenario(*steps)
    with Sipp(scenario="queries", text=text, folder=tmp_path / "sipp", transport=transport) as sipp:
        made = box_before(sipp, tmp_path / "box")
        made.more = (
            f'[[camera]]\nid = "gate"\nname = "大门"\ngb_id = "{CAMERA}"\n'
            'rtsp = "rtsp://127.0.0.1:9/x"\n'
        )
        with made as box:
            box.wait_registered()

            def told() -> set[int]:
                pairs = re.findall(r"<Response>(.*?)</Response>", sipp.messages, re.DOTALL)
                found = [re.search(r"<SN>([0-9]+)</SN>", pair) for pair in pairs]
                return {int(one[1]) for one in found if one}

            try:
                wait_for("every Response", lambda: told() >= set(answered))
            finally:
                assert sipp.counts().get("failed", 0) == 0, sipp.errors
            assert told() == set(answered)
            sipp.wait_successful(len(answered) + 2)  # the registration and a keepalive
            assert sipp.counts()["failed"] == 0, sipp.errors
            actions = [one["detail"].get("what", "") for one in box.audit()]
            assert "query_catalog" in actions
            assert [one for one in box.audit() if one["outcome"] == "refused"]


@both
def test_subscribe_and_notify(tmp_path: Path, transport: Transport) -> None:
    """Dialog, first NOTIFY, refresh, cancellation with a last NOTIFY; a call that is refused."""
    body = (
        "<Query><CmdType>Catalog</CmdType><SN>7</SN>"
        "<DeviceID>34020000001180000001</DeviceID></Query>"
    )

    def subscribe(number: int, expires: int, *, is_first: bool = False) -> str:
        kind = "Content-Type: Application/MANSCDP+xml\n" if is_first else ""
        check = f'<action><ereg regexp="^ *{expires}$" search_in="hdr" header="Expires:" '
        return request(
            "SUBSCRIBE",
            200,
            word="sub",
            number=number,
            fields=f"Event: Catalog;id=1234\nExpires: {expires}\n{kind}",
            body=body if is_first else "",
            is_in_dialog=not is_first,
            checks=f'{check}check_it="true" assign_to="seen"/></action>',
        )

    text = scenario(
        subscribe(1, 600, is_first=True),
        expect("NOTIFY", Subscription_State="^ *active;expires=", Event="Catalog;id=1234"),
        subscribe(2, 300),
        subscribe(3, 0),
        expect("NOTIFY", Subscription_State="^ *terminated", Event="Catalog;id=1234"),
        request("INVITE", 488, word="call", target=CAMERA, body="v=0\n"),
        request("BYE", 481, word="no-call"),
        request("OPTIONS", 200, word="options"),
        request("PUBLISH", 405, word="publish"),
    )
    with Sipp(scenario="subs", text=text, folder=tmp_path / "sipp", transport=transport) as sipp:
        with box_before(sipp, tmp_path / "box") as box:
            box.wait_registered()
            sipp.wait_successful(2)
            assert sipp.counts()["failed"] == 0, sipp.errors
            assert box.platform()["subscriptions"] == []


@both
def test_a_platform_that_forgets_and_one_that_dies(tmp_path: Path, transport: Transport) -> None:
    """403 to keepalives: registered anew at once. Then silence: offline, and back again."""
    folder = tmp_path / "sipp"
    first = Sipp(
        scenario="forgets",
        text=scenario(keepalive_status="403 Forbidden"),
        folder=folder,
        transport=transport,
    )
    second = Sipp(
        scenario="back", text=scenario(), folder=folder, transport=transport, port=first.port
    )
    with first, box_before(first, tmp_path / "box", keepalive_seconds=1) as box:
        lost = 'nvr_gb28181_keepalive_total{platform="police",result="lost"}'
        wait_for("forgotten twice", lambda: metric(box, lost) >= 2)
        assert first.counts()["failed"] == 0, first.errors
        first.stop()
        wait_for("silence", lambda: "keepalive" in box.platform()["trouble"])
        assert box.metrics()['nvr_gb28181_registered{platform="police"}'] == 0
        assert not box.health()["healthy"]
        with second:
            box.wait_registered()
            second.wait_successful(2)
        changes = [one["detail"] for one in box.audit() if one["action"] == "platform_state"]
        assert {"what": "offline", "why": "lost"} in changes


def metric(box: UplinkBox, name: str) -> float:
    try:
        return box.metrics().get(name, 0)
    except OSError:
        return 0  # not up yet


ODD = (
    "v: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=zzz[branch]\n"
    'f: "中心\\"平台" <sip:34020000002000000001@3402000000>;tag=odd\n'
    "t:<sip:34020000001180000001@3402000000>\n"
    "i: odd///[call_id]\n"
    "cseq:   7    OPTIONS\n"
    "SUBJECT: a\n  folded\n\tfield\n"
    "no field at all\n"
    "l: [len]\n"
)


@both
def test_malformed(tmp_path: Path, transport: Transport) -> None:
    """Odd but readable is answered; unreadable is dropped, and the next request is served."""
    unreadable = request(
        "OPTIONS",
        200,
        word="x",
        head="Via: nonsense\nCall-ID: bad///[call_id]\nContent-Length: 0\n",
    ).partition("</send>")[0]
    steps = [request("OPTIONS", 200, word="odd", head=ODD)]
    if transport == "udp":
        steps.append(unreadable.replace(' retrans="500"', "") + "</send>")
    steps += [
        message(1, "<Query><CmdType>Catalog</CmdType><SN>", 400),
        message(2, "&#0;", 400),
        request("MESSAGE", 415, word="kind", fields="Content-Type: text/plain\n", body="hello"),
        request("OPTIONS", 200, word="last"),
    ]
    text = scenario(*steps)
    with Sipp(scenario="odd", text=text, folder=tmp_path / "sipp", transport=transport) as sipp:
        with box_before(sipp, tmp_path / "box") as box:
            box.wait_registered()
            sipp.wait_successful(2)
            assert sipp.counts()["failed"] == 0, sipp.errors
            if transport == "udp":
                assert box.metrics()['nvr_gb28181_dropped_total{reason="malformed"}'] == 1

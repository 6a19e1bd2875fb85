"""Questions of platforms, and answers read by a parser that is not ours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace

from uplink.device import (
    CameraState,
    Channel,
    Device,
    Directory,
    Presence,
    SiteAlarm,
    SiteState,
    VolumeState,
)
from uplink.manscdp.charset import Charset
from uplink.manscdp.message import Message, read

DEVICE = "34020000001180000001"
SERVER = "34020000002000000001"
GATE = "34020000001320000001"
YARD = "34020000001320000002"
T0 = 1_795_392_000_000_000  # 2026-11-23T08:00:00 Beijing

GATE_CHANNEL = Channel(
    camera="gate",
    gb_id=GATE,
    name="北门 <1> & 2",
    civil_code="340200",
    address="长江路1号",
    manufacturer="Lab",
    model="IPC-4M",
    longitude=118.376451,
    latitude=31.326319,
    install_time="2026-01-01T00:00:00",
    point_type="1",
    function_type="01",
    ptz_type="1",
    position_type="1",
    direction_type="3",
)
YARD_CHANNEL = Channel(
    camera="yard", gb_id=YARD, name="操场", civil_code="340200", address="长江路1号"
)
DEVICE_2016 = Device(
    platform="city",
    device_id=DEVICE,
    server_id=SERVER,
    domain="3402000000",
    name="阳光托育中心",
    civil_code="340200",
    edition="2016",
    charset=Charset.GB2312,
    channels=(GATE_CHANNEL, YARD_CHANNEL),
)
DEVICE_2022 = replace(DEVICE_2016, edition="2022", charset=Charset.GB18030)
ON = CameraState(presence=Presence.ON, is_recording=True, codec="h265", width=1920, height=1080)
STATE = SiteState(
    is_running=True,
    cameras={"gate": ON, "yard": CameraState(presence=Presence.OFF, cause="camera_offline")},
    volumes=(VolumeState(name="a", state="ok", capacity_bytes=4 * 10**12, free_bytes=10**11),),
    alarms=(
        SiteAlarm(
            condition="video_lost",
            camera="yard",
            name="视频丢失 video lost",
            detail="摄像机离线 camera_offline",
            since_us=T0,
            priority=2,
            method=2,
            type=1,
        ),
    ),
)
ORGANISATION = Directory(
    code="34020000002160000001", name="出入口", parent="34020000002150000001", cameras=("gate",)
)
GROUP = Directory(code="34020000002150000001", name="托育机构")


def ask(command: str, *elements: str, kind: str = "Query", device_id: str = DEVICE) -> Message:
    return read(asked(command, *elements, kind=kind, device_id=device_id))


def asked(
    command: str, *elements: str, kind: str = "Query", device_id: str = DEVICE, sn: int = 17
) -> bytes:
    inside = f"<CmdType>{command}</CmdType><SN>{sn}</SN><DeviceID>{device_id}</DeviceID>"
    return (
        f'<?xml version="1.0" encoding="GB2312"?>\r\n<{kind}>{inside}{"".join(elements)}</{kind}>'
    ).encode("gb18030")


def judged(body: bytes) -> ET.Element:
    """The body as expat reads it, after the bytes were decoded as platforms do: GB 2312 and GBK
    stand for GB 18030."""
    found = re.match(rb'<\?xml version="1.0" encoding="([A-Za-z0-9-]+)"\?>\r\n', body)
    assert found is not None
    codec = "utf-8" if found[1] == b"UTF-8" else "gb18030"
    text = body[found.end() :].decode(codec)
    return ET.fromstring(text)


def judged_all(bodies: Iterable[bytes], bytes_max: int, list_name: str) -> list[ET.Element]:
    """The items of all parts, after their counts were checked."""
    parts = [judged(body) for body in bodies]
    items: list[ET.Element] = []
    totals = {part.findtext("SumNum") for part in parts}
    for part in parts:
        listed = part.find(list_name)
        found = [] if listed is None else list(listed)
        if listed is not None:
            assert listed.get("Num") == str(len(found))
        items += found
    assert totals == {str(len(items))}
    return items

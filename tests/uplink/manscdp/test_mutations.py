"""Bodies as platforms send them, damaged by the hundred: each is understood or refused.

One example is a hundred inputs, so ``make fuzz`` (times 50) tries half a million of them in a
minute; whatever is understood goes on through every parser behind the reader.
"""

from __future__ import annotations

import gc
import random
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.uplink.bodies import DEVICE_2022, GATE, STATE, T0, asked
from uplink import alarms, catalog, commands, deviceinfo, recordinfo
from uplink.manscdp.message import Kind, Message, MessageMalformed, read

INPUTS_PER_EXAMPLE = 100
#: Blocks of memory that may stay behind a run: caches of ``re`` and the like.
BLOCKS_MAX = 500

TIMES = "<StartTime>2026-11-23T00:00:00</StartTime><EndTime>2026-11-23T23:59:59</EndTime>"
BODIES = [
    asked("Catalog"),
    asked("RecordInfo", TIMES, "<Type>all</Type>", device_id=GATE),
    asked("ConfigDownload", "<ConfigType>BasicParam/VideoParamOpt</ConfigType>"),
    asked("Alarm", "<EndAlarmPriority>4/EndAlarmPriority><AlarmMethod>12</AlarmMethod>"),
    asked("MobilePosition", "<Interval>5</Interval>"),
    asked("DeviceControl", "<PTZCmd>A50F01029600004D</PTZCmd>", kind="Control", device_id=GATE),
    asked("DeviceControl", "<TeleBoot>Boot</TeleBoot>", kind="Control"),
    asked("DeviceControl", "<RecordCmd>StopRecord</RecordCmd>", kind="Control", device_id=GATE),
    asked(
        "DeviceControl",
        "<HomePosition><Enabled>1</Enabled><ResetTime>30</ResetTime><PresetIndex>1</PresetIndex>"
        "</HomePosition><Info><ControlPriority>5</ControlPriority></Info>",
        kind="Control",
        device_id=GATE,
    ),
    asked(
        "DeviceConfig",
        "<SnapShotConfig><SnapNum>2</SnapNum><Interval>1</Interval>"
        "<UploadURL>http://192.0.2.5:9999/snap</UploadURL><SessionID>abc</SessionID>"
        "</SnapShotConfig>",
        kind="Control",
        device_id=GATE,
    ),
    asked("Broadcast", f"<TargetID>{GATE}</TargetID>", kind="Notify"),
]
_SPLICES = (
    [b"<", b">", b"/", b"&", b"&#", b"&amp;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?", b"?>"]
    + [b"<!DOCTYPE a>", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x81\x30\x89\x38", b"'", b'"']
    + [b"99999999999999999999", b"-1", b"%s", b"<SN>", b"</SN>", "中".encode("gb18030")]
)


def mutated(draw: random.Random) -> bytes:
    """One damaged body."""
    body = bytearray(draw.choice(BODIES))
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(body) + 1)
        match draw.randrange(6):
            case 0 if place < len(body):
                body[place] = draw.randrange(256)
            case 1:
                del body[place : place + draw.randint(1, 20)]
            case 2:
                body[place:place] = draw.choice(_SPLICES)
            case 3:
                other = draw.choice(BODIES)
                body[place:place] = other[draw.randrange(len(other)) :][: draw.randint(1, 80)]
            case 4:
                body[place:place] = body[place : place + 40] * draw.randint(1, 20)
            case _:
                del body[draw.randint(place // 2, max(place, 1)) :]
    return bytes(body)


def understood(message: Message) -> None:
    """Through everything that a message meets."""
    if message.kind is Kind.CONTROL:
        assert commands.decide(message, DEVICE_2022, STATE).sip_status < 600
    recordinfo.window(message)
    alarms.alarm_filter(message)
    catalog.found(DEVICE_2022, STATE, "2022", message.device_id)
    deviceinfo.positions(DEVICE_2022, message.device_id)
    basic = deviceinfo.Basic(register_s=1, keepalive_s=1, count=1)
    for body in deviceinfo.config_download(message, DEVICE_2022, STATE, basic):
        assert len(body) < 10_000
    assert deviceinfo.device_status(message, DEVICE_2022, STATE, T0, lambda _: "ONDUTY")


def try_many(draw: random.Random, count: int) -> int:
    """How many of so many damaged bodies were understood."""
    taken = 0
    for _ in range(count):
        try:
            message = read(mutated(draw))
        except MessageMalformed:
            continue
        understood(message)
        taken += 1
    return taken


@settings(max_examples=50)
@given(st.integers(0, 2**63))
def test_damaged_bodies_are_understood_or_refused(seed: int) -> None:
    taken = try_many(random.Random(seed), INPUTS_PER_EXAMPLE)
    assert 0 < taken < INPUTS_PER_EXAMPLE  # both happen, or this proves nothing


def test_nothing_stays_behind() -> None:
    draw = random.Random(5)
    try_many(draw, 500)
    gc.collect()
    before = sys.getallocatedblocks()
    try_many(draw, 2000)
    gc.collect()
    assert sys.getallocatedblocks() - before < BLOCKS_MAX

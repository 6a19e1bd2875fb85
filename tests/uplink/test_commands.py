"""The policy table, order by order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2022,
    GATE,
    STATE,
    YARD,
    ask,
    asked,
)
from uplink import commands
from uplink.commands import (
    CameraOrder,
    Decision,
    ResetAlarm,
    SetGuard,
    SetHeartbeat,
    Snapshot,
    Verdict,
    decide,
)
from uplink.device import Device
from uplink.manscdp.message import MessageMalformed, read

URL = "http://192.0.2.5:9999/snap"
PLATFORM = replace(DEVICE_2022, snapshot_hosts=frozenset({"192.0.2.5"}))
SNAPSHOT = (
    f"<SnapShotConfig><SnapNum>2</SnapNum><Interval>1</Interval><UploadURL>{URL}</UploadURL>"
    "<SessionID>3cffba1f5df14a47acb6594b2375c5c7</SessionID></SnapShotConfig>"
)


def control(
    *elements: str,
    command: str = "DeviceControl",
    device_id: str = GATE,
    device: Device = PLATFORM,
) -> Decision:
    message = ask(command, *elements, kind="Control", device_id=device_id)
    return decide(message, device, STATE)


def config(*elements: str, device_id: str = GATE, device: Device = PLATFORM) -> Decision:
    return control(*elements, command="DeviceConfig", device_id=device_id, device=device)


#: Everything that could cost footage or falsify it: (what is sent, word of the table, has an
#: application-level answer).
REFUSED = [
    ("<TeleBoot>Boot</TeleBoot>", "TeleBoot", False),
    ("<FormatSDCard>0</FormatSDCard>", "FormatSDCard", False),
    ("<RecordCmd>StopRecord</RecordCmd>", "StopRecord", True),
    ("<RecordCmd>stoprecord </RecordCmd>", "StopRecord", True),
    ("<RecordCmd>Pause</RecordCmd>", "StopRecord", True),
    ("<DeviceUpgrade><FileURL>http://x/</FileURL></DeviceUpgrade>", "DeviceUpgrade", True),
]
REFUSED_CONFIG = [
    (f"<{name}><On>1</On></{name}>", name, True)
    for name in (
        "OSDConfig",
        "PictureMask",
        "FrameMirror",
        "VideoParamOpt",
        "VideoParamAttribute",
        "VideoRecordPlan",
        "VideoAlarmRecord",
        "AlarmReport",
        "SVACEncodeConfig",
        "SVACDecodeConfig",
    )
]


@pytest.mark.parametrize(("element", "name", "has_response"), REFUSED)
@pytest.mark.parametrize("code", [DEVICE, GATE])
def test_destructive_orders_are_refused(
    element: str, name: str, has_response: bool, code: str
) -> None:
    decision = control(element, device_id=code)
    assert (decision.name, decision.verdict, decision.effect) == (name, Verdict.REFUSED, None)
    assert decision.has_response is has_response
    assert decision.sip_status == (200 if has_response else 403)


@pytest.mark.parametrize(("element", "name", "has_response"), REFUSED_CONFIG)
def test_destructive_settings_are_refused(element: str, name: str, has_response: bool) -> None:
    decision = config(element)
    assert (decision.name, decision.verdict) == (name, Verdict.REFUSED)
    assert decision.has_response is has_response


def test_what_is_allowed_to_one_platform_is_not_allowed_to_another() -> None:
    allowed = replace(PLATFORM, allow=frozenset({"TeleBoot"}))
    boot = "<TeleBoot>Boot</TeleBoot>"
    assert control(boot, device=allowed).effect == CameraOrder(
        camera="gate", verb="reboot", arguments={}
    )
    assert control(boot, device=allowed, device_id=DEVICE).verdict is Verdict.NOT_FOUND
    assert control(boot).verdict is Verdict.REFUSED
    stop = "<RecordCmd>StopRecord</RecordCmd>"
    assert control(stop, device=allowed).verdict is Verdict.REFUSED
    passed = control(stop, device=replace(PLATFORM, allow=frozenset({"StopRecord"})))
    # The policy lets it pass; there is nothing in this box that stops recording.
    assert (passed.verdict, passed.effect) == (Verdict.UNSUPPORTED, None)


def test_a_refused_order_cannot_hide_behind_another() -> None:
    both = control("<PTZCmd>A50F01029600004D</PTZCmd>", "<TeleBoot>Boot</TeleBoot>")
    assert both.verdict is Verdict.REFUSED
    nested = control("<Info><FormatSDCard>1</FormatSDCard></Info>", "<IFrameCmd>Send</IFrameCmd>")
    assert nested.verdict is Verdict.REFUSED


def test_moves_presets_and_key_frames_go_to_the_camera() -> None:
    def order(element: str) -> object:
        decision = control(element)
        assert (decision.verdict, decision.has_response) == (Verdict.DONE, False)
        assert decision.sip_status == 200
        return decision.effect

    def wanted(verb: str, **arguments: float) -> CameraOrder:
        return CameraOrder(camera="gate", verb=verb, arguments=arguments)

    left = order("<PTZCmd>A50F01029600004D</PTZCmd>")
    assert left == wanted("move", pan=-0x96 / 255, tilt=0.0, zoom=0.0)
    assert order("<PTZCmd>A50F0100000000B5</PTZCmd>") == wanted("stop")
    assert order("<PTZCmd>A50F018200020039</PTZCmd>") == wanted("preset_call", number=2)
    assert order("<PTZCmd>A50F018100020038</PTZCmd>") == wanted("preset_set", number=2)
    assert order("<IFameCmd>Send</IFameCmd>") == wanted("key_frame")
    assert order("<IFrameCmd>Send</IFrameCmd>") == wanted("key_frame")


def test_a_bad_frame_is_ignored_and_on_record() -> None:
    decision = control("<PTZCmd>A50F01029600004E</PTZCmd>")
    assert (decision.sip_status, decision.effect) == (200, None)
    assert "ignored" in decision.detail


def test_what_nothing_here_can_do_says_so() -> None:
    assert control("<PTZCmd>A50F01880100003E</PTZCmd>").sip_status == 501
    assert control("<TargetTrack>Auto</TargetTrack>").sip_status == 501
    assert control("<PTZPreciseCtrl><Pan>1</Pan></PTZPreciseCtrl>").sip_status == 501
    assert control("<DragZoomIn><Length>1</Length></DragZoomIn>").sip_status == 501
    unknown = control("<MakeCoffee>1</MakeCoffee>")
    assert (unknown.name, unknown.sip_status) == ("", 501)
    assert config("<MakeCoffee>1</MakeCoffee>").has_response


def test_a_camera_that_this_platform_may_not_see_is_not_there() -> None:
    one = replace(PLATFORM, channels=PLATFORM.channels[:1])
    for element in ("<PTZCmd>A50F0100000000B5</PTZCmd>", "<IFrameCmd>Send</IFrameCmd>"):
        assert control(element, device_id=YARD, device=one).sip_status == 404
    guard = control("<GuardCmd>SetGuard</GuardCmd>", device_id=YARD, device=one)
    assert (guard.verdict, guard.has_response) == (Verdict.NOT_FOUND, True)


def test_recording_is_what_it_does_anyway() -> None:
    record = "<RecordCmd>Record</RecordCmd>"
    assert control(record).verdict is Verdict.DONE
    assert control(record, device_id=YARD).verdict is Verdict.UNSUPPORTED  # and it does not


def test_guard_and_alarm() -> None:
    assert control("<GuardCmd>ResetGuard</GuardCmd>").effect == SetGuard(code=GATE, is_on=False)
    own = control("<GuardCmd>SetGuard</GuardCmd>", device_id="")
    assert own.effect == SetGuard(code=DEVICE, is_on=True)
    assert control("<GuardCmd>Perhaps</GuardCmd>").verdict is Verdict.MALFORMED
    reset = "<AlarmCmd>ResetAlarm</AlarmCmd><Info><AlarmMethod>2</AlarmMethod></Info>"
    assert control(reset).effect == ResetAlarm(code=GATE, method="2", type="")
    assert control(reset).has_response


def test_home_position_has_bounds() -> None:
    def home(enabled: str, reset: str, preset: str) -> Decision:
        return control(
            f"<HomePosition><Enabled>{enabled}</Enabled><ResetTime>{reset}</ResetTime>"
            f"<PresetIndex>{preset}</PresetIndex></HomePosition>"
        )

    assert home("1", "30", "1").effect == CameraOrder(
        camera="gate", verb="home_set", arguments={"enabled": True, "reset_s": 30, "preset": 1}
    )
    for wrong in (("2", "30", "1"), ("", "", ""), ("1", "30", "256"), ("1", "-1", "1")):
        assert home(*wrong).verdict is Verdict.MALFORMED
        assert home(*wrong).has_response


def test_heartbeat_may_change_and_the_name_may_not() -> None:
    beat = "<BasicParam><HeartBeatInterval>30</HeartBeatInterval></BasicParam>"
    assert config(beat, device_id=DEVICE).effect == SetHeartbeat(keepalive_s=30, count=None)
    assert config(beat, device_id=GATE).verdict is Verdict.UNSUPPORTED
    named = "<BasicParam><Name>other</Name></BasicParam>"
    assert config(named, device_id=DEVICE).verdict is Verdict.UNSUPPORTED
    zero = "<BasicParam><HeartBeatCount>0</HeartBeatCount></BasicParam>"
    assert config(zero, device_id=DEVICE).verdict is Verdict.MALFORMED


def test_snapshots_go_to_the_platform_s_own_hosts_only() -> None:
    wanted = Snapshot(
        camera="gate",
        code=GATE,
        count=2,
        interval_s=1,
        url=URL,
        session="3cffba1f5df14a47acb6594b2375c5c7",
    )
    assert config(SNAPSHOT).effect == wanted
    alias = control(SNAPSHOT.replace("SnapShotConfig", "SnapShot"))
    assert alias.effect == wanted
    assert alias.has_response
    for url in (
        "http://198.51.100.9/x",
        "http://127.0.0.1/x",
        "file:///etc/passwd",
        "ftp://192.0.2.5/",
        "http://user@192.0.2.5/",
        "http://192.0.2.5@evil/",
        "http://192.0.2.5:0/",
        "http://192.0.2.5:99999/",
        "http://[::1/",
        "",
    ):
        decision = config(SNAPSHOT.replace(URL, url))
        assert (decision.verdict, decision.effect) == (Verdict.REFUSED, None), url
    assert config(SNAPSHOT, device=DEVICE_2022).verdict is Verdict.REFUSED
    for wrong in ("<SnapNum>0<", "<SnapNum>11<", "<SnapNum>x<"):
        assert config(SNAPSHOT.replace("<SnapNum>2<", wrong)).verdict is Verdict.MALFORMED


def test_every_refused_word_has_a_refusal_and_can_be_allowed() -> None:
    words = {name for name, rule in commands.POLICY.items() if not rule.is_allowed}
    assert words == {name for _, name, _ in (*REFUSED, *REFUSED_CONFIG)}


_ELEMENTS = st.sampled_from(
    ["PTZCmd", "TeleBoot", "RecordCmd", "GuardCmd", "AlarmCmd", "IFameCmd", "HomePosition"]
    + ["PTZPreciseCtrl", "DeviceUpgrade", "FormatSDCard", "SnapShotConfig", "BasicParam"]
    + ["SnapNum", "Interval", "UploadURL", "SessionID", "Enabled", "PresetIndex", "ResetTime"]
    + ["Pan", "Tilt", "Zoom", "HeartBeatInterval", "HeartBeatCount", "Name", "AlarmMethod"]
)
_VALUES = st.one_of(
    st.text(max_size=30),
    st.integers(-(10**12), 10**12).map(str),
    st.binary(min_size=8, max_size=8).map(bytes.hex),
    st.sampled_from(["Boot", "Record", "StopRecord", "SetGuard", "Send", URL, "nan", "inf"]),
)


@given(
    st.lists(st.tuples(_ELEMENTS, _VALUES), max_size=8),
    st.sampled_from(["DeviceControl", "DeviceConfig"]),
    st.sampled_from([DEVICE, GATE, YARD, "", "x"]),
)
def test_any_control_is_decided(pairs: list[tuple[str, str]], command: str, device_id: str) -> None:
    elements = [f"<{name}>{value}</{name}>" for name, value in pairs]
    body = asked(command, kind="Control", device_id=device_id).replace(
        b"</Control>", "".join(elements).encode("gb18030", "replace") + b"</Control>"
    )
    try:
        message = read(body)
    except MessageMalformed:
        return
    decision = decide(message, PLATFORM, STATE)
    assert decision.sip_status in (200, 400, 403, 404, 501)
    if any(name in ("TeleBoot", "FormatSDCard", "DeviceUpgrade") for name, _ in pairs[:1]):
        assert decision.effect is None

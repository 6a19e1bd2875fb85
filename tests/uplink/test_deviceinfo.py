"""What the device says of itself, read by expat."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    ON,
    STATE,
    T0,
    YARD,
    ask,
    judged,
    judged_all,
)
from uplink import deviceinfo
from uplink.device import Presence, SiteState, VolumeState
from uplink.deviceinfo import Basic, HomePosition, PresetItem

BASIC = Basic(register_s=3600, keepalive_s=60, count=3)
STRANGER = "34020000001320000099"


def test_device_info_of_device_channel_and_stranger() -> None:
    own = judged(deviceinfo.device_info(ask("DeviceInfo"), DEVICE_2016, STATE))
    assert (own.tag, own.findtext("Result"), own.findtext("Channel")) == ("Response", "OK", "2")
    assert own.findtext("DeviceName") == "阳光托育中心"
    gate = judged(deviceinfo.device_info(ask("DeviceInfo", device_id=GATE), DEVICE_2016, STATE))
    assert (gate.findtext("DeviceID"), gate.findtext("Manufacturer")) == (GATE, "Lab")
    stranger = ask("DeviceInfo", device_id=STRANGER)
    other = judged(deviceinfo.device_info(stranger, DEVICE_2016, STATE))
    assert (other.findtext("Result"), other.findtext("SN")) == ("ERROR", "17")


def _status(code: str, state: SiteState = STATE) -> dict[str, str | None]:
    message = ask("DeviceStatus", device_id=code)
    body = deviceinfo.device_status(message, DEVICE_2016, state, T0, lambda _: "ONDUTY")
    root = judged(body)
    names = ("Result", "Online", "Status", "Reason", "Encode", "Record", "DeviceTime")
    found = {name: root.findtext(name) for name in names}
    found["DutyStatus"] = root.findtext("Alarmstatus/Item/DutyStatus")
    return found


def test_status_is_what_was_measured() -> None:
    own = _status(DEVICE)
    assert own == {
        "Result": "OK",
        "Online": "ONLINE",
        "Status": "OK",
        "Reason": None,
        "Encode": "ON",
        "Record": "ON",
        "DeviceTime": "2026-11-23T08:00:00",
        "DutyStatus": "ONDUTY",
    }
    yard = _status(YARD)
    assert (yard["Online"], yard["Status"], yard["Record"]) == ("OFFLINE", "ERROR", "OFF")
    assert yard["Reason"] == "camera_offline"
    blind = SiteState(is_running=True, cameras={"gate": replace(ON, presence=Presence.VLOST)})
    assert (_status(GATE, blind)["Online"], _status(GATE, blind)["Encode"]) == ("ONLINE", "OFF")
    assert _status(STRANGER)["Result"] == "ERROR"


def test_status_tells_of_a_recorder_that_is_not_there_and_of_broken_disks() -> None:
    silent = _status(DEVICE, SiteState())
    assert (silent["Status"], silent["Record"]) == ("ERROR", "OFF")
    broken = replace(STATE, volumes=(VolumeState(name="a", state="readonly"),))
    assert _status(DEVICE, broken)["Reason"] == "storage failure"


def test_config_download_answers_each_type_by_itself() -> None:
    message = ask("ConfigDownload", "<ConfigType>BasicParam/VideoParamOpt/OSDConfig</ConfigType>")
    roots = [
        judged(body) for body in deviceinfo.config_download(message, DEVICE_2016, STATE, BASIC)
    ]
    assert [root.findtext("Result") for root in roots] == ["OK", "OK", "ERROR"]
    assert {root.findtext("SN") for root in roots} == {"17"}
    assert [child.text for child in roots[0].findall("BasicParam/*")] == [
        "阳光托育中心",
        "3600",
        "60",
        "3",
    ]
    assert roots[1].findtext("VideoParamOpt/DownloadSpeed") == "1/2/4"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("BasicParam", "OK"),
        ("VideoParamOpt", "OK"),
        ("VideoParamAttribute", "OK"),
        ("VideoRecordPlan", "OK"),
        ("VideoAlarmRecord", "OK"),
        ("AlarmReport", "OK"),
        ("PictureMask", "ERROR"),
        ("FrameMirror", "ERROR"),
        ("OSDConfig", "ERROR"),
        ("SnapShotConfig", "ERROR"),
        ("SVACEncodeConfig", "ERROR"),
        ("Nonsense", "ERROR"),
    ],
)
def test_config_of_a_channel(name: str, result: str) -> None:
    message = ask("ConfigDownload", f"<ConfigType>{name}</ConfigType>", device_id=GATE)
    (body,) = deviceinfo.config_download(message, DEVICE_2022, STATE, BASIC)
    root = judged(body)
    assert root.findtext("Result") == result
    assert (root.find(name) is not None) == (result == "OK")


def test_config_of_nothing_and_of_far_too_much() -> None:
    (body,) = deviceinfo.config_download(ask("ConfigDownload"), DEVICE_2022, STATE, BASIC)
    assert judged(body).findtext("Result") == "ERROR"
    many = "/".join(["BasicParam"] * 500)
    message = ask("ConfigDownload", f"<ConfigType>{many}</ConfigType>")
    bodies = list(deviceinfo.config_download(message, DEVICE_2022, STATE, BASIC))
    assert len(bodies) == deviceinfo.CONFIG_TYPES_MAX


def test_the_record_plan_is_all_day_every_day() -> None:
    message = ask("ConfigDownload", "<ConfigType>VideoRecordPlan</ConfigType>")
    (body,) = deviceinfo.config_download(message, DEVICE_2022, STATE, BASIC)
    days = judged(body).findall("VideoRecordPlan/RecordSchedule")
    assert [day.findtext("WeekDayNum") for day in days] == list("1234567")
    assert {day.findtext("TimeSegment/StopSec") for day in days} == {"59"}


def test_volumes_stand_for_cards() -> None:
    state = replace(STATE, volumes=(*STATE.volumes, VolumeState(name="b", state="missing")))
    parts = deviceinfo.sd_card_status(ask("SDCardStatus"), DEVICE_2022, state, 900)
    items = judged_all(parts, 900, "SDCardStatusInfo")
    assert [item.findtext("Status") for item in items] == ["ok", "error"]
    assert items[0].findtext("Capacity") == "4000000"
    of_camera = ask("SDCardStatus", device_id=GATE)
    assert judged_all(deviceinfo.sd_card_status(of_camera, DEVICE_2022, state, 900), 900, "x") == []


def test_positions_are_fixed_and_flat_in_2016() -> None:
    where = deviceinfo.positions(DEVICE_2016, DEVICE)
    assert [one.code for one in where] == [GATE]  # the yard's is not known
    (body,) = deviceinfo.mobile_position(DEVICE_2016, "2016", "5", where, T0)
    root = judged(body)
    assert (root.tag, root.findtext("DeviceID")) == ("Notify", GATE)
    assert (root.findtext("Longitude"), root.findtext("Latitude")) == ("118.376451", "31.326319")
    (body,) = deviceinfo.mobile_position(DEVICE_2022, "2022", "5", where, T0)
    root = judged(body)
    assert root.findtext("SumNum") == "1"
    assert root.findtext("DeviceList/Item/DeviceID") == GATE
    sited = replace(DEVICE_2016, longitude=1.0, latitude=2.0)
    assert [one.code for one in deviceinfo.positions(sited, "")] == [DEVICE]
    assert deviceinfo.positions(DEVICE_2016, YARD) == []
    assert deviceinfo.positions(DEVICE_2016, STRANGER) == []


def test_presets_home_and_place() -> None:
    message = ask("PresetQuery", device_id=GATE)
    found = [PresetItem(number=1, name="门"), PresetItem(number=7, name="")]
    items = judged_all(deviceinfo.presets(message, DEVICE_2022, found, 900), 900, "PresetList")
    assert [item.findtext("PresetName") for item in items] == ["门", "7"]
    (none,) = deviceinfo.presets(message, DEVICE_2022, [], 900)
    listed = judged(none).find("PresetList")
    assert listed is not None
    assert (judged(none).findtext("SumNum"), listed.get("Num")) == ("0", "0")
    home = HomePosition(is_enabled=True, reset_s=30, preset=1)
    root = judged(deviceinfo.home_position(message, DEVICE_2022, home))
    assert [child.text for child in root.findall("HomePosition/*")] == ["1", "30", "1"]
    bare = judged(deviceinfo.home_position(message, DEVICE_2022, None))
    assert bare.find("HomePosition") is None
    place = judged(deviceinfo.ptz_position(message, DEVICE_2022))
    assert [child.tag for child in place] == ["CmdType", "SN", "DeviceID"]
    assert judged(deviceinfo.cruise_list(message, DEVICE_2022)).findtext("SumNum") == "0"

"""The Catalog of two platforms, of 2016 and of 2022."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    GATE_CHANNEL,
    GROUP,
    ON,
    ORGANISATION,
    SERVER,
    STATE,
    YARD,
    YARD_CHANNEL,
    ask,
    judged_all,
)
from uplink import catalog
from uplink.device import Device, Directory, SiteState


def _names(text: str) -> list[str]:
    return text.split()


#: Order of the fields, from gb28181.md 3.2.
ORDER_2016 = _names(
    "DeviceID Name Manufacturer Model Owner CivilCode Block Address Parental ParentID SafetyWay"
    " RegisterWay CertNum Certifiable ErrCode EndTime Secrecy IPAddress Port Password Status"
    " Longitude Latitude Info"
)
ORDER_2022 = _names(
    "DeviceID Name Manufacturer Model CivilCode Block Address Parental ParentID RegisterWay"
    " SecurityLevelCode Secrecy IPAddress Port Password Status Longitude Latitude BusinessGroupID"
    " Info"
)
INFO_2016 = _names(
    "PTZType PositionType RoomType UseType SupplyLightType DirectionType Resolution"
    " BusinessGroupID DownloadSpeed SVCSpaceSupportMode SVCTimeSupportMode"
)
INFO_2022 = _names(
    "PTZType PhotoelectricImagingType CapturePositionType RoomType SupplyLightType DirectionType"
    " Resolution StreamNumberList DownloadSpeed SVCSpaceSupportMode SVCTimeSupportMode"
    " SSVCRatioSupportList MobileDeviceType HorizontalFieldAngle VerticalFieldAngle"
    " MaxViewDistance GrassrootsCode PointType PointCommonName MAC FunctionType EncodeType"
    " InstallTime ManagementUnit ContactInfo RecordSaveDays IndustrialClassification"
)
REQUIRED = _names(
    "DeviceID Name Manufacturer Model CivilCode Address Parental ParentID RegisterWay Secrecy"
    " Status"
)


def items_of(
    device: Device, code: str = DEVICE, state: SiteState = STATE, bytes_max: int = 900
) -> dict[str, ET.Element]:
    message = ask("Catalog", device_id=code)
    parts = catalog.answer(message, device, state, device.edition, bytes_max)
    items = judged_all(parts, bytes_max, "DeviceList")
    found = {item.findtext("DeviceID", ""): item for item in items}
    assert len(found) == len(items)
    return found


@pytest.mark.parametrize(
    ("device", "order", "info"),
    [(DEVICE_2016, ORDER_2016, INFO_2016), (DEVICE_2022, ORDER_2022, INFO_2022)],
)
def test_items_hold_their_dialect(device: Device, order: list[str], info: list[str]) -> None:
    items = items_of(device)
    assert list(items) == [DEVICE, GATE, YARD]
    for item in items.values():
        names = [child.tag for child in item]
        assert names == [name for name in order if name in names]  # known ones, in order
        assert set(REQUIRED) <= set(names)
        for leaf in item.iter():
            assert len(leaf) or (leaf.text or "").strip(), f"{leaf.tag} is empty"
        below = [child.tag for child in item.findall("Info/*")]
        assert below == [name for name in info if name in below]


def test_values_come_from_archive_camera_and_state() -> None:
    gate, yard = (items_of(DEVICE_2022)[code] for code in (GATE, YARD))
    assert gate.findtext("Name") == "北门 <1> & 2"
    assert (gate.findtext("Longitude"), gate.findtext("Latitude")) == ("118.376451", "31.326319")
    assert (gate.findtext("Status"), yard.findtext("Status")) == ("ON", "OFF")
    assert gate.findtext("ParentID") == DEVICE
    assert gate.findtext("Info/Resolution") == "6"
    assert gate.findtext("Info/EncodeType") == "5"
    assert gate.findtext("Info/FunctionType") == "01"
    assert gate.findtext("Info/RecordSaveDays") == "90"
    assert gate.findtext("Info/GrassrootsCode") == "000000"
    assert yard.findtext("Manufacturer") == catalog.UNKNOWN
    assert yard.find("Longitude") is None
    told = replace(ON, manufacturer="Maker", model="M1", width=2560, height=1440)
    yard = items_of(DEVICE_2022, state=SiteState(is_running=True, cameras={"yard": told}))[YARD]
    assert (yard.findtext("Manufacturer"), yard.findtext("Model")) == ("Maker", "M1")
    assert yard.findtext("Info/Resolution") == "2560x1440"


def test_each_platform_sees_its_own_channels() -> None:
    county = replace(DEVICE_2022, channels=(YARD_CHANNEL,), is_listed=False)
    assert list(items_of(DEVICE_2016)) == [DEVICE, GATE, YARD]
    assert list(items_of(county)) == [YARD]
    assert items_of(county, code=GATE) == {}


@pytest.mark.parametrize("code", ["", DEVICE, SERVER, "3402000000"])
def test_the_whole_device(code: str) -> None:
    assert list(items_of(DEVICE_2016, code)) == [DEVICE, GATE, YARD]


def test_a_channel_a_region_a_stranger() -> None:
    assert list(items_of(DEVICE_2016, GATE)) == [GATE]
    assert list(items_of(DEVICE_2016, "34")) == [GATE, YARD]
    assert list(items_of(DEVICE_2016, "340200")) == [GATE, YARD]
    assert list(items_of(DEVICE_2016, "350000")) == []
    assert list(items_of(DEVICE_2016, "34020000001320000099")) == []


def test_directories_make_a_tree() -> None:
    region = Directory(code="340200", name="某区")
    device = replace(DEVICE_2022, directories=(ORGANISATION, GROUP, region))
    items = items_of(device)
    # parents come before their children
    assert list(items) == [DEVICE, GROUP.code, "340200", ORGANISATION.code, GATE, YARD]
    assert items[GROUP.code].findtext("ParentID") == DEVICE
    assert items[ORGANISATION.code].findtext("BusinessGroupID") == GROUP.code
    assert items[ORGANISATION.code].find("ParentID") is None
    assert [child.tag for child in items["340200"]] == ["DeviceID", "Name"]
    assert items[GATE].findtext("ParentID") == f"{DEVICE}/{ORGANISATION.code}"
    assert items[GATE].findtext("BusinessGroupID") == GROUP.code
    assert list(items_of(device, ORGANISATION.code)) == [ORGANISATION.code, GATE]
    assert list(items_of(device, GROUP.code)) == [GROUP.code, ORGANISATION.code, GATE]
    old = items_of(replace(DEVICE_2016, directories=(ORGANISATION, GROUP)))
    assert old[GATE].findtext("Info/BusinessGroupID") == GROUP.code


def test_a_circle_of_directories_ends() -> None:
    one = Directory(code="34020000002160000001", name="a", parent="34020000002160000002")
    two = Directory(code="34020000002160000002", name="b", parent="34020000002160000001")
    items = items_of(replace(DEVICE_2022, directories=(one, two)))
    assert {one.code, two.code} <= set(items)


def test_many_channels_fill_parts_of_bounded_size() -> None:
    channels = tuple(
        replace(GATE_CHANNEL, camera=f"c{n}", gb_id=f"3402000000132{n:07}") for n in range(64)
    )
    device = replace(DEVICE_2022, channels=channels)
    parts = list(catalog.answer(ask("Catalog"), device, STATE, "2022", 1800))
    assert len(judged_all(parts, 1800, "DeviceList")) == 65
    assert max(map(len, parts)) <= 1800
    assert len(parts) < 40


def test_names_are_cut_to_what_platforms_take() -> None:
    channel = replace(GATE_CHANNEL, name="门" * 400, address="路" * 400, block="区" * 400)
    item = items_of(replace(DEVICE_2016, channels=(channel,)))[GATE]
    assert len(item.findtext("Name", "")) == catalog.NAME_CHARACTERS_MAX
    assert len(item.findtext("Address", "")) == catalog.TEXT_CHARACTERS_MAX


def test_nothing_of_the_camera_network_is_told() -> None:
    text = b"".join(catalog.answer(ask("Catalog"), DEVICE_2016, STATE, "2016", 900))
    for name in (b"Password", b"IPAddress", b"rtsp", b"null", b"None"):
        assert name not in text


def test_civil_codes() -> None:
    assert catalog.civil_code("34020000001320000001") == "340200"[:4]
    assert catalog.civil_code("36010212001320000001") == "36010212"

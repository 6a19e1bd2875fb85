"""The Catalog: device, channels and directories as items, in the dialects of 2016 and 2022. Core.

GB/T 28181-2022 annexes A.2.1 and J; GB/T 28181-2016 annex A. What a platform may not see is not in
its :class:`~uplink.device.Device`, so it cannot get in here. Never an address of the camera
network, never a password, never an element without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from uplink.device import (
    BUSINESS_GROUP,
    CODE_DIGITS,
    VIRTUAL_ORGANISATION,
    CameraState,
    Channel,
    Device,
    Directory,
    Edition,
    Presence,
    SiteState,
)
from uplink.manscdp.markup import Element, leaf, node, optional
from uplink.manscdp.message import Message, response

#: What the open platform's tables hold, in characters; beyond it a strict database refuses the
#: item, and with it the whole catalogue.
NAME_CHARACTERS_MAX = 100
TEXT_CHARACTERS_MAX = 50
#: Speeds of a download that we can keep up.
DOWNLOAD_SPEEDS = "1/2/4"
UNKNOWN = "unknown"
_REGION_DIGITS_MAX = 8
#: GB/T 28181 annex G (SDP ``f=``): codes of codecs and picture sizes.
VIDEO_CODES = {"h264": "2", "h265": "5"}
_SIZE_CODES = {(176, 144): "1", (352, 288): "2", (704, 576): "4", (1280, 720): "5"}
_SIZE_CODES |= {(1920, 1080): "6"}


def answer(
    message: Message, device: Device, state: SiteState, edition: Edition, bytes_max: int
) -> Iterator[bytes]:
    """The bodies that answer a Catalog query: what lies at or below its DeviceID."""
    items = found(device, state, edition, message.device_id)
    return response(message, device.device_id).parts(
        device.charset,
        list_name="DeviceList",
        items=items,
        total=len(items),
        bytes_max=bytes_max,
    )


def found(device: Device, state: SiteState, edition: Edition, code: str) -> list[Element]:
    """The items that a query for ``code`` asks for; none where it names nothing of ours."""
    if device.is_self(code):
        own = [_device_item(device, edition)] if device.is_listed else []
        return [
            *own,
            *(_directory_item(device, one) for one in _in_order(device.directories)),
            *(channel_item(device, one, state, edition) for one in device.channels),
        ]
    channel = device.channel(code)
    if channel is not None:
        return [channel_item(device, channel, state, edition)]
    below = _below(device.directories, code)
    cameras = {camera for one in below for camera in one.cameras}
    is_region = len(code) <= _REGION_DIGITS_MAX
    return [
        *(_directory_item(device, one) for one in below),
        *(
            channel_item(device, one, state, edition)
            for one in device.channels
            if one.camera in cameras or (is_region and one.civil_code.startswith(code))
        ),
    ]


def channel_item(
    device: Device, channel: Channel, state: SiteState, edition: Edition, event: str = ""
) -> Element:
    """One camera; ``event`` stands behind the code in notifications (ADD, UPDATE)."""
    camera = state.camera(channel.camera)
    is_new = edition == "2022"
    above = [one for one in device.directories if channel.camera in one.cameras]
    groups = [group for one in above if (group := _group_of(device.directories, one))]
    parents = [device.device_id, *(one.code for one in above if not one.is_region)]
    return node(
        "Item",
        leaf("DeviceID", channel.gb_id),
        optional("Event", event),
        leaf("Name", short(channel.name, NAME_CHARACTERS_MAX)),
        leaf("Manufacturer", short(channel.manufacturer or camera.manufacturer or UNKNOWN)),
        leaf("Model", short(channel.model or camera.model or UNKNOWN)),
        None if is_new else leaf("Owner", short(channel.owner or device.name)),
        leaf("CivilCode", channel.civil_code),
        optional("Block", short(channel.block)),
        leaf("Address", short(channel.address)),
        leaf("Parental", 0),
        leaf("ParentID", "/".join(parents)),
        None if is_new else leaf("SafetyWay", 0),
        leaf("RegisterWay", 1),
        leaf("Secrecy", 0),
        leaf("Status", status(camera)),
        _degrees("Longitude", channel.longitude),
        _degrees("Latitude", channel.latitude),
        optional("BusinessGroupID", groups[0] if groups and is_new else ""),
        _info_2022(device, channel, camera)
        if is_new
        else _info_2016(channel, camera, groups[0] if groups else ""),
    )


def status(camera: CameraState) -> str:
    """ON or OFF: the only ones that the standard knows in an item."""
    return "ON" if camera.presence is Presence.ON else "OFF"


def resolution(camera: CameraState) -> str:
    """As in SDP ``f=``; empty while no picture was seen."""
    if not camera.width or not camera.height:
        return ""
    size = (camera.width, camera.height)
    return _SIZE_CODES.get(size, f"{camera.width}x{camera.height}")


def short(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """``text`` cut to what platforms take."""
    return text.strip()[:characters_max].strip()


def civil_code(code: str) -> str:
    """The administrative area of a 20-digit code: its first digits without trailing 00."""
    area = code[:_REGION_DIGITS_MAX]
    while len(area) > 2 and area.endswith("00"):
        area = area[:-2]
    return area


# Inside --------------------------------------------------------------------------------------


def _device_item(device: Device, edition: Edition) -> Element:
    is_new = edition == "2022"
    return node(
        "Item",
        leaf("DeviceID", device.device_id),
        leaf("Name", short(device.name, NAME_CHARACTERS_MAX)),
        leaf("Manufacturer", "Xueliang"),
        leaf("Model", "Xueliang Edge"),
        None if is_new else leaf("Owner", short(device.name)),
        leaf("CivilCode", device.civil_code),
        leaf("Address", short(device.name)),
        leaf("Parental", 1),
        leaf("ParentID", device.server_id),
        None if is_new else leaf("SafetyWay", 0),
        leaf("RegisterWay", 1),
        leaf("Secrecy", 0),
        leaf("Status", "ON"),
        _degrees("Longitude", device.longitude),
        _degrees("Latitude", device.latitude),
    )


def _directory_item(device: Device, directory: Directory) -> Element:
    name = leaf("Name", short(directory.name, NAME_CHARACTERS_MAX))
    code = leaf("DeviceID", directory.code)
    if directory.is_region:
        return node("Item", code, name)
    parent = directory.parent or device.device_id
    if directory.type_code == VIRTUAL_ORGANISATION:
        is_nested = parent[10:13] == VIRTUAL_ORGANISATION
        group = _group_of(device.directories, directory)
        return node(
            "Item",
            code,
            name,
            leaf("ParentID", parent) if is_nested else None,
            optional("BusinessGroupID", group),
        )
    return node("Item", code, name, leaf("CivilCode", device.civil_code), leaf("ParentID", parent))


def _info_2016(channel: Channel, camera: CameraState, group: str) -> Element | None:
    return _info(
        ("PTZType", channel.ptz_type),
        ("PositionType", channel.position_type),
        ("RoomType", channel.room_type),
        ("UseType", channel.use_type),
        ("SupplyLightType", channel.light_type),
        ("DirectionType", channel.direction_type),
        ("Resolution", resolution(camera)),
        ("BusinessGroupID", group),
        ("DownloadSpeed", DOWNLOAD_SPEEDS),
    )


def _info_2022(device: Device, channel: Channel, camera: CameraState) -> Element | None:
    return _info(
        ("PTZType", channel.ptz_type),
        ("PhotoelectricImagingType", channel.imaging_type),
        ("CapturePositionType", channel.capture_position_type),
        ("RoomType", channel.room_type),
        ("SupplyLightType", channel.light_type),
        ("DirectionType", channel.direction_type),
        ("Resolution", resolution(camera)),
        ("StreamNumberList", "0"),
        ("DownloadSpeed", DOWNLOAD_SPEEDS),
        ("GrassrootsCode", channel.grassroots_code or "000000"),
        ("PointType", channel.point_type),
        ("PointCommonName", short(channel.point_name)),
        ("MAC", channel.mac),
        ("FunctionType", channel.function_type),
        ("EncodeType", VIDEO_CODES.get(camera.codec, "")),
        ("InstallTime", short(channel.install_time)),
        ("ManagementUnit", short(channel.management_unit)),
        ("ContactInfo", short(channel.contact)),
        ("RecordSaveDays", device.record_days),
        ("IndustrialClassification", channel.industry),
    )


def _info(*pairs: tuple[str, object]) -> Element | None:
    return node("Info", *(optional(name, value) for name, value in pairs))


def _degrees(name: str, value: float | None) -> Element | None:
    return None if value is None else leaf(name, f"{value:.6f}")


def _below(directories: Sequence[Directory], code: str) -> list[Directory]:
    """The directory of this code and all below it; regions by their digits, too."""
    is_region = len(code) < CODE_DIGITS
    codes = {one.code for one in directories if one.code == code}
    if is_region:
        codes |= {one.code for one in directories if one.is_region and one.code.startswith(code)}
    return [
        one
        for one in _in_order(directories)
        if codes & {one.code, *(above.code for above in _above(directories, one))}
    ]


def _in_order(directories: Iterable[Directory]) -> list[Directory]:
    """Parents before children."""
    every = list(directories)
    return sorted(every, key=lambda one: len(_above(every, one)))


def _above(directories: Sequence[Directory], directory: Directory) -> list[Directory]:
    """The ancestors, the nearest first."""
    known = {one.code: one for one in directories}
    found: list[Directory] = []
    place = known.get(directory.parent)
    while place is not None and place not in found:
        found.append(place)
        place = known.get(place.parent)
    return found


def _group_of(directories: Sequence[Directory], directory: Directory) -> str:
    """The business group that a directory is, or stands in."""
    line = [directory, *_above(directories, directory)]
    return next((one.code for one in line if one.type_code == BUSINESS_GROUP), "")

"""What the device says of itself: DeviceInfo, DeviceStatus, ConfigDownload, SDCardStatus,
MobilePosition, and the answers of a camera's PTZ. Core.

GB/T 28181-2022 annex A.2.4 and A.2.6. What is not known is left out or answered with ERROR, never
invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from uplink.catalog import (
    DOWNLOAD_SPEEDS,
    NAME_CHARACTERS_MAX,
    VIDEO_CODES,
    resolution,
    short,
)
from uplink.device import Channel, Device, Edition, Presence, SiteState
from uplink.manscdp.instants import format_time
from uplink.manscdp.markup import Element, leaf, node, optional
from uplink.manscdp.message import Head, Kind, Message, Result, response

MANUFACTURER = "Xueliang"
MODEL = "Xueliang Edge"
#: Types of one ConfigDownload that are answered; the standard knows 13.
CONFIG_TYPES_MAX = 16
WEEK_DAYS = 7
BYTES_PER_MB = 1_000_000
BITS_PER_KBIT = 1000
_OK_STATES = ("ok", "full")


def error(message: Message, device: Device) -> bytes:
    """Result ERROR: a question that cannot be answered."""
    return response(message, device.device_id).body(device.charset, leaf("Result", Result.ERROR))


def ok(message: Message, device: Device) -> bytes:
    """Result OK, and nothing else."""
    return response(message, device.device_id).body(device.charset, leaf("Result", Result.OK))


def device_info(message: Message, device: Device, state: SiteState) -> bytes:
    """Answers for the device and for a channel."""
    head = response(message, device.device_id)
    if device.is_self(message.device_id):
        return head.body(
            device.charset,
            leaf("DeviceName", short(device.name, NAME_CHARACTERS_MAX)),
            leaf("Result", Result.OK),
            leaf("Manufacturer", MANUFACTURER),
            leaf("Model", MODEL),
            optional("Firmware", device.firmware),
            leaf("Channel", len(device.channels)),
        )
    channel = device.channel(message.device_id)
    if channel is None:
        return error(message, device)
    camera = state.camera(channel.camera)
    return head.body(
        device.charset,
        leaf("DeviceName", short(channel.name, NAME_CHARACTERS_MAX)),
        leaf("Result", Result.OK),
        optional("Manufacturer", short(channel.manufacturer or camera.manufacturer)),
        optional("Model", short(channel.model or camera.model)),
        optional("Firmware", short(camera.firmware)),
        leaf("Channel", 1),
    )


def device_status(
    message: Message, device: Device, state: SiteState, now_us: int, duty: Callable[[str], str]
) -> bytes:
    """Online, working, encoding, recording: as measured.

    Args:
        duty: ONDUTY, OFFDUTY or ALARM of a code.
    """
    channel = device.channel(message.device_id)
    if channel is not None:
        camera = state.camera(channel.camera)
        is_online = camera.presence is not Presence.OFF
        is_encoding, is_recording = camera.presence is Presence.ON, camera.is_recording
        reason = "" if is_recording else (camera.cause or "not recording")
    elif device.is_self(message.device_id):
        cameras = [state.camera(one.camera) for one in device.channels]
        is_online = True
        is_encoding = any(one.presence is Presence.ON for one in cameras)
        is_recording = any(one.is_recording for one in cameras)
        reason = fault(state)
    else:
        return error(message, device)
    code = message.device_id if channel is not None else device.device_id
    return response(message, device.device_id).body(
        device.charset,
        leaf("Result", Result.OK),
        leaf("Online", "ONLINE" if is_online else "OFFLINE"),
        leaf("Status", "ERROR" if reason else "OK"),
        optional("Reason", reason),
        leaf("Encode", _on(is_encoding)),
        leaf("Record", _on(is_recording)),
        leaf("DeviceTime", format_time(now_us)),
        node(
            "Alarmstatus",
            node("Item", leaf("DeviceID", code), leaf("DutyStatus", duty(code))),
            Num=1,
        ),
    )


def fault(state: SiteState) -> str:
    """What is wrong with the device itself, in words; empty: nothing."""
    if not state.is_running:
        return "recorder stopped"
    if any(volume.state not in _OK_STATES for volume in state.volumes):
        return "storage failure"
    return ""


# Configuration -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """What BasicParam tells: platforms time the device out by it."""

    register_s: int
    keepalive_s: int
    count: int


def config_download(
    message: Message, device: Device, state: SiteState, basic: Basic
) -> Iterator[bytes]:
    """One answer for each type asked for, all with the question's SN."""
    asked = [name.strip() for name in message.value("ConfigType").split("/") if name.strip()]
    head = response(message, device.device_id)
    channel = device.channel(message.device_id)
    if not asked or (channel is None and not device.is_self(message.device_id)):
        yield error(message, device)
        return
    for name in asked[:CONFIG_TYPES_MAX]:
        block = _config_block(name, device, channel, state, basic)
        result = leaf("Result", Result.ERROR if block is None else Result.OK)
        yield head.body(device.charset, result, block)


def _config_block(
    name: str, device: Device, channel: Channel | None, state: SiteState, basic: Basic
) -> Element | None:
    """None: not known here, or kept by the camera alone."""
    if name == "BasicParam":
        shown = device.name if channel is None else channel.name
        return node(
            name,
            leaf("Name", short(shown, NAME_CHARACTERS_MAX)),
            leaf("Expiration", basic.register_s),
            leaf("HeartBeatInterval", basic.keepalive_s),
            leaf("HeartBeatCount", basic.count),
        )
    if name == "AlarmReport":  # motion and field detection are not done here
        return node(name, leaf("MotionDetection", 0), leaf("FieldDetection", 0))
    if name == "VideoRecordPlan":
        return _record_plan()
    if name == "VideoAlarmRecord":  # all is recorded, alarm or not
        return node(name, leaf("RecordEnable", 0), leaf("StreamNumber", 0))
    if channel is None:
        return node(name, leaf("DownloadSpeed", DOWNLOAD_SPEEDS)) if _is_opt(name) else None
    camera = state.camera(channel.camera)
    if _is_opt(name):
        size = optional("Resolution", resolution(camera))
        return node(name, leaf("DownloadSpeed", DOWNLOAD_SPEEDS), size)
    if name == "VideoParamAttribute" and camera.codec:
        item = node(
            "Item",
            leaf("StreamNumber", 0),
            optional("VideoFormat", VIDEO_CODES.get(camera.codec, "")),
            optional("Resolution", resolution(camera)),
            optional("VideoBitRate", camera.bits_per_second // BITS_PER_KBIT or None),
        )
        return node(name, item, Num=1)
    return None


def _is_opt(name: str) -> bool:
    return name == "VideoParamOpt"


def _record_plan() -> Element:
    """All day, every day: what this box is for."""
    day = node(
        "TimeSegment",
        *(leaf(f"Start{unit}", 0) for unit in ("Hour", "Min", "Sec")),
        leaf("StopHour", 23),
        leaf("StopMin", 59),
        leaf("StopSec", 59),
    )
    week = [
        node("RecordSchedule", leaf("WeekDayNum", number), leaf("TimeSegmentSumNum", 1), day)
        for number in range(1, WEEK_DAYS + 1)
    ]
    return node(
        "VideoRecordPlan",
        leaf("RecordEnable", 1),
        leaf("RecordScheduleSumNum", WEEK_DAYS),
        *week,
        leaf("StreamNumber", 0),
    )


# Storage and place ---------------------------------------------------------------------------


def sd_card_status(
    message: Message, device: Device, state: SiteState, bytes_max: int
) -> Iterator[bytes]:
    """The device's volumes; a camera's own card is not ours to see."""
    volumes = state.volumes if device.is_self(message.device_id) else ()
    items = [
        node(
            "Item",
            leaf("ID", number),
            leaf("HddName", f"disk{number}"),
            leaf("Status", "ok" if volume.state in _OK_STATES else "error"),
            leaf("FormatProgress", 0),
            leaf("Capacity", volume.capacity_bytes // BYTES_PER_MB),
            leaf("FreeSpace", volume.free_bytes // BYTES_PER_MB),
        )
        for number, volume in enumerate(volumes, start=1)
    ]
    return response(message, device.device_id).parts(
        device.charset,
        list_name="SDCardStatusInfo",
        items=items,
        total=len(items),
        bytes_max=bytes_max,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where something stands; it does not move."""

    code: str
    longitude: float
    latitude: float


def positions(device: Device, code: str) -> list[Position]:
    """What is known of the place of ``code``; of the device: its own, else its channels'."""
    channel = device.channel(code)
    if channel is not None:
        return _position(channel.gb_id, channel.longitude, channel.latitude)
    if not device.is_self(code):
        return []
    own = _position(device.device_id, device.longitude, device.latitude)
    every = [_position(one.gb_id, one.longitude, one.latitude) for one in device.channels]
    return own or [position for found in every for position in found]


def mobile_position(
    device: Device, edition: Edition, sn: str, where: Sequence[Position], now_us: int
) -> Iterator[bytes]:
    """Notifications of fixed positions: flat in 2016, a list in 2022."""
    time = format_time(now_us)
    if edition == "2016":
        for one in where:
            head = Head(kind=Kind.NOTIFY, command="MobilePosition", sn=sn, device_id=one.code)
            yield head.body(device.charset, leaf("Time", time), *_degrees(one), leaf("Speed", 0))
        return
    head = Head(kind=Kind.NOTIFY, command="MobilePosition", sn=sn, device_id=device.device_id)
    items = [
        node(
            "Item",
            leaf("DeviceID", one.code),
            leaf("CaptureTime", time),
            *_degrees(one),
            leaf("Speed", 0),
        )
        for one in where
    ]
    listed = Element("DeviceList", attributes={"Num": str(len(items))}, children=items)
    yield head.body(device.charset, leaf("Time", time), leaf("SumNum", len(items)), listed)


def _position(code: str, longitude: float | None, latitude: float | None) -> list[Position]:
    if longitude is None or latitude is None:
        return []
    return [Position(code=code, longitude=longitude, latitude=latitude)]


def _degrees(position: Position) -> tuple[Element, Element]:
    return (
        leaf("Longitude", f"{position.longitude:.6f}"),
        leaf("Latitude", f"{position.latitude:.6f}"),
    )


# Cameras that turn ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetItem:
    number: int  # 1 to 255
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePosition:
    is_enabled: bool
    reset_s: int
    preset: int


def presets(
    message: Message, device: Device, found: Sequence[PresetItem], bytes_max: int
) -> Iterator[bytes]:
    """The answer to PresetQuery; an empty list has its element here, unlike elsewhere."""
    head = response(message, device.device_id)
    items = [
        node(
            "Item",
            leaf("PresetID", one.number),
            leaf("PresetName", short(one.name) or f"{one.number}"),
        )
        for one in found
    ]
    if not items:
        yield head.body(device.charset, leaf("SumNum", 0), node("PresetList", Num=0))
        return
    yield from head.parts(
        device.charset,
        list_name="PresetList",
        items=items,
        total=len(items),
        bytes_max=bytes_max,
    )


def home_position(message: Message, device: Device, home: HomePosition | None) -> bytes:
    """The answer to HomePositionQuery; a camera without one answers with the head alone."""
    block = None
    if home is not None:
        block = node(
            "HomePosition",
            leaf("Enabled", int(home.is_enabled)),
            leaf("ResetTime", home.reset_s),
            leaf("PresetIndex", home.preset),
        )
    return response(message, device.device_id).body(device.charset, block)


def cruise_list(message: Message, device: Device) -> bytes:
    """No tours are kept here."""
    return response(message, device.device_id).body(device.charset, leaf("SumNum", 0))


def ptz_position(message: Message, device: Device) -> bytes:
    """The head alone: cameras tell their place in a space of their own, not in degrees."""
    return response(message, device.device_id).body(device.charset)


def _on(is_on: bool) -> str:
    return "ON" if is_on else "OFF"

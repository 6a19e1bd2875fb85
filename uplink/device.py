"""What a platform sees of this box: the device, its channels, its directories; and their state.

Core: values only. A :class:`Device` is made for each platform (``uplink.site``), from the settings:
it holds nothing that this platform may not see. A :class:`SiteState` is what ``edge`` last told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from uplink.manscdp.charset import Charset

Edition = Literal["2016", "2022"]
#: Digits 11 to 13 of a code: business group and virtual organisation (GB/T 28181-2022 annex E).
BUSINESS_GROUP = "215"
VIRTUAL_ORGANISATION = "216"
CODE_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One camera as a platform may see it; texts may be empty (``[camera.archive]``)."""

    camera: str  # our id; never on the wire
    gb_id: str
    name: str
    civil_code: str  # 2 to 8 digits
    address: str
    manufacturer: str = ""
    model: str = ""
    owner: str = ""
    block: str = ""
    longitude: float | None = None  # degrees, WGS-84
    latitude: float | None = None
    install_time: str = ""
    contact: str = ""
    management_unit: str = ""
    grassroots_code: str = ""
    point_type: str = ""
    point_name: str = ""
    function_type: str = ""
    position_type: str = ""
    use_type: str = ""
    capture_position_type: str = ""
    imaging_type: str = ""
    light_type: str = ""
    direction_type: str = ""
    room_type: str = ""
    ptz_type: str = ""
    mac: str = ""
    industry: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A node of the platform's tree: region (2 to 8 digits), business group or virtual
    organisation.
    """

    code: str
    name: str
    parent: str = ""  # code of another directory; empty: the device
    cameras: tuple[str, ...] = ()

    @property
    def is_region(self) -> bool:
        return len(self.code) < CODE_DIGITS

    @property
    def type_code(self) -> str:
        return self.code[10:13]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """This box in the eyes of one platform."""

    platform: str
    device_id: str
    server_id: str
    domain: str
    name: str
    civil_code: str
    edition: Edition
    charset: Charset
    channels: tuple[Channel, ...]
    directories: tuple[Directory, ...] = ()
    is_listed: bool = True  # the device is an item of its Catalog
    longitude: float | None = None
    latitude: float | None = None
    record_days: int = 90  # guaranteed
    #: RecordInfo: longest item, 0 for none but midnight; whether items are cut to the window.
    record_item_us: int = 3_600_000_000
    is_record_clipped: bool = True
    allow: frozenset[str] = frozenset()
    snapshot_hosts: frozenset[str] = frozenset()
    firmware: str = ""

    def channel(self, code: str) -> Channel | None:
        """The channel of a 20-digit code."""
        return next((one for one in self.channels if one.gb_id == code), None)

    def is_self(self, code: str) -> bool:
        """Whether a DeviceID means the device: its code, nothing, or what platforms put instead."""
        return code in ("", self.device_id, self.server_id, self.domain)


class Presence(StrEnum):
    """Is there a picture?"""

    ON = "ON"
    OFF = "OFF"  # the camera does not answer
    VLOST = "VLOST"  # it answers, and sends no picture that can be used


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    presence: Presence = Presence.OFF
    is_recording: bool = False  # measured: its newest durable fragment is young
    cause: str = ""  # a gap's cause, where it does not record
    codec: str = ""  # h264, h265
    width: int = 0
    height: int = 0
    bits_per_second: int = 0
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    #: Alarms that say that its picture is no use ("picture_covered").
    defects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeState:
    name: str
    state: str  # ok, full, readonly, missing, wrong_id, failed
    capacity_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAlarm:
    """An alarm that stands in edge's register, as the standard names it (A.2.5)."""

    condition: str  # tells it from any other of the same thing
    camera: str  # empty: of the device
    name: str
    detail: str
    since_us: int
    priority: int
    method: int
    type: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """What ``edge`` told of itself; without edge nothing records and nothing is online."""

    is_running: bool = False
    cameras: Mapping[str, CameraState] = field(default_factory=dict)
    volumes: tuple[VolumeState, ...] = ()
    alarms: tuple[SiteAlarm, ...] = ()
    #: How full the fullest buffer before the disks is, 0 to 1: at 1 pictures are lost.
    pressure: float = 0.0

    def camera(self, camera: str) -> CameraState:
        return self.cameras.get(camera, _ABSENT)


_ABSENT = CameraState()

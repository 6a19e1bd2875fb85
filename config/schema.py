"""The settings as typed values: frozen, strict, unknown keys refused.

Core. What one field may hold stands here; what fields must hold together stands in
:mod:`config.rules`; :func:`config.load.load` applies both. No default depends on the machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from config.address import Address, PortRange, is_host, is_ip
from config.gbid import GbId
from config.units import format_bytes, parse_bytes

#: Longest name of a thing; far above what any screen or Catalog item shows.
NAME_CHARS_MAX = 500
ID_CHARS_MAX = 63
URL_CHARS_MAX = 2000
MIN_DAYS_FLOOR = 90
#: "At least six months" of logs, whichever months they are.
AUDIT_DAYS_FLOOR = 183
#: Less does not hold a fragment (4 MiB at most) beside the next; more is a typing error.
BUFFER_BYTES_MIN = 8 * 2**20
BUFFER_BYTES_MAX = 4 * 2**30

#: Folders of a volume that are no camera's.
RESERVED_IDS = frozenset({"journal", "lost-found"})
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}", re.ASCII)

_T = TypeVar("_T")


def refusal(sentence: str, mend: str = "") -> PydanticCustomError:
    """An error of one field that already reads as our sentence and mend."""
    return PydanticCustomError("refused", "{sentence}", {"sentence": sentence, "mend": mend})


def _text(value: Any, mend: str = "put it in quotes") -> str:
    if not isinstance(value, str):
        raise refusal(f"is {_kind(value)}, not text", mend)
    return value


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else "no text")


def _parsed(parse: Callable[[str], _T], mend: str = "") -> Callable[[Any], _T]:
    """A validator that takes text only, and turns a ValueError into our sentence."""

    def validate(value: Any) -> _T:
        text = _text(value)
        try:
            return parse(text)
        except ValueError as error:
            raise refusal(f"is wrong: {error}", mend) from None

    return validate


def _name(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise refusal("is empty", "give it a name")
    if len(text) > NAME_CHARS_MAX:
        raise refusal(
            f"is {len(text)} characters long",
            f"shorten it to at most {NAME_CHARS_MAX} characters",
        )
    if not text.isprintable():
        raise refusal("holds control characters", "write it in one line of plain text")
    return text


def _identifier(value: Any) -> str:
    text = _text(value)
    if not _ID.fullmatch(text):
        raise refusal(
            "is no id",
            f"use a-z, 0-9 and inner hyphens, at most {ID_CHARS_MAX} characters, as in gate-exit",
        )
    if text in RESERVED_IDS:
        raise refusal(f"{text!r} is reserved for a folder of the volumes", "choose another id")
    return text


def _gb_id(value: Any) -> GbId:
    if type(value) is int:
        raise refusal("is a number, and digits may get lost", "put the 20 digits in quotes")
    try:
        return GbId.parse(_text(value))
    except ValueError as error:
        raise refusal(f"is wrong: {error}", "take it from the police's list of codes") from None


def _size(value: Any) -> int:
    return _parsed(parse_bytes, 'write a number with its unit, as in "5GiB"')(value)


def _buffer(value: Any) -> int:
    size_bytes = _size(value)
    if not BUFFER_BYTES_MIN <= size_bytes <= BUFFER_BYTES_MAX:
        raise refusal(
            f"is {format_bytes(size_bytes)}",
            f"set {format_bytes(BUFFER_BYTES_MIN)} to {format_bytes(BUFFER_BYTES_MAX)}",
        )
    return size_bytes


def _path(value: Any) -> Path:
    text = _text(value)
    if not text.startswith("/") or "\0" in text:
        raise refusal(f"{text[:80]!r} is no absolute path", "write it from / on")
    return Path(text)


def _rtsp(value: Any) -> str:
    text = _text(value)
    example = 'write it as in "rtsp://192.0.2.10:554/stream1"'
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise refusal("is no RTSP URL", example) from None
    if url.username is not None or url.password is not None or "@" in url.netloc:
        raise refusal(
            "holds credentials",
            "take them out of the URL; use username and password_file",
        )
    clean = len(text) <= URL_CHARS_MAX and text.isprintable() and " " not in text
    if not clean or url.scheme not in ("rtsp", "rtsps") or not is_host(url.hostname or ""):
        raise refusal("is no RTSP URL", example)
    if port == 0:
        raise refusal("has port 0", example)
    return text


def _witness(value: Any) -> str:
    text = _text(value)
    example = 'write it as in "https://witness.example/heads", or leave it empty'
    if not text:
        return text
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise refusal("is no web address", example) from None
    if "@" in url.netloc:
        raise refusal("holds credentials", "take them out")
    clean = len(text) <= URL_CHARS_MAX and text.isascii() and text.isprintable() and " " not in text
    if not clean or url.scheme not in ("http", "https") or not is_host(url.hostname or ""):
        raise refusal("is no web address", example)
    if port == 0 or url.fragment:
        raise refusal("is no address to send to", example)
    return text


def _webhook(value: Any) -> str:
    text = _witness(value)
    if "?" in text:
        raise refusal(
            "holds a query, which may be a secret", "put a token into a file: webhook_token_file"
        )
    return text


def _timezone(value: Any) -> str:
    text = _text(value)
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise refusal(
            f"{text[:60]!r} is no time zone of this machine", 'write it as in "Asia/Shanghai"'
        ) from None
    return text


def _bind(value: Any) -> Address:
    address = _parsed(Address.parse, 'write it as in "127.0.0.1:9580"')(value)
    if not address.is_ip:
        raise refusal(
            f"binds to {address.host!r}, which is no IP address",
            "write an address of this machine, as in 127.0.0.1",
        )
    return address


def _ip(value: Any) -> str:
    text = _ip_or_host(value)
    if not is_ip(text):
        raise refusal(f"{text!r} is no IP address", "write an address of this machine")
    if ipaddress.ip_address(text).is_unspecified:
        raise refusal(
            f"{text!r} is every address of this machine",
            "name the reserved interface's own address",
        )
    return text


def _ip_or_host(value: Any) -> str:
    text = _text(value)
    if not is_host(text):
        raise refusal(f"{text[:60]!r} is no host name or IP address")
    return text


def _host_or_none(value: Any) -> str:
    return "" if value == "" else _ip_or_host(value)


def _interface(value: Any) -> str:
    text = _text(value)
    if not _INTERFACE.fullmatch(text):
        raise refusal(f"{text[:60]!r} is no network interface", "see: ip link")
    return text


Name = Annotated[str, PlainValidator(_name)]
Identifier = Annotated[str, PlainValidator(_identifier)]
GbIdField = Annotated[GbId, PlainValidator(_gb_id)]
Size = Annotated[int, PlainValidator(_size)]
BufferSize = Annotated[int, PlainValidator(_buffer)]
AbsolutePath = Annotated[Path, PlainValidator(_path)]
RtspUrl = Annotated[str, PlainValidator(_rtsp)]
WebhookUrl = Annotated[str, PlainValidator(_webhook)]
WitnessUrl = Annotated[str, PlainValidator(_witness)]
TimeZone = Annotated[str, PlainValidator(_timezone)]
Bind = Annotated[Address, PlainValidator(_bind)]
HostPort = Annotated[Address, PlainValidator(_parsed(Address.parse))]
Ports = Annotated[PortRange, PlainValidator(_parsed(PortRange.parse))]
Host = Annotated[str, PlainValidator(_ip_or_host)]
IpAddress = Annotated[str, PlainValidator(_ip)]
Interface = Annotated[str, PlainValidator(_interface)]
Word = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
Text = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
#: A code of GB/T 28181: one or two digits, several behind ``/`` where the standard lets them.
Digits = Annotated[str, Field(pattern=r"^([0-9]{1,2}(/[0-9]{1,2})*)?$", max_length=40)]
#: A directory of a platform's tree: a region of 2, 4, 6 or 8 digits, or a code of 20.
DirectoryCode = Annotated[str, Field(pattern=r"^([0-9]{2}){1,4}$|^[0-9]{20}$")]
#: Orders that are refused unless a platform is allowed them (``uplink.commands.POLICY``).
AllowedCommand = Literal[
    "AlarmReport",
    "DeviceUpgrade",
    "FormatSDCard",
    "FrameMirror",
    "OSDConfig",
    "PictureMask",
    "StopRecord",
    "SVACDecodeConfig",
    "SVACEncodeConfig",
    "TeleBoot",
    "VideoAlarmRecord",
    "VideoParamAttribute",
    "VideoParamOpt",
    "VideoRecordPlan",
]
#: TOML arrays arrive as lists; settings are hashable values.
List = Field(strict=False)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Site(_Table):
    """Where this box stands."""

    name: Name
    timezone: TimeZone = "Asia/Shanghai"
    longitude: Longitude | None = None  # degrees, WGS-84
    latitude: Latitude | None = None


class Storage(_Table):
    """Where footage goes, and how hard it is held."""

    volumes: Annotated[tuple[AbsolutePath, ...], List, Field(min_length=1)]
    #: Volumes that take no new segment, until what they hold has expired.
    retiring: Annotated[tuple[AbsolutePath, ...], List] = ()
    state_dir: AbsolutePath
    durability_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5
    reserve_bytes: Size = 5 * 2**30
    segment_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    #: RAM in which one camera's fragments wait for a disk.
    buffer_bytes: BufferSize = 64 * 2**20

    @property
    def durability_us(self) -> int:
        return round(self.durability_seconds * 1_000_000)

    @property
    def segment_us(self) -> int:
        return self.segment_seconds * 1_000_000


class Retention(_Table):
    """The band of days in which footage is kept."""

    min_days: Annotated[int, Field(ge=MIN_DAYS_FLOOR, le=3650)] = 90
    max_days: Annotated[int, Field(le=3650)] = 97
    on_full: Literal["overwrite", "stop"] = "overwrite"
    basis: Text = ""
    #: A calendar day with no longer gap than this counts as complete.
    gap_tolerance_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    #: A hold is released by two persons: one asks, another one does it.
    two_person_release: bool = True
    #: Audit records are kept so long; those of footage given to others three years at least.
    audit_days: Annotated[int, Field(ge=AUDIT_DAYS_FLOOR, le=36500)] = 1096


class Evidence(_Table):
    """How footage is proven to somebody who trusts nobody."""

    #: Everything is reread within so many days.
    scrub_days: Annotated[int, Field(ge=1, le=365)] = 30
    #: Gets the heads of journal and chains, hourly; empty: nobody does.
    witness_url: WitnessUrl = ""
    #: PEM; who the witness's certificate is trusted by, if not the machine's own authorities.
    witness_ca_file: AbsolutePath | None = None


class Archive(_Table):
    """What the police's register wants to know of a camera (一机一档)."""

    address: Text = ""
    civil_code: Annotated[str, Field(pattern=r"^([0-9]{2}){0,4}$")] = ""
    block: Text = ""
    longitude: Longitude | None = None  # degrees, WGS-84
    latitude: Latitude | None = None
    manufacturer: Text = ""
    model: Text = ""
    owner: Text = ""
    install_time: Text = ""
    contact: Text = ""
    management_unit: Text = ""
    grassroots_code: Annotated[str, Field(pattern=r"^[0-9]{0,6}$")] = ""
    point_type: Annotated[str, Field(pattern=r"^[1239]?$")] = ""
    point_name: Text = ""
    function_type: Annotated[str, Field(pattern=r"^[0-9/]{0,40}$")] = ""
    direction_type: Annotated[str, Field(pattern=r"^[1-8]?$")] = ""
    room_type: Annotated[str, Field(pattern=r"^[12]?$")] = ""
    ptz_type: Annotated[str, Field(pattern=r"^[1-7]?$")] = ""
    mac: Annotated[str, Field(pattern=r"^(([0-9A-F]{2}-){5}[0-9A-F]{2})?$")] = ""
    position_type: Digits = ""  # 2016
    use_type: Digits = ""  # 2016
    light_type: Digits = ""
    imaging_type: Digits = ""  # 2022
    capture_position_type: Annotated[str, Field(pattern=r"^[0-9]{0,4}$")] = ""  # 2022, annex O
    industry: Annotated[str, Field(pattern=r"^[A-Z]?[0-9]{0,4}$")] = ""  # GB/T 4754


class Camera(_Table):
    """One camera; exactly one of ``onvif`` and ``rtsp`` is set."""

    id: Identifier
    name: Name
    enabled: bool = True
    role: Literal["face", "vehicle", "general"] = "general"
    gb_id: GbIdField | None = None
    onvif: HostPort | None = None
    rtsp: RtspUrl | None = None
    username: Text = ""
    password_file: AbsolutePath | None = None
    profile: Text = "main"
    #: Whether its clock is set from here: by hand, or by pointing its NTP at this box.
    set_clock: Literal["no", "set", "ntp"] = "no"
    audio: bool = False
    #: Our own RTSP client, or libav's for a camera that ours does not get on with.
    reader: Literal["direct", "libav"] = "direct"
    expose: bool = True
    #: A band of its own; None: that of ``retention``.
    min_days: Annotated[int, Field(ge=MIN_DAYS_FLOOR, le=3650)] | None = None
    max_days: Annotated[int, Field(le=3650)] | None = None
    archive: Archive = Archive()


class Directory(_Table):
    """A node of a platform's tree: region, business group (type 215), organisation (216)."""

    id: DirectoryCode
    name: Name
    parent: DirectoryCode | None = None
    cameras: Annotated[tuple[Identifier, ...], List] = ()


class Platform(_Table):
    """One police platform; exactly one of ``interface`` and ``bind`` is set."""

    name: Name
    authorised_by: Name
    server: HostPort
    server_id: GbIdField
    domain: Word
    device_id: GbIdField
    password_file: AbsolutePath
    transport: Literal["udp", "tcp"] = "udp"
    interface: Interface | None = None
    bind: IpAddress | None = None
    port: PortNumber = 5060
    media_ports: Ports = PortRange(first=30000, last=30199)
    edition: Literal["2016", "2022"] = "2022"
    register_seconds: Annotated[int, Field(ge=60, le=86400)] = 3600
    keepalive_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    retry_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    peers: Annotated[tuple[Host, ...], List] = ()
    channels: Annotated[tuple[Identifier, ...], List] = ()
    allow: Annotated[tuple[AllowedCommand, ...], List] = ()
    #: How bodies are declared; empty: GB2312 for 2016, GB18030 for 2022.
    charset: Literal["", "GB2312", "GBK", "GB18030", "UTF-8"] = ""
    #: Whether the device is an item of its own Catalog, beside its channels.
    list_device: bool = True
    directory: Annotated[tuple[Directory, ...], List] = ()
    #: RecordInfo: longest item of windows up to 7 days; 0: only midnights and gaps cut.
    record_item_minutes: Annotated[int, Field(ge=0, le=1440)] = 60
    #: RecordInfo: items cut to the asked window, or told with their true bounds.
    record_clip: bool = True
    #: Calls of this platform that are served at once; more get 486.
    media_sessions: Annotated[int, Field(ge=1, le=64)] = 32
    #: What the link to it takes; key frames are spread so that they do not burst it.
    link_mbps: Annotated[int, Field(ge=1, le=10_000)] = 50
    #: Hosts to which pictures may be sent, beside ``server`` and ``peers``.
    upload_hosts: Annotated[tuple[Host, ...], List] = ()


class Console(_Table):
    bind: Bind = Address(host="127.0.0.1", port=8443)
    #: Whether anybody may watch live, who was allowed to by name; only gates and parking entrances
    #: (``role`` face or vehicle).
    live: bool = False
    #: An export of footage takes a second person.
    export_approval: bool = True
    #: A finished export is deleted (the copy, never the footage) after so many days.
    export_days: Annotated[int, Field(ge=1, le=90)] = 7
    #: Where exports are made; default: ``exports`` in the state folder.
    export_dir: AbsolutePath | None = None


class Metrics(_Table):
    """``bind`` is edge's; uplink takes the next port, console the one after."""

    bind: Bind = Address(host="127.0.0.1", port=9580)


class Diagnose(_Table):
    """How the cameras' pictures are judged."""

    enabled: bool = True
    #: Each camera is looked at so often.
    interval_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    #: Cameras where nobody leaves a light on at night: a dark picture is no fault there.
    dark_rooms: Annotated[tuple[Identifier, ...], List] = ()


class Alarms(_Table):
    """Who is told of alarms, beside the platforms."""

    #: Gets a POST for each alarm and for its end; empty: nobody does.
    webhook_url: WebhookUrl = ""
    #: PEM; who its certificate is trusted by, if not the machine's own authorities.
    webhook_ca_file: AbsolutePath | None = None
    #: A file that holds the bearer token to show.
    webhook_token_file: AbsolutePath | None = None


class EncoderMinimum(_Table):
    """What a camera's encoder must at least do; 0 or empty: not judged."""

    codec: Literal["", "h264", "h265"] = ""
    resolution: Annotated[str, Field(pattern=r"^([1-9][0-9]{1,4}x[1-9][0-9]{1,4})?$")] = ""
    fps: Annotated[int, Field(ge=0, le=120)] = 0
    min_kbps: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_gop_seconds: Annotated[float, Field(ge=0, le=60)] = 0

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, pixels."""
        if not self.resolution:
            return None
        width, _, height = self.resolution.partition("x")
        return int(width), int(height)


class Care(_Table):
    """How cameras are looked after through ONVIF."""

    look_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    #: Motion, tamper, face and vehicle events are pulled, and marked on the timeline.
    events: bool = True
    #: A camera whose address moved is looked for by WS-Discovery and its serial.
    find_moved: bool = True
    #: What cameras of set_clock = "ntp" are pointed at; empty: this box, as they see it.
    ntp_server: Annotated[str, PlainValidator(_host_or_none)] = ""
    encoder: EncoderMinimum = EncoderMinimum()


class Settings(_Table):
    """Everything that the services are told. Field names are those of the TOML file."""

    site: Site
    storage: Storage
    retention: Retention = Retention()
    evidence: Evidence = Evidence()
    alarms: Alarms = Alarms()
    care: Care = Care()
    diagnose: Diagnose = Diagnose()
    camera: Annotated[tuple[Camera, ...], List] = ()
    platform: Annotated[tuple[Platform, ...], List] = ()
    console: Console = Console()
    metrics: Metrics = Metrics()

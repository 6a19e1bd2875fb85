"""What a platform may order, and what becomes of it: the policy table. Core.

GB/T 28181-2022 clause 9.3 and annex A.2.3. Whatever could cost footage or falsify it (stop of
recording, formatting, upgrade, restart, changes of picture, text and mask) is refused unless the
settings allow it to this platform; an order that is not in the table is refused, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from uplink.device import Channel, Device, SiteState
from uplink.manscdp import ptz
from uplink.manscdp.markup import Element
from uplink.manscdp.message import Message

SNAPSHOTS_MAX = 10
SNAPSHOT_INTERVAL_S_MAX = 60
URL_CHARACTERS_MAX = 1000
HOME_RESET_S_MAX = 86_400


class Verdict(StrEnum):
    DONE = "done"  # or handed on: see the effect
    REFUSED = "refused"  # by policy
    UNSUPPORTED = "unsupported"  # nothing here can do it
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"  # no such channel for this platform


# Effects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOrder:
    """Something that ``edge`` does with a camera (see ARCHITECTURE.md, "Orders to cameras")."""

    camera: str
    verb: str
    arguments: Mapping[str, float | int | str | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetGuard:
    code: str
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetAlarm:
    code: str  # of the device: everything
    method: str  # empty: every method
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHeartbeat:
    keepalive_s: int | None
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    camera: str
    code: str
    count: int
    interval_s: int
    url: str
    session: str


Effect = CameraOrder | SetGuard | ResetAlarm | SetHeartbeat | Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done about a Control.

    ``name`` is the word of the policy table ("StopRecord", "PTZCmd"), empty for none that we know;
    with ``has_response`` the platform gets Result OK or ERROR, without it the SIP status speaks.
    """

    name: str
    verdict: Verdict
    has_response: bool
    effect: Effect | None = None
    detail: str = ""

    @property
    def sip_status(self) -> int:
        if self.has_response or self.verdict is Verdict.DONE:
            return 200
        return _STATUS[self.verdict]


_STATUS = {
    Verdict.REFUSED: 403,
    Verdict.UNSUPPORTED: 501,
    Verdict.MALFORMED: 400,
    Verdict.NOT_FOUND: 404,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    has_response: bool
    is_allowed: bool


_SILENT = _Rule(has_response=False, is_allowed=True)
_ANSWERED = _Rule(has_response=True, is_allowed=True)
_SILENT_REFUSED = _Rule(has_response=False, is_allowed=False)
_ANSWERED_REFUSED = _Rule(has_response=True, is_allowed=False)

#: The whole table. Names that ``[[platform]] allow`` may hold are those refused here.
POLICY: Mapping[str, _Rule] = {
    "PTZCmd": _SILENT,
    "IFrameCmd": _SILENT,
    "DragZoomIn": _SILENT,
    "DragZoomOut": _SILENT,
    "PTZPreciseCtrl": _SILENT,
    "TargetTrack": _SILENT,
    "Record": _ANSWERED,
    "SetGuard": _ANSWERED,
    "ResetGuard": _ANSWERED,
    "ResetAlarm": _ANSWERED,
    "HomePosition": _ANSWERED,
    "BasicParam": _ANSWERED,
    "SnapShotConfig": _ANSWERED,
    "TeleBoot": _SILENT_REFUSED,
    "FormatSDCard": _SILENT_REFUSED,
    "StopRecord": _ANSWERED_REFUSED,
    "DeviceUpgrade": _ANSWERED_REFUSED,
    "VideoParamOpt": _ANSWERED_REFUSED,
    "VideoParamAttribute": _ANSWERED_REFUSED,
    "VideoRecordPlan": _ANSWERED_REFUSED,
    "VideoAlarmRecord": _ANSWERED_REFUSED,
    "PictureMask": _ANSWERED_REFUSED,
    "FrameMirror": _ANSWERED_REFUSED,
    "AlarmReport": _ANSWERED_REFUSED,
    "OSDConfig": _ANSWERED_REFUSED,
    "SVACEncodeConfig": _ANSWERED_REFUSED,
    "SVACDecodeConfig": _ANSWERED_REFUSED,
}
#: Elements that name a command, to its word; those with two words are told apart by their text.
_ELEMENTS = {name.lower(): name for name in POLICY} | {
    "ifamecmd": "IFrameCmd",  # as the 2016 text prints it
    "snapshot": "SnapShotConfig",  # seen under DeviceControl
}
_BY_TEXT = {
    "recordcmd": ("Record", "StopRecord"),
    "guardcmd": ("SetGuard", "ResetGuard"),
    "alarmcmd": ("ResetAlarm",),
}


def decide(message: Message, device: Device, state: SiteState) -> Decision:
    """What to do about a Control of the platform that ``device`` is shown to."""
    found = _commands(message.root)
    is_config = message.command.lower() == "deviceconfig"
    if not found:
        return Decision(name="", verdict=Verdict.UNSUPPORTED, has_response=is_config)
    rules = [(name, element, POLICY[name]) for name, element in found]
    # More than one in a body is against the standard: the worst of them decides.
    for name, _, rule in rules:
        if not rule.is_allowed and name not in device.allow:
            return Decision(
                name=name, verdict=Verdict.REFUSED, has_response=rule.has_response or is_config
            )
    name, element, rule = rules[0]
    decision = _decided(name, element, message, device, state)
    return Decision(
        name=name,
        verdict=decision[0],
        effect=decision[1],
        detail=decision[2],
        has_response=rule.has_response or is_config,
    )


_Outcome = tuple[Verdict, Effect | None, str]


def _commands(root: Element) -> list[tuple[str, Element]]:
    """Every command of the body with its word, in order; ``SnapShot`` inside nothing else."""
    found: list[tuple[str, Element]] = []
    for element in root.walk():
        key = element.name.lower()
        if key in _BY_TEXT:
            said = element.text.strip().lower()
            words = [word for word in _BY_TEXT[key] if word.lower() == said]
            # What cannot be read may be the worst of what it could mean.
            found.append((words[0] if words else _BY_TEXT[key][-1], element))
        elif key in _ELEMENTS:
            found.append((_ELEMENTS[key], element))
    return found


def _decided(
    name: str, element: Element, message: Message, device: Device, state: SiteState
) -> _Outcome:
    if name in ("SetGuard", "ResetGuard"):
        return _guard(name, element, message, device)
    if name == "ResetAlarm":
        return _reset_alarm(element, message, device)
    if name == "BasicParam":
        return _basic(message, device)
    channel = device.channel(message.device_id)
    if channel is None:
        return Verdict.NOT_FOUND, None, "no channel of this code"
    if name == "Record":
        if state.camera(channel.camera).is_recording:
            return Verdict.DONE, None, "it records all the time"
        return Verdict.UNSUPPORTED, None, "it should record all the time, and does not now"
    if name == "PTZCmd":
        return _ptz(element.text, channel)
    if name == "IFrameCmd":
        return _order(channel, "key_frame")
    if name == "TeleBoot":
        return _order(channel, "reboot")
    if name == "HomePosition":
        return _home(message, channel)
    if name == "SnapShotConfig":
        return _snapshot(message, channel, device)
    return Verdict.UNSUPPORTED, None, "nothing here can do this"


def _order(channel: Channel, verb: str, **arguments: float | int | str | bool) -> _Outcome:
    order = CameraOrder(camera=channel.camera, verb=verb, arguments=arguments)
    return Verdict.DONE, order, verb


def _guard(name: str, element: Element, message: Message, device: Device) -> _Outcome:
    if element.text.strip().lower() != name.lower():
        return Verdict.MALFORMED, None, "neither SetGuard nor ResetGuard"
    if not device.is_self(message.device_id) and device.channel(message.device_id) is None:
        return Verdict.NOT_FOUND, None, "no channel of this code"
    code = device.device_id if device.is_self(message.device_id) else message.device_id
    return Verdict.DONE, SetGuard(code=code, is_on=name == "SetGuard"), ""


def _reset_alarm(element: Element, message: Message, device: Device) -> _Outcome:
    if element.text.strip().lower() not in ("resetalarm", "1"):
        return Verdict.MALFORMED, None, "not ResetAlarm"
    if not device.is_self(message.device_id) and device.channel(message.device_id) is None:
        return Verdict.NOT_FOUND, None, "no channel of this code"
    code = device.device_id if device.is_self(message.device_id) else message.device_id
    effect = ResetAlarm(
        code=code, method=message.value("AlarmMethod")[:10], type=message.value("AlarmType")[:10]
    )
    return Verdict.DONE, effect, ""


def _basic(message: Message, device: Device) -> _Outcome:
    """Heartbeat only: names are the site's, and those of the picture (OSD)."""
    if not device.is_self(message.device_id):
        return Verdict.UNSUPPORTED, None, "a channel has no heartbeat of its own"
    name = message.value("Name")
    if name not in ("", device.name):
        return Verdict.UNSUPPORTED, None, "the name is given by the site's settings"
    keepalive_s, count = message.number("HeartBeatInterval"), message.number("HeartBeatCount")
    for value in (keepalive_s, count):
        if value is not None and value < 1:
            return Verdict.MALFORMED, None, "a heartbeat below 1"
    return Verdict.DONE, SetHeartbeat(keepalive_s=keepalive_s, count=count), "heartbeat"


def _ptz(text: str, channel: Channel) -> _Outcome:
    command = ptz.decode(text)
    if isinstance(command, ptz.Move):
        if command.is_stop:
            return _order(channel, "stop")
        return _order(channel, "move", pan=command.pan, tilt=command.tilt, zoom=command.zoom)
    if isinstance(command, ptz.Preset):
        return _order(channel, f"preset_{command.action.value}", number=command.number)
    if command is None:
        # The standard has no answer for a bad frame: it is ignored, and on record.
        return Verdict.DONE, None, "ignored: no valid PTZ frame"
    return Verdict.UNSUPPORTED, None, f"no {type(command).__name__.lower()} here"


def _home(message: Message, channel: Channel) -> _Outcome:
    is_enabled = message.number("HomePosition", "Enabled")
    reset_s = message.number("HomePosition", "ResetTime")
    preset = message.number("HomePosition", "PresetIndex")
    if is_enabled not in (0, 1):
        return Verdict.MALFORMED, None, "Enabled is neither 0 nor 1"
    if not 0 <= (preset or 0) <= ptz.PRESET_MAX or not 0 <= (reset_s or 0) <= HOME_RESET_S_MAX:
        return Verdict.MALFORMED, None, "PresetIndex or ResetTime is out of range"
    return _order(
        channel, "home_set", enabled=bool(is_enabled), reset_s=reset_s or 0, preset=preset or 0
    )


def _snapshot(message: Message, channel: Channel, device: Device) -> _Outcome:
    count, interval_s = message.number("SnapNum"), message.number("Interval")
    url, session = message.value("UploadURL"), message.value("SessionID")
    is_session = 0 < len(session) <= 128 and all(c.isascii() and c.isprintable() for c in session)
    if not is_session or not 1 <= (count or 0) <= SNAPSHOTS_MAX:
        return Verdict.MALFORMED, None, "no SessionID, or SnapNum is out of range"
    if not 0 <= (interval_s or 0) <= SNAPSHOT_INTERVAL_S_MAX:
        return Verdict.MALFORMED, None, "Interval is out of range"
    reason = upload_refusal(url, device.snapshot_hosts)
    if reason:
        return Verdict.REFUSED, None, reason
    effect = Snapshot(
        camera=channel.camera,
        code=channel.gb_id,
        count=count or 1,
        interval_s=max(interval_s or 1, 1),
        url=url,
        session=session,
    )
    return Verdict.DONE, effect, "snapshot"


def upload_refusal(url: str, hosts: frozenset[str]) -> str:
    """Why pictures are not sent there; empty: they may. Only to the platform's own hosts."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "UploadURL is no URL"
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return "UploadURL is no URL"
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or port == 0:
        return "UploadURL is no plain HTTP address"
    if host.lower() not in hosts:
        return "UploadURL is none of the platform's hosts"
    return ""

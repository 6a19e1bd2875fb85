"""Care of one camera through ONVIF: look at it, set its clock, encoder, and name in the picture.

ONVIF Device and Media services (version 20.12). Looking changes nothing in the camera. Shell; runs
in the ONVIF process only.
"""

from __future__ import annotations

import datetime
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

from config.address import Address, is_ip
from edge.camera.description import Profile, clean
from edge.camera.errors import CameraError
from edge.camera.inspection import (
    ClockOffset,
    ClockSample,
    EncoderSettings,
    Inspection,
    Overlay,
    narrowed,
    to_plain,
)
from edge.camera.media_choice import choose_profile
from edge.camera.onvif import (
    DESCRIBE_S,
    TIMEOUT_S,
    Information,
    Known,
    OnvifCamera,
    Refused,
    calling,
    demanded,
    information_of,
    profiles_told,
    size,
)
from edge.camera.soap_http import Deadline, Poster
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

#: The clock is read until its offset is known to so much, or for so long.
CLOCK_WIDTH_US = US_PER_S // 4
CLOCK_READ_US = 1_300_000
CLOCK_PAUSE_S = 0.12
CLOCK_READS_MAX = 10
OVERLAYS_MAX = 32
NAME_CHARS_MAX = 100

Arguments = Mapping[str, Any]
_LOST = (GapCause.CAMERA_OFFLINE, GapCause.CAMERA_AUTH, GapCause.CAMERA_REFUSED, GapCause.NETWORK)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Carer:
    """Carries out one request of care; for many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def care(
        self,
        address: Address,
        username: str,
        password: str,
        profile: str,
        verb: str,
        arguments: Arguments,
    ) -> dict[str, Any]:
        """The answer as JSON-able values; blocks at most ``DESCRIBE_S``.

        Raises:
            CameraError: it cannot be reached, refuses, or has no such ability.
        """
        do = _VERBS.get(verb)
        if do is None:
            raise CameraError(GapCause.CAMERA_REFUSED, f"{clean(verb)!r} is no care of a camera")
        with Deadline(DESCRIBE_S) as deadline:
            poster = Poster(
                username=username, password=password, timeout_s=TIMEOUT_S, deadline=deadline
            )
            camera = OnvifCamera(poster, username, password, address, self._clock)
            return do(_Cared(camera, camera.reach(), address, profile, self._clock), arguments)


class _Cared:
    """A camera that answers, and where its services are."""

    def __init__(
        self, camera: OnvifCamera, known: Known, address: Address, wanted: str, clock: Clock
    ) -> None:
        self.camera = camera
        self.address = address
        self.clock = clock
        self._known = known
        self._wanted = wanted

    def media(self) -> Any:
        return self.camera.media(self._known.media_url)

    def profiles(self) -> tuple[tuple[Profile, ...], Profile, Any]:
        """All, the one that is recorded, and what the camera said of that."""
        told = profiles_told(self.media())
        known = tuple(profile for profile, _ in told)
        chosen = choose_profile(known, self._wanted)
        return known, chosen, next(raw for one, raw in told if one is chosen)


def _inspect(cared: _Cared, arguments: Arguments) -> dict[str, Any]:
    """Everything that a look tells; what a camera does not know is left out, with a word why."""
    del arguments
    troubles: list[str] = []
    information, clock, is_ntp = Information(), None, None
    with _as_far_as_it_goes(troubles):
        information = information_of(cared.camera.device())
    with _as_far_as_it_goes(troubles):
        clock, is_ntp = _read_clock(cared)
    profiles: tuple[Profile, ...] = ()
    token, raw = "", None
    with _as_far_as_it_goes(troubles):
        profiles, chosen, raw = cared.profiles()
        token = chosen.token
    settings = overlays = None
    with _as_far_as_it_goes(troubles), calling("GetProfiles"):
        settings = _settings_of(getattr(raw, "VideoEncoderConfiguration", None))
    with _as_far_as_it_goes(troubles):
        overlays = tuple(overlay for overlay, _ in _overlays(cared, raw))
    found = Inspection(
        manufacturer=information.manufacturer,
        model=information.model,
        firmware=information.firmware,
        serial=information.serial,
        clock=clock,
        is_ntp=is_ntp,
        encoder=settings,
        overlays=overlays,
        profiles=profiles,
        profile=token,
        troubles=tuple(troubles),
    )
    return {"inspection": to_plain(found)}


@contextmanager
def _as_far_as_it_goes(troubles: list[str]) -> Any:
    """A call that is refused or answered with nonsense costs only what it would have told."""
    try:
        yield
    except Refused as error:
        troubles.append(clean(f"{error.operation}: {error.reason}"))
    except CameraError as error:
        if error.cause in _LOST:
            raise
        troubles.append(error.detail)


# Clock -----------------------------------------------------------------------------------------


def _read_clock(cared: _Cared) -> tuple[ClockOffset | None, bool | None]:
    """Asks until a second ends at the camera, so that the offset is known to a fraction of one."""
    samples: list[ClockSample] = []
    is_ntp: bool | None = None
    began_us = cared.clock.monotonic_us()
    for _ in range(CLOCK_READS_MAX):
        told = cared.camera.shown_clock()
        if told is None:
            raise Refused("GetSystemDateAndTime", "refused")
        kind = getattr(told[0], "DateTimeType", None)
        is_ntp = None if kind is None else str(kind) == "NTP"
        if told[1] is None:
            break
        samples.append(told[1])
        offset = narrowed(samples)
        assert offset is not None
        is_narrow = offset.high_us - offset.low_us <= CLOCK_WIDTH_US
        if is_narrow or cared.clock.monotonic_us() - began_us > CLOCK_READ_US:
            break
        time.sleep(CLOCK_PAUSE_S)
    return narrowed(samples), is_ntp


def _set_clock(cared: _Cared, arguments: Arguments) -> dict[str, Any]:
    """The host's time, by hand (``mode`` "set"), or from an NTP server ("ntp"): ``server``, or this
    box as the camera sees it. Time zone and summer time stay as they are."""
    shown = cared.camera.shown_clock()
    told = None if shown is None else shown[0]
    wanted: dict[str, Any] = {
        "DateTimeType": "Manual",
        "DaylightSavings": bool(getattr(told, "DaylightSavings", False)),
    }
    zone = getattr(getattr(told, "TimeZone", None), "TZ", None)
    if zone:
        wanted["TimeZone"] = {"TZ": str(zone)}
    device = cared.camera.device()
    if arguments.get("mode") == "ntp":
        server = str(arguments.get("server") or _own_address(cared.address))
        with demanded(), calling("SetNTP"):
            device.SetNTP({"FromDHCP": False, "NTPManual": [_network_host(server)]})
        wanted["DateTimeType"] = "NTP"
        with demanded(), calling("SetSystemDateAndTime"):
            device.SetSystemDateAndTime(wanted)
        return {"server": server}
    sample = None if shown is None else shown[1]
    travel_us = 0 if sample is None else (sample.after_us - sample.before_us) // 2
    # whole seconds can be told: the call is to arrive when one begins
    now_us = cared.clock.utc_us() + travel_us
    second_us = (now_us // US_PER_S + 1) * US_PER_S
    time.sleep((second_us - now_us) / US_PER_S)
    at = _EPOCH + datetime.timedelta(microseconds=second_us)
    wanted["UTCDateTime"] = {
        "Time": {"Hour": at.hour, "Minute": at.minute, "Second": at.second},
        "Date": {"Year": at.year, "Month": at.month, "Day": at.day},
    }
    with demanded(), calling("SetSystemDateAndTime"):
        device.SetSystemDateAndTime(wanted)
    return {}


def _own_address(camera: Address) -> str:
    """Ours, as packets to the camera carry it; nothing is sent."""
    try:
        kind = socket.AF_INET6 if ":" in camera.host else socket.AF_INET
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((camera.host, camera.port))
            return str(probe.getsockname()[0])
    except OSError:
        raise CameraError(GapCause.NETWORK, "there is no way to the camera's address") from None


def _network_host(server: str) -> dict[str, str]:
    if is_ip(server, version=4):
        return {"Type": "IPv4", "IPv4Address": server}
    if is_ip(server, version=6):
        return {"Type": "IPv6", "IPv6Address": server}
    return {"Type": "DNS", "DNSname": server}


# Encoder ---------------------------------------------------------------------------------------


def _settings_of(told: Any) -> EncoderSettings | None:
    if told is None:
        return None
    resolution, control = getattr(told, "Resolution", None), getattr(told, "RateControl", None)
    h264 = getattr(told, "H264", None)
    return EncoderSettings(
        codec=clean(getattr(told, "Encoding", None)).upper(),
        width=size(getattr(resolution, "Width", None)),
        height=size(getattr(resolution, "Height", None)),
        fps=_number(getattr(control, "FrameRateLimit", None)),
        bits_per_second=_number(getattr(control, "BitrateLimit", None)) * 1000,
        gop_frames=_number(getattr(h264, "GovLength", None)),
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 10_000_000 else 0


def _apply_encoder(cared: _Cared, arguments: Arguments) -> dict[str, Any]:
    """Sets what ``arguments`` name (as EncoderSettings), leaves all else; then asks what it has."""
    _, _, raw = cared.profiles()
    told = getattr(raw, "VideoEncoderConfiguration", None)
    if told is None:
        raise CameraError(
            GapCause.CAMERA_REFUSED,
            "the camera tells no encoder for this profile (H.265 is none of ONVIF Media 1)",
            hint="set it on the camera's own page",
        )
    wanted = EncoderSettings(**arguments)
    with demanded(), calling("SetVideoEncoderConfiguration"):
        told.Encoding = wanted.codec
        if wanted.width and wanted.height:
            told.Resolution = {"Width": wanted.width, "Height": wanted.height}
        control = getattr(told, "RateControl", None)
        if control is not None:
            control.FrameRateLimit = wanted.fps or control.FrameRateLimit
            control.BitrateLimit = wanted.bits_per_second // 1000 or control.BitrateLimit
        if wanted.gop_frames and wanted.codec == "H264":
            main = getattr(getattr(told, "H264", None), "H264Profile", None) or "Main"
            told.H264 = {"GovLength": wanted.gop_frames, "H264Profile": main}
        cared.media().SetVideoEncoderConfiguration(
            {"Configuration": told, "ForcePersistence": True}
        )
    _, _, raw = cared.profiles()
    found = _settings_of(getattr(raw, "VideoEncoderConfiguration", None))
    assert found is not None or raw is not None
    names = EncoderSettings.__dataclass_fields__
    return {"encoder": None if found is None else {name: getattr(found, name) for name in names}}


# Texts in the picture --------------------------------------------------------------------------


def _source_token(raw: Any) -> str:
    return str(getattr(getattr(raw, "VideoSourceConfiguration", None), "token", None) or "")


def _overlays(cared: _Cared, raw: Any) -> list[tuple[Overlay, Any]]:
    """Texts only; those of other lenses are left out."""
    source = _source_token(raw)
    found: list[tuple[Overlay, Any]] = []
    with calling("GetOSDs"):
        asked = {"ConfigurationToken": source} if source else {}
        for told in list(cared.media().GetOSDs(asked) or [])[:OVERLAYS_MAX]:
            text = getattr(told, "TextString", None)
            if text is None or not _is_of(told, source):
                continue
            overlay = Overlay(
                token=str(getattr(told, "token", "") or ""),
                kind=clean(getattr(text, "Type", None)),
                text=clean(getattr(text, "PlainText", None)),
            )
            found.append((overlay, told))
    return found


def _is_of(told: Any, source: str) -> bool:
    reference = getattr(told, "VideoSourceConfigurationToken", None)
    token = str(getattr(reference, "_value_1", reference) or "")
    return not source or not token or token == source


def _set_osd(cared: _Cared, arguments: Arguments) -> dict[str, Any]:
    """Writes ``name`` into the camera's first plain text, or makes one at the lower left."""
    name = str(arguments.get("name", ""))[:NAME_CHARS_MAX]
    _, _, raw = cared.profiles()
    with demanded():
        plain = [pair for pair in _overlays(cared, raw) if pair[0].kind == "Plain"]
    if any(overlay.text == name for overlay, _ in plain):
        return {"before": name}
    if plain:
        overlay, told = plain[0]
        with demanded(), calling("SetOSD"):
            told.TextString.PlainText = name
            cared.media().SetOSD({"OSD": told})
        return {"before": overlay.text}
    wanted = {
        "token": "",
        "VideoSourceConfigurationToken": _source_token(raw),
        "Type": "Text",
        "Position": {"Type": "LowerLeft"},
        "TextString": {"Type": "Plain", "PlainText": name},
    }
    with demanded(), calling("CreateOSD"):
        cared.media().CreateOSD({"OSD": wanted})
    return {"before": None}


_VERBS: Mapping[str, Callable[[_Cared, Arguments], dict[str, Any]]] = {
    "inspect": _inspect,
    "set_clock": _set_clock,
    "apply_encoder": _apply_encoder,
    "set_osd": _set_osd,
}

"""What a demo camera's ONVIF device, media and PTZ services say. Core: values in, XML out.

The elements stand in the order of onvif.xsd, devicemgmt.wsdl and media.wsdl (version 10).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from edge.demo.plan import CameraPlan
from edge.demo.soap import element, text
from edge.demo.turning import Place, Preset
from retention.model import Codec, MediaFormat

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
PTZ = "http://www.onvif.org/ver20/ptz/wsdl"
EVENTS = "http://www.onvif.org/ver10/events/wsdl"
NOTIFICATION = "http://docs.oasis-open.org/wsn/b-2"
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def system_date_and_time(camera_utc_us: int, *, is_ntp: bool = False) -> str:
    at = _EPOCH + datetime.timedelta(microseconds=camera_utc_us)
    moment = element(
        "tt:UTCDateTime",
        element(
            "tt:Time",
            text("tt:Hour", at.hour),
            text("tt:Minute", at.minute),
            text("tt:Second", at.second),
        ),
        element(
            "tt:Date", text("tt:Year", at.year), text("tt:Month", at.month), text("tt:Day", at.day)
        ),
    )
    return element(
        "tds:GetSystemDateAndTimeResponse",
        element(
            "tds:SystemDateAndTime",
            text("tt:DateTimeType", "NTP" if is_ntp else "Manual"),
            text("tt:DaylightSavings", False),
            element("tt:TimeZone", text("tt:TZ", "CST-8")),
            moment,
        ),
    )


def device_information(plan: CameraPlan) -> str:
    return element(
        "tds:GetDeviceInformationResponse",
        text("tds:Manufacturer", plan.manufacturer),
        text("tds:Model", plan.model),
        text("tds:FirmwareVersion", plan.firmware),
        text("tds:SerialNumber", plan.serial),
        text("tds:HardwareId", "demo"),
    )


def capabilities(base: str, *, ptz: bool = False, events: bool = False) -> str:
    streaming = element(
        "tt:StreamingCapabilities",
        text("tt:RTPMulticast", False),
        text("tt:RTP_TCP", False),
        text("tt:RTP_RTSP_TCP", True),
    )
    return element(
        "tds:GetCapabilitiesResponse",
        element(
            "tds:Capabilities",
            element("tt:Device", text("tt:XAddr", f"{base}/onvif/device_service")),
            element("tt:Events", text("tt:XAddr", f"{base}/onvif/event_service"), *_EVENT_ABILITIES)
            if events
            else "",
            element("tt:Media", text("tt:XAddr", f"{base}/onvif/media_service"), streaming),
            element("tt:PTZ", text("tt:XAddr", f"{base}/onvif/ptz_service")) if ptz else "",
        ),
    )


_EVENT_ABILITIES = (
    text("tt:WSSubscriptionPolicySupport", False),
    text("tt:WSPullPointSupport", True),
    text("tt:WSPausableSubscriptionManagerInterfaceSupport", False),
)


def services(base: str, *, ptz: bool = False, events: bool = False) -> str:
    def service(namespace: str, path: str) -> str:
        version = element("tds:Version", text("tt:Major", 2), text("tt:Minor", 60))
        where = text("tds:XAddr", f"{base}/onvif/{path}")
        return element("tds:Service", text("tds:Namespace", namespace), where, version)

    return element(
        "tds:GetServicesResponse",
        service(DEVICE, "device_service"),
        service(MEDIA, "media_service"),
        service(PTZ, "ptz_service") if ptz else "",
        service(EVENTS, "event_service") if events else "",
    )


def scopes(plan: CameraPlan) -> str:
    def scope(item: str) -> str:
        return element("tds:Scopes", text("tt:ScopeDef", "Fixed"), text("tt:ScopeItem", item))

    return element(
        "tds:GetScopesResponse",
        scope("onvif://www.onvif.org/type/video_encoder"),
        scope("onvif://www.onvif.org/Profile/Streaming"),
        scope(f"onvif://www.onvif.org/name/{plan.id}"),
    )


def hostname(plan: CameraPlan) -> str:
    inside = element(
        "tds:HostnameInformation", text("tt:FromDHCP", False), text("tt:Name", plan.id)
    )
    return element("tds:GetHostnameResponse", inside)


def profiles(plan: CameraPlan, media: MediaFormat) -> str:
    found = [_profile("trt:Profiles", token, plan, media) for token in plan.profiles]
    return element("trt:GetProfilesResponse", *found)


def profile(token: str, plan: CameraPlan, media: MediaFormat) -> str:
    return element("trt:GetProfileResponse", _profile("trt:Profile", token, plan, media))


def stream_uri(uri: str) -> str:
    return element("trt:GetStreamUriResponse", _media_uri(uri))


def snapshot_uri(uri: str) -> str:
    return element("trt:GetSnapshotUriResponse", _media_uri(uri))


def _media_uri(uri: str) -> str:
    return element(
        "trt:MediaUri",
        text("tt:Uri", uri),
        text("tt:InvalidAfterConnect", False),
        text("tt:InvalidAfterReboot", False),
        text("tt:Timeout", "PT0S"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Osd:
    """A text in the picture."""

    token: str
    kind: str  # Plain, DateAndTime
    text: str


def osds(found: Iterable[Osd]) -> str:
    every = [
        element(
            "trt:OSDs",
            text("tt:VideoSourceConfigurationToken", "source-configuration"),
            text("tt:Type", "Text"),
            element("tt:Position", text("tt:Type", "LowerLeft")),
            element(
                "tt:TextString",
                text("tt:Type", one.kind),
                text("tt:PlainText", one.text) if one.kind == "Plain" else "",
            ),
            token=one.token,
        )
        for one in found
    ]
    return element("trt:GetOSDsResponse", *every)


def done(name: str, *children: str) -> str:
    """An answer that says little more than that it was done: ``tptz:StopResponse``."""
    return element(name, *children)


def presets(found: Iterable[Preset]) -> str:
    every = [
        element(
            "tptz:Preset",
            text("tt:Name", preset.name),
            element("tt:PTZPosition", *_place(preset.place)),
            token=preset.token,
        )
        for preset in found
    ]
    return element("tptz:GetPresetsResponse", *every)


def ptz_status(place: Place, *, is_moving: bool, camera_utc_us: int) -> str:
    state = "MOVING" if is_moving else "IDLE"
    at = _EPOCH + datetime.timedelta(microseconds=camera_utc_us)
    return element(
        "tptz:GetStatusResponse",
        element(
            "tptz:PTZStatus",
            element("tt:Position", *_place(place)),
            element("tt:MoveStatus", text("tt:PanTilt", state), text("tt:Zoom", state)),
            text("tt:UtcTime", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ),
    )


def _place(place: Place) -> tuple[str, str]:
    return (
        element("tt:PanTilt", x=f"{place.pan:.4f}", y=f"{place.tilt:.4f}"),
        element("tt:Zoom", x=f"{place.zoom:.4f}"),
    )


def _profile(name: str, token: str, plan: CameraPlan, media: MediaFormat) -> str:
    video = media.video
    bounds = {"x": "0", "y": "0", "width": str(video.width), "height": str(video.height)}
    source = element(
        "tt:VideoSourceConfiguration",
        text("tt:Name", "video source"),
        text("tt:UseCount", len(plan.profiles)),
        text("tt:SourceToken", "source"),
        element("tt:Bounds", **bounds),
        token="source-configuration",  # noqa: S106 - an ONVIF token, no secret
    )
    # Media version 10 knows no H.265: such a profile has no encoder configuration there.
    encoder = _encoder(token, plan, media) if video.codec is Codec.H264 else ""
    return element(name, text("tt:Name", token), source, encoder, token=token, fixed="true")


def _encoder(token: str, plan: CameraPlan, media: MediaFormat) -> str:
    stream = plan.stream
    size = (text("tt:Width", media.video.width), text("tt:Height", media.video.height))
    address = element("tt:Address", text("tt:Type", "IPv4"), text("tt:IPv4Address", "0.0.0.0"))
    return element(
        "tt:VideoEncoderConfiguration",
        text("tt:Name", f"{token} encoder"),
        text("tt:UseCount", 1),
        text("tt:Encoding", "H264"),
        element("tt:Resolution", *size),
        text("tt:Quality", 5),
        element(
            "tt:RateControl",
            text("tt:FrameRateLimit", stream.fps),
            text("tt:EncodingInterval", 1),
            text("tt:BitrateLimit", (stream.bit_rate or 512_000) // 1000),
        ),
        element("tt:H264", text("tt:GovLength", stream.gop_frames), text("tt:H264Profile", "Main")),
        element(
            "tt:Multicast",
            address,
            text("tt:Port", 0),
            text("tt:TTL", 1),
            text("tt:AutoStart", False),
        ),
        text("tt:SessionTimeout", f"PT{plan.session_timeout_s}S"),
        token=f"{token}-encoder",
    )

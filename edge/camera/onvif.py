"""ONVIF, client side: what a camera is, where its stream is, what its clock shows. Shell.

The only module that knows zeep and onvif-zeep, and only the ONVIF child process imports it: both
are slow to load. No ``ONVIFCamera``: each one leaves a PullPoint subscription in the camera. No
schema ever comes from the network; answers with a DTD are refused.
"""

from __future__ import annotations

import datetime
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree
from onvif.client import ONVIFService, UsernameDigestTokenDtDiff
from onvif.exceptions import ONVIFError
from zeep import Client, Settings, Transport
from zeep.exceptions import Fault
from zeep.wsdl import Document

from config.address import Address
from edge.camera.description import PROFILES_MAX, CameraDescription, Profile, clean
from edge.camera.errors import CameraError
from edge.camera.inspection import ClockSample, narrowed
from edge.camera.media_choice import choose_profile, service_address, stream_candidates
from edge.camera.soap_http import Deadline, Poster
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

WSDL_DIR = Path(__file__).parent / "wsdl"
DEVICE_PATH = "/onvif/device_service"
MEDIA_PATH = "/onvif/Media"
PTZ_PATH = "/onvif/PTZ"
EVENTS_PATH = "/onvif/Events"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
PTZ = "http://www.onvif.org/ver20/ptz/wsdl"
#: One wait for a camera, and all the waits for one description (seconds).
TIMEOUT_S = 3.0
DESCRIBE_S = 10.0

#: zeep loses the text of mixed content, and with it every event's topic (parts.md).
_TOPIC_MIXED = re.compile(
    rb'<xsd:complexType name="TopicExpressionType" mixed="true">.*?</xsd:complexType>', re.DOTALL
)
_TOPIC_SIMPLE = (
    b'<xsd:complexType name="TopicExpressionType"><xsd:simpleContent>'
    b'<xsd:extension base="xsd:string"><xsd:attribute name="Dialect" type="xsd:anyURI"/>'
    b"<xsd:anyAttribute/></xsd:extension></xsd:simpleContent></xsd:complexType>"
)
_NO_RIGHT = re.compile(r"(?i)not ?auth|unauth|authority|failedauth|failedcheck|invalidsecurity")


class SchemaMissing(ValueError):
    """A schema was asked for that is not in our folder."""


class LocalSchemas(Transport):
    """Loads WSDL and XSD from our folder only, the topic type mended."""

    def load(self, url: str) -> bytes:
        path = Path(url)
        path = path if path.suffix else path.with_suffix(".xsd")
        if path.resolve().parent != WSDL_DIR.resolve() or not path.is_file():
            raise SchemaMissing(f"{path.name[:80]!r} is not in {WSDL_DIR}")
        data = path.read_bytes()
        return _TOPIC_MIXED.sub(_TOPIC_SIMPLE, data) if path.name == "b-2.xsd" else data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What zeep looks at in a response. The type is ours: no camera makes zeep unpack MIME."""

    status_code: int
    content: bytes
    encoding: str = "utf-8"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/xml"})


class _CameraTransport(LocalSchemas):
    """Posts to one camera."""

    def __init__(self, poster: Poster) -> None:
        super().__init__()
        self._poster = poster

    def post_xml(self, address: str, envelope: Any, headers: dict[str, str]) -> _Reply:
        body = etree.tostring(envelope, encoding="utf-8", xml_declaration=True)
        answer = self._poster.post(address, body, {str(k): str(v) for k, v in headers.items()})
        if answer.status in (401, 403):
            raise _not_authorised()
        if answer.status == 404:
            raise CameraError(
                GapCause.STREAM_DAMAGED,
                "no ONVIF service is at this address of the camera",
                hint="check the port; some cameras need ONVIF switched on",
            )
        return _Reply(status_code=answer.status, content=answer.body)


@cache
def _document(name: str) -> Any:
    """A parsed WSDL: read once, shared by every camera. 0.1 s and the GIL each."""
    transport: Any = LocalSchemas()  # zeep's annotation asks for the class
    return Document(str(WSDL_DIR / name), transport, settings=_settings())


_document_lock = threading.Lock()


def preload() -> None:
    """Parses what :func:`describe` needs, ahead of the first camera."""
    with _document_lock:
        _document("devicemgmt.wsdl")
        _document("media.wsdl")


def _settings() -> Any:
    return Settings(
        strict=False,  # cameras leave out what the schema asks for
        xml_huge_tree=False,
        forbid_dtd=True,
        forbid_entities=True,
        forbid_external=True,
        xsd_ignore_sequence_order=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Where a camera's services are; ``ptz_url`` is empty where it cannot turn, ``events_url``
    where it tells no events."""

    media_url: str
    ptz_url: str
    events_url: str = ""
    offset_us: int | None = None
    profile: str = ""  # token


def describe(
    address: Address,
    username: str,
    password: str,
    profile: str,
    *,
    clock: Clock,
    timeout_s: float = TIMEOUT_S,
    describe_s: float = DESCRIBE_S,
) -> CameraDescription:
    """Asks a camera what it is and where its stream is. Blocks at most ``describe_s``.

    Raises:
        CameraError: it cannot be reached, refuses the password, or answers what nobody can use.
    """
    preload()
    with Deadline(describe_s) as deadline:
        poster = Poster(
            username=username, password=password, timeout_s=timeout_s, deadline=deadline
        )
        camera = OnvifCamera(poster, username, password, address, clock)
        return camera.describe(profile)


class OnvifCamera:
    """The calls to one camera."""

    def __init__(
        self, poster: Poster, username: str, password: str, address: Address, clock: Clock
    ) -> None:
        self._transport = _CameraTransport(poster)
        self._username = username
        self._password = password
        self._address = address
        self._clock = clock
        self._device_url = f"http://{address}{DEVICE_PATH}"
        self._offset_us: int | None = None

    def describe(self, wanted: str) -> CameraDescription:
        self._offset_us = self._clock_offset_us()
        device = self._device()
        information = Information()
        with optional():
            information = information_of(device)
        media = self.media(self._places(device).media_url)
        profiles = tuple(_profiles(media))
        if not profiles:
            raise CameraError(GapCause.STREAM_DAMAGED, "the camera lists no media profile on ONVIF")
        chosen = choose_profile(profiles, wanted)
        uri = _stream_uri(media, chosen.token)
        return CameraDescription(
            manufacturer=information.manufacturer,
            model=information.model,
            firmware=information.firmware,
            serial=information.serial,
            stream_uris=stream_candidates(uri, self._address),
            clock_offset_us=self._offset_us,
            profiles=profiles,
            profile=chosen.token,
        )

    def _clock_offset_us(self) -> int | None:
        """First without credentials, as WS-Security needs the answer; some cameras want them."""
        shown = self.shown_clock()
        if shown is None or shown[1] is None:
            return None
        # whole seconds are told, cut off: the middle of that second, the middle of the call
        found = narrowed([shown[1]])
        return None if found is None else found.middle_us

    def shown_clock(self) -> tuple[Any, ClockSample | None] | None:
        """What GetSystemDateAndTime tells, and the instant in it; None where it is refused."""
        for is_signed in (False, True):
            device = self._device(is_signed=is_signed)
            before_us = self._clock.utc_us()
            try:
                with calling("GetSystemDateAndTime"):
                    told = device.GetSystemDateAndTime()
                    shown_us = _utc_us(told)
            except (Refused, CameraError) as error:
                is_lost = isinstance(error, CameraError) and error.cause is not GapCause.CAMERA_AUTH
                if is_lost or (is_signed and isinstance(error, CameraError)):
                    raise  # a password that was refused is not shown once more
                continue
            if shown_us is None:
                return told, None
            after_us = self._clock.utc_us()
            return told, ClockSample(before_us=before_us, after_us=after_us, shown_us=shown_us)
        return None

    def reach(self) -> Known:
        """Its clock, for what is signed, and where its services are."""
        self._offset_us = self._clock_offset_us()
        return replace(self._places(self._device()), offset_us=self._offset_us)

    def know(self, wanted: str) -> Known:
        """What is needed to order it about, once for many orders."""
        places = self.reach()
        chosen = choose_profile(tuple(_profiles(self.media(places.media_url))), wanted)
        return replace(places, profile=chosen.token)

    def believe(self, known: Known) -> None:
        """Go on with what an earlier look found."""
        self._offset_us = known.offset_us

    def _device(self, *, is_signed: bool = True) -> Any:
        return self._service(
            "devicemgmt.wsdl", f"{{{DEVICE}}}DeviceBinding", self._device_url, is_signed
        )

    def device(self) -> Any:
        """Its device service."""
        return self._device()

    def media(self, url: str) -> Any:
        """Its media service."""
        return self._service("media.wsdl", f"{{{MEDIA}}}MediaBinding", url, True)

    def ptz(self, url: str) -> Any:
        """Its PTZ service."""
        with _document_lock:
            _document("ptz.wsdl")
        return self._service("ptz.wsdl", f"{{{PTZ}}}PTZBinding", url, True)

    def _places(self, device: Any) -> Known:
        media = ptz = events = ""
        with optional(), calling("GetCapabilities"):
            capabilities = device.GetCapabilities({"Category": ["All"]})
            media = _xaddr(capabilities, "Media")
            ptz = _xaddr(capabilities, "PTZ")
            events = _xaddr(capabilities, "Events")
        return Known(
            media_url=service_address(media, self._address, MEDIA_PATH),
            ptz_url=service_address(ptz, self._address, PTZ_PATH) if ptz else "",
            events_url=service_address(events, self._address, EVENTS_PATH) if events else "",
        )

    def _service(self, wsdl: str, binding: str, url: str, is_signed: bool) -> Any:
        token = None
        if is_signed and self._username:
            # half a second back: a Created in the camera's future is refused by some
            off_us = (self._offset_us or 0) - US_PER_S // 2
            token = UsernameDigestTokenDtDiff(
                self._username,
                self._password,
                dt_diff=datetime.timedelta(microseconds=off_us),
                use_digest=True,
            )
        client = Client(
            _document(wsdl), wsse=token, transport=self._transport, settings=_settings()
        )
        return ONVIFService(
            url, "", "", str(WSDL_DIR / wsdl), zeep_client=client, binding_name=binding
        )


def _xaddr(capabilities: Any, name: str) -> str:
    return str(getattr(getattr(capabilities, name, None), "XAddr", None) or "")


class Refused(Exception):
    """The camera answered a call with a SOAP fault that has nothing to do with rights."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Turns what onvif-zeep raises into CameraError or Refused."""
    try:
        yield
    except ONVIFError as error:
        cause = error.__context__
        if isinstance(cause, CameraError):
            raise cause from None
        if isinstance(cause, Fault):
            said = " ".join(
                [
                    str(cause.message),
                    *(str(getattr(code, "text", code)) for code in cause.subcodes or ()),
                ]
            )
            if _NO_RIGHT.search(said):
                raise _not_authorised() from None
            raise Refused(operation, clean(cause.message)) from None
        raise _not_understood(operation) from None
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        raise _not_understood(operation) from None  # a shape that the schema does not allow


@contextmanager
def optional() -> Iterator[None]:
    """What a camera refuses here is done without."""
    try:
        yield
    except Refused:
        return


def _not_authorised() -> CameraError:
    return CameraError(
        GapCause.CAMERA_AUTH,
        "the camera refuses the user name or password on ONVIF",
        hint="check username and password_file; many cameras keep ONVIF accounts of their own",
    )


def _not_understood(operation: str) -> CameraError:
    return CameraError(
        GapCause.STREAM_DAMAGED, f"the camera's answer to {operation} could not be understood"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What GetDeviceInformation tells."""

    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""


def information_of(device: Any) -> Information:
    """Who made it. Raises as :func:`calling`."""
    with calling("GetDeviceInformation"):
        told = device.GetDeviceInformation()
        return Information(
            manufacturer=clean(getattr(told, "Manufacturer", None)),
            model=clean(getattr(told, "Model", None)),
            firmware=clean(getattr(told, "FirmwareVersion", None)),
            serial=clean(getattr(told, "SerialNumber", None)),
        )


def _profiles(media: Any) -> list[Profile]:
    return [profile for profile, _ in profiles_told(media)]


def profiles_told(media: Any) -> list[tuple[Profile, Any]]:
    """Each profile, with what the camera said of it.

    Raises:
        CameraError: there is no answer that can be understood.
    """
    with demanded(), calling("GetProfiles"):
        found: list[tuple[Profile, Any]] = []
        for profile in list(media.GetProfiles() or [])[:PROFILES_MAX]:
            encoder = getattr(profile, "VideoEncoderConfiguration", None)
            resolution = getattr(encoder, "Resolution", None)
            encoding = clean(getattr(encoder, "Encoding", None)).upper()
            token = getattr(profile, "token", None)
            if not isinstance(token, str) or not token:
                continue
            one = Profile(
                token=token,
                name=clean(getattr(profile, "Name", None)),
                encoding=encoding,
                width=size(getattr(resolution, "Width", None)),
                height=size(getattr(resolution, "Height", None)),
            )
            found.append((one, profile))
        return found


def _stream_uri(media: Any, token: str) -> str:
    setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
    with demanded(), calling("GetStreamUri"):
        told = media.GetStreamUri({"StreamSetup": setup, "ProfileToken": token})
        return str(getattr(told, "Uri", None) or "").strip()


@contextmanager
def demanded() -> Iterator[None]:
    """Without an answer to this call there is no stream."""
    try:
        yield
    except Refused as error:
        raise CameraError(
            GapCause.STREAM_DAMAGED,
            clean(f"the camera refuses {error.operation}: {error.reason}"),
        ) from None


def size(value: object) -> int:
    """A number of pixels, or 0."""
    return value if isinstance(value, int) and 0 < value <= 65535 else 0


def _utc_us(told: Any) -> int | None:
    """The UTC that GetSystemDateAndTime tells; None where it tells none that exists."""
    moment = getattr(told, "UTCDateTime", None)
    date, time = getattr(moment, "Date", None), getattr(moment, "Time", None)
    if date is None or time is None:
        return None
    try:
        shown = datetime.datetime(
            date.Year, date.Month, date.Day, time.Hour, time.Minute, min(time.Second, 59),
            tzinfo=datetime.UTC,
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError):
        return None
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (shown - epoch) // datetime.timedelta(microseconds=1)

"""One ONVIF conversation with one camera. Shell, blocking; runs in the ONVIF child only.

onvif-zeep's service class does the talking; its camera class is left alone, because it subscribes
to events behind the caller's back and cameras have few slots. What is mended here: time-outs on
everything, no schema from the network, bounded answers, no redirects, no proxies, no entities.

Sources: ONVIF Core Specification (device management, clause 8; WS-UsernameToken, 5.9.2) and ONVIF
Media Service Specification (GetProfiles, GetStreamUri).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import zeep
import zeep.exceptions
import zeep.wsdl
from lxml import etree
from onvif.client import ONVIFService, UsernameDigestTokenDtDiff
from onvif.exceptions import ONVIFError
from zeep.transports import Transport

from edge.camera.description import CameraDescription, cut
from edge.camera.errors import CameraError
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

WSDL_DIR = Path(__file__).parent / "wsdl"
TIMEOUT_S = 3.0
#: GetProfiles of a camera with 32 profiles takes 200 KB.
ANSWER_BYTES_MAX = 2 * 1024 * 1024
RTSP_PORT = 554

_DEVICE = "{http://www.onvif.org/ver10/device/wsdl}DeviceBinding"
_MEDIA = "{http://www.onvif.org/ver10/media/wsdl}MediaBinding"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _AnswerTooLong(requests.RequestException):
    """The camera's answer exceeds ANSWER_BYTES_MAX, or never ends."""


class CameraTransport(Transport):
    """HTTP to one camera, bounded in time and size; schemas come from our own folder only."""

    def __init__(self, clock: Clock) -> None:
        session = requests.Session()
        session.trust_env = False  # no proxies, no .netrc
        super().__init__(session=session, timeout=TIMEOUT_S, operation_timeout=TIMEOUT_S)
        self._clock = clock

    def load(self, url: str) -> bytes:
        """A file of the WSDL folder, whatever place a schema names for it."""
        path = WSDL_DIR / url.rsplit("/", 1)[-1]
        if not path.is_file():
            raise zeep.exceptions.TransportError(message=f"no schema {url} is carried here")
        return path.read_bytes()

    def post(self, address: str, message: Any, headers: dict[str, str]) -> requests.Response:
        deadline_us = self._clock.monotonic_us() + int(2 * TIMEOUT_S * US_PER_S)
        response = self.session.post(
            address,
            data=message,
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        )
        body = bytearray()
        for piece in response.iter_content(65536):
            body += piece
            if len(body) > ANSWER_BYTES_MAX or self._clock.monotonic_us() > deadline_us:
                response.close()
                raise _AnswerTooLong("the answer does not end")
        response._content = bytes(body)
        return response


@cache
def _document(name: str) -> zeep.wsdl.Document:
    """A WSDL, parsed once a process."""
    settings = zeep.Settings(strict=False, xml_huge_tree=False, forbid_dtd=True)
    transport: Any = _SchemaTransport()
    return zeep.wsdl.Document(str(WSDL_DIR / name), transport, settings=settings)


class _SchemaTransport(Transport):
    load = CameraTransport.load


class OnvifCamera:
    """A camera's device and media services. Raises CameraError from every method.

    Args:
        address: ``host:port`` that the camera is reached at.
    """

    def __init__(self, address: str, username: str, password: str, clock: Clock) -> None:
        self._address = address
        self._username = username
        self._password = password
        self._clock = clock
        self._transport = CameraTransport(clock)
        self._device_url = f"http://{address}/onvif/device_service"

    def describe(self, profile: str) -> CameraDescription:
        """Everything that recording needs to know; five requests at most."""
        offset_us = self._clock_offset_us()
        device = self._service("devicemgmt.wsdl", _DEVICE, self._device_url, offset_us)
        told = self._ask(device.GetDeviceInformation)
        media_url = self._media_url(device)
        media = self._service("media.wsdl", _MEDIA, media_url, offset_us)
        profiles = self._ask(media.GetProfiles) or []
        token = self._token_of(profiles, profile)
        stream = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        answer = self._ask(media.GetStreamUri, {"StreamSetup": stream, "ProfileToken": token})
        return CameraDescription(
            manufacturer=cut(told.Manufacturer),
            model=cut(told.Model),
            firmware=cut(told.FirmwareVersion),
            serial=cut(told.SerialNumber),
            profiles=tuple(cut(one.Name) for one in profiles),
            stream_uris=candidates(str(answer.Uri or ""), self._address),
            clock_offset_us=offset_us,
        )

    def _clock_offset_us(self) -> int | None:
        """Asked without credentials, which a camera whose clock is off would refuse."""
        device = self._service("devicemgmt.wsdl", _DEVICE, self._device_url, None, is_open=True)
        try:
            told = self._ask(device.GetSystemDateAndTime)
        except CameraError as error:
            if error.cause is GapCause.CAMERA_AUTH:
                return None  # against the specification, but seen
            raise
        utc = told.UTCDateTime if told is not None else None
        if utc is None:
            return None
        date, time = utc.Date, utc.Time
        try:
            moment = datetime(
                date.Year, date.Month, date.Day, time.Hour, time.Minute, min(time.Second, 59),
                tzinfo=UTC,
            )  # fmt: skip
        except (ValueError, TypeError, AttributeError):
            return None
        return (moment - _EPOCH) // timedelta(microseconds=1) - self._clock.utc_us()

    def _media_url(self, device: ONVIFService) -> str:
        told = self._ask(device.GetCapabilities, {"Category": "Media"})
        media = getattr(told, "Media", None)
        url = str(getattr(media, "XAddr", "") or "")
        path = urlsplit(url).path or "/onvif/media_service"
        return f"http://{self._address}{path}"  # behind a port mapping it names another address

    def _token_of(self, profiles: list[Any], wanted: str) -> str:
        for one in profiles:
            if wanted in (one.token, one.Name):
                return str(one.token)
        if wanted == "main" and profiles:
            return str(profiles[0].token)
        names = ", ".join(cut(one.Name)[:40] for one in profiles[:8])
        raise CameraError(
            GapCause.CONFIG,
            f"the camera has no profile {wanted!r}, but: {names or 'none'}",
            hint="set the camera's profile to one of these",
        )

    def _service(
        self,
        wsdl: str,
        binding: str,
        url: str,
        offset_us: int | None,
        *,
        is_open: bool = False,
    ) -> ONVIFService:
        has_password = bool(self._username) and not is_open
        wsse = UsernameDigestTokenDtDiff(
            self._username,
            self._password,
            dt_diff=timedelta(microseconds=offset_us or 0),
            use_digest=True,
        )
        client = zeep.Client(
            _document(wsdl),
            wsse=wsse if has_password else None,
            transport=self._transport,
            settings=zeep.Settings(strict=False, xml_huge_tree=False, forbid_dtd=True),
        )
        return ONVIFService(
            url,
            self._username,
            self._password,
            str(WSDL_DIR / wsdl),
            zeep_client=client,
            binding_name=binding,
        )

    def _ask(self, method: Any, given: dict[str, Any] | None = None) -> Any:
        try:
            return method(given) if given is not None else method()
        except ONVIFError as error:
            raise _explained(error.args[0] if error.args else error) from None


def _explained(error: object) -> CameraError:
    """The cause of what zeep or requests raised; their texts may hold what the camera chose."""
    if isinstance(error, ONVIFError) and error.args and error.args[0] is not error:
        error = error.args[0]
    match error:
        case zeep.exceptions.Fault():
            text = f"{error.message or ''} {' '.join(map(str, error.subcodes or ()))}".lower()
            if "authori" in text or "authent" in text:
                return CameraError(GapCause.CAMERA_AUTH, "ONVIF refuses the user or password")
            return CameraError(
                GapCause.STREAM_DAMAGED, f"ONVIF answers with a fault: {cut(error.message)[:100]}"
            )
        case zeep.exceptions.TransportError():
            if error.status_code in (401, 403):
                return CameraError(GapCause.CAMERA_AUTH, "ONVIF refuses the user or password")
            return CameraError(
                GapCause.STREAM_DAMAGED, f"ONVIF answers with HTTP {error.status_code}"
            )
        case _AnswerTooLong():
            return CameraError(GapCause.STREAM_DAMAGED, "the ONVIF answer does not end")
        case requests.exceptions.ConnectTimeout() | requests.exceptions.ReadTimeout():
            return CameraError(
                GapCause.CAMERA_OFFLINE, f"ONVIF does not answer within {TIMEOUT_S:.0f} s"
            )
        case requests.exceptions.ConnectionError():
            return _unconnected(error)
        case (
            zeep.exceptions.Error()
            | etree.XMLSyntaxError()
            | requests.RequestException()
            | AttributeError()
            | TypeError()
            | ValueError()
            | LookupError()
        ):
            kind = type(error).__name__
            return CameraError(GapCause.STREAM_DAMAGED, f"ONVIF answers with nonsense ({kind})")
    if isinstance(error, BaseException):
        raise error
    return CameraError(GapCause.STREAM_DAMAGED, "ONVIF answers with nonsense")


def _unconnected(error: requests.exceptions.ConnectionError) -> CameraError:
    text = str(error)
    if "Connection refused" in text:
        return CameraError(GapCause.CAMERA_REFUSED, "the ONVIF port refuses connections")
    if "unreachable" in text or "No route" in text or "resolve" in text:
        return CameraError(GapCause.NETWORK, "the camera's address cannot be reached")
    return CameraError(GapCause.CAMERA_OFFLINE, "the camera closed the ONVIF connection")


def candidates(uri: str, reached_at: str) -> tuple[str, ...]:
    """Stream addresses to try: at the host that ONVIF is reached at, then as the camera says.

    A camera behind a port mapping, or moved by DHCP, names an address of its own.

    Raises:
        CameraError: ``uri`` is no RTSP address.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port or RTSP_PORT
    except ValueError:
        parts, port = urlsplit(""), RTSP_PORT
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        raise CameraError(GapCause.STREAM_DAMAGED, "ONVIF gives no RTSP address of the stream")
    host = urlsplit(f"//{reached_at}").hostname or ""

    def at(name: str, number: int) -> str:
        shown = f"[{name}]" if ":" in name else name
        return urlunsplit((parts.scheme, f"{shown}:{number}", parts.path, parts.query, ""))

    wanted = [at(host, port), at(parts.hostname, port), at(host, RTSP_PORT)]
    return tuple(dict.fromkeys(wanted))

"""The ONVIF device of one demo camera: device, media and PTZ services and a still picture, over
HTTP on loopback.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.demo import auth, onvif_answers, onvif_events, soap
from edge.demo.listener import HOST, Listener
from edge.demo.onvif_answers import Osd
from edge.demo.onvif_events import EventDesk
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.soap import Call, EnvelopeMalformed
from edge.demo.turning import Head, Place
from retention.clock import SystemClock
from retention.model import US_PER_S, MediaFormat

BODY_BYTES_MAX = 64 * 1024
SNAPSHOT_PATH = "/snapshot.jpg"
_REALM = "demo camera"
_SOAP = "application/soap+xml; charset=utf-8"
_HEAD_BYTES_MAX = 8192
#: How often a waiting PullMessages looks for news.
_LOOK_S = 0.05
#: Nonces remembered against replay; a client makes one per request.
_NONCES_MAX = 200
#: What may be asked without credentials (ONVIF core, 5.9.4.3, PRE_AUTH).
_OPEN_TO_ALL = frozenset({"GetSystemDateAndTime", "GetCapabilities", "GetServices", "GetHostname"})


class Host(Protocol):
    """What the device asks of its camera."""

    @property
    def plan(self) -> CameraPlan: ...

    @property
    def media(self) -> MediaFormat: ...

    @property
    def password(self) -> str: ...

    def utc_us(self) -> int:
        """What the camera's own clock shows."""
        ...

    @property
    def head(self) -> Head: ...

    def monotonic_us(self) -> int: ...

    def stream_authority(self) -> str:
        """Host and port of the stream URI."""
        ...

    def picture(self) -> bytes:
        """What it sees now, as JPEG; may block for an encoding."""
        ...

    def key_frame(self) -> None:
        """The next picture is one at which a decoder can begin."""
        ...

    @property
    def stream(self) -> StreamPlan:
        """What its encoder is set to."""
        ...

    def set_utc_us(self, utc_us: int) -> None:
        """Its clock shows this from now on."""
        ...

    async def set_stream(self, stream: StreamPlan) -> None:
        """Another picture from now on. Raises ValueError where it cannot."""
        ...


class OnvifDevice:
    """Answers ONVIF calls; ``calls`` holds the newest operation names, oldest first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._nonces: deque[str] = deque(maxlen=_NONCES_MAX)
        self._writers: set[asyncio.StreamWriter] = set()
        self._nonce = secrets.token_hex(16)
        self.calls: deque[str] = deque(maxlen=1000)
        self.is_silent = False
        self.events = EventDesk()
        self.is_ntp = False
        self.ntp_server = ""
        name = host.plan.label if host.plan.osd is None else host.plan.osd
        self.osds = {
            "osd-name": Osd(token="osd-name", kind="Plain", text=name),  # noqa: S106
            "osd-time": Osd(token="osd-time", kind="DateAndTime", text=""),  # noqa: S106
        }
        self.listener = Listener(self._serve, port=host.plan.onvif_port)

    @property
    def address(self) -> str:
        """``host:port``, as the settings' ``onvif`` key takes it."""
        return f"{HOST}:{self.listener.port}"

    def drop(self) -> None:
        """Abort every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            request = await _read_request(reader)
            if self.is_silent:
                await reader.read()  # until the client gives up
                return
            if request.method == "GET":
                writer.write(await self._still(request))
            else:
                call = soap.parse_call(request.body)
                await self._wait_for_events(call, request.path)
                status, answer = self._reply(call, request.path)
                if status == "200 OK" and call.operation == "SetVideoEncoderConfiguration":
                    status, answer = await self._set_encoder(call)
                writer.write(_http(status, answer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away or speaks no HTTP: both end its connection
        except asyncio.CancelledError:
            pass  # the site is over, in the middle of an answer
        except EnvelopeMalformed:
            writer.write(_http("400 Bad Request", b""))
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _still(self, request: _Request) -> bytes:
        """The picture, for who proves the password by HTTP digest."""
        if request.path != SNAPSHOT_PATH:
            return _http("404 Not Found", b"")
        given = auth.digest_parameters(request.authorization)
        is_right = not self._host.password or auth.digest_is_right(
            given,
            method="GET",
            realm=_REALM,
            nonce=self._nonce,
            username=self._host.plan.username,
            password=self._host.password,
        )
        if not is_right:
            challenge = auth.digest_challenge(realm=_REALM, nonce=self._nonce, qop=True)
            return _http("401 Unauthorized", b"", f"WWW-Authenticate: {challenge}\r\n")
        self.calls.append("snapshot")
        return _http("200 OK", await asyncio.to_thread(self._host.picture), kind="image/jpeg")

    def answer(self, body: bytes) -> tuple[str, bytes]:
        """HTTP status and envelope for one request body. Raises EnvelopeMalformed."""
        return self._reply(soap.parse_call(body), "")

    def _reply(self, call: Call, path: str) -> tuple[str, bytes]:
        self.calls.append(call.operation)
        if call.operation not in _OPEN_TO_ALL and not self._is_authorised(call):
            return "400 Bad Request", soap.fault(
                subcodes=("ter:NotAuthorized",), reason="Sender not Authorized"
            )
        handlers: dict[tuple[str, str], Callable[[Call], str | None]] = {
            (onvif_answers.DEVICE, "GetSystemDateAndTime"): self._date,
            (onvif_answers.DEVICE, "GetDeviceInformation"): self._information,
            (onvif_answers.DEVICE, "GetCapabilities"): self._capabilities,
            (onvif_answers.DEVICE, "GetServices"): self._services,
            (onvif_answers.DEVICE, "GetScopes"): self._scopes,
            (onvif_answers.DEVICE, "GetHostname"): self._hostname,
            (onvif_answers.MEDIA, "GetProfiles"): self._profiles,
            (onvif_answers.MEDIA, "GetProfile"): self._profile,
            (onvif_answers.MEDIA, "GetStreamUri"): self._stream_uri,
            (onvif_answers.MEDIA, "GetSnapshotUri"): self._snapshot_uri,
            (onvif_answers.MEDIA, "SetSynchronizationPoint"): self._key_frame,
            (onvif_answers.DEVICE, "SystemReboot"): self._reboot,
            (onvif_answers.DEVICE, "SetSystemDateAndTime"): self._set_date,
            (onvif_answers.DEVICE, "SetNTP"): self._set_ntp,
            (onvif_answers.MEDIA, "GetOSDs"): self._osds,
            (onvif_answers.MEDIA, "SetOSD"): self._set_osd,
            (onvif_answers.MEDIA, "CreateOSD"): self._create_osd,
            (onvif_answers.MEDIA, "SetVideoEncoderConfiguration"): self._check_encoder,
        }
        if self._host.plan.events:
            number = _subscription_of(path)
            handlers |= {
                (onvif_answers.EVENTS, "CreatePullPointSubscription"): self._subscribe,
                (onvif_answers.EVENTS, "PullMessages"): lambda call: self._pull(call, number),
                (onvif_answers.NOTIFICATION, "Renew"): lambda call: self._renew(call, number),
                (onvif_answers.NOTIFICATION, "Unsubscribe"): lambda _: self._unsubscribe(number),
            }
        if self._host.plan.ptz:
            handlers |= {
                (onvif_answers.PTZ, "ContinuousMove"): self._move,
                (onvif_answers.PTZ, "Stop"): self._stop,
                (onvif_answers.PTZ, "GetStatus"): self._status,
                (onvif_answers.PTZ, "GetPresets"): self._presets,
                (onvif_answers.PTZ, "SetPreset"): self._set_preset,
                (onvif_answers.PTZ, "GotoPreset"): self._goto_preset,
                (onvif_answers.PTZ, "RemovePreset"): self._remove_preset,
            }
        handler = handlers.get((call.namespace, call.operation))
        if handler is None:
            return "500 Internal Server Error", soap.fault(
                subcodes=("ter:ActionNotSupported",),
                reason="Optional Action Not Implemented",
                is_sender=False,
            )
        found = handler(call)
        if found is None:
            return "400 Bad Request", soap.fault(
                subcodes=("ter:InvalidArgVal", "ter:NoProfile"), reason="Profile token not found"
            )
        return "200 OK", soap.envelope(found)

    def _is_authorised(self, call: Call) -> bool:
        """Right user, right digest, fresh by the camera's clock, and never seen before."""
        plan, token = self._host.plan, call.token
        if not self._host.password:
            return True
        if token is None or token.username != plan.username or token.nonce in self._nonces:
            return False
        created_us = token.created_us()
        if created_us is None or not auth.wsse_is_right(
            given=token.password_digest,
            nonce_base64=token.nonce,
            created=token.created,
            password=self._host.password,
        ):
            return False
        self._nonces.append(token.nonce)
        return abs(created_us - self._host.utc_us()) <= plan.created_tolerance_us

    def _date(self, call: Call) -> str:
        del call
        return onvif_answers.system_date_and_time(self._host.utc_us(), is_ntp=self.is_ntp)

    def _information(self, call: Call) -> str:
        del call
        return onvif_answers.device_information(self._host.plan)

    def _capabilities(self, call: Call) -> str:
        del call
        return onvif_answers.capabilities(
            f"http://{self.address}", ptz=self._host.plan.ptz, events=self._host.plan.events
        )

    def _services(self, call: Call) -> str:
        del call
        return onvif_answers.services(
            f"http://{self.address}", ptz=self._host.plan.ptz, events=self._host.plan.events
        )

    def _scopes(self, call: Call) -> str:
        del call
        return onvif_answers.scopes(self._host.plan)

    def _hostname(self, call: Call) -> str:
        del call
        return onvif_answers.hostname(self._host.plan)

    def _profiles(self, call: Call) -> str:
        del call
        return onvif_answers.profiles(self._plan(), self._host.media)

    def _profile(self, call: Call) -> str | None:
        token = call.arguments.get("ProfileToken", "")
        if token not in self._host.plan.profiles:
            return None
        return onvif_answers.profile(token, self._plan(), self._host.media)

    def _stream_uri(self, call: Call) -> str | None:
        token = call.arguments.get("ProfileToken", "")
        if token not in self._host.plan.profiles:
            return None
        return onvif_answers.stream_uri(f"rtsp://{self._host.stream_authority()}/{token}")

    def _snapshot_uri(self, call: Call) -> str | None:
        if call.arguments.get("ProfileToken", "") not in self._host.plan.profiles:
            return None
        return onvif_answers.snapshot_uri(f"http://{self.address}{SNAPSHOT_PATH}")

    def _key_frame(self, call: Call) -> str | None:
        if call.arguments.get("ProfileToken", "") not in self._host.plan.profiles:
            return None
        self._host.key_frame()
        return onvif_answers.done("trt:SetSynchronizationPointResponse")

    def _reboot(self, call: Call) -> str:
        """Says so only: a demo camera's life is its process'."""
        del call
        message = soap.text("tds:Message", "rebooting")
        return onvif_answers.done("tds:SystemRebootResponse", message)

    def _plan(self) -> CameraPlan:
        """With the encoder as it is set now."""
        return dataclasses.replace(self._host.plan, stream=self._host.stream)

    # Clock, texts, encoder -------------------------------------------------------------------

    def _set_date(self, call: Call) -> str | None:
        self.is_ntp = call.arguments.get("DateTimeType") == "NTP"
        names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
        if self.is_ntp:  # as if the server were right
            self._host.set_utc_us(SystemClock().utc_us())
        else:
            try:
                text = "{}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}Z"
                at = datetime.datetime.fromisoformat(
                    text.format(*(call.arguments.get(name, "") for name in names))
                )
            except ValueError:
                return None
            self._host.set_utc_us(int(at.timestamp()) * US_PER_S)
        return onvif_answers.done("tds:SetSystemDateAndTimeResponse")

    def _set_ntp(self, call: Call) -> str:
        names = ("IPv4Address", "IPv6Address", "DNSname")
        self.ntp_server = next((call.arguments[n] for n in names if n in call.arguments), "")
        return onvif_answers.done("tds:SetNTPResponse")

    def _osds(self, call: Call) -> str:
        del call
        return onvif_answers.osds(self.osds.values())

    def _set_osd(self, call: Call) -> str | None:
        token = call.attributes.get(("OSD", "token"), "")
        known = self.osds.get(token)
        if known is None:
            return None
        words = call.arguments.get("PlainText", "")
        self.osds[token] = Osd(token=token, kind=known.kind, text=words)
        return onvif_answers.done("trt:SetOSDResponse")

    def _create_osd(self, call: Call) -> str:
        token = f"osd-{len(self.osds) + 1}"
        words = call.arguments.get("PlainText", "")
        self.osds[token] = Osd(token=token, kind="Plain", text=words)
        return onvif_answers.done("trt:CreateOSDResponse", soap.text("trt:OSDToken", token))

    def _check_encoder(self, call: Call) -> str | None:
        token = call.attributes.get(("Configuration", "token"), "")
        known = {f"{profile}-encoder" for profile in self._host.plan.profiles}
        is_fit = token in known and self._wanted_stream(call) is not None
        return onvif_answers.done("trt:SetVideoEncoderConfigurationResponse") if is_fit else None

    def _wanted_stream(self, call: Call) -> StreamPlan | None:
        given = call.arguments
        try:
            stream = dataclasses.replace(
                self._host.stream,
                width=int(given["Width"]),
                height=int(given["Height"]),
                fps=int(given["FrameRateLimit"]),
                bit_rate=int(given["BitrateLimit"]) * 1000,
                gop_frames=int(given["GovLength"]),
            )
        except (KeyError, ValueError):
            return None
        is_able = 16 <= stream.width <= 1920 and 16 <= stream.height <= 1088
        is_able = is_able and stream.width % 2 == 0 and stream.height % 2 == 0
        is_able = is_able and 1 <= stream.fps <= 30 and 1 <= stream.gop_frames <= 300
        return stream if is_able and given.get("Encoding") == "H264" else None

    async def _set_encoder(self, call: Call) -> tuple[str, bytes]:
        stream = self._wanted_stream(call)
        assert stream is not None
        try:
            await self._host.set_stream(stream)
        except ValueError as error:
            return "400 Bad Request", soap.fault(
                subcodes=("ter:InvalidArgVal", "ter:ConfigModify"), reason=str(error)
            )
        done = onvif_answers.done("trt:SetVideoEncoderConfigurationResponse")
        return "200 OK", soap.envelope(done)

    # Events ----------------------------------------------------------------------------------

    async def _wait_for_events(self, call: Call, path: str) -> None:
        """PullMessages is answered when there is something, or when its time is over."""
        if call.operation != "PullMessages":
            return
        number = _subscription_of(path)
        left_s = min(_duration_us(call.arguments.get("Timeout", "")) / US_PER_S, 60.0)
        while left_s > 0 and not self.events.has_news(number):
            await asyncio.sleep(min(_LOOK_S, left_s))
            left_s -= _LOOK_S

    def _subscribe(self, call: Call) -> str | None:
        term_us = _duration_us(call.arguments.get("InitialTerminationTime", ""))
        now_us, utc_us = self._host.monotonic_us(), self._host.utc_us()
        number = self.events.create(term_us, now_us, utc_us)
        if number is None:
            return None
        url = f"http://{self.address}/onvif/subscription?Idx={number}"
        return onvif_events.subscribed(url, term_us, utc_us)

    def _pull(self, call: Call, number: int) -> str | None:
        if not self.events.is_known(number, self._host.monotonic_us()):
            return None
        limit = call.arguments.get("MessageLimit", "")
        count = int(limit) if limit.isdecimal() and len(limit) < 6 else 1
        taken = self.events.take(number, count)
        return onvif_events.pulled(taken, 60 * US_PER_S, self._host.utc_us())

    def _renew(self, call: Call, number: int) -> str | None:
        term_us = _duration_us(call.arguments.get("TerminationTime", ""))
        if not self.events.renew(number, term_us, self._host.monotonic_us()):
            return None
        return onvif_events.renewed(term_us, self._host.utc_us())

    def _unsubscribe(self, number: int) -> str | None:
        if not self.events.unsubscribe(number):
            return None
        return onvif_answers.done("wsnt:UnsubscribeResponse")

    # Turning -------------------------------------------------------------------------------

    def _move(self, call: Call) -> str | None:
        if call.arguments.get("ProfileToken", "") not in self._host.plan.profiles:
            return None
        speed = Place(
            pan=_number(call.attributes.get(("PanTilt", "x"))),
            tilt=_number(call.attributes.get(("PanTilt", "y"))),
            zoom=_number(call.attributes.get(("Zoom", "x"))),
        )
        duration_us = _duration_us(call.arguments.get("Timeout", ""))
        self._host.head.move(speed, duration_us, self._host.monotonic_us())
        return onvif_answers.done("tptz:ContinuousMoveResponse")

    def _stop(self, call: Call) -> str:
        del call
        self._host.head.stop(self._host.monotonic_us())
        return onvif_answers.done("tptz:StopResponse")

    def _status(self, call: Call) -> str:
        del call
        now_us = self._host.monotonic_us()
        head = self._host.head
        return onvif_answers.ptz_status(
            head.place(now_us),
            is_moving=head.is_moving(now_us),
            camera_utc_us=self._host.utc_us(),
        )

    def _presets(self, call: Call) -> str:
        del call
        return onvif_answers.presets(self._host.head.presets.values())

    def _set_preset(self, call: Call) -> str:
        token = self._host.head.set_preset(
            call.arguments.get("PresetName", ""),
            call.arguments.get("PresetToken", ""),
            self._host.monotonic_us(),
        )
        return onvif_answers.done("tptz:SetPresetResponse", soap.text("tptz:PresetToken", token))

    def _goto_preset(self, call: Call) -> str | None:
        token = call.arguments.get("PresetToken", "")
        if not self._host.head.call_preset(token, self._host.monotonic_us()):
            return None
        return onvif_answers.done("tptz:GotoPresetResponse")

    def _remove_preset(self, call: Call) -> str | None:
        if self._host.head.presets.pop(call.arguments.get("PresetToken", ""), None) is None:
            return None
        return onvif_answers.done("tptz:RemovePresetResponse")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    authorization: str
    body: bytes


async def _read_request(reader: asyncio.StreamReader) -> _Request:
    """One HTTP request. Raises EnvelopeMalformed when it has no sane length."""
    head = await reader.readuntil(b"\r\n\r\n")
    if len(head) > _HEAD_BYTES_MAX:
        raise EnvelopeMalformed("the request's head is too long")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = (*first.split(" "), "", "")[:3]
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0" if method == "GET" else "")
    if not length.isdecimal() or len(length) > 6 or int(length) > BODY_BYTES_MAX:
        raise EnvelopeMalformed("no Content-Length, or too large a one")
    return _Request(
        method=method,
        path=path,
        authorization=headers.get("authorization", ""),
        body=await reader.readexactly(int(length)),
    )


def _http(status: str, body: bytes, more: str = "", kind: str = _SOAP) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _subscription_of(path: str) -> int:
    number = path.partition("/onvif/subscription?Idx=")[2]
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _number(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return min(max(value, -1.0), 1.0)


def _duration_us(text: str) -> int:
    """``PT10S``; a minute where it says nothing that is understood."""
    seconds = text.removeprefix("PT").removesuffix("S")
    is_plain = seconds.isdecimal() and len(seconds) <= 3
    return (int(seconds) if is_plain else 60) * US_PER_S

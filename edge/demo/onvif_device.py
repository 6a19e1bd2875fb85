"""The ONVIF device of one demo camera: device, media and PTZ services and a still picture, over
HTTP on loopback.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.demo import auth, onvif_answers, soap
from edge.demo.listener import HOST, Listener
from edge.demo.plan import CameraPlan
from edge.demo.soap import Call, EnvelopeMalformed
from edge.demo.turning import Head, Place
from retention.model import US_PER_S, MediaFormat

BODY_BYTES_MAX = 64 * 1024
SNAPSHOT_PATH = "/snapshot.jpg"
_REALM = "demo camera"
_SOAP = "application/soap+xml; charset=utf-8"
_HEAD_BYTES_MAX = 8192
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


class OnvifDevice:
    """Answers ONVIF calls; ``calls`` holds the newest operation names, oldest first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._nonces: deque[str] = deque(maxlen=_NONCES_MAX)
        self._writers: set[asyncio.StreamWriter] = set()
        self._nonce = secrets.token_hex(16)
        self.calls: deque[str] = deque(maxlen=1000)
        self.is_silent = False
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
                status, answer = self.answer(request.body)
                writer.write(_http(status, answer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away or speaks no HTTP: both end its connection
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
        call = soap.parse_call(body)
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
        return onvif_answers.system_date_and_time(self._host.utc_us())

    def _information(self, call: Call) -> str:
        del call
        return onvif_answers.device_information(self._host.plan)

    def _capabilities(self, call: Call) -> str:
        del call
        return onvif_answers.capabilities(f"http://{self.address}", ptz=self._host.plan.ptz)

    def _services(self, call: Call) -> str:
        del call
        return onvif_answers.services(f"http://{self.address}", ptz=self._host.plan.ptz)

    def _scopes(self, call: Call) -> str:
        del call
        return onvif_answers.scopes(self._host.plan)

    def _hostname(self, call: Call) -> str:
        del call
        return onvif_answers.hostname(self._host.plan)

    def _profiles(self, call: Call) -> str:
        del call
        return onvif_answers.profiles(self._host.plan, self._host.media)

    def _profile(self, call: Call) -> str | None:
        token = call.arguments.get("ProfileToken", "")
        if token not in self._host.plan.profiles:
            return None
        return onvif_answers.profile(token, self._host.plan, self._host.media)

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

"""The ONVIF device of one demo camera: device and media services over HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from edge.demo import auth, onvif_answers, soap
from edge.demo.listener import HOST, Listener
from edge.demo.plan import CameraPlan
from edge.demo.soap import Call, EnvelopeMalformed
from retention.model import MediaFormat

BODY_BYTES_MAX = 64 * 1024
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

    def stream_authority(self) -> str:
        """Host and port of the stream URI."""
        ...


class OnvifDevice:
    """Answers ONVIF calls; ``calls`` holds the newest operation names, oldest first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._nonces: deque[str] = deque(maxlen=_NONCES_MAX)
        self._writers: set[asyncio.StreamWriter] = set()
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
            body = await _read_body(reader)
            if self.is_silent:
                await reader.read()  # until the client gives up
                return
            status, answer = self.answer(body)
            writer.write(_http(status, answer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away or speaks no HTTP: both end its connection
        except EnvelopeMalformed:
            writer.write(_http("400 Bad Request", b""))
        finally:
            self._writers.discard(writer)
            writer.close()

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
        return onvif_answers.capabilities(f"http://{self.address}")

    def _services(self, call: Call) -> str:
        del call
        return onvif_answers.services(f"http://{self.address}")

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


async def _read_body(reader: asyncio.StreamReader) -> bytes:
    """The body of one HTTP request. Raises EnvelopeMalformed when it has no sane length."""
    head = await reader.readuntil(b"\r\n\r\n")
    if len(head) > _HEAD_BYTES_MAX:
        raise EnvelopeMalformed("the request's head is too long")
    length = b""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = value.strip()
    if not length.isdigit() or len(length) > 6 or int(length) > BODY_BYTES_MAX:
        raise EnvelopeMalformed("no Content-Length, or too large a one")
    return await reader.readexactly(int(length))


def _http(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/soap+xml; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body

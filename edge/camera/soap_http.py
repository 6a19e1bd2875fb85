"""One HTTP request at a time to a camera that may do anything: bounded in time and bytes. Shell.

No redirects, no proxies, no cookies, nothing from the environment. HTTP digest authentication
(RFC 7616) is answered once when a camera asks for it, and not again where that was refused:
cameras lock an account that knocks. WS-Security is the caller's.
"""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from edge.camera.errors import CameraError
from retention.model import GapCause

#: GetProfiles of a camera with four lenses takes 120 KB.
ANSWER_BYTES_MAX = 1024 * 1024
#: A still picture of 4K takes 2 MB.
PICTURE_BYTES_MAX = 8 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes


class Deadline:
    """Ends whatever connection is open when ``seconds`` are over: a camera that drips bytes never
    runs into a time-out of the socket."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def watch(self, sock: socket.socket) -> None:
        """``sock`` is the one to end from now on. Raises TimeoutError when it is too late."""
        with self._lock:
            if self.is_over:
                raise TimeoutError
            self._socket = sock

    def forget(self) -> None:
        """No socket is open; to be called before it is closed."""
        with self._lock:
            self._socket = None

    def end(self) -> None:
        """It is over now."""
        with self._lock:
            self.is_over = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Posts for one camera; ``timeout_s`` bounds each wait, ``deadline`` all of them."""

    username: str
    password: str
    timeout_s: float
    deadline: Deadline
    refused: threading.Event = field(default_factory=threading.Event)  # a proof, by HTTP digest

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The camera's answer.

        Raises:
            CameraError: it cannot be reached, is late, answers too much or what is no HTTP.
        """
        return self._exchange("POST", url, body, headers, ANSWER_BYTES_MAX)

    def get(self, url: str) -> Answer:
        """A picture of the camera's; raises as :meth:`post`."""
        return self._exchange("GET", url, b"", {}, PICTURE_BYTES_MAX)

    def _exchange(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], bytes_max: int
    ) -> Answer:
        answer, challenge = self._once(method, url, body, headers, bytes_max)
        is_asked = answer.status == 401 and challenge.lower().startswith("digest ")
        if is_asked and self.username and not self.refused.is_set():
            authorization = self._digest(method, url, challenge)
            if authorization:
                again = {**headers, "Authorization": authorization}
                answer, _ = self._once(method, url, body, again, bytes_max)
                if answer.status == 401:
                    self.refused.set()
        return answer

    def _once(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], bytes_max: int
    ) -> tuple[Answer, str]:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.scheme == "http"
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port or 80, timeout=self.timeout_s
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.connect()
            self.deadline.watch(connection.sock)
            connection.request(method, path, body or None, {**headers, "Connection": "close"})
            response = connection.getresponse()
            content = _read(response, bytes_max)
            if self.deadline.is_over:
                raise TimeoutError  # the deadline's end looks like that of the answer
            challenge = response.headers.get("WWW-Authenticate", "")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _camera_error(error, is_late=self.deadline.is_over) from None
        finally:
            self.deadline.forget()
            connection.close()
        if 300 <= response.status < 400:
            raise CameraError(
                GapCause.STREAM_DAMAGED,
                "the camera sends ONVIF calls elsewhere (HTTP redirect)",
                hint="name the address where ONVIF itself answers",
            )
        return Answer(status=response.status, body=content), challenge

    def _digest(self, method: str, url: str, challenge: str) -> str:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, url, self.username, self.password)
        handler = urllib.request.HTTPDigestAuthHandler(passwords)
        fields = urllib.request.parse_http_list(challenge[len("digest ") :])
        try:
            asked = urllib.request.parse_keqv_list([field for field in fields if field])
            request = urllib.request.Request(url, data=b"", method=method)
            authorization = handler.get_authorization(request, asked)
        except (ValueError, IndexError):
            return ""  # a challenge that nobody can answer
        return f"Digest {authorization}" if authorization else ""


def _read(response: http.client.HTTPResponse, bytes_max: int) -> bytes:
    content = bytearray()
    while chunk := response.read(_READ_BYTES):
        content += chunk
        if len(content) > bytes_max:
            raise ValueError
    if response.length:
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def _camera_error(error: Exception, *, is_late: bool) -> CameraError:
    """The cause, without a word of the camera's or of the address."""
    if is_late or isinstance(error, TimeoutError):
        return CameraError(
            GapCause.CAMERA_OFFLINE,
            "the camera's ONVIF service does not answer in time",
            hint="look whether the camera runs; restart it",
        )
    if isinstance(error, ConnectionRefusedError):
        return CameraError(
            GapCause.CAMERA_REFUSED,
            "the camera refuses connections to its ONVIF port",
            hint="switch ONVIF on in the camera, and check the port",
        )
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected):
        return CameraError(
            GapCause.CAMERA_OFFLINE, "the camera ended the connection to its ONVIF service"
        )
    if isinstance(error, OSError):  # no route, no such name
        return CameraError(
            GapCause.NETWORK,
            "the camera's ONVIF address cannot be reached",
            hint="check the address, the cable and the switch",
        )
    if isinstance(error, ValueError) and not isinstance(error, http.client.HTTPException):
        return CameraError(
            GapCause.STREAM_DAMAGED,
            f"the camera's answer is malformed or above {ANSWER_BYTES_MAX} bytes",
        )
    return CameraError(GapCause.STREAM_DAMAGED, "what answers at the ONVIF address speaks no HTTP")

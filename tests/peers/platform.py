"""A police platform of our own, for long runs: registrar, and requests of its own. A thread.

It speaks over UDP and TCP on one port. What it does with a REGISTER or a keepalive is set by
``mood``, at any time. SIPp and Kamailio (tests/peers/sipp) are the strangers; this is the one that
stays for a thousand cuts.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeVar

from uplink.sip.headers import Headers, parse_parameters, split, unquote
from uplink.sip.message import Request, Response, parse
from uplink.sip.stream import Framer

T = TypeVar("T")

_BEIJING = timezone(timedelta(hours=8))
Mood = Literal["kind", "silent", "forbid", "forget", "busy"]
SERVER_ID = "34020000002000000001"
DEVICE_ID = "34020000001180000001"
DOMAIN = "3402000000"
PASSWORD = "12345678"


@dataclass(slots=True)
class Peer:
    """Where the device spoke from last."""

    transport: str
    address: tuple[str, int]
    connection: socket.socket | None = None


@dataclass(slots=True)
class PlatformPeer:
    """Start with :meth:`start`; every list and counter may be read from the test's thread.

    ``kind`` registers and answers; ``silent`` hears nothing; ``forbid`` answers 403 to REGISTER;
    ``forget`` has forgotten the device: 403 to keepalives until it registers again, and then
    ``kind``; ``busy`` answers 503.
    """

    host: str = "127.0.0.1"
    port: int = 0
    server_id: str = SERVER_ID
    domain: str = DOMAIN
    password: str = PASSWORD
    algorithm: str = "MD5"
    qop: bool = True
    expires: int | None = None
    mood: Mood = "kind"
    date: str = ""
    has_clock: bool = False  # its Date is the true time, as the standard writes it
    redirect: str = ""
    registered: dict[str, str] = field(default_factory=dict)  # device -> Call-ID
    counts: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    peer: Peer | None = None
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _udp: socket.socket | None = None
    _tcp: socket.socket | None = None
    _framers: dict[int, Framer] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _is_stopping: bool = False
    _nonces: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def start(self) -> PlatformPeer:
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._udp, self._tcp = self._bound()
        self.port = self._udp.getsockname()[1]
        self._tcp.listen()
        self._selector.register(self._udp, selectors.EVENT_READ)
        self._selector.register(self._tcp, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="platform", daemon=True)
        self._thread.start()
        return self

    def _bound(self) -> tuple[socket.socket, socket.socket]:
        """One number for both; where any will do, one that both can have."""
        while True:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tcp = socket.socket()
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((self.host, self.port))
                tcp.bind((self.host, udp.getsockname()[1]))
            except OSError:
                udp.close()
                tcp.close()
                if self.port:
                    raise
            else:
                return udp, tcp

    def stop(self) -> None:
        """As if its process had ended: sockets closed, everything forgotten."""
        self._is_stopping = True
        if self._thread is not None:
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._framers.clear()
        self.registered.clear()
        self.peer = None

    def __enter__(self) -> PlatformPeer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Asking ----------------------------------------------------------------------------------

    def wait(self, what: str, probe: Callable[[], T | None], timeout_s: float = 20.0) -> T:
        deadline = time.monotonic() + timeout_s
        while True:
            found = probe()
            if found is not None and found is not False:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {what}; {self.counts}")
            time.sleep(0.01)

    def wait_registered(self, device: str = DEVICE_ID, timeout_s: float = 20.0) -> None:
        self.wait(f"{device} registered", lambda: device in self.registered, timeout_s)

    def wait_keepalive(self, timeout_s: float = 20.0) -> None:
        """One that comes after this call."""
        had = self.counts["keepalive"]
        self.wait("a keepalive", lambda: self.counts["keepalive"] > had, timeout_s)

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        target: str = DEVICE_ID,
        fields: tuple[tuple[str, str], ...] = (),
        call_id: str = "",
        to_tag: str = "",
        from_tag: str = "plat",
    ) -> Request:
        """A request of the platform to the device."""
        number = next(self._numbers)
        transport = self.peer.transport.upper() if self.peer else "UDP"
        to = f"<sip:{target}@{self.domain}>" + (f";tag={to_tag}" if to_tag else "")
        headers = Headers(
            ("Via", f"SIP/2.0/{transport} {self.host}:{self.port};rport;branch=z9hG4bKp{number}"),
            ("From", f"<sip:{self.server_id}@{self.domain}>;tag={from_tag}"),
            ("To", to),
            ("Call-ID", call_id or f"platform-{number}"),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<sip:{self.server_id}@{self.host}:{self.port}>"),
            ("Max-Forwards", "70"),
            *fields,
        )
        return Request(method=method, uri=f"sip:{target}@{self.domain}", headers=headers, body=body)

    def send(self, data: bytes) -> None:
        """Bytes to where the device spoke from last."""
        assert self.peer is not None
        if self.peer.connection is not None:
            self.peer.connection.sendall(data)
        else:
            assert self._udp is not None
            self._udp.sendto(data, self.peer.address)

    def ask(self, request: Request, timeout_s: float = 10.0) -> Response:
        """Sends, over UDP every half second, and waits for the final answer."""
        resend_s = 0.0

        def probe() -> Response | None:
            nonlocal resend_s
            is_due = time.monotonic() >= resend_s
            if is_due and (not resend_s or self.peer is None or self.peer.connection is None):
                self.send(request.serialize())
                resend_s = time.monotonic() + 0.5
            return self._final(request)

        return self.wait(f"an answer to {request.method}", probe, timeout_s)

    def _final(self, request: Request) -> Response | None:
        for response in list(self.responses):
            is_its = response.call_id == request.call_id and response.cseq == request.cseq
            if is_its and response.status >= 200:
                return response
        return None

    def forget(self) -> None:
        """What was said so far, for long runs."""
        self.requests.clear()
        self.responses.clear()

    def messages(self, word: bytes) -> list[Request]:
        """MESSAGEs and NOTIFYs of the device whose body holds ``word``."""
        return [one for one in list(self.requests) if word in one.body]

    # Answering -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_stopping:
            for key, _ in self._selector.select(0.02):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    self._read(key.fileobj)
                except (OSError, ValueError):
                    self.counts["broken"] += 1

    def _read(self, readable: socket.socket) -> None:
        if readable is self._udp:
            data, address = readable.recvfrom(65535)
            self._take(data, Peer("udp", address))
        elif readable is self._tcp:
            connection, _ = readable.accept()
            self._framers[connection.fileno()] = Framer()
            self._selector.register(connection, selectors.EVENT_READ)
            self.counts["connections"] += 1
        else:
            try:
                data = readable.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._framers.pop(readable.fileno(), None)
                self._selector.unregister(readable)
                readable.close()
                return
            for message in self._framers[readable.fileno()].feed(data):
                self._take(message, Peer("tcp", readable.getpeername(), readable))

    def _take(self, data: bytes, peer: Peer) -> None:
        if self.mood == "silent":
            self.counts["ignored"] += 1
            return
        message = parse(data)
        self.peer = peer
        if isinstance(message, Response):
            self.responses.append(message)
            return
        self.requests.append(message)
        if message.method == "ACK":
            return
        status, fields = self._judge(message)
        response = Response.to_request(message, status, to_tag="t", fields=fields)
        self.send(response.serialize())

    def _judge(self, request: Request) -> tuple[int, tuple[tuple[str, str], ...]]:
        device = request.sender.user
        if request.method == "REGISTER":
            return self._register(request, device)
        is_keepalive = b"<CmdType>Keepalive<" in request.body
        if is_keepalive:
            self.counts["keepalive"] += 1
        if self.mood == "busy":
            return 503, ()
        if request.method == "MESSAGE" and device not in self.registered:
            self.counts["unknown"] += 1
            return 403, ()
        return 200, ()

    def _register(self, request: Request, device: str) -> tuple[int, tuple[tuple[str, str], ...]]:
        self.counts["register"] += 1
        if self.mood in ("forbid", "busy"):
            return (403 if self.mood == "forbid" else 503), ()
        authorization = request.headers.get("Authorization")
        if not authorization:
            nonce = secrets.token_hex(16)
            self._nonces.add(nonce)
            qop = ', qop="auth"' if self.qop else ""
            challenge = (
                f'Digest realm="{self.domain}", nonce="{nonce}"{qop}, algorithm={self.algorithm}'
            )
            return 401, (("WWW-Authenticate", challenge),)
        if not self._is_right(authorization, request.uri):
            self.counts["wrong"] += 1
            return 403, ()
        if self.redirect:
            return 302, (("Contact", self.redirect),)
        asked = int(request.headers.get("Expires"))
        granted = asked if self.expires is None or not asked else min(self.expires, asked)
        if asked:
            self.registered[device] = request.call_id
            self.counts["registered"] += 1
            if self.mood == "forget":
                self.mood = "kind"
        else:
            self.registered.pop(device, None)
            self.counts["unregistered"] += 1
        told = _beijing_time() if self.has_clock else self.date
        date = (("Date", told),) if told else ()
        return 200, (("Expires", str(granted)), ("X-GB-Ver", "3.0"), *date)

    def _is_right(self, authorization: str, uri: str) -> bool:
        pairs = parse_parameters(split(authorization.removeprefix("Digest "), ","))
        given = {name.lower(): unquote(value or "") for name, value in pairs}
        if given.get("nonce") not in self._nonces or given.get("uri") != uri:
            return False
        self._nonces.discard(given["nonce"])
        name = "sha256" if given.get("algorithm") == "SHA-256" else "md5"

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        first = digest(f"{given['username']}:{given['realm']}:{self.password}")
        second = digest(f"REGISTER:{uri}")
        counted = ""
        if self.qop:
            if not re.fullmatch("0000000[1-9]", given.get("nc", "")):
                return False
            counted = f":{given['nc']}:{given['cnonce']}:auth"
        return given.get("response") == digest(f"{first}:{given['nonce']}{counted}:{second}")


def _beijing_time() -> str:
    """Now, as a Date says it (GB/T 28181-2022, 9.10)."""
    return datetime.now(_BEIJING).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]

"""Transactions: requests are sent until answered, answers until acknowledged, duplicates end here.

Core (RFC 3261 17, RFC 6026 for answers of 2xx to INVITE). Inputs are messages and instants of the
monotonic clock in microseconds; outputs are effects, to be taken after every input.

Peers break the rules of matching (gb28181.md 0.19: branches without the magic cookie, ACK and
CANCEL with a branch of their own), so a request is told from its retransmission by Call-ID, From
tag, CSeq and branch together, and ACK and CANCEL find their INVITE without the branch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Literal, NamedTuple

from uplink.sip.headers import Headers, split
from uplink.sip.message import Request, Response

Transport = Literal["udp", "tcp"]

#: Server transactions kept at once. A platform has a few; each costs about 3 KiB.
SERVERS_MAX = 256
CLIENTS_MAX = 256
SIP_PORT = 5060


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """RFC 3261 table 4; each other timer is a multiple of these."""

    t1_us: int = 500_000
    t2_us: int = 4_000_000
    t4_us: int = 5_000_000

    @property
    def timeout_us(self) -> int:
        """Timers B, F, H, J, L, M: 64 x T1."""
        return 64 * self.t1_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Where bytes come from or go to. ``connection`` is the shell's number of a TCP connection;
    0 is the one to the platform, which the shell opens when it is needed."""

    transport: Transport
    host: str
    port: int
    connection: int = 0

    @property
    def is_reliable(self) -> bool:
        return self.transport == "tcp"

    def at(self, host: str) -> Path:
        """The same path to the address of a name."""
        return replace(self, host=host)


class ServerKey(NamedTuple):
    call_id: str
    from_tag: str
    sequence: int
    method: str
    branch: str


class ClientKey(NamedTuple):
    branch: str
    method: str


# Effects -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmit:
    data: bytes
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A new request (never ACK, CANCEL or a retransmission); answer it by ``respond``."""

    key: ServerKey
    request: Request
    path: Path  # where answers go


@dataclass(frozen=True, slots=True, kw_only=True)
class AckArrived:
    """An ACK of a 2xx, or of nothing: the dialogs know."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """CANCEL was answered; the INVITE wants 487."""

    key: ServerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAck:
    """64 x T1 after our 2xx no ACK came."""

    key: ServerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A response to a request of ours; provisional ones too, retransmissions not."""

    key: ClientKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No final answer will come: timer B or F fired, or the transport failed."""

    key: ClientKey
    is_timeout: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Something was thrown away; ``reason`` is a constant word for a counter."""

    reason: str


Effect = Transmit | Arrived | AckArrived | Cancelled | NoAck | Answered | Failed | Dropped


class _State(Enum):
    TRYING = auto()  # a request without any answer (INVITE client: calling)
    PROCEEDING = auto()  # a provisional answer
    COMPLETED = auto()  # a final answer (INVITE: of 300 and more)
    CONFIRMED = auto()  # INVITE server: the ACK came
    ACCEPTED = auto()  # INVITE: an answer of 2xx


@dataclass(slots=True, kw_only=True)
class _Server:
    request: Request
    path: Path
    state: _State
    expire_us: int
    answer: bytes = b""
    resend_us: int | None = None
    interval_us: int = 0


@dataclass(slots=True, kw_only=True)
class _Client:
    request: Request
    data: bytes
    path: Path
    state: _State
    expire_us: int | None
    resend_us: int | None
    interval_us: int


class Transactions:
    """Every transaction with one platform."""

    def __init__(self, *, timers: Timers | None = None, servers_max: int = SERVERS_MAX) -> None:
        self._timers = timers or Timers()
        self._servers_max = servers_max
        self._servers: dict[ServerKey, _Server] = {}
        self._clients: dict[ClientKey, _Client] = {}
        self._effects: list[Effect] = []

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    @property
    def size(self) -> int:
        """Transactions kept now."""
        return len(self._servers) + len(self._clients)

    # Our requests ----------------------------------------------------------------------------

    def send(self, request: Request, path: Path, now_us: int) -> ClientKey:
        """Sends a request (not ACK) whose topmost Via carries a fresh branch."""
        key = ClientKey(request.via.branch, request.method)
        if len(self._clients) >= CLIENTS_MAX:
            self._effects += [Dropped(reason="clients_full"), Failed(key=key, is_timeout=False)]
            return key
        data = request.serialize()
        self._clients[key] = _Client(
            request=request,
            data=data,
            path=path,
            state=_State.TRYING,
            expire_us=now_us + self._timers.timeout_us,  # B, F
            resend_us=None if path.is_reliable else now_us + self._timers.t1_us,  # A, E
            interval_us=self._timers.t1_us,
        )
        self._effects.append(Transmit(data=data, path=path))
        return key

    def owns(self, response: Response) -> bool:
        """Whether ``response`` answers a request that was sent here."""
        return ClientKey(response.via.branch, response.cseq.method) in self._clients

    def transport_failed(self, path: Path) -> None:
        """Bytes cannot go there: a connection broke, an address has no route."""
        for key in [key for key, client in self._clients.items() if client.path == path]:
            client = self._clients.pop(key)
            if client.state in (_State.TRYING, _State.PROCEEDING):
                self._effects.append(Failed(key=key, is_timeout=False))

    def forget(self, key: ClientKey) -> None:
        """Nobody waits for this answer any more."""
        self._clients.pop(key, None)

    # Their requests --------------------------------------------------------------------------

    def respond(self, key: ServerKey, response: Response, now_us: int) -> None:
        """Answers a request; without effect for one that is answered or forgotten already."""
        server = self._servers.get(key)
        if server is None or server.state not in (_State.TRYING, _State.PROCEEDING):
            return
        server.answer = response.serialize()
        self._effects.append(Transmit(data=server.answer, path=server.path))
        if response.status < 200:
            server.state = _State.PROCEEDING
            return
        timers, is_reliable = self._timers, server.path.is_reliable
        server.expire_us = now_us + timers.timeout_us  # H, J, L
        server.interval_us = timers.t1_us
        if key.method != "INVITE":
            server.state = _State.COMPLETED
            if is_reliable:
                del self._servers[key]  # J is 0
        elif response.status < 300:
            server.state = _State.ACCEPTED
            server.resend_us = now_us + timers.t1_us  # over TCP too (RFC 3261 13.3.1.4)
        else:
            server.state = _State.COMPLETED
            server.resend_us = None if is_reliable else now_us + timers.t1_us  # G

    def acknowledge(self, key: ServerKey) -> None:
        """The ACK of a 2xx came: no more of it is sent."""
        server = self._servers.get(key)
        if server is not None and server.state is _State.ACCEPTED:
            server.state = _State.CONFIRMED
            server.resend_us = None

    def is_waiting(self, key: ServerKey) -> bool:
        """Whether a final answer is still due."""
        server = self._servers.get(key)
        return server is not None and server.state in (_State.TRYING, _State.PROCEEDING)

    # Inputs ----------------------------------------------------------------------------------

    def receive(self, message: Request | Response, source: Path, now_us: int) -> None:
        if isinstance(message, Response):
            self._response(message, now_us)
        elif message.method == "ACK":
            self._ack(message, now_us)
        else:
            self._request(message, source, now_us)

    def next_us(self) -> int | None:
        """When :meth:`handle_timers` is due; the tables are small enough to look through."""
        due = [server.expire_us for server in self._servers.values()]
        due += [s.resend_us for s in self._servers.values() if s.resend_us is not None]
        due += [c.resend_us for c in self._clients.values() if c.resend_us is not None]
        due += [c.expire_us for c in self._clients.values() if c.expire_us is not None]
        return min(due, default=None)

    def handle_timers(self, now_us: int) -> None:
        for server_key, server in list(self._servers.items()):
            self._server_timers(server_key, server, now_us)
        for client_key, client in list(self._clients.items()):
            self._client_timers(client_key, client, now_us)

    # Servers ---------------------------------------------------------------------------------

    def _request(self, request: Request, source: Path, now_us: int) -> None:
        key = _server_key(request)
        known = self._servers.get(key)
        if known is not None:
            self._effects.append(Dropped(reason="retransmission"))
            if known.answer and known.state is not _State.CONFIRMED:
                self._effects.append(Transmit(data=known.answer, path=known.path))
            return
        if len(self._servers) >= self._servers_max and not self._evict():
            self._effects.append(Dropped(reason="transactions_full"))
            return
        path = _reply_path(request, source)
        request = _stamped(request, source)
        self._servers[key] = _Server(
            request=request,
            path=path,
            state=_State.TRYING,
            expire_us=now_us + self._timers.timeout_us,
        )
        if request.method == "CANCEL":
            self._cancel(key, request, now_us)
        else:
            self._effects.append(Arrived(key=key, request=request, path=path))

    def _evict(self) -> bool:
        """Makes room by forgetting the oldest answered request: only a late duplicate would have
        asked for it."""
        for key, server in self._servers.items():
            if server.state in (_State.COMPLETED, _State.CONFIRMED):
                del self._servers[key]
                self._effects.append(Dropped(reason="transaction_evicted"))
                return True
        return False

    def _cancel(self, key: ServerKey, request: Request, now_us: int) -> None:
        invite = self._invite_of(key)
        status = 200 if invite is not None else 481
        self.respond(key, Response.to_request(request, status), now_us)
        if invite is not None and self.is_waiting(invite):
            self._effects.append(Cancelled(key=invite))

    def _ack(self, request: Request, now_us: int) -> None:
        key = self._invite_of(_server_key(request))
        server = self._servers.get(key) if key is not None else None
        if key is None or server is None or server.state is not _State.COMPLETED:
            self._effects.append(AckArrived(request=request))
        elif server.path.is_reliable:
            del self._servers[key]  # I is 0
        else:
            server.state = _State.CONFIRMED
            server.resend_us = None
            server.expire_us = now_us + self._timers.t4_us  # I

    def _invite_of(self, key: ServerKey) -> ServerKey | None:
        """The INVITE that an ACK or CANCEL is about."""
        exact = key._replace(method="INVITE")
        if exact in self._servers:
            return exact
        alike = [one for one in self._servers if one[:4] == exact[:4]]
        return alike[-1] if alike else None

    def _server_timers(self, key: ServerKey, server: _Server, now_us: int) -> None:
        if server.expire_us <= now_us:
            is_silent = server.state is _State.PROCEEDING and key.method == "INVITE"
            if is_silent:  # the user of the transaction answers in its own time
                server.expire_us = now_us + self._timers.timeout_us
                return
            del self._servers[key]
            if server.state is _State.ACCEPTED:
                self._effects.append(NoAck(key=key))
            elif server.state is _State.TRYING:
                self._effects.append(Dropped(reason="unanswered"))
        elif server.resend_us is not None and server.resend_us <= now_us:
            self._effects.append(Transmit(data=server.answer, path=server.path))
            server.interval_us = min(2 * server.interval_us, self._timers.t2_us)
            server.resend_us = now_us + server.interval_us

    # Clients ---------------------------------------------------------------------------------

    def _response(self, response: Response, now_us: int) -> None:
        key = ClientKey(response.via.branch, response.cseq.method)
        client = self._clients.get(key)
        if client is None or client.request.call_id != response.call_id:
            self._effects.append(Dropped(reason="stray_response"))
            return
        is_invite = key.method == "INVITE"
        if client.state is _State.COMPLETED:
            self._acknowledge_refusal(client, response)
            return
        if response.status < 200:
            if client.state is _State.ACCEPTED:
                return
            client.state = _State.PROCEEDING
            if is_invite:
                client.resend_us = client.expire_us = None
            elif client.resend_us is not None:
                client.interval_us = self._timers.t2_us
                client.resend_us = now_us + client.interval_us
        elif is_invite and response.status < 300:
            client.state = _State.ACCEPTED
            client.resend_us = None
            client.expire_us = now_us + self._timers.timeout_us  # M
        else:
            self._complete(key, client, response, now_us)
        self._effects.append(Answered(key=key, response=response))

    def _complete(self, key: ClientKey, client: _Client, response: Response, now_us: int) -> None:
        """Timer K is 0 for every transport: a repeated answer is a stray, and strays are dropped
        all the same; so hundreds of requests a second cost no memory."""
        if key.method == "INVITE":
            self._acknowledge_refusal(client, response)
        if client.path.is_reliable or key.method != "INVITE":
            del self._clients[key]
            return
        client.state = _State.COMPLETED
        client.resend_us = None
        client.expire_us = now_us + self._timers.timeout_us  # D

    def _acknowledge_refusal(self, client: _Client, response: Response) -> None:
        """ACK of 300 and more belongs to the transaction (RFC 3261 17.1.1.3)."""
        request = client.request
        headers = Headers(
            ("Via", str(request.via)),
            ("From", request.headers.get("From")),
            ("To", response.headers.get("To")),
            ("Call-ID", request.call_id),
            ("CSeq", str(replace(request.cseq, method="ACK"))),
            ("Max-Forwards", "70"),
        )
        for value in request.headers.all("Route"):
            headers.add("Route", value)
        ack = Request(method="ACK", uri=request.uri, headers=headers)
        self._effects.append(Transmit(data=ack.serialize(), path=client.path))

    def _client_timers(self, key: ClientKey, client: _Client, now_us: int) -> None:
        if client.expire_us is not None and client.expire_us <= now_us:
            del self._clients[key]
            if client.state in (_State.TRYING, _State.PROCEEDING):
                self._effects.append(Failed(key=key, is_timeout=True))
        elif client.resend_us is not None and client.resend_us <= now_us:
            self._effects.append(Transmit(data=client.data, path=client.path))
            doubled_us = 2 * client.interval_us
            is_invite = key.method == "INVITE"
            client.interval_us = doubled_us if is_invite else min(doubled_us, self._timers.t2_us)
            client.resend_us = now_us + client.interval_us


def _server_key(request: Request) -> ServerKey:
    return ServerKey(
        request.call_id,
        request.sender.tag,
        request.cseq.number,
        request.method,
        request.via.branch,
    )


def _stamped(request: Request, source: Path) -> Request:
    """With received and rport in the topmost Via."""
    hops = split(request.headers.get("Via"), ",")
    hops[0] = str(request.via.stamped(source.host, source.port))
    headers = Headers(*request.headers)
    headers.set("Via", ", ".join(hops))
    return replace(request, headers=headers)


def _reply_path(request: Request, source: Path) -> Path:
    """RFC 3261 18.2.2 and RFC 3581, but never to another host than the request's own."""
    via = request.via
    if source.is_reliable or via.wants_rport:
        return source
    return replace(source, port=via.port or SIP_PORT)

"""What the parts of a user agent share: its transactions and its requests under way. Core.

A part (registration, subscriptions, calls) sends and responds here; :mod:`uplink.agent` hands what
comes of it to the part that asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from uplink.effects import Delivered, Effect
from uplink.ports import Incoming, Sending
from uplink.registration import Registration, RegistrationSettings
from uplink.requests import Identity, RequestWriter
from uplink.sip.headers import Malformed, SipUri, clean
from uplink.sip.message import MESSAGE_BYTES_MAX, Request, Response
from uplink.sip.transactions import ClientKey, Dropped, Path, ServerKey, Timers, Transactions

#: What a datagram of ours should not exceed, so that no path cuts it (RFC 3261 18.1.1).
DATAGRAM_BYTES_MAX = 1300
#: What it must not: stacks of platforms refuse or cut above 4096 (gb28181.md 0.15).
DATAGRAM_BYTES_HARD_MAX = 4000
#: Of a NOTIFY beyond a MESSAGE: Event, Subscription-State, the route of a hop.
NOTIFY_HEAD_BYTES = 160
#: Requests of ours that wait for an answer, beside registration and keepalive.
PENDING_MAX = 128

Kind = Literal["register", "keepalive", "message", "notify", "call", "farewell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    name: str
    identity: Identity
    registration: RegistrationSettings
    datagram_bytes_max: int = DATAGRAM_BYTES_MAX
    #: Hosts that may speak to us; what a call sends goes to no other.
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """Why a request of ours is under way."""

    kind: Kind
    sent_us: int
    token: int = 0  # 0: nobody waits
    dialog: str = ""  # of a call: its id; of a NOTIFY: its Call-ID


class Line:
    """State that every part reads; only the methods here change it."""

    def __init__(
        self,
        settings: AgentSettings,
        registration: Registration,
        *,
        host: str,
        token: Callable[[], str],
        timers: Timers | None,
    ) -> None:
        self.settings = settings
        self.registration = registration
        self.token = token
        self.writer = RequestWriter(settings.identity, host=host, token=token)
        self.transactions = Transactions(timers=timers)
        self.pending: dict[ClientKey, Purpose] = {}
        self.effects: list[Effect] = []
        self.now_us = 0
        self._newest: dict[Kind, ClientKey] = {}

    @property
    def server_path(self) -> Path:
        """Where requests outside of calls go."""
        server = self.registration.server
        return Path(transport=self.settings.identity.transport, host=server.host, port=server.port)

    def sending(self) -> Sending:
        """What one body may be; the rest of the message is counted off."""
        message = self.writer.message(self.registration.server, "0" * 20, b"")
        head = len(message.serialize()) + NOTIFY_HEAD_BYTES
        if self.settings.identity.transport == "tcp":
            room = MESSAGE_BYTES_MAX - head
            return Sending(body_bytes_max=room, body_bytes_hard_max=room)
        return Sending(
            body_bytes_max=max(256, self.settings.datagram_bytes_max - head),
            body_bytes_hard_max=DATAGRAM_BYTES_HARD_MAX - head,
        )

    # Ours ------------------------------------------------------------------------------------

    def send(
        self, request: Request, path: Path, *, kind: Kind, token: int = 0, dialog: str = ""
    ) -> ClientKey:
        key = ClientKey(request.via.branch, request.method)
        self.pending[key] = Purpose(kind=kind, sent_us=self.now_us, token=token, dialog=dialog)
        self.transactions.send(request, path, self.now_us)
        return key

    def replace(self, kind: Kind, request: Request) -> None:
        """Sends one of which only the newest counts (REGISTER, keepalive)."""
        old = self._newest.pop(kind, None)
        if old is not None:
            self.forget(old)
        self._newest[kind] = self.send(request, self.server_path, kind=kind)

    def forget(self, key: ClientKey) -> None:
        self.pending.pop(key, None)
        self.transactions.forget(key)

    def has_room(self, body: bytes) -> bool:
        """Whether a request with ``body`` can be sent now; counted where it cannot."""
        if len(body) > self.sending().body_bytes_hard_max:
            self.effects.append(Dropped(reason="body_too_large"))
            return False
        if len(self.pending) >= PENDING_MAX:
            self.effects.append(Dropped(reason="pending_full"))
            return False
        return True

    def undelivered(self, token: int) -> None:
        """Nothing was sent for ``token``."""
        self.effects.append(Delivered(token=token, status=None))

    # Theirs ----------------------------------------------------------------------------------

    def respond(
        self,
        key: ServerKey,
        request: Request,
        status: int,
        *,
        reason: str = "",
        to_tag: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        answer = Response.to_request(
            request,
            status,
            reason=clean(reason)[:120],
            to_tag=to_tag or (self.token() if status > 100 else ""),
            fields=fields,
            body=body,
        )
        self.transactions.respond(key, answer, self.now_us)

    def incoming(self, request: Request, utc_us: int) -> Incoming:
        """``request`` as a handler sees it."""
        try:
            target = SipUri.parse(request.uri).user
        except Malformed:
            target = ""
        return Incoming(
            platform=self.settings.name,
            edition=self.registration.edition,
            sender=request.sender.user,
            target=target or request.to.user,
            content_type=request.content_type,
            body=request.body,
            body_bytes_max=self.sending().body_bytes_max,
            arrival_utc_us=utc_us,
        )

"""The user agent of one platform: registration, transactions and dialogs put together. Core.

Inputs are messages, timers, what handlers answered and what the transport met; outputs are effects,
to be taken after every input. ``now_us`` is the monotonic clock, ``utc_us`` wall time. No input
raises for what a peer sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from uplink.calls import CallRecord, Calls, CallState
from uplink.effects import (
    Asked,
    Confirmed,
    Delivered,
    Effect,
    Ended,
    InfoAsked,
    Invited,
    SubscriptionAsked,
    Unsubscribed,
)
from uplink.ports import EndCause, Incoming, Invite, Reply, Sending, SubscribeReply
from uplink.registration import (
    Edition,
    Offline,
    Registration,
    RegistrationSettings,
    SendKeepalive,
    SendRegister,
    State,
)
from uplink.requests import ALLOW, MANSCDP, Identity, RequestWriter, keepalive_body
from uplink.sip.headers import Malformed, SipUri, clean, seconds
from uplink.sip.message import MESSAGE_BYTES_MAX, Request, Response
from uplink.sip.transactions import (
    AckArrived,
    Answered,
    Arrived,
    Cancelled,
    ClientKey,
    Dropped,
    Failed,
    NoAck,
    Path,
    ServerKey,
    Timers,
    Transactions,
    Transmit,
)
from uplink.subscriptions import EXPIRES_S_MAX, FAILURES_MAX, Subscription, Subscriptions

#: What a datagram of ours should not exceed, so that no path cuts it (RFC 3261 18.1.1).
DATAGRAM_BYTES_MAX = 1300
#: What it must not: stacks of platforms refuse or cut above 4096 (gb28181.md 0.15).
DATAGRAM_BYTES_HARD_MAX = 4000
#: Requests of ours that wait for an answer, beside registration and keepalive.
PENDING_MAX = 128

_ALLOW = (("Allow", ALLOW),)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    name: str
    identity: Identity
    registration: RegistrationSettings
    datagram_bytes_max: int = DATAGRAM_BYTES_MAX
    #: Hosts that may speak to us; what a call sends goes to no other.
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Purpose:
    """Why a request of ours is under way."""

    kind: Literal["register", "keepalive", "message", "notify", "call", "farewell"]
    sent_us: int
    token: int = 0  # 0: nobody waits
    call: str = ""
    subscription: Subscription | None = None


class Agent:
    """Everything between the sockets and the handlers, for one platform.

    Args:
        host: our address on the reserved interface.
        token: a fresh unpredictable word (branches, tags, Call-IDs, cnonces).
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        host: str,
        chance: Callable[[], float],
        token: Callable[[], str],
        timers: Timers | None = None,
    ) -> None:
        self.settings = settings
        self.registration = Registration(settings.registration, chance=chance, token=token)
        self._token = token
        self._writer = RequestWriter(settings.identity, host=host, token=token)
        self._transactions = Transactions(timers=timers)
        self._subscriptions = Subscriptions(self._writer)
        self._calls = Calls()
        self._asked: dict[ServerKey, Request] = {}
        self._pending: dict[ClientKey, _Purpose] = {}
        self._newest: dict[str, ClientKey] = {}  # of "register" and "keepalive"
        self._keepalives = 0
        self._effects: list[Effect] = []
        self._now_us = 0

    # Outputs ---------------------------------------------------------------------------------

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def next_us(self) -> int | None:
        times = (
            self.registration.next_us(),
            self._transactions.next_us(),
            self._subscriptions.next_us(),
        )
        return min((at for at in times if at is not None), default=None)

    @property
    def host(self) -> str:
        return self._writer.host

    @property
    def is_online(self) -> bool:
        return self.registration.is_online

    @property
    def edition(self) -> Edition:
        return self.registration.edition

    @property
    def topics(self) -> list[str]:
        """What the platform subscribes to now."""
        return self._subscriptions.topics

    @property
    def calls(self) -> int:
        return len(self._calls)

    @property
    def size(self) -> int:
        """Transactions, pending requests and dialogs kept: bounded, and 0 after a quiet end."""
        kept = len(self._pending) + len(self._asked) + len(self._calls)
        return self._transactions.size + kept + len(self._subscriptions.topics)

    def sending(self) -> Sending:
        """What one body may be; the rest of the message is counted off."""
        head = len(self._writer.message(self.registration.server, "0" * 20, b"").serialize())
        head += 160  # NOTIFY: Event, Subscription-State, Record-Routes of a hop
        if self.settings.identity.transport == "tcp":
            room = MESSAGE_BYTES_MAX - head
            return Sending(body_bytes_max=room, body_bytes_hard_max=room)
        return Sending(
            body_bytes_max=max(256, self.settings.datagram_bytes_max - head),
            body_bytes_hard_max=DATAGRAM_BYTES_HARD_MAX - head,
        )

    def owns(self, message: Request | Response) -> bool:
        """Whether ``message`` belongs to a transaction or dialog of this platform."""
        if isinstance(message, Response):
            return self._transactions.owns(message)
        is_call = self._calls.of_request(message) is not None
        return is_call or self._subscriptions.of_request(message) is not None

    # Inputs ----------------------------------------------------------------------------------

    def start(self, now_us: int) -> None:
        self._now_us = now_us
        self.registration.start(now_us)
        self._settle()

    def stop(self, now_us: int) -> None:
        """Ends calls, un-registers; ``Stopped`` follows within a few seconds."""
        self._now_us = now_us
        self._end_dialogs(EndCause.STOPPING)
        self.registration.stop(now_us)
        self._settle()

    def receive(
        self, message: Request | Response, source: Path, *, now_us: int, utc_us: int
    ) -> None:
        self._now_us = now_us
        self._transactions.receive(message, source, now_us)
        self._settle(utc_us, source)

    def handle_timers(self, now_us: int) -> None:
        self._now_us = now_us
        self._transactions.handle_timers(now_us)
        for subscription in self._subscriptions.expired(now_us):
            self._end_subscription(subscription)
        self._settle()
        self.registration.handle_timers(now_us)
        self._settle()

    def route_changed(self, host: str, now_us: int) -> None:
        """The reserved interface came back, or has another address: ``host``."""
        self._now_us = now_us
        self._writer.host = host
        self.registration.route_changed(now_us)
        self._settle()

    def transport_failed(self, path: Path, now_us: int) -> None:
        """Bytes to ``path`` could not be sent."""
        self._now_us = now_us
        self._transactions.transport_failed(path)
        self._settle()

    def connection_lost(self, now_us: int) -> None:
        """The TCP connection to the platform broke."""
        self._now_us = now_us
        self._transactions.transport_failed(self.server_path)
        self._settle()
        self.registration.connection_lost(now_us)
        self._settle()

    def set_heartbeat(self, now_us: int, *, keepalive_s: int | None, count: int | None) -> None:
        self._now_us = now_us
        self.registration.set_heartbeat(now_us, keepalive_s=keepalive_s, count=count)
        self._settle()

    # What handlers answer --------------------------------------------------------------------

    def answer(self, key: ServerKey, reply: Reply, now_us: int) -> None:
        """The answer to ``Asked`` and ``InfoAsked``."""
        self._now_us = now_us
        request = self._asked.pop(key, None)
        if request is None:
            return
        fields = (("Content-Type", reply.content_type),) if reply.body else ()
        self._respond(
            key, request, reply.status, reason=reply.reason, fields=fields, body=reply.body
        )
        self._settle()

    def answer_subscription(
        self, key: ServerKey, reply: SubscribeReply, expires_s: int, now_us: int
    ) -> None:
        """The answer to ``SubscriptionAsked``."""
        self._now_us = now_us
        request = self._asked.pop(key, None)
        if request is None:
            return
        if reply.status >= 300 or not reply.topic:
            status = reply.status if reply.status >= 300 else 489
            self._respond(key, request, status, reason=reply.reason)
            self._settle()
            return
        known = self._subscriptions.of_request(request)
        if known is None or known.topic != reply.topic:
            if self._subscriptions.is_full and not self._subscriptions.of_topic(reply.topic):
                self._respond(key, request, 503)
                self._settle()
                return
            known = self._subscriptions.add(
                request, reply.topic, local_tag=self._token(), expires_s=expires_s, now_us=now_us
            )
        else:
            self._subscriptions.refresh(known, request, expires_s, now_us)
        self._accept_subscription(key, request, known, expires_s, reply.body)
        self._settle()

    def accept(self, call_id: str, sdp: bytes, now_us: int) -> None:
        """200 with our SDP to the call's open offer."""
        self._now_us = now_us
        call = self._calls.get(call_id)
        if call is None or call.offer is None or not self._transactions.is_waiting(call.offer):
            return
        fields = (("Contact", self._writer.contact), *_ALLOW, ("Content-Type", "application/sdp"))
        answer = Response.to_request(
            call.request, 200, to_tag=call.dialog.local.tag, fields=fields, body=sdp
        )
        if call.state is CallState.OFFERED:
            call.state = CallState.ACCEPTED
        self._transactions.respond(call.offer, answer, now_us)
        self._settle()

    def refuse(self, call_id: str, status: int, reason: str, now_us: int) -> None:
        """A final answer of 400 and more; a refused re-INVITE leaves the call as it was."""
        self._now_us = now_us
        call = self._calls.get(call_id)
        if call is None or call.offer is None:
            return
        self._refuse_offer(call, max(400, min(status, 699)), reason)
        if call.state is CallState.OFFERED:
            self._end(call, EndCause.LOCAL)
        self._settle()

    def bye(self, call_id: str, now_us: int) -> None:
        """Ends a call from our side, in whatever state it is."""
        self._now_us = now_us
        call = self._calls.get(call_id)
        if call is not None:
            self._hang_up(call, EndCause.LOCAL)
        self._settle()

    # What handlers send ----------------------------------------------------------------------

    def send_message(self, token: int, to_id: str, body: bytes, now_us: int) -> None:
        """A MESSAGE to the platform; ``Delivered`` follows."""
        self._now_us = now_us
        server = self.registration.server
        if self._can_send(token, body) and self.is_online:
            request = self._writer.message(server, to_id or server.id, body)
            self._send(request, self.server_path, kind="message", token=token)
        else:
            self._effects.append(Delivered(token=token, status=None))
        self._settle()

    def send_notify(self, token: int, topic: str, body: bytes, now_us: int) -> None:
        """A NOTIFY in the subscription to ``topic``; ``Delivered`` follows."""
        self._now_us = now_us
        subscription = self._subscriptions.of_topic(topic)
        if subscription is not None and self._can_send(token, body):
            request = self._subscriptions.notify(subscription, body, now_us)
            self._send(
                request,
                self.server_path,
                kind="notify",
                token=token,
                subscription=subscription,
            )
        else:
            self._effects.append(Delivered(token=token, status=None))
        self._settle()

    def send_call_message(self, token: int, call_id: str, body: bytes, now_us: int) -> None:
        """A MESSAGE inside a call (MediaStatus); ``Delivered`` follows."""
        self._now_us = now_us
        call = self._calls.get(call_id)
        if call is not None and self._can_send(token, body):
            fields = (("Content-Type", MANSCDP),)
            request = self._writer.in_dialog(call.dialog, "MESSAGE", fields=fields, body=body)
            self._send(request, self._call_path(call), kind="call", token=token, call=call.id)
        else:
            self._effects.append(Delivered(token=token, status=None))
        self._settle()

    def forget(self, token: int) -> None:
        """Nobody waits for ``Delivered`` of this token any more."""
        for key, purpose in list(self._pending.items()):
            if purpose.token == token:
                del self._pending[key]
                self._transactions.forget(key)

    def _can_send(self, token: int, body: bytes) -> bool:
        del token
        if len(body) > self.sending().body_bytes_hard_max:
            self._effects.append(Dropped(reason="body_too_large"))
            return False
        if len(self._pending) >= PENDING_MAX:
            self._effects.append(Dropped(reason="pending_full"))
            return False
        return True

    # Effects of the parts --------------------------------------------------------------------

    def _settle(self, utc_us: int = 0, source: Path | None = None) -> None:
        """Hands the parts' effects to each other until none is left."""
        while True:
            inner = self._transactions.take_effects()
            own = self.registration.take_effects()
            if not inner and not own:
                return
            for effect in inner:
                if isinstance(effect, Transmit | Dropped):
                    self._effects.append(effect)
                elif isinstance(effect, Arrived):
                    self._arrived(effect, source or effect.path, utc_us)
                elif isinstance(effect, Answered):
                    self._answered(effect, utc_us)
                elif isinstance(effect, Failed):
                    self._failed(effect)
                elif isinstance(effect, AckArrived):
                    self._acknowledged(effect.request)
                elif isinstance(effect, Cancelled):
                    self._cancelled(effect.key)
                else:
                    self._no_ack(effect)
            for told in own:
                if isinstance(told, SendRegister):
                    request = self._writer.register(told)
                    self._replace("register", request)
                elif isinstance(told, SendKeepalive):
                    self._send_keepalive()
                else:
                    self._effects.append(told)
                    if isinstance(told, Offline):
                        self._went_offline()

    def _send(
        self,
        request: Request,
        path: Path,
        *,
        kind: Literal["register", "keepalive", "message", "notify", "call", "farewell"],
        token: int = 0,
        call: str = "",
        subscription: Subscription | None = None,
    ) -> ClientKey:
        key = ClientKey(request.via.branch, request.method)
        self._pending[key] = _Purpose(
            kind=kind, sent_us=self._now_us, token=token, call=call, subscription=subscription
        )
        self._transactions.send(request, path, self._now_us)
        return key

    def _replace(self, kind: Literal["register", "keepalive"], request: Request) -> None:
        """Sends one of which only the newest counts."""
        old = self._newest.pop(kind, None)
        if old is not None:
            self._pending.pop(old, None)
            self._transactions.forget(old)
        self._newest[kind] = self._send(request, self.server_path, kind=kind)

    def _send_keepalive(self) -> None:
        self._keepalives += 1
        server = self.registration.server
        body = keepalive_body(self._keepalives, self.settings.identity.device_id)
        self._replace("keepalive", self._writer.message(server, server.id, body))

    @property
    def server_path(self) -> Path:
        """Where requests outside of calls go."""
        server = self.registration.server
        return Path(transport=self.settings.identity.transport, host=server.host, port=server.port)

    def _call_path(self, call: CallRecord) -> Path:
        """To their Contact where it is one of the platform's hosts, else where INVITE came from."""
        if call.path.is_reliable:
            return call.path
        try:
            uri = SipUri.parse(call.dialog.target)
        except Malformed:
            return call.path
        if uri.host not in self.settings.hosts:
            return call.path
        return Path(transport="udp", host=uri.host, port=uri.port or 5060)

    # Answers to us ---------------------------------------------------------------------------

    def _answered(self, effect: Answered, utc_us: int) -> None:
        response = effect.response
        if response.status < 200:
            return
        purpose = self._pending.pop(effect.key, None)
        if purpose is None:
            return
        round_trip_us = self._now_us - purpose.sent_us
        if purpose.kind == "register":
            self.registration.answered(
                response, now_us=self._now_us, utc_us=utc_us, round_trip_us=round_trip_us
            )
        elif purpose.kind == "keepalive":
            self.registration.keepalive_answered(
                response.status, now_us=self._now_us, round_trip_us=round_trip_us
            )
        else:
            self._concluded(purpose, response.status)

    def _failed(self, effect: Failed) -> None:
        purpose = self._pending.pop(effect.key, None)
        if purpose is None:
            return
        if purpose.kind == "register":
            self.registration.unanswered(is_timeout=effect.is_timeout, now_us=self._now_us)
        elif purpose.kind == "keepalive":
            self.registration.keepalive_unanswered(self._now_us)
        else:
            self._concluded(purpose, None)

    def _concluded(self, purpose: _Purpose, status: int | None) -> None:
        """A request of a handler's is over."""
        if purpose.token:
            self._effects.append(Delivered(token=purpose.token, status=status))
        call = self._calls.get(purpose.call)
        if purpose.kind == "call" and call is not None and status in (None, 408, 481):
            self._hang_up(call, EndCause.REFUSED)
        subscription = purpose.subscription
        if purpose.kind != "notify" or subscription is None:
            return
        if status == 481:
            self._drop_subscription(subscription)
        elif status is None:
            subscription.failures += 1
            if subscription.failures >= FAILURES_MAX:
                self._drop_subscription(subscription)
        else:
            subscription.failures = 0

    def _went_offline(self) -> None:
        self._end_dialogs(EndCause.OFFLINE)
        for key, purpose in list(self._pending.items()):
            if purpose.kind in ("message", "notify", "call"):
                del self._pending[key]
                self._transactions.forget(key)
                self._effects.append(Delivered(token=purpose.token, status=None))

    def _end_dialogs(self, cause: EndCause) -> None:
        for call in self._calls.all():
            self._hang_up(call, cause)
        for topic in self._subscriptions.topics:
            subscription = self._subscriptions.of_topic(topic)
            if subscription is not None:
                self._drop_subscription(subscription)

    # Requests to us --------------------------------------------------------------------------

    def _arrived(self, effect: Arrived, source: Path, utc_us: int) -> None:
        key, request = effect.key, effect.request
        method = request.method
        if method == "OPTIONS":
            self._respond(key, request, 200, fields=_ALLOW)
        elif method == "BYE":
            self._on_bye(key, request)
        elif method == "INFO":
            self._on_info(key, request, utc_us)
        elif method not in ("MESSAGE", "SUBSCRIBE", "INVITE"):
            self._respond(key, request, 405, fields=_ALLOW)
        elif not self._is_acquainted:
            self._respond(key, request, 403, reason="Not registered")
        elif method == "MESSAGE":
            self._asked[key] = request
            self._effects.append(Asked(key=key, request=self._incoming(request, utc_us)))
        elif method == "SUBSCRIBE":
            self._on_subscribe(key, request, utc_us)
        else:
            self._on_invite(key, request, source, utc_us)

    @property
    def _is_acquainted(self) -> bool:
        """Registered, or about to be: a platform asks in the second of its 200."""
        return self.is_online or self.registration.state is State.REGISTERING

    def _incoming(self, request: Request, utc_us: int) -> Incoming:
        try:
            target = SipUri.parse(request.uri).user
        except Malformed:
            target = ""
        return Incoming(
            platform=self.settings.name,
            edition=self.edition,
            sender=request.sender.user,
            target=target or request.to.user,
            content_type=request.content_type,
            body=request.body,
            body_bytes_max=self.sending().body_bytes_max,
            arrival_utc_us=utc_us,
        )

    def _respond(
        self,
        key: ServerKey,
        request: Request,
        status: int,
        *,
        reason: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        answer = Response.to_request(
            request,
            status,
            reason=clean(reason)[:120],
            to_tag=self._token(),
            fields=fields,
            body=body,
        )
        self._transactions.respond(key, answer, self._now_us)

    # Subscriptions ---------------------------------------------------------------------------

    def _on_subscribe(self, key: ServerKey, request: Request, utc_us: int) -> None:
        expires_s = seconds(request.headers.get("Expires"))
        known = self._subscriptions.of_request(request)
        if expires_s is None:
            self._respond(key, request, 400, reason="Expires is missing")
        elif known is None and request.to.tag:
            self._respond(key, request, 481)
        elif expires_s == 0:
            self._cancel_subscription(key, request, known)
        elif known is not None and not request.body:
            expires_s = min(expires_s, EXPIRES_S_MAX)
            self._subscriptions.refresh(known, request, expires_s, self._now_us)
            self._accept_subscription(key, request, known, expires_s, b"")
        else:
            self._asked[key] = request
            self._effects.append(
                SubscriptionAsked(
                    key=key,
                    request=self._incoming(request, utc_us),
                    expires_s=min(expires_s, EXPIRES_S_MAX),
                )
            )

    def _accept_subscription(
        self,
        key: ServerKey,
        request: Request,
        subscription: Subscription,
        expires_s: int,
        body: bytes,
    ) -> None:
        fields = [
            ("Contact", self._writer.contact),
            ("Expires", str(expires_s)),
            ("Event", subscription.event),
        ]
        if body:
            fields.append(("Content-Type", MANSCDP))
        answer = Response.to_request(
            request,
            200,
            to_tag=subscription.dialog.local.tag,
            fields=tuple(field for field in fields if field[1]),
            body=body,
        )
        self._transactions.respond(key, answer, self._now_us)

    def _cancel_subscription(
        self, key: ServerKey, request: Request, known: Subscription | None
    ) -> None:
        fields = (("Contact", self._writer.contact), ("Expires", "0"))
        self._respond(key, request, 200, fields=fields)
        if known is not None:
            self._end_subscription(known)

    def _end_subscription(self, subscription: Subscription) -> None:
        """Cancelled or expired: one last NOTIFY says so."""
        if self._drop_subscription(subscription):
            request = self._subscriptions.last_notify(subscription)
            self._send(request, self.server_path, kind="farewell")

    def _drop_subscription(self, subscription: Subscription) -> bool:
        if not self._subscriptions.drop(subscription):
            return False
        self._effects.append(Unsubscribed(topic=subscription.topic))
        return True

    # Calls -----------------------------------------------------------------------------------

    def _on_invite(self, key: ServerKey, request: Request, source: Path, utc_us: int) -> None:
        call = self._calls.of_request(request)
        if call is None and request.to.tag:
            self._respond(key, request, 481)
            return
        if call is None and self._calls.is_full:
            self._respond(key, request, 486)
            return
        is_again = call is not None
        if call is not None:
            if call.offer is not None and self._transactions.is_waiting(call.offer):
                self._respond(key, request, 491)
                return
            call.offer, call.request, call.path = key, request, source
            call.dialog.refresh_target(request)
        else:
            call = self._calls.add(request, key, source, self._token())
        self._transactions.respond(key, Response.to_request(request, 100), self._now_us)
        invite = Invite(
            request=self._incoming(request, utc_us),
            subject=request.headers.get("Subject"),
            source_host=source.host,
            local_host=self.host,
            call_id=request.call_id,
            is_again=is_again,
        )
        self._effects.append(Invited(call=call.id, invite=invite))

    def _acknowledged(self, request: Request) -> None:
        call = self._calls.of_request(request)
        if call is None:
            self._effects.append(Dropped(reason="stray_ack"))
        else:
            self._confirm(call)

    def _confirm(self, call: CallRecord) -> None:
        if call.offer is not None:
            self._transactions.acknowledge(call.offer)
        if call.state is CallState.ACCEPTED:
            call.state = CallState.CONFIRMED
            call.dialog.is_confirmed = True
            self._effects.append(Confirmed(call=call.id))

    def _cancelled(self, key: ServerKey) -> None:
        call = self._calls.of_offer(key)
        if call is None:
            return
        self._refuse_offer(call, 487, "")
        if call.state is CallState.OFFERED:
            self._end(call, EndCause.CANCEL)

    def _no_ack(self, effect: NoAck) -> None:
        call = self._calls.of_offer(effect.key)
        if call is not None:
            self._hang_up(call, EndCause.NO_ACK)

    def _on_bye(self, key: ServerKey, request: Request) -> None:
        call = self._calls.of_request(request)
        self._respond(key, request, 200 if call is not None else 481)
        if call is not None:
            self._refuse_offer(call, 487, "")
            if call.offer is not None:
                self._transactions.acknowledge(call.offer)
            self._end(call, EndCause.BYE)

    def _on_info(self, key: ServerKey, request: Request, utc_us: int) -> None:
        call = self._calls.of_request(request)
        if call is None:
            self._respond(key, request, 481)
            return
        self._confirm(call)  # it says that our 200 arrived (gb28181.md 4.3)
        self._asked[key] = request
        self._effects.append(
            InfoAsked(key=key, call=call.id, request=self._incoming(request, utc_us))
        )

    def _refuse_offer(self, call: CallRecord, status: int, reason: str) -> None:
        """A final answer to the call's open INVITE, where one is due."""
        if call.offer is None or not self._transactions.is_waiting(call.offer):
            return
        answer = Response.to_request(
            call.request, status, reason=clean(reason)[:120], to_tag=call.dialog.local.tag
        )
        self._transactions.respond(call.offer, answer, self._now_us)

    def _hang_up(self, call: CallRecord, cause: EndCause) -> None:
        """Ends it from our side: a refusal before the answer, BYE after it."""
        if call.state is CallState.OFFERED:
            self._refuse_offer(call, 480, "")
        else:
            self._refuse_offer(call, 487, "")
            if call.offer is not None:
                self._transactions.acknowledge(call.offer)  # no more 200s
            request = self._writer.in_dialog(call.dialog, "BYE")
            self._send(request, self._call_path(call), kind="farewell")
        self._end(call, cause)

    def _end(self, call: CallRecord, cause: EndCause) -> None:
        self._calls.remove(call)
        self._effects.append(Ended(call=call.id, cause=cause))

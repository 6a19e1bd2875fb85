"""The user agent of one platform: registration, transactions and dialogs put together. Core.

Inputs are messages, timers, what handlers answered and what the transport met; outputs are effects,
to be taken after every input. ``now_us`` is the monotonic clock, ``utc_us`` wall time. No input
raises for what a peer sent.
"""

from __future__ import annotations

from collections.abc import Callable

from uplink.calls import Calls
from uplink.effects import Asked, Delivered, Effect
from uplink.line import AgentSettings, Line, Purpose
from uplink.ports import EndCause, Reply, Sending, SubscribeReply
from uplink.registration import (
    Edition,
    Offline,
    Registration,
    SendKeepalive,
    SendRegister,
    State,
)
from uplink.requests import ALLOW, keepalive_body
from uplink.sip.message import Request, Response
from uplink.sip.transactions import (
    AckArrived,
    Answered,
    Arrived,
    Cancelled,
    Dropped,
    Failed,
    NoAck,
    Path,
    ServerKey,
    Timers,
    Transmit,
)
from uplink.subscriptions import Subscriptions

_ALLOW = (("Allow", ALLOW),)


class Agent:
    """Everything between the sockets and the handlers, for one platform.

    Args:
        host: our address on the reserved interface.
        chance: a number in [0, 1), such as ``random.random``.
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
        self._line = Line(settings, self.registration, host=host, token=token, timers=timers)
        self._subscriptions = Subscriptions(self._line)
        self._calls = Calls(self._line)
        self._asked: dict[ServerKey, Request] = {}  # with a handler
        self._keepalives = 0

    # Outputs ---------------------------------------------------------------------------------

    def take_effects(self) -> list[Effect]:
        effects, self._line.effects = self._line.effects, []
        return effects

    def next_us(self) -> int | None:
        times = (
            self.registration.next_us(),
            self._line.transactions.next_us(),
            self._subscriptions.next_us(),
        )
        return min((at for at in times if at is not None), default=None)

    @property
    def is_online(self) -> bool:
        return self.registration.is_online

    @property
    def edition(self) -> Edition:
        return self.registration.edition

    @property
    def server_path(self) -> Path:
        """Where requests outside of calls go."""
        return self._line.server_path

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
        kept = len(self._line.pending) + len(self._asked) + len(self._calls)
        return self._line.transactions.size + kept + len(self._subscriptions.topics)

    def sending(self) -> Sending:
        """What one body may be now."""
        return self._line.sending()

    def owns(self, message: Request | Response) -> bool:
        """Whether ``message`` belongs to a transaction or dialog of this platform."""
        if isinstance(message, Response):
            return self._line.transactions.owns(message)
        return self._calls.owns(message) or self._subscriptions.owns(message)

    # Inputs ----------------------------------------------------------------------------------

    def start(self, now_us: int) -> None:
        self._line.now_us = now_us
        self.registration.start(now_us)
        self._settle()

    def stop(self, now_us: int) -> None:
        """Ends calls, un-registers; ``Stopped`` follows within a few seconds."""
        self._line.now_us = now_us
        self._end_dialogs(EndCause.STOPPING)
        self.registration.stop(now_us)
        self._settle()

    def receive(
        self, message: Request | Response, source: Path, *, now_us: int, utc_us: int
    ) -> None:
        self._line.now_us = now_us
        self._line.transactions.receive(message, source, now_us)
        self._settle(utc_us, source)

    def handle_timers(self, now_us: int) -> None:
        self._line.now_us = now_us
        self._line.transactions.handle_timers(now_us)
        self._subscriptions.handle_timers(now_us)
        self._settle()
        self.registration.handle_timers(now_us)
        self._settle()

    def route_changed(self, host: str, now_us: int) -> None:
        """The reserved interface came back, or has another address: ``host``."""
        self._line.now_us = now_us
        self._line.writer.host = host
        self.registration.route_changed(now_us)
        self._settle()

    def transport_failed(self, path: Path, now_us: int) -> None:
        """Bytes to ``path`` could not be sent."""
        self._line.now_us = now_us
        self._line.transactions.transport_failed(path)
        self._settle()

    def connection_lost(self, now_us: int) -> None:
        """The TCP connection to the platform broke."""
        self._line.now_us = now_us
        self._line.transactions.transport_failed(self.server_path)
        self._settle()
        self.registration.connection_lost(now_us)
        self._settle()

    def set_heartbeat(self, now_us: int, *, keepalive_s: int | None, count: int | None) -> None:
        self._line.now_us = now_us
        self.registration.set_heartbeat(now_us, keepalive_s=keepalive_s, count=count)
        self._settle()

    # What handlers answer --------------------------------------------------------------------

    def answer(self, key: ServerKey, reply: Reply, now_us: int) -> None:
        """The answer to ``Asked`` and ``InfoAsked``."""
        self._line.now_us = now_us
        request = self._asked.pop(key, None)
        if request is not None:
            fields = (("Content-Type", reply.content_type),) if reply.body else ()
            self._line.respond(
                key, request, reply.status, reason=reply.reason, fields=fields, body=reply.body
            )
        self._settle()

    def answer_subscription(
        self, key: ServerKey, reply: SubscribeReply, expires_s: int, now_us: int
    ) -> None:
        """The answer to ``SubscriptionAsked``."""
        self._line.now_us = now_us
        request = self._asked.pop(key, None)
        if request is not None:
            self._subscriptions.answer(key, request, reply, expires_s)
        self._settle()

    def accept(self, call: str, sdp: bytes, now_us: int) -> None:
        """200 with our SDP to the call's open offer."""
        self._line.now_us = now_us
        self._calls.accept(call, sdp)
        self._settle()

    def refuse(self, call: str, status: int, reason: str, now_us: int) -> None:
        """A final answer of 400 and more to the call's open offer."""
        self._line.now_us = now_us
        self._calls.refuse(call, status, reason)
        self._settle()

    def bye(self, call: str, now_us: int) -> None:
        """Ends a call from our side, in whatever state it is."""
        self._line.now_us = now_us
        self._calls.bye(call)
        self._settle()

    # What handlers send ----------------------------------------------------------------------

    def send_message(self, token: int, to_id: str, body: bytes, now_us: int) -> None:
        """A MESSAGE to the platform (to ``to_id`` of it); ``Delivered`` follows."""
        self._line.now_us = now_us
        server = self.registration.server
        if self.is_online and self._line.has_room(body):
            request = self._line.writer.message(server, to_id or server.id, body)
            self._line.send(request, self.server_path, kind="message", token=token)
        else:
            self._line.undelivered(token)
        self._settle()

    def send_notify(self, token: int, topic: str, body: bytes, now_us: int) -> None:
        """A NOTIFY in the subscription to ``topic``; ``Delivered`` follows."""
        self._line.now_us = now_us
        self._subscriptions.notify(token, topic, body)
        self._settle()

    def send_call_message(self, token: int, call: str, body: bytes, now_us: int) -> None:
        """A MESSAGE inside a call (MediaStatus); ``Delivered`` follows."""
        self._line.now_us = now_us
        self._calls.message(token, call, body)
        self._settle()

    def forget(self, token: int) -> None:
        """Nobody waits for ``Delivered`` of this token any more."""
        for key, purpose in list(self._line.pending.items()):
            if purpose.token == token:
                self._line.forget(key)

    # Between the parts -----------------------------------------------------------------------

    def _settle(self, utc_us: int = 0, source: Path | None = None) -> None:
        """Hands the parts' effects to each other until none is left."""
        while True:
            inner = self._line.transactions.take_effects()
            own = self.registration.take_effects()
            if not inner and not own:
                return
            for effect in inner:
                if isinstance(effect, Transmit | Dropped):
                    self._line.effects.append(effect)
                elif isinstance(effect, Arrived):
                    self._arrived(effect, source or effect.path, utc_us)
                elif isinstance(effect, Answered):
                    self._answered(effect, utc_us)
                elif isinstance(effect, Failed):
                    self._failed(effect)
                elif isinstance(effect, AckArrived):
                    self._calls.acknowledged(effect.request)
                elif isinstance(effect, Cancelled):
                    self._calls.cancelled(effect.key)
                else:
                    assert isinstance(effect, NoAck)
                    self._calls.not_acknowledged(effect.key)
            for told in own:
                if isinstance(told, SendRegister):
                    self._line.replace("register", self._line.writer.register(told))
                elif isinstance(told, SendKeepalive):
                    self._send_keepalive()
                else:
                    self._line.effects.append(told)
                    if isinstance(told, Offline):
                        self._went_offline()

    def _send_keepalive(self) -> None:
        self._keepalives += 1
        server = self.registration.server
        body = keepalive_body(self._keepalives, self.settings.identity.device_id)
        self._line.replace("keepalive", self._line.writer.message(server, server.id, body))

    def _arrived(self, effect: Arrived, source: Path, utc_us: int) -> None:
        key, request, line = effect.key, effect.request, self._line
        is_asked = False
        match request.method:
            case "OPTIONS":
                line.respond(key, request, 200, fields=_ALLOW)
            case "BYE":
                self._calls.on_bye(key, request)
            case "INFO":
                is_asked = self._calls.on_info(key, request, utc_us)
            case "MESSAGE" | "SUBSCRIBE" | "INVITE" if not self._is_acquainted:
                line.respond(key, request, 403, reason="Not registered")
            case "MESSAGE":
                is_asked = True
                line.effects.append(Asked(key=key, request=line.incoming(request, utc_us)))
            case "SUBSCRIBE":
                is_asked = self._subscriptions.subscribe(key, request, utc_us)
            case "INVITE":
                self._calls.invite(key, request, source, utc_us)
            case _:
                line.respond(key, request, 405, fields=_ALLOW)
        if is_asked:
            self._asked[key] = request

    @property
    def _is_acquainted(self) -> bool:
        """Registered, or about to be: a platform asks in the second of its 200."""
        return self.is_online or self.registration.state is State.REGISTERING

    def _answered(self, effect: Answered, utc_us: int) -> None:
        response = effect.response
        purpose = self._line.pending.get(effect.key)
        if response.status < 200 or purpose is None:
            return
        del self._line.pending[effect.key]
        now_us = self._line.now_us
        round_trip_us = now_us - purpose.sent_us
        if purpose.kind == "register":
            self.registration.answered(
                response, now_us=now_us, utc_us=utc_us, round_trip_us=round_trip_us
            )
        elif purpose.kind == "keepalive":
            self.registration.keepalive_answered(
                response.status, now_us=now_us, round_trip_us=round_trip_us
            )
        else:
            self._concluded(purpose, response.status)

    def _failed(self, effect: Failed) -> None:
        purpose = self._line.pending.pop(effect.key, None)
        if purpose is None:
            return
        if purpose.kind == "register":
            self.registration.unanswered(is_timeout=effect.is_timeout, now_us=self._line.now_us)
        elif purpose.kind == "keepalive":
            self.registration.keepalive_unanswered(self._line.now_us)
        else:
            self._concluded(purpose, None)

    def _concluded(self, purpose: Purpose, status: int | None) -> None:
        """A request of a handler's is over."""
        if purpose.token:
            self._line.effects.append(Delivered(token=purpose.token, status=status))
        if purpose.kind == "call":
            self._calls.concluded(purpose.dialog, status)
        elif purpose.kind == "notify":
            self._subscriptions.concluded(purpose.dialog, status)

    def _went_offline(self) -> None:
        self._end_dialogs(EndCause.OFFLINE)
        for key, purpose in list(self._line.pending.items()):
            if purpose.kind in ("message", "notify", "call"):
                self._line.forget(key)
                self._line.undelivered(purpose.token)

    def _end_dialogs(self, cause: EndCause) -> None:
        self._calls.end_all(cause)
        self._subscriptions.drop_all()

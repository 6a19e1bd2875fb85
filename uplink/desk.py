"""One platform's user agent in the event loop: timers, handlers, serial sending, audit. Shell.

Every input goes into the agent, then its effects are carried out until none is left; nothing else
touches it. Bodies of answers are pulled and sent by one task an answer, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from config import log as logging_setup
from config.errors import XueliangError
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.clock import Clock
from uplink import effects as fx
from uplink.agent import Agent
from uplink.guard import Bucket
from uplink.handlers import Handlers
from uplink.metrics import UplinkMetrics
from uplink.ports import AuditNote, Bodies, EndCause, Invite, PlatformTime, Reply, SubscribeReply
from uplink.registration import (
    Counted,
    Offline,
    Registered,
    Stopped,
    TimeMeasured,
    Trouble,
)
from uplink.sip.message import Request, Response
from uplink.sip.transactions import Dropped, Path, ServerKey, Transmit

log = logging.getLogger(__name__)

US_PER_S = 1_000_000
#: Answers under way to one platform at once; above it 503.
JOBS_MAX = 64
#: Requests of one platform that reach a handler; above it 503.
REQUESTS_PER_S = 50
BURST_REQUESTS = 200
#: Longer than any transaction takes: a future that is not answered by then is a fault of ours.
DELIVERY_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every desk stands on."""

    clock: Clock
    handlers: Handlers
    metrics: UplinkMetrics
    audit: AuditLog
    jobs: asyncio.TaskGroup


class Desk:
    """One platform.

    Args:
        send: puts bytes on a path; False where they cannot go.
        reset: closes the TCP connection to the platform, if there is one.
    """

    def __init__(
        self,
        agent: Agent,
        around: Surroundings,
        send: Callable[[bytes, Path], bool],
        reset: Callable[[Path], None],
    ) -> None:
        self.agent = agent
        self.name = agent.settings.name
        self.stopped = asyncio.Event()
        self._around = around
        self._send = send
        self._reset = reset
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._futures: dict[int, asyncio.Future[int | None]] = {}
        self._next_token = 1
        self._jobs: set[asyncio.Task[None]] = set()
        self._calls: dict[str, DeskCall] = {}
        self._requests = Bucket(rate_per_s=REQUESTS_PER_S, burst=BURST_REQUESTS)
        self.is_started = False
        self._is_draining = False
        self._since_utc_us = around.clock.utc_us()
        self._rtt_us: int | None = None
        self._offset_us: int | None = None
        around.metrics.show(self.name)

    # Inputs ----------------------------------------------------------------------------------

    def reachable(self, host: str) -> None:
        """The reserved interface stands, with this address of ours: begins, or tells again."""
        if self.is_started:
            self.agent.route_changed(host, self._now())
        else:
            self.is_started = True
            self.agent.route_changed(host, self._now())  # sets the address
            self.agent.start(self._now())
        self._drain()

    def receive(self, message: Request | Response, source: Path) -> None:
        clock = self._around.clock
        self.agent.receive(message, source, now_us=self._now(), utc_us=clock.utc_us())
        self._drain()

    def lost(self, path: Path) -> None:
        """A TCP connection ended."""
        if path.connection:
            self.agent.transport_failed(path, self._now())
        else:
            self.agent.connection_lost(self._now())
        self._drain()

    def is_late(self, late_us: int) -> bool:
        """Whether something of the agent was due that long ago: its timer does not turn it."""
        due_us = self.agent.next_us()
        return due_us is not None and self._now() - due_us > late_us

    def stop(self) -> None:
        """``stopped`` is set once the platform knows, or after two seconds."""
        self.agent.stop(self._now())
        self._drain()

    def close(self) -> None:
        """Nothing runs any more; answers under way are given up."""
        if self._timer is not None:
            self._timer.cancel()
        for job in self._jobs:
            job.cancel()
        self._around.metrics.hide(self.name)

    # For handlers ----------------------------------------------------------------------------

    async def send_message(self, body: bytes, to_id: str = "") -> int | None:
        token = self._token()
        return await self._delivered(
            token, lambda: self.agent.send_message(token, to_id, body, self._now())
        )

    async def send_notify(self, topic: str, body: bytes) -> int | None:
        token = self._token()
        return await self._delivered(
            token, lambda: self.agent.send_notify(token, topic, body, self._now())
        )

    async def send_call_message(self, call: str, body: bytes) -> int | None:
        token = self._token()
        return await self._delivered(
            token, lambda: self.agent.send_call_message(token, call, body, self._now())
        )

    def notify(self, topic: str, bodies: Bodies) -> bool:
        if topic not in self.agent.topics or len(self._jobs) >= JOBS_MAX:
            return False
        self._start(self._send_all(bodies, lambda body: self.send_notify(topic, body), None))
        return True

    def record(self, note: AuditNote) -> None:
        """What came of something that was answered long ago."""
        self._note(note, 200)

    def set_heartbeat(self, keepalive_s: int | None, count: int | None) -> None:
        self.agent.set_heartbeat(self._now(), keepalive_s=keepalive_s, count=count)
        self._drain()

    def accept(self, call: str, sdp: bytes) -> None:
        self.agent.accept(call, sdp, self._now())
        self._drain()

    def refuse(self, call: str, status: int, reason: str) -> None:
        self.agent.refuse(call, status, reason, self._now())
        self._drain()

    def bye(self, call: str) -> None:
        self.agent.bye(call, self._now())
        self._drain()

    async def _delivered(self, token: int, send: Callable[[], None]) -> int | None:
        future: asyncio.Future[int | None] = self._loop.create_future()
        self._futures[token] = future
        send()
        self._drain()
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                status = await future
        except TimeoutError:
            status = None
        finally:
            self._futures.pop(token, None)
            self.agent.forget(token)
        result = "unanswered" if status is None else "ok" if status < 300 else "refused"
        self._around.metrics.answers.labels(self.name, result).inc()
        return status

    def _token(self) -> int:
        self._next_token += 1
        return self._next_token

    # Effects ---------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._around.clock.monotonic_us()

    def _drain(self) -> None:
        """Carries out effects until none is left; an input inside of it adds to the same round."""
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while effects := self.agent.take_effects():
                for effect in effects:
                    self._carry_out(effect)
        finally:
            self._is_draining = False
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_us = self.agent.next_us()
        if due_us is None:
            self._timer = None
            return
        delay_s = max(0.0, (due_us - self._now()) / US_PER_S)
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.agent.handle_timers(self._now())
        self._drain()

    def _carry_out(self, effect: fx.Effect) -> None:
        if isinstance(effect, Transmit):
            if not self._send(effect.data, effect.path):
                self.agent.transport_failed(effect.path, self._now())
        elif isinstance(effect, fx.Delivered):
            future = self._futures.get(effect.token)
            if future is not None and not future.done():
                future.set_result(effect.status)
        elif isinstance(effect, fx.Asked | fx.SubscriptionAsked | fx.InfoAsked | fx.Invited):
            self._handle(effect)
        elif isinstance(effect, fx.Confirmed):
            call = self._calls.get(effect.call)
            if call is not None:
                self._around.handlers.media.confirmed(call)
        elif isinstance(effect, fx.Ended):
            self._ended(effect)
        elif isinstance(effect, fx.Unsubscribed):
            self._around.handlers.subscriptions.unsubscribed(self.name, effect.topic)
        elif isinstance(effect, Dropped):
            self._around.metrics.dropped.labels(effect.reason).inc()
        else:
            self._told(effect)

    def _told(
        self, effect: Counted | Registered | Offline | Stopped | TimeMeasured | Trouble
    ) -> None:
        """What registration tells."""
        metrics = self._around.metrics
        if isinstance(effect, Counted):
            family = metrics.registers if effect.what == "register" else metrics.keepalives
            family.labels(self.name, effect.result).inc()
            if effect.what == "keepalive" and effect.round_trip_us is not None:
                self._rtt_us = effect.round_trip_us
                metrics.keepalive_rtt.labels(self.name).observe(effect.round_trip_us / US_PER_S)
        elif isinstance(effect, Registered):
            self._registered(effect)
        elif isinstance(effect, Offline):
            self._offline(effect)
        elif isinstance(effect, Stopped):
            self.stopped.set()
        elif isinstance(effect, TimeMeasured):
            self._offset_us = effect.offset_us
            metrics.time_offset.labels(self.name).set(effect.offset_us / US_PER_S)
            measured = PlatformTime(
                platform=self.name,
                offset_us=effect.offset_us,
                uncertainty_us=effect.uncertainty_us,
                at_utc_us=effect.at_utc_us,
            )
            for clock in self._around.handlers.clocks:
                clock.platform_time(measured)
        else:
            log.warning(
                "platform_trouble",
                extra={
                    "platform": self.name,
                    "reason": effect.reason,
                    "detail": effect.detail,
                    "hint": effect.hint,
                },
            )

    def _registered(self, effect: Registered) -> None:
        self._since_utc_us = self._around.clock.utc_us()
        self._around.metrics.registered.labels(self.name).set(1)
        log.info("platform_registered", extra={"platform": self.name, "edition": effect.edition})
        self._record(Action.PLATFORM_STATE, outcome=Outcome.DONE, what="registered")
        for observer in self._around.handlers.observers:
            observer.registered(self.name)

    def _offline(self, effect: Offline) -> None:
        self._since_utc_us = self._around.clock.utc_us()
        self._around.metrics.registered.labels(self.name).set(0)
        log.warning("platform_offline", extra={"platform": self.name, "reason": effect.reason})
        self._record(Action.PLATFORM_STATE, outcome=Outcome.DONE, what="offline", why=effect.reason)
        for observer in self._around.handlers.observers:
            observer.offline(self.name)
        if effect.reason in ("keepalive", "no_answer"):
            self._reset(self.agent.server_path)

    # Handlers --------------------------------------------------------------------------------

    def _handle(self, effect: fx.Asked | fx.SubscriptionAsked | fx.InfoAsked | fx.Invited) -> None:
        """Asks the handler; one that fails costs its request a 500, and nobody else anything."""
        with logging_setup.context(platform=self.name):
            try:
                if isinstance(effect, fx.Asked):
                    self._asked(effect)
                elif isinstance(effect, fx.SubscriptionAsked):
                    self._subscription_asked(effect)
                elif isinstance(effect, fx.InfoAsked):
                    self._info_asked(effect)
                else:
                    self._invited(effect)
            except Exception:  # a supervision point: counted, logged, answered
                self._around.metrics.swallowed_errors.labels("handler").inc()
                log.exception("handler_failed")
                if isinstance(effect, fx.Invited):
                    self.agent.refuse(effect.call, 500, "", self._now())
                else:
                    self.agent.answer(effect.key, Reply(status=500), self._now())

    def _has_room(self, key: ServerKey) -> bool:
        """Whether a request may reach its handler; answered with 503 otherwise."""
        if len(self._jobs) < JOBS_MAX and self._requests.take(self._now()):
            return True
        self._around.metrics.dropped.labels("busy").inc()
        self.agent.answer(key, Reply(status=503), self._now())
        return False

    def _asked(self, effect: fx.Asked) -> None:
        if not self._has_room(effect.key):
            return
        request = effect.request
        reply = self._around.handlers.messages.message(request)
        self._answer("MESSAGE", effect.key, reply)
        sender = request.sender

        async def send(body: bytes) -> int | None:
            return await self.send_message(body, sender)

        if reply.bodies:
            self._start(self._send_all(reply.bodies, send, reply.note))
        else:
            self._note(reply.note, reply.status)

    def _info_asked(self, effect: fx.InfoAsked) -> None:
        call = self._calls.get(effect.call)
        if call is None or not self._has_room(effect.key):
            return
        reply = self._around.handlers.media.info(call, effect.request)
        self._answer("INFO", effect.key, reply)
        self._note(reply.note, reply.status)

    def _answer(self, method: str, key: ServerKey, reply: Reply) -> None:
        self._around.metrics.requests.labels(self.name, method, str(reply.status)).inc()
        self.agent.answer(key, reply, self._now())

    def _subscription_asked(self, effect: fx.SubscriptionAsked) -> None:
        if not self._has_room(effect.key):
            return
        handler = self._around.handlers.subscriptions
        reply: SubscribeReply = handler.subscribe(effect.request, effect.expires_s)
        self._around.metrics.requests.labels(self.name, "SUBSCRIBE", str(reply.status)).inc()
        self.agent.answer_subscription(effect.key, reply, effect.expires_s, self._now())
        topic = reply.topic
        if reply.status < 300 and topic in self.agent.topics:
            self._start(
                self._send_all(reply.bodies, lambda body: self.send_notify(topic, body), reply.note)
            )
        else:
            self._note(reply.note, reply.status)

    def _invited(self, effect: fx.Invited) -> None:
        call = self._calls.get(effect.call)
        if call is None:
            call = self._calls[effect.call] = DeskCall(self, effect.call, effect.invite)
        self._around.handlers.media.invited(call, effect.invite)

    def _ended(self, effect: fx.Ended) -> None:
        call = self._calls.pop(effect.call, None)
        if call is None:
            return
        self._record(
            Action.PLATFORM_CALL,
            subject=call.target,
            outcome=Outcome.DONE,
            what="ended",
            why=effect.cause.value,
        )
        self._around.handlers.media.ended(call, EndCause(effect.cause))

    # Serial sending --------------------------------------------------------------------------

    def _start(self, job: Any) -> None:
        task = self._around.jobs.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _send_all(
        self,
        bodies: Bodies,
        send: Callable[[bytes], Awaitable[int | None]],
        note: AuditNote | None,
    ) -> None:
        """Sends each after the one before was answered; an unanswered one once more, then the
        next (gb28181.md 3.1). On record when all is over."""
        sent = unanswered = 0
        try:
            async for body in _each(bodies):
                status = await send(body)
                if status is None and self.agent.is_online:
                    status = await send(body)
                sent += 1
                unanswered += status is None
                if status is None and not self.agent.is_online:
                    break
        except XueliangError as error:
            log.warning(
                "answer_broken_off", extra={"platform": self.name, "error": error.sentence()}
            )
            self._note(note, 200, failure=error.code, sent=sent)
            return
        except Exception:  # a supervision point: one answer, not the service
            self._around.metrics.swallowed_errors.labels("answer").inc()
            log.exception("answer_failed", extra={"platform": self.name})
            self._note(note, 200, failure="error", sent=sent)
            return
        self._note(note, 200, failure="unanswered" if unanswered else "", sent=sent)

    # Audit -----------------------------------------------------------------------------------

    def _note(
        self, note: AuditNote | None, status: int, *, failure: str = "", sent: int = 0
    ) -> None:
        """One request and its outcome (issue 4, deliverable 9)."""
        if note is None:
            return
        outcome = Outcome.FAILED if failure else _OUTCOMES.get(note.outcome, Outcome.DONE)
        if status >= 400 and outcome is Outcome.DONE:
            outcome = Outcome.REFUSED
        self._record(
            _action(note.action),
            subject=note.target or self.agent.settings.identity.device_id,
            outcome=outcome,
            what=note.action,
            said=note.outcome,
            status=status,
            **({"note": note.detail} if note.detail else {}),
            **({"failure": failure} if failure else {}),
            **({"messages": sent} if sent else {}),
        )

    def _record(
        self, action: Action, *, outcome: Outcome, subject: str = "", **detail: Any
    ) -> None:
        self._around.audit.record(
            action,
            subject=subject or self.name,
            outcome=outcome,
            actor=f"platform:{self.name}",
            **detail,
        )

    # Figures ---------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """For ``xueliang status``: JSON-able, without secrets."""
        registration = self.agent.registration
        server = registration.server
        return {
            "platform": self.name,
            "registered": self.agent.is_online,
            "state": registration.state.value if self.is_started else "no_interface",
            "since_us": self._since_utc_us,
            "server": f"{server.host}:{server.port}",
            "edition": registration.edition,
            "trouble": "" if self.agent.is_online else registration.last_trouble,
            "failures": registration.failures,
            "keepalive_seconds": registration.keepalive_s,
            "keepalive_misses": registration.misses,
            "keepalive_rtt_ms": None if self._rtt_us is None else round(self._rtt_us / 1000, 1),
            "time_offset_seconds": (
                None if self._offset_us is None else round(self._offset_us / US_PER_S, 3)
            ),
            "subscriptions": self.agent.topics,
            "calls": self.agent.calls,
            "kept": self.agent.size + len(self._futures) + len(self._jobs),
        }


class DeskCall:
    """A call as media holds it (``ports.Call``)."""

    def __init__(self, desk: Desk, call: str, invite: Invite) -> None:
        self._desk = desk
        self._call = call
        self.target = invite.request.target

    @property
    def id(self) -> str:
        return f"{self._desk.name}/{self._call}"

    @property
    def platform(self) -> str:
        return self._desk.name

    def accept(self, sdp: bytes, note: AuditNote | None = None) -> None:
        self._desk._note(note, 200)
        self._desk.accept(self._call, sdp)

    def refuse(self, status: int, reason: str = "", note: AuditNote | None = None) -> None:
        self._desk._note(note, status)
        self._desk.refuse(self._call, status, reason)

    async def message(self, body: bytes) -> int | None:
        return await self._desk.send_call_message(self._call, body)

    def record(self, note: AuditNote) -> None:
        self._desk._note(note, 200)

    def bye(self) -> None:
        self._desk.bye(self._call)


_OUTCOMES = {
    "refused": Outcome.REFUSED,
    "failed": Outcome.FAILED,
}
_ACTIONS = {
    "query": Action.PLATFORM_QUERY,
    "subscribe": Action.PLATFORM_QUERY,
    "invite": Action.PLATFORM_CALL,
    "message": Action.PLATFORM_QUERY,
}


def _action(note: str) -> Action:
    """By the first word of the note; whatever is not known to only look is a command."""
    return _ACTIONS.get(note.partition("_")[0], Action.PLATFORM_COMMAND)


async def _each(bodies: Bodies) -> AsyncIterator[bytes]:
    if hasattr(bodies, "__aiter__"):
        async for body in bodies:
            yield body
    else:
        for body in bodies:
            yield body

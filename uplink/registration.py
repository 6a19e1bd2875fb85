"""One platform's registration: REGISTER, refresh, keepalive, and when to try again. Core.

The state machine of gb28181.md 2.2 to 2.6. Inputs are answers and instants of the monotonic clock
in microseconds; outputs are effects, to be taken after every input. All transitions are here:

    idle -> registering -> registered -> (refresh) registering' -> registered
    registering, registered -> waiting (any failure) -> registering
    registered -> registering at once, when a keepalive is answered "who are you"
    any -> unregistering -> stopped
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from uplink.platform_time import offset, parse_date
from uplink.sip.digest import Challenge, authorize, choose
from uplink.sip.headers import Malformed, NameAddress, SipUri, parameter, seconds
from uplink.sip.message import Response

US_PER_S = 1_000_000
Edition = Literal["2016", "2022"]

#: Refresh in this part of what was granted, drawn anew each time (gb28181.md 2.3: 50 to 80 %).
REFRESH_FROM = 0.5
REFRESH_TO = 0.8
#: Jitter behind ``retry_s``, as a part of it: a district must not come back in one second.
JITTER_PART = 0.5
#: After a link came back: soon, but not with everybody behind the same switch.
LINK_JITTER_US = 1 * US_PER_S
#: How long a stopping service waits for the answer to its un-REGISTER.
UNREGISTER_US = 2 * US_PER_S
#: A keepalive without an answer is missed after so long, or when the next one is due.
KEEPALIVE_ANSWER_US = 32 * US_PER_S
CHALLENGES_MAX = 2
REDIRECTS_MAX = 3
#: REGISTERs of one attempt: challenges, 423 and redirects together.
SENT_MAX = 8
#: Answers to a keepalive that say that the platform lost us (gb28181.md 2.5).
LOST_STATUSES = frozenset({401, 403, 404, 407, 481})

VERSION_OF_EDITION: dict[Edition, str] = {"2016": "2.0", "2022": "3.0"}


class State(StrEnum):
    IDLE = "idle"
    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"
    UNREGISTERING = "unregistering"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who takes our REGISTER."""

    host: str
    port: int
    id: str
    domain: str

    @property
    def uri(self) -> str:
        return f"sip:{self.id}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    server: Server
    username: str
    password: str = field(repr=False)
    register_s: int
    keepalive_s: int
    retry_s: int
    edition: Edition
    keepalive_misses_max: int = 3
    #: Hosts that a 302 may send us to: only these are let speak to us anyway.
    redirect_hosts: frozenset[str] = frozenset()


# Effects -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRegister:
    """One REGISTER; it replaces one that is still under way."""

    server: Server
    call_id: str
    from_tag: str
    sequence: int
    expires_s: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendKeepalive:
    """One keepalive; it replaces one that is still under way."""

    server: Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Online: after it had not been. ``edition`` is the platform's, as far as it said."""

    server: Server
    edition: Edition


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """No longer online; ``reason`` is a constant word."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Un-registered, or given up on it: nothing more will be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """``result`` of one REGISTER exchange or keepalive, a constant word for a counter."""

    what: Literal["register", "keepalive"]
    result: str
    round_trip_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeMeasured:
    offset_us: int
    uncertainty_us: int
    at_utc_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A failure for the log: what happened, and what a person should do."""

    reason: str
    detail: str
    hint: str = ""


Effect = (
    SendRegister | SendKeepalive | Registered | Offline | Stopped | Counted | TimeMeasured | Trouble
)

_HINTS = {
    "auth": "compare password_file, device_id and the realm with what the platform has",
    "refused": "is device_id entered at the platform, with this password?",
    "challenge": "the platform asks for what this device does not speak (GB 35114?)",
    "redirect": "add the host that it names to peers, if it is the platform's",
    "no_answer": "is the platform reachable over the reserved interface?",
    "unreachable": "is the reserved interface up, with an address and a route?",
}


class Registration:
    """The state machine.

    Args:
        chance: a number in [0, 1), such as ``random.random``.
        token: a fresh unpredictable word, for Call-ID, tags and cnonces.
    """

    def __init__(
        self,
        settings: RegistrationSettings,
        *,
        chance: Callable[[], float],
        token: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._chance = chance
        self._token = token
        self._effects: list[Effect] = []
        self.state = State.IDLE
        self.is_online = False
        self.since_us = 0  # of the state
        self.edition: Edition = settings.edition
        self.server = settings.server
        self.keepalive_s = settings.keepalive_s
        self.keepalive_misses_max = settings.keepalive_misses_max
        self.misses = 0
        self.failures = 0  # since it was last online
        self.last_trouble = ""
        self.expires_us = 0  # end of what was granted
        self._register_s = settings.register_s
        self._call_id = self._from_tag = ""
        self._sequence = 0
        self._challenges = 0
        self._redirects = 0
        self._sent = 0  # REGISTERs of this attempt
        self._due_us: int | None = None  # refresh, retry or end of waiting
        self._keepalive_due_us: int | None = None
        self._keepalive_answer_us: int | None = None  # when the one under way counts as missed
        self._hurried_us: int | None = None  # last registration that did not wait

    @property
    def register_s(self) -> int:
        """Expires as asked for (a 423 may have raised it)."""
        return self._register_s

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # Inputs ----------------------------------------------------------------------------------

    def start(self, now_us: int) -> None:
        """The first REGISTER."""
        if self.state is State.IDLE:
            self._register_anew(now_us)

    def stop(self, now_us: int) -> None:
        """Un-registers where that is worth it; ``Stopped`` follows."""
        if self.state in (State.UNREGISTERING, State.STOPPED):
            return
        was_online = self.is_online
        self._go_offline("stopping")
        if not was_online:
            self._enter(State.STOPPED, now_us)
            self._effects.append(Stopped())
            return
        self._enter(State.UNREGISTERING, now_us)
        self._due_us = now_us + UNREGISTER_US
        self._challenges = 0
        self._send(expires_s=0)

    def route_changed(self, now_us: int) -> None:
        """The reserved interface's link, address or route came back or changed."""
        if self.state in (State.WAITING, State.REGISTERING):
            self._enter(State.WAITING, now_us)
            self._due_us = now_us + int(self._chance() * min(LINK_JITTER_US, self._retry_us()))
        elif self.state is State.REGISTERED:
            self._refresh(now_us)  # Contact may have changed, and it shows who still hears us

    def answered(self, response: Response, *, now_us: int, utc_us: int, round_trip_us: int) -> None:
        """The final answer to the newest REGISTER."""
        if self.state is State.UNREGISTERING:
            self._unregister_answered(response, now_us)
        elif self.state is not State.REGISTERING:
            return
        elif 200 <= response.status < 300:
            self._accepted(response, now_us)
            self._measure(response, utc_us, round_trip_us)
        elif self._sent >= SENT_MAX:
            self._fail("error", f"{self._sent} answers, and none that settles it", now_us)
        elif response.status in (401, 407):
            self._challenged(response, now_us)
        elif response.status == 423:
            self._too_brief(response, now_us)
        elif 300 <= response.status < 400:
            self._redirected(response, now_us)
        else:
            reason = "refused" if response.status in (403, 404) else "error"
            self._fail(reason, f"{response.status} {response.reason[:80]}", now_us)

    def unanswered(self, *, is_timeout: bool, now_us: int) -> None:
        """The newest REGISTER got no answer, or could not be sent."""
        if self.state is State.UNREGISTERING:
            self._finish(now_us)
        elif self.state is State.REGISTERING:
            reason = "no_answer" if is_timeout else "unreachable"
            self._fail(reason, "", now_us)

    def keepalive_answered(self, status: int, *, now_us: int, round_trip_us: int) -> None:
        """The final answer to the newest keepalive."""
        if self._keepalive_answer_us is None:
            return
        self._keepalive_answer_us = None
        if status in LOST_STATUSES:
            self._count("keepalive", "lost")
            self._lost(f"keepalive answered {status}", now_us)
        elif status == 408:
            self._missed(now_us)
        else:
            self.misses = 0
            self._count("keepalive", "ok" if status < 300 else "error", round_trip_us)

    def keepalive_unanswered(self, now_us: int) -> None:
        """The newest keepalive got no answer, or could not be sent."""
        if self._keepalive_answer_us is not None:
            self._keepalive_answer_us = None
            self._missed(now_us)

    def connection_lost(self, now_us: int) -> None:
        """The TCP connection to the platform broke: the device counts as dropped (2022)."""
        if self.state is State.REGISTERED:
            self._fail("connection_lost", "", now_us)

    def set_heartbeat(self, now_us: int, *, keepalive_s: int | None, count: int | None) -> None:
        """DeviceConfig BasicParam, bounded (gb28181.md 3.12)."""
        if count is not None:
            self.keepalive_misses_max = min(max(count, 1), 10)
        if keepalive_s is not None:
            self.keepalive_s = min(max(keepalive_s, 5), 3600)
            if self._keepalive_due_us is not None:
                self._keepalive_due_us = now_us + self.keepalive_s * US_PER_S

    def next_us(self) -> int | None:
        times = (self._due_us, self._keepalive_due_us, self._keepalive_answer_us)
        return min((at for at in times if at is not None), default=None)

    def handle_timers(self, now_us: int) -> None:
        if self._due_us is not None and self._due_us <= now_us:
            self._due_us = None
            if self.state is State.WAITING:
                self._register_anew(now_us)
            elif self.state is State.REGISTERED:
                self._refresh(now_us)
            elif self.state is State.UNREGISTERING:
                self._finish(now_us)
        if self._keepalive_answer_us is not None and self._keepalive_answer_us <= now_us:
            self._keepalive_answer_us = None
            self._missed(now_us)
        if self._keepalive_due_us is not None and self._keepalive_due_us <= now_us:
            self._keepalive(now_us)

    # Registering -----------------------------------------------------------------------------

    def _register_anew(self, now_us: int) -> None:
        """With a Call-ID of its own: platforms take the old one for a refresh (0.4)."""
        self._call_id, self._from_tag = self._token(), self._token()
        self._refresh(now_us)

    def _refresh(self, now_us: int) -> None:
        self._challenges = 0
        self._enter(State.REGISTERING, now_us)
        self._send(expires_s=self._register_s)

    def _send(self, *, expires_s: int, authorization: str = "") -> None:
        self._sequence += 1
        self._sent += 1
        self._effects.append(
            SendRegister(
                server=self.server,
                call_id=self._call_id,
                from_tag=self._from_tag,
                sequence=self._sequence,
                expires_s=expires_s,
                authorization=authorization,
            )
        )

    def _accepted(self, response: Response, now_us: int) -> None:
        granted_s = self._granted_s(response)
        self.expires_us = now_us + granted_s * US_PER_S
        part = REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * self._chance()
        self._count("register", "ok")
        self._enter(State.REGISTERED, now_us)
        self._due_us = now_us + max(US_PER_S, int(granted_s * part * US_PER_S))
        self._redirects = 0
        self.edition = _edition(response, self._settings.edition)
        if self.is_online:
            return
        self.is_online = True
        self.misses = self.failures = 0
        self._keepalive_due_us = now_us  # one right after registration (gb28181.md 2.5)
        self._effects.append(Registered(server=self.server, edition=self.edition))

    def _granted_s(self, response: Response) -> int:
        """The smallest of what we asked for and what the answer says; never 0."""
        said = [seconds(response.headers.get("Expires"))]
        for text in response.addresses("Contact"):
            try:
                said.append(seconds(parameter(NameAddress.parse(text).parameters, "expires") or ""))
            except Malformed:
                continue
        return min([self._register_s, *(value for value in said if value)])

    def _measure(self, response: Response, utc_us: int, round_trip_us: int) -> None:
        stated = parse_date(response.headers.get("Date"))
        if stated is None:
            return
        found = offset(stated, received_utc_us=utc_us, round_trip_us=round_trip_us)
        if found is None:
            self._trouble("time_zone", "its Date is off by eight hours: left out of account")
            return
        self._effects.append(
            TimeMeasured(offset_us=found[0], uncertainty_us=found[1], at_utc_us=utc_us)
        )

    def _challenged(self, response: Response, now_us: int) -> None:
        authorization = self._authorize(response, now_us)
        if authorization is not None:
            self._send(expires_s=self._register_s, authorization=authorization)

    def _authorize(self, response: Response, now_us: int) -> str | None:
        """Our answer to the challenge; None after telling of a failure."""
        name = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
        challenge = choose(response.headers.all(name))
        self._challenges += 1
        if challenge is None:
            self._fail("challenge", response.headers.get(name).split(" ")[0][:40], now_us)
        elif self._challenges > (CHALLENGES_MAX if challenge.is_stale else 1):
            self._fail("auth", f"realm {challenge.realm[:60]!r}", now_us)
        else:
            return self._answer_to(challenge)
        return None

    def _answer_to(self, challenge: Challenge) -> str:
        return authorize(
            challenge,
            username=self._settings.username,
            password=self._settings.password,
            method="REGISTER",
            uri=self.server.uri,
            cnonce=self._token(),
        )

    def _too_brief(self, response: Response, now_us: int) -> None:
        least_s = seconds(response.headers.get("Min-Expires"))
        if least_s is None or not self._register_s < least_s <= 7 * 86400:
            self._fail("error", f"423 with Min-Expires {least_s}", now_us)
            return
        self._register_s = least_s
        self._challenges = 0
        self._send(expires_s=least_s)

    def _redirected(self, response: Response, now_us: int) -> None:
        """302 names the server to use (2022, gb28181.md 2.6)."""
        try:
            uri = SipUri.parse(response.contact)
        except Malformed:
            self._fail("redirect", "without a usable Contact", now_us)
            return
        target = Server(
            host=uri.host,
            port=uri.port or 5060,
            id=uri.user or self.server.id,
            domain=uri.user[:10] if uri.user else self.server.domain,
        )
        self._redirects += 1
        if target.host not in self._settings.redirect_hosts:
            self._fail("redirect", f"to {target.host[:60]}, which is not in peers", now_us)
        elif self._redirects > REDIRECTS_MAX or target == self.server:
            self._fail("redirect", "in a loop", now_us)
        else:
            self._count("register", "redirected")
            self.server = target
            self._register_anew(now_us)

    # Failing ---------------------------------------------------------------------------------

    def _fail(self, reason: str, detail: str, now_us: int) -> None:
        if reason not in ("keepalive", "connection_lost"):
            self._count("register", reason)
        self._trouble(reason, detail)
        self.failures += 1
        self._go_offline(reason)
        self.server = self._settings.server
        self._redirects = 0
        self._enter(State.WAITING, now_us)
        retry_us = self._retry_us()
        self._due_us = now_us + retry_us + int(self._chance() * JITTER_PART * retry_us)

    def _lost(self, detail: str, now_us: int) -> None:
        """The platform does not know us: registered again at once, unless that did not help."""
        hurried_us = self._hurried_us
        if hurried_us is not None and now_us - hurried_us < self._retry_us():
            self._trouble("lost", f"{detail} again")
            self._go_offline("lost")
            self._enter(State.WAITING, now_us)
            self._due_us = (
                hurried_us + self._retry_us() + int(self._chance() * JITTER_PART * self._retry_us())
            )
            return
        self._hurried_us = now_us
        self._trouble("lost", detail)
        self._go_offline("lost")
        self._register_anew(now_us)

    def _missed(self, now_us: int) -> None:
        self.misses += 1
        self._count("keepalive", "missed")
        if self.misses >= self.keepalive_misses_max:
            self._fail("keepalive", f"{self.misses} without an answer", now_us)

    def _go_offline(self, reason: str) -> None:
        self._keepalive_due_us = self._keepalive_answer_us = None
        if self.is_online:
            self.is_online = False
            self._effects.append(Offline(reason=reason))

    def _trouble(self, reason: str, detail: str) -> None:
        self.last_trouble = f"{reason}: {detail}" if detail else reason
        self._effects.append(Trouble(reason=reason, detail=detail, hint=_HINTS.get(reason, "")))

    # Keepalive and leaving -------------------------------------------------------------------

    def _keepalive(self, now_us: int) -> None:
        if self._keepalive_answer_us is not None:
            self._keepalive_answer_us = None
            self._missed(now_us)
            if not self.is_online:
                return
        interval_us = self.keepalive_s * US_PER_S
        self._keepalive_due_us = now_us + interval_us
        self._keepalive_answer_us = now_us + KEEPALIVE_ANSWER_US
        self._effects.append(SendKeepalive(server=self.server))

    def _unregister_answered(self, response: Response, now_us: int) -> None:
        if response.status in (401, 407) and not self._challenges:
            name = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
            challenge = choose(response.headers.all(name))
            self._challenges += 1
            if challenge is not None:
                self._send(expires_s=0, authorization=self._answer_to(challenge))
                return
        self._finish(now_us)

    def _finish(self, now_us: int) -> None:
        self._enter(State.STOPPED, now_us)
        self._effects.append(Stopped())

    def _enter(self, state: State, now_us: int) -> None:
        if state is not self.state:
            self.since_us = now_us
            self._sent = 0
        self.state = state
        self._due_us = None

    def _retry_us(self) -> int:
        return self._settings.retry_s * US_PER_S

    def _count(
        self, what: Literal["register", "keepalive"], result: str, round_trip_us: int | None = None
    ) -> None:
        self._effects.append(Counted(what=what, result=result, round_trip_us=round_trip_us))


def _edition(response: Response, assumed: Edition) -> Edition:
    version = response.headers.get("X-GB-Ver").strip()
    if not version:
        return assumed
    return "2022" if version[:1] >= "3" else "2016"

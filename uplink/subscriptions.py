"""A platform's subscriptions: SUBSCRIBE dialogs, their expiry, their NOTIFYs. Core.

RFC 6665 as gb28181.md 3.14 says that platforms keep it: Event is echoed verbatim, a topic has one
subscription, a new one replaces it. What may be subscribed a handler says.
"""

from __future__ import annotations

from dataclasses import dataclass

from uplink.effects import SubscriptionAsked, Unsubscribed
from uplink.line import Line
from uplink.ports import SubscribeReply
from uplink.requests import MANSCDP
from uplink.sip.dialogs import Dialog
from uplink.sip.headers import seconds
from uplink.sip.message import Request
from uplink.sip.transactions import ServerKey

US_PER_S = 1_000_000
TOPICS_MAX = 16
EXPIRES_S_MAX = 7 * 86400
#: NOTIFYs in a row without an answer before a subscription is given up.
FAILURES_MAX = 3


@dataclass(slots=True, kw_only=True)
class _Subscription:
    topic: str
    dialog: Dialog
    event: str
    expire_us: int
    failures: int = 0


class Subscriptions:
    """One platform's."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._of_topic: dict[str, _Subscription] = {}

    @property
    def topics(self) -> list[str]:
        """What the platform subscribes to now."""
        return list(self._of_topic)

    def owns(self, request: Request) -> bool:
        """Whether ``request`` is inside one of the dialogs."""
        return self._of_request(request) is not None

    # Their side ------------------------------------------------------------------------------

    def subscribe(self, key: ServerKey, request: Request, utc_us: int) -> bool:
        """A SUBSCRIBE. True if a handler must judge it: :meth:`answer` follows."""
        expires_s = seconds(request.headers.get("Expires"))
        known = self._of_request(request)
        if expires_s is None:
            self._line.respond(key, request, 400, reason="Expires is missing")
        elif known is None and request.to.tag:
            self._line.respond(key, request, 481)
        elif expires_s == 0:
            self._cancel(key, request, known)
        elif known is not None and not request.body:
            expires_s = min(expires_s, EXPIRES_S_MAX)
            self._refresh(known, request, expires_s)
            self._accept(key, request, known, expires_s, b"")
        else:
            expires_s = min(expires_s, EXPIRES_S_MAX)
            asked = self._line.incoming(request, utc_us)
            self._line.effects.append(
                SubscriptionAsked(key=key, request=asked, expires_s=expires_s)
            )
            return True
        return False

    def answer(
        self, key: ServerKey, request: Request, reply: SubscribeReply, expires_s: int
    ) -> None:
        """What the handler said."""
        if reply.status >= 300 or not reply.topic:
            status = reply.status if reply.status >= 300 else 489
            self._line.respond(key, request, status, reason=reply.reason)
            return
        known = self._of_request(request)
        if known is not None and known.topic == reply.topic:
            self._refresh(known, request, expires_s)
        elif len(self._of_topic) >= TOPICS_MAX and reply.topic not in self._of_topic:
            self._line.respond(key, request, 503)
            return
        else:
            known = self._add(request, reply.topic, expires_s)
        self._accept(key, request, known, expires_s, reply.body)

    def _add(self, request: Request, topic: str, expires_s: int) -> _Subscription:
        """An old one of the topic is gone: the platform restarted."""
        made = _Subscription(
            topic=topic,
            dialog=Dialog.of_request(request, self._line.token()),
            event=request.headers.get("Event"),
            expire_us=self._line.now_us + expires_s * US_PER_S,
        )
        made.dialog.is_confirmed = True
        self._of_topic[topic] = made
        return made

    def _refresh(self, known: _Subscription, request: Request, expires_s: int) -> None:
        known.dialog.refresh_target(request)
        known.event = request.headers.get("Event") or known.event
        known.expire_us = self._line.now_us + expires_s * US_PER_S
        known.failures = 0

    def _accept(
        self, key: ServerKey, request: Request, known: _Subscription, expires_s: int, body: bytes
    ) -> None:
        fields = [
            ("Contact", self._line.writer.contact),
            ("Expires", str(expires_s)),
            ("Event", known.event),
            ("Content-Type", MANSCDP if body else ""),
        ]
        self._line.respond(
            key,
            request,
            200,
            to_tag=known.dialog.local.tag,
            fields=tuple(field for field in fields if field[1]),
            body=body,
        )

    def _cancel(self, key: ServerKey, request: Request, known: _Subscription | None) -> None:
        fields = (("Contact", self._line.writer.contact), ("Expires", "0"))
        self._line.respond(key, request, 200, fields=fields)
        if known is not None:
            self._end(known)

    # Our side --------------------------------------------------------------------------------

    def notify(self, token: int, topic: str, body: bytes) -> None:
        """A NOTIFY for ``token``."""
        known = self._of_topic.get(topic)
        if known is None or not self._line.has_room(body):
            self._line.undelivered(token)
            return
        left_s = max(0, (known.expire_us - self._line.now_us) // US_PER_S)
        request = self._notify(known, f"active;expires={left_s}", body)
        self._line.send(
            request,
            self._line.server_path,
            kind="notify",
            token=token,
            dialog=known.dialog.call_id,
        )

    def concluded(self, call_id: str, status: int | None) -> None:
        """A NOTIFY was answered, or was not."""
        for known in list(self._of_topic.values()):
            if known.dialog.call_id != call_id:
                continue
            known.failures = known.failures + 1 if status is None else 0
            if status == 481 or known.failures >= FAILURES_MAX:
                self._drop(known)

    def next_us(self) -> int | None:
        return min((one.expire_us for one in self._of_topic.values()), default=None)

    def handle_timers(self, now_us: int) -> None:
        for known in [one for one in self._of_topic.values() if one.expire_us <= now_us]:
            self._end(known)

    def drop_all(self) -> None:
        """The platform is lost, or we leave."""
        for known in list(self._of_topic.values()):
            self._drop(known)

    def _end(self, known: _Subscription) -> None:
        """Cancelled or expired: one last NOTIFY says so (RFC 6665 4.2.2)."""
        self._drop(known)
        request = self._notify(known, "terminated;reason=timeout", b"")
        self._line.send(request, self._line.server_path, kind="farewell")

    def _drop(self, known: _Subscription) -> None:
        if self._of_topic.get(known.topic) is known:
            del self._of_topic[known.topic]
            self._line.effects.append(Unsubscribed(topic=known.topic))

    def _notify(self, known: _Subscription, state: str, body: bytes) -> Request:
        fields = [("Event", known.event), ("Subscription-State", state)]
        if body:
            fields.append(("Content-Type", MANSCDP))
        return self._line.writer.in_dialog(known.dialog, "NOTIFY", fields=tuple(fields), body=body)

    def _of_request(self, request: Request) -> _Subscription | None:
        for known in self._of_topic.values():
            if known.dialog.matches(request):
                return known
        return None

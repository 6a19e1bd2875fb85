"""A platform's subscriptions: SUBSCRIBE dialogs, their expiry, their NOTIFYs. Core.

RFC 6665 as gb28181.md 3.14 says that platforms keep it: Event is echoed verbatim, a topic has one
subscription, a new one replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass

from uplink.requests import MANSCDP, RequestWriter
from uplink.sip.dialogs import Dialog
from uplink.sip.message import Request

US_PER_S = 1_000_000
TOPICS_MAX = 16
EXPIRES_S_MAX = 7 * 86400
#: NOTIFYs in a row without an answer before a subscription is given up.
FAILURES_MAX = 3


@dataclass(slots=True, kw_only=True)
class Subscription:
    topic: str
    dialog: Dialog
    event: str
    expire_us: int
    failures: int = 0


class Subscriptions:
    """One platform's. Methods give what to send; who sends is the agent."""

    def __init__(self, writer: RequestWriter) -> None:
        self._writer = writer
        self._of_topic: dict[str, Subscription] = {}

    def of_request(self, request: Request) -> Subscription | None:
        """The subscription that a SUBSCRIBE refreshes or ends."""
        for subscription in self._of_topic.values():
            if subscription.dialog.matches(request):
                return subscription
        return None

    def of_call_id(self, call_id: str) -> Subscription | None:
        for subscription in self._of_topic.values():
            if subscription.dialog.call_id == call_id:
                return subscription
        return None

    def of_topic(self, topic: str) -> Subscription | None:
        return self._of_topic.get(topic)

    @property
    def topics(self) -> list[str]:
        return list(self._of_topic)

    @property
    def is_full(self) -> bool:
        return len(self._of_topic) >= TOPICS_MAX

    def add(
        self, request: Request, topic: str, *, local_tag: str, expires_s: int, now_us: int
    ) -> Subscription:
        """A new subscription; an old one of the topic is gone (the platform restarted)."""
        subscription = Subscription(
            topic=topic,
            dialog=Dialog.of_request(request, local_tag),
            event=request.headers.get("Event"),
            expire_us=now_us + expires_s * US_PER_S,
        )
        subscription.dialog.is_confirmed = True
        self._of_topic[topic] = subscription
        return subscription

    def refresh(
        self, subscription: Subscription, request: Request, expires_s: int, now_us: int
    ) -> None:
        subscription.dialog.refresh_target(request)
        subscription.event = request.headers.get("Event") or subscription.event
        subscription.expire_us = now_us + expires_s * US_PER_S
        subscription.failures = 0

    def drop(self, subscription: Subscription) -> bool:
        """False where it had been replaced or dropped already."""
        if self._of_topic.get(subscription.topic) is not subscription:
            return False
        del self._of_topic[subscription.topic]
        return True

    def notify(self, subscription: Subscription, body: bytes, now_us: int) -> Request:
        left_s = max(0, (subscription.expire_us - now_us) // US_PER_S)
        return self._notify(subscription, f"active;expires={left_s}", body)

    def last_notify(self, subscription: Subscription) -> Request:
        """The one that ends it (RFC 6665 4.2.2)."""
        return self._notify(subscription, "terminated;reason=timeout", b"")

    def _notify(self, subscription: Subscription, state: str, body: bytes) -> Request:
        fields = [("Event", subscription.event), ("Subscription-State", state)]
        if body:
            fields.append(("Content-Type", MANSCDP))
        return self._writer.in_dialog(
            subscription.dialog, "NOTIFY", fields=tuple(fields), body=body
        )

    def next_us(self) -> int | None:
        return min((one.expire_us for one in self._of_topic.values()), default=None)

    def expired(self, now_us: int) -> list[Subscription]:
        return [one for one in self._of_topic.values() if one.expire_us <= now_us]

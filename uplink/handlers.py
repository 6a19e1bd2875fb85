"""The handlers of the uplink, put together; what answers where none has been built yet. Shell."""

from __future__ import annotations

from dataclasses import dataclass, field

from uplink.ports import (
    AuditNote,
    Call,
    EndCause,
    Incoming,
    Invite,
    MediaHandler,
    MessageHandler,
    PlatformObserver,
    Reply,
    SubscribeReply,
    SubscriptionHandler,
    TimeObserver,
)


class NoMessages:
    """Takes every MESSAGE and answers none."""

    def message(self, request: Incoming) -> Reply:
        return Reply(note=AuditNote(action="message", target=request.target, outcome="ignored"))


class NoSubscriptions:
    def subscribe(self, request: Incoming, expires_s: int) -> SubscribeReply:
        del expires_s
        note = AuditNote(action="subscribe", target=request.target, outcome="refused")
        return SubscribeReply(status=489, note=note)

    def unsubscribed(self, platform: str, topic: str) -> None:
        """There is none."""


class NoMedia:
    """No call can be met."""

    def invited(self, call: Call, invite: Invite) -> None:
        note = AuditNote(action="invite", target=invite.request.target, outcome="refused")
        call.refuse(488, note=note)

    def confirmed(self, call: Call) -> None:
        """No call gets so far."""

    def info(self, call: Call, request: Incoming) -> Reply:
        del call, request
        return Reply(status=481)

    def ended(self, call: Call, cause: EndCause) -> None:
        """Nothing had been begun."""


@dataclass(slots=True, kw_only=True)
class Handlers:
    """Who answers. Replace a field by the real part where there is one."""

    messages: MessageHandler = field(default_factory=NoMessages)
    subscriptions: SubscriptionHandler = field(default_factory=NoSubscriptions)
    media: MediaHandler = field(default_factory=NoMedia)
    observers: list[PlatformObserver] = field(default_factory=list)
    clocks: list[TimeObserver] = field(default_factory=list)

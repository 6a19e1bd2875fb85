"""What the user agent of one platform wants done, or tells. Core.

Registration's own effects (:mod:`uplink.registration`) and ``Dropped`` and ``Transmit`` of the
transactions pass through.
"""

from __future__ import annotations

from dataclasses import dataclass

from uplink.ports import EndCause, Incoming, Invite
from uplink.registration import Counted, Offline, Registered, Stopped, TimeMeasured, Trouble
from uplink.sip.transactions import Dropped, ServerKey, Transmit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A MESSAGE came: answer by ``Agent.answer``."""

    key: ServerKey
    request: Incoming


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionAsked:
    """A SUBSCRIBE came that a handler must judge: answer by ``Agent.answer_subscription``."""

    key: ServerKey
    request: Incoming
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """A call, or (``invite.is_again``) a new offer inside one."""

    call: str
    invite: Invite


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoAsked:
    """INFO inside a call: answer by ``Agent.answer``."""

    key: ServerKey
    call: str
    request: Incoming


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    call: str
    cause: EndCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The end of a request that was sent for ``token``; ``status`` None without an answer."""

    token: int
    status: int | None


Effect = (
    Transmit
    | Dropped
    | Counted
    | Registered
    | Offline
    | Stopped
    | TimeMeasured
    | Trouble
    | Asked
    | SubscriptionAsked
    | Unsubscribed
    | Invited
    | Confirmed
    | InfoAsked
    | Ended
    | Delivered
)

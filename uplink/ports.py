"""What the parts of the uplink promise each other: values and protocols. Core: nothing runs here.

Three parts meet here. The *user agent* (``uplink.agent`` with its shell ``uplink.daemon``) speaks
SIP: registration, transactions, dialogs, expiry. *Messages* (``uplink.manscdp`` and what stands on
it) understands MANSCDP bodies. *Media* answers calls. The user agent calls the handlers below from
its event loop: a method that is not ``async`` must return at once (no file, no index, no camera);
what takes time goes into an async iterator or a coroutine.

Platforms are named by ``[[platform]] name``. Bodies are the bytes of the wire, already encoded.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

#: Bodies of later requests, in the order in which they go out. One is taken only after the one
#: before it was answered (GB/T 28181-2022 annex M: serial sending), so a slow producer costs
#: nothing, and an async one may read the store or ask a camera between two of them.
Bodies = Iterable[bytes] | AsyncIterable[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNote:
    """What the audit log says of a request: no secret, no picture, no address of a camera.

    ``action`` is a constant word or two ("query_catalog", "control_ptz", "invite_playback"),
    ``target`` the 20-digit code that it was about (empty: the device itself), ``outcome`` what
    became of it ("answered", "refused", "failed"), ``detail`` one line more.
    """

    action: str
    target: str = ""
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request of a platform, as handed to a handler."""

    platform: str
    #: What the peer said it speaks (X-GB-Ver), else ``[[platform]] edition``.
    edition: Literal["2016", "2022"]
    #: User part of From: the platform's code; answers go to it.
    sender: str
    #: User part of the Request-URI: the device, or a channel.
    target: str
    content_type: str  # lower case, without parameters
    body: bytes
    #: Largest body that one MESSAGE or NOTIFY to this platform should carry, in bytes: what is
    #: left of the path's datagram over UDP, far more over TCP. A body that cannot be split any
    #: further may be larger; above ``Sending.body_bytes_hard_max`` it is not sent at all.
    body_bytes_max: int
    arrival_utc_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a MESSAGE: a SIP status at once, then ``bodies`` as MESSAGEs of our own.

    ``body`` goes into the SIP response itself (empty for MESSAGE; MANSRTSP answers INFO so).
    """

    status: int = 200
    reason: str = ""  # the standard phrase of the status where empty
    body: bytes = b""
    content_type: str = ""
    bodies: Bodies = ()
    note: AuditNote | None = None  # None: nothing that an auditor asks for (a duplicate, a receipt)


class MessageHandler(Protocol):
    """Understands MANSCDP. One object serves every platform."""

    def message(self, request: Incoming) -> Reply:
        """A MESSAGE outside of dialogs: a Query, Control, Notify or Response.

        Retransmissions never come here. Never raises for bad bodies: those get a 4xx.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeReply:
    """The answer to a SUBSCRIBE.

    ``topic`` is the body's CmdType ("Catalog", "Alarm", "MobilePosition", "PTZPosition"): a new
    subscription of a platform to a topic replaces its old one. ``bodies`` become the NOTIFYs that
    RFC 6665 wants at once. With a status of 300 and more nothing else counts.
    """

    status: int = 200
    reason: str = ""
    topic: str = ""
    body: bytes = b""  # of the 200, application/manscdp+xml; may be empty
    bodies: Bodies = ()
    note: AuditNote | None = None


class SubscriptionHandler(Protocol):
    """Says what may be subscribed. Dialog, expiry and refresh are the user agent's."""

    def subscribe(self, request: Incoming, expires_s: int) -> SubscribeReply:
        """A new SUBSCRIBE, or a refresh that carries a body; ``expires_s`` is above 0."""
        ...

    def unsubscribed(self, platform: str, topic: str) -> None:
        """Cancelled, expired, refused by the platform, or the platform went offline."""
        ...


class PlatformObserver(Protocol):
    """Told of a platform's coming and going (the alarm queue waits for it)."""

    def registered(self, platform: str) -> None:
        """It took our REGISTER, after it had not: MESSAGEs may go out."""
        ...

    def offline(self, platform: str) -> None:
        """Registration or keepalive failed, or we left: dialogs with it are gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What BasicParam of ConfigDownload must tell truly (platforms time us out by it)."""

    register_s: int
    keepalive_s: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Limits of what can be sent to a platform now."""

    body_bytes_max: int
    body_bytes_hard_max: int


class UserAgent(Protocol):
    """What handlers may ask of the user agent. Call from the event loop only."""

    def is_registered(self, platform: str) -> bool: ...

    def sending(self, platform: str) -> Sending: ...

    async def send(self, platform: str, body: bytes) -> int | None:
        """A MESSAGE of ours (Alarm, UploadSnapShotFinished): its final status.

        None: not registered, or no answer within the transaction's time (32 s).
        """
        ...

    def is_subscribed(self, platform: str, topic: str) -> bool: ...

    def notify(self, platform: str, topic: str, bodies: Bodies) -> bool:
        """NOTIFYs in the platform's subscription to ``topic``; False where there is none."""
        ...

    def record(self, platform: str, note: AuditNote) -> None:
        """A line of the audit log about what was asked for earlier."""
        ...

    def heartbeat(self, platform: str) -> Heartbeat: ...

    def set_heartbeat(
        self, platform: str, *, keepalive_s: int | None = None, count: int | None = None
    ) -> None:
        """DeviceConfig BasicParam: bounded to 5-3600 s and 1-10, until the next start."""
        ...


# Calls -----------------------------------------------------------------------------------------


class EndCause(StrEnum):
    """Why a call is over."""

    BYE = "bye"  # the platform's
    CANCEL = "cancel"  # before our answer; 487 has been sent
    NO_ACK = "no_ack"  # 32 s after our 200; BYE has been sent
    OFFLINE = "offline"  # the platform was lost, or registered as new; BYE has been sent
    LOCAL = "local"  # we said BYE, or refused
    REFUSED = "refused"  # a request of ours in the dialog got 481 or 408
    STOPPING = "stopping"  # the service stops; BYE has been sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An INVITE, or one inside a call (``is_again``)."""

    request: Incoming  # target is the channel (SRS: the device), body the SDP offer
    subject: str
    source_host: str  # where the request came from
    local_host: str  # our address on the reserved interface, for c= and o=
    call_id: str = ""  # of the dialog, for the audit log
    is_again: bool = False


class Call(Protocol):
    """One INVITE dialog in the hands of media."""

    @property
    def id(self) -> str:
        """Unique in this process; never on the wire."""
        ...

    @property
    def platform(self) -> str: ...

    def accept(self, sdp: bytes, note: AuditNote | None = None) -> None:
        """200 with our SDP. Without effect once the call is over."""
        ...

    def refuse(self, status: int, reason: str = "", note: AuditNote | None = None) -> None:
        """A final answer of 400 to 699 (gb28181.md 4.6)."""
        ...

    async def message(self, body: bytes) -> int | None:
        """A MESSAGE inside the dialog (MediaStatus 121): its final status, None without one."""
        ...

    def record(self, note: AuditNote) -> None:
        """A line of the audit log about this call."""
        ...

    def bye(self) -> None:
        """Ends it from our side; ``ended`` follows with LOCAL."""
        ...


class MediaHandler(Protocol):
    """Serves calls. ``ended`` comes exactly once for each call that was ``invited``."""

    def invited(self, call: Call, invite: Invite) -> None:
        """100 Trying has been sent; :meth:`Call.accept` or ``refuse`` follows within 32 s."""
        ...

    def confirmed(self, call: Call) -> None:
        """ACK came (or INFO, which says as much): media may start."""
        ...

    def info(self, call: Call, request: Incoming) -> Reply:
        """INFO inside a call (MANSRTSP)."""
        ...

    def ended(self, call: Call, cause: EndCause) -> None:
        """Stop sending at once."""
        ...


# Time ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTime:
    """What a REGISTER's 200 said of the time, measured; nothing has been set by it."""

    platform: str
    offset_us: int  # platform minus ours
    uncertainty_us: int  # half the round trip, and what the Date's text cannot say
    at_utc_us: int  # ours, when it was measured


class TimeObserver(Protocol):
    def platform_time(self, time: PlatformTime) -> None: ...

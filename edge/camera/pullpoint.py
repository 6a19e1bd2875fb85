"""PullPoint subscriptions (ONVIF core 9.1, WS-BaseNotification 1.3): messages out and in. Core.

Written by hand: zeep loses topics and does not send back the reference parameters by which some
cameras tell their subscriptions apart. Credentials are WS-UsernameToken digests, made by the
caller's instant and nonce.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from edge.camera.event_kinds import Notification
from edge.camera.plain_xml import Node, XmlRefused, read_xml

_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_WSA = "http://www.w3.org/2005/08/addressing"
_TEV = "http://www.onvif.org/ver10/events/wsdl"
_WSNT = "http://docs.oasis-open.org/wsn/b-2"
_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_WSSE = f"{_OASIS}-wssecurity-secext-1.0.xsd"
_WSU = f"{_OASIS}-wssecurity-utility-1.0.xsd"
_DIGEST = f"{_OASIS}-username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_OASIS}-soap-message-security-1.0#Base64Binary"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

MESSAGES_MAX = 256
ITEMS_MAX = 32
PARAMETERS_MAX = 8
PARAMETER_BYTES_MAX = 4096


class NotUnderstood(ValueError):
    """An answer is none to what was asked."""


class FaultTold(Exception):
    """A SOAP fault; ``reason`` and codes are the camera's words."""

    def __init__(self, reason: str, codes: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.codes = codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One reference parameter: a header that is sent back as it was told."""

    namespace: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A subscription: where it is, and what its calls have to carry."""

    url: str  # as the camera names it
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """``term_s``: how long the camera says that it keeps the subscription; None if it tells not."""

    reference: Reference
    term_s: float | None


def create(term_s: int) -> str:
    """Body of CreatePullPointSubscription, for all topics."""
    return (
        f'<tev:CreatePullPointSubscription xmlns:tev="{_TEV}"><tev:InitialTerminationTime>'
        f"PT{term_s}S</tev:InitialTerminationTime></tev:CreatePullPointSubscription>"
    )


def pull(wait_s: int, limit: int) -> str:
    """Body of PullMessages: answered after ``wait_s`` at the latest."""
    return (
        f'<tev:PullMessages xmlns:tev="{_TEV}"><tev:Timeout>PT{wait_s}S</tev:Timeout>'
        f"<tev:MessageLimit>{limit}</tev:MessageLimit></tev:PullMessages>"
    )


def renew(term_s: int) -> str:
    return (
        f'<wsnt:Renew xmlns:wsnt="{_WSNT}"><wsnt:TerminationTime>PT{term_s}S'
        "</wsnt:TerminationTime></wsnt:Renew>"
    )


def unsubscribe() -> str:
    return f'<wsnt:Unsubscribe xmlns:wsnt="{_WSNT}"/>'


ACTIONS = {
    "create": f"{_TEV}/EventPortType/CreatePullPointSubscriptionRequest",
    "pull": f"{_TEV}/PullPointSubscription/PullMessagesRequest",
    "renew": "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/RenewRequest",
    "unsubscribe": "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/UnsubscribeRequest",
}


def envelope(
    body: str,
    *,
    action: str,
    to: str,
    message_id: str,
    parameters: Sequence[Parameter] = (),
    credentials: Credentials | None,
    created_us: int,
    nonce: bytes,
) -> bytes:
    """A whole request (SOAP 1.2, WS-Addressing 1.0, WS-UsernameToken profile 1.0).

    Args:
        created_us: the camera's own time, for it refuses what seems old.
    """
    head = (
        f'<a:Action s:mustUnderstand="1">{escape(ACTIONS[action])}</a:Action>'
        f"<a:MessageID>urn:uuid:{message_id}</a:MessageID>"
        f"<a:To>{escape(to)}</a:To>"
    )
    for one in parameters:
        head += (
            f'<p:{one.name} xmlns:p={quoteattr(one.namespace)} a:IsReferenceParameter="true">'
            f"{escape(one.text)}</p:{one.name}>"
        )
    if credentials is not None:
        head += _token(credentials, created_us, nonce)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="{_SOAP}" xmlns:a="{_WSA}"><s:Header>{head}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _token(credentials: Credentials, created_us: int, nonce: bytes) -> str:
    at = _EPOCH + datetime.timedelta(microseconds=created_us)
    created = at.strftime("%Y-%m-%dT%H:%M:%SZ") if at.year >= 1000 else "1970-01-01T00:00:00Z"
    # WS-UsernameToken profile 1.0, section 3.1: the standard wants SHA-1
    digest = hashlib.sha1(  # noqa: S324
        nonce + created.encode() + credentials.password.encode()
    ).digest()
    return (
        f'<w:Security xmlns:w="{_WSSE}" s:mustUnderstand="1"><w:UsernameToken>'
        f"<w:Username>{escape(credentials.username)}</w:Username>"
        f'<w:Password Type="{_DIGEST}">{base64.b64encode(digest).decode()}</w:Password>'
        f'<w:Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode()}</w:Nonce>'
        f'<u:Created xmlns:u="{_WSU}">{created}</u:Created></w:UsernameToken></w:Security>'
    )


def subscribed(answer: bytes) -> Subscribed:
    """The new subscription. Raises NotUnderstood, FaultTold."""
    body = _body(answer, "CreatePullPointSubscriptionResponse")
    reference = body.first("SubscriptionReference")
    url = "" if reference is None else reference.text_of("Address")
    if reference is None or not url or len(url) > 2000:
        raise NotUnderstood("the answer names no subscription")
    held = reference.first("ReferenceParameters")
    return Subscribed(
        reference=Reference(url=url, parameters=_parameters(held)), term_s=_term_s(body)
    )


def renewed(answer: bytes) -> float | None:
    """How long it is kept from now on. Raises NotUnderstood, FaultTold."""
    return _term_s(_body(answer, "RenewResponse"))


def unsubscribed(answer: bytes) -> None:
    """Raises NotUnderstood, FaultTold."""
    _body(answer, "UnsubscribeResponse")


def messages(answer: bytes) -> list[Notification]:
    """What PullMessages brought, oldest first. Raises NotUnderstood, FaultTold."""
    body = _body(answer, "PullMessagesResponse")
    found = []
    for _, told in zip(range(MESSAGES_MAX), body.all("NotificationMessage"), strict=False):
        topic, message = told.first("Topic"), _innermost(told)
        if topic is None or message is None:
            continue
        found.append(
            Notification(
                topic=topic.text.strip()[:500],
                utc=message.attributes.get("UtcTime", "")[:64],
                operation=message.attributes.get("PropertyOperation", "")[:32],
                source=_items(message.find("Source")),
                data=_items(message.find("Data")),
            )
        )
    return found


def _innermost(told: Node) -> Node | None:
    """``wsnt:Message`` holds ``tt:Message``; some cameras leave out one of them."""
    found = None
    for message in told.all("Message"):
        found = message
        if "UtcTime" in message.attributes:
            break
    return found


def _items(node: Node | None) -> dict[str, str]:
    if node is None:
        return {}
    found = {}
    for _, item in zip(range(ITEMS_MAX), node.all("SimpleItem"), strict=False):
        found[item.attributes.get("Name", "")[:100]] = item.attributes.get("Value", "")[:100]
    return found


def _parameters(node: Node | None) -> tuple[Parameter, ...]:
    """Reference parameters with plain text; whoever nests elements in them is left out."""
    children = [] if node is None else node.children[:PARAMETERS_MAX]
    return tuple(
        Parameter(namespace=one.namespace, name=one.name, text=one.text.strip())
        for one in children
        if not one.children and len(one.text) <= PARAMETER_BYTES_MAX
    )


def _term_s(body: Node) -> float | None:
    """From the two instants of the camera's own clock, whatever that shows."""
    now, until = body.text_of("CurrentTime"), body.text_of("TerminationTime")
    try:
        begin = datetime.datetime.fromisoformat(now[:40])
        end = datetime.datetime.fromisoformat(until[:40])
        term_s = (end - begin).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return term_s if 0 < term_s < 86_400 else None


def _body(answer: bytes, wanted: str) -> Node:
    try:
        root = read_xml(answer)
    except XmlRefused as error:
        raise NotUnderstood(str(error)) from None
    fault = root.first("Fault")
    if fault is not None:
        codes = tuple(one.text.strip()[:100] for one in fault.all("Value"))[:8]
        reason = fault.text_of("Text") or fault.text_of("faultstring")
        raise FaultTold(reason[:300], codes)
    found = root.first(wanted)
    if found is None:
        raise NotUnderstood(f"no {wanted}")
    return found

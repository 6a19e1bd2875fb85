"""SOAP 1.2 with WS-Security's UsernameToken, as an ONVIF device reads and writes it. Core."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_NAMESPACES = (
    f'xmlns:s="{ENVELOPE}" xmlns:tt="http://www.onvif.org/ver10/schema"'
    ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
    ' xmlns:trt="http://www.onvif.org/ver10/media/wsdl"'
    ' xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl"'
    ' xmlns:ter="http://www.onvif.org/ver10/error"'
    ' xmlns:tev="http://www.onvif.org/ver10/events/wsdl"'
    ' xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2" xmlns:tns1="http://www.onvif.org/ver10/topics"'
    ' xmlns:wsa="http://www.w3.org/2005/08/addressing"'
)


class EnvelopeMalformed(ValueError):
    """The bytes are no SOAP request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A UsernameToken as sent."""

    username: str
    password_digest: str = field(repr=False)
    nonce: str
    created: str

    def created_us(self) -> int | None:
        """Created as UTC microseconds; None when it is no instant with an offset."""
        try:
            at = datetime.datetime.fromisoformat(self.created.strip())
        except ValueError:
            return None
        if at.tzinfo is None:
            return None
        return (at - _EPOCH) // datetime.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: operation, its name space, its leaf elements by local name, its token.

    ``attributes`` are those of the elements, as ("PanTilt", "x").
    """

    namespace: str
    operation: str
    arguments: dict[str, str]
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)
    token: Token | None = None


def parse_call(body: bytes) -> Call:
    """The call of an envelope. Raises EnvelopeMalformed; takes no DTD, hence no entities."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise EnvelopeMalformed("a document type is not allowed in SOAP")
    try:
        root = ET.fromstring(body)  # noqa: S314 - no DTD, bounded, from loopback
    except (ET.ParseError, ValueError, LookupError) as error:
        raise EnvelopeMalformed(f"not XML: {error}") from error
    content = root.find(f"{{{ENVELOPE}}}Body")
    if content is None or len(content) == 0:
        raise EnvelopeMalformed("no SOAP 1.2 body")
    namespace, operation = _names(content[0].tag)
    arguments = {_names(one.tag)[1]: (one.text or "").strip() for one in content[0].iter()}
    arguments.pop(operation, None)
    attributes = {
        (_names(one.tag)[1], name): value
        for one in content[0].iter()
        for name, value in one.attrib.items()
    }
    return Call(
        namespace=namespace,
        operation=operation,
        arguments=arguments,
        attributes=attributes,
        token=_token(root),
    )


def probe_of(datagram: bytes) -> tuple[str, str]:
    """Message id of a WS-Discovery Probe, and the kind that it asks for (local name, or empty).

    Raises EnvelopeMalformed.
    """
    if b"<!DOCTYPE" in datagram or b"<!ENTITY" in datagram:
        raise EnvelopeMalformed("a document type is not allowed in SOAP")
    try:
        root = ET.fromstring(datagram)  # noqa: S314 - no DTD, a datagram, from loopback
    except (ET.ParseError, ValueError, LookupError) as error:
        raise EnvelopeMalformed(f"not XML: {error}") from error
    found = {_names(one.tag)[1]: (one.text or "").strip() for one in root.iter()}
    if "Probe" not in found or not found.get("MessageID"):
        raise EnvelopeMalformed("no Probe")
    return found["MessageID"], found.get("Types", "").rpartition(":")[2]


def _names(tag: str) -> tuple[str, str]:
    namespace, brace, local = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    return namespace, local


def _token(root: ET.Element) -> Token | None:
    token = root.find(f".//{{{_WSSE}}}UsernameToken")
    if token is None:
        return None
    return Token(
        username=token.findtext(f"{{{_WSSE}}}Username", ""),
        password_digest=token.findtext(f"{{{_WSSE}}}Password", ""),
        nonce=token.findtext(f"{{{_WSSE}}}Nonce", ""),
        created=token.findtext(f"{{{_WSU}}}Created", ""),
    )


def element(name: str, *children: str, **attributes: str) -> str:
    """An element around children that are XML already."""
    inside = "".join(f' {key}="{escape(text, _QUOTE)}"' for key, text in attributes.items())
    return f"<{name}{inside}>{''.join(children)}</{name}>"


_QUOTE = {'"': "&quot;"}


def text(name: str, content: object) -> str:
    """An element around plain text; bool as XML Schema writes it."""
    shown = str(content).lower() if isinstance(content, bool) else str(content)
    return element(name, escape(shown))


def envelope(body: str) -> bytes:
    """A whole answer."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<s:Envelope {_NAMESPACES}><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def fault(*, subcodes: tuple[str, ...], reason: str, is_sender: bool = True) -> bytes:
    """A fault with nested subcodes such as ``ter:NotAuthorized`` (ONVIF core, 5.11.2)."""
    inner = ""
    for code in reversed(subcodes):
        inner = element("s:Subcode", text("s:Value", code), inner)
    value = text("s:Value", "s:Sender" if is_sender else "s:Receiver")
    said = f'<s:Text xml:lang="en">{escape(reason)}</s:Text>'
    return envelope(element("s:Fault", element("s:Code", value, inner), element("s:Reason", said)))

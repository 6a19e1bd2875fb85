"""WS-Discovery messages: who is there, and what a device says of itself. Core.

OASIS WS-Discovery 1.0 (April 2005), as ONVIF core (7.3) uses it: a Probe by UDP multicast to
239.255.255.250:3702, ProbeMatches back to the sender. Devices differ in prefixes and in what they
leave out; whatever is no answer is thrown away. Addresses told by a device are used only where it
answers from: the host is the datagram's sender, so no device can send us anywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from config.address import PORT_MAX, Address, is_ip
from edge.camera.description import clean
from edge.camera.plain_xml import Node, XmlRefused, read_xml

GROUP = "239.255.255.250"
PORT = 3702
#: A datagram of UDP over IPv4; devices send 1 to 4 KB.
DATAGRAM_BYTES_MAX = 65_507
MATCHES_MAX = 16
SCOPES_MAX = 100
ENDPOINT_CHARS_MAX = 200

_SCOPE = re.compile(r"onvif://www\.onvif\.org/(name|hardware|location|type)/(.+)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One device, as it announces itself; texts are its own, cut and cleaned, not to be believed.

    ``endpoint`` is the same for a device for ever (its UUID in lower case), empty if it tells none.
    """

    address: Address
    endpoint: str
    name: str  # often the maker
    hardware: str  # often the model
    location: str


def probe(message_id: str, kind: str = "dn:NetworkVideoTransmitter") -> bytes:
    """A Probe.

    Args:
        message_id: a UUID; answers relate to it.
        kind: ``dn:NetworkVideoTransmitter``, ``tds:Device``, or empty for anything.
    """
    types = f"<d:Types>{escape(kind)}</d:Types>" if kind else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
        ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl"'
        ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
        f"<e:Header><w:MessageID>uuid:{escape(message_id)}</w:MessageID>"
        '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
        '<w:Action e:mustUnderstand="true">'
        "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
        f"<e:Body><d:Probe>{types}</d:Probe></e:Body></e:Envelope>"
    ).encode()


def announcements(datagram: bytes, sender: str, message_ids: frozenset[str]) -> list[Announcement]:
    """What ``sender`` (an IP address) announces in answer to one of ``message_ids``; [] otherwise.

    Never raises: this is what anybody on the camera network may send.
    """
    try:
        root = read_xml(datagram, bytes_max=DATAGRAM_BYTES_MAX)
    except XmlRefused:
        return []
    relates = root.text_of("RelatesTo").lower()
    if not any(one in relates for one in message_ids):
        return []
    found = []  # some leave out the ProbeMatches around them
    for _, match in zip(range(MATCHES_MAX), root.all("ProbeMatch"), strict=False):
        address = _address(match.text_of("XAddrs").split(), sender)
        if address is not None:
            found.append(_announcement(match, address))
    return found


def _announcement(match: Node, address: Address) -> Announcement:
    said: dict[str, str] = {}
    for scope in match.text_of("Scopes").split()[:SCOPES_MAX]:
        known = _SCOPE.fullmatch(scope)
        if known is not None:
            said.setdefault(known[1].lower(), clean(unquote(known[2], errors="replace")))
    reference = match.first("EndpointReference")
    endpoint = "" if reference is None else reference.text_of("Address")
    return Announcement(
        address=address,
        endpoint=_endpoint(endpoint),
        name=said.get("name", ""),
        hardware=said.get("hardware", ""),
        location=said.get("location", ""),
    )


def _endpoint(text: str) -> str:
    """Its UUID however it is written; else the text itself."""
    found = _UUID.search(text)
    if found is not None:
        return found[0].replace("-", "").lower()
    return clean(text)[:ENDPOINT_CHARS_MAX]


def _address(xaddrs: list[str], sender: str) -> Address | None:
    """Where its device service is: the sender's host, the port of the address that names it, else
    of the first HTTP address told."""
    ports: list[tuple[bool, int]] = []
    for text in xaddrs[:16]:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            continue
        if parts.scheme == "http" and host and 0 < port <= PORT_MAX:
            ports.append((host != sender, port))
    if not ports or not is_ip(sender):
        return None
    return Address(host=sender, port=min(ports, key=lambda one: one[0])[1])

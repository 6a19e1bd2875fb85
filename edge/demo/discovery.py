"""WS-Discovery of demo cameras: they answer probes that come over loopback. Shell.

One socket for all cameras of a site; each camera answers with a datagram of its own, as devices do.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable, Iterable
from urllib.parse import quote

from edge.demo import soap
from edge.demo.listener import HOST
from edge.demo.plan import CameraPlan

GROUP, PORT = "239.255.255.250", 3702
_NAMESPACE = uuid.UUID("6f0d1d5e-9a7e-4c0e-8f4e-0b8f3a1f7c55")
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"


def endpoint_of(plan: CameraPlan) -> str:
    """The same for a camera for ever, whatever its address."""
    return str(uuid.uuid5(_NAMESPACE, plan.serial))


def probe_match(plan: CameraPlan, address: str, relates_to: str) -> bytes:
    scopes = (
        "onvif://www.onvif.org/type/video_encoder",
        f"onvif://www.onvif.org/name/{quote(plan.manufacturer)}",
        f"onvif://www.onvif.org/hardware/{quote(plan.model)}",
    )
    match = soap.element(
        "d:ProbeMatch",
        soap.element(
            "a:EndpointReference", soap.text("a:Address", f"urn:uuid:{endpoint_of(plan)}")
        ),
        soap.text("d:Types", "dn:NetworkVideoTransmitter"),
        soap.text("d:Scopes", " ".join(scopes)),
        soap.text("d:XAddrs", f"http://{address}/onvif/device_service"),
        soap.text("d:MetadataVersion", 1),
    )
    head = soap.text("a:MessageID", f"urn:uuid:{uuid.uuid4()}")
    head += soap.text("a:RelatesTo", relates_to)
    head += soap.text("a:Action", f"{_DISCOVERY}/ProbeMatches")
    return (
        f'<e:Envelope xmlns:e="{soap.ENVELOPE}" xmlns:a="{_ADDRESSING}" xmlns:d="{_DISCOVERY}"'
        ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
        f"<e:Header>{head}</e:Header><e:Body><d:ProbeMatches>{match}</d:ProbeMatches></e:Body>"
        "</e:Envelope>"
    ).encode()


class Responder(asyncio.DatagramProtocol):
    """Args:
    devices: plan and ``host:port`` of each camera that answers now.
    """

    def __init__(self, devices: Callable[[], Iterable[tuple[CameraPlan, str]]]) -> None:
        self._devices = devices
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, port: int) -> None:
        """Listen. Raises OSError where multicast cannot be had."""
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((GROUP, port))
            group = socket.inet_aton(GROUP) + socket.inet_aton(HOST)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=one)
        except OSError:
            one.close()
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answers probes from this host; whatever else it is, is left alone."""
        if self._transport is None or not addr[0].startswith("127."):
            return
        try:
            relates_to, kind = soap.probe_of(data)
        except soap.EnvelopeMalformed:
            return
        if kind in ("", "NetworkVideoTransmitter", "Device"):
            for plan, address in self._devices():
                self._transport.sendto(probe_match(plan, address, relates_to), addr)

    def error_received(self, exc: Exception) -> None:
        """Who asked is gone."""

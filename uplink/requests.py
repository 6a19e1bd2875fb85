"""Requests of ours, as every one of them looks (gb28181.md 2.1, 2.2 and 3.1). Core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uplink.registration import VERSION_OF_EDITION, Edition, SendRegister, Server
from uplink.sip.dialogs import Dialog
from uplink.sip.headers import Headers, host_port
from uplink.sip.message import Request
from uplink.sip.transactions import Transport

USER_AGENT = "Xueliang Edge"
MANSCDP = "Application/MANSCDP+xml"
ALLOW = "INVITE, ACK, BYE, CANCEL, INFO, MESSAGE, SUBSCRIBE, NOTIFY, OPTIONS"
#: Magic cookie of RFC 3261 8.1.1.7.
BRANCH = "z9hG4bK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to one platform."""

    device_id: str
    domain: str
    transport: Transport
    port: int
    edition: Edition


class RequestWriter:
    """Builds requests; ``host`` is our address on the reserved interface and may change."""

    def __init__(self, identity: Identity, *, host: str, token: Callable[[], str]) -> None:
        self._identity = identity
        self._token = token
        self.host = host

    def via(self) -> str:
        """A Via with a fresh branch."""
        place = host_port(self.host, self._identity.port)
        transport = self._identity.transport.upper()
        return f"SIP/2.0/{transport} {place};rport;branch={BRANCH}{self._token()}"

    @property
    def contact(self) -> str:
        transport = ";transport=tcp" if self._identity.transport == "tcp" else ""
        place = host_port(self.host, self._identity.port)
        return f"<sip:{self._identity.device_id}@{place}{transport}>"

    @property
    def address(self) -> str:
        """The device's own address of record."""
        return f"<sip:{self._identity.device_id}@{self._identity.domain}>"

    def register(self, ask: SendRegister) -> Request:
        """From and To are both the device (gb28181.md 2.2)."""
        headers = Headers(
            ("Via", self.via()),
            ("Max-Forwards", "70"),
            ("From", f"{self.address};tag={ask.from_tag}"),
            ("To", self.address),
            ("Call-ID", ask.call_id),
            ("CSeq", f"{ask.sequence} REGISTER"),
            ("Contact", self.contact),
            ("Expires", str(ask.expires_s)),
            ("X-GB-Ver", VERSION_OF_EDITION[self._identity.edition]),
            ("User-Agent", USER_AGENT),
        )
        if ask.authorization:
            headers.add("Authorization", ask.authorization)
        return Request(method="REGISTER", uri=ask.server.uri, headers=headers)

    def message(self, server: Server, to_id: str, body: bytes) -> Request:
        """A MESSAGE outside of dialogs; From is always the device (gb28181.md 0.5)."""
        headers = Headers(
            ("Via", self.via()),
            ("Max-Forwards", "70"),
            ("From", f"{self.address};tag={self._token()}"),
            ("To", f"<sip:{to_id}@{server.domain}>"),
            ("Call-ID", self._token()),
            ("CSeq", "1 MESSAGE"),
            ("Contact", self.contact),
            ("User-Agent", USER_AGENT),
            ("Content-Type", MANSCDP),
        )
        uri = f"sip:{to_id}@{server.domain}"
        return Request(method="MESSAGE", uri=uri, headers=headers, body=body)

    def in_dialog(
        self,
        dialog: Dialog,
        method: str,
        *,
        fields: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> Request:
        own = (("Contact", self.contact), ("User-Agent", USER_AGENT))
        return dialog.request(method, via=self.via(), fields=(*own, *fields), body=body)


def keepalive_body(sequence: int, device_id: str) -> bytes:
    """The Keepalive notification (gb28181.md 2.5)."""
    lines = (
        '<?xml version="1.0" encoding="GB2312"?>',
        "<Notify>",
        "<CmdType>Keepalive</CmdType>",
        f"<SN>{sequence}</SN>",
        f"<DeviceID>{device_id}</DeviceID>",
        "<Status>OK</Status>",
        "</Notify>",
        "",
    )
    return "\r\n".join(lines).encode()

"""Dialogs: what a request inside one must carry (RFC 3261 12). Core.

We are the callee of every dialog: platforms INVITE and SUBSCRIBE, we answer. A dialog is matched by
Call-ID and tags alone, URIs in From and To change under way (gb28181.md 0.19), and CSeq of the
other side is not judged: platforms draw it at random.
"""

from __future__ import annotations

from dataclasses import dataclass

from uplink.sip.headers import Headers, Malformed, NameAddress, SipUri, parameter
from uplink.sip.message import Request


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One dialog as the callee keeps it; early until ``is_confirmed``."""

    call_id: str
    local: NameAddress  # their To, with our tag
    remote: NameAddress  # their From
    target: str  # their Contact: Request-URI of what we send
    routes: tuple[str, ...]  # Record-Route of the request, in its order
    sequence: int = 0  # of our newest request
    is_confirmed: bool = False

    @classmethod
    def of_request(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog that our answer to ``request`` makes (RFC 3261 12.1.1)."""
        remote = request.sender
        return cls(
            call_id=request.call_id,
            local=request.to.of_dialog(local_tag),
            remote=remote.of_dialog(remote.tag),
            target=request.contact or remote.uri,
            routes=request.addresses("Record-Route"),
        )

    def refresh_target(self, request: Request) -> None:
        """A re-INVITE or re-SUBSCRIBE may move the other side (RFC 3261 12.2.2)."""
        self.target = request.contact or self.target

    def matches(self, request: Request) -> bool:
        """Whether ``request`` of the other side belongs to this dialog.

        A To tag that is missing or stale is let pass where everything else fits: platforms do so
        in ACK, and no two dialogs share Call-ID and remote tag.
        """
        return request.call_id == self.call_id and request.sender.tag == self.remote.tag

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def request(
        self, method: str, *, via: str, fields: tuple[tuple[str, str], ...] = (), body: bytes = b""
    ) -> Request:
        """Our next request in the dialog (RFC 3261 12.2.1.1, with the strict router's swap)."""
        uri, routes = self._uri_and_routes()
        headers = Headers(
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", str(self.local)),
            ("To", str(self.remote)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.next_sequence()} {method}"),
        )
        for route in routes:
            headers.add("Route", route)
        for name, value in fields:
            headers.add(name, value)
        return Request(method=method, uri=uri, headers=headers, body=body)

    def _uri_and_routes(self) -> tuple[str, tuple[str, ...]]:
        if not self.routes:
            return self.target, ()
        try:
            first = NameAddress.parse(self.routes[0])
            is_loose = parameter(SipUri.parse(first.uri).parameters, "lr") is not None
        except Malformed:
            return self.target, ()
        if is_loose:
            return self.target, self.routes
        return first.uri, (*self.routes[1:], f"<{self.target}>")

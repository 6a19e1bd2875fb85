"""A platform's calls: INVITE dialogs from offer to end (gb28181.md 4.3 and 4.5). Core.

Each is its own: the BYE of one stops no other. Every call ends exactly once, by ``Ended``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from uplink.effects import Confirmed, Ended, InfoAsked, Invited
from uplink.line import Line
from uplink.ports import EndCause, Invite
from uplink.requests import ALLOW, MANSCDP
from uplink.sip.dialogs import Dialog
from uplink.sip.headers import Malformed, SipUri
from uplink.sip.message import Request
from uplink.sip.transactions import SIP_PORT, Dropped, Path, ServerKey

#: Calls of one platform at once: 64 cameras, live and history; above it 486.
CALLS_MAX = 128


class _State(Enum):
    OFFERED = auto()  # 100 sent
    ACCEPTED = auto()  # 200 sent, no ACK yet
    CONFIRMED = auto()  # ACK, or a request that says as much


@dataclass(slots=True, kw_only=True)
class _Call:
    id: str
    dialog: Dialog
    path: Path  # where the newest INVITE came from
    offer: ServerKey  # that INVITE
    request: Request
    state: _State = _State.OFFERED


class Calls:
    """One platform's."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._calls: dict[str, _Call] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._calls)

    def owns(self, request: Request) -> bool:
        """Whether ``request`` is inside one of the dialogs."""
        return self._of_request(request) is not None

    # Their side ------------------------------------------------------------------------------

    def invite(self, key: ServerKey, request: Request, source: Path, utc_us: int) -> None:
        """A new call, or a new offer inside one: 100 at once, then the handler's answer."""
        call = self._of_request(request)
        is_again = call is not None
        if call is not None:
            if self._line.transactions.is_waiting(call.offer):
                self._line.respond(key, request, 491)
                return
            call.offer, call.request, call.path = key, request, source
            call.dialog.refresh_target(request)
        elif request.to.tag:
            self._line.respond(key, request, 481)
            return
        elif len(self._calls) >= CALLS_MAX:
            self._line.respond(key, request, 486)
            return
        else:
            call = self._add(key, request, source)
        self._line.respond(key, request, 100)
        invite = Invite(
            request=self._line.incoming(request, utc_us),
            subject=request.headers.get("Subject"),
            source_host=source.host,
            local_host=self._line.writer.host,
            call_id=request.call_id,
            is_again=is_again,
        )
        self._line.effects.append(Invited(call=call.id, invite=invite))

    def acknowledged(self, request: Request) -> None:
        """An ACK, with whatever URI and branch."""
        call = self._of_request(request)
        if call is None:
            self._line.effects.append(Dropped(reason="stray_ack"))
        else:
            self._confirm(call)

    def cancelled(self, key: ServerKey) -> None:
        call = self._of_offer(key)
        if call is None:
            return
        self._refuse_offer(call, 487)
        if call.state is _State.OFFERED:
            self._end(call, EndCause.CANCEL)

    def not_acknowledged(self, key: ServerKey) -> None:
        call = self._of_offer(key)
        if call is not None:
            self._hang_up(call, EndCause.NO_ACK)

    def on_bye(self, key: ServerKey, request: Request) -> None:
        """Legal at any time, also before the ACK."""
        call = self._of_request(request)
        self._line.respond(key, request, 200 if call is not None else 481)
        if call is not None:
            self._refuse_offer(call, 487)
            self._line.transactions.acknowledge(call.offer)  # no more 200s
            self._end(call, EndCause.BYE)

    def on_info(self, key: ServerKey, request: Request, utc_us: int) -> bool:
        """True if a handler must answer it."""
        call = self._of_request(request)
        if call is None:
            self._line.respond(key, request, 481)
            return False
        self._confirm(call)  # it says that our 200 arrived (gb28181.md 4.3)
        asked = self._line.incoming(request, utc_us)
        self._line.effects.append(InfoAsked(key=key, call=call.id, request=asked))
        return True

    # Our side --------------------------------------------------------------------------------

    def accept(self, call_id: str, sdp: bytes) -> None:
        call = self._calls.get(call_id)
        if call is None or not self._line.transactions.is_waiting(call.offer):
            return
        fields = (
            ("Contact", self._line.writer.contact),
            ("Allow", ALLOW),
            ("Content-Type", "application/sdp"),
        )
        tag = call.dialog.local.tag
        if call.state is _State.OFFERED:
            call.state = _State.ACCEPTED
        self._line.respond(call.offer, call.request, 200, to_tag=tag, fields=fields, body=sdp)

    def refuse(self, call_id: str, status: int, reason: str) -> None:
        """A refused offer inside a call leaves the call as it was."""
        call = self._calls.get(call_id)
        if call is None:
            return
        self._refuse_offer(call, max(400, min(status, 699)), reason)
        if call.state is _State.OFFERED:
            self._end(call, EndCause.LOCAL)

    def bye(self, call_id: str) -> None:
        call = self._calls.get(call_id)
        if call is not None:
            self._hang_up(call, EndCause.LOCAL)

    def message(self, token: int, call_id: str, body: bytes) -> None:
        """A MESSAGE inside the dialog, for ``token``."""
        call = self._calls.get(call_id)
        if call is None or not self._line.has_room(body):
            self._line.undelivered(token)
            return
        fields = (("Content-Type", MANSCDP),)
        request = self._line.writer.in_dialog(call.dialog, "MESSAGE", fields=fields, body=body)
        self._line.send(request, self._path(call), kind="call", token=token, dialog=call.id)

    def concluded(self, call_id: str, status: int | None) -> None:
        """A request inside a call was answered, or was not."""
        call = self._calls.get(call_id)
        if call is not None and status in (None, 408, 481):
            self._hang_up(call, EndCause.REFUSED)

    def end_all(self, cause: EndCause) -> None:
        for call in list(self._calls.values()):
            self._hang_up(call, cause)

    # Within ----------------------------------------------------------------------------------

    def _add(self, key: ServerKey, request: Request, source: Path) -> _Call:
        self._next += 1
        call = _Call(
            id=f"call-{self._next}",
            dialog=Dialog.of_request(request, self._line.token()),
            path=source,
            offer=key,
            request=request,
        )
        self._calls[call.id] = call
        return call

    def _confirm(self, call: _Call) -> None:
        self._line.transactions.acknowledge(call.offer)
        if call.state is _State.ACCEPTED:
            call.state = _State.CONFIRMED
            call.dialog.is_confirmed = True
            self._line.effects.append(Confirmed(call=call.id))

    def _refuse_offer(self, call: _Call, status: int, reason: str = "") -> None:
        """A final answer to the call's INVITE, where one is due."""
        if self._line.transactions.is_waiting(call.offer):
            tag = call.dialog.local.tag
            self._line.respond(call.offer, call.request, status, reason=reason, to_tag=tag)

    def _hang_up(self, call: _Call, cause: EndCause) -> None:
        """Ends it from our side: a refusal before the answer, BYE after it."""
        if call.state is _State.OFFERED:
            self._refuse_offer(call, 480)
        else:
            self._refuse_offer(call, 487)
            self._line.transactions.acknowledge(call.offer)  # no more 200s
            request = self._line.writer.in_dialog(call.dialog, "BYE")
            self._line.send(request, self._path(call), kind="farewell")
        self._end(call, cause)

    def _end(self, call: _Call, cause: EndCause) -> None:
        del self._calls[call.id]
        self._line.effects.append(Ended(call=call.id, cause=cause))

    def _path(self, call: _Call) -> Path:
        """To their Contact where it is one of the platform's hosts, else where INVITE came from."""
        if call.path.is_reliable:
            return call.path
        try:
            uri = SipUri.parse(call.dialog.target)
        except Malformed:
            return call.path
        if uri.host not in self._line.settings.hosts:
            return call.path
        return Path(transport="udp", host=uri.host, port=uri.port or SIP_PORT)

    def _of_request(self, request: Request) -> _Call | None:
        for call in self._calls.values():
            if call.dialog.matches(request):
                return call
        return None

    def _of_offer(self, key: ServerKey) -> _Call | None:
        for call in self._calls.values():
            if call.offer == key:
                return call
        return None

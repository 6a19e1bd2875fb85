"""A platform's calls: INVITE with an offer, ACK, INFO, BYE, over :mod:`tests.peers.platform`."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

from tests.peers.media_receiver import Receiver
from tests.peers.platform import PlatformPeer
from uplink.sip.message import Request, Response

_NUMBERS = itertools.count(1)


def offer(
    receiver: Receiver,
    *,
    name: str = "Play",
    channel: str = "",
    times: tuple[int, int] = (0, 0),
    setup: str = "passive",
    more: str = "",
    ssrc: str = "",
) -> bytes:
    """What platforms send (gb28181.md 4.1)."""
    is_tcp = receiver.transport == "tcp"
    ssrc = ssrc or f"{0 if name == 'Play' else 1}20000{next(_NUMBERS):04d}"
    lines = [
        "v=0",
        "o=34020000002000000001 0 0 IN IP4 127.0.0.1",
        f"s={name}",
        *([f"u={channel}:0"] if name != "Play" else []),
        f"c=IN IP4 {receiver.host}",
        f"t={times[0]} {times[1]}",
        f"m=video {receiver.port} {'TCP/RTP/AVP' if is_tcp else 'RTP/AVP'} 96 97 98",
        "a=recvonly",
        "a=rtpmap:96 PS/90000",
        *([f"a=setup:{setup}", "a=connection:new"] if is_tcp else []),
        *([more] if more else []),
        f"y={ssrc}",
    ]
    return "".join(line + "\r\n" for line in lines).encode()


@dataclass(slots=True)
class PeerCall:
    """One call of the platform."""

    peer: PlatformPeer
    channel: str
    sdp: bytes
    answer: Response | None = None
    call_id: str = field(default_factory=lambda: f"call-{time.time_ns()}-{next(_NUMBERS)}")

    def invite(self, timeout_s: float = 10.0, *, acknowledges: bool = True) -> Response:
        """The final answer; it is acknowledged unless said otherwise."""
        request = self._offered()
        self.answer = self.peer.ask(request, timeout_s)
        if acknowledges:
            self.acknowledge(request)
        return self.answer

    def invite_and_cancel(self) -> Response:
        """Takes the INVITE back at once; where the device was quicker, BYE follows."""
        request = self._offered()
        self.peer.send(request.serialize())
        cancel = self.peer.request("CANCEL", target=self.channel, call_id=self.call_id)
        cancel.headers.set("Via", request.headers.get("Via"))
        number = request.headers.get("CSeq").split()[0]
        cancel.headers.set("CSeq", f"{number} CANCEL")
        self.peer.send(cancel.serialize())
        self.answer = self.peer.ask(request)
        self.acknowledge(request)
        if self.answer.status == 200:
            self.bye()
        return self.answer

    def _offered(self) -> Request:
        return self.peer.request(
            "INVITE",
            target=self.channel,
            body=self.sdp,
            call_id=self.call_id,
            fields=(
                ("Subject", f"{self.channel}:0200000001,34020000002000000001:0"),
                ("Content-Type", "Application/SDP"),
            ),
        )

    def acknowledge(self, invite: Request) -> None:
        assert self.answer is not None
        ack = self.peer.request(
            "ACK", target=self.channel, call_id=self.call_id, to_tag=self.answer.to.tag
        )
        number = invite.headers.get("CSeq").split()[0]
        ack.headers.set("CSeq", f"{number} ACK")
        if self.answer.status >= 300:
            ack.headers.set("Via", invite.headers.get("Via"))
        self.peer.send(ack.serialize())

    def sdp_line(self, letter: str) -> str:
        assert self.answer is not None
        lines = self.answer.body.decode().split("\r\n")
        return next(line[2:] for line in lines if line.startswith(f"{letter}="))

    def attribute(self, name: str) -> str:
        assert self.answer is not None
        lines = self.answer.body.decode().split("\r\n")
        start = f"a={name}:"
        return next(line.removeprefix(start) for line in lines if line.startswith(start))

    def inside(self, method: str, body: bytes = b"", content_type: str = "") -> Response:
        """A request in the dialog."""
        assert self.answer is not None
        fields = (("Content-Type", content_type),) if content_type else ()
        request = self.peer.request(
            method,
            target=self.channel,
            call_id=self.call_id,
            to_tag=self.answer.to.tag,
            body=body,
            fields=fields,
        )
        return self.peer.ask(request)

    def control(self, *lines: str) -> Response:
        """INFO with MANSRTSP."""
        body = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
        return self.inside("INFO", body, "Application/MANSRTSP")

    def bye(self) -> Response:
        return self.inside("BYE")

    def has_ended(self) -> bool:
        """Whether the device told the end of the file in this dialog."""
        return any(
            one.call_id == self.call_id and b"<NotifyType>121<" in one.body
            for one in list(self.peer.requests)
        )

    def was_left(self) -> bool:
        """Whether the device said BYE."""
        return any(
            one.call_id == self.call_id and one.method == "BYE" for one in list(self.peer.requests)
        )

"""The user agent as a script between a platform and the handlers: no socket, time injected."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.agent import Agent
from uplink.calls import CALLS_MAX
from uplink.effects import (
    Asked,
    Confirmed,
    Delivered,
    Effect,
    Ended,
    InfoAsked,
    Invited,
    SubscriptionAsked,
    Unsubscribed,
)
from uplink.line import DATAGRAM_BYTES_MAX, PENDING_MAX, AgentSettings
from uplink.ports import EndCause, Reply, SubscribeReply
from uplink.registration import (
    Offline,
    Registered,
    RegistrationSettings,
    Server,
    Stopped,
)
from uplink.requests import Identity
from uplink.router import choose
from uplink.sip.headers import Headers, Malformed
from uplink.sip.message import Request, Response, parse
from uplink.sip.transactions import SERVERS_MAX, Dropped, Path, Transmit

S = 1_000_000
DEVICE, CHANNEL = "34020000001180000001", "34020000001320000001"
SERVER = Server(host="192.0.2.1", port=5060, id="34020000002000000001", domain="3402000000")
SOURCE = Path(transport="udp", host="192.0.2.1", port=5060)
MANSCDP = (("Content-Type", "Application/MANSCDP+xml"),)
E = TypeVar("E")


class Wire:
    """One agent, its clock, and what it did."""

    def __init__(self, *, transport: str = "udp", keepalive_s: int = 3600) -> None:
        tokens = iter(range(10**7))
        self.agent = Agent(
            AgentSettings(
                name="police",
                identity=Identity(
                    device_id=DEVICE,
                    domain="3402000000",
                    transport="tcp" if transport == "tcp" else "udp",
                    port=5060,
                    edition="2022",
                ),
                registration=RegistrationSettings(
                    server=SERVER,
                    username=DEVICE,
                    password="12345678",
                    register_s=3600,
                    keepalive_s=keepalive_s,
                    retry_s=60,
                    edition="2022",
                ),
                hosts=frozenset({"192.0.2.1", "192.0.2.2"}),
            ),
            host="192.0.2.10",
            chance=lambda: 0.0,
            token=lambda: f"t{next(tokens)}",
        )
        self.now_us = 0
        self.seen: list[Effect] = []

    def take(self) -> list[Effect]:
        effects = self.agent.take_effects()
        self.seen += effects
        return effects

    def sent(self) -> list[Request | Response]:
        return [parse(effect.data) for effect in self.take() if isinstance(effect, Transmit)]

    def receive(self, message: Request | Response, source: Path = SOURCE) -> list[Effect]:
        self.agent.receive(
            parse(message.serialize()), source, now_us=self.now_us, utc_us=self.now_us
        )
        return self.take()

    def elapse(self, seconds: float) -> list[Effect]:
        end_us, done = self.now_us + int(seconds * S), list[Effect]()
        while (due_us := self.agent.next_us()) is not None and due_us <= end_us:
            self.now_us = max(self.now_us, due_us)
            self.agent.handle_timers(self.now_us)
            done += self.take()
        self.now_us = end_us
        return done

    def online(self) -> Wire:
        """Registered, and its first keepalive answered."""
        self.agent.start(self.now_us)
        (register,) = self.sent()
        assert isinstance(register, Request)
        assert register.method == "REGISTER"
        assert one(self.receive(Response.to_request(register, 200)), Registered)
        (keepalive,) = [p for p in map(parsed, self.elapse(0)) if p]
        assert isinstance(keepalive, Request)
        assert b"<CmdType>Keepalive</CmdType>" in keepalive.body
        self.receive(Response.to_request(keepalive, 200))
        return self


def parsed(effect: Effect) -> Request | Response | None:
    return parse(effect.data) if isinstance(effect, Transmit) else None


def one(effects: list[Effect], kind: type[E]) -> E:
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def response(effects: list[Effect]) -> Response:
    found = [m for m in map(parsed, effects) if isinstance(m, Response)]
    return found[-1]


def request_of(effects: list[Effect]) -> Request:
    (found,) = [m for m in map(parsed, effects) if isinstance(m, Request)]
    return found


def ask(
    method: str,
    *,
    number: int = 1,
    call_id: str = "c1",
    to_tag: str = "",
    fields: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    target: str = DEVICE,
) -> Request:
    to = f"<sip:{target}@3402000000>" + (f";tag={to_tag}" if to_tag else "")
    headers = Headers(
        ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK{method}{number}{call_id}"),
        ("From", f"<sip:{SERVER.id}@3402000000>;tag=plat"),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", f"{number} {method}"),
        ("Contact", f"<sip:{SERVER.id}@192.0.2.1:5060>"),
        *fields,
    )
    return Request(method=method, uri=f"sip:{target}@192.0.2.10", headers=headers, body=body)


# Registration on the wire ------------------------------------------------------------------------


def test_register_as_platforms_want_it() -> None:
    """gb28181.md 0.1 and 2.2."""
    wire = Wire()
    wire.agent.start(0)
    (register,) = wire.sent()
    assert isinstance(register, Request)
    assert register.uri == "sip:34020000002000000001@3402000000"
    assert register.sender.uri == register.to.uri == f"sip:{DEVICE}@3402000000"
    assert register.headers.get("Expires") == "3600"
    assert register.headers.get("X-GB-Ver") == "3.0"
    assert register.contact == f"sip:{DEVICE}@192.0.2.10:5060"
    assert register.via.wants_rport
    challenge = 'Digest realm="3402000000", nonce="9485904448344456af5449b51759016e"'
    answer = Response.to_request(register, 401, fields=(("WWW-Authenticate", challenge),))
    again = request_of(wire.receive(answer))
    assert 'response="74d6114601ab5319bc509ea79003daa2"' in again.headers.get("Authorization")
    assert again.cseq.number == register.cseq.number + 1
    assert again.via.branch != register.via.branch


def test_unanswered_it_is_sent_again_and_then_given_up() -> None:
    wire = Wire()
    wire.agent.start(0)
    wire.take()
    effects = wire.elapse(33)
    assert len([e for e in effects if isinstance(e, Transmit)]) == 10
    assert wire.agent.registration.state == "waiting"
    assert request_of(wire.elapse(59.1)).method == "REGISTER"


def test_leaving_says_so() -> None:
    wire = Wire().online()
    wire.agent.stop(wire.now_us)
    effects = wire.take()
    assert one(effects, Offline)
    bye = request_of(effects)
    assert bye.headers.get("Expires") == "0"
    assert one(wire.receive(Response.to_request(bye, 200)), Stopped)
    assert wire.agent.size == 0


# MESSAGE -----------------------------------------------------------------------------------------


def test_a_query_and_its_answer() -> None:
    """200 at once and empty, then a MESSAGE of our own (gb28181.md 0.5 and 0.7)."""
    wire = Wire().online()
    query = ask("MESSAGE", body=b"<Query/>", fields=MANSCDP)
    asked = one(wire.receive(query), Asked)
    assert (asked.request.sender, asked.request.target) == (SERVER.id, DEVICE)
    assert asked.request.content_type == "application/manscdp+xml"
    assert asked.request.body == b"<Query/>"
    wire.agent.answer(asked.key, Reply(), wire.now_us)
    ok = response(wire.take())
    assert (ok.status, ok.body) == (200, b"")
    wire.agent.send_message(7, asked.request.sender, b"<Response/>", wire.now_us)
    message = request_of(wire.take())
    assert message.sender.user == DEVICE
    assert message.to.user == SERVER.id
    assert message.call_id != query.call_id
    assert message.content_type == "application/manscdp+xml"
    effects = wire.receive(Response.to_request(message, 200))
    assert one(effects, Delivered) == Delivered(token=7, status=200)


def test_a_retransmitted_query_is_not_asked_twice() -> None:
    wire = Wire().online()
    query = ask("MESSAGE", body=b"<Query/>")
    asked = one(wire.receive(query), Asked)
    wire.agent.answer(asked.key, Reply(), wire.now_us)
    first = response(wire.take())
    effects = wire.receive(query)
    assert response(effects) == first
    assert not [effect for effect in effects if isinstance(effect, Asked)]


def test_a_body_that_no_datagram_takes_is_not_sent() -> None:
    wire = Wire().online()
    limits = wire.agent.sending()
    wire.agent.send_message(1, "", b"x" * limits.body_bytes_max, 0)
    data = one(wire.take(), Transmit).data
    assert DATAGRAM_BYTES_MAX - 200 < len(data) <= DATAGRAM_BYTES_MAX
    wire.agent.send_message(2, "", b"x" * (limits.body_bytes_hard_max + 1), 0)
    effects = wire.take()
    assert one(effects, Delivered) == Delivered(token=2, status=None)
    assert one(effects, Dropped).reason == "body_too_large"
    assert Wire(transport="tcp").agent.sending().body_bytes_max > 60_000


def test_offline_nothing_waits() -> None:
    wire = Wire().online()
    wire.agent.send_message(1, "", b"<Notify/>", 0)
    wire.take()
    wire.agent.connection_lost(0)
    effects = wire.take()
    assert one(effects, Delivered) == Delivered(token=1, status=None)
    wire.agent.send_message(2, "", b"<Notify/>", 0)
    assert wire.take() == [Delivered(token=2, status=None)]


def test_before_registration_nobody_is_known() -> None:
    wire = Wire()
    for method in ("MESSAGE", "SUBSCRIBE", "INVITE"):
        assert response(wire.receive(ask(method, call_id=method))).status == 403
    assert response(wire.receive(ask("OPTIONS"))).status == 200


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", 200), ("NOTIFY", 405), ("REGISTER", 405), ("FOO", 405)]
)
def test_other_methods(method: str, status: int) -> None:
    wire = Wire().online()
    answer = response(wire.receive(ask(method)))
    assert answer.status == status
    assert "MESSAGE" in answer.headers.get("Allow")


@pytest.mark.parametrize("method", ["BYE", "INFO"])
def test_outside_of_a_call(method: str) -> None:
    wire = Wire().online()
    assert response(wire.receive(ask(method, to_tag="x"))).status == 481


# Subscriptions -----------------------------------------------------------------------------------

EVENT = (("Event", "Catalog;id=1234"), ("Expires", "600"))


def subscribe(wire: Wire, topic: str = "Catalog", **changes: str) -> Response:
    fields = tuple((n, changes.get(n.lower(), v)) for n, v in EVENT)
    call_id = changes.get("call_id", "s1")
    effects = wire.receive(ask("SUBSCRIBE", call_id=call_id, fields=fields, body=b"<Query/>"))
    asked = one(effects, SubscriptionAsked)
    reply = SubscribeReply(topic=topic, body=b"<Response/>")
    wire.agent.answer_subscription(asked.key, reply, asked.expires_s, wire.now_us)
    return response(wire.take())


def test_a_subscription_and_its_notifications() -> None:
    wire = Wire().online()
    ok = subscribe(wire)
    assert (ok.status, ok.body) == (200, b"<Response/>")
    assert ok.headers.get("Expires") == "600"
    assert ok.headers.get("Event") == "Catalog;id=1234"
    assert ok.to.tag
    assert wire.agent.topics == ["Catalog"]
    wire.elapse(100)
    for turn in (1, 2):
        wire.agent.send_notify(turn, "Catalog", b"<Notify/>", wire.now_us)
        notify = request_of(wire.take())
        assert notify.method == "NOTIFY"
        assert (notify.call_id, notify.sender.tag, notify.to.tag) == ("s1", ok.to.tag, "plat")
        assert notify.uri == f"sip:{SERVER.id}@192.0.2.1:5060"
        assert notify.headers.get("Event") == "Catalog;id=1234"
        assert notify.headers.get("Subscription-State") == "active;expires=500"
        assert notify.cseq.number == turn
        effects = wire.receive(Response.to_request(notify, 200))
        assert one(effects, Delivered) == Delivered(token=turn, status=200)
    wire.agent.send_notify(3, "Alarm", b"", wire.now_us)
    assert wire.take() == [Delivered(token=3, status=None)]


def test_refresh_and_expiry() -> None:
    wire = Wire().online()
    ok = subscribe(wire)
    wire.elapse(500)
    again = ask("SUBSCRIBE", number=2, call_id="s1", to_tag=ok.to.tag, fields=EVENT)
    refreshed = response(wire.receive(again))
    assert (refreshed.status, refreshed.to.tag) == (200, ok.to.tag)
    assert not [e for e in wire.elapse(599) if isinstance(e, Unsubscribed)]
    effects = wire.elapse(1)
    assert one(effects, Unsubscribed) == Unsubscribed(topic="Catalog")
    assert request_of(effects).headers.get("Subscription-State") == "terminated;reason=timeout"
    assert wire.agent.topics == []


def test_cancelling() -> None:
    wire = Wire().online()
    ok = subscribe(wire)
    stop = ask("SUBSCRIBE", number=2, call_id="s1", to_tag=ok.to.tag, fields=(("Expires", "0"),))
    effects = wire.receive(stop)
    assert response(effects).status == 200
    assert one(effects, Unsubscribed).topic == "Catalog"
    assert request_of(effects).headers.get("Subscription-State").startswith("terminated")


def test_a_new_subscription_replaces_the_old_one() -> None:
    wire = Wire().online()
    subscribe(wire)
    subscribe(wire, call_id="s2")
    assert wire.agent.topics == ["Catalog"]
    wire.agent.send_notify(1, "Catalog", b"", wire.now_us)
    assert request_of(wire.take()).call_id == "s2"


def test_refused_subscriptions() -> None:
    wire = Wire().online()
    assert response(wire.receive(ask("SUBSCRIBE", body=b"x"))).status == 400  # no Expires
    asked = one(
        wire.receive(ask("SUBSCRIBE", call_id="s", fields=EVENT, body=b"x")), SubscriptionAsked
    )
    wire.agent.answer_subscription(asked.key, SubscribeReply(status=489), 600, 0)
    assert response(wire.take()).status == 489
    stale = ask("SUBSCRIBE", number=3, call_id="gone", to_tag="old", fields=EVENT)
    assert response(wire.receive(stale)).status == 481


@pytest.mark.parametrize(("status", "turns"), [(481, 1), (None, 3)])
def test_a_platform_that_has_lost_it(status: int | None, turns: int) -> None:
    wire = Wire().online()
    subscribe(wire)
    for turn in range(1, turns + 1):
        wire.agent.send_notify(turn, "Catalog", b"", wire.now_us)
        notify = request_of(wire.take())
        if status is None:
            effects = wire.elapse(33)
        else:
            effects = wire.receive(Response.to_request(notify, status))
        ends = [effect for effect in effects if isinstance(effect, Unsubscribed)]
        assert len(ends) == (turn == turns)


def test_topics_are_bounded() -> None:
    wire = Wire().online()
    statuses = [subscribe(wire, f"t{n}", call_id=f"s{n}").status for n in range(20)]
    assert statuses == [200] * 16 + [503] * 4


# Calls -------------------------------------------------------------------------------------------

SDP = b"v=0\r\ns=Play\r\n"


def invite(wire: Wire, call_id: str = "i1", **changes: str) -> str:
    fields = (("Subject", f"{CHANNEL}:0200000017,{SERVER.id}:0"),)
    message = ask("INVITE", call_id=call_id, target=CHANNEL, fields=fields, body=SDP)
    effects = wire.receive(message)
    assert response(effects).status == 100
    invited = one(effects, Invited)
    assert invited.invite.request.target == CHANNEL
    assert invited.invite.request.body == SDP
    assert invited.invite.subject.startswith(CHANNEL)
    assert invited.invite.local_host == "192.0.2.10"
    return invited.call


def accept(wire: Wire, call_id: str = "i1") -> tuple[str, Response]:
    call = invite(wire, call_id)
    wire.agent.accept(call, b"v=0", wire.now_us)
    ok = response(wire.take())
    assert (ok.status, ok.body) == (200, b"v=0")
    assert ok.contact == f"sip:{DEVICE}@192.0.2.10:5060"
    assert ok.headers.get("Content-Type") == "application/sdp"
    return call, ok


def acknowledge(wire: Wire, ok: Response, call_id: str = "i1") -> list[Effect]:
    """With another URI and a fresh branch, as WVP does."""
    ack = ask("ACK", call_id=call_id, to_tag=ok.to.tag, target=CHANNEL)
    return wire.receive(ack)


def test_a_call_from_offer_to_bye() -> None:
    wire = Wire().online()
    call, ok = accept(wire)
    assert one(acknowledge(wire, ok), Confirmed).call == call
    assert wire.elapse(40) == []  # no 200 is sent again
    bye = ask("BYE", number=99, call_id="i1", to_tag=ok.to.tag)
    effects = wire.receive(bye)
    assert response(effects).status == 200
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.BYE)
    wire.elapse(60)
    assert wire.agent.size == 0


def test_without_ack_it_is_hung_up() -> None:
    wire = Wire().online()
    call, _ = accept(wire)
    effects = wire.elapse(32)
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.NO_ACK)
    requests = [m for m in map(parsed, effects) if isinstance(m, Request)]
    assert requests[0].method == "BYE"
    assert len([m for m in map(parsed, effects) if isinstance(m, Response)]) == 10


def test_info_says_that_the_200_arrived() -> None:
    wire = Wire().online()
    call, ok = accept(wire)
    info = ask("INFO", number=5, call_id="i1", to_tag=ok.to.tag, body=b"PLAY RTSP/1.0")
    effects = wire.receive(info)
    assert one(effects, Confirmed).call == call
    asked = one(effects, InfoAsked)
    reply = Reply(body=b"RTSP/1.0 200 OK", content_type="Application/MANSRTSP")
    wire.agent.answer(asked.key, reply, wire.now_us)
    answer = response(wire.take())
    assert (answer.status, answer.body) == (200, b"RTSP/1.0 200 OK")
    assert [e for e in acknowledge(wire, ok) if isinstance(e, Confirmed)] == []


def test_cancel() -> None:
    wire = Wire().online()
    call = invite(wire)
    effects = wire.receive(ask("CANCEL", call_id="i1", target=CHANNEL))
    statuses = [m.status for m in map(parsed, effects) if isinstance(m, Response)]
    assert statuses == [200, 487]
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.CANCEL)
    wire.agent.accept(call, b"v=0", wire.now_us)
    assert wire.take() == []


def test_bye_before_the_answer() -> None:
    wire = Wire().online()
    call = invite(wire)
    effects = wire.receive(ask("BYE", number=2, call_id="i1"))
    statuses = [m.status for m in map(parsed, effects) if isinstance(m, Response)]
    assert sorted(statuses) == [200, 487]
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.BYE)


def test_refusing() -> None:
    wire = Wire().online()
    call = invite(wire)
    wire.agent.refuse(call, 488, "no\r\nX: y", wire.now_us)
    effects = wire.take()
    answer = response(effects)
    assert (answer.status, answer.reason) == (488, "no  X: y")
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.LOCAL)


def test_hanging_up_and_media_status() -> None:
    """MediaStatus goes inside the INVITE's dialog (gb28181.md 0.27)."""
    wire = Wire().online()
    call, ok = accept(wire)
    acknowledge(wire, ok)
    wire.agent.send_call_message(9, call, b"<Notify>121</Notify>", wire.now_us)
    status = request_of(wire.take())
    assert (status.method, status.call_id) == ("MESSAGE", "i1")
    assert (status.sender.tag, status.to.tag) == (ok.to.tag, "plat")
    assert status.sender.user == CHANNEL
    assert status.uri == f"sip:{SERVER.id}@192.0.2.1:5060"
    wire.receive(Response.to_request(status, 200))
    wire.agent.bye(call, wire.now_us)
    effects = wire.take()
    assert one(effects, Ended).cause is EndCause.LOCAL
    bye = request_of(effects)
    assert (bye.method, bye.cseq.number) == ("BYE", 2)


def test_a_call_that_the_platform_forgot() -> None:
    wire = Wire().online()
    call, ok = accept(wire)
    acknowledge(wire, ok)
    wire.agent.send_call_message(9, call, b"x", wire.now_us)
    status = request_of(wire.take())
    effects = wire.receive(Response.to_request(status, 481))
    assert one(effects, Delivered).status == 481
    assert one(effects, Ended) == Ended(call=call, cause=EndCause.REFUSED)


def test_a_new_offer_inside_a_call() -> None:
    wire = Wire().online()
    call, ok = accept(wire)
    acknowledge(wire, ok)
    moved = ask("INVITE", number=7, call_id="i1", to_tag=ok.to.tag, target=CHANNEL, body=SDP)
    moved.headers.set("Contact", "<sip:other@192.0.2.2:5070>")
    invited = one(wire.receive(moved), Invited)
    assert invited.invite.is_again
    assert invited.call == call
    wire.agent.refuse(call, 488, "", wire.now_us)
    effects = wire.take()
    assert response(effects).status == 488
    assert not [effect for effect in effects if isinstance(effect, Ended)]
    wire.agent.bye(call, wire.now_us)
    bye = [e for e in wire.take() if isinstance(e, Transmit)][-1]
    assert (bye.path.host, bye.path.port) == ("192.0.2.2", 5070)  # remote target refreshed


def test_a_new_offer_before_the_first_is_answered() -> None:
    """491; the first goes on."""
    wire = Wire().online()
    call = invite(wire)
    early = ask("INVITE", number=7, call_id="i1", target=CHANNEL, body=SDP)
    effects = wire.receive(early)
    assert response(effects).status == 491
    assert not [effect for effect in effects if isinstance(effect, Invited)]
    wire.agent.accept(call, b"v=0", wire.now_us)
    assert response(wire.take()).status == 200


def test_what_a_call_sends_goes_to_no_stranger() -> None:
    wire = Wire().online()
    message = ask("INVITE", call_id="i1", target=CHANNEL, body=SDP)
    message.headers.set("Contact", "<sip:other@198.51.100.9:5070>")
    call = one(wire.receive(message), Invited).call
    wire.agent.accept(call, b"v=0", 0)
    ok = response(wire.take())
    acknowledge(wire, ok)
    wire.agent.bye(call, wire.now_us)
    bye = [e for e in wire.take() if isinstance(e, Transmit)][-1]
    assert bye.path == SOURCE


def test_routes_are_kept() -> None:
    wire = Wire().online()
    message = ask("INVITE", call_id="i1", target=CHANNEL, body=SDP)
    message.headers.add("Record-Route", "<sip:p1;lr>, <sip:p2;lr>")
    call = one(wire.receive(message), Invited).call
    wire.agent.accept(call, b"v=0", 0)
    ok = response(wire.take())
    assert ok.headers.get("Record-Route") == "<sip:p1;lr>, <sip:p2;lr>"
    acknowledge(wire, ok)
    wire.agent.bye(call, wire.now_us)
    bye = request_of(wire.take())
    assert bye.headers.all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]


def test_many_calls_one_channel() -> None:
    """BYE of one stops no other; above the limit 486 (gb28181.md 4.5)."""
    wire = Wire().online()
    first, ok = accept(wire, "a")
    acknowledge(wire, ok, "a")
    second, _ = accept(wire, "b")
    effects = wire.receive(ask("BYE", number=9, call_id="a", to_tag=ok.to.tag))
    assert one(effects, Ended).call == first
    assert wire.agent.calls == 1
    assert second != first
    for number in range(CALLS_MAX - 1):
        invite(wire, f"n{number}")
    busy = wire.receive(ask("INVITE", call_id="more", target=CHANNEL, body=SDP))
    assert response(busy).status == 486


def test_offline_ends_every_dialog() -> None:
    wire = Wire().online()
    _, ok = accept(wire, "a")
    acknowledge(wire, ok, "a")
    invite(wire, "b")
    subscribe(wire)
    wire.agent.connection_lost(wire.now_us)
    effects = wire.take()
    assert [e.cause for e in effects if isinstance(e, Ended)] == [EndCause.OFFLINE] * 2
    assert one(effects, Unsubscribed).topic == "Catalog"
    assert response(effects).status == 480
    assert request_of(effects).method == "BYE"
    wire.elapse(50)
    assert wire.agent.calls == 0


# Several platforms -------------------------------------------------------------------------------


def test_one_host_several_platforms() -> None:
    """Answers go to whose request they answer, requests to whom they name."""
    first, second = Wire(), Wire()
    other = replace(SERVER, id="34029900002000000001", domain="3402990000")
    settings = second.agent.settings
    second.agent = Agent(
        replace(
            settings,
            identity=replace(settings.identity, device_id="34029900001180000001"),
            registration=replace(settings.registration, server=other),
        ),
        host="192.0.2.10",
        chance=lambda: 0.0,
        token=lambda: "other",
    )
    agents = [first.agent, second.agent]
    second.agent.start(0)
    (register,) = second.sent()
    assert isinstance(register, Request)
    assert choose(Response.to_request(register, 200), agents) is second.agent
    assert choose(ask("MESSAGE"), agents) is first.agent
    named = ask("MESSAGE", target="34029900001180000001")
    named.headers.set("From", "<sip:34029900002000000001@x>;tag=1")
    assert choose(named, agents) is second.agent
    assert choose(Response.to_request(ask("MESSAGE"), 200), agents) is None
    first.online()
    invite(first)
    assert choose(ask("BYE", call_id="i1", target="34029900001180000001"), agents) is first.agent


# Anything at all ---------------------------------------------------------------------------------

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "INFO", "MESSAGE", "SUBSCRIBE", "OPTIONS", "NOTIFY")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("request"),
            st.sampled_from(METHODS),
            st.integers(1, 2),
            st.sampled_from(["", "ours", "x"]),
            st.sampled_from(["", "0", "60", "-1", "99999999999"]),
        ),
        st.tuples(st.just("answer"), st.sampled_from([100, 200, 302, 401, 403, 481, 500])),
        st.tuples(st.just("time"), st.floats(0, 70)),
        st.tuples(st.just("handler"), st.sampled_from([200, 404, 489])),
        st.tuples(st.just("send"), st.sampled_from(["message", "notify", "call", "bye"])),
        st.tuples(st.just("wire"), st.sampled_from(["lost", "failed", "route"])),
        st.tuples(st.just("bytes"), st.binary(max_size=60)),
    ),
    max_size=50,
)


@given(STEPS)
def test_whatever_comes_it_stands(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """No input raises, memory is bounded, every call ends once, and after a quiet end nothing
    is left."""
    wire = Wire(keepalive_s=30).online()
    ours, tokens = "", 0
    open_keys: list[Asked | SubscriptionAsked | InfoAsked] = []
    for what, *step in steps:
        if what == "request":
            method, number, tag, expires = step
            fields = (("Expires", expires), ("Event", "presence")) if expires else ()
            message = ask(
                method,
                number=number,
                call_id=f"c{number % 2}",
                to_tag=ours if tag == "ours" else tag,
                fields=fields,
                body=b"x" if number == 1 else b"",
            )
            wire.receive(message)
        elif what == "answer":
            sent = [m for m in map(parsed, wire.seen[-6:]) if isinstance(m, Request)]
            for request in sent[-1:]:
                wire.receive(Response.to_request(request, step[0]))
        elif what == "time":
            wire.elapse(step[0])
        elif what == "handler":
            for asked in open_keys:
                if isinstance(asked, SubscriptionAsked):
                    reply = SubscribeReply(status=step[0], topic="Catalog")
                    wire.agent.answer_subscription(asked.key, reply, 60, wire.now_us)
                else:
                    wire.agent.answer(asked.key, Reply(status=step[0]), wire.now_us)
            calls = [e.call for e in wire.seen if isinstance(e, Invited)]
            for call in calls[-2:]:
                if step[0] == 200:
                    wire.agent.accept(call, b"v=0", wire.now_us)
                else:
                    wire.agent.refuse(call, step[0], "", wire.now_us)
        elif what == "send":
            tokens += 1
            calls = [e.call for e in wire.seen if isinstance(e, Invited)] or ["none"]
            if step[0] == "message":
                wire.agent.send_message(tokens, "", b"x", wire.now_us)
            elif step[0] == "notify":
                wire.agent.send_notify(tokens, "Catalog", b"x", wire.now_us)
            elif step[0] == "call":
                wire.agent.send_call_message(tokens, calls[-1], b"x", wire.now_us)
            else:
                wire.agent.bye(calls[-1], wire.now_us)
        elif what == "wire":
            if step[0] == "lost":
                wire.agent.connection_lost(wire.now_us)
            elif step[0] == "failed":
                wire.agent.transport_failed(SOURCE, wire.now_us)
            else:
                wire.agent.route_changed("192.0.2.11", wire.now_us)
        else:
            try:
                message_ = parse(ask("MESSAGE").serialize()[: len(step[0]) * 9] + step[0])
            except Malformed:
                continue
            wire.receive(message_)
        for effect in wire.take() + wire.seen[-4:]:
            if isinstance(effect, Asked | SubscriptionAsked | InfoAsked):
                open_keys = [*open_keys[-3:], effect]
            if isinstance(effect, Transmit) and effect.data.startswith(b"SIP/2.0 200"):
                ours = parse(effect.data).to.tag
        assert wire.agent.size <= SERVERS_MAX + 4 * PENDING_MAX + CALLS_MAX
    for asked in [e for e in wire.seen if isinstance(e, Asked | InfoAsked)]:
        wire.agent.answer(asked.key, Reply(status=500), wire.now_us)
    for subscription in [e for e in wire.seen if isinstance(e, SubscriptionAsked)]:
        wire.agent.answer_subscription(subscription.key, SubscribeReply(status=489), 0, wire.now_us)
    wire.agent.stop(wire.now_us)
    wire.take()
    wire.elapse(200)
    assert wire.agent.size == 0
    begun = [e.call for e in wire.seen if isinstance(e, Invited) and not e.invite.is_again]
    ended = [e.call for e in wire.seen if isinstance(e, Ended)]
    assert sorted(begun) == sorted(ended)
    waited = [e.token for e in wire.seen if isinstance(e, Delivered)]
    assert sorted(waited) == sorted(set(waited))

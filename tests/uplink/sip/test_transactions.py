"""Transactions against the timers of RFC 3261 17, time injected."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.sip.headers import Headers
from uplink.sip.message import Request, Response, parse
from uplink.sip.transactions import (
    AckArrived,
    Answered,
    Arrived,
    Cancelled,
    ClientKey,
    Dropped,
    Effect,
    Failed,
    Path,
    ServerKey,
    Timers,
    Transactions,
    Transmit,
)

UDP = Path(transport="udp", host="192.0.2.1", port=5060)
TCP = Path(transport="tcp", host="192.0.2.1", port=5060, connection=7)
T1 = Timers().t1_us
S = 1_000_000


def request(method: str = "MESSAGE", **changes: str) -> Request:
    fields = {
        "Via": "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
        "From": "<sip:platform@d>;tag=a",
        "To": "<sip:device@d>",
        "Call-ID": "c1",
        "CSeq": f"7 {method}",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return Request(method=method, uri="sip:device@d", headers=Headers(*fields.items()))


def sent_at(layer: Transactions, until_us: int) -> list[tuple[float, str]]:
    """What goes out by itself, as (seconds, start of the first line or effect)."""
    seen: list[tuple[float, str]] = []
    while True:
        due = layer.next_us()
        if due is None or due > until_us:
            return seen
        layer.handle_timers(due)
        for effect in layer.take_effects():
            if isinstance(effect, Transmit):
                seen.append((due / S, effect.data.split(b" SIP")[0].decode()[:20]))
            else:
                seen.append((due / S, repr(effect).partition("(")[0]))


E = TypeVar("E")


def only(effects: list[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


# Ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        ("MESSAGE", UDP, [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]),  # E, F
        ("INVITE", UDP, [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]),  # A, B
        ("MESSAGE", TCP, []),
        ("INVITE", TCP, []),
    ],
)
def test_a_request_without_answer(method: str, path: Path, times: list[float]) -> None:
    layer = Transactions()
    key = layer.send(request(method), path, 0)
    assert layer.take_effects() == [Transmit(data=request(method).serialize(), path=path)]
    *resent, last = sent_at(layer, 100 * S)
    assert [at for at, _ in resent] == times
    assert last == (32.0, "Failed")
    assert key == ClientKey("z9hG4bK1", method)
    assert (layer.size, layer.next_us()) == (0, None)


def answer(status: int, method: str = "MESSAGE") -> Response:
    return Response.to_request(request(method), status, to_tag="b")


@pytest.mark.parametrize("path", [UDP, TCP])
def test_an_answer_ends_it(path: Path) -> None:
    """What comes twice is a stray."""
    layer = Transactions()
    key = layer.send(request(), path, 0)
    layer.take_effects()
    layer.receive(answer(404), path, S)
    assert layer.take_effects() == [Answered(key=key, response=answer(404))]
    assert layer.size == 0
    layer.receive(answer(404), path, 2 * S)
    assert layer.take_effects() == [Dropped(reason="stray_response")]


def test_a_provisional_answer_slows_it_down() -> None:
    layer = Transactions()
    layer.send(request(), UDP, 0)
    layer.receive(answer(100), UDP, 100_000)
    assert [type(effect) for effect in layer.take_effects()] == [Transmit, Answered]
    assert [at for at, _ in sent_at(layer, 10 * S)] == [4.1, 8.1]


def test_an_invite_that_rings_is_not_resent() -> None:
    layer = Transactions()
    layer.send(request("INVITE"), UDP, 0)
    layer.receive(answer(100, "INVITE"), UDP, 100_000)
    layer.take_effects()
    assert sent_at(layer, 100 * S) == []


def test_a_refused_invite_is_acknowledged_each_time() -> None:
    layer = Transactions()
    layer.send(request("INVITE"), UDP, 0)
    layer.take_effects()
    for count in (1, 2):
        layer.receive(answer(486, "INVITE"), UDP, S)
        effects = layer.take_effects()
        ack = parse(only(effects, Transmit)[0].data)
        assert isinstance(ack, Request)
        assert (ack.method, ack.cseq.number, ack.to.tag) == ("ACK", 7, "b")
        assert ack.via.branch == "z9hG4bK1"
        assert len(only(effects, Answered)) == (1 if count == 1 else 0)
    sent_at(layer, 100 * S)
    assert layer.size == 0


def test_an_accepted_invite_hears_every_2xx() -> None:
    """The user of the transaction acknowledges each (RFC 6026 7.2)."""
    layer = Transactions()
    layer.send(request("INVITE"), UDP, 0)
    for _ in range(2):
        layer.receive(answer(200, "INVITE"), UDP, S)
    assert len(only(layer.take_effects(), Answered)) == 2
    assert sent_at(layer, 100 * S) == []
    assert layer.size == 0


def test_strays_are_dropped() -> None:
    layer = Transactions()
    layer.receive(answer(200), UDP, 0)
    layer.send(request(), UDP, 0)
    layer.take_effects()
    other = Response.to_request(request(Call_ID="other"), 200)
    layer.receive(other, UDP, 0)
    assert layer.take_effects() == [Dropped(reason="stray_response")]
    assert layer.owns(answer(200))


def test_a_broken_transport_fails_what_waits_for_it() -> None:
    layer = Transactions()
    key = layer.send(request(), TCP, 0)
    layer.take_effects()
    layer.transport_failed(UDP)
    assert layer.take_effects() == []
    layer.transport_failed(TCP)
    assert layer.take_effects() == [Failed(key=key, is_timeout=False)]


# Theirs ------------------------------------------------------------------------------------------


def arrived(layer: Transactions, message: Request, path: Path = UDP, now_us: int = 0) -> ServerKey:
    layer.receive(message, path, now_us)
    (effect,) = only(layer.take_effects(), Arrived)
    assert isinstance(effect, Arrived)
    return effect.key


def test_a_retransmission_gets_the_same_answer() -> None:
    """And is handed on once only (gb28181.md 0.8)."""
    layer = Transactions()
    key = arrived(layer, request())
    layer.receive(request(), UDP, S)
    assert layer.take_effects() == [Dropped(reason="retransmission")]
    layer.respond(key, Response.to_request(request(), 200), 2 * S)
    (first,) = layer.take_effects()
    layer.receive(request(), UDP, 3 * S)
    assert layer.take_effects() == [Dropped(reason="retransmission"), first]
    assert layer.next_us() == 34 * S  # J
    layer.handle_timers(34 * S)
    assert layer.size == 0


def test_over_tcp_an_answered_request_is_forgotten() -> None:
    layer = Transactions()
    key = arrived(layer, request(), TCP)
    layer.respond(key, Response.to_request(request(), 200), 0)
    assert layer.size == 0


def test_answers_go_where_the_request_came_from() -> None:
    """With rport to its port, without to that of Via, never to another host."""
    source = replace(UDP, host="192.0.2.77", port=40000)
    for via, port in [
        ("SIP/2.0/UDP 10.9.9.9:5099;rport;branch=b", 40000),
        ("SIP/2.0/UDP 10.9.9.9:5099;branch=b", 5099),
        ("SIP/2.0/UDP 10.9.9.9;branch=b", 5060),
    ]:
        layer = Transactions()
        layer.receive(request(Via=via), source, 0)
        (effect,) = layer.take_effects()
        assert isinstance(effect, Arrived)
        assert (effect.path.host, effect.path.port) == ("192.0.2.77", port)
        assert "received=192.0.2.77" in effect.request.headers.get("Via")


def test_a_new_request_is_told_from_a_retransmission() -> None:
    layer = Transactions()
    arrived(layer, request())
    for change in ({"Call_ID": "c2"}, {"CSeq": "8 MESSAGE"}, {"From": "<sip:x@y>;tag=z"}):
        arrived(layer, request(**change))
    arrived(layer, request(Via="SIP/2.0/UDP a;branch=z3hG9bK2"))


def test_a_refused_invite_waits_for_its_ack() -> None:
    layer = Transactions()
    invite = request("INVITE")
    key = arrived(layer, invite)
    layer.respond(key, Response.to_request(invite, 100), 0)
    layer.respond(key, Response.to_request(invite, 488, to_tag="b"), 0)
    layer.take_effects()
    assert [at for at, _ in sent_at(layer, 8 * S)] == [0.5, 1.5, 3.5, 7.5]  # G
    other_branch = request("ACK", Via="SIP/2.0/UDP a;branch=fresh")
    layer.receive(other_branch, UDP, 8 * S)
    assert layer.take_effects() == []
    assert layer.next_us() == 13 * S  # I
    layer.handle_timers(13 * S)
    assert layer.size == 0


def test_without_ack_a_refusal_is_given_up() -> None:
    layer = Transactions()
    key = arrived(layer, request("INVITE"))
    layer.respond(key, Response.to_request(request("INVITE"), 488), 0)
    layer.take_effects()
    assert {what for _, what in sent_at(layer, 100 * S)} == {"SIP/2.0 488 Not Acce"}
    assert layer.size == 0  # H


@pytest.mark.parametrize("path", [UDP, TCP])
def test_an_accepted_invite_is_told_until_acknowledged(path: Path) -> None:
    layer = Transactions()
    key = arrived(layer, request("INVITE"), path)
    layer.respond(key, Response.to_request(request("INVITE"), 200, to_tag="b"), 0)
    layer.take_effects()
    assert [at for at, _ in sent_at(layer, 8 * S)] == [0.5, 1.5, 3.5, 7.5]
    layer.receive(request("ACK", To="<sip:d>;tag=b"), path, 8 * S)
    (effect,) = layer.take_effects()
    assert isinstance(effect, AckArrived)
    layer.acknowledge(key)
    assert sent_at(layer, 100 * S) == []
    assert layer.size == 0


def test_an_accepted_invite_without_ack_is_told_of() -> None:
    layer = Transactions()
    key = arrived(layer, request("INVITE"))
    layer.respond(key, Response.to_request(request("INVITE"), 200, to_tag="b"), 0)
    layer.take_effects()
    assert sent_at(layer, 100 * S)[-1] == (32.0, "NoAck")


def test_cancel() -> None:
    """200 to the CANCEL, the INVITE's user told; 481 where there is no INVITE."""
    layer = Transactions()
    layer.receive(request("CANCEL"), UDP, 0)
    (nothing,) = layer.take_effects()
    assert isinstance(nothing, Transmit)
    assert nothing.data.startswith(b"SIP/2.0 481")
    layer = Transactions()
    key = arrived(layer, request("INVITE"))
    layer.receive(request("CANCEL"), UDP, 0)
    ok, cancelled = layer.take_effects()
    assert isinstance(ok, Transmit)
    assert ok.data.startswith(b"SIP/2.0 200")
    assert cancelled == Cancelled(key=key)


def test_a_flood_costs_bounded_memory() -> None:
    """The oldest answered request makes room; unanswered ones are not displaced."""
    layer = Transactions(servers_max=8)
    for number in range(100):
        message = request(Call_ID=str(number))
        layer.receive(message, UDP, number)
        for effect in layer.take_effects():
            if isinstance(effect, Arrived):
                layer.respond(effect.key, Response.to_request(effect.request, 200), number)
        assert layer.size <= 8
    layer = Transactions(servers_max=8)
    kept = [arrived(layer, request("INVITE", Call_ID=str(number))) for number in range(8)]
    layer.receive(request(Call_ID="too much"), UDP, 0)
    assert layer.take_effects() == [Dropped(reason="transactions_full")]
    assert all(layer.is_waiting(key) for key in kept)


METHODS = ("INVITE", "MESSAGE", "ACK", "CANCEL", "BYE", "REGISTER")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(METHODS),
            st.integers(0, 2),
            st.integers(0, 2),
            st.sampled_from([0, 100, 200, 404]),
            st.integers(0, 40 * S),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_any_order_ends_in_an_empty_table(
    steps: list[tuple[str, int, int, int, int, bool]],
) -> None:
    """No input raises, every timer fires in order, and nothing stays for ever."""
    layer = Transactions(servers_max=6)
    now = 0
    waiting: set[ServerKey] = set()
    for method, call, branch, status, pause_us, is_ours in steps:
        now += pause_us
        message = request(
            method, Call_ID=f"c{call}", Via=f"SIP/2.0/UDP a;rport;branch=z9hG4bK{branch}"
        )
        path = TCP if branch == 2 else UDP
        if is_ours and method not in ("ACK", "CANCEL"):
            layer.send(message, path, now)
        elif status and is_ours:
            layer.receive(Response.to_request(message, status), path, now)
        else:
            layer.receive(message, path, now)
        for effect in layer.take_effects():
            if isinstance(effect, Arrived):
                waiting.add(effect.key)
                if status:
                    answer_ = Response.to_request(effect.request, status, to_tag="t")
                    layer.respond(effect.key, answer_, now)
        due = layer.next_us()
        if due is not None and due <= now:
            layer.handle_timers(now)
            again = layer.next_us()
            assert again is None or again > now
    for key in waiting:
        if layer.is_waiting(key):
            refused = Response.to_request(request(key.method, Call_ID=key.call_id), 500)
            layer.respond(key, refused, now)
    for client in list(layer._clients):
        layer.forget(client)
    layer.take_effects()
    sent_at(layer, now + 200 * S)
    assert layer.size == 0

"""Registration as a script: what goes in, what comes out, at which second."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.registration import (
    Counted,
    Effect,
    Offline,
    Registered,
    Registration,
    RegistrationSettings,
    SendRegister,
    Server,
    State,
    Stopped,
    TimeMeasured,
    Trouble,
)
from uplink.sip.headers import Headers
from uplink.sip.message import REASONS, Response

S = 1_000_000
SERVER = Server(host="192.0.2.1", port=5060, id="34020000002000000001", domain="3402000000")
CHALLENGE = 'Digest realm="3402000000", nonce="9485904448344456af5449b51759016e", qop="auth"'


class Script:
    """A registration and its clock; chance is 0 unless told, so that times are exact."""

    def __init__(self, chance: float = 0.0, **changes: Any) -> None:
        tokens = iter(range(10**6))
        settings: dict[str, Any] = {
            "server": SERVER,
            "username": "34020000001180000001",
            "password": "12345678",
            "register_s": 3600,
            "keepalive_s": 60,
            "retry_s": 60,
            "edition": "2022",
            "redirect_hosts": frozenset({"192.0.2.1", "192.0.2.2"}),
            **changes,
        }
        self.machine = Registration(
            RegistrationSettings(**settings),
            chance=lambda: chance,
            token=lambda: f"t{next(tokens)}",
        )
        self.now_us = 0
        self.seen: list[tuple[float, Effect]] = []

    def take(self) -> list[Effect]:
        """Effects since the last look, without counts and the log."""
        effects = self.machine.take_effects()
        self.seen += [(self.now_us / S, effect) for effect in effects]
        return [effect for effect in effects if not isinstance(effect, Counted | Trouble)]

    def start(self) -> SendRegister:
        self.machine.start(self.now_us)
        (effect,) = self.take()
        assert isinstance(effect, SendRegister)
        return effect

    def answer(self, status: int, *fields: tuple[str, str]) -> list[Effect]:
        response = Response(status=status, reason=REASONS[status], headers=Headers(*fields))
        self.machine.answered(response, now_us=self.now_us, utc_us=0, round_trip_us=0)
        return self.take()

    def challenge(self) -> SendRegister:
        (effect,) = self.answer(401, ("WWW-Authenticate", CHALLENGE))
        assert isinstance(effect, SendRegister)
        return effect

    def register(self) -> None:
        """From nothing to registered, its first keepalive answered."""
        self.start()
        self.challenge()
        assert isinstance(self.answer(200)[0], Registered)
        self.elapse(0)
        self.keepalive(200)

    def keepalive(self, status: int) -> list[Effect]:
        self.machine.keepalive_answered(status, now_us=self.now_us, round_trip_us=1000)
        return self.take()

    def elapse(self, seconds: float) -> list[tuple[float, Effect]]:
        """What the timers do meanwhile, each with its second."""
        end_us = self.now_us + int(seconds * S)
        done: list[tuple[float, Effect]] = []
        while (due_us := self.machine.next_us()) is not None and due_us <= end_us:
            self.now_us = max(self.now_us, due_us)
            self.machine.handle_timers(self.now_us)
            done += [(self.now_us / S, effect) for effect in self.take()]
        self.now_us = end_us
        return done

    def counts(self, what: str) -> list[str]:
        return [e.result for _, e in self.seen if isinstance(e, Counted) and e.what == what]

    def troubles(self) -> list[str]:
        return [e.reason for _, e in self.seen if isinstance(e, Trouble)]


def kinds(effects: list[tuple[float, Effect]]) -> list[tuple[float, str]]:
    return [(at, type(effect).__name__) for at, effect in effects]


# Registering -------------------------------------------------------------------------------------


def test_challenge_and_acceptance() -> None:
    script = Script()
    first = script.start()
    assert (first.sequence, first.expires_s, first.authorization) == (1, 3600, "")
    second = script.challenge()
    assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
    assert second.sequence == 2
    assert 'uri="sip:34020000002000000001@3402000000"' in second.authorization
    assert "nc=00000001" in second.authorization
    assert script.answer(200) == [Registered(server=SERVER, edition="2022")]
    assert kinds(script.elapse(0)) == [(0, "SendKeepalive")]
    assert script.counts("register") == ["ok"]
    assert "12345678" not in repr(script.machine._settings) + repr(second)


def test_without_a_challenge() -> None:
    """SRS, and WVP on a refresh."""
    script = Script()
    script.start()
    assert isinstance(script.answer(200)[0], Registered)


@pytest.mark.parametrize(
    ("fields", "chance", "refresh_s"),
    [
        ((), 0.0, 1800),
        ((), 0.999999, 2880),
        ((("Expires", "600"),), 0.0, 300),
        ((("Contact", "<sip:a@b>;expires=100"), ("Expires", "600")), 0.0, 50),
        ((("Expires", "86400"),), 0.0, 1800),
        ((("Expires", "0"),), 0.0, 1800),
        ((("Expires", "1"),), 0.0, 1),
    ],
)
def test_refresh_well_before_the_end(
    fields: tuple[tuple[str, str], ...], chance: float, refresh_s: float
) -> None:
    script = Script(chance, keepalive_s=3600)
    first = script.start()
    script.answer(200, *fields)
    script.elapse(0)
    script.keepalive(200)
    (at, refresh), *_ = script.elapse(3000)
    assert at == pytest.approx(refresh_s, abs=1)
    assert isinstance(refresh, SendRegister)
    assert (refresh.call_id, refresh.from_tag) == (first.call_id, first.from_tag)
    assert refresh.authorization == ""
    again = script.challenge()  # a fresh challenge, with another cnonce
    assert again.authorization.count("nc=00000001") == 1
    assert script.answer(200) == []  # it was online all the time


@pytest.mark.parametrize(
    ("edition", "header", "agreed"),
    [
        ("2022", "", "2022"),
        ("2022", "2.0", "2016"),
        ("2016", "3.0", "2022"),
        ("2016", "1.1", "2016"),
    ],
)
def test_version(edition: str, header: str, agreed: str) -> None:
    script = Script(edition=edition)
    script.start()
    (registered,) = script.answer(200, ("X-GB-ver", header))
    assert isinstance(registered, Registered)
    assert registered.edition == agreed


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        ([401, 401], "auth"),
        ([401, 403], "refused"),
        ([404], "refused"),
        ([500], "error"),
        ([423], "error"),
        ([302], "redirect"),
    ],
)
def test_failures_wait_with_jitter(answers: list[int], trouble: str) -> None:
    for chance, wait_s in ((0.0, 60), (0.5, 75), (0.999999, 90)):
        script = Script(chance)
        first = script.start()
        for status in answers:
            script.answer(status, *((("WWW-Authenticate", CHALLENGE),) if status == 401 else ()))
        assert script.troubles() == [trouble]
        assert script.machine.state is State.WAITING
        ((at, again),) = script.elapse(100)
        assert at == pytest.approx(wait_s, abs=0.1)
        assert isinstance(again, SendRegister)
        assert again.call_id != first.call_id
        assert again.sequence > first.sequence


def test_no_answer() -> None:
    for is_timeout, trouble in ((True, "no_answer"), (False, "unreachable")):
        script = Script()
        script.start()
        script.machine.unanswered(is_timeout=is_timeout, now_us=0)
        assert script.take() == []
        assert script.troubles() == [trouble]
        assert kinds(script.elapse(60)) == [(60, "SendRegister")]


def test_a_stale_nonce_is_answered_once_more() -> None:
    script = Script()
    script.start()
    script.challenge()
    (again,) = script.answer(401, ("WWW-Authenticate", CHALLENGE + ", stale=TRUE"))
    assert isinstance(again, SendRegister)
    assert script.answer(401, ("WWW-Authenticate", CHALLENGE + ", stale=TRUE")) == []
    assert script.troubles() == ["auth"]


def test_a_challenge_of_another_kind_is_a_clear_trouble() -> None:
    script = Script()
    script.start()
    script.answer(401, ("WWW-Authenticate", 'Bidirection algorithm="A:SM2"'))
    (trouble,) = [e for _, e in script.seen if isinstance(e, Trouble)]
    assert (trouble.reason, trouble.detail) == ("challenge", "Bidirection")
    assert "GB 35114" in trouble.hint


def test_too_brief() -> None:
    script = Script(register_s=60)
    script.start()
    (again,) = script.answer(423, ("Min-Expires", "3600"))
    assert isinstance(again, SendRegister)
    assert again.expires_s == 3600
    assert script.machine.register_s == 3600
    least_s = 3600
    while script.machine.state is State.REGISTERING:  # a peer that never has enough
        least_s += 1
        script.answer(423, ("Min-Expires", str(least_s)))
    assert least_s < 3620


def test_redirect_and_back() -> None:
    script = Script()
    first = script.start()
    (there,) = script.answer(302, ("Contact", "<sip:34029900002000000009@192.0.2.2:5070>"))
    assert isinstance(there, SendRegister)
    assert there.server == Server(
        host="192.0.2.2", port=5070, id="34029900002000000009", domain="3402990000"
    )
    assert there.call_id != first.call_id
    (registered,) = script.answer(200)
    assert isinstance(registered, Registered)
    assert registered.server == there.server
    script.elapse(0)
    script.machine.keepalive_unanswered(script.now_us)
    script.take()
    done = script.elapse(400)
    back = [effect for _, effect in done if isinstance(effect, SendRegister)]
    assert back[0].server == SERVER


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:34029900002000000009@198.51.100.1>",
        "<tel:1>",
        "",
        "<sip:34020000002000000001@192.0.2.1>",
    ],
)
def test_a_redirect_to_a_stranger_is_refused(contact: str) -> None:
    script = Script()
    script.start()
    assert script.answer(302, ("Contact", contact)) == []
    assert script.troubles() == ["redirect"]


def test_a_redirect_loop_ends() -> None:
    script = Script()
    script.start()
    for turn in range(20):
        if not script.answer(
            302, ("Contact", f"<sip:34029900002000000009@192.0.2.{1 + turn % 2}>")
        ):
            break
    assert turn <= 4
    assert script.machine.state is State.WAITING


def test_time() -> None:
    script = Script()
    script.start()
    response = Response(status=200, headers=Headers(("Date", "2026-11-23T20:15:30.123")))
    script.machine.answered(response, now_us=0, utc_us=1795436130 * S, round_trip_us=40_000)
    measured = [e for e in script.take() if isinstance(e, TimeMeasured)]
    assert measured == [
        TimeMeasured(offset_us=143_500, uncertainty_us=20_501, at_utc_us=1795436130 * S)
    ]
    response = Response(status=200, headers=Headers(("Date", "2026-11-23T12:15:30.123")))
    script = Script()
    script.start()
    script.machine.answered(response, now_us=0, utc_us=1795436130 * S, round_trip_us=0)
    assert [e for e in script.take() if isinstance(e, TimeMeasured)] == []
    assert script.troubles() == ["time_zone"]


# Keepalive ---------------------------------------------------------------------------------------


def test_keepalive_goes_on() -> None:
    script = Script()
    script.register()
    for minute in range(1, 5):
        assert kinds(script.elapse(60)) == [(60 * minute, "SendKeepalive")]
        script.keepalive(200)
    assert script.counts("keepalive") == ["ok"] * 5


def test_three_misses_in_a_row_are_a_loss() -> None:
    """Sent at 60, 120, 180, each given up after 32 s (timer F)."""
    script = Script()
    script.register()
    assert kinds(script.elapse(280)) == [
        (60, "SendKeepalive"),
        (120, "SendKeepalive"),
        (180, "SendKeepalive"),
        (212, "Offline"),
        (272, "SendRegister"),
    ]
    assert script.counts("keepalive") == ["ok", "missed", "missed", "missed"]
    assert script.troubles() == ["keepalive"]


def test_short_intervals_miss_by_the_next_one() -> None:
    script = Script(keepalive_s=1, retry_s=1)
    script.register()
    assert kinds(script.elapse(5)) == [
        (1, "SendKeepalive"),
        (2, "SendKeepalive"),
        (3, "SendKeepalive"),
        (4, "Offline"),
        (5, "SendRegister"),
    ]


def test_an_answer_forgives_the_misses() -> None:
    script = Script()
    script.register()
    for status in (200, 400, 500):  # whatever it says, it is there
        script.elapse(130)
        script.keepalive(status)
        assert script.machine.misses == 0
    assert script.machine.is_online


@pytest.mark.parametrize("status", [401, 403, 404, 481])
def test_who_are_you_is_answered_by_registering_at_once(status: int) -> None:
    """But not again and again (gb28181.md 2.5)."""
    script = Script()
    script.register()
    script.elapse(60)
    offline, again = script.keepalive(status)
    assert offline == Offline(reason="lost")
    assert isinstance(again, SendRegister)
    assert again.authorization == ""
    script.answer(200)
    script.elapse(0)
    assert script.keepalive(status) == [Offline(reason="lost")]
    assert kinds(script.elapse(70)) == [(120, "SendRegister")]


def test_a_failed_refresh_is_a_loss() -> None:
    script = Script(keepalive_s=3600)
    script.register()
    script.elapse(1800)
    script.machine.unanswered(is_timeout=True, now_us=script.now_us)
    assert script.take() == [Offline(reason="no_answer")]
    assert kinds(script.elapse(60)) == [(1860, "SendRegister")]


def test_heartbeat_may_be_changed() -> None:
    script = Script()
    script.register()
    script.machine.set_heartbeat(script.now_us, keepalive_s=1, count=99)
    assert (script.machine.keepalive_s, script.machine.keepalive_misses_max) == (5, 10)
    assert kinds(script.elapse(5)) == [(5, "SendKeepalive")]


# Links, leaving ----------------------------------------------------------------------------------


def test_a_link_that_comes_back_hurries() -> None:
    for chance, delay_s in ((0.0, 0), (0.999, 1)):
        script = Script(chance)
        script.start()
        script.machine.unanswered(is_timeout=False, now_us=0)
        script.take()
        script.elapse(10)
        script.machine.route_changed(script.now_us)
        ((at, effect),) = script.elapse(2)
        assert at == pytest.approx(10 + delay_s, abs=0.01)
        assert isinstance(effect, SendRegister)


def test_a_new_address_is_told_at_once() -> None:
    script = Script()
    script.register()
    script.machine.route_changed(script.now_us)
    (effect,) = script.take()
    assert isinstance(effect, SendRegister)
    assert script.machine.is_online


def test_a_broken_connection_waits() -> None:
    script = Script()
    script.register()
    script.machine.connection_lost(script.now_us)
    assert script.take() == [Offline(reason="connection_lost")]
    assert kinds(script.elapse(60)) == [(60, "SendRegister")]


def test_leaving() -> None:
    script = Script()
    script.register()
    script.machine.stop(script.now_us)
    offline, bye = script.take()
    assert offline == Offline(reason="stopping")
    assert isinstance(bye, SendRegister)
    assert bye.expires_s == 0
    (again,) = script.answer(401, ("WWW-Authenticate", CHALLENGE))
    assert isinstance(again, SendRegister)
    assert again.expires_s == 0
    assert again.authorization
    assert script.answer(200) == [Stopped()]
    assert script.elapse(10_000) == []


def test_leaving_waits_briefly() -> None:
    script = Script()
    script.register()
    script.machine.stop(script.now_us)
    script.take()
    assert kinds(script.elapse(5)) == [(2, "Stopped")]


def test_leaving_before_it_was_online() -> None:
    script = Script()
    script.start()
    script.machine.stop(0)
    assert script.take() == [Stopped()]
    script.machine.route_changed(0)
    script.answer(200)
    assert script.elapse(10_000) == []


INPUTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["answer", "unanswered", "keepalive", "no keepalive", "route", "broken", "elapse"]
        ),
        st.sampled_from([200, 302, 401, 403, 404, 408, 423, 486, 500]),
        st.integers(0, 100),
    ),
    max_size=60,
)


@given(INPUTS, st.floats(0, 0.999))
def test_whatever_comes_it_never_stands_still(
    inputs: list[tuple[str, int, int]], chance: float
) -> None:
    """Unless it was told to stop, something is always due; online and offline alternate."""
    script = Script(chance, keepalive_s=5, retry_s=5, register_s=60)
    script.start()
    under_way = True
    for what, status, seconds in inputs:
        now_us, machine = script.now_us, script.machine
        effects: list[Effect] = []
        if what == "answer" and under_way:
            fields = [("WWW-Authenticate", CHALLENGE), ("Min-Expires", str(60 + seconds))]
            fields += [("Contact", f"<sip:34029900002000000009@192.0.2.{1 + seconds % 3}>")]
            effects = script.answer(status, *fields)
        elif what == "unanswered" and under_way:
            machine.unanswered(is_timeout=True, now_us=now_us)
        elif what == "keepalive":
            effects = script.keepalive(status)
        elif what == "no keepalive":
            machine.keepalive_unanswered(now_us)
        elif what == "route":
            machine.route_changed(now_us)
        elif what == "broken":
            machine.connection_lost(now_us)
        else:
            effects = [effect for _, effect in script.elapse(seconds / 10)]
        effects += script.take()
        if any(isinstance(effect, SendRegister) for effect in effects):
            under_way = True
        elif what in ("answer", "unanswered"):
            under_way = False
        assert machine.next_us() is not None or under_way
        assert machine.state in (State.REGISTERING, State.REGISTERED, State.WAITING)
        assert machine.is_online or machine._keepalive_due_us is None
    online = [type(e) for _, e in script.seen if isinstance(e, Registered | Offline)]
    assert online == [(Registered, Offline)[n % 2] for n in range(len(online))]

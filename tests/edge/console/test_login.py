"""Logging in: what it takes, what it costs to guess, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.alarms.codes import Code
from edge.alarms.told import faults_of
from edge.console import lockout, sessions
from edge.console.lockout import DELAY_US_MAX, FREE_FAILURES, PLACES, Lockout, network_of
from edge.console.parts import ATTACK_FAILURES
from edge.console.roles import Role
from tests.support.console_site import PASSWORD, ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


def test_the_first_password_opens_nothing_but_its_change(site: ConsoleSite) -> None:
    first = site.parts.accounts.add("chen", Role.HEAD, by="test")
    browser = site.browser()
    assert browser.log_in("chen", first).status_code == 303
    assert browser.get("/").headers["location"] == "/password"
    weak = ("short-1A", "alllowercase", "chen-Chen-chen-1", "aaaaaaaaaaaaaaaaaaaa")
    for fresh in weak:
        answer = browser.post("/password", old=first, fresh=fresh, again=fresh)
        assert answer.status_code == 400, fresh
    answer = browser.post("/password", old="wrong", fresh=PASSWORD, again=PASSWORD)
    assert answer.status_code == 403
    answer = browser.post("/password", old=first, fresh=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/"
    assert browser.get("/").status_code == 200
    again = site.browser()
    assert again.log_in("chen", first).status_code == 401
    assert again.log_in("chen").status_code == 303


def test_the_cookie_is_for_this_page_alone(site: ConsoleSite) -> None:
    site.add("chen", Role.HEAD)
    browser = site.browser()
    header = browser.log_in("chen").headers["set-cookie"]
    assert header.startswith("__Host-session=")
    for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert word in header
    assert "Domain" not in header
    assert "expires" not in header.lower()


def test_guessing_one_account_is_bounded(site: ConsoleSite) -> None:
    """An hour of guessing, as fast as answers come, from ever new addresses: a few dozen tries."""
    site.add("chen", Role.HEAD)
    looked_at = 0
    end = site.clock.monotonic + 3600 * 1_000_000
    network = 0
    while site.clock.monotonic < end:
        network += 1
        guesser = site.browser(f"198.51.100.{network % 250}")
        answer = guesser.log_in("chen", f"guess-{network}")
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            site.clock.sleep(10)
        else:
            assert answer.status_code == 401
            looked_at += 1
    assert FREE_FAILURES < looked_at < 20
    answer = site.browser("203.0.113.5").log_in("chen")
    assert answer.status_code == 429  # its own person waits, too; at most so long:
    site.clock.sleep(DELAY_US_MAX / 1e6)
    assert site.browser("203.0.113.5").log_in("chen").status_code == 303
    told = [one for one in site.records() if one.action == "login"]
    assert len(told) == looked_at + 1
    assert told[-1].outcome == "done"
    assert told[-1].actor == "person:chen"


def test_guessing_from_one_address_is_bounded(site: ConsoleSite) -> None:
    """Names that nobody has are answered as names that somebody has."""
    site.add("chen", Role.HEAD)
    statuses = [
        site.browser("198.51.100.9").log_in(f"name{number}", "x" * 12).status_code
        for number in range(30)
    ]
    assert statuses.count(401) <= 25
    assert statuses[-1] == 429
    assert site.browser("198.51.100.10").log_in("chen").status_code == 303


def test_an_attack_is_an_alarm_while_it_lasts(site: ConsoleSite) -> None:
    """As edge's register reads it."""
    for number in range(ATTACK_FAILURES - 1):
        site.browser(f"198.51.100.{number}").log_in(f"name{number}", "x" * 12)
    assert site.parts.faults() == []
    site.browser("198.51.100.99").log_in("other", "x" * 12)
    (fault,) = faults_of({"faults": site.parts.faults()})
    assert fault.code is Code.LOGIN_ATTACK
    site.clock.sleep(601)
    assert site.parts.faults() == []


def test_counters_do_not_grow_with_what_strangers_send() -> None:
    counters = Lockout(b"key")
    for number in range(20_000):
        counters.failed(f"name{number}", number)
    assert len(counters._places) <= PLACES


def test_delays_grow_and_are_forgotten() -> None:
    counters = Lockout(b"key")
    delays = [counters.failed("chen", 0) for _ in range(30)]
    assert delays[: FREE_FAILURES - 1] == [0] * (FREE_FAILURES - 1)
    assert delays == sorted(delays)
    assert delays[-1] == DELAY_US_MAX
    assert counters.wait_us("chen", 0) == DELAY_US_MAX
    assert counters.failed("chen", lockout.FORGET_US + 1) == 0
    counters.succeeded("chen")
    assert counters.wait_us("chen", 0) == 0


def test_an_ipv6_subscriber_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")


def test_sessions_end(site: ConsoleSite) -> None:
    """By idling, by age, by logging out, and with the account's next change."""
    head = site.person(Role.HEAD)
    for _ in range(3):
        site.clock.sleep(sessions.IDLE_US / 1e6 - 1)
        assert head.get("/").status_code == 200
    site.clock.sleep(sessions.IDLE_US / 1e6 + 1)
    assert head.get("/").status_code == 303
    busy = site.person(Role.HEAD)
    for _ in range(sessions.ABSOLUTE_US // sessions.IDLE_US + 1):
        site.clock.sleep(sessions.IDLE_US / 1e6 - 60)
        busy.get("/")
    site.clock.sleep(sessions.IDLE_US / 1e6)
    assert busy.get("/").status_code == 303
    out = site.person(Role.HEAD)
    assert out.post("/logout").headers["location"] == "/login"
    assert out.get("/").status_code == 303
    gone = site.person(Role.HEAD)
    site.add("other", Role.HEAD)
    site.parts.accounts.disable("head")
    assert gone.get("/").status_code == 303


def test_a_changed_password_ends_the_other_sessions(site: ConsoleSite) -> None:
    here, there = site.person(Role.HEAD), site.person(Role.HEAD)
    fresh = "Noch-ein-Passwort-7"
    assert here.post("/password", old=PASSWORD, fresh=fresh, again=fresh).status_code == 303
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 303


def test_nobody_is_led_elsewhere(site: ConsoleSite) -> None:
    site.add("chen", Role.HEAD)
    for wanted in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"):
        answer = site.browser().post("/login", name="chen", password=PASSWORD, next=wanted)
        assert answer.headers["location"] == "/"
    answer = site.browser().post("/login", name="chen", password=PASSWORD, next="/x?y=1")
    assert answer.headers["location"] == "/x?y=1"


def test_the_language_is_remembered(site: ConsoleSite) -> None:
    browser = site.browser()
    assert "登录" in browser.get("/login").text
    assert browser.get("/login?lang=en").headers["location"] == "/login"
    assert "Log in" in browser.get("/login").text
    assert browser.get("/login?lang=xx").status_code == 200


def test_a_refusal_is_told_in_the_language_that_was_asked_for(site: ConsoleSite) -> None:
    guard = site.person(Role.GUARD)
    assert "您的角色" in guard.get("/holds").text
    assert guard.get("/holds?lang=en").headers["location"] == "/holds"
    assert "Your role" in guard.get("/holds").text

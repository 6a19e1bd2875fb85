"""Accounts: who may make whom, and what becomes of whoever is logged in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.console.accounts import AccountRefused
from edge.console.records_file import ConsoleFileUnusable
from edge.console.roles import Permission, Role, may_manage
from tests.support.console_site import PASSWORD, ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


def test_a_head_makes_an_account_whose_password_is_told_once(site: ConsoleSite) -> None:
    head = site.person(Role.HEAD)
    answer = head.post("/users", name="Li.Na", role="guard", full_name="李娜")
    (password,) = re.findall(r'class="secret">([^<]+)<', answer.text)
    assert password not in head.get("/users").text
    assert password not in (site.parts.state_dir / "console" / "accounts.json").read_text()
    guard = site.browser()
    assert guard.log_in("li.na", password).status_code == 303
    made = [one for one in site.records() if one.action == "account_changed"]
    assert [one.outcome for one in made] == ["begun", "done"]
    assert made[0].actor == "person:head"
    assert password not in str(made)


def test_an_integrator_cannot_give_himself_footage(site: ConsoleSite) -> None:
    """He makes the first head; once there is one, heads and extras are the head's."""
    integrator = site.person(Role.INTEGRATOR)
    assert integrator.post("/users", name="yuan", role="head", full_name="园长").status_code == 200
    assert integrator.post("/users", name="me2", role="head", full_name="我").status_code == 409
    assert integrator.post("/users", name="me3", role="auditor", full_name="我").status_code == 409
    assert integrator.post("/users", name="bao", role="guard", full_name="保安").status_code == 200
    assert integrator.post("/users/yuan/password").status_code == 403
    assert integrator.post("/users/yuan/disable", disabled="yes").status_code == 403
    assert integrator.post("/users/bao", role="head", full_name="保安").status_code == 409
    integrator.post("/users/bao", role="guard", full_name="保安", extra="live")
    bao = site.parts.accounts.find("bao")
    assert bao is not None
    assert bao.extras == frozenset()


def test_a_head_switches_live_on_for_one_guard(site: ConsoleSite) -> None:
    head, guard = site.person(Role.HEAD), site.person(Role.GUARD)
    assert (
        head.post("/users/guard", role="guard", full_name="保安", extra="live").status_code == 303
    )
    found = site.parts.accounts.find("guard")
    assert found is not None
    assert Permission.LIVE in found.permissions
    assert guard.get("/").status_code == 303  # his session was of the account before
    head.post("/users/guard", role="guard", full_name="保安", extra="export")
    found = site.parts.accounts.find("guard")
    assert found is not None
    assert found.extras == frozenset()


def test_somebody_who_manages_is_always_left(site: ConsoleSite) -> None:
    site.add("only", Role.HEAD)
    accounts = site.parts.accounts
    with pytest.raises(AccountRefused):
        accounts.disable("only")
    with pytest.raises(AccountRefused):
        accounts.change("only", role=Role.GUARD, full_name="", extras=frozenset())
    only = site.parts.accounts.find("only")
    assert only is not None
    assert not only.is_disabled
    assert only.role is Role.HEAD


def test_nobody_disables_or_demotes_himself(site: ConsoleSite) -> None:
    head = site.person(Role.HEAD)
    site.add("second", Role.HEAD)
    assert head.post("/users/head/disable", disabled="yes").status_code == 409
    assert head.post("/users/head", role="guard", full_name="").status_code == 409
    assert head.post("/users/head", role="head", full_name="园长").status_code == 303
    assert head.get("/users").status_code == 200  # still there


@pytest.mark.parametrize(
    "name", ["", "a", "1chen", "Chen Li", "陈", "a" * 33, "../x", "chen\n", "__proto__", "a/b"]
)
def test_what_is_no_account_name(site: ConsoleSite, name: str) -> None:
    with pytest.raises(AccountRefused):
        site.parts.accounts.add(name, Role.GUARD, by="test")


def test_names_are_taken_once_and_are_bounded(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("chen", Role.HEAD)
    with pytest.raises(AccountRefused):
        site.parts.accounts.add("chen", Role.GUARD, by="test")
    monkeypatch.setattr("edge.console.accounts.ACCOUNTS_MAX", 2)
    site.add("li", Role.GUARD)
    with pytest.raises(AccountRefused):
        site.parts.accounts.add("wang", Role.GUARD, by="test")


def test_the_file_is_private_whole_and_seen_by_the_running_console(site: ConsoleSite) -> None:
    from edge.console.accounts import Accounts

    site.add("chen", Role.HEAD)
    path = site.parts.state_dir / "console" / "accounts.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    Accounts(site.parts.state_dir, site.clock).add("li", Role.GUARD, by="os:root")
    assert site.parts.accounts.find("li") is not None
    document = json.loads(path.read_text())
    assert PASSWORD not in path.read_text()
    assert document["chen"]["password"].startswith("$argon2id$")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ConsoleFileUnusable, match="damaged"):
        site.parts.accounts.list()
    assert site.browser().get("/login").status_code == 200
    assert site.browser().log_in("chen").status_code == 503


def test_who_may_manage_whom() -> None:
    for role in Role:
        assert may_manage(Role.HEAD, role, has_head=True)
        assert not may_manage(Role.GUARD, role, has_head=False)
        assert not may_manage(Role.AUDITOR, role, has_head=False)
    assert not may_manage(Role.INTEGRATOR, Role.HEAD, has_head=True)
    assert not may_manage(Role.INTEGRATOR, Role.AUDITOR, has_head=False)

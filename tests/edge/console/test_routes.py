"""Who may reach what: every route, every role, and nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.console.app import all_rules
from edge.console.roles import OPTIONAL, PERMISSIONS, Permission, Role
from edge.console.rules import Kind, Rule, UndeclaredRule, table
from tests.support.console_site import ORIGIN, Browser, ConsoleSite

#: What answers before a login. A route more here is a decision, not an accident.
PUBLIC = {("GET", "/login"), ("POST", "/login"), ("GET", "/static/{name}")}
RULES = all_rules()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path_factory.mktemp("console")) as found:
        yield found


def path_of(rule: Rule) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", "x", rule.path)


def ask(browser: Browser, rule: Rule) -> Any:
    if rule.method == "GET":
        return browser.get(path_of(rule))
    return browser.client.request(
        rule.method, path_of(rule), data={"csrf": browser.csrf}, headers={"Origin": ORIGIN}
    )


def is_denied(answer: Any) -> bool:
    """Refused by the guard, before the endpoint: not what an endpoint makes of nonsense."""
    return answer.status_code in (401, 403) or (
        answer.status_code == 303 and answer.headers["location"].startswith("/login")
    )


def test_public_routes_are_those_that_are_known() -> None:
    found = {(rule.method, rule.path) for rule in RULES if rule.permission is Permission.PUBLIC}
    assert found == PUBLIC


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method} {rule.path}")
def test_nobody_gets_nothing(site: ConsoleSite, rule: Rule) -> None:
    """Without a login no route answers; nor with a made-up cookie or token."""
    if rule.permission is Permission.PUBLIC:
        return
    stranger = site.browser()
    assert is_denied(ask(stranger, rule))
    stranger.client.cookies.set("__Host-session", "x" * 43)
    assert is_denied(ask(stranger, rule))
    for token in ("xl1_00000000_x", "", "xl1", "__"):
        answer = stranger.get(path_of(rule), authorization=f"Bearer {token}")
        assert rule.method != "GET" or is_denied(answer)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method} {rule.path}")
def test_a_role_gets_what_the_table_says(site: ConsoleSite, rule: Rule, role: Role) -> None:
    """Refused with 403 exactly where its permissions end."""
    if rule.permission is Permission.PUBLIC or rule.path == "/logout":
        return
    if rule.permission in PERMISSIONS[role]:
        if rule.method == "GET":
            answer = ask(site.person(role), rule)
            assert answer.status_code not in (401, 500), answer.text
            assert "permission" not in _refusal(site, answer)
        return
    answer = ask(site.person(role), rule)
    assert answer.status_code == 403
    assert _refusal(site, answer) == "permission"


def _refusal(site: ConsoleSite, answer: Any) -> str:
    """Why it was refused, as its text tells."""
    from edge.console.phrases import catalogue

    if answer.status_code != 403:
        return ""
    for key, texts in catalogue().items():
        if key.startswith("refused.") and texts[0] in answer.text:
            return key.removeprefix("refused.")
    return ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method} {rule.path}")
def test_what_changes_something_comes_from_our_page(site: ConsoleSite, rule: Rule) -> None:
    """Without the session's CSRF token, or from elsewhere, nothing is carried out."""
    if rule.method == "GET":
        return
    role = next((one for one in Role if rule.permission in PERMISSIONS[one]), None)
    person = site.person(role) if role else _with_extra(site, rule.permission)
    for origin in ("https://evil.example", "null", "http://console.test", ""):
        headers = {"Origin": origin} if origin else {}
        answer = person.client.request(
            rule.method, path_of(rule), data={"csrf": person.csrf}, headers=headers
        )
        assert answer.status_code == 403
    if rule.permission is Permission.PUBLIC:
        return
    for csrf in ("", "x" * 43, site.person(Role.AUDITOR, name="other").csrf):
        answer = person.client.request(
            rule.method, path_of(rule), data={"csrf": csrf}, headers={"Origin": ORIGIN}
        )
        assert (answer.status_code, _refusal(site, answer)) == (403, "csrf")


def _with_extra(site: ConsoleSite, permission: Permission) -> Browser:
    if permission is Permission.PUBLIC:
        return site.browser()
    role = next(one for one in Role if permission in OPTIONAL[one])
    return site.person(role, permission, name=f"{role}-{permission}".replace("_", "-"))


def test_no_route_without_a_permission() -> None:
    """What declares none is not served: the table cannot be made."""

    async def endpoint(_visit: Any) -> Any:
        raise AssertionError

    with pytest.raises(TypeError):
        Rule(method="GET", path="/x", endpoint=endpoint)  # type: ignore[call-arg]
    for permission in (None, "own", True):
        rule = Rule(method="GET", path="/x", endpoint=endpoint, permission=permission)  # type: ignore[arg-type]
        with pytest.raises(UndeclaredRule):
            table([[rule]])
    rule = Rule(method="GET", path="/x", endpoint=endpoint, permission=Permission.OWN)
    with pytest.raises(UndeclaredRule):
        table([[rule], [rule]])


def test_every_permission_is_somebodys() -> None:
    given = {one for role in Role for one in PERMISSIONS[role] | OPTIONAL[role]}
    assert given == set(Permission) - {Permission.PUBLIC}
    for role in Role:
        assert Permission.LIVE not in PERMISSIONS[role]  # off for everyone


def test_each_page_in_the_navigation_may_be_opened(site: ConsoleSite) -> None:
    """A person sees those pages, and no others, that he may open."""
    for role in Role:
        person = site.person(role)
        links = re.findall(r'<li><a href="([^"]+)"', person.get("/password").text)
        may = {rule.path for rule in RULES if rule.nav and rule.permission in PERMISSIONS[role]}
        assert set(links) - {"/password"} == may


def test_kinds_tell_refusals_in_their_way(site: ConsoleSite) -> None:
    stranger = site.browser()
    for rule in RULES:
        if rule.permission is Permission.PUBLIC or rule.method != "GET":
            continue
        answer = ask(stranger, rule)
        if rule.kind is Kind.PAGE:
            assert answer.status_code == 303
        else:
            assert answer.status_code == 401
            assert answer.json()["error"]


def test_every_answer_is_hardened(site: ConsoleSite) -> None:
    """Also refusals, redirects and what does not exist."""
    head = site.person(Role.HEAD)
    answers = [
        site.browser().get("/"),
        site.browser().get("/login"),
        site.browser().get("/static/console.css"),
        site.browser().client.request("TRACE", "/login"),
        head.get("/nowhere"),
        head.get("/static/..%2fpages.py"),
        head.post("/password", _origin="https://evil.example"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert answers[4].status_code == 404
    assert answers[5].status_code == 404
    assert head.get("/").headers["cache-control"] == "no-store"


def test_templates_hold_nothing_from_elsewhere_and_nothing_inline() -> None:
    """The page works without the internet, and its policy holds."""
    root = Path(__file__).parents[3] / "edge" / "console"
    for path in [*(root / "templates").iterdir(), *(root / "static").iterdir()]:
        if path.suffix not in (".html", ".css", ".js", ".svg") or ".min." in path.name:
            continue
        text = path.read_text()
        bare = text.replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", bare), path.name
        if path.suffix == ".html":
            assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", text), path.name
            assert not re.search(r"<script(?![^>]*\ssrc=)", text), path.name

"""Tokens: shown once, kept as hashes, good for what they name, until they end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.console.roles import Role, Scope
from edge.console.tokens import TokenRefused
from tests.support.console_site import ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


def test_a_token_is_shown_once_and_kept_as_a_hash(site: ConsoleSite) -> None:
    head = site.person(Role.HEAD)
    answer = head.post("/tokens", name="区平台", scope=["status", "metrics"], days="30")
    (text,) = re.findall(r'class="secret">([^<]+)<', answer.text)
    secret = text.rpartition("_")[2] if text.count("_") == 2 else text.split("_", 2)[2]
    assert secret not in (site.parts.state_dir / "console" / "tokens.json").read_text()
    assert secret not in head.get("/tokens").text
    found = site.parts.tokens.find(text)
    assert found is not None
    assert found.scopes == {Scope.STATUS, Scope.METRICS}
    assert secret not in str([one.detail for one in site.records()])
    assert head.post(f"/tokens/{found.id}/revoke").status_code == 303
    assert site.parts.tokens.find(text) is None
    assert head.post(f"/tokens/{found.id}/revoke").status_code == 404


def test_a_token_ends(site: ConsoleSite) -> None:
    _, text = site.parts.tokens.add("区平台", frozenset({Scope.STATUS}), 2, "person:head")
    site.clock.sleep(2 * 86_400 - 1)
    assert site.parts.tokens.find(text) is not None
    site.clock.sleep(1)
    assert site.parts.tokens.find(text) is None


def test_a_changed_token_opens_nothing(site: ConsoleSite) -> None:
    _, text = site.parts.tokens.add("区平台", frozenset({Scope.STATUS}), 2, "person:head")
    for wrong in (text[:-1], text + "x", text.upper(), text.replace("xl1_", "xl2_"), "", "xl1__"):
        assert site.parts.tokens.find(wrong) is None


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [("", {Scope.STATUS}, 1), ("x" * 61, {Scope.STATUS}, 1), ("x", set(), 1)]
    + [("x", {Scope.STATUS}, days) for days in (0, -1, 731)],
)
def test_no_token_without_name_scope_and_end(
    site: ConsoleSite, name: str, scopes: set[Scope], days: int
) -> None:
    with pytest.raises(TokenRefused):
        site.parts.tokens.add(name, frozenset(scopes), days, "person:head")
    assert site.parts.tokens.list() == []


def test_a_token_opens_no_page(site: ConsoleSite) -> None:
    """Nor does it, with a person's cookie, open more than that person's."""
    _, text = site.parts.tokens.add("区平台", frozenset(Scope), 2, "person:head")
    head = site.person(Role.HEAD)
    for path in ("/", "/users", "/audit", "/holds", "/nowhere"):
        answer = head.get(path, authorization=f"Bearer {text}")
        assert answer.status_code == 403

"""Settings: every fault at once, applied whole or not at all, the old file kept, on record."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import load
from edge.console import settings_file
from edge.console.roles import Role
from edge.console.settings_text import CannotChange, quoted, with_table, with_value, without
from tests.support.console_site import Browser, ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


def form_of(browser: Browser) -> tuple[str, str]:
    """The text and its digest, as the page holds them."""
    page = browser.get("/settings").text
    text = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)[0]
    return html.unescape(text), re.findall(r'name="base" value="([^"]+)"', page)[0]


def test_a_good_text_replaces_the_file(site: ConsoleSite) -> None:
    integrator = site.person(Role.INTEGRATOR)
    path = site.parts.config_path
    old = path.read_text()
    text, base = form_of(integrator)
    assert text == old
    fresh = text.replace("摄像机 gate-exit", "北门").replace("\n", "\r\n")
    checked = integrator.post("/settings/check", text=fresh, base=base)
    assert "camera.gate-exit.name: 摄像机 gate-exit -&gt; 北门" in checked.text
    assert path.read_text() == old
    answer = integrator.post("/settings/apply", text=fresh, base=base)
    assert answer.headers["location"] == "/settings?done=settings_applied"
    assert load(path).camera[0].name == "北门"
    assert "\r" not in path.read_text()
    (kept,) = path.parent.glob("xueliang.toml.*.old")
    assert kept.read_text() == old
    told = [one for one in site.records() if one.action == "settings_changed"]
    assert [one.outcome for one in told] == ["begun", "done"]
    assert "北门" in str(told[0].detail["changed"])


def test_every_fault_is_shown_and_nothing_is_written(site: ConsoleSite) -> None:
    integrator = site.person(Role.INTEGRATOR)
    path = site.parts.config_path
    old = path.read_text()
    text, base = form_of(integrator)
    wrong = text.replace("[site]", "[site]\ncolour = 1") + "[retention]\nmin_days = 7\n"
    for where in ("/settings/check", "/settings/apply"):
        answer = integrator.post(where, text=wrong, base=base)
        assert answer.status_code == 422
        assert "colour" in answer.text
        assert "below the 90 days" in answer.text
        assert html.escape(wrong, quote=False).strip() in html.unescape(answer.text) or (
            wrong.strip() in html.unescape(answer.text)
        )
    assert path.read_text() == old
    assert not [one for one in site.records() if one.action == "settings_changed"]


def test_what_somebody_changed_meanwhile_stays(site: ConsoleSite) -> None:
    integrator = site.person(Role.INTEGRATOR)
    text, base = form_of(integrator)
    path = site.parts.config_path
    path.write_text(text + "\n# by hand\n")
    answer = integrator.post("/settings/apply", text=text, base=base)
    assert answer.status_code == 409
    assert path.read_text().endswith("# by hand\n")


def test_others_see_values_without_users_and_password_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    more = f'username = "recorder"\npassword_file = "{secret}"\n[retention]\nbasis = "第32条"'
    with ConsoleSite(tmp_path / "site", more=more) as site:
        for role in (Role.HEAD, Role.AUDITOR):
            page = site.person(role).get("/settings").text
            assert "第32条" in page
            assert "<textarea" not in page
            assert str(secret) not in page
            assert "recorder" not in page


def test_old_files_are_bounded(site: ConsoleSite) -> None:
    path = site.parts.config_path
    other = path.with_name("xueliang.toml.other")
    other.write_text("not ours")
    for number in range(settings_file.KEPT + 5):
        found = settings_file.read(path)
        settings_file.replace(path, f"{found.text}# {number}\n", found.digest, site.clock)
        site.clock.sleep(1)
    assert len(list(path.parent.glob("xueliang.toml.*.old"))) == settings_file.KEPT
    assert other.exists()


TEXT = """
# the site
[site]
name = "幼儿园"  # as on the sign

[[camera]]
id = "a"
name = 'A'   # the gate
audio = false
[camera.archive]
address = "北门"

[[camera]]
id = "b"
channels = [
  "x",
]
"""


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=40))
def test_a_value_is_changed_and_nothing_else(value: str) -> None:
    old = tomllib.loads(TEXT)
    for key in (("camera", 0, "name"), ("camera", 1, "name"), ("camera", 0, "archive", "block")):
        fresh = with_value(TEXT, key, quoted(value))
        expected = tomllib.loads(TEXT)
        table = expected["camera"][key[1]]
        if len(key) == 4:
            table = table["archive"]
        table[key[-1]] = value
        assert tomllib.loads(fresh) == expected
        assert old == tomllib.loads(TEXT)
        for comment in ("# the site", "# as on the sign"):
            assert comment in fresh
    assert "# the gate" in with_value(TEXT, ("camera", 0, "name"), quoted(value))


def test_what_is_not_understood_is_left_alone() -> None:
    with pytest.raises(CannotChange):
        with_value(TEXT, ("camera", 1, "channels"), "[]")
    with pytest.raises(CannotChange):
        with_value(TEXT, ("platform", 0, "name"), '"x"')
    with pytest.raises(CannotChange):
        without(TEXT, ("camera", 1, "channels"))
    assert without(TEXT, ("camera", 0, "nothing")) == TEXT
    assert "audio" not in without(TEXT, ("camera", 0, "audio"))


def test_a_table_is_added_behind() -> None:
    fresh = with_table(TEXT, "camera", {"id": quoted("c"), "audio": "true"})
    assert tomllib.loads(fresh)["camera"][2] == {"id": "c", "audio": True}
    assert fresh.startswith(TEXT.rstrip())

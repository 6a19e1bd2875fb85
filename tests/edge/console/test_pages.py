"""Every page in a real browser: both languages, desktop and phone, what axe says, holds by two."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from edge.console.accounts import Accounts
from edge.console.app import all_rules
from edge.console.roles import PERMISSIONS, Role
from retention.clock import SystemClock
from tests.support.accessibility import serious
from tests.support.box import Box, BoxCamera, wait_for
from tests.support.console_box import (
    DESKTOP,
    PASSWORD,
    PHONE,
    ConsoleBox,
    person,
    screenshot,
)
from tests.support.quiet_network import quiet_network

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ENGLISH = re.compile(r"[A-Za-z]{3,}( [A-Za-z]{2,}){3,}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
#: Pages of one thing, which the table of routes cannot name.
MORE = {
    Role.HEAD: ["/users/zhao", "/password", "/nowhere"],
    Role.INTEGRATOR: ["/setup/acceptance", "/setup/plan"],
}
#: Cells of tables that hold a word a letter a line.
SQUEEZED = """() => [...document.querySelectorAll('td, th')]
  .filter((cell) => cell.textContent.trim() && cell.clientWidth < 40 && cell.clientHeight > 200)
  .map((cell) => cell.textContent.trim().slice(0, 40))"""
NAMES = {Role.HEAD: "yuan", Role.INTEGRATOR: "ji", Role.AUDITOR: "shen", Role.GUARD: "bao"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A real edge, whose one camera does not answer."""
    camera = BoxCamera(id="gate-exit", source='rtsp = "rtsp://127.0.0.1:9/x"')
    box = Box(folder=tmp_path_factory.mktemp("pages"), cameras=[camera])
    box.write_config()
    plain = box.config.read_text().replace("测试托育中心", "Kita").replace("摄像机 ", "")
    box.config.write_text(plain)  # names are no language's words
    box.start(*quiet_network())
    wait_for("edge", lambda: (box.state / "edge.sock").exists() or None)
    yield box
    box.stop()


@pytest.fixture(scope="module")
def console(edge: Box) -> Iterator[ConsoleBox]:
    found = ConsoleBox(folder=edge.folder, volumes=[edge.volume], cameras={})
    found.port, found.metrics_port = edge.console_port, edge.port
    for role, name in NAMES.items():
        found.account(name, role)
    found.account("zhao", Role.HEAD)
    with found:
        yield found


def pages_of(role: Role) -> list[str]:
    """What the navigation shows this role and no role before it, and what stands behind it."""
    known = {
        permission
        for one in list(NAMES)[: list(NAMES).index(role)]
        for permission in PERMISSIONS[one]
    }
    fresh = PERMISSIONS[role] - known
    shown = [rule.path for rule in all_rules() if rule.nav and rule.permission in fresh]
    return [*shown, *MORE.get(role, [])]


def text_of(page: Page) -> str:
    """What stands in the current language: names, values and technical texts are left out."""
    return str(
        page.evaluate(
            """() => { const main = document.querySelector('main').cloneNode(true);
            for (const one of main.querySelectorAll(
              '[lang], textarea, pre, code, .mono, dl.facts dd, td, option, input'))
              one.remove();
            return main.textContent; }"""
        )
    )


@pytest.mark.parametrize("role", [Role.HEAD, Role.INTEGRATOR])
def test_every_page_can_be_read(browser: Browser, console: ConsoleBox, role: Role) -> None:
    """No fault of a script or of the policy, nothing asked elsewhere, nothing wider than the
    screen, no word of the other language, nothing serious from axe."""
    context, page = person(browser, console, NAMES[role])
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((console.url, "data:", "blob:"))
            else wrong.append(asked.url)
        ),
    )
    for path in pages_of(role):
        for language in ("zh", "en"):
            answer = page.goto(f"{path}?lang={language}")
            assert answer is not None
            assert answer.status == (404 if path == "/nowhere" else 200), path
            said = text_of(page)
            if language == "zh":
                assert CHINESE.search(page.title()), path
                assert not ENGLISH.search(said), (path, ENGLISH.search(said))
            else:
                assert not CHINESE.search(said), (path, CHINESE.search(said))
            for width, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                page.set_viewport_size(viewport)  # type: ignore[arg-type]
                is_wide = "document.documentElement.scrollWidth > window.innerWidth"
                assert not page.evaluate(is_wide), (path, width)
                assert page.evaluate(SQUEEZED) == [], (path, width)
                screenshot(page, f"{role}{path.replace('/', '-')}-{language}-{width}")
                if (language, width) in (("zh", "desktop"), ("en", "phone")):
                    assert serious(page) == [], (path, width)
    context.close()
    assert [one for one in wrong if "404" not in one] == []  # /nowhere


def test_the_first_login_changes_the_password(browser: Browser, console: ConsoleBox) -> None:
    first = Accounts(console.state, SystemClock()).add("xin", Role.GUARD, by="test")
    context = browser.new_context(ignore_https_errors=True, base_url=console.url)
    page = context.new_page()
    page.goto("/holds")
    page.fill("#name", "xin")
    page.fill("#password", first)
    assert serious(page) == []
    page.click("main button.primary")
    page.wait_for_url("**/password")
    page.fill("#old", first)
    page.fill("#fresh", PASSWORD)
    page.fill("#again", PASSWORD)
    assert serious(page) == []
    page.click("main button.primary")
    page.wait_for_url(console.url + "/")
    answer = page.goto("/holds")
    assert answer is not None
    assert answer.status == 403  # a guard has no holds
    context.close()


def test_a_hold_is_released_by_two(browser: Browser, console: ConsoleBox) -> None:
    """The one who asked cannot confirm; another head can."""
    context, page = person(browser, console, "yuan")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/holds")
    page.select_option("#camera", "all")
    for field, value in {
        "from": "2026-11-01T08:00:00",
        "to": "2026-11-01T09:00:00",
        "case": "2026-0042",
        "requester": "王警官",
        "reason": "案件调查",
    }.items():
        page.fill(f"#{field}", value)
    page.click("main section.card button.primary")
    page.wait_for_url("**/holds?done=hold_added*")
    assert "2026-0042" in page.inner_text("table")
    page.click("button.danger")
    page.wait_for_url("**/holds?done=hold_release_asked*")
    assert page.is_disabled("button.danger")
    context.close()
    context, page = person(browser, console, "zhao")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/holds")
    page.click("button.danger")
    page.wait_for_url("**/holds?done=hold_released*")
    assert "yuan, zhao" in page.inner_text("main")
    context.close()


def test_a_report_is_made_and_taken(browser: Browser, console: ConsoleBox) -> None:
    context, page = person(browser, console, "shen")
    page.goto("/reports")
    page.select_option("#days", "7")
    page.click("main button.primary")
    page.wait_for_url("**/reports?done=report_begun")

    def is_made() -> bool:
        page.goto("/reports")
        return page.locator("td a.button").count() == 1

    wait_for("a report", is_made, 60)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    with page.expect_download() as taken:
        page.click("td a.button")
    assert taken.value.suggested_filename.startswith("report-")
    context.close()


def test_a_camera_is_named_in_the_set_up(browser: Browser, console: ConsoleBox, edge: Box) -> None:
    """Through the settings file, and into edge."""
    context, page = person(browser, console, "ji")
    page.goto("/setup")
    page.fill("#name-gate-exit", "北门出口")
    page.fill("#gb-gate-exit", "36010200001320000009")
    page.click("form[action='/setup/cameras/gate-exit'] button.primary")
    page.wait_for_url("**/setup?done=settings_applied*")
    assert page.input_value("#name-gate-exit") == "北门出口"
    wait_for("edge to read it", lambda: "settings_in_force" in edge.log or None)
    page.fill("#gb-gate-exit", "36010200009990000009")
    page.click("form[action='/setup/cameras/gate-exit'] button.primary")
    page.wait_for_load_state()
    assert page.input_value("#gb-gate-exit") in ("36010200001320000009", "36010200009990000009")
    page.goto("/settings")
    page.fill("#text", page.input_value("#text").replace("[site]", "[site]\ncolour = 1"))
    page.click("button[formaction='/settings/apply']")
    page.wait_for_load_state()
    assert "colour" in page.inner_text(".notice.bad")
    context.close()

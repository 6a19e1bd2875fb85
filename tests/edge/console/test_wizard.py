"""A camera that answers is found, tried, added, recorded and looked at, all in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from config.load import load
from edge.console.roles import Role
from edge.demo.plan import CameraPlan, StreamPlan
from tests.support.accessibility import serious
from tests.support.box import Box, wait_for
from tests.support.cameras import demo_process
from tests.support.console_box import PHONE, ConsoleBox, person, screenshot
from tests.support.quiet_network import quiet_network

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not quiet_network(), reason="WS-Discovery's port, in a network of its own"),
    pytest.mark.timeout(240),
]
PASSWORD = "Kamera-7-Tor"
GB_ID = "36010200001320000001"


@pytest.fixture
def page(tmp_path: Path, browser: Browser) -> Iterator[tuple[Page, Box]]:
    """An integrator at a box without cameras, as it is after the installation; two cameras answer
    in its network."""
    plans = [
        CameraPlan(id=name, stream=StreamPlan(width=320, height=192), password=PASSWORD)
        for name in ("gate", "yard")
    ]
    box = Box(folder=tmp_path / "box")
    box.write_config()
    console = ConsoleBox(folder=box.folder, volumes=[box.volume], cameras={})
    console.port, console.metrics_port = box.console_port, box.port
    with demo_process(*plans, wrapper=quiet_network(), discoverable=True):
        box.start(*quiet_network())
        try:
            wait_for("edge", lambda: (box.state / "edge.sock").exists() or None)
            console.account("ji", Role.INTEGRATOR)
            with console:
                context, found = person(browser, console, "ji")
                yield found, box
                context.close()
        finally:
            box.stop()


def test_a_camera_is_found_and_records(page: tuple[Page, Box]) -> None:
    at, box = page
    at.goto("/setup")
    at.click("form[action^='/setup/discover'] button")
    found = at.locator("ul.found > li")
    expect(found).to_have_count(2)
    first = found.first
    address = first.locator("b.mono").inner_text()
    assert address.startswith("127.0.0.1:")
    first.locator("summary").click()
    screenshot(at, "wizard-found")
    assert serious(at) == []
    fill(at, "found-1", "falsch")
    at.locator("#found-1-pass").press("Enter")
    expect(at.locator(".notice.bad")).to_contain_text("密码错误")
    screenshot(at, "wizard-refused")
    assert load(box.config).camera == ()
    # what was typed is kept, but for the password
    assert at.input_value("#hand-onvif") == address
    assert at.input_value("#hand-name") == "人行出口"
    assert at.input_value("#hand-pass") == ""
    at.fill("#hand-pass", PASSWORD)
    at.locator("#hand-pass").press("Enter")
    at.wait_for_url("**/setup?done=settings_applied*")
    (added,) = load(box.config).camera
    assert (added.id, added.name, str(added.gb_id)) == ("gate", "人行出口", GB_ID)
    assert str(added.onvif) == address
    box.wait_recording("gate", timeout_s=60)
    at.reload()
    expect(at.locator("#cameras .mark.ok")).to_have_count(1)
    at.click("form[action='/setup/cameras/gate'] button[formaction*='still']")
    still = at.locator("img.still")
    assert still.evaluate("(picture) => picture.decode().then(() => picture.naturalWidth)") == 320
    screenshot(at, "wizard-still")
    at.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert at.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    screenshot(at, "wizard-phone")
    at.click("form[action^='/setup/discover'] button")
    expect(at.locator("ul.found > li")).to_have_count(2)
    expect(at.locator("ul.found .badge.ok")).to_have_count(1)  # it is known now
    at.goto("/setup")
    for field, value in {"cameras": "4", "mbps": "4", "days": "90"}.items():
        at.fill(f"#plan-{field}", value)
    at.click("#capacity button")
    assert "14.15 TiB" in at.inner_text("main")
    at.goto("/setup/acceptance")
    assert "人行出口" in at.inner_text("main")


def fill(at: Page, form: str, password: str) -> None:
    for field, value in {
        "id": "gate",
        "name": "人行出口",
        "gb": GB_ID,
        "user": "recorder",
        "pass": password,
    }.items():
        at.fill(f"#{form}-{field}", value)
    at.select_option(f"#{form}-role", "face")

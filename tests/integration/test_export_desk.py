"""An export through the browser: asked by one person, approved by another, made by the running
``edge``, downloaded, and verified offline by nothing but what came along."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from config.instants import format_instant
from edge.console.roles import Role
from edge.control import ControlUnavailable, ask
from retention.model import US_PER_S
from tests.support.box import XUELIANG, wait_for
from tests.support.console_box import ConsoleBox, chromium, person
from tests.support.demo_store import CAMERAS, DemoStore, make_demo_store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
S = US_PER_S
REASON = "派出所调取 赣公〔2026〕12号"


@dataclass(frozen=True, slots=True)
class Site:
    store: DemoStore
    console: ConsoleBox
    browser: Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    store = make_demo_store(tmp_path_factory.mktemp("exports") / "box")
    console = ConsoleBox(folder=store.site.folder, volumes=store.site.volumes, cameras=CAMERAS)
    console.write_config()
    for name in ("chen", "li"):
        console.account(name, Role.HEAD)
    console.account("zhang", Role.AUDITOR)
    with (console.folder / "edge.log").open("wb") as log:
        edge = subprocess.Popen(
            [*XUELIANG, "run", "edge", "-c", console.config], stdout=log, stderr=log
        )
    try:
        wait_for("edge", lambda: _answers(console))
        with console, chromium() as browser:
            yield Site(store, console, browser)
    finally:
        edge.terminate()
        edge.wait(20)


def _answers(console: ConsoleBox) -> bool:
    try:
        return ask(console.state, "ping") is not None
    except ControlUnavailable:
        return False


def test_a_second_person_approves_and_the_download_proves_itself(
    site: Site, tmp_path: Path
) -> None:
    begin_us = site.store.begin_us
    mine, chen = person(site.browser, site.console, "chen")
    chen.goto("/exports")
    chen.select_option("#camera", "gate")
    chen.fill("#from", format_instant(begin_us + 5 * S)[:19])
    chen.fill("#to", format_instant(begin_us + 35 * S)[:19])
    chen.fill("#reason", REASON)
    chen.click("main button.primary")
    chen.wait_for_selector("#export")
    address = chen.url
    assert chen.locator("text=等待另一位负责人审批").count() == 1
    assert chen.locator('form[action$="/approve"]').count() == 0

    reader, zhang = person(site.browser, site.console, "zhang")
    zhang.goto(address)
    assert zhang.locator("main form").count() == 0
    reader.close()

    other, li = person(site.browser, site.console, "li")
    li.on("dialog", lambda dialog: dialog.accept())
    li.goto(address)
    li.click('form[action$="/approve"] button')
    other.close()

    link = chen.locator("#download")  # the page follows by itself
    link.wait_for(timeout=60_000)
    with chen.expect_download() as waited:
        link.click()
    path = tmp_path / waited.value.suggested_filename
    waited.value.save_as(path)
    folder = _unpacked(path, tmp_path)
    fingerprint = _fact(chen, "密钥指纹")
    verified = _verify(folder, fingerprint)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["reason"] == REASON
    assert manifest["exported"]["by"] == "person:chen"
    assert "approved by person:li" in manifest["notes"]
    assert [gap["cause"] for gap in manifest["gaps"]] == ["network"]
    mine.close()

    media = next(folder.glob("*.mp4"))
    content = bytearray(media.read_bytes())
    content[len(content) // 2] ^= 1
    media.write_bytes(content)
    assert _verify(folder, fingerprint).returncode == 1  # one bit


def _unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
        return folder / archive.namelist()[0].partition("/")[0]


def _fact(page: Page, name: str) -> str:
    return page.locator(f'dt:has-text("{name}") + dd').inner_text()


def _verify(folder: Path, fingerprint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "verify.py", ".", "--key", fingerprint],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_copy_goes_with_its_days_and_the_footage_stays(site: Site) -> None:
    """Deleted by ``edge``, on record; only below the folder of exports."""
    before = sorted(path for path in site.store.site.volumes[0].rglob("*.mp4"))
    mine, chen = person(site.browser, site.console, "chen")
    chen.on("dialog", lambda dialog: dialog.accept())
    chen.goto("/exports")
    chen.click("tbody a")
    number = chen.get_attribute("#export", "data-id") or ""
    folder = site.console.state / "exports" / number
    assert (folder / "manifest.json").exists()
    chen.click('form[action$="/remove"] button')
    chen.locator("text=副本已删除").first.wait_for()
    mine.close()
    assert not folder.exists()
    assert sorted(path for path in site.store.site.volumes[0].rglob("*.mp4")) == before
    records = [
        json.loads(line)
        for part in (site.console.state / "audit").glob("*/*.jsonl")
        for line in part.read_text().splitlines()
    ]
    desk = [one["detail"]["step"] for one in records if one["action"] == "export_desk"]
    assert desk == ["asked", "approved", "taken", "removed"]
    made = [one for one in records if one["action"] == "export"]
    assert [one["outcome"] for one in made] == ["begun", "done"]
    assert made[0]["actor"] == "person:chen"
    assert made[0]["detail"]["approved_by"] == "person:li"

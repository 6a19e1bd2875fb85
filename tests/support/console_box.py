"""The console as it is run, over TLS, on a store that a test has made; and its browser."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from edge.console.accounts import Accounts
from edge.console.roles import Permission, Role
from retention.clock import SystemClock
from tests.support.box import free_port, wait_for
from tests.support.quiet_network import quiet_network

PASSWORD = "Sonnenschein-90-Tage"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
#: Where a person's eyes can look at what the browser drew: XUELIANG_SCREENSHOTS=FOLDER.
SCREENSHOTS = os.environ.get("XUELIANG_SCREENSHOTS", "")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass(slots=True, kw_only=True)
class ConsoleBox:
    """Settings, accounts and the process; the store is made by the test below ``folder``."""

    folder: Path
    volumes: Sequence[Path]
    cameras: dict[str, str]  # id: further TOML
    more: str = ""  # lines of [console] behind bind
    tables: str = ""  # further TOML
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    #: Where it runs: beside the browser; () for tests that connect themselves.
    wrapper: Sequence[str] = field(default_factory=quiet_network)

    @property
    def config(self) -> Path:
        return self.folder / "xueliang.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def write_config(self) -> None:
        volumes = ", ".join(f'"{path}"' for path in self.volumes)
        lines = [
            f'[site]\nname = "阳光托育中心"\n[storage]\nvolumes = [{volumes}]',
            f'state_dir = "{self.state}"',
            f'[console]\nbind = "127.0.0.1:{self.port}"\n{self.more}',
            f'[metrics]\nbind = "127.0.0.1:{self.metrics_port}"',
        ]
        for name, more in self.cameras.items():
            lines.append(f'[[camera]]\nid = "{name}"\nrtsp = "rtsp://127.0.0.1:9/{name}"\n{more}')
        self.config.write_text("\n".join([*lines, self.tables]) + "\n")

    def account(self, name: str, role: Role, *extras: Permission) -> None:
        accounts = Accounts(self.state, SystemClock())
        accounts.add(name, role, by="test")
        if extras:
            accounts.change(name, role=role, full_name="", extras=frozenset(extras))
        accounts.change_password(name, PASSWORD)

    def start(self) -> None:
        self.starts += 1
        with (self.folder / "console.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.wrapper,
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "edge.console",
                    "-c",
                    str(self.config),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the console", self._has_started)

    def _has_started(self) -> bool:
        assert self.process is not None
        told = (self.folder / "console.log").read_text()
        assert self.process.poll() is None, told
        return told.count("console_started") >= self.starts

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)

    def __enter__(self) -> ConsoleBox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, where the console is. Playwright speaks to it over a pipe."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        program = Path(folder) / "chromium"
        command = shlex.join([*quiet_network(), CHROMIUM])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def person(
    browser: Browser, box: ConsoleBox, name: str, viewport: Any = DESKTOP
) -> tuple[BrowserContext, Page]:
    """Somebody who has logged in, in a browser of his own."""
    context = browser.new_context(
        ignore_https_errors=True, viewport=viewport, accept_downloads=True, base_url=box.url
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto("/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("form.fields button.primary")
    page.wait_for_url(box.url + "/")
    return context, page


def screenshot(page: Page, name: str) -> None:
    """For a person's eyes, where a folder was named for it."""
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)

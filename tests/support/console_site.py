"""A console without a network: its application, and persons with browsers of their own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette's own advice about its test client
    from starlette.testclient import TestClient

from config.load import parse
from edge.console.accounts import Accounts
from edge.console.app import make_app
from edge.console.guard import SESSION_COOKIE
from edge.console.metrics import ConsoleMetrics
from edge.console.parts import Parts
from edge.console.roles import Permission, Role
from edge.console.tokens import Tokens
from retention.audit import AuditLog
from retention.audit_chain import Record
from retention.audit_read import records

ORIGIN = "https://console.test"
PASSWORD = "Sonnenschein-90-Tage"


@dataclass(slots=True)
class ConsoleClock:
    """Both times go on only when a test says so."""

    now_us: int = 1_790_000_000_000_000
    monotonic: int = 1_000_000

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.monotonic

    def sleep(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)
        self.monotonic += round(seconds * 1_000_000)


@dataclass(slots=True)
class ConsoleSite:
    """Everything stands below ``folder``; use it as a context."""

    folder: Path
    cameras: Sequence[str] = ("gate-exit", "parking-in")
    more: str = ""  # further TOML
    clock: ConsoleClock = field(default_factory=ConsoleClock)
    parts: Parts = field(init=False)
    app: Any = field(init=False)

    def __enter__(self) -> ConsoleSite:
        volume = self.folder / "volume"
        volume.mkdir(parents=True)
        config = self.folder / "xueliang.toml"
        lines = [
            '[site]\nname = "测试托育中心"\n[storage]',
            f'volumes = ["{volume}"]\nstate_dir = "{self.folder / "state"}"',
        ]
        for name in self.cameras:
            lines.append(f'[[camera]]\nid = "{name}"\nname = "摄像机 {name}"')
            lines.append(f'rtsp = "rtsp://192.0.2.10/{name}"')
        config.write_text("\n".join([*lines, self.more]) + "\n")
        settings = parse(config.read_text(), file=str(config))
        state_dir = settings.storage.state_dir
        accounts = Accounts(state_dir, self.clock)  # makes the folder
        self.parts = Parts(
            settings=settings,
            config_path=config,
            clock=self.clock,
            audit=AuditLog(state_dir, "console", self.clock),
            accounts=accounts,
            tokens=Tokens(state_dir, self.clock),
            metrics=ConsoleMetrics(lambda: len(self.parts.sessions)),
        )
        self.parts.audit.opened().result(10)
        self.app = make_app(self.parts)
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.footage.close()
        self.parts.audit.close()

    def add(self, name: str, role: Role, *extras: Permission) -> None:
        """An account whose person has chosen :data:`PASSWORD`."""
        self.parts.accounts.add(name, role, by="test")
        if extras:
            self.parts.accounts.change(name, role=role, full_name="", extras=frozenset(extras))
        self.parts.accounts.change_password(name, PASSWORD)

    def browser(self, address: str = "192.0.2.77") -> Browser:
        return Browser(self, address)

    def person(self, role: Role, *extras: Permission, name: str = "") -> Browser:
        """Somebody of this role, logged in without the login page."""
        name = name or role.value
        if self.parts.accounts.find(name) is None:
            self.add(name, role, *extras)
        browser = self.browser()
        account = self.parts.accounts.find(name)
        assert account is not None
        cookie, session = self.parts.sessions.begin(
            name, account.generation, self.clock.monotonic_us()
        )
        browser.client.cookies.set(SESSION_COOKIE, cookie)
        browser.csrf = session.csrf
        return browser

    def records(self) -> list[Record]:
        return list(records(self.folder / "state", "console"))


class Browser:
    """Sends what a browser sends: cookies, Origin, the page's CSRF token."""

    def __init__(self, site: ConsoleSite, address: str) -> None:
        self.client = TestClient(
            site.app, base_url=ORIGIN, follow_redirects=False, client=(address, 40000)
        )
        self.csrf = ""

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def post(self, path: str, _origin: str = ORIGIN, **fields: Any) -> Any:
        fields.setdefault("csrf", self.csrf)
        return self.client.post(path, data=fields, headers={"Origin": _origin})

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        answer = self.post("/login", name=name, password=password)
        if answer.status_code == 303:
            page = self.get("/password").text
            self.csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[-1]
        return answer

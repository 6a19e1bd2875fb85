"""The service itself: TLS and nothing else, settings read anew, commands of another process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from edge.console.roles import Role
from tests.support.box import XUELIANG, wait_for
from tests.support.console_box import PASSWORD, ConsoleBox

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleBox]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "volume").mkdir()
    found = ConsoleBox(folder=folder, volumes=[folder / "volume"], cameras={}, wrapper=())
    found.write_config()
    found.account("chen", Role.HEAD)
    with found:
        yield found


def context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.maximum_version = version
    return found


class Browser:
    """A browser's requests over a real connection."""

    def __init__(self, box: ConsoleBox) -> None:
        self.origin = box.url
        self._port = box.port
        self.cookie = ""

    def ask(self, method: str, path: str, **fields: str) -> tuple[int, dict[str, str], str]:
        headers = {"Origin": self.origin, "Cookie": self.cookie}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPSConnection("127.0.0.1", self._port, context=context(), timeout=20)
        with closing(connection):
            connection.request(method, path, urlencode(fields) if fields else None, headers)
            answer = connection.getresponse()
            body = answer.read().decode()
        if cookie := answer.headers.get("set-cookie"):
            self.cookie = cookie.partition(";")[0]
        return answer.status, dict(answer.headers.items()), body


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_only_tls_of_today_is_spoken(box: ConsoleBox) -> None:
    with socket.create_connection(("127.0.0.1", box.port), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain.recv(1000)
    with socket.create_connection(("127.0.0.1", box.port), 10) as old:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context(ssl.TLSVersion.TLSv1_1).wrap_socket(old)


def test_a_login_over_the_wire(box: ConsoleBox) -> None:
    browser = Browser(box)
    status, headers, _ = browser.ask("POST", "/login", name="chen", password=PASSWORD)
    assert (status, headers["location"]) == (303, "/")
    status, headers, page = browser.ask("GET", "/")
    assert status == 200
    assert "server" not in {name.lower() for name in headers}
    assert "录像服务没有应答" in page  # edge does not run: nothing counts as recording


def test_a_name_in_the_settings_is_read_anew(box: ConsoleBox) -> None:
    assert box.process is not None
    box.config.write_text(box.config.read_text().replace("阳光托育中心", "月光托育中心"))
    os.kill(box.process.pid, signal.SIGHUP)
    wait_for("the name", lambda: "月光" in Browser(box).ask("GET", "/login")[2] or None)
    good = box.config.read_text()
    box.config.write_text("nonsense")
    os.kill(box.process.pid, signal.SIGHUP)
    wait_for("the refusal", lambda: figures(box).get('nvr_config_reload_total{result="failed"}'))
    assert "月光" in Browser(box).ask("GET", "/login")[2]
    box.config.write_text(good)


def figures(box: ConsoleBox) -> dict[str, float]:
    """Its own loopback metrics, two ports behind edge's."""
    with urlopen(f"http://127.0.0.1:{box.metrics_port + 2}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def user(box: ConsoleBox, *arguments: str) -> Any:
    result = subprocess.run(
        [*XUELIANG, "user", *arguments, "--json", "-c", str(box.config)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_accounts_of_the_command_line_hold_at_once(box: ConsoleBox) -> None:
    first = user(box, "add", "li", "--role", "guard", "--full-name", "李")["first_password"]
    browser = Browser(box)
    assert browser.ask("POST", "/login", name="li", password=first)[0] == 303
    assert browser.ask("GET", "/")[1]["location"] == "/password"
    again = user(box, "passwd", "li")["first_password"]
    assert again != first
    assert browser.ask("GET", "/password")[0] == 303  # the session is over
    user(box, "disable", "li")
    assert Browser(box).ask("POST", "/login", name="li", password=again)[0] == 401
    user(box, "disable", "li", "--undo")
    assert Browser(box).ask("POST", "/login", name="li", password=again)[0] == 303
    names = {one["name"]: one["disabled"] for one in user(box, "list")}
    assert names == {"chen": False, "li": False}
    lines = "".join(path.read_text() for path in (box.state / "audit").rglob("*.jsonl"))
    assert lines.count("account_changed") >= 8
    assert first not in lines
    assert again not in lines


def test_no_password_or_cookie_is_in_the_log(box: ConsoleBox) -> None:
    browser = Browser(box)
    browser.ask("POST", "/login", name="chen", password=PASSWORD)
    browser.ask("POST", "/login", name="chen", password="Falsch-falsch-1")
    text = (box.folder / "console.log").read_text()
    for secret in (PASSWORD, "Falsch-falsch-1", browser.cookie.partition("=")[2]):
        assert secret not in text


def _answers(box: ConsoleBox) -> bool:
    try:
        return Browser(box).ask("GET", "/login")[0] == 200
    except OSError:
        return False


def test_the_demo_tells_address_and_first_password(tmp_path: Path) -> None:
    """And the console of the demo takes it."""
    demo = subprocess.Popen(
        [*XUELIANG, "demo", "--cameras", "1", "--dir", str(tmp_path / "demo"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert demo.stdout is not None
        told = json.loads(demo.stdout.readline())
        port = int(re.findall(r":(\d+)/", told["console"])[0])
        box = ConsoleBox(folder=tmp_path, volumes=[], cameras={}, port=port)
        wait_for("the console", lambda: _answers(box))
        browser = Browser(box)
        fields = {"name": told["account"], "password": told["first_password"]}
        assert browser.ask("POST", "/login", **fields)[0] == 303
        assert browser.ask("GET", "/")[1]["location"] == "/password"
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=40)

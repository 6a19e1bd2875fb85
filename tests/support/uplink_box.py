"""A box whose ``uplink`` service runs as a real process, with platforms of the test's choosing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

from tests.peers.platform import DEVICE_ID, DOMAIN, PASSWORD, SERVER_ID
from tests.support.box import free_port, wait_for


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPlatform:
    """One ``[[platform]]``."""

    server: str
    name: str = "police"
    port: int = field(default_factory=free_port)
    transport: str = "udp"
    edition: str = "2022"
    place: str = 'bind = "127.0.0.1"'
    server_id: str = SERVER_ID
    domain: str = DOMAIN
    device_id: str = DEVICE_ID
    password: str = PASSWORD
    register_seconds: int = 3600
    keepalive_seconds: int = 60
    retry_seconds: int = 60
    extra: str = ""

    def toml(self, folder: Path) -> str:
        secret = folder / f"{self.name}.password"
        secret.write_text(self.password)
        secret.chmod(0o600)
        return f"""[[platform]]
name = "{self.name}"
authorised_by = "test"
server = "{self.server}"
server_id = "{self.server_id}"
domain = "{self.domain}"
device_id = "{self.device_id}"
password_file = "{secret}"
transport = "{self.transport}"
{self.place}
port = {self.port}
edition = "{self.edition}"
register_seconds = {self.register_seconds}
keepalive_seconds = {self.keepalive_seconds}
retry_seconds = {self.retry_seconds}
{self.extra}
"""


@dataclass(slots=True, kw_only=True)
class UplinkBox:
    folder: Path
    platforms: Sequence[BoxPlatform] = ()
    wrapper: Sequence[str] = ()
    python: Sequence[str] = (sys.executable,)
    more: str = ""  # further TOML: cameras
    storage: str = ""  # further lines of [storage]
    volumes: Sequence[Path] = ()  # none: one below ``folder``
    metrics_port: int = field(default_factory=free_port)
    console_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def write_config(self) -> None:
        volumes = [str(path) for path in self.volumes or [self.folder / "volume"]]
        for path in volumes:
            Path(path).mkdir(parents=True, exist_ok=True)
        lines = [
            '[site]\nname = "测试托育中心"\n[storage]',
            f'volumes = {json.dumps(volumes)}\nstate_dir = "{self.folder / "state"}"',
            self.storage,
            f'[metrics]\nbind = "127.0.0.1:{self.metrics_port}"',
            f'[console]\nbind = "127.0.0.1:{self.console_port}"',
            *(platform.toml(self.folder) for platform in self.platforms),
            self.more,
        ]
        (self.folder / "xueliang.toml").write_text("\n".join(lines) + "\n")

    def start(self) -> UplinkBox:
        self.write_config()
        with (self.folder / "uplink.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *self.python, "-W", "error", "-m", "uplink", "-c", self.config],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    @property
    def config(self) -> str:
        return str(self.folder / "xueliang.toml")

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def stop(self, timeout_s: float = 10.0) -> int:
        """A clean stop; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> UplinkBox:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        return (self.folder / "uplink.log").read_text()

    def _get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.metrics_port + 1}{path}"
        if self.wrapper:
            fetch = (
                "import sys,urllib.request as u,urllib.error as e\n"
                "try: r=u.urlopen(sys.argv[1],timeout=5)\nexcept e.HTTPError as x: r=x\n"
                "print(r.read().decode())"
            )
            told = subprocess.run(
                [*self.wrapper, sys.executable, "-c", fetch, url], capture_output=True, text=True
            )
            if told.returncode:
                raise ConnectionError(told.stderr[-300:])
            return told.stdout
        try:
            with urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            with error:
                return error.read().decode()

    def health(self) -> Any:
        return json.loads(self._get("/healthz"))

    def platform(self, name: str = "police") -> Any:
        status = json.loads(self._get("/status"))
        return next(one for one in status["platforms"] if one["platform"] == name)

    def metrics(self) -> dict[str, float]:
        lines = self._get("/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def wait_registered(self, name: str = "police", timeout_s: float = 20.0) -> None:
        def probe() -> bool:
            try:
                return bool(self.platform(name)["registered"])
            except (OSError, StopIteration):
                return False

        try:
            wait_for(f"{name} registered", probe, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-3000:]}") from None

    def service(self) -> psutil.Process:
        """The service's own process, below ``wrapper``."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        if not self.wrapper:
            return parent
        return (parent.children(recursive=True) or [parent])[-1]

    def audit(self) -> list[dict[str, Any]]:
        """Every record of the uplink's audit log."""
        parts = sorted((self.folder / "state" / "audit" / "uplink").glob("*.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]

    def troubles(self) -> list[str]:
        return re.findall(r"platform_trouble .*?reason=(\w+)", self.log)

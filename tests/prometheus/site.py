"""A whole site under a real Prometheus and Alertmanager, all on loopback and free ports."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import yaml  # type: ignore[import-untyped]

from edge.console.certificate import CERTIFICATE_NAME
from edge.console.roles import Scope
from edge.console.tokens import Tokens
from edge.demo.plan import CameraPlan, StreamPlan
from edge.diagnose.defects import Defect, Outcome
from edge.diagnose.gating import Gate
from edge.diagnose.report import CameraReport, Report
from edge.diagnose.report_file import write_report
from retention.clock import SystemClock
from tests.peers.platform import PlatformPeer
from tests.support.box import XUELIANG, free_port, wait_for
from tests.support.cameras import SiteProcess, demo_process
from tests.support.stepped import ClockFile
from tests.support.uplink_box import BoxPlatform, UplinkBox
from tests.support.witness import WitnessServer, witness_server

CONFIG = Path(__file__).parents[2] / "config" / "prometheus"
CAMERAS = ("gate", "hall", "yard")
SITE = "测试托育中心"


@dataclass(slots=True, kw_only=True)
class Running:
    """A recorder with cameras and a platform, everything a process of its own."""

    box: UplinkBox
    demo: SiteProcess
    peer: PlatformPeer
    hook: WitnessServer  # of edge's own alarms
    clock: ClockFile  # what edge, uplink and console take for the host's

    def port_of(self, service: str) -> int:
        return self.box.metrics_port + ("edge", "uplink", "console").index(service)

    def diagnose(self, camera: str, *, is_covered: bool) -> None:
        """Play the diagnosis: what it would write."""
        gate = Gate(recent=(is_covered,) * 5, is_standing=is_covered)
        one = CameraReport(checks=dict.fromkeys(Outcome, 1), gates={Defect.COVERED: gate})
        report = Report(at_us=time.time_ns() // 1000, cameras={camera: one})
        write_report(self.box.folder / "state", report)

    def posts(self, code: str) -> list[str]:
        """What edge's webhook heard of alarms of a kind."""
        told = [json.loads(body) for body in list(self.hook.bodies)]
        return [one["event"] for one in told if one["code"] == code]

    def scrape(self, service: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.port_of(service)}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text


@contextmanager
def running_site(folder: Path) -> Iterator[Running]:
    """``xueliang run``: edge, uplink and console."""
    plans = [
        CameraPlan(id=name, loop_seconds=4, stream=StreamPlan(width=320, height=192))
        for name in CAMERAS
    ]
    with (
        PlatformPeer(has_clock=True) as peer,
        demo_process(*plans) as demo,
        witness_server() as hook,
    ):
        platform = BoxPlatform(
            server=f"127.0.0.1:{peer.port}", keepalive_seconds=1, retry_seconds=1
        )
        cameras = [
            f'[[camera]]\nid = "{name}"\nname = "{name}"\nrtsp = "{demo[name].rtsp}"\n'
            f'gb_id = "3402000000132000000{number}"\n'
            for number, name in enumerate(CAMERAS, start=1)
        ]
        box = UplinkBox(
            folder=folder,
            platforms=[platform],
            more="".join(cameras)
            + '[retention]\non_full = "stop"\n'
            + f'[alarms]\nwebhook_url = "http://127.0.0.1:{hook.server_port}/"\n',
            storage='reserve_bytes = "1MiB"\nsegment_seconds = 2\ndurability_seconds = 1',
        )
        box.write_config()
        clock = ClockFile(folder)
        clock.boot(1)
        clock.set(0, is_synchronized=True)
        with (folder / "box.log").open("wb") as log:
            command = [*clock.wrapper(), *XUELIANG, "run", "-c", box.config]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        one = Running(box=box, demo=demo, peer=peer, hook=hook, clock=clock)
        try:
            wait_for("recording", lambda: _is_recording(one), 60)
            box.wait_registered()
            yield one
        except AssertionError as error:
            tail = (folder / "box.log").read_text()[-3000:]
            raise AssertionError(f"{error}\n{tail}") from None
        finally:
            process.terminate()
            process.wait(30)


def _is_recording(one: Running) -> bool:
    try:
        text = one.scrape("edge")
    except OSError:
        return False
    return all(
        f'nvr_recording_active{{camera="{name}",stream="main"}} 1.0' in text for name in CAMERAS
    )


@dataclass(slots=True)
class Watch:
    """Prometheus and Alertmanager at work, and what the latter told its webhook."""

    port: int
    told: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, path: str, **query: str) -> Any:
        """Prometheus's HTTP API."""
        text = "&".join(f"{key}={quote(value)}" for key, value in query.items())
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{text}"
        with urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def alerts(self, status: str) -> set[tuple[str, str]]:
        """What the webhook heard: name of the alert, and the camera, platform or source."""
        return {
            (one["labels"]["alertname"], _subject(one["labels"]))
            for message in list(self.told)
            for one in message["alerts"]
            if one["status"] == status
        }


def _subject(labels: dict[str, str]) -> str:
    return labels.get("camera") or labels.get("platform") or labels.get("source") or ""


@contextmanager
def watched(one: Running, folder: Path) -> Iterator[Watch]:
    """The rules of ``config/prometheus`` with every ``for`` cut to a second."""
    watch = Watch(free_port())
    hook = _Hook(watch)
    threading.Thread(target=hook.serve_forever, args=(0.05,), daemon=True).start()
    alertmanager_port = free_port()
    _write_configs(one, folder, hook.server_address[1], alertmanager_port)
    with (folder / "watch.log").open("wb") as log:
        commands = [
            [
                "prometheus-alertmanager",
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{alertmanager_port}",
                "--cluster.listen-address=",
            ],
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address=127.0.0.1:{watch.port}",
                "--rules.alert.resend-delay=1s",
            ],
        ]
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        yield watch
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        hook.shutdown()
        hook.server_close()


def _write_configs(one: Running, folder: Path, hook_port: int, alertmanager_port: int) -> None:
    """The samples of ``config/prometheus``, scraping through the console's TLS with a token as a
    district does; only addresses, files and times are the test's."""
    rules = yaml.safe_load((CONFIG / "alerts.yml").read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["for"] = "1s"
    (folder / "alerts.yml").write_text(json.dumps(rules))
    told = yaml.safe_load((CONFIG / "alertmanager.yml").read_text())
    told["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    told["receivers"][0]["webhook_configs"][0]["url"] = f"http://127.0.0.1:{hook_port}/"
    (folder / "alertmanager.yml").write_text(json.dumps(told))
    state = one.box.folder / "state"
    _, token = Tokens(state, SystemClock()).add("区级监测", frozenset({Scope.METRICS}), 1, "test")
    (folder / "token").write_text(token)
    console = {"targets": [f"127.0.0.1:{one.box.console_port}"], "labels": {"site": SITE}}
    silent = {"targets": [f"127.0.0.1:{free_port()}"], "labels": {"site": "无应答的机构"}}
    (folder / "sites.json").write_text(json.dumps([console, silent]))
    document = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    document["global"] = dict.fromkeys(document["global"], "1s")
    document["rule_files"] = ["alerts.yml", str(CONFIG / "recording.yml")]
    target = {"targets": [f"127.0.0.1:{alertmanager_port}"]}
    document["alerting"]["alertmanagers"] = [{"static_configs": [target]}]
    for scrape in document["scrape_configs"]:
        scrape["authorization"]["credentials_file"] = str(folder / "token")
        scrape["tls_config"]["ca_file"] = str(state / "console" / CERTIFICATE_NAME)
        scrape["file_sd_configs"] = [{"files": [str(folder / "sites.json")]}]
    (folder / "prometheus.yml").write_text(json.dumps(document))


class _Hook(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, watch: Watch) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                watch.told.append(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Handler)

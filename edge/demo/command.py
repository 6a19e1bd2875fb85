"""``xueliang demo``: simulated cameras, their settings, and the services that record. Shell."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from config.errors import XueliangError
from config.load import load
from config.rules import METRICS_PORTS
from config.schema import Settings
from edge.demo.names import name_of, role_of
from edge.user_command import FIRST_ACCOUNT, first_account

#: A demo fills no disk: it stops recording with this much left.
RESERVE = "256MiB"
METRICS_PORT = 9580
CONSOLE_PORT = 8443


class DemoFailed(XueliangError):
    """A process of the demo ended by itself."""

    code = "demo_failed"


def run_demo(cameras: int, directory: Path, *, as_json: bool) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        DemoFailed: a process of it ended by itself.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    simulated = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "edge.demo",
            "--cameras",
            str(cameras),
            "--control",
            "--discoverable",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is ours: the recorder leaves before its cameras
    )
    edge: subprocess.Popen[bytes] | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        assert simulated.stdout is not None
        introduced = simulated.stdout.readline()
        if not introduced:
            raise DemoFailed("the simulated cameras did not start")
        config = _write_config(directory, json.loads(introduced)["cameras"])
        settings = load(config)
        password = first_account(settings)
        edge = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "run", "-c", str(config)], start_new_session=True
        )
        _say_where(settings, config, cameras, password, as_json=as_json)
        edge.wait()
        raise DemoFailed("edge ended by itself", hint="its last lines say why")
    except KeyboardInterrupt:
        click.echo("停止 stopping", err=True)
    finally:
        if edge is not None and edge.poll() is None:
            edge.terminate()
            edge.wait()
        simulated.communicate()  # the end of its input ends it


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say_where(
    settings: Settings, config: Path, cameras: int, password: str | None, *, as_json: bool
) -> None:
    """``password``: of the console's first account; None where it was told at an earlier start."""
    program = shutil.which("xueliang", path=str(Path(sys.executable).parent)) or "xueliang"
    bind, console = settings.metrics.bind, f"https://{settings.console.bind}/"
    if as_json:
        told = {
            "config": str(config),
            "metrics": f"http://{bind}/metrics",
            "console": console,
            "account": FIRST_ACCOUNT,
            "first_password": password,
        }
        click.echo(json.dumps(told))
        return
    again = f"已给出; 重置 told before; new one: {program} user passwd {FIRST_ACCOUNT} -c {config}"
    click.echo(
        f"""
{cameras} 路模拟摄像机正在录像,按 Ctrl-C 停止。
{cameras} simulated cameras are being recorded; Ctrl-C stops.

  控制台 console  {console}
  账号 account    {FIRST_ACCOUNT}
  密码 password   {password or again}
  状态 status     {program} status -c {config}
  时间轴 timeline {program} timeline gate-exit --from {{开始}} --to {{结束}} -c {config}
  录像 footage    {config.parent / "volume"}
  指标 metrics    http://{bind}/metrics
  健康 health     http://{bind}/healthz
"""
    )


def _write_config(directory: Path, introduced: list[dict[str, Any]]) -> Path:
    """Settings of a site with these cameras; passwords go to files of their own."""
    folder = directory / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    volume = directory / "volume"
    volume.mkdir(exist_ok=True)
    lines = [
        '[site]\nname = "演示托育中心"\n',
        "[storage]",
        f"volumes = [{json.dumps(str(volume))}]",
        f"state_dir = {json.dumps(str(directory / 'state'))}",
        f'reserve_bytes = "{RESERVE}"\n',
        f'[metrics]\nbind = "127.0.0.1:{_free_port(METRICS_PORT, METRICS_PORTS)}"\n',
        f'[console]\nbind = "127.0.0.1:{_free_port(CONSOLE_PORT, 1)}"\n',
    ]
    for number, camera in enumerate(introduced, 1):
        name, role = name_of(camera["id"]), role_of(camera["id"])
        password_file = folder / camera["id"]
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(camera["password"])
        lines += [
            "[[camera]]",
            f'id = "{camera["id"]}"',
            f'name = "{name}"',
            f'role = "{role}"',
            f'gb_id = "36010200001320{number:06}"',
            f'onvif = "{camera["onvif"]}"',
            f'username = "{camera["username"]}"',
            f"password_file = {json.dumps(str(password_file))}\n",
        ]
    config = directory / "xueliang.toml"
    fresh = directory / f".xueliang.toml.{secrets.token_hex(4)}"
    fresh.write_text("\n".join(lines))
    fresh.replace(config)
    return config


def _free_port(wanted: int, count: int) -> int:
    """``wanted`` if it and the ports after it are free, ``count`` in all, else the next such."""
    for port in range(wanted, wanted + 100 * count, count):
        if all(_is_free(port + place) for place in range(count)):
            return port
    raise DemoFailed("no port is free on loopback")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""The terminal wizard: asks what a site file says. Shell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from edge.setup.site import DEFAULT_STORAGE

ROLES = ("face", "vehicle", "general")


def ask_site() -> dict[str, Any]:
    """Ask until there is a site; what the answers are worth is judged by the settings' loader."""
    click.echo(
        "雪亮边缘录像机 设置 set-up. Ctrl-C 放弃 gives up;"
        " 到最后才写入 nothing is written before the end."
    )
    site: dict[str, Any] = {"site": {"name": click.prompt("机构名称 name of the site")}}
    volumes = click.prompt(
        "录像盘(空文件夹或挂载点,逗号分隔) volumes, folders or mount points",
        default=",".join(DEFAULT_STORAGE["volumes"]),
    )
    site["storage"] = {
        "volumes": [str(Path(one.strip())) for one in re.split("[,,]", volumes) if one.strip()],
        "state_dir": DEFAULT_STORAGE["state_dir"],
    }
    cameras: list[dict[str, Any]] = []
    while click.confirm("添加摄像机 add a camera?", default=not cameras):
        cameras.append(_camera(len(cameras) + 1))
    site["camera"] = cameras
    if click.confirm("接入公安平台 connect a police platform?", default=False):
        site["platform"] = [_platform()]
    bind = click.prompt("控制台地址 address of the console", default="127.0.0.1:8443")
    site["console"] = {"bind": bind}
    return site


def _camera(number: int) -> dict[str, Any]:
    camera: dict[str, Any] = {
        "id": click.prompt("  编号 id, as in gate-exit", default=f"camera-{number}"),
        "name": click.prompt("  名称 name, as on the picture"),
        "role": click.prompt("  用途 role", type=click.Choice(ROLES), default="general"),
    }
    address = click.prompt("  ONVIF 地址 address:port, or rtsp://…")
    camera["rtsp" if "://" in address else "onvif"] = address
    code = click.prompt("  国标编码 20 digits (可空 may be empty)", default="", show_default=False)
    if code:
        camera["gb_id"] = code
    camera["username"] = click.prompt("  用户名 user", default="", show_default=False)
    if camera["username"]:
        camera["password"] = click.prompt("  密码 password", hide_input=True)
    return camera


def _platform() -> dict[str, Any]:
    return {
        "name": click.prompt("  平台名称 name"),
        "authorised_by": click.prompt("  依据文号 authorised by (document number)"),
        "server": click.prompt("  平台地址 address:port"),
        "server_id": click.prompt("  平台编码 its 20 digits"),
        "domain": click.prompt("  域 domain"),
        "device_id": click.prompt("  本机编码 our 20 digits"),
        "password": click.prompt("  密码 password", hide_input=True),
        "interface": click.prompt("  预留联网接口 reserved interface, as in eth1"),
    }

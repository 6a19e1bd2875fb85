"""The terminal wizard: asks what a site file says, and judges each answer at once. Shell.

It speaks on stderr, so that ``--json`` has stdout for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge.setup.site import DEFAULT_STORAGE
from edge.terminal_text import wrapped

ROLES = ("face", "vehicle", "general")
#: What is wrong with the site so far: a sentence and its mend each.
Judge = Callable[[Mapping[str, Any]], Sequence[tuple[str, str]]]
#: Answers by name; those given before stand as defaults where one was refused.
Answers = dict[str, Any]


def ask_site(judge: Judge) -> dict[str, Any]:
    """Ask until there is a site that ``judge`` finds no fault with.

    Raises:
        click.Abort: given up; nothing was written.
    """
    _say("雪亮边缘录像机 设置 Set-up of this recorder")
    _say("回车取方括号里的值 Enter takes what stands in brackets; Ctrl-C 放弃 gives up")
    _say("到最后确认才写入 nothing is written before you say so at the end")
    site: dict[str, Any] = {}

    def take_place(given: Answers) -> None:
        site["site"] = {"name": given["name"]}
        volumes = [str(Path(one.strip())) for one in re.split("[,，]", given["volumes"])]
        site["storage"] = {"volumes": volumes, "state_dir": given["state_dir"]}

    _part("机构与录像盘 site and disks", _place, take_place, site, judge)
    while _confirm("添加摄像机 add a camera?", default="camera" not in site):
        _add_camera(site, judge)

    def take_platform(given: Answers) -> None:
        site["platform"] = [given]

    if _confirm("接入公安平台 connect a police platform?", default=False):
        _part("公安平台 police platform", _platform, take_platform, site, judge)

    def take_console(given: Answers) -> None:
        site["console"] = given

    _part("控制台 console", _console, take_console, site, judge)
    _say("", "将写入 To be written:")
    for line in _summary(site):
        _say(f"  {line}")
    if not _confirm("写入 write it?", default=True):
        raise click.Abort
    return site


def _add_camera(site: dict[str, Any], judge: Judge) -> None:
    others = site.get("camera", [])
    number = len(others) + 1

    def take(given: Answers) -> None:
        site["camera"] = [*others, given]

    _part(f"摄像机 camera {number}", lambda given: _camera(number, given), take, site, judge)


def _part(
    title: str,
    ask: Callable[[Answers], Answers],
    take: Callable[[Answers], None],
    site: Mapping[str, Any],
    judge: Judge,
) -> None:
    """Ask for a part of the site until nothing is wrong with it."""
    _say("", f"— {title} —")
    given: Answers = {}
    while True:
        given = ask(given)
        take(given)
        faults = judge(site)
        if not faults:
            return
        for fault, mend in faults:
            _say(*wrapped(fault, "  ✗ ", "    "))
            _say(*(wrapped(mend, "    → ", "      ") if mend else ()))
        _say("  请改正，回车保留 mend it; Enter keeps what was said")


def _place(given: Answers) -> Answers:
    return {
        "name": _prompt("机构名称 name of the site", given.get("name")),
        "volumes": _prompt(
            "录像盘，逗号分隔 volumes, with commas",
            given.get("volumes", ",".join(DEFAULT_STORAGE["volumes"])),
        ),
        "state_dir": _prompt(
            "状态文件夹 folder for all but footage",
            given.get("state_dir", DEFAULT_STORAGE["state_dir"]),
        ),
    }


def _camera(number: int, given: Answers) -> Answers:
    camera: Answers = {
        "id": _prompt("编号 id, as in gate-exit", given.get("id", f"camera-{number}")),
        "name": _prompt("名称 name, as in the picture", given.get("name")),
        "role": _prompt(
            "用途 role: 人脸 face, 车辆 vehicle, 一般 general",
            given.get("role", "general"),
            type=click.Choice(ROLES, case_sensitive=False),
            show_choices=False,
        ),
    }
    before = given.get("onvif") or given.get("rtsp")
    address = _prompt("地址 ONVIF address:port, or rtsp://…", before)
    camera["rtsp" if "://" in address else "onvif"] = address
    code = _may_be_empty("国标编码，空则不上报 20 digits, or not offered", given.get("gb_id"))
    if code:
        camera["gb_id"] = code
    else:
        camera["expose"] = False  # what has no code cannot be offered to a platform
    camera["username"] = _may_be_empty("用户名，可空 user, may be empty", given.get("username"))
    if camera["username"]:
        camera["password"] = _password(given.get("password"))
    return camera


def _platform(given: Answers) -> Answers:
    asked = {
        "name": "平台名称 its name",
        "authorised_by": "依据文号 authorised by which document",
        "server": "平台地址 its address:port",
        "server_id": "平台编码 20 位 its 20 digits",
        "domain": "域 domain, 10 digits",
        "device_id": "本机编码 20 位 our 20 digits",
        "interface": "预留联网接口 reserved interface, as in eth1",
    }
    answers: Answers = {}
    for key, text in asked.items():
        default = answers["server_id"][:10] if key == "domain" else None
        answers[key] = _prompt(text, given.get(key, default))
    return answers | {"password": _password(given.get("password"))}


def _console(given: Answers) -> Answers:
    return {"bind": _prompt("地址 address:port", given.get("bind", "127.0.0.1:8443"))}


def _summary(site: Mapping[str, Any]) -> list[str]:
    """What was answered, but for passwords."""
    lines = [f"机构 site: {site['site']['name']}"]
    lines += [f"录像盘 volume: {one}" for one in site["storage"]["volumes"]]
    for one in site.get("camera", []):
        place = one.get("onvif") or one.get("rtsp")
        lines.append(f"摄像机 camera: {one['id']} {one['name']}, {place}")
    for one in site.get("platform", []):
        lines.append(f"平台 platform: {one['name']}, {one['server']}, {one['interface']}")
    return [*lines, f"控制台 console: {site['console']['bind']}"]


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)


def _confirm(text: str, *, default: bool) -> bool:
    _say("")
    return click.confirm(text, default=default, err=True)


def _prompt(text: str, default: str | None, **more: Any) -> str:
    return str(click.prompt(f"  {text}", default=default, err=True, **more)).strip()


def _may_be_empty(text: str, default: str | None) -> str:
    return _prompt(text, default or "", show_default=bool(default))


def _password(before: str | None) -> str:
    """Not shown, not stripped: blanks may belong to it."""
    text = "  密码，不显示 password, not shown"
    more: Any = {"hide_input": True, "show_default": False, "err": True}
    return str(click.prompt(text, default=before, **more))

"""``xueliang setup``, as the command line calls it. Shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from config.load import load
from edge.setup.carry_out import read_site, refuse_if_set_up, set_up, troubles
from edge.setup.disks import DiskRefused, format_disk
from edge.setup.wizard import ask_site
from edge.terminal_text import wrapped
from retention.clock import SystemClock


def run_setup(
    site_path: Path | None,
    config: Path,
    *,
    formats: Sequence[str],
    may_erase: bool,
    may_adopt: bool,
    may_replace: bool,
    first_user: str,
) -> tuple[dict[str, Any], list[str]]:
    """The document for machines, and the lines for people; what is next stands at their end.

    Raises:
        SetupRefused, SiteFileRefused, DiskRefused, ConfigError, AccountRefused.
    """
    wanted = [_parted(one) for one in formats]
    refuse_if_set_up(config, may_replace=may_replace)  # before anybody is asked anything
    if site_path is None:
        site = ask_site(lambda found: troubles(found, config, may_adopt=may_adopt))
    else:
        site = read_site(site_path)

    def format_disks() -> None:
        for device, folder in wanted:
            if site_path is None and not click.confirm(
                f"{device} 上的一切将被清除 all on it will be erased; 继续 go on?",
                default=False,
                err=True,
            ):
                raise DiskRefused(f"{device} was not formatted", hint="nothing was changed")
            format_disk(device, folder, may_erase=may_erase)

    done = set_up(
        site,
        config,
        SystemClock(),
        first_user=first_user,
        may_adopt=may_adopt,
        may_replace=may_replace,
        format_disks=format_disks,
    )
    segments = None
    if done.is_adopted:
        from edge.maintenance import reindex_store

        segments = reindex_store(load(config), dry_run=False).segments
    document = {
        "config": str(done.config),
        "volumes": [
            {"path": str(one.path), "uuid": one.uuid, "new": one.is_new} for one in done.disks
        ],
        "password_files": [str(path) for path in done.password_files],
        "adopted_segments": segments,
        "first_user": done.first_user,
        "first_password": done.first_password,
    }
    lines = [f"设置已写入 settings written: {done.config}"]
    for disk in done.disks:
        what = "新盘已盖章 stamped" if disk.is_new else "旧盘已接管 adopted"
        lines += wrapped(f"录像盘 volume {disk.path}: {what} {disk.uuid}", rest="  ")
    if segments is not None:
        lines.append(f"已接管录像段 segments taken over: {segments}")
    if done.first_password is not None:
        lines += [
            f"首个账户 first account: {done.first_user}",
            f"初始密码(只显示这一次) first password, shown once: {done.first_password}",
        ]
    else:
        lines += [
            "已有账户 there are accounts already; 新密码 a new password:",
            f"  xueliang user passwd NAME -c {done.config}",
        ]
    lines += [
        "",
        "下一步 next:",
        f"  xueliang check -c {done.config}",
        "  systemctl daemon-reload && systemctl start xueliang.target",
        f"  xueliang status -c {done.config}",
    ]
    return document, lines


def _parted(text: str) -> tuple[Path, Path]:
    device, sign, folder = text.partition("=")
    if not sign or not device.startswith("/") or not folder.startswith("/"):
        raise DiskRefused(f"{text!r} is no DEVICE=FOLDER", hint="as in /dev/sdb=/srv/xueliang/a")
    return Path(device), Path(folder)

"""What ``xueliang setup`` does, in the order in which a failure leaves the least behind. Shell."""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.load import load, parse
from edge.setup.disks import Disk, own, take
from edge.setup.site import (
    CONSOLE,
    DIAGNOSE,
    EDGE,
    UPLINK,
    SetupPlan,
    SiteFileRefused,
    setup_plan,
)
from edge.user_command import first_account
from retention.clock import Clock

SETTINGS_MODE = 0o640
SECRET_MODE = 0o600
GROUP = "xueliang"


class SetupRefused(XueliangError):
    """This box is set up already, or cannot be."""

    code = "setup_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What was done."""

    config: Path
    disks: tuple[Disk, ...]
    password_files: tuple[Path, ...]
    first_user: str
    first_password: str | None  # None where there was an account already

    @property
    def is_adopted(self) -> bool:
        return any(not disk.is_new for disk in self.disks)


def refuse_if_set_up(config: Path, *, may_replace: bool) -> None:
    """Raises :class:`SetupRefused`."""
    if config.exists() and not may_replace:
        raise SetupRefused(
            f"{config} exists: this box is set up", hint="to write it anew: --replace"
        )


def read_site(path: Path) -> dict[str, Any]:
    """A site file as it stands. Raises :class:`SiteFileRefused`."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SiteFileRefused(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SiteFileRefused(f"{path} is not TOML: {error}", hint="mend the line") from None


def set_up(
    site: Mapping[str, Any],
    config: Path,
    clock: Clock,
    *,
    first_user: str,
    may_adopt: bool,
    may_replace: bool,
    format_disks: Callable[[], None] = lambda: None,
) -> SetUp:
    """Settings, passwords, stamps, owners and the first account.

    Args:
        format_disks: called once the settings are known to be good.

    Raises:
        SetupRefused, SiteFileRefused, DiskRefused, ConfigError: nothing was replaced by then.
    """
    refuse_if_set_up(config, may_replace=may_replace)
    plan = setup_plan(site, config.parent / "secrets")
    users = services()
    config.parent.mkdir(parents=True, exist_ok=True)
    _folder(config.parent / "secrets", 0o751, None, users)
    old = {one.path: one.path.read_bytes() for one in plan.passwords if one.path.exists()}
    try:
        for password in plan.passwords:
            text = password.text.encode()
            write_owned(password.path, text, SECRET_MODE, password.owner, users)
        parse(plan.settings_text, file=str(config))  # judged as a settings file is
    except XueliangError:
        for one in plan.passwords:
            if one.path in old:
                one.path.write_bytes(old[one.path])
            else:
                one.path.unlink(missing_ok=True)
        raise
    format_disks()
    disks = _take_disks(plan, users, clock, may_adopt=may_adopt)
    write_owned(config, plan.settings_text.encode(), SETTINGS_MODE, CONSOLE, users)
    _state_folders(plan.state_dir, users)
    password_text = first_account(load(config), first_user)
    return SetUp(
        config=config,
        disks=disks,
        password_files=tuple(one.path for one in plan.passwords),
        first_user=first_user,
        first_password=password_text,
    )


def services() -> dict[str, tuple[int, int]]:
    """The services' users, with the group they share; none on a machine without the package, or
    for who is not root: then all belongs to who runs this."""
    found: dict[str, tuple[int, int]] = {}
    if os.geteuid() != 0:
        return found
    for name in (EDGE, UPLINK, CONSOLE, DIAGNOSE):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        found[name] = (entry.pw_uid, _group(entry.pw_gid))
    return found


def _group(otherwise: int) -> int:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return otherwise


def _take_disks(
    plan: SetupPlan, users: dict[str, tuple[int, int]], clock: Clock, *, may_adopt: bool
) -> tuple[Disk, ...]:
    disks = tuple(take(path, clock.utc_us(), may_adopt=may_adopt) for path in plan.volumes)
    if EDGE in users:
        for disk in disks:
            own(disk.path, *users[EDGE])
            disk.path.chmod(0o750)
    return disks


def _state_folders(state_dir: Path, users: dict[str, tuple[int, int]]) -> None:
    """As tmpfiles.d makes them, for a state folder that stands elsewhere."""
    _folder(state_dir, 0o750, EDGE, users)
    _folder(state_dir / "audit", 0o750, EDGE, users)
    owners = {"uplink": UPLINK, "console": CONSOLE, "diagnose": DIAGNOSE}
    for name, owner in owners.items():
        _folder(state_dir / name, 0o700 if name == "console" else 0o750, owner, users)
        _folder(state_dir / "audit" / name, 0o750, owner, users)


def _folder(path: Path, mode: int, owner: str | None, users: dict[str, tuple[int, int]]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if users:
        _give(path, owner, users)
        path.chmod(mode)


def write_owned(
    path: Path, content: bytes, mode: int, owner: str | None, users: dict[str, tuple[int, int]]
) -> None:
    """Whole or not at all, with its mode and owner before it has a name; ``owner`` None is root,
    with the services' group. The settings are the console's, which may replace them for a person
    (``edge.console.settings_file``). Raises :class:`OSError`."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
        out.flush()
        if users:
            _give(beside, owner, users)
        os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())
    beside.replace(path)


def _give(path: Path, owner: str | None, users: dict[str, tuple[int, int]]) -> None:
    """To a service, or to root with the services' group."""
    if owner is None:
        os.chown(path, 0, next(iter(users.values()))[1])
    elif owner in users:
        os.chown(path, *users[owner])

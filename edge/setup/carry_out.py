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
from config.load import ConfigError, parse
from config.schema import Settings
from edge.setup.disks import Disk, look_at, own, take
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
from retention.whole_file import make_folder, replace_file

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

    The settings come last: a box whose power went meanwhile is not set up, its services do not
    start, and the same command goes on where it was.

    Args:
        format_disks: called once the settings are known to be good.

    Raises:
        SiteFileRefused, ConfigError, SetupRefused: nothing was replaced by then, but for
            SetupRefused from a disk that is full or not to be written.
        DiskRefused, AccountRefused, ConsoleFileUnusable, AuditUnavailable: the settings are not
            written.
    """
    refuse_if_set_up(config, may_replace=may_replace)
    plan, settings = _judged(site, config)
    users = services()
    format_disks()
    try:
        disks = _take_disks(plan, users, clock, may_adopt=may_adopt)
        _state_folders(plan.state_dir, users)
        make_folder(config.parent)
        _folder(config.parent / "secrets", 0o751, None, users)
        for one in plan.passwords:
            write_owned(one.path, one.text.encode(), SECRET_MODE, one.owner, users)
        password_text = first_account(settings, first_user)
        write_owned(config, plan.settings_text.encode(), SETTINGS_MODE, CONSOLE, users)
    except OSError as error:
        raise SetupRefused(
            f"{error.filename or config}: {error.strerror}",
            hint="is the disk full, or are you not root? then run this again",
        ) from error
    return SetUp(
        config=config,
        disks=disks,
        password_files=tuple(one.path for one in plan.passwords),
        first_user=first_user,
        first_password=password_text,
    )


def troubles(site: Mapping[str, Any], config: Path, *, may_adopt: bool) -> list[tuple[str, str]]:
    """What set-up would refuse of a site, and the mend of each; nothing is written."""
    try:
        plan, _ = _judged(site, config)
        for path in plan.volumes:
            look_at(path, may_adopt=may_adopt)
    except ConfigError as error:
        return [(one.what, one.mend) for one in error.problems]
    except XueliangError as error:
        return [(str(error), error.hint)]
    return []


def _judged(site: Mapping[str, Any], config: Path) -> tuple[SetupPlan, Settings]:
    """Raises :class:`SiteFileRefused`, :class:`ConfigError`."""
    plan = setup_plan(site, config.parent / "secrets")
    to_come = {one.path for one in plan.passwords}
    return plan, parse(plan.settings_text, file=str(config), is_to_come=to_come.__contains__)


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
    make_folder(path)
    if users:
        os.chown(path, *_owner(owner, users))
        path.chmod(mode)


def write_owned(
    path: Path, content: bytes, mode: int, owner: str | None, users: dict[str, tuple[int, int]]
) -> None:
    """Whole or not at all, with its mode and owner before it has a name; ``owner`` None is root,
    with the services' group. The settings are the console's, which may replace them for a person
    (``edge.console.settings_file``). Raises :class:`OSError`."""
    owned = _owner(owner, users)
    replace_file(path, content, mode=mode, give=lambda file: os.fchown(file, *owned))


def _owner(owner: str | None, users: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """A service, or root with the services' group; who it is already where there are none."""
    if owner is None and users:
        return 0, next(iter(users.values()))[1]
    return users.get(owner or "", (-1, -1))

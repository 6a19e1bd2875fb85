"""``xueliang user``: console accounts from the command line; also whether the console runs. Shell.

Every change is on record before it is done, in the log of the command line.
"""

from __future__ import annotations

from typing import Any

from config.instants import format_instant, zone_named
from config.schema import Settings
from edge.auditing import on_record
from edge.console.accounts import Account, Accounts
from edge.console.roles import Role
from edge.status import table
from retention.audit import os_actor
from retention.audit_chain import Action
from retention.clock import SystemClock

#: The account that a demo or the set-up of a box begins with.
FIRST_ACCOUNT = "admin"

_ROLES_ZH = {
    Role.INTEGRATOR: "集成商",
    Role.HEAD: "负责人",
    Role.GUARD: "值班",
    Role.AUDITOR: "审计",
}


def _accounts(settings: Settings) -> Accounts:
    return Accounts(settings.storage.state_dir, SystemClock())


def first_account(settings: Settings, name: str = FIRST_ACCOUNT) -> str | None:
    """For the set-up of a box: its first account (an integrator's) and that one's password, to be
    shown once. None where there are accounts already.

    Raises:
        AccountRefused, ConsoleFileUnusable, AuditUnavailable: there is none after this.
    """
    if _accounts(settings).list():
        return None
    return add(settings, name, Role.INTEGRATOR)


def add(settings: Settings, name: str, role: Role, full_name: str = "") -> str:
    """A new account; its first password."""
    with on_record(settings, Action.ACCOUNT_CHANGED, f"account:{name}", what="added", role=role):
        return _accounts(settings).add(name, role, full_name=full_name, by=os_actor())


def new_password(settings: Settings, name: str) -> str:
    """A new first password."""
    with on_record(settings, Action.ACCOUNT_CHANGED, f"account:{name}", what="password_reset"):
        return _accounts(settings).reset_password(name)


def disable(settings: Settings, name: str, *, is_disabled: bool) -> None:
    what = "disabled" if is_disabled else "enabled"
    with on_record(settings, Action.ACCOUNT_CHANGED, f"account:{name}", what=what):
        _accounts(settings).disable(name, is_disabled=is_disabled)


def user_list(settings: Settings) -> list[dict[str, Any]]:
    zone = zone_named(settings.site.timezone)

    def text(instant_us: int | None) -> str | None:
        return None if instant_us is None else format_instant(instant_us, zone)

    def document(one: Account) -> dict[str, Any]:
        return {
            "name": one.name,
            "role": one.role.value,
            "full_name": one.full_name,
            "extras": sorted(one.extras),
            "disabled": one.is_disabled,
            "must_change_password": one.must_change,
            "created": text(one.created_us),
            "created_by": one.created_by,
            "last_login": text(one.last_login_us),
        }

    return [document(one) for one in _accounts(settings).list()]


def render_list(users: list[dict[str, Any]]) -> str:
    if not users:
        return "没有账号 no accounts: xueliang user add NAME --role integrator"
    rows = [["账号 account", "角色 role", "姓名 name", "状态 state", "最近登录 last login"]]
    rows += [
        [
            user["name"],
            f"{_ROLES_ZH[Role(user['role'])]} {user['role']}",
            user["full_name"] or "-",
            "停用 disabled" if user["disabled"] else "启用 enabled",
            (user["last_login"] or "-")[:19],
        ]
        for user in users
    ]
    return "\n".join(table(rows))


def render_password(name: str, password: str) -> str:
    return (
        f"账号 account   {name}\n"
        f"初始密码 first password   {password}\n"
        "只显示这一次, 首次登录须修改 shown only this once; to be changed at the first login"
    )

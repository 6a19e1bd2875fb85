"""Accounts of the console: ``accounts.json`` in its folder. Shell.

No account has a password by default: a new one gets a random password, told once, that opens
nothing but the page on which it is changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from edge.console import passwords
from edge.console.records_file import ConsoleFileUnusable, RecordsFile
from edge.console.roles import OPTIONAL, Permission, Role, permissions_of
from retention.clock import Clock

FILE_NAME = "accounts.json"
ACCOUNTS_MAX = 200
NAME_MEND = "2 to 32 of a-z, 0-9, '.', '_' and '-', beginning with a letter"
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}", re.ASCII)


class AccountRefused(XueliangError):
    """An account cannot be made or changed in this way."""

    code = "account_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person; accounts are never shared."""

    name: str
    role: Role
    full_name: str  # as registers and approvals show it
    extras: frozenset[Permission]
    is_disabled: bool
    must_change: bool  # the password was given by somebody else
    generation: int  # raised with each change: sessions of an older one are over
    created_us: int
    created_by: str
    last_login_us: int | None
    password_hash: str

    @property
    def permissions(self) -> frozenset[Permission]:
        return permissions_of(self.role, self.extras)


class Accounts:
    """The file, as it stands now: what ``xueliang user`` changes holds for the running console."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._file = RecordsFile(state_dir, FILE_NAME, dict)
        self._clock = clock

    def find(self, name: str) -> Account | None:
        """Raises :class:`ConsoleFileUnusable`."""
        record = self._file.read().get(name)
        return None if record is None else _account(name, record)

    def list(self) -> list[Account]:
        """By name. Raises :class:`ConsoleFileUnusable`."""
        return [_account(name, record) for name, record in sorted(self._file.read().items())]

    def has_head(self) -> bool:
        return any(one.role is Role.HEAD and not one.is_disabled for one in self.list())

    def add(self, name: str, role: Role, *, full_name: str = "", by: str) -> str:
        """A new account; its first password, shown to nobody again.

        Raises:
            AccountRefused: malformed name, or there is one of that name.
            ConsoleFileUnusable: nothing was changed.
        """
        if not _NAME.fullmatch(name):
            raise AccountRefused(f"{name[:40]!r} is no account name", hint=NAME_MEND)
        full_name = _full_name(full_name)
        password = passwords.first_password()
        stored = passwords.hashed(password)
        with self._file.changing() as records:
            if name in records:
                raise AccountRefused(f"there is an account {name!r} already", hint="choose another")
            if len(records) >= ACCOUNTS_MAX:
                raise AccountRefused(f"there are {ACCOUNTS_MAX} accounts", hint="who uses them?")
            records[name] = {
                "role": role.value,
                "full_name": full_name,
                "extras": [],
                "disabled": False,
                "must_change": True,
                "generation": 1,
                "created_us": self._clock.utc_us(),
                "created_by": by,
                "last_login_us": None,
                "password": stored,
            }
        return password

    def reset_password(self, name: str) -> str:
        """A new first password; whoever is logged in as ``name`` is not any more.

        Raises:
            AccountRefused: no such account.
            ConsoleFileUnusable: nothing was changed.
        """
        password = passwords.first_password()
        self._set_password(name, passwords.hashed(password), must_change=True)
        return password

    def change_password(self, name: str, password: str) -> Account:
        """The person's own choice.

        Raises:
            PasswordWeak, AccountRefused, ConsoleFileUnusable: nothing was changed.
        """
        passwords.check(password, name)
        return self._set_password(name, passwords.hashed(password), must_change=False)

    def disable(self, name: str, *, is_disabled: bool = True) -> None:
        """Raises :class:`AccountRefused`, :class:`ConsoleFileUnusable`."""
        with self._file.changing() as records:
            record = _known(records, name)
            record["disabled"] = is_disabled
            record["generation"] += 1
            _check_someone_left(records)

    def change(
        self, name: str, *, role: Role, full_name: str, extras: frozenset[Permission]
    ) -> None:
        """Raises :class:`AccountRefused`, :class:`ConsoleFileUnusable`."""
        if not extras <= OPTIONAL[role]:
            raise AccountRefused(f"a {role} cannot have this", hint="choose another role")
        full_name = _full_name(full_name)
        with self._file.changing() as records:
            record = _known(records, name)
            record |= {
                "role": role.value,
                "full_name": full_name,
                "extras": sorted(extras),
            }
            record["generation"] += 1
            _check_someone_left(records)

    def logged_in(self, name: str) -> None:
        """Raises :class:`AccountRefused`, :class:`ConsoleFileUnusable`."""
        with self._file.changing() as records:
            _known(records, name)["last_login_us"] = self._clock.utc_us()

    def _set_password(self, name: str, stored: str, *, must_change: bool) -> Account:
        with self._file.changing() as records:
            record = _known(records, name)
            record["password"], record["must_change"] = stored, must_change
            record["generation"] += 1
            return _account(name, record)


def _known(records: dict[str, Any], name: str) -> Any:
    if name not in records:
        raise AccountRefused(f"there is no account {name[:40]!r}", hint="see: xueliang user list")
    return records[name]


def _check_someone_left(records: dict[str, Any]) -> None:
    managers = {Role.INTEGRATOR.value, Role.HEAD.value}
    if not any(one["role"] in managers and not one["disabled"] for one in records.values()):
        raise AccountRefused(
            "nobody would be left who manages accounts", hint="make another head first"
        )


def _full_name(text: str) -> str:
    tidy = " ".join(text.split())
    if len(tidy) > 60 or not tidy.isprintable():
        raise AccountRefused("the person's name is too long", hint="at most 60 characters")
    return tidy


def _account(name: str, record: dict[str, Any]) -> Account:
    try:
        return Account(
            name=name,
            role=Role(record["role"]),
            full_name=record["full_name"],
            extras=frozenset(map(Permission, record["extras"])),
            is_disabled=record["disabled"],
            must_change=record["must_change"],
            generation=record["generation"],
            created_us=record["created_us"],
            created_by=record["created_by"],
            last_login_us=record["last_login_us"],
            password_hash=record["password"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConsoleFileUnusable(
            f"the account {name!r} in {FILE_NAME} is damaged",
            hint="put the file back from a copy",
        ) from error

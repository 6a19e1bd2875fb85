"""Accounts: who may log in, and as what. Shell.

A new password is shown once, on the answer to what made it, and is never stored in clear.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from config.errors import XueliangError
from edge.console.accounts import Account
from edge.console.guard import NotAllowed, NotFound
from edge.console.roles import OPTIONAL, Permission, Role, may_manage
from edge.console.rules import Rule
from edge.console.visit import Visit
from retention.audit_chain import Action, printable


async def users(visit: Visit) -> Response:
    return _page(visit, 200)


def _page(
    visit: Visit,
    status: int,
    error: XueliangError | None = None,
    told: tuple[str, str] | None = None,
) -> Response:
    """``told``: an account and its first password, to be shown this once."""
    accounts, roles = visit.parts.accounts.list(), _roles_to_manage(visit)
    return visit.page(
        "users.html",
        status,
        users=accounts,
        roles=roles,
        may_touch={one.name: one.role in roles for one in accounts},
        **visit.trouble(error),
        told=told,
        form=visit.form,
    )


async def user(visit: Visit) -> Response:
    return _user_page(visit, _target(visit), 200)


def _user_page(
    visit: Visit, account: Account, status: int, error: XueliangError | None = None
) -> Response:
    roles = _roles_to_manage(visit)
    return visit.page(
        "user.html",
        status,
        user=account,
        roles=roles,
        optional=sorted(OPTIONAL[account.role]),
        may_touch=account.role in roles,
        may_extend=visit.who.role is Role.HEAD,
        **visit.trouble(error),
    )


async def add(visit: Visit) -> Response:
    form, accounts = visit.form, visit.parts.accounts
    name = form.get("name", "").strip().lower()
    try:
        role = _role(form.get("role", ""))
        if role not in _roles_to_manage(visit):
            raise NotAllowed("only a head makes this account", hint="ask a head")
        async with visit.deed(
            Action.ACCOUNT_CHANGED, f"account:{printable(name)}", what="added", role=role.value
        ):
            password = await asyncio.to_thread(
                accounts.add, name, role, full_name=form.get("full_name", ""), by=visit.actor
            )
    except XueliangError as error:
        return _page(visit, 409, error)
    visit.form = {}
    return _page(visit, 200, told=(name, password))


async def change(visit: Visit) -> Response:
    """Role, name of the person, extras."""
    account = _touchable(visit)
    form = visit.form
    try:
        role = _role(form.get("role", account.role))
        if role not in _roles_to_manage(visit):
            raise NotAllowed("only a head gives this role", hint="ask a head")
        if account.name == visit.who.name and role is not account.role:
            raise NotAllowed("nobody changes his own role", hint="ask another head")
        extras = frozenset(one for one in OPTIONAL[role] if one.value in visit.all("extra"))
        if visit.who.role is not Role.HEAD:
            extras = account.extras & OPTIONAL[role]  # footage is a head's to give
        async with visit.deed(
            Action.ACCOUNT_CHANGED,
            f"account:{account.name}",
            what="changed",
            role=role.value,
            extras=",".join(sorted(extras)),
        ):
            await asyncio.to_thread(
                lambda: visit.parts.accounts.change(
                    account.name, role=role, full_name=form.get("full_name", ""), extras=extras
                )
            )
    except XueliangError as error:
        return _user_page(visit, account, 409, error)
    if account.name == visit.who.name:  # his own sessions stay: he has just shown who he is
        _stay(visit)
    return visit.go(f"/users/{account.name}?done=account_changed")


def _stay(visit: Visit) -> None:
    found = visit.parts.accounts.find(visit.who.name)
    if found is not None and visit.session is not None:
        visit.session.generation = found.generation


async def new_password(visit: Visit) -> Response:
    account = _touchable(visit)
    if account.name == visit.who.name:
        return visit.go("/password")
    try:
        async with visit.deed(
            Action.ACCOUNT_CHANGED, f"account:{account.name}", what="password_reset"
        ):
            password = await asyncio.to_thread(visit.parts.accounts.reset_password, account.name)
    except XueliangError as error:
        return _user_page(visit, account, 409, error)
    return _page(visit, 200, told=(account.name, password))


async def disable(visit: Visit) -> Response:
    account = _touchable(visit)
    is_disabled = visit.form.get("disabled") == "yes"
    try:
        if account.name == visit.who.name:
            raise NotAllowed("nobody disables himself", hint="ask another head")
        what = "disabled" if is_disabled else "enabled"
        async with visit.deed(Action.ACCOUNT_CHANGED, f"account:{account.name}", what=what):
            await asyncio.to_thread(
                lambda: visit.parts.accounts.disable(account.name, is_disabled=is_disabled)
            )
    except XueliangError as error:
        return _user_page(visit, account, 409, error)
    return visit.go(f"/users/{account.name}?done=account_changed")


def _target(visit: Visit) -> Account:
    found = visit.parts.accounts.find(visit.request.path_params["name"])
    if found is None:
        raise NotFound("there is no such account", hint="see the list of accounts")
    return found


def _roles_to_manage(visit: Visit) -> list[Role]:
    """Those whose accounts this person makes, changes and disables."""
    has_head = visit.parts.accounts.has_head()
    return [role for role in Role if may_manage(visit.who.role, role, has_head=has_head)]


def _touchable(visit: Visit) -> Account:
    account = _target(visit)
    if account.role not in _roles_to_manage(visit):
        raise NotAllowed("only a head changes this account", hint="ask a head")
    return account


def _role(text: str) -> Role:
    if text not in frozenset(Role):
        raise NotFound("there is no such role", hint="choose one of the list")
    return Role(text)


RULES = (
    Rule(method="GET", path="/users", endpoint=users, permission=Permission.USERS, nav="nav.users"),
    Rule(method="POST", path="/users", endpoint=add, permission=Permission.USERS),
    Rule(method="GET", path="/users/{name}", endpoint=user, permission=Permission.USERS),
    Rule(method="POST", path="/users/{name}", endpoint=change, permission=Permission.USERS),
    Rule(
        method="POST",
        path="/users/{name}/password",
        endpoint=new_password,
        permission=Permission.USERS,
    ),
    Rule(
        method="POST", path="/users/{name}/disable", endpoint=disable, permission=Permission.USERS
    ),
)

"""Logging in and out, and the own password. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response

from edge.console import passwords
from edge.console.accounts import Account, AccountRefused
from edge.console.guard import SESSION_COOKIE, local_path
from edge.console.lockout import network_of
from edge.console.parts import HASHES_WAITING_MAX, Parts
from edge.console.passwords import PasswordWeak
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from retention.audit_chain import Action, Outcome, printable

NAME_CHARACTERS_MAX = 64


class Busy(Exception):
    """So many passwords are being looked at that this one is not."""


async def login_page(visit: Visit) -> Response:
    if visit.account is not None:
        return visit.go("/")
    return _login(visit, 200)


async def log_in(visit: Visit) -> Response:
    """A wrong name, a wrong password and a disabled account get the same answer, after the same
    work."""
    parts = visit.parts
    name = visit.form.get("name", "").strip().lower()[:NAME_CHARACTERS_MAX]
    now_us = parts.clock.monotonic_us()
    network = network_of(visit.address)
    wait_us = max(
        parts.locked_accounts.wait_us(name, now_us), parts.locked_addresses.wait_us(network, now_us)
    )
    if wait_us:
        parts.login_failed()
        parts.metrics.login_failed("locked")
        return _login(visit, 429, locked_s=-(-wait_us // 1_000_000))
    account = parts.accounts.find(name)
    usable = None if account is None or account.is_disabled else account
    stored = None if usable is None else usable.password_hash
    try:
        async with _turn_at_hashing(parts):
            is_right = await asyncio.to_thread(
                passwords.is_right, stored, visit.form.get("password", "")
            )
    except Busy:
        parts.metrics.login_failed("busy")
        return _login(visit, 503, error="login.busy")
    if not is_right or usable is None:
        await _failed(visit, name, network)
        return _login(visit, 401, error="login.wrong")
    return await _succeeded(visit, usable)


async def _failed(visit: Visit, name: str, network: str) -> None:
    parts, now_us = visit.parts, visit.parts.clock.monotonic_us()
    parts.login_failed()
    delay_us = parts.locked_accounts.failed(name, now_us)
    delay_us = max(delay_us, parts.locked_addresses.failed(network, now_us))
    parts.metrics.login_failed("wrong")
    await _put(visit, printable(name), Outcome.FAILED, locked_s=delay_us // 1_000_000)


async def _put(visit: Visit, name: str, outcome: Outcome, **detail: Any) -> None:
    """A log that cannot be written keeps nobody from reading why all is red; footage, which needs
    its reason on record, stays closed."""
    future = visit.parts.audit.record(
        Action.LOGIN,
        subject=f"account:{name}",
        actor=f"person:{name}" if outcome is Outcome.DONE else "person:?",
        outcome=outcome,
        address=visit.address,
        **detail,
    )
    with visit.as_far_as_recorded("login_not_recorded"):
        await asyncio.wrap_future(future)


async def _succeeded(visit: Visit, account: Account) -> Response:
    parts = visit.parts
    parts.locked_accounts.succeeded(account.name)
    parts.metrics.logins.labels("ok").inc()
    await _put(visit, account.name, Outcome.DONE, role=account.role.value)
    await asyncio.to_thread(parts.accounts.logged_in, account.name)
    cookie, _ = parts.sessions.begin(account.name, account.generation, parts.clock.monotonic_us())
    response = visit.go(local_path(visit.form.get("next", "/")))
    response.set_cookie(
        SESSION_COOKIE, cookie, secure=True, httponly=True, samesite="strict", path="/"
    )
    return response


@asynccontextmanager
async def _turn_at_hashing(parts: Parts) -> AsyncIterator[None]:
    if parts.hashes_waiting >= HASHES_WAITING_MAX:
        raise Busy
    parts.hashes_waiting += 1
    try:
        async with parts.hashing:
            yield
    finally:
        parts.hashes_waiting -= 1


async def log_out(visit: Visit) -> Response:
    assert visit.session is not None
    visit.parts.sessions.end(visit.request.cookies[SESSION_COOKIE])
    visit.parts.grants.end_session(visit.session.id)
    response = visit.go("/login")
    response.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    with visit.as_far_as_recorded("logout_not_recorded"):
        await visit.record(Action.LOGOUT, f"account:{visit.who.name}")
    return response


async def password_page(visit: Visit) -> Response:
    return visit.page("password.html", error="")


async def change_password(visit: Visit) -> Response:
    """Needs the old one, as an open browser is not its person; ends all other sessions."""
    parts, account = visit.parts, visit.who
    assert visit.session is not None
    now_us = parts.clock.monotonic_us()
    fresh = visit.form.get("fresh", "")
    if parts.locked_accounts.wait_us(account.name, now_us):
        return visit.page("password.html", 429, error="login.locked_account")
    if fresh != visit.form.get("again", ""):
        return visit.page("password.html", 400, error="password.differ")
    if fresh == visit.form.get("old", ""):
        return visit.page("password.html", 400, error="password.same")
    try:
        async with _turn_at_hashing(parts):
            is_right = await asyncio.to_thread(
                passwords.is_right, account.password_hash, visit.form.get("old", "")
            )
            if not is_right:
                parts.locked_accounts.failed(account.name, now_us)
                return visit.page("password.html", 403, error="password.old_wrong")
            changed = await asyncio.to_thread(parts.accounts.change_password, account.name, fresh)
    except Busy:
        return visit.page("password.html", 503, error="login.busy")
    except PasswordWeak as error:
        return visit.page("password.html", 400, error=error.phrase)
    except AccountRefused:  # removed meanwhile
        return visit.go("/login")
    visit.session.generation = changed.generation
    parts.sessions.end_all(account.name, but=visit.session.id)
    await visit.record(Action.ACCOUNT_CHANGED, f"account:{account.name}", what="password")
    return visit.go("/")


def _login(visit: Visit, status: int, *, error: str = "", locked_s: int = 0) -> Response:
    wanted = visit.form.get("next") or visit.query("next", "/")
    response = visit.page(
        "login.html",
        status,
        error=error,
        locked_s=locked_s,
        next=local_path(wanted),
        name=visit.form.get("name", "")[:NAME_CHARACTERS_MAX],
    )
    if locked_s:
        response.headers["Retry-After"] = str(locked_s)
    return response


RULES = (
    Rule(method="GET", path="/login", endpoint=login_page, permission=Permission.PUBLIC),
    Rule(method="POST", path="/login", endpoint=log_in, permission=Permission.PUBLIC),
    Rule(method="POST", path="/logout", endpoint=log_out, permission=Permission.OWN),
    Rule(method="GET", path="/password", endpoint=password_page, permission=Permission.OWN),
    Rule(method="POST", path="/password", endpoint=change_password, permission=Permission.OWN),
)

"""Tokens for the JSON API and the metrics. Shell. A token's text is shown once."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from config.errors import XueliangError
from edge.console.guard import NotFound
from edge.console.roles import Permission, Scope
from edge.console.rules import Rule
from edge.console.tokens import DAYS_MAX
from edge.console.visit import Visit
from retention.audit_chain import Action, printable

DAYS_PROPOSED = 365


async def tokens(visit: Visit) -> Response:
    return _page(visit, 200)


def _page(
    visit: Visit, status: int, error: XueliangError | None = None, told: str = ""
) -> Response:
    now_us = visit.parts.clock.utc_us()
    found = visit.parts.tokens.list()
    return visit.page(
        "tokens.html",
        status,
        tokens=found,
        valid={one.id: one.is_valid(now_us) for one in found},
        scopes=list(Scope),
        chosen=visit.all("scope"),
        form=visit.form,
        days=DAYS_PROPOSED,
        days_max=DAYS_MAX,
        **visit.trouble(error),
        told=told,
        host=visit.request.headers.get("host", ""),
    )


async def add(visit: Visit) -> Response:
    form = visit.form
    name = form.get("name", "")
    scopes = frozenset(scope for scope in Scope if scope.value in visit.all("scope"))
    days = int(form["days"]) if form.get("days", "").isdecimal() else 0
    try:
        async with visit.deed(
            Action.TOKEN_CHANGED,
            f"token:{printable(name)[:60]}",
            what="added",
            scopes=",".join(sorted(scopes)),
            days=days,
        ):
            _, text = await asyncio.to_thread(
                visit.parts.tokens.add, name, scopes, days, visit.actor
            )
    except XueliangError as error:
        return _page(visit, 409, error)
    visit.form, visit.form_lists = {}, {}
    return _page(visit, 200, told=text)


async def revoke(visit: Visit) -> Response:
    token_id = visit.request.path_params["id"]
    found = [one for one in visit.parts.tokens.list() if one.id == token_id]
    if not found:
        raise NotFound("there is no such token", hint="see the list of tokens")
    async with visit.deed(
        Action.TOKEN_CHANGED, f"token:{token_id}", what="revoked", name=found[0].name
    ):
        await asyncio.to_thread(visit.parts.tokens.revoke, token_id)
    return visit.go("/tokens?done=token_revoked")


RULES = (
    Rule(
        method="GET",
        path="/tokens",
        endpoint=tokens,
        permission=Permission.TOKENS,
        nav="nav.tokens",
    ),
    Rule(method="POST", path="/tokens", endpoint=add, permission=Permission.TOKENS),
    Rule(method="POST", path="/tokens/{id}/revoke", endpoint=revoke, permission=Permission.TOKENS),
)

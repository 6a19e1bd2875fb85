"""The export desk's pages: ask, approve, follow, take away. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response

from config.errors import XueliangError
from config.instants import parse_instant
from edge.console.export_orders import (
    REASON_CHARACTERS_MAX,
    REASON_CHARACTERS_MIN,
    Order,
    OrderRefused,
    OrderState,
)
from edge.console.guard import NotFound
from edge.console.roles import Permission
from edge.console.rules import Endpoint, Kind, Rule
from edge.console.visit import Visit
from edge.console.zip_answer import zip_answer
from retention.audit import AuditUnavailable

FIELDS = ("camera", "from", "to", "reason")
SHOWN_MAX = 200


async def exports(visit: Visit) -> Response:
    return await _page(visit, 200)


async def _page(visit: Visit, status: int, error: XueliangError | None = None) -> Response:
    found = await asyncio.to_thread(visit.parts.exports.orders)
    query = visit.request.query_params
    return visit.page(
        "exports.html",
        status,
        orders=found[:SHOWN_MAX],
        two_persons=visit.parts.settings.console.export_approval,
        days=visit.parts.settings.console.export_days,
        form={name: visit.form.get(name, query.get(name, "")) for name in FIELDS},
        reason_max=REASON_CHARACTERS_MAX,
        reason_min=REASON_CHARACTERS_MIN,
        **visit.trouble(error),
    )


async def ask(visit: Visit) -> Response:
    try:
        order = await asyncio.to_thread(
            visit.parts.exports.ask,
            visit.known_camera(visit.form.get("camera", "")),
            parse_instant(visit.form.get("from", ""), visit.parts.zone),
            parse_instant(visit.form.get("to", ""), visit.parts.zone),
            visit.form.get("reason", ""),
            visit.who.name,
        )
    except AuditUnavailable:
        raise
    except XueliangError as error:
        return await _page(visit, 400, error)
    return visit.go(f"/exports/{order.id}")


def _find(visit: Visit) -> Order:
    try:
        return visit.parts.exports.find(visit.request.path_params["id"])
    except OrderRefused as error:
        raise NotFound(str(error), hint=error.hint) from error


async def export(visit: Visit) -> Response:
    return await _detail(visit, 200)


async def _detail(visit: Visit, status: int, error: XueliangError | None = None) -> Response:
    order = await asyncio.to_thread(_find, visit)
    return visit.page(
        "export.html",
        status,
        order=order,
        name=visit.names.get(order.camera, order.camera),
        days=visit.parts.settings.console.export_days,
        share=_share(order),
        **visit.trouble(error),
    )


def _share(order: Order) -> int:
    """Per cent written."""
    if order.state is OrderState.DONE:
        return 100
    return min(99, 100 * order.written_bytes // order.of_bytes) if order.of_bytes else 0


async def state(visit: Visit) -> Response:
    order = await asyncio.to_thread(_find, visit)
    return visit.json({"state": order.state.value, "share": _share(order)})


async def approve(visit: Visit) -> Response:
    return await _step(visit, lambda id: visit.parts.exports.approve(id, visit.who.name))


async def refuse(visit: Visit) -> Response:
    why = visit.form.get("why", "")
    return await _step(visit, lambda id: visit.parts.exports.refuse(id, visit.who.name, why))


async def withdraw(visit: Visit) -> Response:
    """Who asked takes it back."""

    def step(order_id: str) -> Order:
        desk = visit.parts.exports
        if desk.find(order_id).asked_by != visit.who.name:
            raise OrderRefused("only who asked takes an export back", hint="refuse it instead")
        return desk.refuse(order_id, visit.who.name, visit.say("exports.withdrawn"))

    return await _step(visit, step)


async def again(visit: Visit) -> Response:
    return await _step(visit, lambda id: visit.parts.exports.again(id, visit.who.name))


async def remove(visit: Visit) -> Response:
    return await _step(visit, lambda id: visit.parts.exports.remove(id, visit.who.name))


async def _step(visit: Visit, step: Callable[[str], Order]) -> Response:
    order = await asyncio.to_thread(_find, visit)
    try:
        await asyncio.to_thread(step, order.id)
    except AuditUnavailable:
        raise
    except XueliangError as error:
        return await _detail(visit, 409, error)
    return visit.go(f"/exports/{order.id}")


async def download(visit: Visit) -> Response:
    """The whole export as a ZIP; who takes it is on record before its first byte."""
    order = await asyncio.to_thread(_find, visit)
    folder = visit.parts.exports.folder(order)
    if not await asyncio.to_thread(folder.is_dir):
        raise NotFound("this export's copy is not there", hint="ask for it anew")
    await asyncio.to_thread(visit.parts.exports.take, order.id, visit.who.name)
    name = f"{order.camera}-{order.id}"
    return zip_answer(folder, name, name)


def _post(path: str, endpoint: Endpoint, permission: Permission) -> Rule:
    return Rule(method="POST", path=f"/exports/{path}", endpoint=endpoint, permission=permission)


RULES = (
    Rule(
        method="GET",
        path="/exports",
        endpoint=exports,
        permission=Permission.EXPORT_VIEW,
        nav="nav.exports",
    ),
    Rule(method="POST", path="/exports", endpoint=ask, permission=Permission.EXPORT),
    Rule(method="GET", path="/exports/{id}", endpoint=export, permission=Permission.EXPORT_VIEW),
    Rule(
        method="GET",
        path="/exports/{id}/state.json",
        endpoint=state,
        permission=Permission.EXPORT_VIEW,
        kind=Kind.DATA,
        is_background=True,
    ),
    Rule(
        method="GET",
        path="/exports/{id}/download.zip",
        endpoint=download,
        permission=Permission.EXPORT,
    ),
    _post("{id}/approve", approve, Permission.EXPORT_APPROVE),
    _post("{id}/refuse", refuse, Permission.EXPORT_APPROVE),
    _post("{id}/withdraw", withdraw, Permission.EXPORT),
    _post("{id}/again", again, Permission.EXPORT),
    _post("{id}/remove", remove, Permission.EXPORT),
)

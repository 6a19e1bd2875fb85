"""Requests of guardians: entered, decided on, carried out; a register to read and print. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from config.errors import XueliangError
from config.instants import parse_instant
from edge.console.guardian_requests import TEXT_CHARACTERS_MAX, Outcome
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from retention.audit import AuditUnavailable

FIELDS = ("guardian", "relation", "child", "identified_by", "camera", "from", "to", "purpose")


async def requests(visit: Visit) -> Response:
    return await _page(visit, 200)


async def _page(visit: Visit, status: int, error: XueliangError | None = None) -> Response:
    return visit.page(
        "requests.html",
        status,
        requests=await asyncio.to_thread(visit.parts.requests.requests),
        outcomes=list(Outcome),
        form={name: visit.form.get(name, "") for name in FIELDS},
        text_max=TEXT_CHARACTERS_MAX,
        **visit.trouble(error),
    )


async def enter(visit: Visit) -> Response:
    form = visit.form

    def step() -> object:
        camera = form.get("camera", "")
        return visit.parts.requests.enter(
            form,
            visit.known_camera(camera) if camera else "",
            parse_instant(form.get("from", ""), visit.parts.zone),
            parse_instant(form.get("to", ""), visit.parts.zone),
            visit.who.name,
        )

    return await _step(visit, step)


async def decide(visit: Visit) -> Response:
    form, number = visit.form, visit.request.path_params["id"]

    def step() -> object:
        is_granted = form.get("decision") == "granted"
        return visit.parts.requests.decide(
            number, visit.who.name, form.get("why", ""), is_granted=is_granted
        )

    return await _step(visit, step)


async def close(visit: Visit) -> Response:
    form, number = visit.form, visit.request.path_params["id"]

    def step() -> object:
        return visit.parts.requests.close(
            number, visit.who.name, form.get("outcome", ""), form.get("export", "")
        )

    return await _step(visit, step)


async def _step(visit: Visit, step: Callable[[], object]) -> Response:
    try:
        await asyncio.to_thread(step)
    except AuditUnavailable:
        raise
    except XueliangError as error:
        return await _page(visit, 400, error)
    return visit.go("/requests")


def _post(path: str, endpoint: Any) -> Rule:
    return Rule(method="POST", path=path, endpoint=endpoint, permission=Permission.REQUESTS)


RULES = (
    Rule(
        method="GET",
        path="/requests",
        endpoint=requests,
        permission=Permission.REQUESTS_VIEW,
        nav="nav.requests",
    ),
    _post("/requests", enter),
    _post("/requests/{id}/decide", decide),
    _post("/requests/{id}/close", close),
)

"""Alarms that stand, and the last that ended. Shell."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from edge import control
from edge.alarms_command import left
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit


async def alarms(visit: Visit) -> Response:
    found, is_running = await told(visit)
    return visit.page(
        "alarms.html",
        standing=list(reversed(found["standing"])),
        ended=list(reversed(found["ended"])),
        is_running=is_running,
    )


async def told(visit: Visit) -> tuple[dict[str, list[Any]], bool]:
    """``standing`` and ``ended``, and whether the running edge told of them."""
    try:
        return await visit.parts.ask_edge("alarms"), True
    except control.ControlUnavailable:
        return await asyncio.to_thread(left, visit.parts.settings), False


RULES = (
    Rule(
        method="GET",
        path="/alarms",
        endpoint=alarms,
        permission=Permission.OWN,
        nav="nav.alarms",
    ),
)

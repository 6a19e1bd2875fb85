"""The front page: what a head reads in ten seconds. Shell."""

from __future__ import annotations

from starlette.responses import Response

from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit


async def front(visit: Visit) -> Response:
    return visit.page("front.html")


RULES = (Rule(method="GET", path="/", endpoint=front, permission=Permission.OWN, nav="nav.front"),)

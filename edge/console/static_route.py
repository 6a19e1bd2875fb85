"""Styles, scripts and pictures of the pages: local, fixed when the process starts. Shell."""

from __future__ import annotations

from starlette.responses import Response

from edge.console.guard import NotFound
from edge.console.pages import static_files
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit


async def static(visit: Visit) -> Response:
    name = visit.request.path_params["name"]
    found = static_files().get(name)
    if found is None:
        raise NotFound(f"there is no file {name[:40]!r}")
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": "public, max-age=31536000, immutable"}
    if visit.query("v") != found.tag:
        headers["Cache-Control"] = "no-cache"
    if visit.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)


async def nowhere(visit: Visit) -> Response:
    """Everything that is no route; known only to who is logged in."""
    raise NotFound("there is no such page", hint="go back to the front page")


RULES = (Rule(method="GET", path="/static/{name}", endpoint=static, permission=Permission.PUBLIC),)
#: Behind all others.
LAST = (Rule(method="GET", path="/{rest:path}", endpoint=nowhere, permission=Permission.OWN),)

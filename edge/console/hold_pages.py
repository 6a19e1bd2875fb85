"""Holds: footage that no policy deletes while they stand. Shell.

Read from the index; what changes them is asked of ``edge``, which puts it on record and confirms it
by the disks. A release takes a second person, who is another account here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from config.errors import XueliangError
from edge.console.guard import BadRequest
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from edge.status import index_path
from retention.holds import EVERY_CAMERA, Hold, HoldState
from retention.index import rows
from retention.index.read import Index

#: On record, in the index, and on all volumes: each may take its ten seconds on a bad day.
TIMEOUT_S = 45.0
ALL = "all"
FIELDS = ("camera", "from", "to", "case", "requester", "unit", "reason", "expires")


async def stored(visit: Visit) -> list[Hold]:
    """Every hold, the newest first. Raises :class:`IndexUnavailable`."""

    def read() -> list[Hold]:
        with Index.open_read(index_path(visit.parts.settings)) as index:
            return index.read(rows.holds)

    return list(reversed(await asyncio.to_thread(read)))


async def holds(visit: Visit) -> Response:
    return await _page(visit, 200)


async def _page(visit: Visit, status: int, error: XueliangError | None = None) -> Response:
    found = await stored(visit)
    return visit.page(
        "holds.html",
        status,
        open=[hold for hold in found if hold.state(None).holds],
        closed=[hold for hold in found if not hold.state(None).holds],
        is_asked={hold.id: hold.state(None) is HoldState.RELEASE_ASKED for hold in found},
        two_persons=visit.parts.settings.retention.two_person_release,
        form={name: visit.form.get(name, "") for name in FIELDS},
        **visit.trouble(error),
        pending=visit.query("pending"),
    )


async def add(visit: Visit) -> Response:
    form = visit.form
    try:
        from_us, to_us = visit.instant("from"), visit.instant("to")
        if from_us is None or to_us is None:
            raise BadRequest("a hold needs its beginning and its end", hint="fill in both")
        camera = form.get("camera", "")
        answer = await visit.parts.ask_edge(
            "hold_add",
            timeout_s=TIMEOUT_S,
            camera=EVERY_CAMERA if camera == ALL else camera,
            from_us=from_us,
            to_us=to_us,
            case=form.get("case", ""),
            requester=form.get("requester", ""),
            unit=form.get("unit", ""),
            reason=form.get("reason", ""),
            expires_us=visit.instant("expires"),
            by=visit.actor,
        )
    except XueliangError as error:
        return await _page(visit, 409, error)
    return visit.go(f"/holds?done=hold_added{_pending(answer)}")


async def release(visit: Visit) -> Response:
    """The first person asks; another one's request carries it out."""
    try:
        answer = await visit.parts.ask_edge(
            "hold_release",
            timeout_s=TIMEOUT_S,
            id=visit.request.path_params["id"],
            by=visit.who.name,
            actor=f"console:{visit.address}",
        )
    except XueliangError as error:
        return await _page(visit, 409, error)
    is_asked = answer["state"] == HoldState.RELEASE_ASKED
    what = "hold_release_asked" if is_asked else "hold_released"
    return visit.go(f"/holds?done={what}{_pending(answer)}")


def _pending(answer: dict[str, Any]) -> str:
    """How many volumes do not hold it durably yet."""
    count = len(answer["pending_volumes"])
    return f"&pending={count}" if count else ""


RULES = (
    Rule(
        method="GET",
        path="/holds",
        endpoint=holds,
        permission=Permission.HOLDS_VIEW,
        nav="nav.holds",
    ),
    Rule(method="POST", path="/holds", endpoint=add, permission=Permission.HOLDS),
    Rule(method="POST", path="/holds/{id}/release", endpoint=release, permission=Permission.HOLDS),
)

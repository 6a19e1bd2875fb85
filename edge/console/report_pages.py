"""Evidence packs: asked of ``edge``, which signs them; taken from here. Shell."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from config.errors import XueliangError
from edge import control
from edge.console.guard import BadRequest, NotFound
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from edge.console.zip_answer import zip_answer
from edge.report_desk import DAYS_MAX, packs
from retention.audit_chain import Action, Outcome

DAYS_PROPOSED = (7, 30, 90)


async def reports(visit: Visit) -> Response:
    return await _page(visit, 200)


async def _page(visit: Visit, status: int, error: XueliangError | None = None) -> Response:
    state: dict[str, Any] = {"running": False, "error": ""}
    try:
        state = await visit.parts.ask_edge("report_state")
    except (control.ControlUnavailable, control.ControlRefused) as unavailable:
        error = error or unavailable
    found = await asyncio.to_thread(packs, visit.parts.state_dir)
    return visit.page(
        "reports.html",
        status,
        packs=[one.name for one in found],
        state=state,
        proposed=DAYS_PROPOSED,
        **visit.trouble(error),
    )


async def make(visit: Visit) -> Response:
    text = visit.form.get("days", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= DAYS_MAX):
        raise BadRequest(f"days must be a number from 1 to {DAYS_MAX}")
    try:
        await visit.record(Action.REPORT, f"days:{text}", Outcome.BEGUN)
        await visit.parts.ask_edge("report_make", days=int(text))
    except XueliangError as error:
        return await _page(visit, 409, error)
    return visit.go("/reports?done=report_begun")


async def download(visit: Visit) -> Response:
    """The whole pack; on record, for it names who had footage."""
    name = visit.request.path_params["name"]
    found = await asyncio.to_thread(packs, visit.parts.state_dir)
    folder = next((one for one in found if one.name == name), None)
    if folder is None:
        raise NotFound("there is no such report", hint="see the list of reports")
    await visit.record(Action.REPORT, f"report:{folder.name}", what="taken")
    return zip_answer(folder, folder.name, f"report-{folder.name}")


RULES = (
    Rule(
        method="GET",
        path="/reports",
        endpoint=reports,
        permission=Permission.REPORT,
        nav="nav.reports",
    ),
    Rule(method="POST", path="/reports", endpoint=make, permission=Permission.REPORT),
    Rule(
        method="GET",
        path="/reports/{name}/download.zip",
        endpoint=download,
        permission=Permission.REPORT,
    ),
)

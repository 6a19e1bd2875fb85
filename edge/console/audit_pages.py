"""The audit logs of all services: read, searched, verified. Shell."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable
from functools import partial

from starlette.responses import Response

from config.instants import format_instant
from edge.audit_verification import verify_all
from edge.console.guard import BadRequest
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from edge.status import index_path
from retention.audit import DAY_US
from retention.audit_chain import Action, Record, Verdict
from retention.audit_read import newest, services

SHOWN_MAX = 300
DOWNLOAD_MAX = 50_000
DAYS = (1, 7, 31, 92, 366, 1096)
DAYS_SHOWN = 7


async def audit(visit: Visit) -> Response:
    records = await _found(visit, SHOWN_MAX)
    return _page(visit, records)


def _page(visit: Visit, records: list[Record], verdicts: list[Verdict] | None = None) -> Response:
    return visit.page(
        "audit.html",
        records=records,
        verdicts=verdicts,
        services=services(visit.parts.state_dir),
        service=visit.query("service"),
        action=visit.query("action"),
        actions=sorted(Action),
        text=visit.query("text"),
        days=_days(visit),
        all_days=DAYS,
        is_cut=len(records) >= SHOWN_MAX,
        query=str(visit.request.url.query),
    )


async def verified(visit: Visit) -> Response:
    """Every line of every log against the chain, and the heads that edge signed."""
    path = index_path(visit.parts.settings)
    verdicts = await asyncio.to_thread(verify_all, visit.parts.state_dir, path)
    await visit.record(
        Action.VERIFY,
        "audit logs",
        sound=all(one.is_sound for one in verdicts),
        logs=", ".join(one.service for one in verdicts),
    )
    return _page(visit, await _found(visit, SHOWN_MAX), verdicts)


async def download(visit: Visit) -> Response:
    """What the filters leave, as a table for a spreadsheet; the logs themselves stay where they
    are, and only they prove anything."""
    records = await _found(visit, DOWNLOAD_MAX)
    await visit.record(Action.EXPORT, "audit records", count=len(records), days=_days(visit))
    content = await asyncio.to_thread(_csv, visit, records)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return Response(content, headers=headers, media_type="text/csv; charset=utf-8")


async def _found(visit: Visit, count: int) -> list[Record]:
    """The newest records that the query asks for. Raises :class:`AuditUnavailable`."""
    state_dir = visit.parts.state_dir
    names = services(state_dir)
    if service := visit.query("service"):
        if service not in names:
            raise BadRequest("there is no such log", hint="choose one of the list")
        names = [service]
    since_us = visit.parts.clock.utc_us() - _days(visit) * DAY_US
    action, text = visit.query("action"), visit.query("text").strip().lower()
    reads = [partial(newest, state_dir, name, since_us, DOWNLOAD_MAX) for name in names]
    found = [record for read in reads for record in await asyncio.to_thread(read)]
    chosen = [
        record
        for record in found
        if (not action or record.action == action) and (not text or _holds(record, text))
    ]
    return sorted(chosen, key=lambda record: -record.at_us)[:count]


def _holds(record: Record, text: str) -> bool:
    facts = " ".join(f"{name}={value}" for name, value in record.detail.items())
    return text in f"{record.actor} {record.subject} {record.action} {facts}".lower()


def _days(visit: Visit) -> int:
    text = visit.query("days", str(DAYS_SHOWN))
    return int(text) if text.isdecimal() and int(text) in DAYS else DAYS_SHOWN


def _csv(visit: Visit, records: Iterable[Record]) -> bytes:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["time", "service", "seq", "actor", "action", "outcome", "subject", "detail"])
    for one in records:
        facts = " ".join(f"{name}={value}" for name, value in one.detail.items())
        moment = format_instant(one.at_us, visit.parts.zone)
        cells = [one.service, one.seq, one.actor, one.action, one.outcome, one.subject, facts]
        table.writerow([moment, *map(_harmless, cells)])
    return out.getvalue().encode("utf-8-sig")


def _harmless(cell: object) -> str:
    """A spreadsheet takes what begins so for a formula (OWASP, CSV injection)."""
    text = str(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


RULES = (
    Rule(method="GET", path="/audit", endpoint=audit, permission=Permission.AUDIT, nav="nav.audit"),
    Rule(method="POST", path="/audit/verify", endpoint=verified, permission=Permission.AUDIT),
    Rule(method="POST", path="/audit/download", endpoint=download, permission=Permission.AUDIT),
)

"""``xueliang audit``: what the logs say, and whether they can be believed. Shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.instants import format_instant, zone_named
from config.schema import Settings
from retention.audit import DAY_US
from retention.audit_chain import Record, Verdict, printable
from retention.audit_read import records, services
from retention.clock import SystemClock


def newest_records(settings: Settings, days: int, service: str | None) -> Iterator[Record]:
    """Of the last ``days`` days, each log in its own order, all together by time.

    Raises:
        AuditUnavailable: a log cannot be read.
    """
    state_dir = settings.storage.state_dir
    since_us = SystemClock().utc_us() - days * DAY_US
    names = services(state_dir) if service is None else [service]
    found = [record for name in names for record in records(state_dir, name, since_us)]
    yield from sorted(found, key=lambda record: record.at_us)


def record_json(settings: Settings, record: Record) -> dict[str, Any]:
    document = record.as_json()
    at_us = document.pop("at_us")
    return {"at": _time(settings, at_us), **document}


def render_record(settings: Settings, record: Record) -> str:
    facts = " ".join(f"{name}={value}" for name, value in record.detail.items())
    text = (
        f"{_time(settings, record.at_us)}  {record.service} {record.seq}  {record.actor}"
        f"  {record.action} {record.outcome}  {record.subject}  {facts}"
    )
    return printable(text.rstrip())


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "service": verdict.service,
        "sound": verdict.is_sound,
        "records": verdict.records,
        "first_seq": verdict.first_seq,
        "last_seq": verdict.head.seq,
        "last_hash": verdict.head.hash,
        "anchors": verdict.anchors,
        "anchored_seq": verdict.anchored_seq,
        "lost_seq": verdict.lost_seq,
        "findings": verdict.findings,
        "notes": verdict.notes,
    }


def render_verdict(verdict: Verdict) -> str:
    mark = "完好 sound" if verdict.is_sound else "不符 NOT SOUND"
    first = (
        f"{verdict.service}: {mark}, 记录 records {verdict.records},"
        f" 已锚定 anchored up to {verdict.anchored_seq} of {verdict.head.seq}"
    )
    if verdict.lost_seq:
        first += f", 随旧系统盘丢失 lost up to {verdict.lost_seq}"
    return "\n".join(
        [first, *(f"  ! {printable(text)}" for text in verdict.findings)]
        + [f"  - {printable(text)}" for text in verdict.notes]
    )


def _time(settings: Settings, at_us: int) -> str:
    try:
        return format_instant(at_us, zone_named(settings.site.timezone))
    except OverflowError:
        return str(at_us)

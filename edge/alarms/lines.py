"""Alarms for people. Core."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from config.instants import format_instant

_SEVERITIES_ZH = {"info": "提示", "warning": "警告", "critical": "严重"}


def for_people(told: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """An alarm's document with ISO 8601 instants for its microseconds."""
    since_us, until_us = told["since_us"], told["until_us"]
    kept = {key: value for key, value in told.items() if key not in ("since_us", "until_us", "gb")}
    return {
        **kept,
        "since": format_instant(since_us, zone),
        "until": None if until_us is None else format_instant(until_us, zone),
    }


def alarm_line(one: dict[str, Any]) -> str:
    """One line: since when, how bad, of what, what, why."""
    when = one["since"][:19]
    if one["until"] is not None:
        when += f" .. {one['until'][:19]}"
    severity = f"{_SEVERITIES_ZH[one['severity']]} {one['severity']}"
    of = f" {one['subject']}:" if one["subject"] else ""
    reasons = [one["reason_zh"], one["reason_en"]]
    reason = " ".join(text for text in reasons if text)
    what = f"{one['name_zh']} {one['name_en']}"
    tail = f" ({reason})" if reason else ""
    return f"{when}  {severity}{of} {what}{tail}"

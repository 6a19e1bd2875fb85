"""All that a report tells, as one JSON document: gathered from index, logs and settings. Shell.

Blocking, read-only. What nobody measured is None, never 0; lists are bounded and say how many they
left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from importlib import metadata
from pathlib import Path
from typing import Any

from config.instants import format_instant, zone_named
from config.schema import Camera, Settings
from edge import control
from edge.audit_command import verdict_json
from edge.audit_verification import verify_all
from edge.completeness_command import day_json
from edge.kpis import CLOCK_LIMIT_S, Known, camera_kpis, findings_of, known
from edge.night_results import results
from edge.status import completeness_of, index_path, open_store, rounded
from retention import kpi
from retention.audit_chain import Action, Record
from retention.audit_read import records, services
from retention.completeness import DAY_US, Completeness, local_date, midnight_us
from retention.index import rows
from retention.index.read import Index
from retention.kpi import Kpi, Share
from retention.model import US_PER_S, Gap, GapCause
from retention.policy import Reason
from retention.read import Store

FORMAT = "xueliang report 1"
#: Rows of one list; the counts beside them are of all.
ROWS_MAX = 2_000
#: What a person did with footage, holds, time, settings or accounts.
ACCESS = frozenset(
    {
        Action.FOOTAGE_ACCESS,
        Action.EXPORT,
        Action.REPORT,
        Action.PLATFORM_CALL,
        Action.PLATFORM_COMMAND,
        Action.HOLD_ADDED,
        Action.HOLD_RELEASE,
        Action.TIME_CONFIRMED,
        Action.SETTINGS_CHANGED,
        Action.ACCOUNT_CHANGED,
        Action.TOKEN_CHANGED,
        Action.ACCESS_REFUSED,
        Action.EXPORT_DESK,
        Action.GUARDIAN_REQUEST,
        Action.CAMERA_SET,
        Action.BACKUP,
        Action.RESTORE,
        Action.REINDEX,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Whole calendar days of the site before today, and today so far."""

    days: int
    from_us: int
    to_us: int
    zone: tzinfo

    def text(self, at_us: int) -> str:
        return format_instant(at_us, self.zone)


def period_of(settings: Settings, days: int, now_us: int) -> Period:
    """The last ``days`` days."""
    zone = zone_named(settings.site.timezone)
    today_us = midnight_us(local_date(now_us, zone), zone)
    return Period(days=days, from_us=today_us - days * DAY_US, to_us=now_us, zone=zone)


def report_document(settings: Settings, days: int, now_us: int) -> dict[str, Any]:
    """The whole report.

    Raises:
        IndexUnavailable, AuditUnavailable: there is nothing to tell from.
    """
    period = period_of(settings, days, now_us)
    live = _live(settings)
    about = known(settings, days, live)
    history = _history(settings.storage.state_dir, period)
    with open_store(settings) as store, Index.open_read(index_path(settings)) as index:
        cameras, shares = [], {}
        for camera in settings.camera:
            found = completeness_of(store, camera.id, now_us, settings)
            oldest_us = store.oldest(camera.id)
            if camera.enabled:
                shares[camera.id] = camera_kpis(settings, camera, found, oldest_us, about, days)
            cameras.append(
                _camera(settings, camera, store, index, period, found, oldest_us, about)
                | {"kpis": _kpis(shares.get(camera.id, {}))}
            )
        told = index.read(lambda connection: _of_index(connection, period))
    epochs = told.pop("epochs")
    return {
        "format": FORMAT,
        "tool": f"xueliang-edge {metadata.version('xueliang-edge')}",
        "site": {
            "name": settings.site.name,
            "timezone": settings.site.timezone,
            "basis": settings.retention.basis,
            "min_days": settings.retention.min_days,
            "max_days": settings.retention.max_days,
            "gap_tolerance_seconds": settings.retention.gap_tolerance_seconds,
        },
        "made": period.text(now_us),
        "days": days,
        "from": period.text(period.from_us),
        "to": period.text(period.to_us),
        "edge_running": bool(live),
        "kpis": _kpis(kpi.site(shares.values())),
        "clock_limit_seconds": CLOCK_LIMIT_S,
        "cameras": cameras,
        **told,
        "clock": _clock(live, epochs, period),
        "nights": _nights(settings.storage.state_dir, period),
        "retention": live.get("retention"),
        "volumes": live.get("volumes"),
        "alarms": _alarms(history, period),
        "access": _access(history, period),
        "audit": [
            verdict_json(one)
            for one in verify_all(settings.storage.state_dir, index_path(settings))
        ],
    }


def _live(settings: Settings) -> dict[str, Any]:
    """What only the running edge knows; empty where none runs."""
    try:
        told: dict[str, Any] = control.ask(settings.storage.state_dir, "status")
    except control.ControlUnavailable:
        return {}
    return told


def _kpis(shares: kpi.Shares) -> dict[str, Any]:
    return {
        name.value: {
            "ratio": rounded(share.ratio),
            "good": round(share.good, 6),
            "all": round(share.all, 6),
        }
        for name in Kpi
        for share in [shares.get(name, Share())]
    }


# Cameras -------------------------------------------------------------------------------------


def _camera(
    settings: Settings,
    camera: Camera,
    store: Store,
    index: Index,
    period: Period,
    found: Completeness,
    oldest_us: int | None,
    about: Known,
) -> dict[str, Any]:
    line = store.timeline(camera.id, period.from_us, period.to_us, period.to_us)
    gaps = [gap for gap in line.gaps if gap.cause is not GapCause.EXPIRED]
    findings = findings_of(settings, camera, about)
    checkpoint = index.read(lambda connection: rows.last_checkpoint(connection, camera.id))
    return {
        "id": camera.id,
        "name": camera.name,
        "role": camera.role,
        "gb_id": None if camera.gb_id is None else str(camera.gb_id),
        "enabled": camera.enabled,
        "mature": found.is_mature,
        "due_from": period.text(found.due_from_us) if found.due_from_us < found.now_us else None,
        "days": [day_json(day) for day in found.days[-period.days - 1 :]],
        "gaps": _bounded([_gap(gap, line.to_us, period) for gap in gaps]),
        "missing_seconds": _by_cause(gaps, line.to_us),
        "kept": {
            "floor_days": camera.min_days or settings.retention.min_days,
            "max_days": camera.max_days or settings.retention.max_days,
            "oldest": None if oldest_us is None else period.text(oldest_us),
            "days": None if oldest_us is None else round((period.to_us - oldest_us) / DAY_US, 2),
        },
        "clock_offsets": [
            {"date": date, "seconds": offset_s}
            for date, offset_s in about.offsets_s.get(camera.id, ())
        ],
        "archive": {
            "valid": not findings,
            "findings": [{"field": one.field, "zh": one.zh, "en": one.en} for one in findings],
        },
        "chain": None
        if checkpoint is None
        else {
            "segments": checkpoint.position + checkpoint.segments,
            "link": checkpoint.after.hex(),
            "signed": period.text(checkpoint.at_us),
        },
    }


def _gap(gap: Gap, to_us: int, period: Period) -> dict[str, Any]:
    end_us = to_us if gap.end_us is None else gap.end_us
    return {
        "start": period.text(gap.start_us),
        "end": period.text(end_us),
        "seconds": round((end_us - gap.start_us) / US_PER_S, 3),
        "cause": gap.cause.value,
    }


def _by_cause(gaps: Iterable[Gap], to_us: int) -> dict[str, float]:
    found: Counter[str] = Counter()
    for gap in gaps:
        found[gap.cause.value] += (to_us if gap.end_us is None else gap.end_us) - gap.start_us
    return {cause: round(size_us / US_PER_S, 3) for cause, size_us in found.most_common()}


def _bounded(found: Sequence[Any]) -> dict[str, Any]:
    """The newest rows, and how many there are."""
    return {"count": len(found), "rows": list(found[-ROWS_MAX:])}


# The index -----------------------------------------------------------------------------------


def _of_index(connection: sqlite3.Connection, period: Period) -> dict[str, Any]:
    return {
        "deletions": _deletions(connection, period),
        "holds": [
            {
                "id": hold.id,
                "camera": hold.camera or "*",
                "from": period.text(hold.from_us),
                "to": period.text(hold.to_us),
                "case": hold.case,
                "requester": hold.requester,
                "unit": hold.unit,
                "reason": hold.reason,
                "added": period.text(hold.added_us),
                "added_by": hold.added_by,
                "expires": None if hold.expires_us is None else period.text(hold.expires_us),
                "released": None if hold.released_us is None else period.text(hold.released_us),
                "released_by": hold.released_by,
            }
            for hold in rows.holds(connection)
        ],
        "stored": [
            {"camera": camera, "segments": segments, "bytes": size_bytes}
            for camera, segments, size_bytes in connection.execute(_STORED)
        ],
        "epochs": [
            {
                "start": period.text(epoch.start_us + (epoch.offset_us or 0)),
                "cause": epoch.cause.value,
                "known": epoch.offset_us is not None,
                "moved_seconds": None
                if epoch.offset_us is None
                else round(epoch.offset_us / US_PER_S, 3),
            }
            for epoch in rows.epochs(connection)
            if epoch.end_us is None or epoch.end_us >= period.from_us
        ],
    }


_STORED = "SELECT camera, count(*), sum(size_bytes) FROM segment GROUP BY camera ORDER BY camera"
_DELETED = (
    "SELECT reason, camera, at_us, start_us, end_us, segments, size_bytes, seq FROM tombstone"
    " WHERE at_us >= ? AND at_us < ? ORDER BY seq"
)


def _deletions(connection: sqlite3.Connection, period: Period) -> dict[str, Any]:
    by_reason: dict[str, dict[str, int]] = {}
    by_day: dict[str, int] = {}
    breaches = []
    count = 0
    for reason, camera, at_us, start_us, end_us, segments, size_bytes, seq in connection.execute(
        _DELETED, (period.from_us, period.to_us)
    ):
        count += 1
        total = by_reason.setdefault(reason, {"tombstones": 0, "segments": 0, "bytes": 0})
        total["tombstones"] += 1
        total["segments"] += segments
        total["bytes"] += size_bytes
        day = local_date(at_us, period.zone).isoformat()
        by_day[day] = by_day.get(day, 0) + size_bytes
        if reason == Reason.OVERWRITTEN:
            breaches.append(
                {
                    "camera": camera,
                    "deleted": period.text(at_us),
                    "from": period.text(start_us),
                    "to": period.text(end_us),
                    "segments": segments,
                    "journal": seq,
                }
            )
    return {
        "count": count,
        "by_reason": by_reason,
        "bytes_by_day": by_day,
        "breaches": _bounded(breaches),
    }


# Clock and nights ----------------------------------------------------------------------------


def _clock(live: dict[str, Any], epochs: list[dict[str, Any]], period: Period) -> dict[str, Any]:
    time = live.get("time")
    return {
        "now": None
        if time is None
        else {
            "trusted": time["trusted"],
            "reason_zh": time["reason_zh"],
            "reason_en": time["reason_en"],
            "since": period.text(time["since_us"]),
            "offsets_seconds": time["offsets_seconds"],
        },
        "stretches": _bounded(epochs),
    }


def _nights(state_dir: Path, period: Period) -> list[dict[str, Any]]:
    """Each nightly self-check of the period: its summary, and the hash that the audit log has."""
    first = local_date(period.from_us, period.zone).isoformat()
    found = []
    for path in results(state_dir):
        try:
            night = json.loads(path.read_bytes())
            if night["date"] >= first:
                found.append(
                    {
                        "date": night["date"],
                        "passed": bool(night["passed"]),
                        "clock_synchronized": bool(night["clock_synchronized"]),
                        **{name: int(count) for name, count in night["summary"].items()},
                    }
                )
        except (OSError, ValueError, KeyError, TypeError):
            found.append({"date": path.stem[7:], "passed": False, "unreadable": True})
    return found


# Audit logs ----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _History:
    """What the audit logs tell of the period; only what is shown stays in memory."""

    actions: Counter[str]
    access: list[Record]
    alarms: list[Record]


def _history(state_dir: Path, period: Period) -> _History:
    """Of every log, in order of time."""
    found = _History(actions=Counter(), access=[], alarms=[])
    for service in services(state_dir):
        for record in records(state_dir, service, period.from_us):
            if record.at_us > period.to_us:
                continue
            found.actions[record.action] += 1
            if record.action in ACCESS:
                found.access.append(record)
            elif record.action == Action.ALARM:
                found.alarms.append(record)
    for one in (found.access, found.alarms):
        one.sort(key=lambda record: (record.at_us, record.service, record.seq))
    return found


def _access(history: _History, period: Period) -> dict[str, Any]:
    """Who did what with footage and with the box."""
    return {
        "actions": dict(history.actions.most_common()),
        **_bounded(
            [
                {
                    "at": period.text(record.at_us),
                    "service": record.service,
                    "seq": record.seq,
                    "actor": record.actor,
                    "action": record.action,
                    "subject": record.subject,
                    "outcome": record.outcome,
                    "detail": dict(record.detail),
                }
                for record in history.access
            ]
        ),
    }


def _alarms(history: _History, period: Period) -> dict[str, Any]:
    """Each alarm of the period with its end."""
    found: dict[int, dict[str, Any]] = {}
    for record in history.alarms:
        number = record.detail.get("number")
        if type(number) is not int:
            continue
        until_us = record.detail.get("until_us")
        since_us = record.detail.get("since_us")
        found[number] = {
            "number": number,
            "code": record.detail.get("code"),
            "name": record.detail.get("name"),
            "severity": record.detail.get("severity"),
            "subject": record.subject,
            "reason": record.detail.get("reason"),
            "since": period.text(since_us) if type(since_us) is int else None,
            "until": period.text(until_us) if type(until_us) is int else None,
        }
    return _bounded(list(found.values()))

"""A report's document of a site with a history, made up: good days and bad ones."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from edge.report.gather import FORMAT
from retention.kpi import Kpi

CAMERAS = {
    "gate-exit": ("人行出口", "face"),
    "gate-entry": ("人行入口", "face"),
    "parking-in": ("停车场入口", "vehicle"),
    "yard": ("室外活动场地东侧全景摄像机", "general"),
    "hall": ('<b>走廊 & "门厅"', "general"),
}
TODAY = date(2026, 11, 25)


def document(days: int = 90, seed: int = 5) -> dict[str, Any]:
    """Whole, as ``report.json`` has it."""
    chance = random.Random(seed)
    dates = [TODAY - timedelta(days=back) for back in range(days, -1, -1)]
    cameras = [_camera(name, dates, chance) for name in CAMERAS]
    return {
        "format": FORMAT,
        "tool": "xueliang-edge 0.1.0",
        "site": {
            "name": "阳光托育中心",
            "timezone": "Asia/Shanghai",
            "basis": "托育机构管理规范(试行) 第32条",
            "min_days": 90,
            "max_days": 97,
            "gap_tolerance_seconds": 0,
        },
        "made": "2026-11-25T16:00:00.000+08:00",
        "days": days,
        "from": f"{dates[0]}T00:00:00.000+08:00",
        "to": "2026-11-25T16:00:00.000+08:00",
        "edge_running": True,
        "kpis": _kpis(chance),
        "clock_limit_seconds": 5.0,
        "cameras": cameras,
        "deletions": {
            "count": 3_000,
            "by_reason": {
                "age": {"tombstones": 2_900, "segments": 700_000, "bytes": 9_400_000_000_000},
                "overwritten": {"tombstones": 2, "segments": 120, "bytes": 1_700_000_000},
            },
            "bytes_by_day": {
                one.isoformat(): chance.randrange(80_000_000_000, 120_000_000_000) for one in dates
            },
            "breaches": {
                "count": 2,
                "rows": [
                    {
                        "camera": "yard",
                        "deleted": "2026-10-02T03:11:00.000+08:00",
                        "from": "2026-07-06T00:00:00.000+08:00",
                        "to": "2026-07-06T01:00:00.000+08:00",
                        "segments": 60,
                        "journal": 88_123 + number,
                    }
                    for number in range(2)
                ],
            },
        },
        "holds": [
            {
                "id": "9f3c2a7712aa",
                "camera": "gate-exit",
                "from": "2026-10-01T08:00:00.000+08:00",
                "to": "2026-10-01T09:00:00.000+08:00",
                "case": "东公(刑)字2026-117",
                "requester": "李警官",
                "unit": "某派出所",
                "reason": "盗窃",
                "added": "2026-10-02T10:00:00.000+08:00",
                "added_by": "person:zhang",
                "expires": None,
                "released": None,
                "released_by": None,
            }
        ],
        "stored": [{"camera": name, "segments": 129_600, "bytes": 2 * 10**12} for name in CAMERAS],
        "clock": {
            "now": {
                "trusted": True,
                "reason_zh": "至少两个时间源一致",
                "reason_en": "two sources agree with the clock",
                "since": "2026-09-01T08:00:00.000+08:00",
                "offsets_seconds": {"ntp": 0.002, "platform": -0.4, "cameras": 0.1},
            },
            "stretches": {
                "count": 2,
                "rows": [
                    {
                        "start": "2026-08-27T08:00:00.000+08:00",
                        "cause": "power_lost",
                        "known": True,
                        "moved_seconds": -31.25,
                    },
                    {
                        "start": "2026-09-01T08:00:00.000+08:00",
                        "cause": "clock_stepped",
                        "known": False,
                        "moved_seconds": None,
                    },
                ],
            },
        },
        "nights": [
            {
                "date": one.isoformat(),
                "passed": chance.random() > 0.1,
                "clock_synchronized": True,
                "complete": 5,
                "missing": 0,
                "check_failed": 0,
                "played": 10,
                "clocks_off": 0,
                "not_played": 0,
            }
            for one in dates[:-1]
        ],
        "retention": {"forecast_days": 131.4, "risk": ""},
        "volumes": [],
        "alarms": {
            "count": 2,
            "rows": [
                {
                    "number": 1,
                    "code": "picture_covered",
                    "name": "画面遮挡",
                    "severity": "warning",
                    "subject": "yard",
                    "reason": "三次检查确认 three checks",
                    "since": "2026-11-02T09:10:00.000+08:00",
                    "until": "2026-11-02T09:40:00.000+08:00",
                },
                {
                    "number": 2,
                    "code": "of_a_later_version",
                    "name": "新",
                    "severity": "critical",
                    "subject": "",
                    "reason": None,
                    "since": "2026-11-25T09:10:00.000+08:00",
                    "until": None,
                },
            ],
        },
        "access": {
            "actions": {"platform_query": 5_200, "footage_access": 31, "export": 2, "alarm": 4},
            "count": 64,
            "rows": [
                {
                    "at": f"2026-11-{1 + number % 24:02}T10:00:00.000+08:00",
                    "service": "console",
                    "seq": number,
                    "actor": "person:zhang",
                    "action": "footage_access",
                    "subject": "gate-exit",
                    "outcome": "done",
                    "detail": {"reason": "家长寻物 <script>alert(1)</script>", "bytes": 12_345},
                }
                for number in range(64)
            ],
        },
        "audit": [
            {
                "service": service,
                "sound": service != "uplink",
                "records": 12_345,
                "first_seq": 1,
                "last_seq": 12_345,
                "last_hash": "ab" * 32,
                "anchors": 40,
                "anchored_seq": 12_300,
                "lost_seq": 4_100 if service == "cli" else 0,
                "findings": [] if service != "uplink" else ["record 17 has changed"],
                "notes": [],
            }
            for service in ("cli", "console", "edge", "uplink")
        ],
    }


def _kpis(chance: random.Random) -> dict[str, Any]:
    ratios = {
        Kpi.ONLINE: 0.999873,
        Kpi.COMPLETENESS: 0.998201,
        Kpi.COMPLETE_DAYS: 0.9 + chance.random() / 10,
        Kpi.KEPT: 1.0,
        Kpi.CLOCK: 0.98,
        Kpi.PICTURE: None,
        Kpi.ARCHIVE: 0.8,
    }
    return {
        kpi.value: {"ratio": ratio, "good": 1, "all": 1 if ratio is not None else 0}
        for kpi, ratio in ratios.items()
    }


def _camera(name: str, dates: list[date], chance: random.Random) -> dict[str, Any]:
    title, role = CAMERAS[name]
    days = [
        _day(one, chance, is_young=name == "hall" and number < 50)
        for number, one in enumerate(dates)
    ]
    gaps = [
        {
            "start": f"{day['date']}T03:00:00.000+08:00",
            "end": f"{day['date']}T03:20:00.000+08:00",
            "seconds": seconds,
            "cause": cause,
        }
        for day in days
        for cause, seconds in day["missing_seconds"].items()
    ]
    missing: dict[str, float] = {}
    for gap in gaps:
        missing[gap["cause"]] = missing.get(gap["cause"], 0.0) + gap["seconds"]
    is_valid = name != "yard"
    return {
        "id": name,
        "name": title,
        "role": role,
        "gb_id": "36010200001320000001",
        "enabled": True,
        "mature": name != "hall",
        "due_from": f"{dates[50 if name == 'hall' and len(dates) > 50 else 0]}T00:00:00.000+08:00",
        "days": days,
        "gaps": {"count": len(gaps), "rows": gaps},
        "missing_seconds": missing,
        "kept": {
            "floor_days": 90,
            "max_days": 97,
            "oldest": "2026-08-20T00:00:00.000+08:00",
            "days": 40.0 if name == "hall" else 97.2,
        },
        "clock_offsets": [
            {"date": one.isoformat(), "seconds": round(chance.gauss(0.3, 0.6), 3)}
            for one in dates[:-1]
            if name != "hall"
        ]
        + ([{"date": dates[-2].isoformat(), "seconds": 44.0}] if name == "yard" else []),
        "archive": {
            "valid": is_valid,
            "findings": []
            if is_valid
            else [{"field": "point_type", "zh": "没有点位类型", "en": "class of point is missing"}],
        },
        "chain": None
        if name == "hall"
        else {
            "segments": 129_600,
            "link": "5c" * 32,
            "signed": "2026-11-25T15:30:00.000+08:00",
        },
        "kpis": _kpis(chance),
    }


def _day(one: date, chance: random.Random, *, is_young: bool) -> dict[str, Any]:
    missing: dict[str, float] = {}
    if not is_young and chance.random() < 0.12:
        cause = chance.choice(["camera_offline", "network", "power_lost", "disk_slow"])
        missing[cause] = round(10 ** chance.uniform(0.3, 4.5), 1)
    total = sum(missing.values())
    return {
        "date": one.isoformat(),
        "state": "not_due" if is_young else "missing" if missing else "complete",
        "whole": True,
        "ratio": None if is_young else int((1 - total / 86_400) * 1e6) / 1e6,
        "due_seconds": 0.0 if is_young else 86_400.0,
        "recorded_seconds": 0.0 if is_young else 86_400.0 - total,
        "expired_seconds": 0.0,
        "gaps": len(missing),
        "longest_gap_seconds": total,
        "missing_seconds": missing,
    }

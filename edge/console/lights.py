"""Green, amber, red: five answers of the front page, each with its reason and its mend. Core.

Made of what ``edge`` tells (its ``/status``, its answer to ``status``), what ``uplink`` tells of
platforms, and the alarms that stand. An alarm names reason and mend itself (edge.alarms.codes);
what is no alarm yet, or not known yet, is said in phrases of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from config.units import format_bytes
from edge.alarms.codes import Code
from edge.platform_why import platform_why
from retention.gap_names import CAUSES_ZH
from retention.model import GapCause

CLOCK_WARN_S = 1.0
CLOCK_BAD_S = 30.0
CAMERA_CLOCK_WARN_S = 5.0
NAMES_SHOWN = 3


class Level(StrEnum):
    """From best to worst; then what is neither: not known now, not in use here."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    OFF = "off"


class Topic(StrEnum):
    """What the front page answers."""

    RECORDING = "recording"
    RETENTION = "retention"
    CLOCK = "clock"
    DISKS = "disks"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A phrase of the catalogue with its values (a pair is Chinese and English), or (``zh``,
    ``en``) what was told in both."""

    key: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    zh: str = ""
    en: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    topic: Topic
    level: Level
    reason: Sentence
    mend: Sentence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was told.

    Args:
        told: edge's ``/status``; None where edge does not answer.
        status: edge's answer to ``status``; None likewise.
        platforms: one document a platform of the settings.
        cameras: names of the enabled cameras by id.
    """

    told: Mapping[str, Any] | None
    status: Mapping[str, Any] | None
    platforms: list[Mapping[str, Any]]
    cameras: Mapping[str, str]
    min_days: int

    @property
    def alarms(self) -> list[Mapping[str, Any]]:
        return list((self.told or {}).get("alarms", []))


#: Alarms that a light answers for; all others stand below the lights.
_ALARMS: Mapping[Topic, frozenset[Code]] = {
    Topic.RECORDING: frozenset({Code.VIDEO_LOST, Code.RECORDING_INTERRUPTED, Code.FRAMES_DROPPED}),
    Topic.RETENTION: frozenset({Code.RETENTION_AT_RISK, Code.RETENTION_BREACHED}),
    Topic.CLOCK: frozenset({Code.TIME_UNTRUSTED, Code.CLOCK_UNSYNCHRONIZED, Code.CAMERA_CLOCK_OFF}),
    Topic.DISKS: frozenset(
        {
            Code.STORAGE_FAILED,
            Code.STORAGE_FULL,
            Code.DISK_FAILING,
            Code.DISK_HOT,
            Code.STATE_FOLDER_FULL,
            Code.INDEX_FAILED,
        }
    ),
    Topic.PLATFORM: frozenset({Code.PLATFORM_OFFLINE}),
}


def lights(seen: Seen) -> list[Light]:
    """In the order of the page."""
    if seen.told is None:
        reason = Sentence(key="front.edge_down")
        down = Light(
            topic=Topic.RECORDING,
            level=Level.BAD,
            reason=reason,
            mend=Sentence(key="front.edge_down_mend"),
        )
        unknown = [
            Light(topic=topic, level=Level.UNKNOWN, reason=reason)
            for topic in (Topic.RETENTION, Topic.CLOCK, Topic.DISKS)
        ]
        return [down, *unknown, _platform(seen)]
    return [
        _alarmed(seen, Topic.RECORDING) or _recording(seen),
        _alarmed(seen, Topic.RETENTION) or _retention(seen),
        _alarmed(seen, Topic.CLOCK) or _clock(seen),
        _alarmed(seen, Topic.DISKS) or _disks(seen),
        _alarmed(seen, Topic.PLATFORM) or _platform(seen),
    ]


def other_alarms(seen: Seen) -> list[list[Mapping[str, Any]]]:
    """What stands beside the lights, those of a kind together, the worst first."""
    answered = frozenset().union(*_ALARMS.values())
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for one in seen.alarms:
        if one["code"] not in answered:
            kinds.setdefault(one["code"], []).append(one)
    return sorted(kinds.values(), key=lambda group: group[0]["severity"] != "critical")


def _alarmed(seen: Seen, topic: Topic) -> Light | None:
    """The worst alarm of a topic, with how many more there are."""
    found = [one for one in seen.alarms if one["code"] in _ALARMS[topic]]
    if not found:
        return None
    worst = min(found, key=lambda one: one["severity"] != "critical")
    same = [one for one in found if one["code"] == worst["code"]]
    subjects = [seen.cameras.get(one["subject"], one["subject"]) for one in same]
    named = _listed(subject for subject in subjects if subject)
    why_zh, why_en = worst["reason_zh"] or worst["reason_en"], worst["reason_en"]
    if why_en in frozenset(GapCause):
        why_en = why_en.replace("_", " ")
    if len(same) > 1 or not why_zh:
        why_zh = why_en = ""
    name_en = worst["name_en"]
    return Light(
        topic=topic,
        level=Level.BAD if worst["severity"] == "critical" else Level.WARN,
        reason=Sentence(
            zh=(f"{named}：" if named else "")
            + worst["name_zh"]
            + (f"（{why_zh}）" if why_zh else ""),
            en=(f"{named}: {name_en}" if named else name_en[:1].upper() + name_en[1:])
            + (f" ({why_en or why_zh})" if why_zh else ""),
        ),
        mend=Sentence(zh=worst["mend_zh"], en=worst["mend_en"][:1].upper() + worst["mend_en"][1:]),
    )


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    shown = ", ".join(found[:NAMES_SHOWN])
    return f"{shown} +{len(found) - NAMES_SHOWN}" if len(found) > NAMES_SHOWN else shown


def _recording(seen: Seen) -> Light:
    assert seen.told is not None
    told = seen.told.get("cameras", {})
    silent = [name for name in seen.cameras if not told.get(name, {}).get("recording")]
    topic = Topic.RECORDING
    if not seen.cameras:
        return Light(
            topic=topic,
            level=Level.WARN,
            reason=Sentence(key="front.no_camera"),
            mend=Sentence(key="front.no_camera_mend"),
        )
    if not silent:
        count = len(seen.cameras)
        reason = Sentence(key="front.all_recording", values={"count": count})
        return Light(topic=topic, level=Level.OK, reason=reason)
    names = _listed(seen.cameras[name] for name in silent)
    cause = told.get(silent[0], {}).get("cause", "")
    cause_zh = CAUSES_ZH[GapCause(cause)] if cause in frozenset(GapCause) else "尚无录像"
    values = {
        "names": names,
        "count": len(silent),
        "all": len(seen.cameras),
        "cause": (cause_zh, cause.replace("_", " ") or "nothing recorded yet"),
    }
    return Light(
        topic=topic,
        level=Level.BAD,
        reason=Sentence(key="front.not_recording", values=values),
        mend=Sentence(key="front.not_recording_mend"),
    )


def _retention(seen: Seen) -> Light:
    status = seen.status or {}
    site = status.get("retention") or {}
    topic, days = Topic.RETENTION, seen.min_days
    standings = [
        one["retention"] for one in status.get("cameras", {}).values() if one.get("retention")
    ]
    states = {one["state"] for one in standings}
    oldest = [one["oldest_days"] or 0.0 for one in standings]
    forecast = site.get("forecast_days")
    values = {
        "days": days,
        "oldest": f"{min(oldest, default=0.0):.1f}",
        "forecast": "–" if forecast is None else f"{forecast:.0f}",
    }
    if states & {"breached", "short"}:
        return Light(
            topic=topic,
            level=Level.BAD,
            reason=Sentence(key="front.days_short", values=values),
            mend=Sentence(key="front.days_short_mend"),
        )
    if not site.get("forecast_known", False):
        return Light(
            topic=topic,
            level=Level.WARN,
            reason=Sentence(key="front.days_unknown", values=values),
            mend=Sentence(key="front.days_unknown_mend"),
        )
    if "immature" in states or not states:
        # None where nothing will have to go for as long as was looked ahead
        key = "front.days_ahead" if forecast is not None else "front.days_ahead_long"
        return Light(topic=topic, level=Level.OK, reason=Sentence(key=key, values=values))
    return Light(topic=topic, level=Level.OK, reason=Sentence(key="front.days_held", values=values))


def _clock(seen: Seen) -> Light:
    topic, time = Topic.CLOCK, (seen.status or {}).get("time")
    if not time:
        return Light(
            topic=topic,
            level=Level.UNKNOWN,
            reason=Sentence(key="front.clock_unknown"),
            mend=Sentence(key="front.edge_down_mend"),
        )
    if not time["trusted"]:
        return Light(
            topic=topic,
            level=Level.BAD,
            reason=_time_reason(time),
            mend=Sentence(key="front.clock_untrusted_mend"),
        )
    offsets = time.get("offsets_seconds") or {}
    worst = max((abs(one) for one in offsets.values()), default=0.0)
    values = {"offset": f"{worst:.1f}"}
    if worst > CLOCK_WARN_S:
        return Light(
            topic=topic,
            level=Level.BAD if worst > CLOCK_BAD_S else Level.WARN,
            reason=Sentence(key="front.clock_off", values=values),
            mend=Sentence(key="front.clock_off_mend"),
        )
    late = [
        seen.cameras[name]
        for name, one in (seen.status or {}).get("cameras", {}).items()
        if name in seen.cameras and abs(one.get("clock_offset_seconds") or 0) > CAMERA_CLOCK_WARN_S
    ]
    if late:
        return Light(
            topic=topic,
            level=Level.WARN,
            reason=Sentence(key="front.camera_clock_off", values={"names": _listed(late)}),
            mend=Sentence(key="front.camera_clock_off_mend"),
        )
    return Light(topic=topic, level=Level.OK, reason=_time_reason(time))


def _time_reason(time: Mapping[str, Any]) -> Sentence:
    en = time["reason_en"]
    return Sentence(zh=f"{time['reason_zh']}。", en=f"{en[:1].upper()}{en[1:]}.")


def _disks(seen: Seen) -> Light:
    assert seen.told is not None
    volumes = seen.told.get("volumes", [])
    broken = [one for one in volumes if one["state"] not in ("ok", "full")]
    topic = Topic.DISKS
    if broken:
        return Light(
            topic=topic,
            level=Level.BAD,
            reason=Sentence(
                key="front.disk_bad",
                values={"names": _listed(one["name"] for one in broken), "count": len(broken)},
            ),
            mend=Sentence(key="front.disk_bad_mend"),
        )
    capacity = sum(one["capacity_bytes"] for one in volumes)
    free = sum(one["free_bytes"] for one in volumes)
    values = {
        "count": len(volumes),
        "capacity": format_bytes(capacity),
        "free": format_bytes(free),
    }
    return Light(topic=topic, level=Level.OK, reason=Sentence(key="front.disks_ok", values=values))


def _platform(seen: Seen) -> Light:
    topic = Topic.PLATFORM
    if not seen.platforms:
        return Light(topic=topic, level=Level.OFF, reason=Sentence(key="front.no_platform"))
    away = [one for one in seen.platforms if not one.get("registered")]
    if not away:
        names = _listed(one["platform"] for one in seen.platforms)
        reason = Sentence(key="front.platform_ok", values={"names": names})
        return Light(topic=topic, level=Level.OK, reason=reason)
    return Light(
        topic=topic,
        level=Level.BAD,
        reason=Sentence(
            key="front.platform_away",
            values={
                "names": _listed(one["platform"] for one in away),
                "why": platform_why(away[0].get("trouble") or away[0].get("state", "")),
            },
        ),
        mend=Sentence(key="front.platform_mend"),
    )


def worst(found: Iterable[Light]) -> Level:
    """Of the site as a whole; what is not known is not well."""
    levels = {light.level for light in found}
    if Level.BAD in levels:
        return Level.BAD
    return Level.WARN if levels & {Level.WARN, Level.UNKNOWN} else Level.OK

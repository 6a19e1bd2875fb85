"""The front page's five answers: what colour, why, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from edge.alarms.codes import TERMS, Code
from edge.alarms.register import Alarm, document
from edge.console.lights import Level, Seen, Sentence, Topic, lights, other_alarms, worst
from edge.console.phrases import LANGUAGES, catalogue

TRUSTED = {
    "trusted": True,
    "reason_zh": "时钟可信",
    "reason_en": "it is trusted",
    "offsets_seconds": {"ntp": 0.01},
}


def alarm(code: Code, subject: str = "", why: str = "") -> dict[str, Any]:
    return document(
        Alarm(number=1, code=code, subject=subject, reason_zh=why, reason_en=why, since_us=1)
    )


def seen(**changes: Any) -> Seen:
    """A site where all is well."""
    told = {
        "cameras": {"gate": {"recording": True, "cause": ""}},
        "volumes": [{"name": "/a", "state": "ok", "capacity_bytes": 2**42, "free_bytes": 2**40}],
        "alarms": changes.pop("alarms", []),
    }
    is_silent = changes.get("told", 0) is None
    told |= changes.pop("told", {}) or {}
    status = {
        "time": changes.pop("time", TRUSTED),
        "retention": {"forecast_known": True, "forecast_days": None},
        "cameras": {"gate": {"retention": {"state": "held", "oldest_days": 95.2}}},
    }
    status |= changes.pop("status", {}) or {}
    values: dict[str, Any] = {
        "told": None if is_silent else told,
        "status": None if is_silent else status,
        "platforms": [{"platform": "police", "registered": True}],
        "cameras": {"gate": "大门"},
        "min_days": 90,
    }
    return Seen(**(values | changes))


def by_topic(what: Seen) -> dict[Topic, Level]:
    return {light.topic: light.level for light in lights(what)}


def test_all_is_well() -> None:
    found = lights(seen())
    assert {light.level for light in found} == {Level.OK}
    assert [light.topic for light in found] == list(Topic)
    assert worst(found) is Level.OK


@pytest.mark.parametrize(
    ("changes", "topic", "level"),
    [
        ({"told": {"cameras": {}}}, Topic.RECORDING, Level.BAD),
        ({"told": {"cameras": {"gate": {"recording": False, "cause": "camera_auth"}}}},)
        + (Topic.RECORDING, Level.BAD),
        ({"cameras": {}}, Topic.RECORDING, Level.WARN),
        ({"alarms": [alarm(Code.VIDEO_LOST, "gate")]}, Topic.RECORDING, Level.BAD),
        ({"status": {"retention": {"forecast_known": False}}}, Topic.RETENTION, Level.WARN),
        ({"status": {"cameras": {"gate": {"retention": {"state": "short", "oldest_days": 3}}}}},)
        + (Topic.RETENTION, Level.BAD),
        ({"alarms": [alarm(Code.RETENTION_AT_RISK)]}, Topic.RETENTION, Level.BAD),
        ({"time": TRUSTED | {"trusted": False}}, Topic.CLOCK, Level.BAD),
        ({"time": TRUSTED | {"offsets_seconds": {"ntp": -3}}}, Topic.CLOCK, Level.WARN),
        ({"time": TRUSTED | {"offsets_seconds": {"ntp": 31}}}, Topic.CLOCK, Level.BAD),
        ({"time": None}, Topic.CLOCK, Level.UNKNOWN),
        ({"status": {"cameras": {"gate": {"clock_offset_seconds": -42}}}}, Topic.CLOCK, Level.WARN),
        ({"alarms": [alarm(Code.DISK_HOT, "/a")]}, Topic.DISKS, Level.WARN),
        ({"told": {"volumes": [{"name": "/a", "state": "missing"}]}}, Topic.DISKS, Level.BAD),
        ({"platforms": []}, Topic.PLATFORM, Level.OFF),
        ({"platforms": [{"platform": "police", "registered": False, "state": "trying"}]},)
        + (Topic.PLATFORM, Level.BAD),
    ],
)
def test_what_is_wrong_shows_where_it_is(
    changes: dict[str, Any], topic: Topic, level: Level
) -> None:
    found = lights(seen(**changes))
    light = next(one for one in found if one.topic is topic)
    assert light.level is level
    assert level is Level.OFF or light.mend is not None
    others = {one.level for one in found if one.topic is not topic}
    assert others <= {Level.OK}
    site = {Level.OFF: Level.OK, Level.UNKNOWN: Level.WARN}
    assert worst(found) is site.get(level, level)


def test_without_edge_nothing_counts_as_recording() -> None:
    found = by_topic(seen(told=None, status=None))
    assert found[Topic.RECORDING] is Level.BAD
    assert found[Topic.DISKS] is Level.UNKNOWN
    assert Level.OK not in {found[topic] for topic in Topic if topic is not Topic.PLATFORM}


def test_several_cameras_are_counted_and_the_first_named() -> None:
    names = {f"c{number}": f"摄像机{number}" for number in range(5)}
    what = seen(cameras=names, alarms=[alarm(Code.VIDEO_LOST, name) for name in names])
    light = lights(what)[0]
    assert light.reason.zh == "摄像机0, 摄像机1, 摄像机2 +2：视频丢失"
    assert light.mend is not None
    assert light.mend.zh == TERMS[Code.VIDEO_LOST].mend_zh


def test_an_alarm_shows_in_one_place() -> None:
    """In its light, or below the lights; critical ones first."""
    what = seen(alarms=[alarm(code, "x") for code in Code])
    below = [one[0]["code"] for one in other_alarms(what)]
    assert Code.LOGIN_ATTACK in below
    assert Code.VIDEO_LOST not in below
    severities = [TERMS[Code(code)].severity.value for code in below]
    assert severities == sorted(severities, key=lambda one: one != "critical")


def test_every_sentence_can_be_said() -> None:
    """Each phrase gets the values that it names."""
    whats = [seen(), seen(told=None), seen(platforms=[]), seen(cameras={})]
    whats += [seen(time=TRUSTED | {"offsets_seconds": {"ntp": 5}})]
    whats += [seen(told={"cameras": {}}), seen(told={"volumes": []})]
    for what in whats:
        for light in lights(what):
            for sentence in (light.reason, light.mend):
                for place in range(len(LANGUAGES)):
                    assert said(sentence, place)


def said(sentence: Sentence | None, place: int) -> str:
    if sentence is None:
        return "-"
    if not sentence.key:
        return (sentence.zh, sentence.en)[place]
    return catalogue()[sentence.key][place].format(**sentence.values)

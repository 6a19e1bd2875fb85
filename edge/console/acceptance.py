"""The acceptance checklist: what the box itself can say of each check, and what people sign. Shell.

The checks are those of an integrator's hand-over (domain.md, "Acceptance checks"). A check that
nothing here can judge is left open: it is never called passed by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.console.lights import Level, Light, Sentence, Topic, lights
from edge.console.visit import Visit
from retention.index.errors import IndexUnavailable

COMPLETENESS_MIN = 0.995
#: In the order of the list; each a phrase "check.<name>".
CHECKS = (
    "points",
    "picture",
    "resolution",
    "completeness",
    "oldest",
    "clock",
    "names",
    "platform",
    "records",
    "archive",
    "security",
    "roles",
    "power",
    "holds",
    "diagnosis",
    "trial",
    "sampling",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``level`` None: for people to judge."""

    name: str
    level: Level | None = None
    told: Sentence | None = None


async def checklist(visit: Visit) -> list[Check]:
    seen = await visit.parts.look()
    by_topic = {light.topic: light for light in lights(seen)}
    known = {
        "resolution": _resolution(visit, dict((seen.told or {}).get("cameras", {}))),
        "completeness": await _completeness(visit),
        "oldest": _of("oldest", by_topic[Topic.RETENTION]),
        "clock": _of("clock", by_topic[Topic.CLOCK]),
        "names": _names(visit),
        "platform": _of("platform", by_topic[Topic.PLATFORM]),
        "roles": _roles(visit),
    }
    return [known.get(name) or Check(name=name) for name in CHECKS]


def _of(name: str, light: Light) -> Check:
    return Check(name=name, level=light.level, told=light.reason)


def _resolution(visit: Visit, told: dict[str, dict[str, int]]) -> Check:
    low = [
        camera.name
        for camera in visit.parts.settings.camera
        if camera.enabled and told.get(camera.id, {}).get("width", 0) < 1920
    ]
    if not low:
        return Check(
            name="resolution", level=Level.OK, told=Sentence(key="acceptance.resolution_ok")
        )
    values = {"names": ", ".join(low)}
    return Check(
        name="resolution",
        level=Level.WARN,
        told=Sentence(key="acceptance.resolution_low", values=values),
    )


async def _completeness(visit: Visit) -> Check:
    try:
        covered = await visit.parts.coverage()
    except IndexUnavailable:
        return Check(name="completeness")
    ratios = [one.all for one in covered.values() if one.all is not None]
    if not ratios:
        return Check(name="completeness")
    values = {"percent": f"{100 * min(ratios):.2f}"}
    return Check(
        name="completeness",
        level=Level.OK if min(ratios) >= COMPLETENESS_MIN else Level.BAD,
        told=Sentence(key="acceptance.completeness", values=values),
    )


def _names(visit: Visit) -> Check:
    cameras = visit.parts.settings.camera
    names = [camera.name for camera in cameras]
    without = [camera.name for camera in cameras if camera.expose and camera.gb_id is None]
    if len(set(names)) < len(names):
        return Check(name="names", level=Level.BAD, told=Sentence(key="acceptance.names_twice"))
    if without:
        values = {"names": ", ".join(without)}
        return Check(
            name="names",
            level=Level.WARN,
            told=Sentence(key="acceptance.names_no_code", values=values),
        )
    return Check(name="names", told=Sentence(key="acceptance.names_ok"))


def _roles(visit: Visit) -> Check:
    accounts = [one for one in visit.parts.accounts.list() if not one.is_disabled]
    values = {"count": len(accounts), "open": sum(one.must_change for one in accounts)}
    return Check(name="roles", told=Sentence(key="acceptance.accounts", values=values))

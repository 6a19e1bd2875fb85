"""The front page: what a head reads in ten seconds. Shell."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from config.schema import Camera
from edge.console.lights import Level, Seen, lights, other_alarms, worst
from edge.console.parts import Covered
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.visit import Visit
from retention.gap_names import CAUSES_ZH
from retention.index.errors import IndexUnavailable
from retention.model import GapCause

#: Of a kind; all of them stand on their own page.
ALARMS_SHOWN = 4


async def front(visit: Visit) -> Response:
    return visit.page("front.html", **await _values(visit))


async def front_part(visit: Visit) -> Response:
    """What the open page asks for anew by itself."""
    return visit.page("_front.html", **await _values(visit))


async def _values(visit: Visit) -> dict[str, Any]:
    parts = visit.parts
    seen = await parts.look()
    found = lights(seen)
    try:
        coverage = await parts.coverage()
    except IndexUnavailable:
        coverage = {}
    return {
        "lights": found,
        "worst": worst(found),
        "alarms": other_alarms(seen),
        "alarms_shown": ALARMS_SHOWN,
        "rows": [
            _row(visit, seen, coverage.get(camera.id), camera) for camera in parts.settings.camera
        ],
        "now": parts.clock.utc_us(),
    }


def _row(visit: Visit, seen: Seen, covered: Covered | None, camera: Camera) -> dict[str, Any]:
    told = ((seen.told or {}).get("cameras") or {}).get(camera.id, {})
    level = Level.UNKNOWN
    if camera.enabled and seen.told is not None:
        level = Level.OK if told.get("recording") else Level.BAD
    cause = told.get("cause", "")
    zh = CAUSES_ZH[GapCause(cause)] if cause in frozenset(GapCause) else ""
    return {
        "id": camera.id,
        "name": camera.name,
        "level": level,
        "is_enabled": camera.enabled,
        "cause": zh if visit.language == "zh" else cause.replace("_", " "),
        "rate": told.get("bits_per_second", 0) / 1e6,
        "picture": f"{told['width']}×{told['height']}" if told.get("width") else "",
        "codec": {"h264": "H.264", "h265": "H.265"}.get(told.get("codec", ""), ""),
        "covered": covered,
    }


RULES = (
    Rule(method="GET", path="/", endpoint=front, permission=Permission.OWN, nav="nav.front"),
    Rule(
        method="GET",
        path="/front/part",
        endpoint=front_part,
        permission=Permission.OWN,
        is_background=True,
    ),
)

"""Time lines as data for the pages: coverage, gaps with their cause, holds, markers. Shell.

No picture is in it: who may see coverage need not be let see footage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from edge.console.glance import Bucket, Held, even_edges, glance, longest_gaps
from edge.console.guard import BadRequest
from edge.console.roles import Permission
from edge.console.rules import Kind, Rule
from edge.console.visit import Visit
from retention.completeness import DAY_US, local_date, midnight_us
from retention.holds import EVERY_CAMERA, Hold
from retention.model import Marker
from retention.read import MARKERS_MAX, Store
from retention.timeline import Timeline

HOUR_US = DAY_US // 24
SPAN_US_MAX = 400 * DAY_US
BUCKETS_MAX = 2000
GAPS_MAX = 200
DAYS = 90


def whole_number(visit: Visit, name: str, least: int, most: int) -> int:
    """A number of the query. Raises :class:`BadRequest`."""
    text = visit.query(name)
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and least <= int(text) <= most):
        raise BadRequest(f"{name} must be a number from {least} to {most}")
    return int(text)


def window(visit: Visit, span_us_max: int) -> tuple[int, int]:
    """``from_us`` and ``to_us`` of the query. Raises :class:`BadRequest`."""
    from_us = whole_number(visit, "from_us", 0, 1 << 60)
    to_us = whole_number(visit, "to_us", 0, 1 << 60)
    if not 0 < to_us - from_us <= span_us_max:
        raise BadRequest(f"a window of at most {span_us_max // 1_000_000} s")
    return from_us, to_us


async def line(visit: Visit) -> Response:
    """A camera's window in so many buckets."""
    camera = visit.known_camera(visit.request.path_params["camera"])
    from_us, to_us = window(visit, SPAN_US_MAX)
    edges = even_edges(from_us, to_us, whole_number(visit, "buckets", 1, BUCKETS_MAX))
    now_us = visit.parts.clock.utc_us()

    def query(store: Store) -> tuple[Timeline, list[Hold], list[Marker]]:
        return (
            store.timeline(camera, from_us, to_us, now_us),
            store.holds(),
            store.markers(camera, from_us, to_us),
        )

    found, holds, markers = await visit.parts.footage.look(query)
    held = [one for one in _held(holds, camera) if one.to_us > from_us and one.from_us < to_us]
    buckets = glance(found, edges, _stretches(held), markers)
    gaps, count = longest_gaps(found, GAPS_MAX)
    return visit.json(
        {
            "camera": camera,
            "from_us": from_us,
            "to_us": to_us,
            "due_from_us": found.from_us,
            "due_to_us": found.to_us,
            "recorded_us": sum(one.recorded_us for one in buckets),
            "missing_us": sum(one.missing_us for one in buckets),
            "buckets": [_columns(one) for one in buckets],
            "gaps": [
                {
                    "start_us": gap.start_us,
                    "end_us": found.to_us if gap.end_us is None else gap.end_us,
                    "cause": gap.cause.value,
                    "detail": gap.detail,
                }
                for gap in gaps
            ],
            "gap_count": count,
            "holds": [
                {"from_us": one.from_us, "to_us": one.to_us, "case": one.case} for one in held
            ],
            "markers": [
                [place, [kind.value for kind, _ in one.markers]]
                for place, one in enumerate(buckets)
                if one.markers
            ],
            "markers_are_cut": len(markers) >= MARKERS_MAX,
        }
    )


async def hours(visit: Visit) -> Response:
    """The past 90 days and today of a camera, hour by hour of the site's time."""
    camera = visit.known_camera(visit.request.path_params["camera"])
    now_us, zone = visit.parts.clock.utc_us(), visit.parts.zone
    today = local_date(now_us, zone)
    days = [today - timedelta(days=back) for back in range(DAYS, -1, -1)]
    starts = [midnight_us(day, zone) for day in [*days, today + timedelta(days=1)]]

    def query(store: Store) -> tuple[Timeline, list[Hold]]:
        return store.timeline(camera, starts[0], now_us, now_us), store.holds()

    found, holds = await visit.parts.footage.look(query)
    edges = [edge for place in range(len(days)) for edge in _day(starts, place)] + [starts[-1]]
    buckets = iter(glance(found, edges, _stretches(_held(holds, camera))))
    return visit.json(
        {
            "camera": camera,
            "days": [
                {
                    "date": day.isoformat(),
                    "from_us": starts[place],
                    "to_us": starts[place + 1],
                    "hours": [_columns(next(buckets)) for _ in _day(starts, place)],
                }
                for place, day in enumerate(days)
            ],
        }
    )


def _day(starts: Sequence[int], place: int) -> range:
    """Where the hours of a day begin: 23 to 25 of them where clocks are changed."""
    return range(starts[place], starts[place + 1], HOUR_US)


def _columns(bucket: Bucket) -> list[Any]:
    return [
        bucket.recorded_us,
        bucket.missing_us,
        bucket.expired_us,
        bucket.gaps,
        None if bucket.cause is None else bucket.cause.value,
        int(bucket.is_held),
    ]


def _held(holds: Sequence[Hold], camera: str) -> list[Hold]:
    return [one for one in holds if one.camera in (EVERY_CAMERA, camera)]


def _stretches(holds: Sequence[Hold]) -> Iterator[Held]:
    for one in holds:
        yield Held(start_us=one.from_us, end_us=one.to_us)


RULES = (
    Rule(
        method="GET",
        path="/timeline/{camera}.json",
        endpoint=line,
        permission=Permission.TIMELINE,
        kind=Kind.DATA,
    ),
    Rule(
        method="GET",
        path="/timeline/{camera}/hours.json",
        endpoint=hours,
        permission=Permission.TIMELINE,
        kind=Kind.DATA,
    ),
)

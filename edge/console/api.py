"""The JSON API for a district's own tools: read-only, by token or login, never a picture. Shell.

``/api/v1/openapi.json`` describes it, made of the same operations and models that answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from config.errors import XueliangError
from config.instants import format_instant, parse_instant
from config.schema import Camera
from edge.completeness_command import completeness_document
from edge.console import alarm_pages
from edge.console import api_models as model
from edge.console.api_document import DAYS_MAX, PREFIX, Operation, Parameter, openapi
from edge.console.guard import BadRequest
from edge.console.hold_pages import stored
from edge.console.lights import Light, lights, worst
from edge.console.roles import Permission, Scope
from edge.console.rules import Kind, Rule
from edge.console.visit import Visit
from edge.console.wording import sentence_text
from edge.status import UnknownCamera, completeness_of, rounded
from retention.audit_read import heads
from retention.completeness import Completeness
from retention.holds import EVERY_CAMERA
from retention.model import US_PER_S
from retention.read import Store

DAY_US = 86_400 * US_PER_S
#: Instants outside of these are typing errors, and no calendar's business.
EARLIEST_US = 946_684_800 * US_PER_S  # 2000-01-01
LATEST_US = 4_102_444_800 * US_PER_S  # 2100-01-01
DAYS_ASKED = 90
LONGEST = "90d"  # the window of completeness that covers the floor


class _Times:
    """Instants as this site writes them."""

    def __init__(self, visit: Visit) -> None:
        self._zone = visit.parts.zone

    def __call__(self, instant_us: int) -> Any:
        return format_instant(instant_us, self._zone)

    def maybe(self, instant_us: int | None) -> Any:
        return None if instant_us is None else self(instant_us)


async def status(visit: Visit) -> BaseModel:
    parts, time = visit.parts, _Times(visit)
    seen = await parts.look()
    found = lights(seen)
    told, answered = seen.told or {}, seen.status or {}
    clock = answered.get("time") or {}
    retention = parts.settings.retention
    return model.StatusAnswer(
        site=parts.settings.site.name,
        at=time(parts.clock.utc_us()),
        edge_running=seen.told is not None,
        level=model.LevelWord(worst(found).value),
        lights=[_light(light) for light in found],
        min_days=retention.min_days,
        max_days=retention.max_days,
        forecast_days=(answered.get("retention") or {}).get("forecast_days"),
        time_trusted=clock.get("trusted"),
        clock_offsets_seconds=clock.get("offsets_seconds") or {},
        volumes=[
            model.VolumeAnswer(
                number=number,
                state=one["state"],
                capacity_bytes=one["capacity_bytes"],
                free_bytes=one["free_bytes"],
            )
            for number, one in enumerate(told.get("volumes", []), 1)
        ],
        platforms=[
            model.PlatformAnswer(
                name=one["platform"],
                registered=one["registered"],
                state=str(one["state"]),
                since=one.get("since"),
            )
            for one in seen.platforms
        ],
    )


def _light(light: Light) -> model.LightAnswer:
    return model.LightAnswer(
        topic=light.topic.value,
        level=model.LevelWord(light.level.value),
        reason_zh=sentence_text(light.reason, "zh"),
        reason_en=sentence_text(light.reason, "en"),
        mend_zh=sentence_text(light.mend, "zh"),
        mend_en=sentence_text(light.mend, "en"),
    )


async def cameras(visit: Visit) -> BaseModel:
    seen = await visit.parts.look()
    told = None if seen.told is None else seen.told.get("cameras", {})
    return model.CamerasAnswer(cameras=[_camera(one, told) for one in visit.parts.settings.camera])


def _camera(one: Camera, told: dict[str, Any] | None) -> model.CameraAnswer:
    known = (told or {}).get(one.id, {})
    return model.CameraAnswer(
        id=one.id,
        name=one.name,
        role=one.role,
        gb_id=None if one.gb_id is None else str(one.gb_id),
        enabled=one.enabled,
        exposed=one.expose,
        recording=None if told is None else bool(known.get("recording")),
        cause=known.get("cause") or None,
        codec=known.get("codec") or None,
        width=known.get("width") or None,
        height=known.get("height") or None,
        bits_per_second=known.get("bits_per_second"),
        manufacturer=known.get("manufacturer", ""),
        model=known.get("model", ""),
        firmware=known.get("firmware", ""),
    )


async def timeline(visit: Visit) -> BaseModel:
    parts, time = visit.parts, _Times(visit)
    camera = _camera_of(visit)
    from_us, to_us = _instant(visit, "from"), _instant(visit, "to")
    if not 0 < to_us - from_us <= DAYS_MAX * DAY_US:
        raise BadRequest(f"a window of at most {DAYS_MAX} days", hint="from comes before to")
    line = await parts.read(
        lambda store: store.timeline(camera, from_us, to_us, parts.clock.utc_us())
    )
    return model.TimelineAnswer(
        **{"from": time(line.from_us)},
        camera=camera,
        to=time(line.to_us),
        spans=[
            model.SpanAnswer(start=time(one.start_us), end=time(one.end_us)) for one in line.spans
        ],
        gaps=[
            model.GapAnswer(
                start=time(one.start_us),
                end=time(one.end_us or line.to_us),
                cause=one.cause.value,
                detail=one.detail,
            )
            for one in line.gaps
        ],
    )


async def completeness(visit: Visit) -> BaseModel:
    camera = _camera_of(visit)
    text = visit.query("days", str(DAYS_ASKED))
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 90):
        raise BadRequest("days must be a number from 1 to 90", hint="leave it out for 90")
    settings = visit.parts.settings
    try:
        (found,) = await asyncio.to_thread(completeness_document, settings, camera, int(text))
    except UnknownCamera:
        raise NothingYet(f"{camera} has not recorded anything yet") from None
    return model.CompletenessAnswer.model_validate(found)


class NothingYet(XueliangError):
    """The store does not know this camera yet."""

    code = "nothing_yet"


async def alarms(visit: Visit) -> BaseModel:
    found, is_running = await alarm_pages.told(visit)
    return model.AlarmsAnswer(
        edge_running=is_running,
        standing=[_alarm(visit, one) for one in found["standing"]],
        ended=[_alarm(visit, one) for one in found["ended"]],
    )


_ALARM_AS_IT_IS = (
    "number",
    "code",
    "about",
    "severity",
    "name_zh",
    "name_en",
    "reason_zh",
    "reason_en",
    "mend_zh",
    "mend_en",
)


def _alarm(visit: Visit, one: dict[str, Any]) -> model.AlarmAnswer:
    time = _Times(visit)
    subject = one["subject"]
    if one["about"] == "volume":  # a path is the box's own business
        volumes = [str(path) for path in visit.parts.settings.storage.volumes]
        subject = str(volumes.index(subject) + 1) if subject in volumes else ""
    return model.AlarmAnswer(
        **{name: one[name] for name in _ALARM_AS_IT_IS},
        subject=subject,
        since=time(one["since_us"]),
        until=time.maybe(one["until_us"]),
    )


async def holds(visit: Visit) -> BaseModel:
    time = _Times(visit)
    return model.HoldsAnswer(
        holds=[
            model.HoldAnswer(
                **{"from": time(one.from_us)},
                id=one.id,
                camera=None if one.camera == EVERY_CAMERA else one.camera,
                to=time(one.to_us),
                state=one.state(None).value,
                case=one.case,
                requester=one.requester,
                unit=one.unit,
                expires=time.maybe(one.expires_us),
                added=time(one.added_us),
                added_by=one.added_by,
                released=time.maybe(one.released_us),
                released_by=one.released_by,
            )
            for one in await stored(visit)
        ]
    )


async def audit_heads(visit: Visit) -> BaseModel:
    found = await asyncio.to_thread(heads, visit.parts.state_dir)
    return model.HeadsAnswer(
        at=_Times(visit)(visit.parts.clock.utc_us()),
        heads=[
            model.HeadAnswer(service=name, seq=head.seq, hash=head.hash)
            for name, head in sorted(found.items())
        ],
    )


async def kpi(visit: Visit) -> BaseModel:
    parts, time = visit.parts, _Times(visit)
    settings, now_us = parts.settings, parts.clock.utc_us()
    seen = await parts.look()
    used = [one for one in settings.camera if one.enabled]

    def read(store: Store) -> list[tuple[Camera, Completeness, int | None]]:
        return [
            (one, completeness_of(store, one.id, now_us, settings), store.oldest(one.id))
            for one in used
        ]

    found = await parts.read(read)
    told = None if seen.told is None else seen.told.get("cameras", {})
    status = (seen.status or {}).get("cameras", {})
    rows = [
        model.CameraKpi(
            camera=one.id,
            gb_id=None if one.gb_id is None else str(one.gb_id),
            recording=None if told is None else bool(told.get(one.id, {}).get("recording")),
            completeness_ratio=rounded(figures.windows[LONGEST].ratio),
            day_ratio=rounded(figures.windows["1d"].ratio),
            checked_days=figures.checked_days,
            complete_days=figures.complete_days,
            oldest=time.maybe(oldest_us),
            kept_days=None if oldest_us is None else round((now_us - oldest_us) / DAY_US, 3),
            clock_offset_seconds=status.get(one.id, {}).get("clock_offset_seconds"),
        )
        for one, figures, oldest_us in found
    ]
    recording = None if told is None else sum(bool(one.recording) for one in rows)
    due_us = sum(figures.windows[LONGEST].due_us for _, figures, _ in found)
    recorded_us = sum(figures.windows[LONGEST].recorded_us for _, figures, _ in found)
    checked = sum(one.checked_days for one in rows)
    offsets = [
        abs(one.clock_offset_seconds) for one in rows if one.clock_offset_seconds is not None
    ]
    kept = [one.kept_days or 0.0 for one in rows]
    return model.KpiAnswer(
        site=settings.site.name,
        at=time(now_us),
        required_days=settings.retention.min_days,
        cameras_enabled=len(used),
        cameras_recording=recording,
        online_ratio=rounded(recording / len(used)) if used and recording is not None else None,
        completeness_ratio=rounded(recorded_us / due_us) if due_us else None,
        complete_day_ratio=rounded(sum(one.complete_days for one in rows) / checked)
        if checked
        else None,
        kept_days_min=min(kept, default=None),
        clock_worst_seconds=max(offsets, default=None),
        cameras=rows,
    )


async def described(visit: Visit) -> Response:
    settings = visit.parts.settings
    names = [camera.id for camera in settings.camera]
    return visit.json(openapi(OPERATIONS, settings.site.name, names))


def _camera_of(visit: Visit) -> str:
    return visit.known_camera(visit.request.path_params["camera"], "see /api/v1/cameras")


def _instant(visit: Visit, name: str) -> int:
    text = visit.query(name)
    try:
        instant_us = parse_instant(text, visit.parts.zone)
    except OverflowError:
        instant_us = -1
    if not EARLIEST_US <= instant_us <= LATEST_US:
        raise BadRequest(
            f"{name} lies outside of 2000 to 2100", hint="ISO 8601, as 2026-11-23T08:00Z"
        )
    return instant_us


_CAMERA = Parameter(
    name="camera",
    schema={"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
    text="id of a camera",
    is_in_path=True,
)


def _moment(name: str) -> Parameter:
    schema = {"type": "string", "format": "date-time"}
    return Parameter(name=name, schema=schema, text="2000 to 2100", is_required=True)


_DAYS = Parameter(
    name="days",
    schema={"type": "integer", "minimum": 1, "maximum": 90, "default": DAYS_ASKED},
    text="how many past days",
)

_Answer = Callable[[Visit], Awaitable[BaseModel]]
_TABLE: tuple[tuple[_Answer, Operation], ...] = (
    (
        status,
        Operation(
            path=f"{PREFIX}/status",
            name="status",
            text="The site at a glance",
            answer=model.StatusAnswer,
            scope=Scope.STATUS,
        ),
    ),
    (
        cameras,
        Operation(
            path=f"{PREFIX}/cameras",
            name="cameras",
            text="Every camera, and whether it records",
            answer=model.CamerasAnswer,
            scope=Scope.STATUS,
        ),
    ),
    (
        timeline,
        Operation(
            path=f"{PREFIX}/cameras/{{camera}}/timeline",
            name="timeline",
            text="Spans and gaps, with their causes",
            answer=model.TimelineAnswer,
            scope=Scope.TIMELINE,
            refusals=("400", "404", "503"),
            parameters=(_CAMERA, _moment("from"), _moment("to")),
        ),
    ),
    (
        completeness,
        Operation(
            path=f"{PREFIX}/cameras/{{camera}}/completeness",
            name="completeness",
            text="How much of each calendar day was recorded",
            answer=model.CompletenessAnswer,
            scope=Scope.TIMELINE,
            refusals=("400", "404", "503"),
            parameters=(_CAMERA, _DAYS),
        ),
    ),
    (
        alarms,
        Operation(
            path=f"{PREFIX}/alarms",
            name="alarms",
            text="Alarms that stand, and the last that ended",
            answer=model.AlarmsAnswer,
            scope=Scope.ALARMS,
        ),
    ),
    (
        holds,
        Operation(
            path=f"{PREFIX}/holds",
            name="holds",
            text="Legal holds, ended ones too",
            answer=model.HoldsAnswer,
            scope=Scope.HOLDS,
        ),
    ),
    (
        audit_heads,
        Operation(
            path=f"{PREFIX}/audit/heads",
            name="audit_heads",
            text="Where each audit log ends",
            answer=model.HeadsAnswer,
            scope=Scope.AUDIT,
        ),
    ),
    (
        kpi,
        Operation(
            path=f"{PREFIX}/kpi",
            name="kpi",
            text="The figures that sites are ranked by",
            answer=model.KpiAnswer,
            scope=Scope.TIMELINE,
        ),
    ),
)
OPERATIONS = tuple(operation for _, operation in _TABLE)
#: What a person must have; a token goes by its scope.
_PERMISSIONS = {
    Scope.STATUS: Permission.API,
    Scope.ALARMS: Permission.API,
    Scope.TIMELINE: Permission.TIMELINE,
    Scope.HOLDS: Permission.HOLDS_VIEW,
    Scope.AUDIT: Permission.AUDIT,
}


def _endpoint(answer: _Answer) -> Callable[[Visit], Awaitable[Response]]:
    async def endpoint(visit: Visit) -> Response:
        found = await answer(visit)
        return visit.json(found.model_dump(mode="json", by_alias=True))

    return endpoint


RULES = (
    Rule(
        method="GET",
        path=f"{PREFIX}/openapi.json",
        endpoint=described,
        permission=Permission.API,
        kind=Kind.DATA,
        any_token=True,
    ),
    *(
        Rule(
            method="GET",
            path=operation.path,
            endpoint=_endpoint(answer),
            permission=_PERMISSIONS[operation.scope],
            kind=Kind.DATA,
            scope=operation.scope,
            is_background=True,
        )
        for answer, operation in _TABLE
        if operation.scope is not None
    ),
)

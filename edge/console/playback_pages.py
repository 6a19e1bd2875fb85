"""Recorded footage in the browser: the page, the reason, and the stored bytes. Shell.

Time lines need no reason; the first picture does (:meth:`Visit.grant`). Under a grant every address
names it, so that each access is one of a person, a camera, a range and a reason on record; what
went out of the range is noted before it does (edge.console.deliveries).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from config.instants import format_instant, parse_instant
from edge.console.deliveries import What
from edge.console.footage import PLAYLIST_US_MAX, NotGranted, Window
from edge.console.grants import REASON_CHARACTERS_MAX, REASON_CHARACTERS_MIN, Grant, Purpose
from edge.console.guard import BadRequest
from edge.console.playlist import as_json
from edge.console.roles import Permission
from edge.console.rules import Kind, Rule
from edge.console.still import still_of
from edge.console.timeline_data import whole_number, window
from edge.console.visit import Visit
from edge.console.wording import cause_words, words
from retention.completeness import DAY_US
from retention.model import US_PER_S

#: What one reason may cover; longer ranges are for the export desk.
RANGE_US_MAX = DAY_US
CAMERAS_AT_ONCE = 4
#: What is offered from a chosen instant on.
RANGE_US = 3600 * US_PER_S
#: Stored bytes do not change; a private browser may keep them while its page is open.
_KEPT = {"Cache-Control": "private, no-store"}


def timeline_words(visit: Visit) -> dict[str, Any]:
    """What scripts of time lines say."""
    found: dict[str, Any] = words(
        visit.say,
        "timeline.recorded",
        "timeline.gaps",
        "timeline.not_due",
        "timeline.complete",
        "timeline.unavailable",
        "timeline.none",
        "timeline.more",
        "timeline.go",
    )
    found["causes"] = cause_words(visit.say)
    found["units"] = words(visit.say, "unit.s", "unit.m", "unit.h", "unit.d")
    return found


async def page(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, status: int = 200, error: str = "") -> Response:
    clock = visit.parts.clock
    chosen = visit.form_lists.get("camera") or visit.request.query_params.getlist("camera")
    known = [one.id for one in visit.parts.settings.camera]
    return visit.page(
        "playback.html",
        status,
        error=error,
        now_us=clock.utc_us(),
        zone=visit.parts.settings.site.timezone,
        chosen=[one for one in chosen if one in known] or known[:1],
        form=visit.form or dict(visit.request.query_params),
        words=timeline_words(visit),
        reason_max=REASON_CHARACTERS_MAX,
        reason_min=REASON_CHARACTERS_MIN,
        at_once=CAMERAS_AT_ONCE,
        days=_days_shown(visit),
    )


def _days_shown(visit: Visit) -> int:
    """Some days more than are kept, so that what expires is seen to."""
    return visit.parts.settings.retention.max_days + 3


async def state_reason(visit: Visit) -> Response:
    """Reason, cameras and range; the page of the pictures follows."""
    cameras = visit.form_lists.get("camera", [])
    zone = visit.parts.zone
    from_us = parse_instant(visit.form.get("from", ""), zone)
    to_us = parse_instant(visit.form.get("to", ""), zone)
    if len(cameras) > CAMERAS_AT_ONCE:
        return _page(visit, 400, "playback.too_many")
    if to_us - from_us > RANGE_US_MAX:
        return _page(visit, 400, "playback.too_long")
    grant = await visit.grant(
        Purpose.PLAYBACK, cameras, from_us, to_us, visit.form.get("reason", "")
    )
    return visit.go(f"/playback/{grant.id}")


async def watch(visit: Visit) -> Response:
    """The player, under a grant."""
    found, names = _grant(visit, ""), visit.names
    at_us = found.from_us
    if visit.query("at_us"):
        at_us = whole_number(visit, "at_us", found.from_us, found.to_us)
    texts = timeline_words(visit) | words(
        visit.say,
        "playback.play",
        "playback.pause",
        "playback.gap",
        "playback.jumped",
        "playback.loading",
        "playback.end",
        "playback.not_due",
        "playback.unsupported",
        "playback.still",
        "playback.no_still",
        "playback.trouble",
        "playback.expired",
        "playback.sound",
        "playback.no_sound",
    )
    return visit.page(
        "watch.html",
        grant=found,
        shown=[{"id": one, "name": names.get(one, one)} for one in found.cameras],
        at_us=at_us,
        begins=format_instant(found.from_us, visit.parts.zone)[:19],
        ends=format_instant(found.to_us, visit.parts.zone)[:19],
        zone=visit.parts.settings.site.timezone,
        words=texts,
    )


def _grant(visit: Visit, camera: str) -> Grant:
    """The grant that the address names, for a camera of it (or for any)."""
    grant_id = visit.request.path_params["grant"]
    session = "" if visit.session is None else visit.session.id
    now_us = visit.parts.clock.monotonic_us()
    found = visit.parts.grants.find(grant_id, session, now_us)
    from_us, to_us = (found.from_us, found.to_us) if found is not None else (0, 0)
    first = found.cameras[0] if found is not None else ""
    return visit.require_reason(Purpose.PLAYBACK, camera or first, from_us, to_us, grant_id)


def _granted(visit: Visit) -> tuple[Grant, Window]:
    camera = visit.known_camera(visit.request.path_params["camera"])
    grant = _grant(visit, camera)
    return grant, Window(camera=camera, from_us=grant.from_us, to_us=grant.to_us)


def _part(granted: Window, from_us: int, to_us: int) -> Window:
    if from_us < granted.from_us or to_us > granted.to_us:
        raise NotGranted("this range is outside of what was granted", hint="state a reason for it")
    return Window(camera=granted.camera, from_us=from_us, to_us=to_us)


async def playlist(visit: Visit) -> Response:
    _, granted = _granted(visit)
    part = _part(granted, *window(visit, PLAYLIST_US_MAX))
    return visit.json(as_json(await visit.parts.footage.playlist(part)))


async def head(visit: Visit) -> Response:
    _, granted = _granted(visit)
    data = await visit.parts.footage.head(granted, _number(visit, "number"))
    return Response(data, media_type="video/mp4", headers=_KEPT)


async def piece(visit: Visit) -> Response:
    return await _piece(visit, What.PICTURES, "video/iso.segment")


async def sound_head(visit: Visit) -> Response:
    number = _number(visit, "number")
    _, granted = _granted(visit)
    data = await visit.parts.footage.head(granted, number, is_sound=True)
    return Response(data, media_type="audio/mp4", headers=_KEPT)


async def sound_piece(visit: Visit) -> Response:
    return await _piece(visit, What.SOUND, "audio/mp4")


async def _piece(visit: Visit, what: What, media_type: str) -> Response:
    number, place = _number(visit, "number"), _number(visit, "place")
    grant, granted = _granted(visit)
    data, entry = await visit.parts.footage.piece(
        granted, number, place, is_sound=what is What.SOUND
    )
    span = (entry.start_us, entry.end_us)
    visit.parts.deliveries.note(
        grant, granted.camera, what, [span], len(data), visit.parts.clock.monotonic_us()
    )
    return Response(data, media_type=media_type, headers=_KEPT)


async def still(visit: Visit) -> Response:
    """The key frame at or before an instant, for a browser that cannot decode the camera's video;
    decoded for this answer and kept nowhere."""
    grant, granted = _granted(visit)
    at_us = whole_number(visit, "at_us", granted.from_us, granted.to_us)
    media, shown_us = await visit.parts.footage.key_picture(granted, at_us)
    picture = await still_of(media)
    span = (shown_us, shown_us)
    visit.parts.deliveries.note(
        grant, granted.camera, What.STILL, [span], len(picture), visit.parts.clock.monotonic_us()
    )
    return Response(
        picture, media_type="image/jpeg", headers={**_KEPT, "X-Instant-Us": str(shown_us)}
    )


def _number(visit: Visit, name: str) -> int:
    text = str(visit.request.path_params[name])
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest(f"{name} must be a number")
    return int(text)


def _data(path: str, endpoint: Any) -> Rule:
    return Rule(
        method="GET",
        path=f"/footage/{{grant}}/{{camera}}/{path}",
        endpoint=endpoint,
        permission=Permission.PLAYBACK,
        kind=Kind.DATA,
    )


RULES = (
    Rule(
        method="GET",
        path="/playback",
        endpoint=page,
        permission=Permission.TIMELINE,
        nav="nav.playback",
    ),
    Rule(method="POST", path="/playback", endpoint=state_reason, permission=Permission.PLAYBACK),
    Rule(method="GET", path="/playback/{grant}", endpoint=watch, permission=Permission.PLAYBACK),
    _data("playlist.json", playlist),
    _data("still.jpg", still),
    _data("{number}/head.mp4", head),
    _data("{number}/sound.mp4", sound_head),
    _data("{number}/{place}.m4s", piece),
    _data("{number}/{place}.m4a", sound_piece),
)

"""Live view of gates and parking entrances, for those who were allowed by name. Shell.

Off for everybody by default, twice: ``[console] live`` opens it for the site, a head gives it to an
account (on record). Each view states a reason, is on record before its first picture and again with
its end, and ends with grant, session, account or setting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from config.errors import Retry, XueliangError
from config.schema import Camera
from edge.console.grants import REASON_CHARACTERS_MAX, REASON_CHARACTERS_MIN, Grant, Purpose
from edge.console.guard import SESSION_COOKIE, NotAllowed
from edge.console.live_muxer import IDLE, LiveMuxer, message
from edge.console.roles import Permission
from edge.console.rules import Kind, Rule
from edge.console.visit import Visit
from edge.console.wording import words
from retention.audit_chain import Action, Outcome
from retention.live import TapUnavailable, tapped
from retention.read import StoredUnit
from retention.tap_messages import Live, Skipped

#: Views at once; ``edge`` serves other readers, too.
VIEWERS_MAX = 16
CAMERAS_AT_ONCE = 4
IDLE_S = 2.0
ROLES = ("face", "vehicle")


class ViewersFull(XueliangError):
    """As many watch live as the console serves."""

    code = "viewers_full"


def offered(visit: Visit) -> list[Camera]:
    """Cameras that anybody may watch live here; none while the site's setting is off."""
    settings = visit.parts.settings
    if not settings.console.live:
        return []
    return [one for one in settings.camera if one.role in ROLES and one.enabled]


async def page(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, status: int = 200, error: str = "") -> Response:
    return visit.page(
        "live.html",
        status,
        error=error,
        offered=offered(visit),
        is_on=visit.parts.settings.console.live,
        form=visit.form,
        chosen=visit.form_lists.get("camera", []),
        reason_max=REASON_CHARACTERS_MAX,
        reason_min=REASON_CHARACTERS_MIN,
        at_once=CAMERAS_AT_ONCE,
    )


async def state_reason(visit: Visit) -> Response:
    cameras = visit.form_lists.get("camera", [])
    if len(cameras) > CAMERAS_AT_ONCE:
        return _page(visit, 400, "playback.too_many")
    if not {one.id for one in offered(visit)}.issuperset(cameras):
        raise NotAllowed("live view of this camera is off", hint="see [console] live")
    now_us = visit.parts.clock.utc_us()
    grant = await visit.grant(Purpose.LIVE, cameras, now_us, 0, visit.form.get("reason", ""))
    return visit.go(f"/live/{grant.id}")


async def watch(visit: Visit) -> Response:
    grant, names = _grant(visit, ""), visit.names
    return visit.page(
        "live_watch.html",
        grant=grant,
        shown=[{"id": one, "name": names.get(one, one)} for one in grant.cameras],
        zone=visit.parts.settings.site.timezone,
        words=words(
            visit.say,
            "live.waiting",
            "live.ended",
            "live.nothing",
            "live.unsupported",
        ),
    )


def _grant(visit: Visit, camera: str) -> Grant:
    grant_id = visit.request.path_params["grant"]
    session = "" if visit.session is None else visit.session.id
    found = visit.parts.grants.find(grant_id, session, visit.parts.clock.monotonic_us())
    first = found.cameras[0] if found is not None else ""
    grant = visit.require_reason(Purpose.LIVE, camera or first, 0, 0, grant_id)
    if not {one.id for one in offered(visit)}.issuperset(grant.cameras):
        raise NotAllowed("live view of this camera is off", hint="see [console] live")
    return grant


async def stream(visit: Visit) -> Response:
    """The camera's pictures as they come (edge.console.live_muxer), for as long as they may."""
    camera = visit.request.path_params["camera"]
    grant = _grant(visit, camera)
    parts = visit.parts
    if parts.viewers >= VIEWERS_MAX:
        raise ViewersFull(f"{VIEWERS_MAX} views are open now", hint="close one", retry=Retry.LATER)
    messages = tapped(parts.state_dir, camera, IDLE_S)
    try:
        first = await anext(messages)
    except StopAsyncIteration:
        raise TapUnavailable(
            f"there is no live picture of {camera}", hint="is the camera in service?"
        ) from None
    parts.viewers += 1
    still_may = _still_may(visit, grant)

    async def body() -> AsyncIterator[bytes]:
        muxer, sent_bytes, began_us = LiveMuxer(camera), 0, parts.clock.monotonic_us()
        looked_us = began_us
        try:
            async with aclosing(messages):
                for data in _messages(muxer, first):
                    yield data
                async for one in messages:
                    now_us = parts.clock.monotonic_us()
                    if now_us - looked_us > IDLE_S * 1e6:
                        looked_us = now_us
                        if not still_may():
                            return
                    for data in _messages(muxer, one):
                        sent_bytes += len(data)
                        yield data
        finally:
            parts.viewers -= 1
            await _told_end(visit, grant, camera, began_us, sent_bytes)

    return StreamingResponse(body(), media_type="application/octet-stream")


def _messages(muxer: LiveMuxer, told: StoredUnit | Skipped | Live | None) -> Iterator[bytes]:
    """What the browser is sent of what the tap said."""
    match told:
        case StoredUnit(format=format, run=run, unit=unit):
            yield from muxer.unit(run, format, unit)
        case Skipped():
            muxer.skipped()
        case None:
            yield message(IDLE, b"")  # so that a browser that has gone is noticed


def _still_may(visit: Visit, grant: Grant) -> Callable[[], bool]:
    """Whether grant, session, account and setting still allow it, looked at anew."""
    cookie = visit.request.cookies.get(SESSION_COOKIE, "")

    def look() -> bool:
        parts, now_us = visit.parts, visit.parts.clock.monotonic_us()
        session = parts.sessions.find(cookie, now_us, is_seen=False)
        if session is None or parts.grants.find(grant.id, session.id, now_us) is None:
            return False
        account = parts.accounts.find(session.account)
        return (
            account is not None
            and not account.is_disabled
            and account.generation == session.generation
            and Permission.LIVE in account.permissions
            and {one.id for one in offered(visit)}.issuperset(grant.cameras)
        )

    return look


async def _told_end(
    visit: Visit, grant: Grant, camera: str, began_us: int, sent_bytes: int
) -> None:
    """What was seen has its beginning on record; that its end is not changes nothing."""
    seconds = (visit.parts.clock.monotonic_us() - began_us) // 1_000_000
    with visit.as_far_as_recorded("live_end_not_recorded"):
        visit.parts.audit.record(
            Action.FOOTAGE_ACCESS,
            subject=f"cameras:{camera}",
            actor=visit.actor,
            outcome=Outcome.DONE,
            purpose=Purpose.LIVE.value,
            grant=grant.id,
            seconds=seconds,
            bytes=sent_bytes,
        )


RULES = (
    Rule(method="GET", path="/live", endpoint=page, permission=Permission.LIVE, nav="nav.live"),
    Rule(method="POST", path="/live", endpoint=state_reason, permission=Permission.LIVE),
    Rule(method="GET", path="/live/{grant}", endpoint=watch, permission=Permission.LIVE),
    Rule(
        method="GET",
        path="/live/{grant}/{camera}/stream",
        endpoint=stream,
        permission=Permission.LIVE,
        kind=Kind.DATA,
    ),
)

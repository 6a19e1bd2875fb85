"""The web application: every group of routes, behind the guard. Shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge.console import (
    alarm_pages,
    api,
    audit_pages,
    export_pages,
    front,
    hold_pages,
    live_pages,
    login,
    metrics_relay,
    playback_pages,
    report_pages,
    request_pages,
    settings_pages,
    setup_pages,
    static_route,
    timeline_data,
    token_pages,
    user_pages,
)
from edge.console.guard import Guarded
from edge.console.headers import SecureHeaders
from edge.console.parts import Parts
from edge.console.rules import Rule, table

#: In the order of the navigation; what is not here is not served.
GROUPS = (
    login.RULES,
    static_route.RULES,
    front.RULES,
    playback_pages.RULES,
    timeline_data.RULES,
    live_pages.RULES,
    export_pages.RULES,
    request_pages.RULES,
    alarm_pages.RULES,
    hold_pages.RULES,
    audit_pages.RULES,
    report_pages.RULES,
    user_pages.RULES,
    token_pages.RULES,
    settings_pages.RULES,
    setup_pages.RULES,
    api.RULES,
    metrics_relay.RULES,
    static_route.LAST,
)


def all_rules() -> tuple[Rule, ...]:
    """Raises :class:`UndeclaredRule`."""
    return table(GROUPS)


def make_app(parts: Parts) -> ASGIApp:
    rules = all_rules()
    pages = [rule for rule in rules if rule.nav]
    app = Starlette(
        routes=[
            Route(rule.path, _endpoint(Guarded(parts, rule, pages)), methods=[rule.method])
            for rule in rules
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return SecureHeaders(app)


def _endpoint(guarded: Guarded) -> Callable[[Request], Awaitable[Response]]:
    """Starlette takes functions as endpoints of requests, other callables as applications."""

    async def endpoint(request: Request) -> Response:
        return await guarded(request)

    return endpoint


async def _refused(_request: Request, error: Exception) -> Response:
    """No route of this method: told without a word on which there are."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse("404", 404 if error.status_code == 405 else error.status_code)

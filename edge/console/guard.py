"""What stands before every endpoint: who asks, may he, did he mean to. Shell.

In this order: the body's bound, the session or token, the permission, and for what changes
something that the request comes from our own page (its Origin, and the session's CSRF token). Only
then the endpoint runs.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from config.errors import XueliangError
from edge.console.parts import Parts
from edge.console.phrases import LANGUAGES, sayer
from edge.console.roles import Permission
from edge.console.rules import Kind, Rule
from edge.console.visit import Visit
from retention.audit_chain import Action, Outcome

log = logging.getLogger(__name__)

SESSION_COOKIE = "__Host-session"
LANGUAGE_COOKIE = "__Host-language"
FIELDS_MAX = 500
PASSWORD_PAGE = "/password"  # noqa: S105 - an address
#: What a person may do who still has the password that somebody else gave him.
BEFORE_CHANGE = frozenset({("GET", PASSWORD_PAGE), ("POST", PASSWORD_PAGE), ("POST", "/logout")})
#: What errors are told as; others are 409: understood, and not to be done now.
STATUSES = {
    "control_unavailable": 503,
    "index_unavailable": 503,
    "audit_unavailable": 503,
    "audit_log_in_use": 503,
    "console_file_unusable": 503,
    "footage_unavailable": 503,
    "readers_busy": 503,
    "still_unavailable": 503,
    "tap_unavailable": 503,
    "viewers_full": 503,
    "footage_gone": 404,
    "not_granted": 403,
    "command_failed": 503,
    "service_silent": 503,
    "nothing_yet": 404,
    "reason_needed": 403,
    "not_allowed": 403,
    "unknown_camera": 404,
    "not_found": 404,
    "bad_instant": 400,
    "bad_request": 400,
    "reason_unusable": 400,
}


class NotFound(XueliangError):
    """What was asked for does not exist."""

    code = "not_found"


class BadRequest(XueliangError):
    """A request that makes no sense."""

    code = "bad_request"


class NotAllowed(XueliangError):
    """This person may not do this to this thing."""

    code = "not_allowed"


@dataclass(slots=True)
class Guarded:
    """A rule's endpoint behind the guard."""

    parts: Parts
    rule: Rule
    pages: Sequence[Rule]  # with a place in the navigation

    async def __call__(self, request: Request) -> Response:
        response = await self._answer(request)
        self.parts.metrics.requests.labels(f"{response.status_code // 100}xx").inc()
        return response

    async def _answer(self, request: Request) -> Response:
        language = request.cookies.get(LANGUAGE_COOKIE, LANGUAGES[0])
        if language not in LANGUAGES:
            language = LANGUAGES[0]
        visit = Visit(
            parts=self.parts,
            request=request,
            rule=self.rule,
            language=language,
            say=sayer(language),
            address=request.client.host if request.client else "",
        )
        try:
            refused = await self._admit(visit)
            return refused or await self.rule.endpoint(visit)
        except XueliangError as error:
            return self._told(visit, error)
        except (HTTPException, ClientDisconnect):
            raise
        except Exception:
            log.exception("console_request_failed", extra={"path": self.rule.path})
            self.parts.metrics.swallowed_errors.labels("request").inc()
            return self._failure(visit, 500, visit.say("error.internal"))

    async def _admit(self, visit: Visit) -> Response | None:
        """None once the endpoint may run; fills in who visits and what he sent."""
        self._recognise(visit)
        rule, account = self.rule, visit.account
        if rule.method == "GET" and (switched := self._switch_language(visit)):
            return switched  # before anything is refused, so that it is refused in that language
        if rule.permission is not Permission.PUBLIC:
            refused = await self._authorise(visit)
            if refused is not None:
                return refused
        if account is not None:
            visit.navigation = [page for page in self.pages if visit.may(page.permission)]
        if rule.method == "GET":
            return None
        if not _is_from_our_page(visit.request):
            return self._refuse(visit, 403, "origin")
        if not await self._read_body(visit):
            return self._refuse(visit, 413, "too_large")
        session = visit.session
        if rule.permission is not Permission.PUBLIC:
            assert session is not None
            told = visit.form.get("csrf", "") or visit.request.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(told.encode(), session.csrf.encode()):
                return self._refuse(visit, 403, "csrf")
        return None

    def _recognise(self, visit: Visit) -> None:
        """Session or token, if one is shown and valid."""
        parts, request = self.parts, visit.request
        bearer = request.headers.get("authorization", "")
        if bearer:
            kind, _, text = bearer.partition(" ")
            if kind.lower() == "bearer":
                visit.token = parts.tokens.find(text.strip())
            return  # never both
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if not cookie:
            return
        session = parts.sessions.find(
            cookie, parts.clock.monotonic_us(), is_seen=not self.rule.is_background
        )
        if session is None:
            return
        account = parts.accounts.find(session.account)
        if account is None or account.is_disabled or account.generation != session.generation:
            parts.sessions.end(cookie)
            parts.grants.end_session(session.id)
            return
        visit.session, visit.account = session, account

    async def _authorise(self, visit: Visit) -> Response | None:
        rule, account, token = self.rule, visit.account, visit.token
        if token is not None:
            if rule.any_token or (rule.scope is not None and rule.scope in token.scopes):
                return None
            return self._refuse(visit, 403, "scope")
        if account is None:
            return self._to_login(visit)
        if account.must_change and (rule.method, rule.path) not in BEFORE_CHANGE:
            if rule.kind is Kind.PAGE:
                return RedirectResponse(PASSWORD_PAGE, 303)
            return self._refuse(visit, 403, "password_change")
        if rule.permission in account.permissions:
            return None
        await self._put_refusal(visit)
        return self._refuse(visit, 403, "permission")

    async def _put_refusal(self, visit: Visit) -> None:
        """That somebody tried what he may not is on record; a log that cannot be written keeps
        nobody from being refused."""
        with visit.as_far_as_recorded("refusal_not_recorded"):
            await visit.record(
                Action.ACCESS_REFUSED,
                f"route:{self.rule.method} {self.rule.path}",
                Outcome.REFUSED,
                permission=self.rule.permission.value,
                role=visit.who.role.value,
            )

    async def _read_body(self, visit: Visit) -> bool:
        """Body and form fields; False when it is above its bound."""
        body = bytearray()
        async for piece in visit.request.stream():
            body += piece
            if len(body) > self.rule.body_bytes_max:
                return False
        visit.body = bytes(body)
        kind = visit.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            try:
                fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
            except ValueError:
                raise BadRequest("the form is malformed", hint="load the page again") from None
            visit.form_lists = fields
            visit.form = {name: values[-1] for name, values in fields.items()}
        return True

    def _switch_language(self, visit: Visit) -> Response | None:
        """``?lang=en`` on any page: remembered in a cookie, and taken out of the address."""
        wanted = visit.query("lang")
        if self.rule.kind is not Kind.PAGE or wanted not in LANGUAGES:
            return None
        rest = visit.request.url.remove_query_params("lang")
        response = RedirectResponse(_local(rest.path, rest.query), 303)
        response.set_cookie(
            LANGUAGE_COOKIE,
            wanted,
            max_age=365 * 86400,
            secure=True,
            httponly=True,
            samesite="strict",
        )
        return response

    # Refusals --------------------------------------------------------------------------------

    def _to_login(self, visit: Visit) -> Response:
        self.parts.metrics.refusals.labels("login").inc()
        if self.rule.kind is Kind.DATA or self.rule.method != "GET":
            return self._failure(visit, 401, visit.say("error.login"))
        url = visit.request.url
        wanted = _local(url.path, url.query)
        return RedirectResponse("/login" if wanted == "/" else f"/login?next={quote(wanted)}", 303)

    def _refuse(self, visit: Visit, status: int, reason: str) -> Response:
        self.parts.metrics.refusals.labels(reason).inc()
        return self._failure(visit, status, visit.say(f"refused.{reason}"))

    def _told(self, visit: Visit, error: XueliangError) -> Response:
        status = STATUSES.get(error.code, 409)
        if status >= 500:
            log.warning("console_request_unanswered", extra={"error": error.sentence()})
        return self._failure(visit, status, visit.told(error), error.sentence(), error.code)

    def _failure(
        self, visit: Visit, status: int, sentence: str, detail: str = "", code: str = ""
    ) -> Response:
        if self.rule.kind is Kind.DATA:
            body: dict[str, Any] = {"error": sentence, "detail": detail, "code": code}
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            return JSONResponse(body, status, headers)
        try:
            return visit.page(
                "failure.html", status, sentence=sentence, detail=detail, number=status
            )
        except Exception:
            log.exception("console_failure_page_failed")
            return PlainTextResponse(sentence, status)


def _local(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def local_path(text: str) -> str:
    """``text`` if it is a path of this console, else the front page (no open redirect)."""
    url = urlsplit(text)
    is_local = text.startswith("/") and not text.startswith(("//", "/\\"))
    is_plain = text.isprintable() and "\\" not in text
    return text if is_local and is_plain and not url.scheme and not url.netloc else "/"


def _is_from_our_page(request: Request) -> bool:
    """By what the browser tells and no page can forge: Origin, and Sec-Fetch-Site."""
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    return origin == f"https://{request.headers.get('host', '')}" and site == "same-origin"

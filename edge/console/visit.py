"""One request that passed the guard, as an endpoint sees it. Shell."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from config.errors import XueliangError
from config.instants import parse_instant
from edge.console import pages
from edge.console.accounts import Account
from edge.console.grants import (
    CAMERAS_MAX,
    GRANT_US,
    Grant,
    Purpose,
    ReasonNeeded,
    ReasonUnusable,
    reason_of,
)
from edge.console.lights import Sentence
from edge.console.parts import Parts
from edge.console.phrases import Say, is_known
from edge.console.roles import Permission
from edge.console.rules import Rule
from edge.console.sessions import Session
from edge.console.tokens import Token
from edge.console.wording import sentence_text
from edge.status import UnknownCamera
from retention.audit import AuditUnavailable
from retention.audit_chain import Action, Outcome, Value

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Visit:
    """Who asks for what, and the ways to answer him.

    ``account`` and ``session`` are None before a login and for tokens; ``form`` holds the fields
    of a posted form, each the last of its name (``request`` has all of them in ``form_lists``).
    """

    parts: Parts
    request: Request
    rule: Rule
    language: str
    say: Say
    address: str
    navigation: Sequence[Rule] = ()
    account: Account | None = None
    session: Session | None = None
    token: Token | None = None
    form: dict[str, str] = field(default_factory=dict)
    form_lists: dict[str, list[str]] = field(default_factory=dict)
    body: bytes = b""

    @property
    def actor(self) -> str:
        """For audit records: ``person:…`` or ``token:…``."""
        if self.account is not None:
            return f"person:{self.account.name}"
        return "" if self.token is None else f"token:{self.token.id}"

    @property
    def who(self) -> Account:
        """The person; routes that tokens may not use always have one."""
        assert self.account is not None
        return self.account

    def may(self, permission: Permission) -> bool:
        return self.account is not None and permission in self.account.permissions

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)

    def all(self, field: str) -> list[str]:
        """Every value of a field of the form: of check boxes."""
        return self.form_lists.get(field, [])

    # Answers ---------------------------------------------------------------------------------

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page; templates see ``t`` (phrases), ``time`` (instants), ``may`` and the rest."""
        settings = self.parts.settings
        common = {
            "t": self.say,
            "language": self.language,
            "site": settings.site.name,
            "cameras": settings.camera,
            "names": self.names,
            "account": self.account,
            "may": lambda name: self.may(Permission(name)),
            "csrf": "" if self.session is None else self.session.csrf,
            "path": self.request.url.path,
            "navigation": self.navigation,
            "done": self._done(),
            "tell": self.tell,
            "word": self.word,
            "both": self._both,
            "time": pages.local_time(self.parts.zone),
        }
        return HTMLResponse(pages.render(template, common | values), status)

    @property
    def names(self) -> dict[str, str]:
        """Of every camera, by its id."""
        return {camera.id: camera.name for camera in self.parts.settings.camera}

    def trouble(self, error: XueliangError | None) -> dict[str, str]:
        """Why a page did not do what was asked, as ``_error.html`` shows it."""
        if error is None:
            return {"error": "", "detail": ""}
        return {"error": self.told(error), "detail": error.sentence()}

    def _done(self) -> str:
        """What was done before this page was shown (``?done=…``, a phrase of that section)."""
        key = f"done.{self.query('done')}"
        return self.say(key) if is_known(key) else ""

    def instant(self, field: str) -> int | None:
        """A field of the form as an instant, in the site's local time; None if it is empty.

        Raises:
            BadInstant: it holds something else.
        """
        text = self.form.get(field, "").strip()
        return parse_instant(text, self.parts.zone) if text else None

    def known_camera(self, camera: str, hint: str = "choose another") -> str:
        """A camera of the settings. Raises :class:`UnknownCamera`."""
        if all(one.id != camera for one in self.parts.settings.camera):
            raise UnknownCamera(f"camera {camera[:60]!r} is unknown", hint=hint)
        return camera

    def json(self, document: Any, status: int = 200) -> Response:
        return JSONResponse(document, status)

    def go(self, path: str) -> Response:
        """To another page, after something was done."""
        return RedirectResponse(path, 303)

    def tell(self, sentence: Sentence | None) -> str:
        """A sentence in the visitor's language."""
        return sentence_text(sentence, self.language)

    def word(self, key: str) -> str:
        """A phrase for a word of a document; the word itself where a later version wrote it."""
        return self.say(key) if is_known(key) else key.partition(".")[2]

    def _both(self, one: Mapping[str, str], name: str) -> str:
        """What a document tells in both languages; the cause of a gap in our own words."""
        text = one[f"{name}_{self.language}"] or one[f"{name}_zh"]
        cause = f"cause.{text}"
        text = self.say(cause) if is_known(cause) else text
        return text[:1].upper() + text[1:]

    def told(self, error: XueliangError) -> str:
        """An error in the visitor's language, as far as the catalogue knows its kind."""
        key = f"error.{error.code}"
        return self.say(key) if is_known(key) else self.say("error.other")

    # The record ------------------------------------------------------------------------------

    async def record(
        self,
        action: Action,
        subject: str,
        outcome: Outcome = Outcome.DONE,
        **detail: Value,
    ) -> None:
        """Put on record, durably, before this returns.

        Raises:
            AuditUnavailable: what should follow must not be done.
        """
        future = self.parts.audit.record(
            action,
            subject=subject,
            outcome=outcome,
            actor=self.actor or "person:?",
            address=self.address,
            **detail,
        )
        await asyncio.wrap_future(future)

    @contextmanager
    def as_far_as_recorded(self, event: str) -> Iterator[None]:
        """For what must not hang on its record, which is written here: a log that cannot be written
        is counted and told as ``event``, and raises nothing."""
        try:
            yield
        except AuditUnavailable as error:
            self.parts.metrics.swallowed_errors.labels("audit").inc()
            log.error(event, extra={"error": error.sentence()})

    @asynccontextmanager
    async def deed(self, action: Action, subject: str, **detail: Value) -> AsyncIterator[None]:
        """Something that this service does: on record before it begins, and how it ended.

        Raises:
            AuditUnavailable: it is not on record, and not done.
        """
        await self.record(action, subject, Outcome.BEGUN, **detail)
        try:
            yield
        except XueliangError as error:
            await self.record(action, subject, Outcome.REFUSED, why=str(error), **detail)
            raise
        await self.record(action, subject, Outcome.DONE, **detail)

    # Footage ---------------------------------------------------------------------------------

    async def grant(
        self,
        purpose: Purpose,
        cameras: Sequence[str],
        from_us: int,
        to_us: int,
        reason: str,
    ) -> Grant:
        """Access to footage, once its reason is on record. The route must have asked for the
        permission of ``purpose``.

        Raises:
            ReasonUnusable: no reason, no range, too many cameras.
            UnknownCamera: not of this site.
            AuditUnavailable: it is not on record, and so not granted.
        """
        assert self.session is not None
        reason = reason_of(reason)
        wanted = tuple(dict.fromkeys(cameras))
        if not 0 < len(wanted) <= CAMERAS_MAX:
            raise ReasonUnusable("no camera was named", hint="choose one or more")
        for camera in wanted:
            self.known_camera(camera)
        if purpose is Purpose.PLAYBACK and from_us >= to_us:
            raise ReasonUnusable("the range is empty", hint="it ends before it begins")
        now_us = self.parts.clock.monotonic_us()
        grant = Grant(
            id=secrets.token_urlsafe(12),
            session=self.session.id,
            user=self.who.name,
            purpose=purpose,
            cameras=wanted,
            from_us=from_us,
            to_us=to_us,
            reason=reason,
            expires_us=now_us + GRANT_US,
        )
        await self.record(
            Action.FOOTAGE_ACCESS,
            f"cameras:{','.join(wanted)}",
            Outcome.BEGUN,
            purpose=purpose.value,
            from_us=from_us,
            to_us=to_us,
            reason=reason,
            grant=grant.id,
            valid_s=GRANT_US // 1_000_000,
        )
        self.parts.grants.put(grant, now_us)
        self.parts.metrics.grants.labels(purpose.value).inc()
        return grant

    def require_reason(
        self, purpose: Purpose, camera: str, from_us: int, to_us: int, grant_id: str = ""
    ) -> Grant:
        """The grant under which this footage may be shown now; call it before the first frame.

        Args:
            grant_id: the one that was named; else any of this session.

        Raises:
            ReasonNeeded: there is none.
        """
        grants, now_us = self.parts.grants, self.parts.clock.monotonic_us()
        session = "" if self.session is None else self.session.id
        if grant_id:
            found = grants.find(grant_id, session, now_us)
            if found is not None and not (
                found.purpose is purpose and found.covers(camera, from_us, to_us)
            ):
                found = None
        else:
            found = grants.covering(session, purpose, camera, from_us, to_us, now_us)
        if found is None:
            raise ReasonNeeded(
                f"no stated reason covers {camera[:60]} in this range",
                hint="state a reason first",
            )
        return found

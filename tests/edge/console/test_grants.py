"""Footage is seen for a stated reason only, and the reason is on record first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request

from edge.console.grants import GRANT_US, PER_SESSION_MAX, Purpose, ReasonNeeded, ReasonUnusable
from edge.console.phrases import sayer
from edge.console.roles import Role
from edge.console.sessions import Session
from edge.console.static_route import RULES
from edge.console.visit import Visit
from edge.status import UnknownCamera
from retention.audit import AuditUnavailable
from tests.support.console_site import ConsoleSite

HOUR_US = 3600_000_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


def visit_of(site: ConsoleSite, name: str = "chen") -> Visit:
    parts = site.parts
    if parts.accounts.find(name) is None:
        site.add(name, Role.HEAD)
    account = parts.accounts.find(name)
    assert account is not None
    session: Session = parts.sessions.begin(name, account.generation, site.clock.monotonic)[1]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    return Visit(
        parts=parts,
        request=Request(scope),
        rule=RULES[0],
        language="zh",
        say=sayer("zh"),
        address="192.0.2.77",
        account=account,
        session=session,
    )


def test_a_reason_is_on_record_before_anything_may_be_seen(site: ConsoleSite) -> None:
    visit = visit_of(site)
    with pytest.raises(ReasonNeeded):
        visit.require_reason(Purpose.PLAYBACK, "gate-exit", 0, HOUR_US)
    grant = asyncio.run(
        visit.grant(Purpose.PLAYBACK, ["gate-exit"], 0, HOUR_US, "  家长询问  丢失的书包 ")
    )
    (record,) = (one for one in site.records() if one.action == "footage_access")
    assert record.actor == "person:chen"
    assert record.subject == "cameras:gate-exit"
    assert record.detail["reason"] == grant.reason == "家长询问 丢失的书包"
    assert (record.detail["from_us"], record.detail["to_us"]) == (0, HOUR_US)
    assert visit.require_reason(Purpose.PLAYBACK, "gate-exit", 5, 6) == grant
    assert visit.require_reason(Purpose.PLAYBACK, "gate-exit", 5, 6, grant.id) == grant


def test_a_grant_covers_what_was_asked_for(site: ConsoleSite) -> None:
    visit, other = visit_of(site), visit_of(site)
    grant = asyncio.run(visit.grant(Purpose.PLAYBACK, ["gate-exit"], 10, HOUR_US, "复核 一次"))
    playback = Purpose.PLAYBACK
    for who, purpose, camera, from_us, to_us, grant_id in (
        (visit, playback, "parking-in", 10, 20, ""),
        (visit, playback, "gate-exit", 9, 20, ""),
        (visit, playback, "gate-exit", 10, HOUR_US + 1, grant.id),
        (visit, Purpose.LIVE, "gate-exit", 10, 20, ""),
        (visit, Purpose.LIVE, "gate-exit", 10, 20, grant.id),
        (other, playback, "gate-exit", 10, 20, grant.id),
    ):
        with pytest.raises(ReasonNeeded):
            who.require_reason(purpose, camera, from_us, to_us, grant_id)
    site.clock.sleep(GRANT_US / 1e6)
    with pytest.raises(ReasonNeeded):
        visit.require_reason(Purpose.PLAYBACK, "gate-exit", 10, 20, grant.id)


def test_what_is_no_reason_is_refused(site: ConsoleSite) -> None:
    visit = visit_of(site)
    for cameras, from_us, to_us, reason in (
        (["gate-exit"], 0, 1, "  x  "),
        (["gate-exit"], 0, 1, "长" * 201),
        (["gate-exit"], 1, 1, "一个理由"),
        ([], 0, 1, "一个理由"),
    ):
        with pytest.raises(ReasonUnusable):
            asyncio.run(visit.grant(Purpose.PLAYBACK, cameras, from_us, to_us, reason))
    with pytest.raises(UnknownCamera):
        asyncio.run(visit.grant(Purpose.PLAYBACK, ["nowhere"], 0, 1, "一个理由"))
    assert not [one for one in site.records() if one.action == "footage_access"]


def test_without_a_record_there_is_no_access(site: ConsoleSite) -> None:
    visit = visit_of(site)
    site.parts.audit.close()
    with pytest.raises(AuditUnavailable):
        asyncio.run(visit.grant(Purpose.LIVE, ["gate-exit"], 0, 0, "一个理由"))
    with pytest.raises(ReasonNeeded):
        visit.require_reason(Purpose.LIVE, "gate-exit", 0, 0)


def test_grants_of_a_session_are_bounded(site: ConsoleSite) -> None:
    visit = visit_of(site)
    grants = [
        asyncio.run(visit.grant(Purpose.LIVE, ["gate-exit"], 0, 0, f"第 {number} 次"))
        for number in range(PER_SESSION_MAX + 1)
    ]
    with pytest.raises(ReasonNeeded):
        visit.require_reason(Purpose.LIVE, "gate-exit", 0, 0, grants[0].id)
    assert visit.require_reason(Purpose.LIVE, "gate-exit", 0, 0) == grants[-1]

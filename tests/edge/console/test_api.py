"""The JSON API keeps what its OpenAPI document promises, and what its tokens' scopes say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.instants import format_instant, parse_instant
from edge.console.api import OPERATIONS
from edge.console.roles import Role, Scope
from retention.model import US_PER_S, GapCause
from tests.retention.storing import Site
from tests.retention.writing import T0
from tests.support.console_site import ConsoleSite
from tests.support.demo_footage import STREAM, Take, record_take

S = US_PER_S
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    """``gate-exit``: 0 to 12 s, a gap, 20 to 24 s. Edge does not run."""
    folder = tmp_path_factory.mktemp("api")
    store = Site.make(folder / "box")
    with store.running(("gate-exit", "hall")) as recorder:
        for run, first, cuts_us in (
            ("1" * 32, 1, [T0, T0 + 6 * S, T0 + 12 * S]),
            ("2" * 32, 3, [T0 + 20 * S, T0 + 24 * S]),
        ):
            record_take(
                recorder,
                Take(
                    camera="gate-exit", run=run, first_number=first, cuts_us=cuts_us, stream=STREAM
                ),
            )
        recorder.opened.ledger.gap("gate-exit", T0 + 12 * S, T0 + 20 * S, GapCause.NETWORK, "x")
        store.at(24)
    with ConsoleSite(folder / "console", cameras=("gate-exit", "hall", "new")) as found:
        found.clock.now_us = T0 + 24 * S
        shutil.copy(store.index_path, found.parts.state_dir / "index.db")
        yield found


@pytest.fixture(scope="module")
def token(site: ConsoleSite) -> str:
    return site.parts.tokens.add("district", frozenset(Scope), 400, "person:test")[1]


@pytest.fixture(scope="module")
def schema(site: ConsoleSite, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", site.app, headers=headers)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_answers_are_those_that_the_document_promises(
    schema: Any, token: str, operation: Any
) -> None:
    """Schemathesis asks sense and nonsense: no error of ours, no answer of another shape."""
    asked = []

    @given(case=schema[operation.path]["GET"].as_strategy())
    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=CHECKS)
        asked.append(answer.status_code)

    ask()
    assert 200 in asked or operation.name == "timeline"  # two random instants are years apart


def get(site: ConsoleSite, path: str, token: str) -> Any:
    return site.browser().get(path, authorization=f"Bearer {token}")


def test_a_scope_opens_its_own_and_nothing_else(site: ConsoleSite) -> None:
    paths = {one.path.replace("{camera}", "gate-exit"): one.scope for one in OPERATIONS} | {
        "/metrics/edge": Scope.METRICS
    }
    for scope in Scope:
        text = site.parts.tokens.add(scope.value, frozenset({scope}), 1, "person:test")[1]
        assert get(site, "/api/v1/openapi.json", text).status_code == 200
        for path, needed in paths.items():
            is_open = get(site, path, text).status_code != 403
            assert is_open is (needed is scope), (path, scope)


def test_a_person_reads_what_his_role_reads(site: ConsoleSite) -> None:
    assert site.person(Role.GUARD).get("/api/v1/status").status_code == 200
    assert site.person(Role.GUARD).get("/api/v1/holds").status_code == 403
    assert site.person(Role.AUDITOR).get("/api/v1/holds").status_code == 200
    assert site.person(Role.INTEGRATOR).get("/api/v1/audit/heads").status_code == 403


def test_a_time_line_tells_spans_and_gaps(schema: Any, token: str) -> None:
    case = schema["/api/v1/cameras/{camera}/timeline"]["GET"].Case(
        path_parameters={"camera": "gate-exit"},
        query={"from": format_instant(T0), "to": format_instant(T0 + 24 * S)},
    )
    answer = case.call(headers={"Authorization": f"Bearer {token}"})
    case.validate_response(answer, checks=CHECKS)
    told = answer.json()
    (gap,) = (one for one in told["gaps"] if one["cause"] == "network")
    assert (parse_instant(gap["start"]) - T0) // S == 12
    assert (parse_instant(gap["end"]) - T0) // S == 20
    assert len(told["spans"]) == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/cameras/nowhere/timeline?from=2026-01-01&to=2026-01-02", 404),
        ("/api/v1/cameras/gate-exit/timeline?from=2026-01-02&to=2026-01-01", 400),
        ("/api/v1/cameras/gate-exit/timeline?from=2024-01-01&to=2026-01-01", 400),
        ("/api/v1/cameras/gate-exit/timeline?from=0001-01-01&to=2026-01-01", 400),
        ("/api/v1/cameras/gate-exit/timeline?to=2026-01-01", 400),
        ("/api/v1/cameras/gate-exit/completeness?days=0", 400),
        ("/api/v1/cameras/gate-exit/completeness?days=９", 400),
        ("/api/v1/cameras/new/completeness", 404),
    ],
)
def test_nonsense_is_told_from_nothing(
    site: ConsoleSite, token: str, path: str, status: int
) -> None:
    answer = get(site, path, token)
    assert answer.status_code == status
    assert answer.json()["code"]


def test_a_silent_index_is_no_empty_answer(
    site: ConsoleSite, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, never a time line without recordings."""
    path = site.parts.state_dir / "index.db"
    away = path.with_name("index.away")
    path.rename(away)
    try:
        for where in ("cameras/gate-exit/timeline?from=2026-01-01&to=2026-01-02", "holds", "kpi"):
            assert get(site, f"/api/v1/{where}", token).status_code == 503
    finally:
        away.rename(path)


def test_metrics_of_a_service_are_passed_on(site: ConsoleSite, token: str) -> None:
    from retention.endpoint import Endpoint, Health

    bind = site.parts.settings.metrics.bind
    registry = site.parts.metrics.registry
    endpoint = Endpoint(bind.host, 0, registry, lambda: Health(is_healthy=True, reasons={}))
    try:
        fresh = bind.__class__(host=bind.host, port=endpoint.port)
        metrics = site.parts.settings.metrics.model_copy(update={"bind": fresh})
        old = site.parts.settings
        site.parts.settings = old.model_copy(update={"metrics": metrics})
        answer = get(site, "/metrics/edge", token)
        assert "nvr_console_sessions" in answer.text
        assert get(site, "/metrics/uplink", token).status_code == 503
        assert get(site, "/metrics/other", token).status_code == 404
        site.parts.settings = old
    finally:
        endpoint.close()

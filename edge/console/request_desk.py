"""The register of guardians' requests: ``requests.json`` in the console's folder. Shell.

Each step is on record before it is done; names of guardians and children stand in the register
alone, not in the audit log.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from edge.console import guardian_requests
from edge.console.guardian_requests import (
    REQUESTS_MAX,
    Outcome,
    Request,
    RequestRefused,
    from_json,
    text_of,
    to_json,
)
from edge.console.records_file import Register
from retention.audit import AuditLog
from retention.audit_chain import Action, Value
from retention.audit_chain import Outcome as Recorded
from retention.clock import Clock

FILE_NAME = "requests.json"
RECORD_TIMEOUT_S = 10.0


def _absent(request_id: str) -> RequestRefused:
    return RequestRefused(f"there is no request {request_id[:40]!r}", hint="load the page again")


class RequestDesk:
    """Every request; methods that change one run in threads."""

    def __init__(self, state_dir: Path, audit: AuditLog, clock: Clock) -> None:
        self._file = Register(state_dir, FILE_NAME, from_json, to_json, _absent)
        self._audit = audit
        self._clock = clock

    def requests(self) -> list[Request]:
        """The newest first. Raises :class:`ConsoleFileUnusable`."""
        return sorted(self._file.entries(), key=lambda one: one.entered_us, reverse=True)

    def enter(
        self, fields: Mapping[str, str], camera: str, from_us: int, to_us: int, by: str
    ) -> Request:
        """Raises :class:`RequestRefused`: a field is missing, or the register is full."""
        found = guardian_requests.entered(
            Request(
                id=secrets.token_hex(5),
                guardian=text_of(fields.get("guardian", "")),
                relation=text_of(fields.get("relation", "")),
                child=text_of(fields.get("child", "")),
                identified_by=text_of(fields.get("identified_by", "")),
                camera=camera,
                from_us=from_us,
                to_us=to_us,
                purpose=text_of(fields.get("purpose", "")),
                entered_by=by,
                entered_us=self._clock.utc_us(),
            )
        )
        with self._file.changing() as content:
            if len(content) >= REQUESTS_MAX:
                raise RequestRefused("the register is full", hint="keep a copy and begin anew")
            self._record(found, by, "entered")
            content[found.id] = to_json(found)
        return found

    def decide(self, request_id: str, by: str, why: str, *, is_granted: bool) -> Request:
        def step(found: Request) -> Request:
            made = guardian_requests.decided(
                found, is_granted=is_granted, why=why, by=by, now_us=self._clock.utc_us()
            )
            self._record(made, by, made.state.value, why=made.why)
            return made

        return self._file.change(request_id, step)

    def close(self, request_id: str, by: str, outcome: str, export: str) -> Request:
        if outcome not in list(Outcome):
            raise RequestRefused("what became of it must be told", hint="choose one")

        def step(found: Request) -> Request:
            now_us = self._clock.utc_us()
            made = guardian_requests.closed(found, Outcome(outcome), export, by, now_us)
            self._record(made, by, outcome, export=made.export)
            return made

        return self._file.change(request_id, step)

    def _record(self, found: Request, by: str, step: str, **detail: Value) -> None:
        """Raises :class:`AuditUnavailable`: the step is not to be done."""
        self._audit.record(
            Action.GUARDIAN_REQUEST,
            subject=f"request:{found.id}",
            actor=f"person:{by}",
            outcome=Recorded.DONE,
            step=step,
            camera=found.camera,
            from_us=found.from_us,
            to_us=found.to_us,
            **detail,
        ).result(RECORD_TIMEOUT_S)

"""Legal holds, as the running ``edge`` keeps them: asked for on its control socket. Shell.

Every step is on record before it is done; a hold is confirmed once it is in the index and on the
journals of all volumes. Blocking; called from threads.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from config.errors import Retry
from config.schema import Settings
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Outcome
from retention.clock import Clock
from retention.holds import (
    EVERY_CAMERA,
    Hold,
    HoldRefused,
    HoldState,
    added,
    expired,
    release,
    spans_held,
)
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.index.write import IndexWriter
from retention.journal import Kind
from retention.ledger import Decision, Ledger
from retention.volume_errors import VolumeError
from retention.volumes import Slot, VolumeSet

T = TypeVar("T")

INDEX_TIMEOUT_S = 10.0
AUDIT_TIMEOUT_S = 10.0
#: Journals are synced with their group: at most ``durability_seconds`` later, on a slow disk more.
VOLUME_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFigures:
    """For the metrics."""

    count: dict[str, int] = field(default_factory=dict)  # by state
    bytes: dict[str, int] = field(default_factory=dict)  # by camera


class HoldDesk:
    """Adds and releases holds.

    Args:
        settings: those in force now.
    """

    def __init__(
        self,
        *,
        index: IndexWriter,
        ledger: Ledger,
        volumes: VolumeSet,
        audit: AuditLog,
        clock: Clock,
        settings: Callable[[], Settings],
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._volumes = volumes
        self._audit = audit
        self._clock = clock
        self._settings = settings

    def add(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Put a hold in force.

        Raises:
            HoldRefused: it says nothing sensible; nothing was done.
            AuditUnavailable: it could not be put on record; nothing was done.
            IndexUnavailable: the index does not answer; the hold may come about later.
        """
        hold = Hold(
            id=f"h-{secrets.token_hex(4)}",
            camera=_string(arguments, "camera"),
            from_us=_instant(arguments, "from_us"),
            to_us=_instant(arguments, "to_us"),
            case=_string(arguments, "case"),
            requester=_string(arguments, "requester"),
            unit=_string(arguments, "unit"),
            reason=_string(arguments, "reason"),
            expires_us=None
            if arguments.get("expires_us") is None
            else _instant(arguments, "expires_us"),
            added_us=self._clock.utc_us(),
            added_by=_string(arguments, "by"),
        )
        self._check_camera(hold.camera)
        facts = {
            "camera": hold.camera or "all",
            "from_us": hold.from_us,
            "to_us": hold.to_us,
            "case_number": hold.case,
            "requester": hold.requester,
            "unit": hold.unit,
            "reason": hold.reason,
            "expires_us": hold.expires_us,
        }

        def decision(connection: Any) -> tuple[Hold, list[tuple[Kind, dict[str, Any]]]]:
            return hold, [(Kind.HOLD, added(hold, rows.holds(connection)))]

        return self._carry_out(Action.HOLD_ADDED, hold.id, hold.added_by, facts, decision)

    def release(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Release a hold, or with ``two_person_release`` ask for it first. Raises as :meth:`add`
        does."""
        hold_id, by = _string(arguments, "id"), _string(arguments, "by")
        two_persons = self._settings().retention.two_person_release

        def decision(connection: Any) -> tuple[Hold | None, list[tuple[Kind, dict[str, Any]]]]:
            hold = rows.hold(connection, hold_id)
            return hold, [(Kind.HOLD, release(hold, by, two_persons=two_persons))]

        facts = {"through": _string(arguments, "actor")}
        return self._carry_out(Action.HOLD_RELEASE, hold_id, f"person:{by}", facts, decision)

    def expire(self, trusted_us: int) -> list[str]:
        """Tell of the holds that ended by their term; their ids."""
        found = self._ask_index(lambda connection: rows.holds(connection, is_open=True))
        over = [hold for hold in found if hold.state(trusted_us) is HoldState.EXPIRED]
        for hold in over:
            self._record(
                Action.HOLD_EXPIRED,
                hold.id,
                None,
                Outcome.DONE,
                {"case_number": hold.case, "expires_us": hold.expires_us},
            )
            future = self._ledger.decide(
                lambda _, hold=hold: (None, [(Kind.HOLD, expired(hold))]),  # type: ignore[misc]
                self._clock.utc_us(),
            )
            _result(future.result)
        return [hold.id for hold in over]

    # Inside --------------------------------------------------------------------------------

    def _carry_out(
        self,
        action: Action,
        hold_id: str,
        actor: str,
        facts: dict[str, Any],
        decision: Decision[Any],
    ) -> dict[str, Any]:
        self._record(action, hold_id, actor, Outcome.BEGUN, facts)
        try:
            future = self._ledger.decide(decision, self._clock.utc_us())
            _result(future.result)
            hold, entry = self._ask_index(
                lambda connection: (rows.hold(connection, hold_id), rows.last_entry(connection))
            )
        except HoldRefused as error:
            self._record(action, hold_id, actor, Outcome.REFUSED, {"why": str(error)})
            raise
        except IndexUnavailable as error:
            self._record(action, hold_id, actor, Outcome.FAILED, {"why": str(error)})
            raise
        assert hold is not None
        assert entry is not None  # this step's, or one behind it
        pending = self._not_durable_on(entry.line)
        state = hold.state(None).value
        self._record(
            action, hold_id, actor, Outcome.DONE, {"state": state, "pending": ", ".join(pending)}
        )
        return {"id": hold_id, "state": state, "pending_volumes": pending}

    def _record(
        self,
        action: Action,
        hold_id: str,
        actor: str | None,
        outcome: Outcome,
        facts: dict[str, Any],
    ) -> None:
        future = self._audit.record(
            action, subject=f"hold:{hold_id}", actor=actor, outcome=outcome, **facts
        )
        try:
            future.result(AUDIT_TIMEOUT_S)
        except TimeoutError:
            raise AuditUnavailable("the audit log does not answer", retry=Retry.LATER) from None

    def _check_camera(self, camera: str) -> None:
        known = {one.id for one in self._settings().camera}
        known |= {row.id for row in self._ask_index(rows.cameras)}
        if camera != EVERY_CAMERA and camera not in known:
            raise HoldRefused(
                f"camera {camera!r} is unknown", hint=f"known: {', '.join(sorted(known))}, or all"
            )

    def _ask_index(self, query: Callable[[Any], T]) -> T:
        return _result(self._index.submit(query).result)

    def _not_durable_on(self, line: bytes) -> list[str]:
        """Places of the volumes whose journals do not hold the line yet; all are asked at once."""
        is_there: dict[str, bool] = {}

        def ask(slot: Slot) -> None:
            if slot.host is None or not slot.is_attached:
                return
            try:
                is_there[slot.name] = slot.host.has_durably(line, VOLUME_TIMEOUT_S)
            except VolumeError:
                is_there[slot.name] = False

        threads = [
            threading.Thread(target=ask, args=[slot], name="hold-on-volume", daemon=True)
            for slot in self._volumes.slots
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + VOLUME_TIMEOUT_S + 1
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [slot.name for slot in self._volumes.slots if not is_there.get(slot.name)]


def figures(index_path: Path, trusted_us: int | None) -> HeldFigures:
    """How many holds there are, and what they keep. Reads a row of each segment that is held.

    Raises:
        IndexUnavailable: the index does not answer.
    """

    with Index.open_read(index_path) as index:
        holds = index.read(rows.holds)
        cameras = [row.id for row in index.read(rows.cameras)]

        def size_bytes(camera: str) -> int:
            spans = spans_held(camera, holds, trusted_us)
            return index.read(
                lambda connection: sum(
                    rows.held_bytes(connection, camera, from_us, to_us) for from_us, to_us in spans
                )
            )

        return HeldFigures(
            count={
                state.value: sum(hold.state(trusted_us) is state for hold in holds)
                for state in HoldState
            },
            bytes={camera: size_bytes(camera) for camera in cameras},
        )


def stored_holds(index_path: Path) -> Iterable[Hold]:
    """Every hold, released ones too. Raises :class:`IndexUnavailable`."""
    with Index.open_read(index_path) as index:
        return index.read(rows.holds)


def _result(wait: Callable[[float], T]) -> T:
    try:
        return wait(INDEX_TIMEOUT_S)
    except TimeoutError:
        raise IndexUnavailable("the index does not answer", retry=Retry.LATER) from None


def _string(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise HoldRefused(f"{name} is no text")
    return value


def _instant(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if type(value) is not int or abs(value) > 2**62:
        raise HoldRefused(f"{name} is no instant")
    return value

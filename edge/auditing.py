"""What ``edge`` does about audit logs: its own, the anchors of all, commands on record. Shell.

Blocking; called from threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.changes import changes
from config.schema import Settings
from retention.audit import AuditLog, AuditUnavailable, os_actor
from retention.audit_chain import Action, Head, Outcome, Value
from retention.audit_read import heads, services
from retention.clock import SystemClock
from retention.ledger import Ledger

log = logging.getLogger(__name__)

#: Commands of several persons may write their log at one time.
CLI_WAIT_S = 10.0
RECORD_TIMEOUT_S = 30.0
#: Heads are anchored each so often: so much of a log's end can be cut off unseen.
ANCHOR_S = 600


class Anchors:
    """Signs the heads of all logs into the journal when one of them has moved."""

    def __init__(self, state_dir: Path, ledger: Ledger) -> None:
        self._state_dir = state_dir
        self._ledger = ledger
        self._told: dict[str, Head] = {}

    def tell(self, now_us: int) -> None:
        """Raises :class:`AuditUnavailable`."""
        found = heads(self._state_dir)
        moved = {name: head for name, head in found.items() if self._told.get(name) != head}
        if moved:
            self._ledger.audit_heads(moved, now_us)
            self._told = {**self._told, **moved}


def give_way() -> None:
    """Between two steps of a long look in a process that records: a fifth of the time is enough."""
    time.sleep(0.03)


def prune_logs(audit: AuditLog, state_dir: Path, keep_days: int, trusted_us: int) -> None:
    """Remove what is older than it must be kept from edge's log and the commands'; the other
    services see to their own (:mod:`retention.audit_terms`).

    Raises:
        AuditUnavailable, AuditDamaged: a log stays as it is.
    """
    audit.prune(keep_days, trusted_us).result(RECORD_TIMEOUT_S)
    if "cli" in services(state_dir):
        with AuditLog(state_dir, "cli", SystemClock(), wait_s=CLI_WAIT_S) as commands:
            commands.prune(keep_days, trusted_us).result(RECORD_TIMEOUT_S)


def record_changes(audit: AuditLog, path: Path, old: Settings, new: Settings) -> None:
    """Settings came into force; nothing if none of them changed."""
    lines = changes(old, new)
    if lines:
        audit.record(
            Action.SETTINGS_CHANGED,
            subject=str(path),
            file_owner=_owner(path),
            changed="; ".join(lines),
            count=len(lines),
        )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that is on record, and being done."""

    head: Head  # the record of its beginning
    told: dict[str, Value]  # of how it ended


@contextmanager
def on_record(
    settings: Settings, action: Action, subject: str, actor: str | None = None, **detail: Value
) -> Iterator[Deed]:
    """A command's deed, in the log of the command line: on record before it begins, and how it
    ended. What is put into ``told`` is told at the end.

    Raises:
        AuditUnavailable: it could not be put on record, and must not be done.
    """
    who = actor or os_actor()
    with AuditLog(settings.storage.state_dir, "cli", SystemClock(), wait_s=CLI_WAIT_S) as audit:
        begun = audit.record(action, subject=subject, actor=who, outcome=Outcome.BEGUN, **detail)
        told: dict[str, Value] = {}
        head = begun.result(RECORD_TIMEOUT_S)
        try:
            yield Deed(head=head, told=told)
        except BaseException as error:
            told["error"] = str(error) or type(error).__name__
            _end(audit, action, subject, who, Outcome.FAILED, told)
            raise
        _end(audit, action, subject, who, Outcome.DONE, told)


def _end(
    audit: AuditLog,
    action: Action,
    subject: str,
    who: str,
    outcome: Outcome,
    told: dict[str, Value],
) -> None:
    """What was begun is on record; that its end is not must not undo it."""
    try:
        audit.record(action, subject=subject, actor=who, outcome=outcome, **told).result(
            RECORD_TIMEOUT_S
        )
    except (AuditUnavailable, TimeoutError) as error:
        log.error("audit_end_not_recorded", extra={"action": action.value, "error": str(error)})

"""Whether the audit logs can be believed: each against itself and against the anchors. Shell.

Reads only, so that the console may use it, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from retention.audit_chain import Verdict
from retention.audit_loss import COMMANDS
from retention.audit_read import anchors, loss_told, services, verify
from retention.index.errors import IndexUnavailable
from retention.index.read import Index

log = logging.getLogger(__name__)


def verify_all(
    state_dir: Path,
    index_path: Path,
    only: str | None = None,
    pause: Callable[[], None] | None = None,
) -> list[Verdict]:
    """Verify every log (or ``only`` one) against itself and the anchors in the index.

    Raises:
        AuditUnavailable: a log cannot be read.
    """
    try:
        with Index.open_read(index_path) as index:
            anchored = anchors(index, pause)
        note = ""
    except IndexUnavailable as error:
        anchored, note = {}, f"no anchors: {error.sentence()}"
    names = sorted({*services(state_dir), *anchored}) if only is None else [only]
    loss = loss_told(state_dir, anchored.get(COMMANDS, ()), pause)
    verdicts = [verify(state_dir, name, anchored.get(name, ()), pause, loss) for name in names]
    for verdict in verdicts:
        if note:
            verdict.notes.append(note)
    return verdicts


def is_sound(verdicts: list[Verdict]) -> bool:
    """Whether none has a finding; what is wrong, or went with an old state folder, goes to the
    system's log."""
    for verdict in verdicts:
        if verdict.lost_seq:
            lost = {"service": verdict.service, "lost_seq": verdict.lost_seq}
            log.warning("audit_records_lost_with_state", extra=lost)
        for finding in verdict.findings:
            log.error("audit_log_unsound", extra={"service": verdict.service, "finding": finding})
    return all(verdict.is_sound for verdict in verdicts)

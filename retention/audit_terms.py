"""Old parts of a service's own audit log go, for the services that judge no clock. Shell.

Age is judged on the time that ``edge`` last proved; it stands in the index. While time is not
trusted, or nothing of it is known, nothing goes.
"""

from __future__ import annotations

import logging
from pathlib import Path

from config.errors import XueliangError
from retention.audit import AuditLog
from retention.index import rows
from retention.index.read import Index
from retention.trusted_time import told_due_us

log = logging.getLogger(__name__)

#: As often as ``edge`` looks at its own.
EVERY_S = 3600.0
PRUNE_TIMEOUT_S = 30.0


def end_terms(audit: AuditLog, index_path: Path, keep_days: int) -> bool:
    """Remove what is older than it must be kept; False where that could not be done now. Blocks."""
    try:
        with Index.open_read(index_path) as index:
            due_us = told_due_us(index.read(rows.trust))
        if due_us is not None:
            audit.prune(keep_days, due_us).result(PRUNE_TIMEOUT_S)
    except (XueliangError, TimeoutError) as error:  # the caller counts it; it is tried again
        log.error("terms_not_ended", extra={"service": audit.service, "error": str(error)})
        return False
    return True

"""A service with an event loop ends the terms of its audit log every hour. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from retention.audit import AuditLog
from retention.audit_terms import EVERY_S, end_terms


async def end_terms_hourly(
    audit: AuditLog, index_path: Path, keep_days: Callable[[], int], failed: Callable[[], None]
) -> None:
    """Until it is cancelled; ``failed`` is called where :func:`end_terms` is False."""
    while True:
        await asyncio.sleep(EVERY_S)
        if not await asyncio.to_thread(end_terms, audit, index_path, keep_days()):
            failed()

"""What ``edge`` does all day so that footage can be proven: checkpoints, witness, scrubbing. Shell.

Threads of their own do the work; nothing that records waits for any of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from config.schema import Settings
from edge.alarms.board import AlarmBoard
from edge.alarms.codes import Code as AlarmCode
from edge.alarms.register import Fault
from edge.metrics import EXPORT_RESULTS, EdgeMetrics
from edge.scrubbing import Scrubbing
from edge.witness import Witness
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.checkpoints import Checkpoints
from retention.clock import Clock
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.keys import signing_key
from retention.model import US_PER_S
from retention.scrub import Scrubbed, ScrubResult
from retention.start import Opened
from retention.witness import statement

log = logging.getLogger(__name__)

CHECKPOINT_S = 3600
#: At the stop: how often is looked whether all is sealed.
SEALED_LOOK_S = 0.05
#: Faults of one segment that go on record.
FAULTS_MAX = 5


class Proof:
    """Owns the maker of checkpoints, the witness's messenger, and the scrubbing.

    Args:
        settings: those in force now.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        settings: Callable[[], Settings],
        metrics: EdgeMetrics,
        audit: AuditLog,
        alarms: AlarmBoard,
        clock: Clock,
    ) -> None:
        self._index_path = opened.index.path
        self._settings = settings
        self._metrics = metrics
        self._audit = audit
        self._alarms = alarms
        self._clock = clock
        self.checkpoints = Checkpoints(opened.index, opened.ledger, opened.is_final)
        self._key = signing_key(self._index_path.parent)
        self._witness = Witness(
            self._index_path.parent,
            lambda: settings().evidence,
            lambda result: metrics.witness_posts.labels(result).inc(),
        )
        self._scrubbing = Scrubbing(
            self._index_path,
            [slot.path for slot in opened.volumes.slots],
            lambda: settings().evidence.scrub_days,
            self._scrubbed,
        )

    def start(self) -> None:
        self._witness.start()
        self._scrubbing.start()

    def stop(self) -> None:
        self._scrubbing.stop()
        self._witness.stop()

    def faults(self) -> dict[str, list[Fault]]:
        """What is wrong now, for the register of alarms; nothing before the first attempt."""
        is_failing = self._witness.is_failing
        if is_failing is None:
            return {}
        return {"witness": [Fault(code=AlarmCode.WITNESS_SILENT)] if is_failing else []}

    def finish(self, seconds: float) -> None:
        """At a clean stop: sign what was sealed since the newest checkpoint, the segments that are
        being sealed just now too. Blocks, at most so long: what is not signed then is at the next
        start."""
        until_us = self._clock.monotonic_us() + int(seconds * US_PER_S)
        work = threading.Thread(target=self._finish, args=[until_us], name="finish", daemon=True)
        work.start()
        work.join(seconds)
        if work.is_alive():
            log.warning("last_checkpoint_not_made")

    def _finish(self, until_us: int) -> None:
        try:
            with Index.open_read(self._index_path) as index:
                while index.read(rows.are_any_open) and self._clock.monotonic_us() < until_us:
                    time.sleep(SEALED_LOOK_S)
            self._checkpoint(None)
        except IndexUnavailable as error:  # counted; the next start makes it
            self._metrics.swallowed_errors.labels("checkpoint").inc()
            log.warning("checkpoint_failed", extra={"error": error.sentence()})

    # Checkpoints and witness -------------------------------------------------------------------

    async def checkpoint_all(self) -> None:
        """The hourly job."""
        try:
            await asyncio.to_thread(self._checkpoint, None)
            self._metrics.checkpoint_time.set(self._clock.utc_us() / US_PER_S)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("checkpoint").inc()
            log.warning("checkpoint_failed", extra={"error": error.sentence()})

    async def checkpoint(self, arguments: dict[str, Any]) -> Any:
        """Chain what is sealed of one camera (``camera``) or of all; how many segments."""
        camera = arguments.get("camera")
        cameras = None if camera is None else [str(camera)]
        return {"segments": await asyncio.to_thread(self._checkpoint, cameras)}

    def _checkpoint(self, cameras: list[str] | None) -> int:
        count = self.checkpoints.make(self._clock.utc_us(), cameras)
        if count:
            self._tell_witness()
        return count

    def _tell_witness(self) -> None:
        """The journald line is a witness of its own where logs leave the machine."""
        with Index.open_read(self._index_path) as index:
            told = index.read(
                lambda connection: statement(
                    connection, self._settings().site.name, self._clock.utc_us(), self._key
                )
            )
        if told is None:
            return
        journal = told["journal"]
        log.info("journal_head", extra={"seq": journal["seq"], "hash": journal["hash"]})
        self._witness.tell(told)

    # Exports and scrubbing ---------------------------------------------------------------------

    async def exported(self, arguments: dict[str, Any]) -> Any:
        """A command has exported: edge only counts it."""
        result = str(arguments.get("result"))
        if result in EXPORT_RESULTS:
            self._metrics.exports.labels(result).inc()
            self._metrics.export_bytes.labels(result).inc(max(0, int(arguments.get("bytes", 0))))
        return {}

    def _scrubbed(self, one: Scrubbed) -> None:
        """From the thread that listens to the scrubbing."""
        self._metrics.segment_verify.labels(one.volume, one.result.value).inc()
        if one.result is ScrubResult.OK:
            return
        faults = "; ".join(one.faults[:FAULTS_MAX])
        self._alarms.happened(
            Fault(
                code=AlarmCode.FOOTAGE_DAMAGED,
                subject=one.camera,
                reason_zh=f"第 {one.number} 段 {one.result.value}",
                reason_en=f"segment {one.number} {one.result.value}",
            )
        )
        log.error(
            "segment_not_as_stored",
            extra={
                "volume": one.volume,
                "camera": one.camera,
                "number": one.number,
                "result": one.result.value,
                "faults": faults,
            },
        )
        self._audit.record(
            Action.VERIFY,
            subject=f"{one.camera} {one.number}",
            outcome=Outcome.FAILED,
            volume=one.volume,
            result=one.result.value,
            faults=faults,
        )

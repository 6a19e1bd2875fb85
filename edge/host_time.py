"""Trusted time in ``edge``: clocks and sources in, judgements out, to ledger, cameras and metrics.

Shell, on the event loop (:meth:`HostTime.begin` in the thread that opens the store); what it asks
others for is gathered by jobs (:meth:`gather`, :meth:`retime`) and never waited for.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.errors import Retry, XueliangError
from edge.ntp import measured_offset_us
from edge.recorder import CameraClock
from retention.clock import HostClock
from retention.index import rows
from retention.index.entries import UNSEEN_CAUSES
from retention.index.read import Index
from retention.index.write import IndexWriter
from retention.ledger import Ledger, cause_of_absence
from retention.model import US_PER_S, ClockState
from retention.platform_time import median, read_platform_time
from retention.segmenter import NewRun
from retention.trusted_time import (
    SENTENCES,
    Change,
    DateImpossible,
    Judgement,
    Past,
    Reading,
    Sample,
    Source,
    TrustedTime,
    retimings,
)

log = logging.getLogger(__name__)

#: Who confirms has looked at the time that was shown; a clock that moved since is another one.
CONFIRM_WITHIN_US = 600 * US_PER_S


class ConfirmationRefused(XueliangError):
    """The time cannot be confirmed."""

    code = "confirmation_refused"


class HostTime:
    """The one judge of this process.

    Args:
        on_step: called with the direction of each step of the clock.
        on_untrusted: called when trust ends without a step, which no run would notice.
    """

    def __init__(
        self,
        clock: HostClock,
        boot_id: str,
        state_dir: Path,
        *,
        on_step: Callable[[str], None],
        on_untrusted: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self._state_dir = state_dir
        self._on_step = on_step
        self._on_untrusted = on_untrusted
        self._ntp_offset_us = 0
        self._platform: Reading | None = None
        self._cameras: Reading | None = None
        self._newest: Judgement | None = None

    def begin(self, index: IndexWriter, ledger: Ledger) -> None:
        """Judge the clock before anything is told; blocks."""
        self._index_path, self._ledger = index.path, ledger
        past = index.submit(lambda connection: _past(connection, self._boot_id)).result()
        self._judge = TrustedTime(self._boot_id, past, self._sample())
        self._ledger.epoch = self._judge.judgement(self._sample()).epoch.id
        self.look()

    def look(self) -> Judgement:
        """Judge the clock now; each second, and whenever the answer matters."""
        sample = self._sample()
        judgement = self._judge.look(sample)
        self._carry()
        self._newest = judgement
        return judgement

    @property
    def newest(self) -> Judgement | None:
        """The newest judgement, at most a second old; None before the first."""
        return self._newest

    def due_us(self) -> int | None:
        """The instant that age is judged on; None while time is not trusted."""
        return self.look().due_us

    def state(self) -> str:
        """What has to survive a restart."""
        return json.dumps(self._judge.state(), sort_keys=True)

    # What recorders ask ----------------------------------------------------------------------

    def new_run(self, skew_us: int) -> NewRun:
        """A run on a clock that stands so against CLOCK_MONOTONIC begins."""
        epoch, is_trusted = self._epoch(skew_us)
        clock = ClockState.TRUSTED if is_trusted else ClockState.UNTRUSTED
        return NewRun(run=uuid.uuid4().hex, clock=clock, epoch=epoch)

    def epoch_of(self, skew_us: int) -> int:
        return self._epoch(skew_us)[0]

    def _epoch(self, skew_us: int) -> tuple[int, bool]:
        self.look()  # a recorder may have seen a step first
        epoch, is_trusted = self._judge.epoch_of(skew_us)
        return epoch.id, is_trusted

    # What others say -------------------------------------------------------------------------

    def gather(self, cameras: list[CameraClock]) -> None:
        """Ask the sources anew. Blocks; for a job's thread.

        Args:
            cameras: those that vote.
        """
        self._ntp_offset_us = measured_offset_us() or 0
        raw_us = self._clock.raw_us()
        self._platform = read_platform_time(self._state_dir, self._boot_id, raw_us)
        behind_us = raw_us - self._clock.monotonic_us()
        self._cameras = median(
            [Reading(utc_us=one.utc_us, raw_us=one.monotonic_us + behind_us) for one in cameras]
        )

    def _sample(self) -> Sample:
        readings = {}
        utc_us, monotonic_us = self._clock.utc_us(), self._clock.monotonic_us()
        raw_us = self._clock.raw_us()
        if self._clock.is_synchronized():
            readings[Source.NTP] = Reading(utc_us=utc_us + self._ntp_offset_us, raw_us=raw_us)
        if self._platform is not None:
            readings[Source.PLATFORM] = self._platform
        if self._cameras is not None:
            readings[Source.CAMERAS] = self._cameras
        return Sample(utc_us=utc_us, monotonic_us=monotonic_us, raw_us=raw_us, readings=readings)

    # What follows ----------------------------------------------------------------------------

    def _carry(self) -> None:
        for change in self._judge.take_changes():
            self._ledger.time_judged(
                change.epoch,
                change.code.value,
                change.at_us,
                is_trusted=change.is_trusted,
                previous_end_us=change.previous_end_us,
            )
            _log(change)
            if change.step_us:
                self._on_step("forward" if change.step_us > 0 else "backward")
            elif change.is_new and not change.is_trusted:
                self._on_untrusted()

    def retime(self) -> int:
        """Move what was recorded in an untrusted time, as far as its time is known by now; how many
        stretches and runs. Blocks; for a job's thread.

        Raises:
            IndexUnavailable: the index does not answer.
        """
        newest = self._newest
        if newest is None or not newest.is_trusted:
            return 0
        with Index.open_read(self._index_path) as index:
            epochs, lone = index.read(
                lambda connection: (rows.epochs_if_untimed(connection), rows.lone_runs(connection))
            )
        now_us = self._clock.utc_us()
        found = retimings(epochs)
        for one in found:
            log.warning(
                "epoch_retimed",
                extra={
                    "epoch": one.epoch,
                    "offset_seconds": one.offset_us / US_PER_S,
                    "estimated": one.is_estimated,
                },
            )
            self._ledger.epoch_retimed(
                one.epoch, one.offset_us, now_us, is_estimated=one.is_estimated
            )
        for run, end_us in lone:
            self._ledger.run_retimed(run, now_us - end_us, now_us)
        if found or lone:
            self._ledger.flushed().result()
            self._uncover([one.epoch for one in found], [run for run, _ in lone])
        return len(found) + len(lone)

    def _uncover(self, epochs: list[int], runs: list[str]) -> None:
        """Footage that has moved to where an absence was told was none of it."""
        with Index.open_read(self._index_path) as index:
            moved = index.read(
                lambda connection: rows.footage_under_gaps(
                    connection,
                    [
                        *runs,
                        *(run for one in epochs for run in rows.runs_of_epoch(connection, one)),
                    ],
                    UNSEEN_CAUSES,
                )
            )
        now_us = self._clock.utc_us()
        for camera, span in moved:
            self._ledger.footage_found(camera, span.start_us, span.end_us, now_us, epoch=0)
        self._ledger.flushed().result()

    def confirm(self, who: str, shown_us: int) -> Judgement:
        """An administrator has seen ``shown_us`` and says that it is the time.

        Raises:
            ConfirmationRefused: it is not what the clock shows now, or no date that can be.
        """
        self.look()
        sample = self._sample()
        if not 0 <= sample.utc_us - shown_us <= CONFIRM_WITHIN_US:
            raise ConfirmationRefused(
                "the clock was set after its time was shown", hint="look at the time once more"
            )
        try:
            judgement = self._judge.confirm(sample)
        except DateImpossible:
            raise ConfirmationRefused(
                "the clock shows a date that cannot be: it is before this program's release, or"
                " 20 years after it",
                hint="set the clock first: timedatectl set-time, or mend NTP",
                retry=Retry.NEVER,
            ) from None
        self._ledger.time_confirmed(who, sample.utc_us)
        self._carry()
        self._newest = judgement
        return judgement

    def status(self) -> dict[str, Any]:
        """What ``xueliang status`` and ``check`` show."""
        judgement = self.look()
        zh, en = SENTENCES[judgement.code]
        return {
            "trusted": judgement.is_trusted,
            "code": judgement.code.value,
            "reason_zh": zh,
            "reason_en": en,
            "since_us": judgement.since_us,
            "offsets_seconds": {
                source.value: round(offset_us / US_PER_S, 3)
                for source, offset_us in judgement.offsets_us.items()
            },
        }


def _past(connection: sqlite3.Connection, boot_id: str) -> Past:
    known = rows.epochs(connection)
    last = known[-1] if known else None
    alive = rows.last_alive(connection)
    ended_us = None if last is None else last.start_us
    if last is not None and alive is not None and alive.epoch == last.id:
        ended_us = alive.at_us
    return Past(
        state=rows.trust(connection),
        known_us=rows.known_us(connection),
        last_epoch=last,
        ended_us=ended_us,
        cause=cause_of_absence(rows.service_mark(connection), boot_id),
    )


def _log(change: Change) -> None:
    log.log(
        logging.INFO if change.is_trusted else logging.ERROR,
        "time_trusted" if change.is_trusted else "time_untrusted",
        extra={
            "epoch": change.epoch.id,
            "why": change.code.value,
            "step_seconds": change.step_us / US_PER_S,
        },
    )

"""All volumes of one box: attached by their stamps, each with its writer; where new segments go.

Shell. :meth:`VolumeSet.attach` and :meth:`VolumeSet.refresh` block on disks and belong in a thread
or before recording starts; everything else answers from memory.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from retention.clock import Clock
from retention.model import US_PER_S, GapCause
from retention.stamp import is_blank
from retention.volume import Usage, Volume
from retention.volume_errors import VolumeError, VolumeState, unavailable
from retention.writer import VolumeWriter

log = logging.getLogger(__name__)

#: A volume that has been inside one operation for longer than this gets no new segment.
STUCK_US = 8 * US_PER_S

MakeWriter = Callable[[Volume], VolumeWriter]


@dataclass(slots=True)
class Slot:
    """One configured place for a volume, attached or not."""

    path: Path
    uuid: str | None  # that the index knows for it
    volume: Volume | None = None
    writer: VolumeWriter | None = None
    usage: Usage | None = None
    error: VolumeError | None = None

    @property
    def name(self) -> str:
        """The label of metrics."""
        return str(self.path)

    @property
    def state(self) -> VolumeState:
        if self.writer is not None:
            return self.writer.state
        return VolumeState.MISSING if self.error is None else self.error.state


class VolumeSet:
    """The slots in the order of the settings.

    Args:
        known: the stamp that the index knows for each path; a path that it does not know and that
            is blank is stamped.
        reserve_bytes: kept free on each.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        *,
        known: Mapping[Path, str],
        reserve_bytes: int,
        clock: Clock,
    ) -> None:
        self.slots = [Slot(path, known.get(path)) for path in paths]
        self._reserve_bytes = reserve_bytes
        self._clock = clock

    def attach(self, slot: Slot) -> Volume | None:
        """Attach or stamp the volume of a slot; None, with ``slot.error`` set, where that fails."""
        try:
            slot.volume = self._attach(slot)
            slot.uuid, slot.error = slot.volume.uuid, None
            slot.usage = slot.volume.usage()
        except VolumeError as error:
            if slot.error is None:
                log.error("volume_refused", extra={"error": error.sentence()})
            slot.volume, slot.error = None, error
        return slot.volume

    def _attach(self, slot: Slot) -> Volume:
        try:
            is_new = slot.uuid is None and is_blank(slot.path)
        except OSError as error:
            raise unavailable(slot.path, "open", error) from error
        if not is_new:
            return Volume.attach(slot.path, uuid=slot.uuid, reserve_bytes=self._reserve_bytes)
        return Volume.stamp(
            slot.path,
            uuid=str(uuid.uuid4()),
            now_us=self._clock.utc_us(),
            reserve_bytes=self._reserve_bytes,
        )

    def start(self, slot: Slot, make_writer: MakeWriter) -> None:
        """Give an attached volume its writer; it takes segments from now on."""
        assert slot.volume is not None
        slot.writer = make_writer(slot.volume)

    def refresh(self, slot: Slot) -> None:
        """Look at the free space anew. Blocks as long as the disk does."""
        if slot.volume is None:
            return
        try:
            slot.usage = slot.volume.usage()
        except VolumeError as error:
            log.warning("volume_silent", extra={"error": error.sentence()})

    def choose(self) -> VolumeWriter | None:
        """The writer of the volume with the largest free share that takes segments now."""
        ready = [
            (slot.usage.free_bytes / slot.usage.capacity_bytes if slot.usage else 0.0, slot.writer)
            for slot in self.slots
            if slot.writer is not None
            and slot.writer.state is VolumeState.OK
            and not self.is_stuck(slot.writer.volume)
        ]
        return max(ready, key=lambda item: item[0])[1] if ready else None

    def is_stuck(self, volume: str) -> bool:
        """Whether a disk has not answered for so long that another one should take over."""
        now_us = self._clock.monotonic_us()
        return any(
            slot.writer.stalled_us(now_us) > STUCK_US
            for slot in self.slots
            if slot.writer is not None and slot.writer.volume == volume
        )

    def name_of(self, volume: str) -> str:
        """The place where a volume is, as metrics name it."""
        return next((slot.name for slot in self.slots if slot.uuid == volume), volume)

    def trouble(self) -> GapCause:
        """Why fragments pile up in RAM."""
        states = {slot.state for slot in self.slots}
        if VolumeState.OK in states:
            return GapCause.DISK_SLOW
        return GapCause.DISK_FULL if VolumeState.FULL in states else GapCause.DISK_FAILED

    def close(self, timeout_s: float = 8.0) -> None:
        """Seal what is open, make it durable, end the writers."""
        for slot in self.slots:
            if slot.writer is not None and not slot.writer.close(timeout_s):
                log.error("writer_hangs", extra={"volume": slot.name})

"""All volumes of one box: attached by their stamps, each with its writer; where new segments go.

Shell. :meth:`VolumeSet.attach` waits for a disk, at most a few seconds, and belongs in a thread or
before recording starts; everything else answers from memory.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from retention.clock import Clock
from retention.model import US_PER_S, GapCause
from retention.volume import Usage
from retention.volume_errors import VolumeError, VolumeState
from retention.volume_host import VolumeHost, Writer
from retention.volume_messages import Attach

log = logging.getLogger(__name__)

#: A volume that has been inside one operation for longer than this gets no new segment, and what it
#: has is recorded elsewhere: within ten seconds of its last word.
STUCK_US = 6 * US_PER_S

#: Makes the host of the volume at a place; may raise :class:`VolumeError`.
MakeHost = Callable[[str], VolumeHost]


@dataclass(slots=True)
class Slot:
    """One configured place for a volume, attached or not."""

    path: Path
    uuid: str | None  # that the index knows for it
    host: VolumeHost | None = None
    is_attached: bool = False
    writer: Writer | None = None
    error: VolumeError | None = None
    device: int | None = None  # as stat tells it
    #: The newest journal entry that its replica is known to hold; None: as at start.
    holds_seq: int | None = None
    #: Takes no new segment; what it holds stays readable, and expires.
    is_retiring: bool = False

    @property
    def name(self) -> str:
        """The label of metrics."""
        return str(self.path)

    @property
    def usage(self) -> Usage | None:
        """As last told; None before the volume was ever there."""
        found = None if self.host is None else self.host.usage
        return None if found is None else Usage(capacity_bytes=found[0], free_bytes=found[1])

    @property
    def usage_us(self) -> int:
        """When that was told, monotonic."""
        return 0 if self.host is None else self.host.usage_us

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
        retiring: places that take no new segment.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        *,
        known: Mapping[Path, str],
        reserve_bytes: int,
        clock: Clock,
        make_host: MakeHost,
        retiring: tuple[Path, ...] = (),
    ) -> None:
        self.slots = [Slot(path, known.get(path), is_retiring=path in retiring) for path in paths]
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._make_host = make_host

    def take_up(
        self, paths: tuple[Path, ...], retiring: tuple[Path, ...], known: Mapping[Path, str]
    ) -> list[Slot]:
        """Add the places that are new, and say anew which retire; the new slots."""
        have = {slot.path for slot in self.slots}
        added = [Slot(path, known.get(path)) for path in paths if path not in have]
        self.slots = [*self.slots, *added]
        for slot in self.slots:
            slot.is_retiring = slot.path in retiring
        return added

    def attach(self, slot: Slot) -> bool:
        """Attach or stamp the volume of a slot; False, with ``slot.error`` set, where that fails.

        A disk that hangs is not asked again before it has let go of whoever asked it last.
        """
        slot.is_attached = False
        try:
            if slot.host is None or not slot.host.is_usable:
                if slot.host is not None and not slot.host.is_gone:
                    return False
                slot.host = self._make_host(slot.name)
            attached = slot.host.attach(
                Attach(
                    path=str(slot.path),
                    uuid=slot.uuid,
                    new_uuid=str(uuid.uuid4()),
                    now_us=self._clock.utc_us(),
                    reserve_bytes=self._reserve_bytes,
                )
            )
            slot.uuid, slot.error, slot.is_attached = attached.uuid, None, True
            slot.device = attached.device
        except VolumeError as error:
            self.refuse(slot, error)
        return slot.is_attached

    def refuse(self, slot: Slot, error: VolumeError) -> None:
        """A volume could not be taken into use; it is tried again later."""
        if slot.error is None or str(slot.error) != str(error):
            log.error("volume_refused", extra={"error": error.sentence()})
        slot.is_attached, slot.error = False, error

    def choose(self) -> Writer | None:
        """The writer of the volume with the largest free share that takes segments now."""
        ready = [
            (slot.usage.free_bytes / slot.usage.capacity_bytes if slot.usage else 0.0, slot.writer)
            for slot in self.slots
            if slot.writer is not None
            and not slot.is_retiring
            and slot.writer.state is VolumeState.OK
            and not self._is_stuck(slot.writer)
        ]
        return max(ready, key=lambda item: item[0])[1] if ready else None

    def is_stuck(self, volume: str) -> bool:
        """Whether a disk has not answered for so long that another one should take over."""
        return any(
            self._is_stuck(slot.writer)
            for slot in self.slots
            if slot.writer is not None and slot.writer.volume == volume
        )

    def state_of(self, slot: Slot) -> VolumeState:
        """As people and metrics are told: a volume that does not answer has failed."""
        is_stuck = slot.writer is not None and self._is_stuck(slot.writer)
        return VolumeState.FAILED if is_stuck else slot.state

    def _is_stuck(self, writer: Writer) -> bool:
        return writer.stalled_us(self._clock.monotonic_us()) > STUCK_US

    def name_of(self, volume: str) -> str:
        """The place where a volume is, as metrics name it."""
        return next((slot.name for slot in self.slots if slot.uuid == volume), volume)

    def trouble(self) -> GapCause:
        """Why fragments pile up in RAM."""
        states = {slot.state for slot in self.slots if not slot.is_retiring}
        if VolumeState.OK in states:
            return GapCause.DISK_SLOW
        return GapCause.DISK_FULL if VolumeState.FULL in states else GapCause.DISK_FAILED

    def close(self, timeout_s: float = 8.0) -> None:
        """Seal what is open, make it durable, end the writers."""
        with ThreadPoolExecutor(max_workers=max(1, len(self.slots))) as pool:
            list(pool.map(lambda slot: self._close(slot, timeout_s), self.slots))

    def _close(self, slot: Slot, timeout_s: float) -> None:
        if slot.writer is not None and not slot.writer.close(timeout_s):
            log.error("writer_hangs", extra={"volume": slot.name})
        if slot.host is not None:
            slot.host.leave()

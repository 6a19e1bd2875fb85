"""Every call with which a volume's writer changes its disk fails, in turn, under a real recorder.

The recorder, the index, the ledger and two volumes are the real ones; the first volume's calls
fail from the n-th on, once or for good. Whatever fails, each picture is stored once, no file is
unreadable after the next start, and what the volumes rebuild is what the index says.
``XUELIANG_FAULTS=full`` tries every call with every error; CI takes a sample.
"""

from __future__ import annotations

import errno
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.gaps import GapKeeper
from edge.metrics import EdgeMetrics, Snapshot
from edge.recorder import CameraRecorder
from edge.tap import CameraTap
from retention import volume as volume_module
from retention.checkpoints import Checkpoints
from retention.model import ClockState, MediaFormat, ReceivedUnit, Track
from retention.read import Store
from retention.reindex import reindex
from retention.segmenter import NewRun, Segmenter
from retention.verify import verify_camera
from retention.writer_ports import Deleted, VolumeChanged, WriterEvent
from tests.retention.storing import Quiet, S, Site
from tests.retention.writing import FORMAT, T0

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
CAMERA = "gate"
GROUPS, GOP, STEP_US = 8, 5, 200_000
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@dataclass
class FaultyOs:
    """The module ``os`` for ``retention.volume``; calls of one thread that change the disk fail."""

    thread: str = ""
    first: int = 0  # the call that fails; 0: none
    is_for_good: bool = False
    error: int = errno.ENOSPC
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _or_fail(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread().name == self.thread:
                self.calls.append(name)
                count = len(self.calls)
                if self.first and (
                    count == self.first or (self.is_for_good and count > self.first)
                ):
                    raise OSError(self.error, os.strerror(self.error))
            return call(*args, **kwargs)

        return work

    def open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT:
            return int(self._or_fail("create", os.open)(path, flags, *args, **kwargs))
        return os.open(path, flags, *args, **kwargs)

    def __post_init__(self) -> None:
        for name in ("mkdir", "pwrite", "ftruncate", "fdatasync", "fsync", "unlink"):
            setattr(self, name, self._or_fail(name, getattr(os, name)))


class Stack:
    """One camera's recorder on two volumes; events come over when :meth:`pump` is called."""

    def __init__(self, folder: Path) -> None:
        self.site = Site.make(folder, 2)
        self.opened = self.site.open([CAMERA])
        self.events: queue.SimpleQueue[WriterEvent] = queue.SimpleQueue()
        for slot in self.opened.volumes.slots:
            assert slot.host is not None
            slot.writer = slot.host.start_writer(
                rows=self.opened.index,
                report=self.events.put,
                observer=Quiet(),
                durability_us=15_000,
            )
            self.opened.ledger.add_sink(slot.writer.journal, slot.holds_seq)
        self.recorder = CameraRecorder(
            CAMERA,
            gaps=GapKeeper(T0),
            segmenter=Segmenter(
                camera=CAMERA,
                next_number=1,
                new_run=lambda _skew_us: NewRun(run="1" * 32, clock=ClockState.TRUSTED),
                segment_us=2 * S,
            ),
            sinks=self.opened.volumes,
            ledger=self.opened.ledger,
            metrics=EdgeMetrics(_no_snapshot),
            clock=self.site.clock,
            buffer_bytes=1 << 20,
            tap=CameraTap(self.site.clock),
        )
        self.recorder.format_changed(MediaFormat(video=FORMAT.video))
        self.sent: list[bytes] = []

    def send_group(self) -> None:
        for place in range(GOP):
            count = len(self.sent)
            body = (b"\x65" if place == 0 else b"\x41") + f"picture {count} ".encode() * 20
            data = len(body).to_bytes(4, "big") + body
            now_us = T0 + count * STEP_US
            self.site.clock.now_us = now_us
            self.recorder.unit(
                ReceivedUnit(
                    track=Track.VIDEO,
                    media_us=count * STEP_US,
                    arrival_utc_us=now_us,
                    arrival_monotonic_us=now_us,
                    is_key=place == 0,
                    is_damaged=False,
                    data=data,
                )
            )
            self.sent.append(data)

    def pump(self) -> None:
        while not self.events.empty():
            event = self.events.get()
            if not isinstance(event, VolumeChanged | Deleted):
                self.recorder.on_event(event)
        self.recorder.tick()

    def record(self) -> None:
        for _ in range(GROUPS):
            self.send_group()
            for _ in range(3):
                time.sleep(0.006)
                self.pump()
        self.recorder.close()
        deadline = time.monotonic() + 10
        while not self.recorder.is_drained:
            assert time.monotonic() < deadline, "not everything became durable"
            time.sleep(0.002)
            self.pump()

    def assert_given_up_is_finished(self) -> None:
        """What the disk had in hand when it failed is whole, and chained, without a restart."""
        opened = self.opened
        for slot in opened.volumes.slots:
            assert opened.finish_given_up(slot)
        Checkpoints(opened.index, opened.ledger, lambda _segment: True).make(self.site.clock.now_us)
        found = verify_camera(self.site.index_path, self.site.volumes, CAMERA, is_live=True)
        assert [one for one in found.differences if not one.thing.startswith("journal on")] == []
        assert found.unchained == ()

    def stop(self) -> None:
        self.opened.ledger.service_stopped("boot-1", self.site.clock.utc_us())
        self.opened.ledger.flushed().result()
        self.opened.volumes.close()
        self.opened.index.close()


def _no_snapshot() -> Snapshot:
    raise AssertionError("nobody scrapes")


def run(folder: Path, faults: FaultyOs) -> None:
    stack = Stack(folder)
    uuid = stack.opened.volumes.slots[0].uuid
    assert uuid is not None
    faults.thread = f"writer-{uuid[:8]}"
    stack.record()
    stack.assert_given_up_is_finished()
    stack.stop()
    faults.first = 0
    with stack.site.running([CAMERA]):  # whatever a failing disk left undone is done now
        pass
    with Store(stack.site.index_path, stack.site.volumes) as store:
        stored = [one.unit.data for one in store.access_units(CAMERA, 0)]
        line = store.timeline(CAMERA, T0, T0 + len(stored) * STEP_US, T0 + 60 * S)
    assert stored == stack.sent
    assert line.gaps == ()
    rebuilt = reindex(stack.site.index_path, stack.site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.unreadable == []
    assert rebuilt.segments == len(stack.site.files())


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    made = FaultyOs()
    monkeypatch.setattr(volume_module, "os", made)
    return made


def test_whichever_call_fails_every_picture_is_stored_once(
    tmp_path: Path, faults: FaultyOs
) -> None:
    run(tmp_path / "sound", faults)
    sites = list(faults.calls)
    assert {"create", "mkdir", "pwrite", "fdatasync", "fsync"} <= set(sites)
    cases = [
        (place, error, is_for_good)
        for place in range(1, len(sites) + 1)
        for error in ERRORS
        for is_for_good in (False, True)
    ]
    seed = random.randrange(2**32)
    print(f"seed {seed}, {len(sites)} calls, {len(cases)} cases")
    if not IS_FULL:
        cases = random.Random(seed).sample(cases, 12)
    for count, (place, error, is_for_good) in enumerate(cases):
        faults.calls.clear()
        faults.first, faults.error, faults.is_for_good = place, error, is_for_good
        try:
            run(tmp_path / str(count), faults)
        except AssertionError as failure:
            how = "for good" if is_for_good else "once"
            told = f"call {place} ({sites[place - 1]}) fails {how} with {errno.errorcode[error]}"
            raise AssertionError(f"{told}: {failure}") from failure

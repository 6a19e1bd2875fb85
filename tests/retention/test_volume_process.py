"""A volume in a process of its own: the same as in this one; what its death or hanging costs."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from retention import volume_process, volume_wire
from retention.clock import SystemClock
from retention.index import rows
from retention.index.write import drop_segment, put_segment
from retention.layout import segment_path
from retention.model import EndReason, FragmentEntry, GapCause, Segment, SegmentState
from retention.mp4.scan import scan
from retention.read import Store
from retention.reindex import reindex
from retention.start import Opened
from retention.volume_errors import VolumeState, VolumeUnavailable
from retention.volume_messages import Attach
from retention.volume_process import WINDOW_BYTES, VolumeProcess
from retention.writer_ports import Deleted, DoomedFile, Durable, Failed, Sealed, VolumeChanged
from tests.retention import storing
from tests.retention.conftest import Mount
from tests.retention.storing import Recorder, S, Site, as_open, run_of
from tests.retention.writing import CAMERA, T0, Told, fragment, header, wait_until

pytestmark = pytest.mark.integration


def attach(path: Path, uuid: str | None = None) -> Attach:
    return Attach(path=str(path), uuid=uuid, new_uuid="v", now_us=1, reserve_bytes=0)


@contextmanager
def started(path: Path, told: Told, durability_us: int = 100_000) -> Iterator[VolumeProcess]:
    process = VolumeProcess(str(path), SystemClock())
    try:
        process.attach(attach(path))
        yield process.start_writer(
            rows=told, report=told.report, observer=told, durability_us=durability_us
        )
    finally:
        process.close(5)


def write(writer: VolumeProcess, seconds: range, number: int = 1, size_bytes: int = 1000) -> None:
    for second in seconds:
        writer.append(CAMERA, number, fragment(second, size_bytes))


def kill(process: VolumeProcess) -> None:
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.is_over)


def test_rows_events_and_files_are_those_of_a_writer_in_this_process(tmp_path: Path) -> None:
    told = Told()
    with started(tmp_path, told) as writer:
        assert writer.volume == "v"
        writer.open(header())
        write(writer, range(3))
        told.wait_for(Durable)
        write(writer, range(3, 5))
        writer.seal(CAMERA, 1, EndReason.ROTATED)
        told.wait_for(Sealed)
        writer.journal(b"line\n")
        writer.open(header(2))
        write(writer, range(2), 2)
        assert writer.close()
    assert [call for call in told.calls if "durable" not in call] == [
        "opened 1",
        "sealed 1",
        "opened 2",
        "sealed 2",
    ]
    assert sum(event.fragments for event in told.of(Durable)) == 7
    assert [event.reason for event in told.of(Sealed)] == [EndReason.ROTATED, EndReason.RUN_ENDED]
    path = tmp_path / segment_path(CAMERA, T0, 1)
    data = path.read_bytes()
    found = scan(lambda offset, size: data[offset : offset + size], len(data))
    assert found.entries == told.rows[CAMERA, 1].fragments
    assert told.rows[CAMERA, 1].size_bytes == len(data)
    assert (tmp_path / "journal/00000001.jsonl").read_bytes() == b"line\n"
    assert told.writes == 7
    assert writer.usage is not None
    assert told.errors == []


def test_files_are_deleted_by_the_process(tmp_path: Path) -> None:
    told = Told()
    with started(tmp_path, told) as writer:
        writer.open(header())
        write(writer, range(3))
        writer.seal(CAMERA, 1, EndReason.ROTATED)
        told.wait_for(Sealed)
        doomed = DoomedFile(camera=CAMERA, number=1, path=segment_path(CAMERA, T0, 1))
        writer.delete([doomed], [b"tombstone\n"])
        told.wait_for(Deleted)
        assert told.of(Deleted)[0].gone == (doomed,)
        assert not (tmp_path / doomed.path).exists()
        kill(writer)
        writer.delete([doomed], [b"tombstone\n"])  # nobody is there to do it: told at once
        assert told.of(Deleted)[1].left == (doomed,)


def test_a_killed_process_gives_back_what_was_not_durable(tmp_path: Path) -> None:
    """Its segments end where the recorder knows them to be durable, and those it had never begun
    are given back whole."""
    told = Told()
    with started(tmp_path, told) as writer:
        writer.open(header())
        write(writer, range(3))
        told.wait_for(Durable)
        os.kill(writer.pid, signal.SIGSTOP)
        write(writer, range(3, 5))
        writer.open(header(2))
        kill(writer)
        told.wait_for(Failed, 2)
        first, second = told.of(Failed)
        assert (first.number, first.durable_end_us) == (1, fragment(2).end_us)
        assert (second.number, second.durable_end_us) == (2, None)
        assert first.cause is GapCause.DISK_FAILED
        assert told.rows[CAMERA, 1].end_reason is EndReason.IO_ERROR
        assert len(told.rows[CAMERA, 1].fragments) == 3
        assert told.of(VolumeChanged)[-1].state is VolumeState.FAILED
        writer.open(header(3))  # whoever comes late is told, too
        assert told.of(Failed)[-1].number == 3


class Life:
    """A recorder on one volume whose process may die: it submits anew what is given back."""

    def __init__(self, site: Site) -> None:
        self.opened: Opened = site.open(host=lambda place: VolumeProcess(place, SystemClock()))
        self.recorder = Recorder(self.opened, site.clock)
        self.slot = self.opened.volumes.slots[0]
        self.number = self.opened.next_numbers.get(CAMERA, 1)
        self.waiting: list[int] = []  # seconds that are not durable
        self.taken = 0  # events

    @property
    def process(self) -> VolumeProcess:
        assert isinstance(self.slot.host, VolumeProcess)
        return self.slot.host

    def record(self, seconds: range) -> None:
        self.waiting += seconds
        self.submit(list(seconds))

    def submit(self, seconds: list[int]) -> None:
        """A segment of its own, each time; the one before is left open."""
        self.recorder.record(self.number, seconds[0], len(seconds), is_sealed=False)
        self.number += 1

    def settle(self) -> None:
        """What the process told, as the recorder would take it."""
        while self.taken < len(self.recorder.events):
            event = self.recorder.events[self.taken]
            self.taken += 1
            if isinstance(event, Durable):
                del self.waiting[: event.fragments]

    def die(self) -> None:
        kill(self.process)
        wait_until(lambda: any(isinstance(e, VolumeChanged) for e in self.recorder.events))
        self.recorder.events = [
            event for event in self.recorder.events if not isinstance(event, VolumeChanged)
        ]
        self.settle()

    def come_back(self) -> None:
        writer = self.slot.writer
        assert writer is not None
        self.opened.ledger.remove_sink(writer.journal)
        self.slot.writer = None
        wait_until(lambda: self.opened.attach_late(self.slot))
        self.recorder.start(self.slot)
        if self.waiting:
            self.submit(self.waiting)


@pytest.mark.parametrize("pause_s", [0.01, 0.05])
def test_nothing_is_lost_or_stored_twice_by_a_kill_at_any_moment(
    tmp_path: Path, pause_s: float
) -> None:
    """Files, rows and ledger are whole after it, and hold each second once."""
    site = Site.make(tmp_path)
    life = Life(site)
    life.opened.ledger.run_started(run_of(CAMERA))
    second = 0
    for _ in range(3):
        life.record(range(second, second + 20))
        second += 20
        time.sleep(pause_s)
        life.die()
        life.come_back()
        life.opened.ledger.gap("yard", T0 + second * S, T0 + (second + 2) * S, GapCause.NETWORK)
    site.at(second)
    life.recorder.stop("boot-1", is_clean=True)
    with Store(site.index_path, site.volumes) as store:
        times = [stored.unit.pts_us for stored in store.access_units(CAMERA, 0)]
        assert times == [T0 + half * S // 2 for half in range(2 * second)]
        assert store.timeline(CAMERA, T0, T0 + second * S, T0 + second * S).gaps == ()
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.unreadable == []
    assert rebuilt.segments == len(site.files())


def test_a_file_that_was_finished_but_not_told_is_cut_back(tmp_path: Path) -> None:
    """The process dies between the trailer's sync and the word of it: the rest was given back."""
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of(CAMERA))
        recorder.record(1, 0, 10)
        recorder.record(2, 4, 6)  # what was submitted anew
    give_up(site, 1, 4)
    with site.running():
        pass
    with Store(site.index_path, site.volumes) as store:
        times = [stored.unit.pts_us for stored in store.access_units(CAMERA, 0)]
    assert times == [T0 + half * S // 2 for half in range(20)]
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
    give_up(site, 2, 0)  # nothing of it was ever durable, as far as anybody was told
    with site.running():
        pass
    assert len(site.files()) == 1
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def give_up(site: Site, number: int, fragments: int) -> None:
    """Set a row to what ``edge`` makes of it when the volume's process ends."""
    connection = sqlite3.connect(site.index_path)
    row = rows.segment(connection, CAMERA, number)
    assert row is not None
    drop_segment(connection, CAMERA, number)
    put_segment(
        connection, replace(as_open(row, fragments), state=row.state, end_reason=EndReason.IO_ERROR)
    )
    connection.commit()
    connection.close()


def test_what_was_given_up_is_finished_beside_the_writer(tmp_path: Path) -> None:
    """A disk that is well again: its process goes on, and so does what it is writing."""
    site = Site.make(tmp_path)
    opened = site.open(host=lambda place: VolumeProcess(place, site.clock))
    recorder = Recorder(opened, site.clock)
    try:
        opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 5)
        recorder.record(2, 5, 3, is_sealed=False)

        def row(number: int) -> Segment | None:
            return opened.index.submit(lambda one: rows.segment(one, "gate", number)).result()

        wait_until(lambda: row(1) is not None and len(_entries(row(2))) == 3)
        sealed = row(1)
        assert sealed is not None
        given_up = replace(
            as_open(sealed, 3), state=SegmentState.SEALED, end_reason=EndReason.IO_ERROR
        )
        last = sealed.fragments[-1]
        os.truncate(site.volumes[0] / sealed.path, last.offset + last.size_bytes)
        opened.index.submit(lambda one: put_segment(one, given_up)).result()
        [slot] = opened.volumes.slots
        assert opened.finish_given_up(slot)
        found = row(1)
        assert found is not None
        assert (len(found.fragments), len(found.digest)) == (3, 32)
        assert opened.is_final(found)
        recorder.writer().append("gate", 2, storing.fragment(8))
        recorder.writer().seal("gate", 2, EndReason.ROTATED)
        wait_until(lambda: len(_entries(row(2))) == 4)
    finally:
        recorder.stop("boot-1", is_clean=True)
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def _entries(segment: Segment | None) -> tuple[FragmentEntry, ...]:
    return () if segment is None else segment.fragments


def test_a_process_that_does_not_answer_holds_nobody(tmp_path: Path) -> None:
    """Posting goes on, its stall shows, its memory stays bounded, and all arrives in the end."""
    told = Told()
    size_bytes, count = 1_000_000, 40
    with started(tmp_path, told) as writer:
        writer.open(header())
        write(writer, range(1))
        told.wait_for(Durable)
        child = psutil.Process(writer.pid)
        before_bytes = child.memory_info().rss
        child.suspend()
        began = time.monotonic()
        write(writer, range(1, count + 1), size_bytes=size_bytes)
        writer.seal(CAMERA, 1, EndReason.ROTATED)
        assert time.monotonic() - began < 1
        wait_until(lambda: writer.stalled_us(SystemClock().monotonic_us()) > 3_500_000)
        child.resume()
        told.wait_for(Sealed)
        assert sum(event.fragments for event in told.of(Durable)) == count + 1
        wait_until(lambda: writer.stalled_us(SystemClock().monotonic_us()) < 3_000_000)
        grown_bytes = child.memory_info().rss - before_bytes
        assert grown_bytes < 2 * WINDOW_BYTES + 4 * 2 * size_bytes
        assert writer.close()


def test_what_is_abandoned_is_not_sent_any_more(tmp_path: Path) -> None:
    told = Told()
    with started(tmp_path, told) as writer:
        writer.open(header())
        write(writer, range(1))
        told.wait_for(Durable)
        os.kill(writer.pid, signal.SIGSTOP)
        write(writer, range(1, 41), size_bytes=1_000_000)
        writer.abandon(CAMERA, 1)
        os.kill(writer.pid, signal.SIGCONT)
        wait_until(lambda: "sealed 1" in told.calls)
        assert writer.close()
    assert len(told.rows[CAMERA, 1].fragments) < 20


def test_another_version_of_the_program_is_not_talked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_wire, "DIALECT", "old")
    process = VolumeProcess(str(tmp_path), SystemClock())
    with pytest.raises(VolumeUnavailable, match="ended"):
        process.attach(attach(tmp_path))
    process.close()


def test_two_processes_never_write_to_one_volume(tmp_path: Path) -> None:
    """An earlier one may hang in a call to the disk, and finish it when the disk wakes up."""
    first, second = (VolumeProcess(str(tmp_path), SystemClock()) for _ in range(2))
    try:
        first.attach(attach(tmp_path))
        with pytest.raises(VolumeUnavailable, match="another process"):
            second.attach(attach(tmp_path))
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: first.is_over)
        assert second.attach(attach(tmp_path)).uuid == "v"
    finally:
        first.close()
        second.close()


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from retention.volume_process import VolumeProcess;"
        "from retention.clock import SystemClock;"
        "p = VolumeProcess(sys.argv[1], SystemClock()); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


# A disk that hangs ------------------------------------------------------------------------------


@pytest.fixture
def freezer(mount: Mount) -> Iterator[Path]:
    """An ext4 file system to freeze; thawed whatever happens."""
    outer = mount("size=80m")
    image, root = outer / "disk", outer / "root"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    root.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=False).returncode:
        pytest.skip("no loop device")
    timer = threading.Timer(60, thaw, [root])
    timer.start()
    yield root
    timer.cancel()
    thaw(root)
    subprocess.run(["umount", "-l", str(root)], check=False)


def freeze(root: Path) -> None:
    subprocess.run(["fsfreeze", "-f", str(root)], check=True)


def thaw(root: Path) -> None:
    subprocess.run(["fsfreeze", "-u", str(root)], check=False, capture_output=True)


@pytest.mark.root
def test_a_hung_disk_holds_neither_start_nor_end_nor_the_other_volume(
    tmp_path: Path, freezer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One life hangs in a write and ends, the next one starts without the volume, and takes it in
    when it is thawed; what the first one had durable is there, once."""
    monkeypatch.setattr(volume_process, "SILENCE_S", 6.0)
    (freezer / "volume").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "state").mkdir()
    site = Site(tmp_path, (freezer / "volume", tmp_path / "other"), Site.make(tmp_path / "x").clock)

    def far(place: str) -> VolumeProcess:
        return VolumeProcess(place, SystemClock())

    opened = site.open(host=far)
    recorder = Recorder(opened, site.clock)
    opened.ledger.run_started(run_of(CAMERA))
    recorder.record(1, 0, 5, is_sealed=False)
    wait_until(lambda: sum(isinstance(event, Durable) for event in recorder.events) > 0)
    wait_until(lambda: sum(e.fragments for e in recorder.events if isinstance(e, Durable)) == 5)
    freeze(freezer)
    for second in range(5, 8):
        recorder.writer().append(CAMERA, 1, storing.fragment(second))
    wait_until(lambda: recorder.writer().stalled_us(SystemClock().monotonic_us()) > 500_000)
    began = time.monotonic()
    recorder.opened.volumes.close(timeout_s=1)
    recorder.opened.index.close()
    assert time.monotonic() - began < 8
    hung = opened.volumes.slots[0].host
    assert hung is not None
    assert not hung.is_gone  # it cannot be ended, and holds nobody

    site.at(8)
    began = time.monotonic()
    opened = site.open(host=far)
    assert time.monotonic() - began < 5
    assert [slot.is_attached for slot in opened.volumes.slots] == [False, True]
    assert "another process" in str(opened.volumes.slots[0].error)
    recorder = Recorder(opened, site.clock)
    recorder.record(2, 8, 4, place=1)
    assert not opened.attach_late(opened.volumes.slots[0])
    thaw(freezer)
    wait_until(lambda: opened.attach_late(opened.volumes.slots[0]))
    recorder.start(opened.volumes.slots[0])
    recorder.record(3, 12, 4)
    site.at(16)
    recorder.stop("boot-1", is_clean=True)
    with Store(site.index_path, site.volumes) as store:
        times = [stored.unit.pts_us for stored in store.access_units(CAMERA, 0)]
    assert len(times) == len(set(times))
    assert {T0 + half * S // 2 for half in [*range(10), *range(16, 32)]} <= set(times)
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.unreadable == []
    wait_until(lambda: hung.is_gone)

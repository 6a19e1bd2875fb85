"""The thread of a volume: what it reports, when, and how it lives through disk faults."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from retention import writer as writer_module
from retention.layout import segment_path
from retention.model import US_PER_S, AccessUnit, EndReason, Fragment, GapCause, Track
from retention.mp4.scan import scan
from retention.volume import SegmentFile, Volume
from retention.volume_errors import VolumeState, failure
from retention.writer import VolumeWriter
from retention.writer_ports import Durable, Failed, Refused, Sealed, VolumeChanged
from tests.retention.conftest import Mount
from tests.retention.writing import CAMERA, T0, Told, fragment, header, start, wait_until


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume.stamp(tmp_path, uuid="v", now_us=1)


def write(writer: VolumeWriter, seconds: range, number: int = 1, size_bytes: int = 1000) -> None:
    for second in seconds:
        writer.append(CAMERA, number, fragment(second, size_bytes))


def test_rows_events_and_files_in_order(volume: Volume) -> None:
    """Open row, durable fragments, sealed: each only after what it stands on."""
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(3))
    told.wait_for(Durable)
    assert told.rows[CAMERA, 1].end_us == fragment(2).end_us
    write(writer, range(3, 5))
    writer.seal(CAMERA, 1, EndReason.ROTATED)
    told.wait_for(Sealed)
    assert writer.close()
    assert told.calls == ["opened 1", "durable 1", "sealed 1"]
    assert [event.fragments for event in told.of(Durable)] == [3, 2]
    [sealed] = told.of(Sealed)
    assert (sealed.reason, sealed.end_us) == (EndReason.ROTATED, fragment(4).end_us)
    path = volume.path / segment_path(CAMERA, T0, 1)
    assert path.stat().st_size == sealed.size_bytes == told.rows[CAMERA, 1].size_bytes
    assert told.writes == 5
    assert told.errors == []


def test_written_bytes_are_durable_within_the_limit(volume: Volume) -> None:
    """A group sync begins early enough for the oldest byte of the group."""
    told = Told()
    writer = start(volume, told, durability_us=500_000)
    writer.open(header())
    began = time.monotonic()
    writer.append(CAMERA, 1, fragment(0))
    told.wait_for(Durable)
    took = time.monotonic() - began
    assert 0.3 < took < 0.5 + 0.2
    assert writer.close()


def test_close_seals_what_is_open(volume: Volume) -> None:
    """A clean stop leaves no open segment and no line of the journal behind."""
    told = Told()
    writer = start(volume, told, durability_us=60 * US_PER_S)
    for number in (1, 2, 3):
        writer.open(header(number))
        write(writer, range(2), number)
    writer.journal(b"line\n")
    assert writer.close()
    assert [event.reason for event in told.of(Sealed)] == [EndReason.RUN_ENDED] * 3
    assert (volume.path / "journal/00000001.jsonl").read_bytes() == b"line\n"
    assert told.syncs == 3


def test_an_index_that_does_not_answer_stops_nothing(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first row is waited for, the next ones are not until it has answered."""
    monkeypatch.setattr(writer_module, "ROW_WAIT_S", 1.5)
    told = Told()
    late: Future[None] = Future()
    told.answers = lambda: late
    writer = start(volume, told)
    began = time.monotonic()
    for number in range(1, 6):
        writer.open(header(number))
        write(writer, range(1), number)
    told.wait_for(Durable, 5)
    assert 1.5 < time.monotonic() - began < 5 * 1.5
    late.set_exception(RuntimeError("locked"))
    writer.open(header(6))
    write(writer, range(1), 6)
    told.wait_for(Durable, 6)
    assert writer.close()
    assert len(told.of(Sealed)) == 6


def test_the_reserve_is_kept_and_the_volume_heals(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full: the segment fails at its last whole fragment; when room is made, a probe heals."""
    monkeypatch.setattr(writer_module, "PROBE_US", 50_000)
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(2))
    told.wait_for(Durable)
    volume.reserve_bytes = 1 << 60
    write(writer, range(2, 5))
    told.wait_for(Failed)
    [failed] = told.of(Failed)
    assert (failed.cause, failed.durable_end_us) == (GapCause.DISK_FULL, fragment(1).end_us)
    assert "reserve" in failed.error
    wait_until(lambda: len(told.errors) > 3)  # it is probed
    volume.reserve_bytes = 0
    told.wait_for(VolumeChanged, 2)
    assert [event.state for event in told.of(VolumeChanged)] == [VolumeState.FULL, VolumeState.OK]
    writer.open(header(2))
    write(writer, range(2, 5), 2)
    assert writer.close()
    assert sum(event.fragments for event in told.of(Durable)) == 5
    assert told.rows[CAMERA, 1].end_reason is EndReason.IO_ERROR
    assert told.rows[CAMERA, 2].end_reason is EndReason.RUN_ENDED


def test_a_first_fragment_that_fails_leaves_neither_row_nor_file(volume: Volume) -> None:
    """A file that cannot be created is told as failed, with nothing durable."""
    told = Told()
    writer = start(volume, told)
    volume.reserve_bytes = 1 << 60
    writer.open(header())
    write(writer, range(1))
    told.wait_for(Failed)
    assert writer.close()
    assert told.of(Failed)[0].durable_end_us is None
    assert told.rows == {}
    assert os.listdir(volume.path) == [".xueliang-volume"]


def test_a_volume_that_goes_away_fails_all_its_segments(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp is looked for while recording too."""
    monkeypatch.setattr(writer_module, "CHECK_US", 100_000)
    monkeypatch.setattr(writer_module, "PROBE_US", 100_000)
    told = Told()
    writer = start(volume, told)
    for number in (1, 2):
        writer.open(header(number))
        write(writer, range(1), number)
    told.wait_for(Durable, 2)
    stamp = volume.path / ".xueliang-volume"
    stamp.rename(stamp.with_name("away"))
    told.wait_for(Failed, 2)
    assert writer.state is VolumeState.MISSING
    assert {event.cause for event in told.of(Failed)} == {GapCause.DISK_FAILED}
    stamp.with_name("away").rename(stamp)
    wait_until(lambda: writer.state is VolumeState.OK)
    assert writer.close()


def test_the_journal_waits_for_a_volume(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a failed volume are kept and written in order when it is well again."""
    monkeypatch.setattr(writer_module, "PROBE_US", 50_000)
    told = Told()
    writer = start(volume, told)
    stamp = volume.path / ".xueliang-volume"
    stamp.rename(stamp.with_name("away"))
    for number in range(3):
        writer.journal(b"%d\n" % number)
    wait_until(lambda: writer.state is VolumeState.MISSING)
    stamp.with_name("away").rename(stamp)
    writer.journal(b"3\n")
    wait_until(lambda: writer.state is VolumeState.OK)
    assert writer.close()
    assert (volume.path / "journal/00000001.jsonl").read_bytes() == b"0\n1\n2\n3\n"
    assert not writer.journal_is_behind


def test_a_journal_without_end_is_cut_off(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound the volume's journal lags as a whole: no hole in its middle."""
    monkeypatch.setattr(writer_module, "JOURNAL_LINES_MAX", 2)
    told = Told()
    writer = start(volume, told, durability_us=60 * US_PER_S)
    for number in range(4):
        writer.journal(b"%d\n" % number)
    wait_until(lambda: writer.journal_is_behind)
    assert writer.close()
    assert (volume.path / "journal/00000001.jsonl").read_bytes() == b"0\n1\n"


def test_a_fragment_that_no_file_can_hold_is_refused(volume: Volume) -> None:
    """It is told with its span, counted as done, and costs its neighbours nothing."""
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(1))
    sound = AccessUnit(track=Track.AUDIO, pts_us=T0, is_key=True, data=b"a")
    unfit = Fragment(units=(sound,), start_us=T0, end_us=T0 + 1, is_key=False)
    writer.append(CAMERA, 1, unfit)
    write(writer, range(1, 2))
    assert writer.close()
    [refused] = told.of(Refused)
    assert (refused.start_us, refused.end_us) == (T0, T0 + 1)
    assert sum(event.fragments for event in told.of(Durable)) == 3
    assert len(told.rows[CAMERA, 1].fragments) == 2


def test_operations_on_unknown_segments_are_ignored(volume: Volume) -> None:
    """They belong to a segment that failed while they were under way."""
    told = Told()
    writer = start(volume, told)
    write(writer, range(2), 7)
    writer.seal(CAMERA, 7, EndReason.ROTATED)
    writer.abandon(CAMERA, 7)
    assert writer.close()
    assert told.events == []


def test_a_fault_in_a_receiver_does_not_end_the_thread(volume: Volume) -> None:
    """A defect costs a log entry, not the recording."""
    told = Told()
    told.segment_opened = None  # type: ignore[method-assign,assignment]
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(1))
    writer.journal(b"line\n")
    wait_until(lambda: (volume.path / "journal/00000001.jsonl").exists())
    assert writer.close()


@pytest.mark.root
def test_a_full_file_system_fails_over_by_whole_fragments(mount: Mount) -> None:
    """ENOSPC: what is durable and what is told to be submitted anew are all, and no more."""
    volume = Volume.stamp(mount("size=1m"), uuid="v", now_us=1)
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(30), size_bytes=40_000)
    told.wait_for(Failed)
    assert writer.close()
    [failed] = told.of(Failed)
    kept = sum(event.fragments for event in told.of(Durable))
    assert failed.durable_end_us == T0 + kept * US_PER_S
    assert 8 <= kept <= 13
    data = (volume.path / segment_path(CAMERA, T0, 1)).read_bytes()
    found = scan(lambda offset, size: data[offset : offset + size], len(data))
    assert found.entries == told.rows[CAMERA, 1].fragments
    assert told.errors[0] == ("write", "ENOSPC")


@pytest.mark.root
def test_a_read_only_file_system_is_told_as_such(mount: Mount) -> None:
    """A kernel that remounts a damaged file system read-only."""
    volume = Volume.stamp(mount("size=1m"), uuid="v", now_us=1)
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(1))
    told.wait_for(Durable)
    writer.seal(CAMERA, 1, EndReason.ROTATED)
    told.wait_for(Sealed)
    subprocess.run(["mount", "-o", "remount,ro", str(volume.path)], check=True)
    writer.open(header(2))
    write(writer, range(1), 2)
    told.wait_for(Failed)
    assert writer.state is VolumeState.READONLY
    assert writer.close()


@pytest.mark.root
@pytest.mark.integration
def test_a_hung_disk_blocks_its_own_thread_only(mount: Mount) -> None:
    """A frozen file system: callers go on, the stall shows, the segment is given up elsewhere."""
    outer = mount("size=48m")
    image, root = outer / "disk", outer / "root"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    root.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=False).returncode:
        pytest.skip("no loop device")
    thaw = threading.Timer(20, subprocess.run, (["fsfreeze", "-u", str(root)],))
    try:
        volume = Volume.stamp(root, uuid="v", now_us=1)
        told = Told()
        writer = start(volume, told)
        writer.open(header())
        write(writer, range(1))
        told.wait_for(Durable)
        subprocess.run(["fsfreeze", "-f", str(root)], check=True)
        thaw.start()
        began = time.monotonic()
        write(writer, range(1, 3))
        writer.abandon(CAMERA, 1)
        assert time.monotonic() - began < 0.1
        wait_until(lambda: writer.stalled_us(time.monotonic_ns() // 1000) > 300_000)
        assert not writer.close(0.1)
        subprocess.run(["fsfreeze", "-u", str(root)], check=True)
        assert writer.close()
        assert told.rows[CAMERA, 1].end_us >= fragment(0).end_us
        assert told.of(Failed) == []
    finally:
        thaw.cancel()
        subprocess.run(["fsfreeze", "-u", str(root)], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(root)], check=False)


def test_a_disk_that_does_not_let_go_of_what_is_abandoned_has_failed(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks after volumes that are well again then finishes the file."""
    monkeypatch.setattr(writer_module, "PROBE_US", 50_000)
    told = Told()
    writer = start(volume, told)
    writer.open(header())
    write(writer, range(2))
    told.wait_for(Durable)

    def fails(_file: SegmentFile, _size_bytes: int) -> None:
        raise failure(volume.path, "truncate", OSError(errno.EIO, "Input/output error"))

    with monkeypatch.context() as patch:
        patch.setattr(SegmentFile, "truncate", fails)
        writer.abandon(CAMERA, 1)
        told.wait_for(VolumeChanged)
    told.wait_for(VolumeChanged, 2)
    assert [event.state for event in told.of(VolumeChanged)] == [
        VolumeState.FAILED,
        VolumeState.OK,
    ]
    assert told.of(Failed) == []
    assert told.rows[CAMERA, 1].end_reason is EndReason.IO_ERROR
    assert writer.close()


def test_a_format_that_no_file_can_hold_is_refused_fragment_by_fragment(volume: Volume) -> None:
    """Nothing is given back to be tried for ever, and nothing is claimed to be on the disk."""
    told = Told()
    writer = start(volume, told)
    bad = header()
    video = dataclasses.replace(bad.format.video, parameter_sets=(b"\x67",))
    writer.open(dataclasses.replace(bad, format=dataclasses.replace(bad.format, video=video)))
    write(writer, range(3))
    writer.seal(CAMERA, 1, EndReason.ROTATED)
    assert writer.close()
    assert len(told.of(Refused)) == 3
    assert sum(event.fragments for event in told.of(Durable)) == 3
    assert [event.size_bytes for event in told.of(Sealed)] == [0]
    assert told.rows == {}

"""Deleting segments: behind the tombstone, one at a time, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.deletions import BUSY_SHARE, UNLINKS_PER_S, Deletions
from retention.layout import segment_path
from retention.model import US_PER_S, EndReason
from retention.volume import Volume
from retention.volume_errors import DiskFull, VolumeError, VolumeState, VolumeUnavailable
from retention.writer import VolumeWriter
from retention.writer_ports import Deleted, DoomedFile, Sealed
from tests.retention.writing import CAMERA, T0, Told, fragment, header, start

TOMBSTONE = b'{"kind":"deletion"}\n'


def doomed(number: int, start_us: int = T0) -> DoomedFile:
    return DoomedFile(camera=CAMERA, number=number, path=segment_path(CAMERA, start_us, number))


def record(writer: VolumeWriter, number: int) -> None:
    writer.open(header(number))
    writer.append(CAMERA, number, fragment(0))
    writer.seal(CAMERA, number, EndReason.ROTATED)


def journal_of(volume: Volume) -> bytes:
    return b"".join((volume.path / part).read_bytes() for part in volume.journal_parts())


def delete(writer: VolumeWriter, *files: DoomedFile) -> None:
    writer.journal(TOMBSTONE)
    writer.delete(files, [TOMBSTONE])


class Watched(Volume):
    """Notes what the journal holds when a file goes."""

    def remove(self, path: str) -> None:
        self.seen = [*getattr(self, "seen", []), TOMBSTONE in journal_of(self)]
        super().remove(path)


def test_files_and_empty_folders_go_behind_the_tombstone(tmp_path: Path) -> None:
    volume = Watched.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    for number in (1, 2):
        record(writer, number)
    told.wait_for(Sealed, 2)
    delete(writer, doomed(1), doomed(2))
    told.wait_for(Deleted)
    assert told.of(Deleted) == [Deleted(volume="v", gone=(doomed(1), doomed(2)), left=())]
    assert isinstance(volume, Watched)
    assert volume.seen == [True, True]
    assert list((tmp_path / CAMERA).iterdir()) == []
    record(writer, 3)  # in the same hour, whose folder has gone
    told.wait_for(Sealed, 3)
    writer.close()
    assert (tmp_path / doomed(3).path).exists()


def test_other_segments_of_the_hour_stay(tmp_path: Path) -> None:
    volume = Volume.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    for number in (1, 2):
        record(writer, number)
    told.wait_for(Sealed, 2)
    delete(writer, doomed(1))
    told.wait_for(Deleted)
    writer.close()
    assert [path.name for path in tmp_path.rglob("*.mp4")] == [Path(doomed(2).path).name]


def test_what_is_gone_already_is_gone(tmp_path: Path) -> None:
    """After a crash the same batch comes again."""
    volume = Volume.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    delete(writer, doomed(7))
    told.wait_for(Deleted)
    writer.close()
    assert told.of(Deleted)[0].gone == (doomed(7),)


class Refusing(Volume):
    def append_journal(self, lines: bytes) -> None:
        raise VolumeUnavailable("no", state=VolumeState.READONLY, operation="write")


def test_without_a_tombstone_on_the_volume_nothing_goes(tmp_path: Path) -> None:
    volume = Refusing.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    record(writer, 1)
    told.wait_for(Sealed)
    delete(writer, doomed(1))
    told.wait_for(Deleted)
    writer.close()
    assert told.of(Deleted)[0].left == (doomed(1),)
    assert (tmp_path / doomed(1).path).exists()


class Brimful(Volume):
    """Takes no line of the journal before a file has gone."""

    is_full = True

    def append_journal(self, lines: bytes) -> None:
        if self.is_full:
            raise DiskFull("full", state=VolumeState.FULL, operation="write")
        super().append_journal(lines)

    def remove(self, path: str) -> None:
        super().remove(path)
        self.is_full = False


def test_a_disk_that_is_full_to_the_last_byte_gets_room(tmp_path: Path) -> None:
    volume = Brimful.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    record(writer, 1)
    told.wait_for(Sealed)
    delete(writer, doomed(1))
    told.wait_for(Deleted)
    writer.close()
    assert told.of(Deleted)[0].gone == (doomed(1),)
    assert TOMBSTONE in journal_of(volume)


class Failing(Volume):
    def remove(self, path: str) -> None:
        if path == doomed(2).path:
            raise VolumeUnavailable("no", state=VolumeState.FAILED, operation="unlink")
        super().remove(path)


def test_a_failing_disk_leaves_the_batch_for_later(tmp_path: Path) -> None:
    """Also what is gone is told as left: it was not synced, and is found gone the next time."""
    volume = Failing.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    delete(writer, doomed(1), doomed(2), doomed(3))
    told.wait_for(Deleted)
    assert told.of(Deleted)[0].left == (doomed(1), doomed(2), doomed(3))
    assert "no" in told.of(Deleted)[0].error
    assert writer.state is VolumeState.FAILED
    writer.close()


def test_a_writer_that_ends_tells_what_it_leaves(tmp_path: Path) -> None:
    volume = Volume.stamp(tmp_path, uuid="v", now_us=T0)
    told = Told()
    writer = start(volume, told)
    files = tuple(doomed(number) for number in range(1, 2000))
    delete(writer, *files)
    writer.close()
    assert sorted(told.of(Deleted)[0].left, key=lambda file: file.number) == list(files)


class FakeClock:
    def __init__(self) -> None:
        self.now_us = 0

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us


class Slow(Volume):
    clock: FakeClock
    unlink_us: int

    def remove(self, path: str) -> None:
        self.clock.now_us += self.unlink_us


@pytest.mark.parametrize("unlink_us", [10, 40_000])
def test_pace(tmp_path: Path, unlink_us: int) -> None:
    """At most 200 a second, and at most a quarter of a slow disk's time."""
    clock = FakeClock()
    volume = Slow.stamp(tmp_path, uuid="v", now_us=T0)
    assert isinstance(volume, Slow)
    volume.clock, volume.unlink_us = clock, unlink_us
    told: list[Deleted] = []
    deletions = Deletions(volume, told.append, clock)
    assert deletions.due_us is None
    deletions.add([doomed(number) for number in range(100)])
    steps = 0
    while deletions.due_us is not None:
        clock.now_us = max(clock.now_us, deletions.due_us)
        deletions.step()
        steps += 1
    assert steps == 101
    assert clock.now_us >= 100 * max(US_PER_S // UNLINKS_PER_S, (BUSY_SHARE - 1) * unlink_us)
    assert clock.now_us <= 101 * (US_PER_S // UNLINKS_PER_S + BUSY_SHARE * unlink_us)
    assert len(told[0].gone) == 100


def test_a_batch_that_fails_lets_the_next_one_through(tmp_path: Path) -> None:
    volume = Failing.stamp(tmp_path, uuid="v", now_us=T0)
    told: list[Deleted] = []
    deletions = Deletions(volume, told.append, FakeClock())
    deletions.add([doomed(2)])
    deletions.add([doomed(3)])
    with pytest.raises(VolumeError):
        deletions.step()
    while deletions.due_us is not None:
        deletions.step()
    assert [event.gone for event in told] == [(), (doomed(3),)]

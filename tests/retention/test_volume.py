"""Volumes on real file systems: stamps, room, sync, the journal's parts."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from retention import volume as volume_module
from retention.model import GapCause
from retention.volume import Volume
from retention.volume_errors import (
    DiskFull,
    DurabilityUnknown,
    VolumeError,
    VolumeState,
    VolumeUnavailable,
)
from tests.retention.conftest import Mount

A = "0" * 31 + "a"
B = "0" * 31 + "b"
SEGMENT = "gate/2026/11/24/00/20261124T000000.000Z-1.mp4"


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    root = tmp_path / "volume"
    root.mkdir()
    return Volume.stamp(root, uuid=A, now_us=1)


def test_a_blank_directory_becomes_a_volume_once(tmp_path: Path) -> None:
    """A stamp is put on an empty directory only, and attached by its UUID from then on."""
    (tmp_path / "lost+found").mkdir()
    Volume.stamp(tmp_path, uuid=A, now_us=1)
    assert Volume.attach(tmp_path, uuid=A).uuid == A
    with pytest.raises(VolumeUnavailable, match="not empty"):
        Volume.stamp(tmp_path, uuid=B, now_us=2)


def test_a_directory_without_stamp_is_a_disk_not_mounted(tmp_path: Path) -> None:
    """Footage never lands on the disk under an absent mount."""
    with pytest.raises(VolumeUnavailable, match="carries no stamp") as caught:
        Volume.attach(tmp_path)
    assert caught.value.state is VolumeState.MISSING
    assert caught.value.cause is GapCause.DISK_FAILED
    with pytest.raises(VolumeUnavailable) as caught:
        Volume.attach(tmp_path / "absent")
    assert caught.value.state is VolumeState.MISSING


def test_another_volumes_stamp_is_refused(volume: Volume) -> None:
    """A swapped disk is told with both UUIDs."""
    with pytest.raises(VolumeUnavailable, match=f"carries stamp {A}, expected {B}") as caught:
        Volume.attach(volume.path, uuid=B)
    assert caught.value.state is VolumeState.WRONG_ID


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format":2}', b"[" * 4000, b"\xff"])
def test_a_stamp_that_says_nothing_is_refused(volume: Volume, text: bytes) -> None:
    """A damaged stamp is not taken for a blank volume."""
    (volume.path / ".xueliang-volume").write_bytes(text)
    with pytest.raises(VolumeUnavailable) as caught:
        Volume.attach(volume.path)
    assert caught.value.state is VolumeState.WRONG_ID


def test_bytes_and_durable_mark(volume: Volume) -> None:
    """Appended bytes count as durable after a sync, and not before."""
    file = volume.create(SEGMENT)
    file.append(b"one")
    assert (file.size_bytes, file.durable_bytes) == (3, 0)
    file.sync()
    file.append(b"two")
    assert (file.size_bytes, file.durable_bytes) == (6, 3)
    file.truncate(4)
    file.close()
    assert (volume.path / SEGMENT).read_bytes() == b"onet"


def test_a_name_is_never_used_twice(volume: Volume) -> None:
    """A clock set back cannot overwrite footage."""
    volume.create(SEGMENT).close()
    with pytest.raises(VolumeUnavailable, match="exists"):
        volume.create(SEGMENT)


def test_a_file_that_came_to_nothing_is_removed(volume: Volume) -> None:
    """Only while nothing of it is durable."""
    file = volume.create(SEGMENT)
    file.append(b"x")
    file.discard()
    file.close()
    assert not (volume.path / SEGMENT).exists()
    file = volume.create(SEGMENT)
    file.append(b"x")
    file.sync()
    with pytest.raises(AssertionError):
        file.discard()
    file.close()


def test_an_existing_file_is_adopted(volume: Volume) -> None:
    """Recovery reads, cuts back, appends and syncs."""
    file = volume.create(SEGMENT)
    file.append(b"whole torn")
    file.close()
    file = volume.open_existing(SEGMENT)
    assert file.read(0, 100) == b"whole torn"
    file.truncate(5)
    file.append(b"!")
    file.sync()
    file.close()
    assert (volume.path / SEGMENT).read_bytes() == b"whole!"


def test_only_the_reserve_left_is_full(volume: Volume) -> None:
    """The reserve is never counted as free, but a trailer may use it."""
    file = volume.create(SEGMENT)
    volume.reserve_bytes = 1 << 60
    with pytest.raises(DiskFull, match="in reserve") as caught:
        file.append(b"x")
    assert caught.value.cause is GapCause.DISK_FULL
    with pytest.raises(DiskFull):
        volume.create(SEGMENT + "x")
    with pytest.raises(DiskFull):
        volume.probe()
    file.append(b"trailer", may_use_reserve=True)
    file.close()


def test_a_stamp_that_goes_away_stops_the_next_file(volume: Volume) -> None:
    """The stamp is compared before each file's first byte; when it comes back, all is well."""
    stamp = volume.path / ".xueliang-volume"
    stamp.rename(stamp.with_suffix(".away"))
    with pytest.raises(VolumeUnavailable):
        volume.create(SEGMENT)
    with pytest.raises(VolumeUnavailable):
        volume.probe()
    stamp.with_suffix(".away").rename(stamp)
    volume.probe()
    volume.create(SEGMENT).close()
    assert sorted(os.listdir(volume.path)) == [".xueliang-volume", "gate"]


def test_a_write_that_fails_half_way_leaves_nothing(volume: Volume) -> None:
    """A file size limit stands for any failing write: the file ends where it did before."""
    file = volume.create(SEGMENT)
    file.append(b"x" * 60_000)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(VolumeUnavailable, match="File too large"):
            file.append(b"y" * 60_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert (volume.path / SEGMENT).stat().st_size == 60_000
    file.append(b"z")
    file.close()


def test_journal_lines_survive_a_torn_one(volume: Volume) -> None:
    """A torn last line is closed, not deleted; what follows stands on lines of its own."""
    volume.append_journal(b"1\n2\n")
    volume.append_journal(b"3")
    volume.sync_journal()
    volume.close()
    volume.append_journal(b"4\n")
    volume.close()
    assert volume.journal_parts() == ["journal/00000001.jsonl"]
    assert (volume.path / "journal/00000001.jsonl").read_bytes() == b"1\n2\n3\n4\n"


def test_a_long_journal_goes_on_in_a_new_part(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are bounded, also across restarts."""
    monkeypatch.setattr(volume_module, "JOURNAL_PART_BYTES", 4)
    for line in (b"1\n", b"2\n", b"3\n"):
        volume.append_journal(line)
    volume.close()
    volume.append_journal(b"4\n")
    volume.append_journal(b"5\n")
    volume.close()
    parts = [(volume.path / part).read_bytes() for part in volume.journal_parts()]
    assert parts == [b"1\n2\n", b"3\n4\n", b"5\n"]


@pytest.mark.root
def test_a_full_file_system(mount: Mount) -> None:
    """ENOSPC takes back the half fragment; freed room heals the volume."""
    root = mount("size=1m")
    volume = Volume.stamp(root, uuid=A, now_us=1)
    file = volume.create(SEGMENT)
    file.append(b"x" * 600_000)
    with pytest.raises(DiskFull):
        file.append(b"y" * 600_000)
    assert (root / SEGMENT).stat().st_size == file.size_bytes == 600_000
    (root / "other").write_bytes(bytes(volume.usage().free_bytes))
    with pytest.raises(DiskFull):
        volume.append_journal(b"line\n")
    with pytest.raises(DiskFull):
        volume.probe()
    (root / "other").unlink()
    volume.probe()
    volume.append_journal(b"line\n")
    volume.close()
    file.append(b"z")
    file.close()


@pytest.mark.root
def test_a_file_system_that_turns_read_only_and_away(mount: Mount) -> None:
    """Each state is told by its name, and a disk mounted again is taken again."""
    root = mount("size=1m")
    volume = Volume.stamp(root, uuid=A, now_us=1)
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    for operation in (volume.check, volume.probe, lambda: volume.create(SEGMENT)):
        with pytest.raises(VolumeUnavailable) as caught:
            operation()
        assert caught.value.state is VolumeState.READONLY
    subprocess.run(["umount", str(root)], check=True)
    with pytest.raises(VolumeUnavailable) as caught:
        volume.check()
    assert caught.value.state is VolumeState.MISSING
    mount("size=1m")  # takes the freed device number
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(root)], check=True)
    Volume.stamp(root, uuid=A, now_us=1)  # the same stamp on another device
    with pytest.raises(VolumeUnavailable, match="another device"):
        volume.create(SEGMENT)
    volume.check()
    volume.create(SEGMENT).close()


@pytest.mark.root
@pytest.mark.integration
def test_a_disk_that_fails_at_sync(mount: Mount) -> None:
    """EIO at fdatasync: nothing beyond the durable mark counts until the file is cut back."""
    outer = mount("size=6m")
    image = outer / "disk"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
    root = outer / "root"
    root.mkdir()
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=False)
    if mounted.returncode:
        pytest.skip("no loop device")
    try:
        volume = Volume.stamp(root, uuid=A, now_us=1)
        segment = volume.create(SEGMENT)
        segment.append(b"x" * 1_000_000)
        segment.sync()
        segment.append(b"y" * 8_000_000)
        with pytest.raises(DurabilityUnknown) as caught:
            segment.sync()
        # the loop device says ENOSPC where a disk says EIO; both leave the file doubtful
        assert caught.value.state in (VolumeState.FAILED, VolumeState.FULL)
        assert segment.durable_bytes == 1_000_000
        with pytest.raises(DurabilityUnknown):
            segment.sync()
        try:
            segment.truncate(segment.durable_bytes)
        except VolumeError:
            pass  # the file system may have shut itself by now
        else:
            assert (root / SEGMENT).stat().st_size == 1_000_000
        segment.close()
    finally:
        subprocess.run(["umount", "-l", str(root)], check=False)

"""One segment file: what stands in it, and what is left of it after an error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from retention.layout import segment_path
from retention.model import EndReason, Segment, SegmentState
from retention.mp4.scan import scan
from retention.mp4.units import read_units
from retention.segment_writer import SegmentWriter
from retention.volume import Volume
from retention.volume_errors import DiskFull, DurabilityUnknown
from tests.retention.conftest import Mount
from tests.retention.writing import CAMERA, T0, fragment, header

PATH = segment_path(CAMERA, T0, 1)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume.stamp(tmp_path, uuid="v", now_us=1)


def new_segment(volume: Volume) -> tuple[SegmentWriter, list[Segment]]:
    opened: list[Segment] = []

    def open_row(row: Segment, path: str) -> None:
        assert path == PATH
        assert (volume.path / path).stat().st_size == 0
        opened.append(row)

    return SegmentWriter(volume, header(), open_row), opened


def test_a_segment_reads_back_as_written(volume: Volume) -> None:
    """File, row and trailer agree to the byte, and the units are those that went in."""
    segment, opened = new_segment(volume)
    fragments = [fragment(n) for n in range(5)]
    for one in fragments:
        segment.append(one)
    assert [(row.state, row.size_bytes, row.end_us) for row in opened] == [
        (SegmentState.OPEN, 0, T0)
    ]
    segment.finish(EndReason.ROTATED)
    assert segment.row().fragments == ()
    segment.sync()
    row = segment.row()
    segment.close()
    data = (volume.path / PATH).read_bytes()
    found = scan(lambda offset, size: data[offset : offset + size], len(data))
    assert found.header == header()
    assert found.entries == row.fragments
    assert found.whole_bytes == row.size_bytes == len(data)
    assert found.trailer is not None
    assert found.trailer.digest == row.digest
    assert (row.state, row.end_reason, row.end_us) == (
        SegmentState.SEALED,
        EndReason.ROTATED,
        fragments[-1].end_us,
    )
    for entry, one in zip(row.fragments, fragments, strict=True):
        stored = data[entry.offset : entry.offset + entry.size_bytes]
        assert hashlib.sha256(stored).digest() == entry.sha256
        assert tuple(read_units(stored, header())) == one.units


def test_durable_counts_grow_with_each_sync(volume: Volume) -> None:
    """The row of an open segment holds what is durable, and no more."""
    segment, _ = new_segment(volume)
    segment.append(fragment(0))
    assert segment.take_durable() == (0, 0)
    segment.sync()
    segment.append(fragment(1))
    count, size_bytes = segment.take_durable()
    assert (count, size_bytes) == (1, segment.row().fragments[0].size_bytes)
    assert segment.durable_end_us == fragment(0).end_us
    segment.sync()
    assert segment.take_durable()[0] == 1
    assert len(segment.row().fragments) == 2
    assert segment.row().state is SegmentState.OPEN
    segment.close()


def test_a_segment_without_a_fragment_makes_no_file(volume: Volume) -> None:
    """The file comes with the first fragment."""
    segment, opened = new_segment(volume)
    segment.finish(EndReason.ROTATED)
    segment.sync()
    segment.close()
    assert opened == []
    assert os.listdir(volume.path) == [".xueliang-volume"]


def test_a_full_disk_keeps_what_was_written(volume: Volume) -> None:
    """The reserve takes the trailer; the file ends with the last whole fragment and is sealed."""
    segment, _ = new_segment(volume)
    segment.append(fragment(0))
    segment.append(fragment(1))
    volume.reserve_bytes = 1 << 60
    with pytest.raises(DiskFull):
        segment.append(fragment(2))
    assert not segment.salvage()
    assert segment.take_durable()[0] == 2
    row = segment.row()
    segment.close()
    data = (volume.path / PATH).read_bytes()
    found = scan(lambda offset, size: data[offset : offset + size], len(data))
    assert found.entries == row.fragments
    assert found.trailer is not None
    assert found.trailer.end_reason is row.end_reason is EndReason.IO_ERROR
    assert row.size_bytes == len(data)


def test_nothing_durable_leaves_no_file(volume: Volume) -> None:
    """A first fragment that does not fit leaves neither file nor row behind."""
    segment, opened = new_segment(volume)
    segment.append(fragment(0))
    assert not segment.salvage(keep_undurable=False)
    assert segment.durable_end_us is None
    assert segment.has_row
    assert len(opened) == 1
    assert not (volume.path / PATH).exists()
    segment.close()


def test_a_segment_given_up_ends_at_its_durable_mark(volume: Volume) -> None:
    """What is not durable was submitted elsewhere, and must not be found twice."""
    segment, _ = new_segment(volume)
    segment.append(fragment(0))
    segment.sync()
    segment.append(fragment(1))
    assert not segment.salvage(keep_undurable=False)
    assert segment.row().end_us == fragment(0).end_us
    assert segment.row().state is SegmentState.SEALED
    segment.close()


@pytest.mark.root
def test_a_really_full_file_system_still_keeps_whole_fragments(mount: Mount) -> None:
    """Without a byte left the trailer is missing, and everything that was written is there."""
    volume = Volume.stamp(mount("size=256k"), uuid="v", now_us=1)
    segment, _ = new_segment(volume)
    segment.append(fragment(0, 50_000))
    with pytest.raises(DiskFull):
        segment.append(fragment(1, 200_000))
    (volume.path / "filler").write_bytes(bytes(volume.usage().free_bytes))
    assert not segment.salvage()
    row = segment.row()
    segment.close()
    data = (volume.path / PATH).read_bytes()
    found = scan(lambda offset, size: data[offset : offset + size], len(data))
    assert found.entries == row.fragments
    assert len(found.entries) == 1
    assert row.state is SegmentState.SEALED


def test_a_failed_sync_ends_a_segment_at_what_was_durable_before(volume: Volume) -> None:
    """The folders that name the file cannot be synced: the bytes since do not count."""
    segment, _ = new_segment(volume)
    segment.append(fragment(0))
    stamp = volume.path / ".xueliang-volume"
    stamp.rename(stamp.with_name("away"))
    with pytest.raises(DurabilityUnknown):
        segment.sync()
    assert not segment.salvage()
    assert segment.durable_end_us is None
    segment.close()

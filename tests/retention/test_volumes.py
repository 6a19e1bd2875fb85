"""Which volume is next: free share, state, retirement, and places that are new."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.clock import SystemClock
from retention.model import GapCause
from retention.volume_host import LocalVolume
from retention.volumes import Slot, VolumeSet
from tests.retention.writing import Told


class Sized(LocalVolume):
    """A volume that says how full it is."""

    free = {"a": 50, "b": 70, "c": 90}

    @property
    def usage(self) -> tuple[int, int] | None:
        return 100, self.free[self.volume.path.name]


@pytest.fixture
def volumes(tmp_path: Path) -> VolumeSet:
    for name in "abc":
        (tmp_path / name).mkdir()
    return VolumeSet(
        (tmp_path / "a", tmp_path / "b"),
        known={},
        reserve_bytes=0,
        clock=SystemClock(),
        make_host=lambda _place: Sized(SystemClock()),
    )


def start(volumes: VolumeSet, slot: Slot) -> None:
    assert volumes.attach(slot)
    assert slot.host is not None
    told = Told()
    slot.writer = slot.host.start_writer(
        rows=told, report=told.report, observer=told, durability_us=100_000
    )


def chosen(volumes: VolumeSet) -> str:
    writer = volumes.choose()
    return "" if writer is None else Path(volumes.name_of(writer.volume)).name


def test_the_largest_free_share_is_next(volumes: VolumeSet) -> None:
    assert chosen(volumes) == ""
    for slot in volumes.slots:
        start(volumes, slot)
    assert chosen(volumes) == "b"
    volumes.close()


def test_a_volume_that_retires_takes_nothing_even_if_it_is_the_last(volumes: VolumeSet) -> None:
    for slot in volumes.slots:
        start(volumes, slot)
    paths = tuple(slot.path for slot in volumes.slots)
    assert volumes.take_up(paths, paths[1:], {}) == []
    assert chosen(volumes) == "a"
    volumes.take_up(paths, paths, {})
    assert chosen(volumes) == ""
    assert volumes.trouble() is GapCause.DISK_FAILED
    volumes.take_up(paths, (), {})
    assert chosen(volumes) == "b"
    volumes.close()


def test_a_place_that_is_new_waits_for_its_volume(volumes: VolumeSet, tmp_path: Path) -> None:
    for slot in volumes.slots:
        start(volumes, slot)
    [added] = volumes.take_up(tuple(tmp_path / name for name in "abc"), (), {})
    assert added.path == tmp_path / "c"
    assert chosen(volumes) == "b"
    start(volumes, added)
    assert chosen(volumes) == "c"
    volumes.close()


def test_a_volume_that_another_process_has_is_refused_until_it_lets_go(
    volumes: VolumeSet, tmp_path: Path
) -> None:
    (slot, _) = volumes.slots
    assert volumes.attach(slot)
    assert slot.host is not None
    other = Slot(slot.path, slot.uuid)
    assert not volumes.attach(other)
    assert "another process" in str(other.error)
    slot.host.leave()
    assert volumes.attach(other)

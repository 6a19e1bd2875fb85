"""A stamp is whole or not there, whichever call fails; the directory can be stamped again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from retention import stamp
from retention.layout import STAMP
from retention.stamp import is_blank, read_stamp
from retention.volume import Volume
from retention.volume_errors import VolumeState, VolumeUnavailable
from tests.retention.conftest import Mount, mount

__all__ = ["mount"]

UUID = "11111111-1111-4111-8111-111111111111"
#: What a failing call makes of the volume.
STATES = {
    errno.ENOSPC: VolumeState.FULL,
    errno.EIO: VolumeState.FAILED,
    errno.EROFS: VolumeState.READONLY,
}


class FaultyOs:
    """The module ``os``; the ``nth`` call that changes the disk fails, or is cut short."""

    def __init__(self, nth: int, error: int | None) -> None:
        self.nth, self.error = nth, error
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in ("open", "write", "fsync", "rename"):
            return call

        def work(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **kwargs)
            self.calls.append(name)
            if len(self.calls) != self.nth:
                return call(*args, **kwargs)
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            return call(args[0], args[1][:7])  # a write that takes a part

        return work


@pytest.mark.parametrize("error", STATES)
@pytest.mark.parametrize(
    ("nth", "name"), list(enumerate(["open", "write", "fsync", "rename", "fsync"], 1))
)
def test_whichever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, name: str, error: int
) -> None:
    faulty = FaultyOs(nth, error)
    monkeypatch.setattr(stamp, "os", faulty)
    with pytest.raises(VolumeUnavailable) as caught:
        Volume.stamp(tmp_path, uuid=UUID, now_us=1)
    assert faulty.calls[-1] == name
    assert caught.value.state is STATES[error]
    if (tmp_path / STAMP).exists():
        assert read_stamp(tmp_path)[0] == UUID
        assert (nth, name) == (5, "fsync")  # it may or may not last, and is whole if it does
    else:
        assert is_blank(tmp_path)
        assert Volume.stamp(tmp_path, uuid=UUID, now_us=2).uuid == UUID
    assert os.listdir(tmp_path) == [STAMP]


def test_a_write_that_takes_a_part_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "os", FaultyOs(2, None))
    assert Volume.stamp(tmp_path, uuid=UUID, now_us=1).uuid == UUID


@pytest.mark.root
def test_a_disk_without_room_for_a_stamp(mount: Mount) -> None:
    root = mount("size=64k,nr_inodes=1")  # the root has the only one
    with pytest.raises(VolumeUnavailable) as caught:
        Volume.stamp(root, uuid=UUID, now_us=1)
    assert caught.value.state is VolumeState.FULL
    assert is_blank(root)

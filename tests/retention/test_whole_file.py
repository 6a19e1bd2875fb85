"""A small file is replaced whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from retention.whole_file import make_folder, replace_file


def test_the_next_content_takes_the_place_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    replace_file(path, b"first, and longer")
    assert path.stat().st_mode & 0o007 == 0  # nobody else's
    (tmp_path / ".one.json.new").write_bytes(b"what a killed writer left behind, longer still")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]


def test_what_cannot_be_written_leaves_the_last(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    replace_file(path, b"first")
    (tmp_path / ".one.json.new").mkdir()  # nothing can be written beside
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"


def test_what_fails_half_way_leaves_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    replace_file(path, b"first", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no room"):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]


def test_folders_are_made_with_those_above_them(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b/c", 0o700)
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700

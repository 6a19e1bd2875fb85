"""A small file is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.whole_file import replace_file


def test_the_next_content_takes_the_place_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    replace_file(path, b"first, and longer")
    assert path.stat().st_mode & 0o007 == 0  # nobody else's
    (tmp_path / "one.new").write_bytes(b"what a killed writer left behind, longer still")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]


def test_what_cannot_be_written_leaves_the_last(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    replace_file(path, b"first")
    (tmp_path / "one.new").mkdir()  # nothing can be written beside
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"

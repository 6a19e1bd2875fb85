"""The signing key: made once, private, never replaced silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.keys import KEY_NAME, KeyUnusable, signing_key


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = signing_key(tmp_path)
    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert signing_key(tmp_path).private_bytes_raw() == first.private_bytes_raw()
    assert [path.name for path in tmp_path.iterdir()] == [KEY_NAME]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / KEY_NAME).chmod(0o640)
    with pytest.raises(KeyUnusable, match="read by others"):
        signing_key(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_not_replaced_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable):
        signing_key(tmp_path)
    assert path.read_bytes() == content


def test_no_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable):
        signing_key(tmp_path / "none")

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.secrets import PASSWORD_BYTES_MAX, Secret, SecretUnusable, file_fault, read_secret


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    os.chmod(path, mode)
    return path


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2!")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {secret:>20}" + "%s" % secret  # noqa: UP031
    assert secret.reveal() == "hunter2!"
    assert secret == Secret("hunter2!")
    assert secret != "hunter2!"


@pytest.mark.parametrize("data", [b"pa ss\xc3\xa9", b"pa ss\xc3\xa9\n", b"pa ss\xc3\xa9\r\n"])
def test_the_line_end_is_not_part_of_the_password(tmp_path: Path, data: bytes) -> None:
    assert read_secret(write(tmp_path / "p", data)).reveal() == "pa ssé"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"a\nb", b"\xff", b"a\0b", b"x" * (PASSWORD_BYTES_MAX + 1)]
)
def test_files_that_hold_no_password_are_refused_without_showing_them(
    tmp_path: Path, data: bytes
) -> None:
    with pytest.raises(SecretUnusable) as caught:
        read_secret(write(tmp_path / "p", data))
    assert str(tmp_path / "p") in str(caught.value)
    assert "xxx" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "p", b"secret", mode)
    fault = file_fault(path)
    assert fault is not None
    assert fault[1] == f"chmod 600 {path}"
    with pytest.raises(SecretUnusable, match="open to other users"):
        read_secret(path)


def test_missing_and_odd_files_are_told_apart(tmp_path: Path) -> None:
    missing = file_fault(tmp_path / "none")
    folder = file_fault(tmp_path)
    assert missing is not None
    assert "does not exist" in missing[0]
    assert folder is not None
    assert "is not a file" in folder[0]

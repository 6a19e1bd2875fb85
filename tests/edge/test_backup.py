"""Backup and restore: a new box gets its keys and settings back, and nothing goes elsewhere."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge import sealed_box
from edge.cli import main
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.audit_read import records
from retention.clock import SystemClock
from tests.edge.test_setup import run as set_up


def xueliang(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def box(tmp_path: Path) -> Path:
    assert set_up(tmp_path).exit_code == 0
    return tmp_path


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse 雪")
    path.chmod(0o600)
    return path


def contents(box: Path) -> dict[str, bytes]:
    paths = [
        *(box / "etc").rglob("*"),
        box / "state/signing-key.pem",
        *(box / "state/console").iterdir(),
    ]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("is_sealed", [True, False])
def test_what_was_lost_comes_back(box: Path, passphrase: Path, is_sealed: bool) -> None:
    seal = ("--passphrase-file", passphrase) if is_sealed else ()
    config, file = box / "etc/xueliang.toml", box / "backup"
    done = xueliang("backup", "-o", file, *seal, "-c", config)
    assert done.exit_code == 0, done.output
    assert ("not sealed" in done.output) is not is_sealed
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (b"signing-key" in file.read_bytes()) is not is_sealed
    before = contents(box)
    assert len(before) >= 5
    for path in before:
        Path(path).unlink()
    back = xueliang("restore", file, *seal, "-c", config)
    assert back.exit_code == 0, back.output
    assert contents(box) == before
    for path in before:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        assert mode == (0o640 if path == str(config) else 0o600), path
    assert xueliang("restore", file, *seal, "-c", config).exit_code == 0  # it stands there already
    (box / "etc/secrets/gate-exit").write_text("Another-1")
    again = xueliang("restore", file, *seal, "-c", config)
    assert again.exit_code == 1
    assert "--replace" in again.output
    assert xueliang("restore", file, *seal, "--replace", "-c", config).exit_code == 0
    assert contents(box) == before


def test_a_restore_tells_whether_the_state_folder_is_another(box: Path) -> None:
    config, file, state = box / "etc/xueliang.toml", box / "backup", box / "state"
    assert xueliang("backup", "-o", file, "-c", config).exit_code == 0
    key = state / "signing-key.pem"
    with AuditLog(state, "uplink", SystemClock()) as uplink:
        head = uplink.record(Action.PLATFORM_STATE, subject="x").result(10)
    for change in (lambda: None, key.unlink, lambda: key.write_text("another's")):
        change()
        assert xueliang("restore", file, "--replace", "-c", config).exit_code == 0
    config.unlink()
    (box / "etc/secrets/gate-exit").unlink()
    assert xueliang("restore", file, "-c", config).exit_code == 0
    told = [one for one in records(state, "cli") if one.action == Action.RESTORE]
    assert [one.outcome for one in told] == ["begun", "done"] * 4
    assert [one.detail["state"] for one in told[::2]] == ["kept", "new", "new", "kept"]
    assert f"uplink:{head.seq}:{head.hash}" in str(told[0].detail["logs"]).split()
    assert "cli:" not in str(told[0].detail["logs"])


def test_a_restore_that_cannot_be_put_on_record_writes_nothing(box: Path) -> None:
    config, file = box / "etc/xueliang.toml", box / "backup"
    assert xueliang("backup", "-o", file, "-c", config).exit_code == 0
    shutil.rmtree(box / "state/audit/cli")
    (box / "state/audit/cli").write_text("no folder")
    config.unlink()
    refused = xueliang("restore", file, "-c", config)
    assert (refused.exit_code, "audit log" in refused.output) == (1, True)
    assert not config.exists()


def test_a_sealed_backup_wants_its_passphrase(box: Path, passphrase: Path) -> None:
    config, file = box / "etc/xueliang.toml", box / "backup"
    xueliang("backup", "-o", file, "--passphrase-file", passphrase, "-c", config)
    assert xueliang("restore", file, "--replace", "-c", config).exit_code == 1
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    with pytest.raises(sealed_box.WrongPassphrase):
        sealed_box.unseal(bytes(data), "correct horse 雪")


def test_a_backup_writes_nowhere_else(box: Path) -> None:
    config, file = box / "etc/xueliang.toml", box / "backup"
    xueliang("backup", "-o", file, "-c", config)
    document = json.loads(file.read_text())
    evil = base64.b64encode(b"evil").decode()
    for name in ("console/../../escape", "console/.hidden", "camera/../x", "/etc/passwd", "x"):
        document["files"][name] = evil
    file.write_text(json.dumps(document))
    done = xueliang("restore", file, "--replace", "-c", config)
    assert done.exit_code == 0, done.output
    assert not [one for one in box.rglob("*") if one.is_file() and one.read_bytes() == b"evil"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "xueliang backup 1", "files": 7}'])
def test_what_is_no_backup_is_refused(box: Path, text: str) -> None:
    file = box / "backup"
    file.write_text(text)
    before = contents(box)
    assert xueliang("restore", file, "--replace", "-c", box / "etc/xueliang.toml").exit_code == 1
    assert contents(box) == before

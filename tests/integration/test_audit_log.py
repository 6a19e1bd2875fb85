"""The audit logs of a real ``edge``: what is told, anchored, and found when somebody tampers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retention.audit import FOLDER, parts_of
from tests.support.box import Box, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = Box(folder=tmp_path)
    box.write_config()
    return box


def _start(box: Box) -> None:
    path = box.folder / "edge.log"
    before = path.read_text().count("edge_started") if path.exists() else 0
    box.start()
    wait_for("edge started", lambda: box.log.count("edge_started") > before)


def _actions(box: Box) -> list[str]:
    return [record["action"] for record in box.json("audit", "list", "--days", "1")]


def test_a_life_of_edge_is_on_record(box: Box) -> None:
    _start(box)
    try:
        config = box.config.read_text()
        box.config.write_text(f"{config}[retention]\nmax_days = 120\nbasis = 'x'\n")
        box.reload()
        wait_for("the change", lambda: "settings_changed" in _actions(box))
        metrics = box.metrics()
        assert metrics['nvr_audit_records_total{action="settings_changed"}'] == 1
        wait_for("verified", lambda: box.metrics().get("nvr_audit_chain_ok") == 1)
    finally:
        assert box.stop() == 0
    assert box.xueliang("reindex").returncode == 0

    told = box.json("audit", "list")
    assert [(record["service"], record["action"], record["outcome"]) for record in told] == [
        ("edge", "service_started", "done"),
        ("edge", "settings_changed", "done"),
        ("edge", "service_stopped", "done"),
        ("cli", "reindex", "begun"),
        ("cli", "reindex", "done"),
    ]
    assert told[1]["detail"]["changed"] == "retention.max_days: 97 -> 120; retention.basis:  -> x"
    assert told[3]["actor"].startswith("os:")
    cli, edge = box.json("audit", "verify")
    assert cli["sound"], cli
    assert edge["sound"], edge
    assert edge["anchored_seq"] == edge["last_seq"] == 3, "the clean end is anchored"
    assert "reindex done" in box.xueliang("audit", "list", "--service", "cli").stdout


def test_an_end_cut_off_is_found_after_reindex_too(box: Box) -> None:
    """The anchors stand in the journal on the volumes: losing the index does not help."""
    _start(box)
    assert box.stop() == 0
    (part,) = parts_of(box.state / FOLDER / "edge")
    lines = part.path.read_bytes().splitlines(keepends=True)
    part.path.write_bytes(b"".join(lines[:-1]))
    (box.state / "index.db").unlink()
    assert box.xueliang("reindex").returncode == 0

    result = box.xueliang("audit", "verify", "--service", "edge")
    assert result.returncode == 1
    assert "cut off" in result.stdout
    _start(box)
    wait_for("verified", lambda: "audit_log_unsound" in box.log)
    wait_for("told", lambda: box.metrics().get("nvr_audit_chain_ok") == 0)
    box.stop()


def test_logs_that_went_with_the_system_disk_are_told_and_new_ones_bind(box: Box) -> None:
    """The state folder is lost, the volumes are kept: a restore tells, and hides nothing after."""
    backup = box.folder / "backup"
    _start(box)
    assert box.xueliang("backup", "-o", str(backup)).returncode == 0
    assert box.stop() == 0
    _start(box)
    assert box.stop() == 0
    shutil.rmtree(box.state)
    box.config.unlink()
    restored = box.xueliang("restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    _start(box)
    wait_for("verified", lambda: box.metrics().get("nvr_audit_chain_ok") == 1)
    assert box.stop() == 0
    assert "audit_records_lost_with_state" in box.log
    assert "audit_log_unsound" not in box.log

    told = box.xueliang("audit", "verify")
    assert told.returncode == 0, told.stdout
    assert "records up to 4, anchored before the restore of" in told.stdout
    verdicts = {one["service"]: one for one in box.json("audit", "verify")}
    lost = {name: one["lost_seq"] for name, one in verdicts.items()}
    assert lost == {"cli": 2, "edge": 4}
    assert verdicts["edge"]["anchored_seq"] == verdicts["edge"]["last_seq"] == 2

    assert box.xueliang("restore", str(backup), "--replace").returncode == 0
    (part,) = parts_of(box.state / FOLDER / "edge")
    whole = part.path.read_bytes()
    part.path.write_bytes(whole.splitlines(keepends=True)[0])
    cut = box.xueliang("audit", "verify", "--service", "edge")
    assert (cut.returncode, "cut off" in cut.stdout) == (1, True)
    part.path.write_bytes(b"")
    assert box.xueliang("audit", "verify").returncode == 1, "emptied after the restore"
    part.path.write_bytes(whole)
    assert box.xueliang("audit", "verify").returncode == 0
    (commands,) = parts_of(box.state / FOLDER / "cli")
    commands.path.write_bytes(commands.path.read_bytes().replace(b'"new"', b'"net"', 1))
    assert "NOT SOUND" in box.xueliang("audit", "verify", "--service", "edge").stdout


def test_a_broken_audit_folder_does_not_keep_edge_from_recording(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    (box.state / FOLDER).write_text("no folder")
    _start(box)
    assert "audit_record_lost" in box.log
    assert box.stop() == 0
    refused = box.xueliang("reindex")
    assert refused.returncode == 1
    assert "audit log" in refused.stderr, "what must be on record is not done without it"

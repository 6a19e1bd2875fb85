"""``xueliang report`` of a real store: what it tells, and that a changed byte is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.schema import Settings
from edge.report.pack import ReportFailed, make_report
from retention.audit_read import records
from retention.clock import SystemClock
from retention.export_verifier import is_statement, verify_export
from retention.keys import KeyUnusable
from tests.retention.evidence import make_store
from tests.retention.storing import Site


def settings_of(site: Site, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "阳光托育中心"},
            "storage": {
                "volumes": [str(path) for path in site.volumes],
                "state_dir": str(site.index_path.parent),
            },
            "camera": [
                {"id": name, "name": name, "rtsp": f"rtsp://192.0.2.1/{name}"}
                for name in ("gate", "hall")
            ],
            **more,
        }
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_store(tmp_path_factory.mktemp("box"))


def test_the_pack_is_signed_and_whole(site: Site, tmp_path: Path) -> None:
    settings, folder = settings_of(site), tmp_path / "pack"
    pack = make_report(settings, 30, folder, site.clock)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "heads.json",
        "manifest.json",
        "report.en.html",
        "report.json",
        "report.zh.html",
        "verify.py",
    ]
    assert verify_export(folder, pack.fingerprint).differences == []
    assert is_statement(json.loads((folder / "heads.json").read_bytes()))
    alone = subprocess.run(
        [sys.executable, folder / "verify.py"], capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert "校验通过 verified" in alone.stdout
    told = [
        record for record in records(settings.storage.state_dir, "cli") if record.action == "report"
    ]
    assert [record.outcome for record in told[-2:]] == ["begun", "done"]
    assert told[-1].detail["manifest_sha256"] == pack.manifest_sha256


def test_a_changed_byte_shows(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    make_report(settings_of(site), 7, folder, site.clock)
    path = folder / "report.json"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"days": 7', b'"days": 8', 1))
    assert verify_export(folder).differences == ["report.json has changed"]
    path.unlink()
    assert verify_export(folder).differences == ["report.json is missing"]
    path.write_bytes(content)
    (folder / "more.txt").write_text("x")
    assert "more.txt" in verify_export(folder).differences[0]
    (folder / "more.txt").unlink()
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace("阳光".encode(), "月光".encode()))
    manifest.write_bytes(manifest.read_bytes().replace(b'"size": ', b'"size":  ', 1))
    assert verify_export(folder).differences


def test_it_tells_what_the_index_holds(site: Site, tmp_path: Path) -> None:
    pack = make_report(settings_of(site), 30, tmp_path / "pack", site.clock)
    told = pack.document
    assert told["site"]["name"] == "阳光托育中心"
    assert [one["id"] for one in told["cameras"]] == ["gate", "hall"]
    gate = told["cameras"][0]
    assert gate["chain"]["segments"] == 6
    assert gate["days"][-1]["state"] == "running"
    assert not gate["archive"]["valid"]
    assert {one["service"] for one in told["audit"]} >= {"cli"}
    assert all(one["sound"] for one in told["audit"])
    for kpi in told["kpis"].values():
        assert kpi["ratio"] is None or 0 <= kpi["ratio"] <= 1
    assert told["kpis"]["archive"]["ratio"] == 0
    assert told["kpis"]["picture"]["ratio"] is None
    assert not told["edge_running"]
    assert json.loads((tmp_path / "pack" / "report.json").read_bytes()) == told


def test_what_stands_in_the_way_is_said_and_nothing_is_left(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    with pytest.raises(ReportFailed, match="is there already"):
        make_report(settings_of(site), 7, folder, site.clock)
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportFailed, match="cannot be written"):
        make_report(settings_of(site), 7, tmp_path / "file" / "pack", site.clock)
    empty = settings_of(site).model_copy(
        update={
            "storage": settings_of(site).storage.model_copy(update={"state_dir": tmp_path / "no"})
        }
    )
    with pytest.raises(KeyUnusable, match="signing key"):
        make_report(empty, 7, tmp_path / "other", SystemClock())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pack"]

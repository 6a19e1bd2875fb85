"""What root makes in a service's folder does not lock the service out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.lock import state_lock
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.clock import SystemClock
from retention.index.write import IndexWriter
from retention.keys import signing_key
from retention.reindex import reindex
from retention.volume import Volume

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SERVICE = 65534


def test_a_state_folder_that_root_worked_in_is_the_services(tmp_path: Path) -> None:
    volume = tmp_path.parent / f"{tmp_path.name}-volume"
    volume.mkdir()
    Volume.stamp(volume, uuid="6b1f0f0e-0000-4000-8000-000000000001", now_us=1).close()
    os.chown(tmp_path, SERVICE, SERVICE)
    with state_lock(tmp_path), IndexWriter(tmp_path / "index.db") as index:
        index.submit(lambda connection: connection.execute("SELECT 1").fetchone()).result(10)
        signing_key(tmp_path)
        with AuditLog(tmp_path, "cli", SystemClock()) as audit:
            audit.record(Action.REINDEX, subject="index.db").result(10)
    reindex(tmp_path / "index.db", [volume], dry_run=False)
    made = sorted(tmp_path.rglob("*"))
    names = {path.name for path in made}
    assert {"edge.lock", "index.db", "index.db.old-1", "signing-key.pem", "audit", "cli"} <= names
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(SERVICE, SERVICE)}

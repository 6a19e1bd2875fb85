"""The logs of all services on one page, and whether they can be believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.console.roles import Role
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.audit_read import newest
from retention.index.entries import add_entries
from retention.index.migrations import migrate
from retention.journal import Head, Journal, Kind
from tests.support.console_site import ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        with AuditLog(found.parts.state_dir, "edge", found.clock) as log:
            for number in range(5):
                log.record(Action.EXPORT, subject=f"camera:gate {number}", actor="os:root")
                found.clock.sleep(86_400)
            log.record(Action.EXPORT, subject="<script>x</script>", actor="=cmd()").result(10)
        yield found


def test_records_are_found_by_service_action_days_and_text(site: ConsoleSite) -> None:
    auditor = site.person(Role.AUDITOR)
    assert auditor.get("/audit?days=31").text.count("camera:gate") == 5
    assert auditor.get("/audit?days=1").text.count("camera:gate") == 1
    assert auditor.get("/audit?days=31&text=GATE+3").text.count("camera:gate") == 1
    assert auditor.get("/audit?days=31&action=login").text.count("camera:gate") == 0
    assert auditor.get("/audit?days=31&service=console").text.count("camera:gate") == 0
    assert auditor.get("/audit?service=../../etc").status_code == 400
    assert "<script>x" not in auditor.get("/audit?days=31").text


def test_a_changed_line_is_found(site: ConsoleSite) -> None:
    auditor = site.person(Role.AUDITOR)
    assert "不符" not in auditor.post("/audit/verify").text
    (part,) = (site.parts.state_dir / "audit" / "edge").glob("*.jsonl")
    part.write_bytes(part.read_bytes().replace(b"gate 2", b"gate 9"))
    assert "不符" in auditor.post("/audit/verify").text
    told = [one for one in site.records() if one.action == "verify"]
    assert [one.detail["sound"] for one in told] == [True, False]


def test_what_went_with_the_old_system_disk_is_told(site: ConsoleSite) -> None:
    """The journal, come back from the volumes, anchors a log that nobody has any more."""
    state_dir = site.parts.state_dir
    journal = Journal(Ed25519PrivateKey.generate(), Head())
    heads = {"edge": {"seq": 4711, "hash": "a" * 64}}
    entries = [
        journal.entry(Kind.KEY, journal.key_data(), 1),
        journal.entry(Kind.AUDIT, {"heads": heads}, 2),
    ]
    with closing(sqlite3.connect(state_dir / "index.db", isolation_level=None)) as connection:
        migrate(connection)
        add_entries(connection, entries)
    auditor = site.person(Role.AUDITOR)
    assert "不符" in auditor.post("/audit/verify").text
    with AuditLog(state_dir, "cli", site.clock) as log:
        log.record(Action.RESTORE, subject="x", outcome=Outcome.BEGUN, state="new", logs="")
        log.record(Action.RESTORE, subject="x").result(10)
    page = auditor.post("/audit/verify").text
    assert "不符" not in page
    assert "至第 4711 条）随旧系统盘丢失" in page


def test_the_table_holds_no_formula(site: ConsoleSite) -> None:
    answer = site.person(Role.AUDITOR).post("/audit/download?days=31")
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("time,service,seq")
    assert len([line for line in lines if "camera:gate" in line]) == 5
    assert "'=cmd()" in answer.text


def test_the_newest_are_read_from_the_end(site: ConsoleSite) -> None:
    state_dir = site.parts.state_dir
    found = newest(state_dir, "edge", 0, 3)
    assert [one.seq for one in found] == [6, 5, 4]
    since_us = site.clock.now_us - 2 * 86_400_000_000
    assert [one.seq for one in newest(state_dir, "edge", since_us, 100)] == [6, 5, 4]

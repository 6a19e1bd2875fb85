"""What edge does about audit logs besides its own records."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.schema import Settings
from edge import auditing
from edge.audit_verification import verify_all
from edge.auditing import Anchors, on_record, prune_logs
from retention.audit import DAY_US, AuditLog, AuditUnavailable
from retention.audit_chain import Action
from retention.audit_read import anchors, records, verify
from retention.clock import SystemClock
from retention.index.entries import add_entries
from retention.index.read import Index
from retention.journal import Journal, Kind
from tests.retention.storing import FakeClock, Site

NOW_US = 1_795_000_000_000_000


def _settings(state_dir: Path) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "站"},
            "storage": {"volumes": ["/srv/a"], "state_dir": str(state_dir)},
        }
    )


def test_old_months_of_edge_and_commands_go_and_others_stay(tmp_path: Path) -> None:
    clock = FakeClock(NOW_US)
    for service in ("edge", "cli", "uplink"):
        for day in (0, 40, 300):
            clock.now_us = NOW_US + day * DAY_US
            with AuditLog(tmp_path, service, clock) as audit:
                audit.record(Action.VERIFY, subject="gate").result(5)
    with AuditLog(tmp_path, "edge", clock) as audit:
        prune_logs(audit, tmp_path, 183, NOW_US + 300 * DAY_US)
    firsts = {one: verify(tmp_path, one).first_seq for one in ("edge", "cli", "uplink")}
    assert firsts == {"edge": 2, "cli": 2, "uplink": 1}  # the second ended lately
    assert all(verify(tmp_path, one).is_sound for one in firsts)


def test_a_deed_is_on_record_before_and_after(tmp_path: Path) -> None:
    with on_record(_settings(tmp_path), Action.EXPORT, "gate", reason="x") as deed:
        (begun,) = records(tmp_path, "cli")
        assert begun.head == deed.head
        deed.told["files"] = 3
    _, done = records(tmp_path, "cli")
    assert (done.outcome, done.detail) == ("done", {"files": 3})


def test_a_deed_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        with on_record(_settings(tmp_path), Action.EXPORT, "gate"):
            raise RuntimeError("the disk fell off")
    *_, failed = records(tmp_path, "cli")
    assert (failed.outcome, failed.detail) == ("failed", {"error": "the disk fell off"})


def test_what_cannot_be_put_on_record_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "CLI_WAIT_S", 0.1)
    done = []
    with AuditLog(tmp_path, "cli", SystemClock()) as other:
        other.opened().result(5)
        with pytest.raises(AuditUnavailable), on_record(_settings(tmp_path), Action.EXPORT, "x"):
            done.append(1)
    assert done == []


def test_a_head_counts_only_if_it_is_signed_as_it_says(tmp_path: Path) -> None:
    """Anchors through a real index; one that somebody puts in is no anchor, and accuses nobody."""
    site = Site.make(tmp_path)
    state = site.index_path.parent
    with AuditLog(state, "edge", site.clock) as audit, site.running() as recorder:
        ledger = recorder.opened.ledger
        anchors_told = Anchors(state, ledger)
        for number in range(60):
            audit.record(Action.VERIFY, subject=f"gate {number}").result(5)
            anchors_told.tell(site.clock.utc_us())
        anchors_told.tell(site.clock.utc_us())
        ledger.flushed().result()
        forger = Journal(Ed25519PrivateKey.generate(), recorder.opened.ledger._journal.head)
        forged = forger.entry(Kind.AUDIT, {"heads": {"edge": {"seq": 7, "hash": "0" * 64}}}, 1)
        recorder.opened.index.submit(lambda index: add_entries(index, [forged])).result()
        with Index.open_read(site.index_path) as index:
            pauses: list[int] = []
            found = anchors(index, lambda: pauses.append(1))["edge"]
        assert [anchor.seq for anchor in found] == [*range(1, 61)], "one for each head, once"
        assert pauses == [1]
        (verdict,) = verify_all(state, site.index_path)
    assert verdict.is_sound, verdict.findings
    assert (verdict.anchors, verdict.anchored_seq) == (60, 60)

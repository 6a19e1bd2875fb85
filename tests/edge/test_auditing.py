"""What edge does about audit logs besides its own records."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Settings
from edge import auditing
from edge.auditing import on_record, prune_logs
from retention.audit import DAY_US, AuditLog, AuditUnavailable
from retention.audit_chain import Action
from retention.audit_read import records, verify
from retention.clock import SystemClock
from tests.retention.storing import FakeClock

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

"""Audit logs on a real disk: durable, mended after power cuts, one writer, pruned by proof."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.log import hide
from config.secrets import Secret
from retention.audit import DAY_US, FOLDER, AuditLog, AuditLogInUse, AuditUnavailable, parts_of
from retention.audit_chain import Action, Anchor, Head, Outcome, parse_line
from retention.audit_read import heads, records, services, verify
from tests.retention.storing import FakeClock

_NOVEMBER_US = int(datetime(2026, 11, 25, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(_NOVEMBER_US)


def _write(state: Path, clock: FakeClock, count: int, service: str = "edge") -> Head:
    with AuditLog(state, service, clock) as audit:
        futures = [
            audit.record(Action.EXPORT, subject=f"camera-{number}", actor="person:张三")
            for number in range(count)
        ]
        return futures[-1].result(5)


def _reopen(state: Path, clock: FakeClock) -> None:
    with AuditLog(state, "edge", clock) as audit:
        audit.opened().result(5)


def _folder(state: Path, service: str = "edge") -> Path:
    return state / FOLDER / service


def _newest(state: Path) -> Path:
    return parts_of(_folder(state))[-1].path


def test_records_are_durable_read_back_and_sound(tmp_path: Path, clock: FakeClock) -> None:
    counted: list[Action] = []
    with AuditLog(tmp_path, "edge", clock, on_record=counted.append) as audit:
        head = audit.record(
            Action.HOLD_ADDED,
            subject="hold-1",
            actor="person:李四",
            outcome=Outcome.DONE,
            case_number="2026-17",
            days=3,
        ).result(5)
        # while the log is open, as another process reads it
        (record,) = records(tmp_path, "edge")
    assert (record.actor, record.action, record.head) == ("person:李四", "hold_added", head)
    assert record.detail == {"case_number": "2026-17", "days": 3}
    assert record.at_us == clock.utc_us()
    assert verify(tmp_path, "edge").is_sound
    assert heads(tmp_path) == {"edge": head}
    assert counted == [Action.HOLD_ADDED]
    assert _newest(tmp_path).name == "000000000001-2026-11.jsonl"
    assert _newest(tmp_path).stat().st_mode & 0o777 == 0o640


def test_a_log_goes_on_where_it_ended(tmp_path: Path, clock: FakeClock) -> None:
    for _ in range(3):
        _write(tmp_path, clock, 4)
    verdict = verify(tmp_path, "edge")
    assert verdict.is_sound
    assert verdict.records == 12
    assert len(parts_of(_folder(tmp_path))) == 1


def test_secrets_stay_out(tmp_path: Path, clock: FakeClock) -> None:
    hide(Secret("Kinder-9000"))
    with AuditLog(tmp_path, "edge", clock) as audit:
        audit.record(
            Action.SETTINGS_CHANGED,
            subject="rtsp://admin:hunter2@192.0.2.1/live Kinder-9000",
            actor="person:Kinder-9000",
            told="password=hunter2&x=1 Kinder-9000",
        ).result(5)
    content = _newest(tmp_path).read_text()
    assert "Kinder-9000" not in content
    assert "hunter2" not in content


def test_each_service_has_its_own_log(tmp_path: Path, clock: FakeClock) -> None:
    with AuditLog(tmp_path, "edge", clock) as one, AuditLog(tmp_path, "uplink", clock) as other:
        one.record(Action.SERVICE_STARTED, subject="edge").result(5)
        other.record(Action.SERVICE_STARTED, subject="uplink").result(5)
    assert services(tmp_path) == ["edge", "uplink"]
    assert all(verify(tmp_path, service).records == 1 for service in services(tmp_path))


# One writer ------------------------------------------------------------------------------------


def test_a_second_writer_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    with AuditLog(tmp_path, "edge", clock) as one, AuditLog(tmp_path, "edge", clock) as other:
        one.opened().result(5)
        with pytest.raises(AuditLogInUse, match="another process"):
            other.record(Action.VERIFY, subject="gate").result(5)
        one.close()
        other.record(Action.VERIFY, subject="gate").result(5)
    assert [record.action for record in records(tmp_path, "edge")] == ["records_lost", "verify"]


_MANY = """
import sys
from pathlib import Path
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.clock import SystemClock
for _ in range(8):
    with AuditLog(Path(sys.argv[1]), "cli", SystemClock(), wait_s=30) as audit:
        audit.record(Action.VERIFY, subject=sys.argv[2]).result(5)
"""


def test_writers_that_wait_come_one_after_the_other(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _MANY, str(tmp_path), str(number)])
        for number in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    verdict = verify(tmp_path, "cli")
    assert verdict.is_sound, verdict.findings
    assert verdict.records == 24
    assert {record.subject for record in records(tmp_path, "cli")} == {"0", "1", "2"}


# Power cuts and bad disks ----------------------------------------------------------------------


@given(st.data())
@settings(max_examples=20)
def test_a_torn_line_is_mended_and_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    state, clock = tmp_path_factory.mktemp("torn"), FakeClock(_NOVEMBER_US)
    _write(state, clock, 3)
    part = _newest(state)
    content = part.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    cut = data.draw(st.integers(last + 1, len(content) - 1))
    garbage = data.draw(st.sampled_from([b"", b"\0" * 100, b"\xff\n\xfe"]))
    part.write_bytes(content[:cut] + garbage)
    assert not verify(state, "edge").is_sound

    clock.now_us += 60_000_000
    _reopen(state, clock)
    verdict = verify(state, "edge")
    assert verdict.is_sound, verdict.findings
    *kept, mended = records(state, "edge")
    assert [record.seq for record in kept] == [1, 2]
    assert mended.action == "log_mended"
    assert mended.detail["torn_bytes"] == cut - last + len(garbage)
    aside = _folder(state) / str(mended.detail["kept_as"])
    assert aside.read_bytes() == content[last:cut] + garbage
    assert verdict.notes, "a person is told"


def test_parts_begun_on_a_failing_disk_are_cleared_away(tmp_path: Path, clock: FakeClock) -> None:
    """An empty one, and two torn ones behind."""
    _write(tmp_path, clock, 3)
    folder = _folder(tmp_path)
    (folder / "000000000003-2026-10.jsonl").touch()
    (folder / "000000000004-2026-11.jsonl").write_bytes(b'{"action":"ex')
    (folder / "000000000004-2026-12.jsonl").write_bytes(b'{"act')
    _reopen(tmp_path, clock)
    verdict = verify(tmp_path, "edge")
    assert verdict.is_sound, verdict.findings
    mended = [record for record in records(tmp_path, "edge") if record.action == "log_mended"]
    assert [record.detail["torn_bytes"] for record in mended] == [13, 5]
    assert all(part.path.stat().st_size for part in parts_of(folder))


def test_a_mended_end_that_had_been_anchored_is_found(tmp_path: Path, clock: FakeClock) -> None:
    """Tearing a line and having it mended does not pass for a power cut."""
    head = _write(tmp_path, clock, 3)
    part = _newest(tmp_path)
    part.write_bytes(part.read_bytes()[:-30])
    _reopen(tmp_path, clock)
    verdict = verify(tmp_path, "edge", [Anchor(seq=head.seq, hash=head.hash, at_us=0)])
    assert not verdict.is_sound


def test_damage_in_the_middle_is_left_and_found(tmp_path: Path, clock: FakeClock) -> None:
    _write(tmp_path, clock, 4)
    part = _newest(tmp_path)
    content = part.read_bytes().replace(b"camera-1", b"camera-9")
    part.write_bytes(content)
    _write(tmp_path, clock, 2)
    verdict = verify(tmp_path, "edge")
    assert not verdict.is_sound
    assert part.read_bytes().startswith(content)


def test_a_full_disk_loses_no_record_unseen(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line reaches the disk, then nothing: whoever waited is told, and the log goes on."""
    with AuditLog(tmp_path, "edge", clock) as audit:
        audit.record(Action.SERVICE_STARTED, subject="edge").result(5)
        real, is_full = os.write, True

        def write(file: int, content: bytes) -> int:
            if not is_full or b'"seq"' not in content:
                return real(file, content)
            real(file, content[:40])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(AuditUnavailable, match="No space left"):
            audit.record(Action.EXPORT, subject="gate").result(5)
        assert "No space left" in audit.failure
        is_full = False
        audit.record(Action.EXPORT, subject="gate").result(5)
        assert audit.failure == ""
    assert [record.action for record in records(tmp_path, "edge")] == [
        "service_started",
        "records_lost",
        "export",
    ]
    verdict = verify(tmp_path, "edge")
    assert verdict.is_sound, verdict.findings


def test_a_log_that_cannot_be_made_says_so(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder belongs")
    with AuditLog(tmp_path, "edge", clock) as audit:
        with pytest.raises(AuditUnavailable, match="cannot be written"):
            audit.opened().result(5)
        (tmp_path / FOLDER).unlink()
        audit.record(Action.VERIFY, subject="gate").result(5)


def test_a_closed_log_takes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    audit = AuditLog(tmp_path, "edge", clock)
    audit.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        audit.record(Action.EXPORT, subject="gate").result(5)


# Months, and what is removed -------------------------------------------------------------------


def _months(state: Path, clock: FakeClock, action: Action, *days: int) -> None:
    for day in days:
        clock.now_us = _NOVEMBER_US + day * DAY_US
        with AuditLog(state, "edge", clock) as audit:
            for number in range(3):
                audit.record(action, subject=f"day {day} record {number}").result(5)


def _prune(state: Path, clock: FakeClock, keep_days: int, day: int) -> None:
    clock.now_us = _NOVEMBER_US + day * DAY_US
    with AuditLog(state, "edge", clock) as audit:
        audit.prune(keep_days, clock.now_us).result(5)


def test_a_month_a_part_also_when_the_clock_goes_back(tmp_path: Path, clock: FakeClock) -> None:
    _months(tmp_path, clock, Action.VERIFY, 0, 10, -20_000, 20)
    names = [part.path.name for part in parts_of(_folder(tmp_path))]
    assert [name[13:20] for name in names] == ["2026-11", "2026-12", "1972-02", "2026-12"]
    assert verify(tmp_path, "edge").is_sound


def test_old_months_go_and_the_chain_stays_provable(tmp_path: Path, clock: FakeClock) -> None:
    _months(tmp_path, clock, Action.VERIFY, 0, 40, 80, 300)
    fourth = list(records(tmp_path, "edge"))[3]
    _prune(tmp_path, clock, 183, 40 + 184)
    assert [record.seq for record in records(tmp_path, "edge")] == [*range(4, 14)]
    anchored = [Anchor(seq=2, hash="f" * 64, at_us=0), Anchor(seq=4, hash=fourth.hash, at_us=0)]
    verdict = verify(tmp_path, "edge", anchored)
    assert verdict.is_sound, verdict.findings
    assert "removed" in " ".join(verdict.notes)

    parts_of(_folder(tmp_path))[0].path.unlink()
    assert not verify(tmp_path, "edge").is_sound, "a part that nobody told of"


def test_months_younger_than_asked_stay(tmp_path: Path, clock: FakeClock) -> None:
    """A month ended where the next one began, whatever its clock said."""
    _months(tmp_path, clock, Action.VERIFY, -20_000, 0, 40)
    _prune(tmp_path, clock, 183, 183)
    assert verify(tmp_path, "edge").first_seq == 1
    _prune(tmp_path, clock, 183, 184)
    assert verify(tmp_path, "edge").first_seq == 4


def test_what_was_given_to_others_is_on_record_for_three_years(
    tmp_path: Path, clock: FakeClock
) -> None:
    _months(tmp_path, clock, Action.EXPORT, 0, 40)
    _prune(tmp_path, clock, 183, 40 + 1096)
    assert verify(tmp_path, "edge").first_seq == 1
    _prune(tmp_path, clock, 183, 40 + 1097)
    assert verify(tmp_path, "edge").first_seq == 4


def test_a_power_cut_between_marker_and_removal_leaves_a_sound_log(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _months(tmp_path, clock, Action.VERIFY, 0, 40)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path: (_ for _ in ()).throw(OSError(5, "EIO")))
        with pytest.raises(AuditUnavailable):
            _prune(tmp_path, clock, 183, 40 + 184)
    assert verify(tmp_path, "edge").is_sound
    assert verify(tmp_path, "edge").first_seq == 1
    _prune(tmp_path, clock, 183, 40 + 185)
    assert verify(tmp_path, "edge").is_sound
    assert verify(tmp_path, "edge").first_seq == 4


def test_the_newest_part_stays(tmp_path: Path, clock: FakeClock) -> None:
    _months(tmp_path, clock, Action.VERIFY, 0)
    _prune(tmp_path, clock, 183, 9000)
    assert parse_line(_newest(tmp_path).read_bytes().splitlines()[0]).seq == 1

"""Logs that went with a system disk: told where a restore is on record, found where none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.audit import DAY_US, AuditLog
from retention.audit_chain import (
    Action,
    Anchor,
    Head,
    Loss,
    Outcome,
    Record,
    Value,
    Verdict,
    Verifier,
    next_line,
    parse_line,
)
from retention.audit_loss import announced, restore_detail
from retention.audit_read import loss_told, verify
from tests.retention.storing import FakeClock

NOW_US = 1_795_000_000_000_000
#: Instants of the old box are before those of the new one, unless a test turns a clock.
OLD_US, NEW_US = NOW_US, NOW_US + 1_000_000


def chain(service: str, count: int, at_us: int, head: Head | None = None) -> list[bytes]:
    head, lines = head or Head(), []
    for number in range(count):
        line, head = next_line(
            head,
            at_us=at_us + number,
            service=service,
            actor="os:root",
            action=Action.EXPORT,
            subject=f"gate {at_us} {number}",
            outcome=Outcome.DONE,
            detail={},
        )
        lines.append(line)
    return lines


def restore(
    at_us: int, head: Head, detail: Mapping[str, Value], outcome: Outcome = Outcome.DONE
) -> list[bytes]:
    """The two lines of one; the second says how it ended."""
    lines = []
    for end, told in ((Outcome.BEGUN, detail), (outcome, {})):
        line, head = next_line(
            head,
            at_us=at_us,
            service="cli",
            actor="os:root",
            action=Action.RESTORE,
            subject="/media/usb/backup",
            outcome=end,
            detail=told,
        )
        lines.append(line)
    return lines


def begin(audit: AuditLog) -> None:
    """A restore on a new system disk, in a real log."""
    audit.record(Action.RESTORE, subject="x", outcome=Outcome.BEGUN, state="new", logs="")


def head_of(lines: Sequence[bytes]) -> Head:
    return parse_line(lines[-1]).head if lines else Head()


def anchors_of(lines: Sequence[bytes], *places: int, entry: int) -> list[Anchor]:
    """An entry for each of ``places``, as the journal would hold it."""
    found = []
    for number, place in enumerate(places):
        record = parse_line(lines[place])
        found.append(
            Anchor(seq=record.seq, hash=record.hash, at_us=record.at_us, entry=entry + number)
        )
    return found


def judged(
    lines: Sequence[bytes], anchors: Sequence[Anchor], loss: Loss | None, service: str = "uplink"
) -> Verdict:
    verifier = Verifier(service, anchors, loss)
    for number, line in enumerate(lines, 1):
        verifier.line(line, f"line {number}")
    return verifier.end()


@dataclass(kw_only=True)
class Box:
    """A box whose system disk was lost after ``old`` records of uplink, restored, and at work."""

    old: list[bytes]
    new: list[bytes]
    commands: list[bytes]
    anchors: list[Anchor]
    command_anchors: list[Anchor]

    @classmethod
    def make(cls, old: int = 6, new: int = 4, *, restored_us: int = NEW_US) -> Box:
        lost, kept = chain("uplink", old, OLD_US), chain("uplink", new, NEW_US)
        commands = restore(restored_us, Head(), restore_detail({}, is_new=True))
        commands += chain("cli", 2, NEW_US, head_of(commands))
        return cls(
            old=lost,
            new=kept,
            commands=commands,
            anchors=anchors_of(lost, *range(old), entry=1)
            + anchors_of(kept, *range(new), entry=100),
            command_anchors=[
                *anchors_of(chain("cli", 3, OLD_US), 1, 2, entry=1),
                *anchors_of(commands, 1, 3, entry=100),
            ],
        )

    @property
    def loss(self) -> Loss | None:
        return announced([parse_line(line) for line in self.commands], self.command_anchors)


def test_what_went_with_the_state_folder_is_told_and_no_finding() -> None:
    box = Box.make(old=6, new=4)
    verdict = judged(box.new, box.anchors, box.loss)
    assert verdict.is_sound, verdict.findings
    assert (verdict.lost_seq, verdict.anchors, verdict.anchored_seq) == (6, 4, 4)
    (note,) = verdict.notes
    assert note.startswith("records up to 6, anchored before the restore of 2026-11-18T")
    commands = judged(box.commands, box.command_anchors, box.loss, "cli")
    assert commands.is_sound, commands.findings
    assert commands.lost_seq == 3
    assert not judged(box.new, box.anchors, None).is_sound
    nothing_yet = judged([], box.anchors[:6], box.loss)
    assert (nothing_yet.is_sound, nothing_yet.lost_seq) == (True, 6)


@given(data=st.data())
def test_any_cut_is_found_unless_a_restore_tells_of_it(data: st.DataObject) -> None:
    """Whatever of a log is left, or put in its place, with or without a restore after it was made:
    only what was anchored before a loss on record may be missing."""
    box = Box.make(old=data.draw(st.integers(1, 8)), new=data.draw(st.integers(1, 8)))
    is_told = data.draw(st.booleans())
    loss = box.loss if is_told else None
    kept = data.draw(st.integers(0, len(box.new)))
    forged = data.draw(st.integers(0, 8))
    lines = box.new[:kept] + chain("uplink", forged, NEW_US + 500, head_of(box.new[:kept]))
    anchored = box.anchors[: data.draw(st.integers(0, len(box.anchors)))]
    of_old = [one for one in anchored if one.entry < 100]
    held = [one for one in anchored if one.entry >= 100 and one.seq <= kept]
    verdict = judged(lines, anchored, loss)
    assert verdict.is_sound == (len(anchored) == len(held) + (len(of_old) if is_told else 0))
    assert verdict.lost_seq == (len(of_old) if is_told else 0)


@given(kept=st.integers(1, 7), more=st.integers(0, 9), data=st.data())
def test_a_log_that_did_not_begin_anew_is_not_excused(
    kept: int, more: int, data: st.DataObject
) -> None:
    """Its older records are there: what was anchored after them was taken out."""
    box = Box.make(old=8)
    lines = box.old[:kept]
    lines += chain("uplink", more, NEW_US, head_of(lines))
    of_kept = data.draw(st.integers(0, kept - 1))
    anchors = anchors_of(box.old, of_kept, data.draw(st.integers(kept, 7)), entry=1)
    assert not judged(lines, anchors, box.loss).is_sound


def test_the_order_of_the_journal_is_believed_before_any_clock() -> None:
    """A new box's clock is often wrong, and stands where nobody set it."""
    for restored_us in (0, NEW_US + 10**15):
        box = Box.make(restored_us=restored_us)
        assert judged(box.new, box.anchors, box.loss).is_sound
        assert not judged(box.new[:-1], box.anchors, box.loss).is_sound


def test_the_commands_log_cut_behind_the_restore_is_found() -> None:
    """Then no anchor agrees any more, and their own instants tell which are of later."""
    box = Box.make()
    box.command_anchors = [one for one in box.command_anchors if one.seq != 2 or one.entry < 100]
    box.command_anchors[-1] = replace(box.command_anchors[-1], at_us=NEW_US + 5)
    box.commands = box.commands[:2]
    assert box.loss == Loss(at_us=NEW_US)
    assert not judged(box.commands, box.command_anchors, box.loss, "cli").is_sound
    assert not judged([], [replace(box.anchors[-1], at_us=NEW_US + 5)], box.loss).is_sound


def test_a_log_that_stood_there_at_the_restore_must_hold_what_it_held() -> None:
    """Between the restore and edge's next start no anchor binds it; the restore's record does."""
    before = chain("uplink", 3, NEW_US)
    heads = {"uplink": head_of(before), "cli": Head(seq=9, hash="a" * 64)}
    lines = restore(NEW_US + 50, Head(), restore_detail(heads, is_new=True))
    loss = announced(map(parse_line, lines), [])
    assert loss is not None
    assert loss.heads == {"uplink": head_of(before)}
    old = anchors_of(chain("uplink", 5, OLD_US), 0, 4, entry=1)
    after = before + chain("uplink", 2, NEW_US + 60, head_of(before))
    assert judged(after, old, loss).is_sound
    for other in ([], before[:2], chain("uplink", 5, NEW_US + 60)):
        assert not judged(other, old, loss).is_sound


@pytest.mark.parametrize("outcome", [Outcome.BEGUN, Outcome.FAILED, Outcome.REFUSED])
def test_a_restore_that_was_not_carried_out_announces_nothing(outcome: Outcome) -> None:
    first = restore(NEW_US, Head(), restore_detail({}, is_new=True), outcome)
    assert announced(map(parse_line, first), []) is None
    again = restore(NEW_US + 9, head_of(first), restore_detail({}, is_new=False))
    loss = announced(map(parse_line, first + again), [])
    assert loss == Loss(at_us=NEW_US + 9), "the power went; the same command went on"


def test_a_restore_over_a_box_that_keeps_its_state_announces_nothing() -> None:
    lines = restore(NEW_US, Head(), restore_detail({}, is_new=False))
    assert announced(map(parse_line, lines), []) is None


def test_any_damage_of_the_restores_record_takes_its_word_away(tmp_path: Path) -> None:
    with AuditLog(tmp_path, "cli", FakeClock(NEW_US)) as audit:
        begin(audit)
        audit.record(Action.RESTORE, subject="x").result(5)
    (part,) = (tmp_path / "audit" / "cli").iterdir()
    whole = part.read_bytes()
    lost = anchors_of(chain("uplink", 2, OLD_US), 1, entry=1)
    loss = loss_told(tmp_path, [])
    assert verify(tmp_path, "uplink", lost, loss=loss).is_sound
    for old, new in ((b'"new"', b'"NEW"'), (b'"begun"', b'"Begun"'), (b'"done"', b'"donE"')):
        part.write_bytes(whole.replace(old, new, 1))
        assert loss_told(tmp_path, []) is None
        assert not verify(tmp_path, "uplink", lost, loss=loss_told(tmp_path, [])).is_sound


def test_the_restores_record_outlives_the_others(tmp_path: Path) -> None:
    clock = FakeClock(NOW_US)
    for day in (0, 40, 80):
        clock.now_us = NOW_US + day * DAY_US
        with AuditLog(tmp_path, "cli", clock) as audit:
            if day == 40:
                begin(audit)
            audit.record(Action.RESTORE, subject="x").result(5)
    with AuditLog(tmp_path, "cli", clock) as audit:
        audit.prune(183, NOW_US + 4000 * DAY_US).result(5)
    verdict = verify(tmp_path, "cli")
    assert (verdict.is_sound, verdict.first_seq) == (True, 2)
    assert loss_told(tmp_path, []) is not None


@given(st.text(max_size=60))
def test_heads_that_are_none_name_none(text: str) -> None:
    (begun, done) = restore(NEW_US, Head(), {"state": "new", "logs": text})
    records: list[Record] = [parse_line(begun), parse_line(done)]
    loss = announced(records, [])
    assert loss is not None
    assert loss.heads == {}

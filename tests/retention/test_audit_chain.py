"""Lines of an audit log: bounded, escaped, and whatever is done to them is found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.audit_chain import (
    KEPT_US_MIN,
    LINE_BYTES_MAX,
    Action,
    Anchor,
    AuditDamaged,
    Head,
    Outcome,
    Value,
    Verdict,
    Verifier,
    next_line,
    parse_line,
    printable,
    split_lines,
)

_BEGIN = Head()
_TEXTS = st.text(max_size=200)
_DETAILS = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True),
    st.none() | st.booleans() | st.integers() | _TEXTS,
    max_size=6,
)


def _line(head: Head = _BEGIN, **changes: object) -> tuple[bytes, Head]:
    facts: dict[str, object] = {
        "at_us": 1_700_000_000_000_000 + head.seq,
        "service": "edge",
        "actor": "person:张三",
        "action": Action.EXPORT,
        "subject": "gate-exit",
        "outcome": Outcome.DONE,
        "detail": {"reason": "案件 2026-17"},
    }
    return next_line(head, **{**facts, **changes})  # type: ignore[arg-type]


def _chain(count: int) -> list[bytes]:
    head, lines = Head(), []
    for number in range(count):
        line, head = _line(head, subject=f"camera-{number}")
        lines.append(line)
    return lines


def _verdict(lines: list[bytes], *anchors: Anchor) -> Verdict:
    verifier = Verifier("edge", anchors)
    for number, line in enumerate(lines, 1):
        verifier.line(line, f"line {number}")
    return verifier.end()


def _anchor(line: bytes) -> Anchor:
    record = parse_line(line)
    return Anchor(seq=record.seq, hash=record.hash, at_us=record.at_us)


@given(actor=_TEXTS, subject=_TEXTS, detail=_DETAILS, at_us=st.integers(-(2**62), 2**62))
def test_what_is_written_reads_back(
    actor: str, subject: str, detail: dict[str, Value], at_us: int
) -> None:
    line, head = _line(actor=actor, subject=subject, detail=detail, at_us=at_us)
    record = parse_line(line)
    assert (record.at_us, record.head, record.seq) == (at_us, head, 1)
    if actor.isascii() and len(actor) < 50:
        assert record.actor == actor
    assert line.isascii()
    assert b"\n" not in line
    assert len(line) <= LINE_BYTES_MAX


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "\n" * 100_000,
        "字" * 100_000,
        "\U0001f980" * 100_000,
        "\ud800" * 100_000,
        '","hash":"',
        "\0\x1b[2J\u202e\u2028",
    ],
)
def test_hostile_text_neither_breaks_a_line_nor_fills_the_disk(text: str) -> None:
    detail: dict[str, Value] = {f"field_{chr(97 + number)}": text for number in range(26)}
    detail["number"] = 10**4000
    line, head = _line(actor=text, subject=text, detail=detail)
    record = parse_line(line)
    assert len(line) <= LINE_BYTES_MAX
    assert line.isascii()
    assert b"\n" not in line
    assert record.head == head
    shown = printable(record.actor + record.subject + json.dumps(dict(record.detail)))
    assert shown.isprintable()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_record_are_damage_and_nothing_else(content: bytes) -> None:
    with pytest.raises(AuditDamaged):
        parse_line(content)


def test_a_whole_chain_is_sound() -> None:
    lines = _chain(20)
    verdict = _verdict(lines, _anchor(lines[4]), _anchor(lines[19]))
    assert verdict.is_sound
    assert (verdict.records, verdict.first_seq, verdict.head.seq) == (20, 1, 20)
    assert (verdict.anchors, verdict.anchored_seq) == (2, 20)


@given(st.data())
@settings(max_examples=300)
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    content = b"".join(line + b"\n" for line in _chain(4))
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    lines = split_lines(changed)
    verifier = Verifier("edge")
    for line in lines:
        verifier.line(line, "")
    if rest := changed[sum(len(line) + 1 for line in lines) :]:
        verifier.torn(len(rest), "")
    assert not verifier.end().is_sound


@given(st.data())
@settings(max_examples=200)
def test_any_line_removed_put_in_or_moved_is_found(data: st.DataObject) -> None:
    lines = _chain(8)
    anchor = _anchor(lines[-1])
    changed = list(lines)
    what = data.draw(st.sampled_from(["remove", "insert", "swap", "repeat"]))
    place = data.draw(st.integers(0, 7))
    if what == "remove":
        del changed[place]
    elif what == "insert":
        before = parse_line(lines[place - 1]).head if place else Head()
        changed.insert(place, _line(before, subject="never happened")[0])
    elif what == "repeat":
        changed.insert(place, lines[data.draw(st.integers(0, 7))])
    else:
        other = data.draw(st.integers(0, 7).filter(lambda other: other != place))
        changed[place], changed[other] = changed[other], changed[place]
    assert not _verdict(changed, anchor).is_sound


@given(count=st.integers(2, 12), data=st.data())
def test_an_end_cut_off_behind_an_anchor_is_found(count: int, data: st.DataObject) -> None:
    lines = _chain(count)
    anchored = data.draw(st.integers(0, count - 1))
    kept = data.draw(st.integers(0, count))
    verdict = _verdict(lines[:kept], _anchor(lines[anchored]))
    assert verdict.is_sound == (kept > anchored)


@given(count=st.integers(2, 12), data=st.data())
def test_a_past_written_anew_is_found_up_to_the_anchor(count: int, data: st.DataObject) -> None:
    """The log's writer can make any chain; the journal remembers the one that it made."""
    lines = _chain(count)
    changed_at = data.draw(st.integers(0, count - 1))
    anchored = data.draw(st.integers(0, count - 1))
    head, forged = Head(), []
    for number in range(count):
        name = "nobody" if number == changed_at else f"camera-{number}"
        line, head = _line(head, subject=name)
        forged.append(line)
    verdict = _verdict(forged, _anchor(lines[anchored]))
    assert verdict.is_sound == (anchored < changed_at)


def test_another_services_record_is_found() -> None:
    assert not _verdict([_line(service="uplink")[0]]).is_sound


def _anchor_at(line: bytes, at_us: int) -> Anchor:
    record = parse_line(line)
    return Anchor(seq=record.seq, hash=record.hash, at_us=at_us)


def test_removed_parts_are_proved_by_the_record_of_their_removal() -> None:
    lines = _chain(6)
    third = parse_line(lines[2])
    gone_us = third.at_us + 2 * KEPT_US_MIN
    marker, _ = _line(
        parse_line(lines[5]).head,
        at_us=gone_us,
        action=Action.LOG_PRUNED,
        detail={"last_seq": third.seq, "last_hash": third.hash},
    )
    verdict = _verdict([*lines[3:], marker], _anchor(lines[1]), _anchor(lines[5]))
    assert verdict.is_sound
    assert verdict.first_seq == 4
    assert not _verdict(lines[3:]).is_sound, "without the marker"
    assert not _verdict([*lines[4:], marker]).is_sound, "more went than the marker tells"
    early = _anchor_at(lines[2], gone_us - KEPT_US_MIN + 1)
    assert not _verdict([*lines[3:], marker], early).is_sound, "it was there half a year ago"
    wrong_clock = _anchor_at(lines[2], gone_us + KEPT_US_MIN)
    assert _verdict([*lines[3:], marker], wrong_clock).is_sound


def test_a_log_that_is_not_there_any_more_is_found() -> None:
    assert not _verdict([], _anchor(_chain(1)[0])).is_sound
    assert _verdict([]).is_sound

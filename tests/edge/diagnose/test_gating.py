"""Three of five begin an alarm, three of five end it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.diagnose.defects import Outcome
from edge.diagnose.gating import NEEDED, WINDOW, Gate, gate_of

JUDGED = (Outcome.NORMAL, Outcome.ABNORMAL)


def run(outcomes: list[Outcome]) -> list[bool]:
    gate, standing = Gate(), []
    for outcome in outcomes:
        gate = gate.after(outcome)
        standing.append(gate.is_standing)
    return standing


@given(st.lists(st.sampled_from(Outcome), max_size=60))
def test_it_stands_exactly_when_three_of_five_said_so(outcomes: list[Outcome]) -> None:
    judged: list[bool] = []
    expected = False
    for outcome, is_standing in zip(outcomes, run(outcomes), strict=True):
        if outcome in JUDGED:
            judged.append(outcome is Outcome.ABNORMAL)
            last = judged[-WINDOW:]
            if last.count(True) >= NEEDED:
                expected = True
            elif last.count(False) >= NEEDED:
                expected = False
        assert is_standing is expected


@given(st.lists(st.sampled_from(Outcome), max_size=30), st.integers(0, 20))
def test_what_could_not_be_judged_changes_nothing(outcomes: list[Outcome], count: int) -> None:
    gate = Gate()
    for outcome in outcomes:
        gate = gate.after(outcome)
    after = gate
    for _ in range(count):
        after = after.after(Outcome.UNKNOWN).after(Outcome.FAILED)
    assert after == gate


def test_two_passers_by_are_no_alarm_and_three_good_checks_end_one() -> None:
    bad, good = Outcome.ABNORMAL, Outcome.NORMAL
    assert run([good, good, bad, bad, good, good, good]) == [False] * 7
    assert run([bad, bad, bad, good, good, good]) == [False, False, True, True, True, False]
    assert run([bad, good, bad, good, bad]) == [False, False, False, False, True]


@given(st.lists(st.sampled_from(Outcome), max_size=12))
def test_a_gate_goes_on_from_what_was_written(outcomes: list[Outcome]) -> None:
    gate = Gate()
    for outcome in outcomes:
        gate = gate.after(outcome)
    assert gate_of(gate.as_json()) == gate


@given(st.none() | st.integers() | st.text(alphabet="x.!a", max_size=9) | st.lists(st.text()))
def test_anything_else_is_a_gate_that_knows_nothing_or_little(told: object) -> None:
    gate = gate_of(told)
    assert len(gate.recent) <= WINDOW
    if not isinstance(told, str) or "a" in told:
        assert gate == Gate()

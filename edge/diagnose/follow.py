"""From looks to what is known of a camera: verdicts, gates, counts, baseline. Core, numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edge.diagnose.baseline import Baseline, Light, learn, light_of
from edge.diagnose.checks import judge, outcome_of
from edge.diagnose.defects import BROKEN_FAILURES, Defect, Failure, Outcome
from edge.diagnose.gating import Gate
from edge.diagnose.report import FAILING, CameraReport
from edge.diagnose.wire import Looked


def follow(
    known: CameraReport,
    baselines: Mapping[Light, Baseline],
    looked: Looked,
    *,
    at_us: int,
    is_dark_room: bool = False,
    is_turning: bool = False,
) -> tuple[CameraReport, dict[Light, Baseline]]:
    """The camera's report after one more check, and its baselines."""
    if looked.measures is None:
        return _failed(known, looked, at_us), dict(baselines)
    light = light_of(looked.measures)
    verdicts = judge(
        looked.measures, baselines.get(light), is_dark_room=is_dark_room, is_turning=is_turning
    )
    outcome = outcome_of(verdicts)
    after = dict(baselines)
    if outcome is Outcome.NORMAL:
        after[light] = learn(baselines.get(light), looked.measures)
    learnt = after.get(light)
    report = _counted(known, looked, at_us, outcome)
    return (
        replace(
            report,
            found=tuple(one for one in Defect if verdicts[one] is Outcome.ABNORMAL),
            unknown=tuple(one for one in Defect if verdicts[one] is Outcome.UNKNOWN),
            light=light.value,
            learnt=0 if learnt is None else learnt.count,
            gates=_gates(
                known.gates, {FAILING: Outcome.NORMAL} | {d.value: verdicts[d] for d in Defect}
            ),
        ),
        after,
    )


def _failed(known: CameraReport, looked: Looked, at_us: int) -> CameraReport:
    """Footage that is there and cannot be seen is a broken picture; no footage is the recorder's
    to tell; anything else is a diagnosis that fails."""
    outcomes: dict[str, Outcome] = {}
    found: tuple[Defect, ...] = ()
    if looked.failure in BROKEN_FAILURES:
        outcomes = {Defect.BROKEN: Outcome.ABNORMAL, FAILING: Outcome.NORMAL}
        found = (Defect.BROKEN,)
    elif looked.failure is not Failure.NO_FOOTAGE:
        outcomes[FAILING] = Outcome.ABNORMAL
    return replace(
        _counted(known, looked, at_us, Outcome.FAILED),
        found=found,
        unknown=tuple(one for one in Defect if one not in found),
        gates=_gates(known.gates, outcomes),
    )


def _counted(known: CameraReport, looked: Looked, at_us: int, outcome: Outcome) -> CameraReport:
    return replace(
        known,
        at_us=at_us,
        footage_us=looked.footage_us or known.footage_us,
        outcome=outcome,
        failure=looked.failure,
        cpu_seconds=known.cpu_seconds + looked.cpu_seconds,
        checks={**known.checks, outcome: known.checks.get(outcome, 0) + 1},
    )


def _gates(known: Mapping[str, Gate], outcomes: Mapping[str, Outcome]) -> dict[str, Gate]:
    """Gates that know nothing are left out."""
    after = dict(known)
    for name, outcome in outcomes.items():
        gate = after.get(name, Gate()).after(outcome)
        if gate.recent:
            after[name] = gate
    return after

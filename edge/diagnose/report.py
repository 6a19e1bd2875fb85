"""What the ``diagnose`` service tells ``edge``: values, never a picture. Core.

As JSON (the file is :mod:`edge.diagnose.report_file`'s):

    {"version": 1, "at_us": 1, "cpu_seconds": 0.1, "cameras": {"<id>": {"at_us": 1, "footage_us": 1,
     "outcome": "normal", "failure": "", "found": [], "unknown": [], "standing": [],
     "is_failing": false, "light": "day", "learnt": 288, "cpu_seconds": 0.2,
     "checks": {"normal": 1, "abnormal": 0, "unknown": 0, "failed": 0}, "gates": {}}}}

``found`` is what the last check saw, ``standing`` what three of five have confirmed. ``edge`` takes
it for what it is, text that another process wrote: whatever is not exactly this is left out. The
service itself goes on from it after a restart, so nothing is told twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.diagnose.defects import Defect, Failure, Outcome
from edge.diagnose.gating import Gate, gate_of

#: The gate of checks that failed, beside those of the defects.
FAILING = "failing"
_VERSION = 1
_CAMERAS_MAX = 1_000
_INSTANT_MAX_US = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """One camera; instants are UTC microseconds."""

    at_us: int = 0  # of the last check; 0: none yet
    footage_us: int = 0  # of the newest picture that was looked at
    outcome: Outcome = Outcome.UNKNOWN
    failure: Failure = Failure.NONE
    found: tuple[Defect, ...] = ()
    unknown: tuple[Defect, ...] = ()
    light: str = ""
    learnt: int = 0  # normal checks that its baseline was made of
    cpu_seconds: float = 0.0  # of all its checks since the service was first started
    checks: Mapping[Outcome, int] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)

    @property
    def standing(self) -> tuple[Defect, ...]:
        """What three checks of five have confirmed."""
        return tuple(one for one in Defect if self.gates.get(one, Gate()).is_standing)

    @property
    def is_failing(self) -> bool:
        return self.gates.get(FAILING, Gate()).is_standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Of all cameras."""

    at_us: int = 0  # when it was written
    cpu_seconds: float = 0.0  # of the service and its decoders since it was started
    cameras: Mapping[str, CameraReport] = field(default_factory=dict)


def dump(report: Report) -> bytes:
    document = {
        "version": _VERSION,
        "at_us": report.at_us,
        "cpu_seconds": round(report.cpu_seconds, 3),
        "cameras": {name: camera_json(one) for name, one in report.cameras.items()},
    }
    return json.dumps(document).encode()


def parse(content: bytes) -> Report | None:
    """None for what is no report of this version; cameras that cannot be read are left out."""
    try:
        document = json.loads(content)
        if document["version"] != _VERSION or len(document["cameras"]) > _CAMERAS_MAX:
            return None
        return Report(
            at_us=_instant(document["at_us"]),
            cpu_seconds=_seconds(document["cpu_seconds"]),
            cameras={
                name: camera
                for name, one in document["cameras"].items()
                if (camera := _camera(one)) is not None
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def camera_json(one: CameraReport) -> dict[str, Any]:
    return {
        "at_us": one.at_us,
        "footage_us": one.footage_us,
        "outcome": one.outcome.value,
        "failure": one.failure.value,
        "found": [defect.value for defect in one.found],
        "unknown": [defect.value for defect in one.unknown],
        "standing": [defect.value for defect in one.standing],
        "is_failing": one.is_failing,
        "light": one.light,
        "learnt": one.learnt,
        "cpu_seconds": round(one.cpu_seconds, 3),
        "checks": {outcome.value: one.checks.get(outcome, 0) for outcome in Outcome},
        "gates": {name: gate.as_json() for name, gate in one.gates.items()},
    }


def _camera(told: Any) -> CameraReport | None:
    try:
        gates = dict(told["gates"].items())
        return CameraReport(
            at_us=_instant(told["at_us"]),
            footage_us=_instant(told["footage_us"]),
            outcome=Outcome(told["outcome"]),
            failure=Failure(told["failure"]),
            found=tuple(map(Defect, told["found"])),
            unknown=tuple(map(Defect, told["unknown"])),
            light=told["light"] if told["light"] in ("day", "night") else "",
            learnt=_count(told["learnt"]),
            cpu_seconds=_seconds(told["cpu_seconds"]),
            checks={outcome: _count(told["checks"][outcome]) for outcome in Outcome},
            gates={
                name: gate_of(gates[name])
                for name in (*(defect.value for defect in Defect), FAILING)
                if name in gates
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _instant(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _INSTANT_MAX_US:
        raise ValueError("no instant")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError("no count")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e12:
        raise ValueError("no duration")
    return float(value)

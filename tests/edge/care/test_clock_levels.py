"""A camera's clock: warning at a second, defect at five, hard at thirty; the worst counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.alarms.codes import TERMS, Code, Severity
from edge.faults import present
from retention.model import US_PER_S
from tests.edge.test_endpoint import SNAPSHOT

CLOCKS = (Code.CAMERA_CLOCK_OFF, Code.CAMERA_CLOCK_DEFECT, Code.CAMERA_CLOCK_WRONG)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (None, None),
        (0.9, None),
        (1.1, Code.CAMERA_CLOCK_OFF),
        (-4.9, Code.CAMERA_CLOCK_OFF),
        (5.1, Code.CAMERA_CLOCK_DEFECT),
        (-29.0, Code.CAMERA_CLOCK_DEFECT),
        (30.5, Code.CAMERA_CLOCK_WRONG),
        (-1.7e9, Code.CAMERA_CLOCK_WRONG),
    ],
)
def test_levels(seconds: float | None, code: Code | None) -> None:
    offset_us = None if seconds is None else round(seconds * US_PER_S)
    camera = replace(SNAPSHOT.cameras[0], clock_offset_us=offset_us)
    snapshot = replace(SNAPSHOT, cameras=(camera,))
    told = present(snapshot, {})
    found = [one for one in told if one.code in CLOCKS]
    assert [one.code for one in found] == ([] if code is None else [code])
    for one in found:
        assert seconds is not None
        assert one.reason_zh.startswith("快" if seconds > 0 else "慢")


def test_the_hard_one_is_critical() -> None:
    assert TERMS[Code.CAMERA_CLOCK_WRONG].severity is Severity.CRITICAL
    assert TERMS[Code.CAMERA_CLOCK_OFF].severity is Severity.WARNING

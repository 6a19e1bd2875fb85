"""How retention stands: young sites, held and broken floors, what ends the oldest footage."""

from __future__ import annotations

import pytest

from retention.policy import DAY_US, Band, Reason
from retention.standing import Binding, Standing, State, standing

NOW = 1_000 * DAY_US
BAND = Band(min_us=90 * DAY_US, max_us=97 * DAY_US)


def judged(
    due_days: float | None,
    oldest_days: float | None,
    *,
    reason: Reason | None = None,
    breach_days: float | None = None,
) -> Standing:
    """Due since, oldest, and breached until so many days ago."""

    def ago(days: float | None) -> int | None:
        return None if days is None else NOW - int(days * DAY_US)

    return standing(
        "gate",
        BAND,
        now_us=NOW,
        due_from_us=ago(due_days),
        oldest_us=ago(oldest_days),
        last_reason=reason,
        breach_end_us=ago(breach_days),
        tolerance_us=DAY_US // 12,
    )


@pytest.mark.parametrize(
    ("one", "state", "binds"),
    [
        (judged(None, None), State.IMMATURE, Binding.NOTHING),
        (judged(30, 30), State.IMMATURE, Binding.NOTHING),
        (judged(200, 97, reason=Reason.AGE), State.HELD, Binding.AGE),
        (judged(200, 89.95, reason=Reason.OVER_FLOOR), State.HELD, Binding.DISK),
        (judged(200, 80), State.SHORT, Binding.NOTHING),
        (judged(200, None), State.SHORT, Binding.NOTHING),
        (
            judged(30, 12, reason=Reason.OVERWRITTEN, breach_days=12),
            State.BREACHED,
            Binding.DISK,
        ),
        (judged(300, 97, reason=Reason.AGE, breach_days=91), State.HELD, Binding.AGE),
        (judged(300, 97, reason=Reason.REMOVED), State.HELD, Binding.REMOVED),
    ],
)
def test_standings(one: Standing, state: State, binds: Binding) -> None:
    assert (one.state, one.binds) == (state, binds)


def test_a_breach_is_over_when_what_went_would_be_due() -> None:
    assert judged(200, 50, breach_days=50).breach_us == NOW - 50 * DAY_US
    assert judged(200, 92, breach_days=92).breach_us is None

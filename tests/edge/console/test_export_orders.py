"""The register of exports: what may follow what, and who may decide."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.console.export_orders import (
    DAY_US,
    Order,
    OrderRefused,
    OrderState,
    again,
    approved,
    asked,
    from_json,
    reason_of,
    refused,
    removed,
    running,
    taken,
    to_json,
)

NOW = 1_790_000_000_000_000


def order(*, needs_second: bool = True, open_orders: int = 0) -> Order:
    return asked(
        "a1b2c3d4e5f6",
        "gate",
        NOW - DAY_US,
        NOW,
        "派出所 调取",
        "chen",
        NOW,
        needs_second=needs_second,
        open_orders=open_orders,
    )


def test_who_asked_does_not_approve() -> None:
    with pytest.raises(OrderRefused, match="does not approve"):
        approved(order(), "chen", NOW)
    found = approved(order(), "li", NOW + 5)
    assert (found.state, found.decided_by) == (OrderState.APPROVED, "li")
    with pytest.raises(OrderRefused):
        approved(found, "wang", NOW + 6)  # once
    assert refused(order(), "chen", "不再需要", NOW).refusal == "不再需要"
    with pytest.raises(OrderRefused):
        refused(order(), "li", "", NOW)
    assert order(needs_second=False).state is OrderState.APPROVED


def test_orders_are_bounded() -> None:
    for from_us, to_us, reason in (
        (NOW, NOW, "派出所调取"),
        (NOW - 8 * DAY_US, NOW, "派出所调取"),
        (NOW - 1, NOW, " x "),
        (NOW - 1, NOW, "长" * 201),
    ):
        with pytest.raises(OrderRefused):
            asked(
                "a" * 12, "gate", from_us, to_us, reason, "chen", NOW, needs_second=True,
                open_orders=0,
            )  # fmt: skip
    with pytest.raises(OrderRefused):
        order(open_orders=100)


def done_of(found: Order) -> Order:
    from dataclasses import replace

    return replace(found, state=OrderState.DONE, ended_us=NOW + 10)


STEPS: dict[str, Callable[[Order], Order]] = {
    "approve": lambda one: approved(one, "li", NOW + 1),
    "approve_own": lambda one: approved(one, "chen", NOW + 1),
    "refuse": lambda one: refused(one, "li", "理由不足", NOW + 1),
    "run": running,
    "done": lambda one: done_of(one) if one.state is OrderState.RUNNING else one,
    "again": again,
    "take": lambda one: taken(one, "chen", NOW + 20),
    "remove": lambda one: removed(one, "li", NOW + 30),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_nothing_is_made_or_taken_without_a_second_person(names: list[str]) -> None:
    """Whatever is tried in whatever order."""
    found = order()
    for name in names:
        try:
            found = STEPS[name](found)
        except OrderRefused:
            continue
        if found.state in (OrderState.RUNNING, OrderState.DONE, OrderState.REMOVED):
            assert found.decided_by == "li"
        if found.state is OrderState.REFUSED:
            assert found.taken == ()
        assert from_json(to_json(found)) == found
    assert found.taken == () or found.decided_by == "li"


def test_a_copy_is_due_after_its_days() -> None:
    found = done_of(order(needs_second=False))
    assert not found.is_due(NOW + 10 + 7 * DAY_US - 1, 7)
    assert found.is_due(NOW + 10 + 7 * DAY_US, 7)
    assert not removed(found, "li", NOW).is_due(NOW + 100 * DAY_US, 7)
    assert not order().is_due(NOW + 100 * DAY_US, 7)


def test_reasons_are_text() -> None:
    assert reason_of("  派出所   调取 ") == "派出所 调取"
    for text in ("", "abc", "a\u202eb\u0000cd"):
        with pytest.raises(OrderRefused):
            reason_of(text)

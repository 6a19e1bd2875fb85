"""Exports as orders: asked for with a reason, approved by a second person, made, taken. Core.

``asked`` → ``approved`` (at once where no second person is wanted) or ``refused`` → ``running`` →
``done`` or ``failed`` (and ``approved`` again) → ``removed`` (the copy; footage is never touched).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from config.errors import XueliangError

REASON_CHARACTERS_MIN = 4
REASON_CHARACTERS_MAX = 200
RANGE_US_MAX = 7 * 86_400 * 1_000_000
#: Waiting, running or not yet removed: disks are finite.
OPEN_MAX = 100
DAY_US = 86_400 * 1_000_000


class OrderRefused(XueliangError):
    """An export cannot be asked for, decided on or taken in this way."""

    code = "export_order_refused"


class OrderState(StrEnum):
    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REMOVED = "removed"


_OPEN = frozenset({OrderState.ASKED, OrderState.APPROVED, OrderState.RUNNING, OrderState.DONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Somebody took a finished export away."""

    by: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One line of the register of exports; persons are accounts."""

    id: str
    camera: str
    from_us: int
    to_us: int
    reason: str
    asked_by: str
    asked_us: int
    state: OrderState = OrderState.ASKED
    decided_by: str = ""  # empty: nobody had to
    decided_us: int | None = None
    refusal: str = ""
    ended_us: int | None = None
    error: str = ""
    written_bytes: int = 0
    of_bytes: int = 0
    size_bytes: int = 0
    files: int = 0
    manifest_sha256: str = ""
    fingerprint: str = ""
    gaps: int = 0
    taken: tuple[Taking, ...] = field(default=())
    removed_by: str = ""
    removed_us: int | None = None

    @property
    def is_open(self) -> bool:
        return self.state in _OPEN

    def is_due(self, now_us: int, days: int) -> bool:
        """Whether the copy has lain here for as long as it may."""
        return (
            self.state is OrderState.DONE
            and self.ended_us is not None
            and now_us - self.ended_us >= days * DAY_US
        )


def asked(
    order_id: str,
    camera: str,
    from_us: int,
    to_us: int,
    reason: str,
    by: str,
    now_us: int,
    *,
    needs_second: bool,
    open_orders: int,
) -> Order:
    """A new order.

    Raises:
        OrderRefused: no range, too long a one, no reason, too many open orders.
    """
    reason = reason_of(reason)
    if not 0 < to_us - from_us <= RANGE_US_MAX:
        raise OrderRefused("an export needs a range of at most 7 days", hint="ask for parts of it")
    if open_orders >= OPEN_MAX:
        raise OrderRefused("too many exports are open", hint="remove those that were taken")
    order = Order(
        id=order_id,
        camera=camera,
        from_us=from_us,
        to_us=to_us,
        reason=reason,
        asked_by=by,
        asked_us=now_us,
    )
    return order if needs_second else replace(order, state=OrderState.APPROVED)


def approved(order: Order, by: str, now_us: int) -> Order:
    """Raises :class:`OrderRefused`: it does not wait for that, or ``by`` asked for it himself."""
    _must_be(order, OrderState.ASKED)
    if by == order.asked_by:
        raise OrderRefused(
            "who asked for an export does not approve it", hint="a second person must"
        )
    return replace(order, state=OrderState.APPROVED, decided_by=by, decided_us=now_us)


def refused(order: Order, by: str, why: str, now_us: int) -> Order:
    """Refused by a second person, or taken back by who asked. Raises :class:`OrderRefused`."""
    _must_be(order, OrderState.ASKED)
    return replace(
        order,
        state=OrderState.REFUSED,
        decided_by=by,
        decided_us=now_us,
        refusal=reason_of(why),
    )


def running(order: Order) -> Order:
    _must_be(order, OrderState.APPROVED)
    return replace(order, state=OrderState.RUNNING, error="")


def again(order: Order) -> Order:
    """A failed one is tried again under the same approval. Raises :class:`OrderRefused`."""
    _must_be(order, OrderState.FAILED)
    return replace(order, state=OrderState.APPROVED, error="", ended_us=None)


def taken(order: Order, by: str, now_us: int) -> Order:
    """Raises :class:`OrderRefused`: there is nothing to take."""
    _must_be(order, OrderState.DONE)
    return replace(order, taken=(*order.taken, Taking(by=by, at_us=now_us)))


def removed(order: Order, by: str, now_us: int) -> Order:
    """Raises :class:`OrderRefused`: there is no copy."""
    _must_be(order, OrderState.DONE)
    return replace(order, state=OrderState.REMOVED, removed_by=by, removed_us=now_us)


def _must_be(order: Order, state: OrderState) -> None:
    if order.state is not state:
        raise OrderRefused(
            f"export {order.id} is {order.state.value}, not {state.value}",
            hint="load the page again",
        )


def reason_of(text: str) -> str:
    """The stated reason, tidied. Raises :class:`OrderRefused`."""
    reason = " ".join(text.split())
    if not REASON_CHARACTERS_MIN <= len(reason) <= REASON_CHARACTERS_MAX:
        raise OrderRefused(
            "a reason must be stated",
            hint=f"{REASON_CHARACTERS_MIN} to {REASON_CHARACTERS_MAX} characters",
        )
    if not reason.isprintable():
        raise OrderRefused("the reason is no plain text", hint="write it anew")
    return reason


def to_json(order: Order) -> dict[str, Any]:
    """For the register's file."""
    return {
        name: getattr(order, name) for name in Order.__dataclass_fields__ if name != "taken"
    } | {"taken": [[one.by, one.at_us] for one in order.taken]}


def from_json(found: dict[str, Any]) -> Order:
    """Raises KeyError, TypeError, ValueError for what is none."""
    rest = dict(found)
    taking = tuple(Taking(by=str(by), at_us=int(at_us)) for by, at_us in rest.pop("taken"))
    state = OrderState(rest.pop("state"))
    return Order(**rest, state=state, taken=taking)

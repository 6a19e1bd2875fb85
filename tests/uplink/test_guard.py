"""Admission before parsing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uplink.guard import Bucket, Guard, canonical

S = 1_000_000


def test_strangers_are_refused_and_cost_nothing() -> None:
    guard = Guard()
    guard.allow({"a": frozenset({"192.0.2.1"}), "b": frozenset({"192.0.2.1", "2001:db8::1"})})
    assert guard.refusal("192.0.2.1", 0) == ""
    assert guard.refusal("2001:DB8:0::1%eth0", 0) == ""
    assert guard.refusal("::ffff:192.0.2.1", 0) == ""
    for number in range(1000):
        assert guard.refusal(f"198.51.100.{number}", 0) == "stranger"
    assert len(guard._buckets) == 2
    assert guard.platforms("192.0.2.1") == ("a", "b")
    guard.allow({})
    assert guard.refusal("192.0.2.1", 0) == "stranger"


def test_a_flood_is_cut_and_passes() -> None:
    guard = Guard(rate_per_s=10, burst=20)
    guard.allow({"a": frozenset({"192.0.2.1", "192.0.2.2"})})
    admitted = [guard.refusal("192.0.2.1", 0) for _ in range(100)].count("")
    assert admitted == 20
    assert guard.refusal("192.0.2.2", 0) == ""
    assert guard.refusal("192.0.2.1", S // 10) == ""
    assert guard.refusal("192.0.2.1", S // 10) == "flood"


@given(st.lists(st.integers(0, 2 * S), max_size=60), st.integers(1, 50), st.integers(1, 50))
def test_never_more_than_rate_and_burst(pauses: list[int], rate: int, burst: int) -> None:
    bucket, now, taken = Bucket(rate_per_s=rate, burst=burst), 0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
    assert taken <= burst + now * rate / S + 1


@given(st.text(max_size=20))
def test_canonical_takes_anything(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)

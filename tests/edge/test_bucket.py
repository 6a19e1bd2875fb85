"""edge.bucket: never more than the burst and the rate allow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.bucket import Bucket
from retention.model import US_PER_S


@given(
    burst=st.integers(1, 20),
    per_s=st.floats(0.01, 10),
    waits_us=st.lists(st.integers(0, 5 * US_PER_S), max_size=200),
)
def test_what_passes_is_bounded(burst: int, per_s: float, waits_us: list[int]) -> None:
    bucket, now_us, passed = Bucket(burst=burst, per_s=per_s), 0, 0
    for wait_us in waits_us:
        now_us += wait_us
        passed += bucket.take(now_us)
    assert passed <= burst + per_s * now_us / US_PER_S + 1e-6
    assert passed >= min(len(waits_us), burst)


def test_it_fills_again() -> None:
    bucket = Bucket(burst=1, per_s=1)
    assert [bucket.take(at) for at in (0, 1, US_PER_S, US_PER_S + 1, 9 * US_PER_S)] == [
        True, False, True, False, True,
    ]  # fmt: skip

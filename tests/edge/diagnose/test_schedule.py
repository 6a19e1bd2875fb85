"""Cameras take turns, evenly, whatever a check costs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.diagnose.schedule import CPU_SHARE, next_start_us, whose_turn
from retention.model import US_PER_S


@given(
    st.integers(1, 64),
    st.floats(0.01, 5),
    st.floats(0, 20),
    st.integers(5, 600),
    st.integers(64, 400),
)
def test_turns_are_fair_and_cpu_is_bounded(
    count: int, cpu_s: float, lasts_s: float, interval_s: int, turns: int
) -> None:
    cameras = [f"camera-{n}" for n in range(count)]
    last_us: dict[str, int] = {}
    looked = dict.fromkeys(cameras, 0)
    now_us, used_s = 0, 0.0
    for _ in range(turns):
        camera = whose_turn(cameras, last_us)
        assert camera is not None
        last_us[camera] = began_us = now_us
        looked[camera] += 1
        used_s += cpu_s
        now_us = next_start_us(
            began_us=began_us,
            ended_us=began_us + round(max(lasts_s, cpu_s) * US_PER_S),
            cpu_seconds=cpu_s,
            interval_us=interval_s * US_PER_S,
            cameras=count,
        )
    assert max(looked.values()) - min(looked.values()) <= 1
    assert used_s <= CPU_SHARE * now_us / US_PER_S + 1e-3
    if cpu_s * count / CPU_SHARE + lasts_s * count < interval_s:
        assert now_us / US_PER_S <= turns * interval_s / count + 1e-3, "nobody waits longer"


def test_nobody_to_look_at() -> None:
    assert whose_turn([], {"gone": 1}) is None

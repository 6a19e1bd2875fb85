"""A watchdog's judgement: every part within its own limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retention.progress import Progress

LIMITS_US = {"loop": 10, "thread": 100}


def test_a_part_is_silent_for_its_limit_and_no_longer() -> None:
    progress = Progress(LIMITS_US, now_us=1_000)
    assert progress.stalled(1_010) == ()
    assert progress.stalled(1_011) == ("loop",)
    progress.beat("loop", 1_011)
    assert progress.stalled(1_021) == ()
    assert progress.stalled(1_101) == ("loop", "thread")


@given(
    st.lists(st.tuples(st.sampled_from(sorted(LIMITS_US)), st.integers(0, 300)), max_size=30),
    st.integers(0, 400),
)
def test_only_the_newest_beat_of_each_part_counts(
    beats: list[tuple[str, int]], now_us: int
) -> None:
    progress = Progress(LIMITS_US, now_us=0)
    for part, at_us in beats:
        progress.beat(part, at_us)
    newest = {part: max([0, *(at for one, at in beats if one == part)]) for part in LIMITS_US}
    late = {part for part, at_us in newest.items() if now_us - at_us > LIMITS_US[part]}
    assert set(progress.stalled(now_us)) == late

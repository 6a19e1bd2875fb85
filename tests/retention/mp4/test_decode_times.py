"""Decode times out of shown times and order."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retention.mp4.boxes import VIDEO_LEAD
from retention.mp4.decode_times import MAX_DEPTH, DecodeTimes

_LEAD = VIDEO_LEAD


@st.composite
def _streams(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Shown times in an order of arrival with B-frames, and where the stream is cut."""
    shown: list[int] = []
    for b_frames in draw(st.lists(st.integers(0, 3), min_size=1, max_size=8)):
        first = len(shown)
        shown += [first + b_frames, *range(first, first + b_frames)]
    cuts = draw(st.lists(st.integers(0, len(shown)), max_size=4))
    return [_LEAD + 40_000 * index for index in shown], sorted({0, len(shown), *cuts})


@given(_streams())
def test_times_rise_strictly_over_any_cut(stream: tuple[list[int], list[int]]) -> None:
    shown, cuts = stream
    times = DecodeTimes()
    decode: list[int] = []
    for start, end in pairwise(cuts):
        part, times = times.assign(shown[start:end], max(shown[:end]) + 40_000)
        assert len(part) == end - start + 1
        assert part[-1] > part[-2]
        decode += part[:-1]
    assert all(before < after for before, after in pairwise(decode))
    assert decode[0] >= 0


@given(_streams())
def test_nothing_is_decoded_after_it_is_shown(stream: tuple[list[int], list[int]]) -> None:
    """Given that the first fragment shows the stream's depth."""
    shown, _cuts = stream
    decode, _times = DecodeTimes().assign(shown, max(shown) + 1)
    assert all(at <= time for at, time in zip(decode, shown, strict=False))


def test_a_cut_changes_nothing_once_the_depth_is_known() -> None:
    shown = [_LEAD + 1000 * ms for ms in (0, 120, 40, 80, 240, 160, 200, 360, 280, 320)]
    whole, _ = DecodeTimes().assign(shown, _LEAD + 400_000)
    first, times = DecodeTimes().assign(shown[:5], _LEAD + 160_000)
    second, _ = times.assign(shown[5:], _LEAD + 400_000)
    assert first[:-1] + second == whole
    assert whole[:3] == [0, _LEAD, _LEAD + 40_000]
    assert [at - _LEAD for at in whole[1:]] == [1000 * 40 * index for index in range(10)]


def test_without_reordering_pictures_are_decoded_when_they_are_shown() -> None:
    """But for the very first, which is decoded at 0."""
    decode, times = DecodeTimes().assign([_LEAD, 50_000, 90_000], 130_000)
    assert decode == [0, 50_000, 90_000, 130_000]
    assert times.waiting == ()


def test_equal_and_backward_times_still_rise() -> None:
    decode, _ = DecodeTimes(least=20_000).assign([50, 50, 50], 40)
    assert decode == [20_000, 20_001, 20_002, 20_003]


@given(st.lists(st.integers(-100, 1000), min_size=1, max_size=60), st.integers(-100, 2000))
def test_any_times_give_rising_ones_and_a_bounded_state(shown: list[int], end: int) -> None:
    decode, times = DecodeTimes().assign(shown, end)
    assert all(before < after for before, after in pairwise(decode))
    assert len(times.waiting) <= MAX_DEPTH

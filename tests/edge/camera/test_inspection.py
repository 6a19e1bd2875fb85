"""edge.camera.inspection: offsets of clocks that show whole seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.camera.description import Profile
from edge.camera.inspection import (
    ClockOffset,
    ClockSample,
    EncoderSettings,
    Inspection,
    Overlay,
    from_plain,
    narrowed,
    to_plain,
)
from retention.model import US_PER_S

T0 = 1_790_000_000 * US_PER_S


@given(
    offset_us=st.integers(-(10**15), 10**9),
    waits_us=st.lists(st.integers(1, 400_000), min_size=1, max_size=10),
    travel_us=st.integers(0, 50_000),
    place=st.floats(0, 1),
)
def test_the_true_offset_lies_in_what_is_told_and_more_looks_narrow_it(
    offset_us: int, waits_us: list[int], travel_us: int, place: float
) -> None:
    samples, now_us = [], T0
    for wait_us in waits_us:
        now_us += wait_us
        shown_us = (now_us + int(travel_us * place) + offset_us) // US_PER_S * US_PER_S
        samples.append(
            ClockSample(before_us=now_us, after_us=now_us + travel_us, shown_us=shown_us)
        )
        now_us += travel_us
    found, first = narrowed(samples), narrowed(samples[:1])
    assert found is not None
    assert first is not None
    assert found.low_us <= offset_us <= found.high_us
    assert found.high_us - found.low_us <= first.high_us - first.low_us


def test_a_clock_that_is_set_between_two_looks_is_believed_as_it_is_now() -> None:
    samples = [
        ClockSample(before_us=T0, after_us=T0, shown_us=T0 - 3600 * US_PER_S),
        ClockSample(before_us=T0 + 10, after_us=T0 + 10, shown_us=T0),
    ]
    assert narrowed(samples) == ClockOffset(low_us=-10, high_us=US_PER_S - 10)
    assert narrowed([]) is None


def test_an_inspection_goes_from_one_process_to_another() -> None:
    found = Inspection(
        manufacturer="海康",
        model="m",
        firmware="1",
        serial="s",
        clock=ClockOffset(low_us=-1, high_us=1),
        is_ntp=None,
        encoder=EncoderSettings(
            codec="H264", width=1, height=2, fps=3, bits_per_second=4, gop_frames=5
        ),
        overlays=(Overlay(token="t", kind="Plain", text="门"),),
        profiles=(Profile(token="a", name="b", encoding="H264", width=1, height=2),),
        profile="a",
        troubles=("x",),
    )
    assert from_plain(to_plain(found)) == found

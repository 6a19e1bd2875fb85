"""Fragments: what goes in, and what is refused."""

from dataclasses import replace

import pytest

from retention.model import AccessUnit, Codec, Fragment, Track
from retention.mp4.mux import FragmentUnfit, Muxer
from retention.mp4.units import parse_moof, read_units
from tests.retention.mp4.footage import START_US, encode, fragments, with_audio

_FOOTAGE = encode(Codec.H264)
_ALAW = with_audio(_FOOTAGE, Codec.ALAW)


def _audio(pts_us: int, size_bytes: int = 160) -> AccessUnit:
    return AccessUnit(track=Track.AUDIO, pts_us=pts_us, is_key=True, data=bytes(size_bytes))


def _sound(*units: AccessUnit) -> Fragment:
    return Fragment(units=units, start_us=START_US, end_us=units[-1].pts_us + 20_000, is_key=False)


def _moof(fragment: bytes) -> bytes:
    return fragment[: int.from_bytes(fragment[:4], "big")]


def _audio_ticks(fragment: bytes) -> list[int]:
    samples = parse_moof(_moof(fragment)).tracks[2]
    ticks = [samples.decode]
    for duration, _size in samples.words:
        ticks.append(ticks[-1] + duration)
    return ticks


def test_the_same_fragments_give_the_same_bytes() -> None:
    first, second = Muxer(_FOOTAGE.header()), Muxer(_FOOTAGE.header())
    for fragment in fragments(_FOOTAGE):
        assert first.fragment(fragment) == second.fragment(fragment)


def test_a_fragment_is_hardly_larger_than_its_units() -> None:
    """Under 300 bytes and 20 a unit."""
    muxer = Muxer(_ALAW.header())
    for fragment in fragments(_ALAW):
        stored = muxer.fragment(fragment)
        assert len(stored) < fragment.size_bytes + 300 + 20 * len(fragment.units)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"units": ()}, "no units"),
        ({"end_us": START_US - 1}, "span"),
        ({"start_us": -1}, "span"),
        ({"units": (_audio(START_US),)}, "no audio track"),
    ],
)
def test_an_unfit_fragment_is_refused_and_changes_nothing(
    change: dict[str, object], match: str
) -> None:
    muxer, untouched = Muxer(_FOOTAGE.header()), Muxer(_FOOTAGE.header())
    first, second = fragments(_FOOTAGE)
    assert muxer.fragment(first) == untouched.fragment(first)
    with pytest.raises(FragmentUnfit, match=match):
        muxer.fragment(replace(second, **change))  # type: ignore[arg-type]
    assert muxer.fragment(second) == untouched.fragment(second)


def test_pictures_more_than_half_an_hour_apart_are_refused() -> None:
    muxer = Muxer(_FOOTAGE.header())
    first, late = _FOOTAGE.units[0], replace(_FOOTAGE.units[1], pts_us=START_US + 4_000_000_000)
    units = (first, late)
    with pytest.raises(FragmentUnfit, match="half an hour"):
        muxer.fragment(Fragment(units=units, start_us=START_US, end_us=late.pts_us, is_key=True))


def test_a_hole_behind_the_last_picture_may_be_of_any_length() -> None:
    day_us = 86_400_000_000
    muxer = Muxer(_FOOTAGE.header())
    fragment = replace(fragments(_FOOTAGE)[0], end_us=START_US + day_us)
    stored = muxer.fragment(fragment)
    assert tuple(read_units(stored, _FOOTAGE.header())) == fragment.units


def test_audio_follows_its_samples_while_they_keep_wall_time() -> None:
    """A jitter of 3 ms in arrival is not heard: sample times are contiguous."""
    muxer = Muxer(_ALAW.header())
    units = [_audio(START_US + 20_000 * index + 3_000 * (index % 2)) for index in range(5)]
    stored = muxer.fragment(_sound(*units))
    assert _audio_ticks(stored) == [0, 160, 320, 480, 640, 800]
    assert read_units(stored, _ALAW.header()) == units


def test_audio_is_anchored_anew_when_it_strays() -> None:
    """Lost packets leave a hole; packets too many are pushed together, never backward."""
    muxer = Muxer(_ALAW.header())
    muxer.fragment(_sound(_audio(START_US)))
    late = muxer.fragment(_sound(_audio(START_US + 1_000_000)))
    assert _audio_ticks(late)[0] == 8000
    early = [_audio(START_US + 500_000), _audio(START_US + 500_000)]
    stored = muxer.fragment(_sound(*early))
    assert _audio_ticks(stored)[:2] == [8001, 8002]
    assert read_units(stored, _ALAW.header()) == early


def test_pictures_shown_before_the_segment_keep_their_times() -> None:
    """Leading pictures behind the key frame of an open GOP; players get no negative offset."""
    footage = encode(Codec.H265, frames=36, b_frames=2, open_gop=True)
    _first, second, _third = fragments(footage)
    header = replace(footage.header(), start_us=second.units[0].pts_us)
    assert min(unit.pts_us for unit in second.units) < header.start_us
    stored = Muxer(header).fragment(second)
    assert tuple(read_units(stored, header)) == second.units
    words = parse_moof(_moof(stored)).tracks[1].words
    assert max(offset for _, _, _, offset in words) < 1_000_000


def test_more_units_than_a_moof_may_list_are_refused() -> None:
    muxer = Muxer(_ALAW.header())
    with pytest.raises(FragmentUnfit, match="110000 units"):
        muxer.fragment(_sound(*[_audio(START_US, 0)] * 110_000))

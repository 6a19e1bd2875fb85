"""Cutting units into runs, segments and fragments."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retention import segmenter as segmenter_module
from retention.model import (
    US_PER_S,
    AccessUnit,
    AudioFormat,
    ClockState,
    Codec,
    EndReason,
    GapCause,
    MediaFormat,
    Track,
    VideoFormat,
)
from retention.segmenter import (
    Action,
    AppendFragment,
    AskKeyFrame,
    Hole,
    NewRun,
    OpenSegment,
    SealSegment,
    Segmenter,
    StartRun,
)
from retention.timebase import RunReason

T0 = 1_800_000_000 * US_PER_S
FRAME = 40_000
T = TypeVar("T")


def media_format(width: int = 640, *, audio: bool = True) -> MediaFormat:
    return MediaFormat(
        audio=AudioFormat(codec=Codec.ALAW, sample_rate_hz=8000, channels=1) if audio else None,
        video=VideoFormat(codec=Codec.H264, width=width, height=360, parameter_sets=(b"s", b"p")),
    )


def picture(at_us: int, *, key: bool = False, data: bytes = b"x") -> AccessUnit:
    return AccessUnit(track=Track.VIDEO, pts_us=T0 + at_us, is_key=key, data=data)


def sound(at_us: int, data: bytes = b"a") -> AccessUnit:
    return AccessUnit(track=Track.AUDIO, pts_us=T0 + at_us, is_key=True, data=data)


def stream(seconds: float, *, gop: int = 25, frame_us: int = FRAME) -> Iterator[AccessUnit]:
    for n in range(int(seconds * US_PER_S / frame_us)):
        yield picture(n * frame_us, key=n % gop == 0, data=str(n).encode())


def new_segmenter(**settings: int) -> Segmenter:
    ids = itertools.count(1)
    segmenter = Segmenter(
        camera="gate",
        next_number=settings.pop("next_number", 1),
        new_run=lambda skew_us: NewRun(run=f"{next(ids):032x}", clock=ClockState.TRUSTED),
        **settings,
    )
    segmenter.set_format(media_format())
    return segmenter


def cut(segmenter: Segmenter, units: Iterable[AccessUnit], *, end: bool = True) -> list[Action]:
    actions = [action for unit in units for action in segmenter.feed(unit)]
    return actions + (segmenter.end() if end else [])


def only(actions: Iterable[Action], kind: type[T]) -> list[T]:
    return [action for action in actions if isinstance(action, kind)]


def check(actions: list[Action]) -> None:
    """What holds of any sequence of actions: the recorder may rely on it."""
    run = open_segment = None
    end_us: int | None = None
    newest_number = 0
    for action in actions:
        match action:
            case StartRun():
                assert open_segment is None
                run, end_us = action.run, None
            case Hole():
                assert open_segment is None or action.cause is None
                assert action.end_us - action.start_us >= US_PER_S
                if end_us is not None:
                    assert action.start_us == end_us
                    end_us = action.end_us
            case OpenSegment():
                assert open_segment is None
                assert run is not None
                assert (action.header.run, action.header.format) == (run.run, run.format)
                assert action.header.number == newest_number + 1
                newest_number = action.header.number
                open_segment = action.header
                if end_us is None:
                    assert run.start_us == action.header.start_us
                else:
                    assert action.header.start_us == end_us
            case AppendFragment(fragment=fragment):
                assert open_segment is not None
                assert action.number == open_segment.number
                assert fragment.start_us < fragment.end_us
                assert fragment.is_key == fragment.units[0].is_key
                assert fragment.units[0].track is Track.VIDEO
                assert end_us is None or fragment.start_us == end_us
                end_us = fragment.end_us
            case SealSegment():
                assert open_segment is not None
                assert (action.number, action.end_us) == (open_segment.number, end_us)
                open_segment = None
            case AskKeyFrame():
                pass
    assert open_segment is None


def units_of(actions: list[Action]) -> list[AccessUnit]:
    return [u for action in only(actions, AppendFragment) for u in action.fragment.units]


def test_a_fragment_a_group_and_a_segment_a_minute() -> None:
    """Ten minutes at one group a second: every picture once, all seams exact."""
    fed = list(stream(600))
    actions = cut(new_segmenter(), fed)
    check(actions)
    assert units_of(actions) == fed
    fragments = [action.fragment for action in only(actions, AppendFragment)]
    assert [f.start_us for f in fragments] == [T0 + n * US_PER_S for n in range(600)]
    assert fragments[-1].end_us == T0 + 600 * US_PER_S
    assert all(f.is_key for f in fragments)
    headers = [action.header for action in only(actions, OpenSegment)]
    lengths = [b.start_us - a.start_us for a, b in itertools.pairwise(headers)]
    assert 30 * US_PER_S <= lengths[0] <= 90 * US_PER_S
    assert set(lengths[1:]) == {60 * US_PER_S}
    reasons = [action.reason for action in only(actions, SealSegment)]
    assert set(reasons[:-1]) == {EndReason.ROTATED}
    assert reasons[-1] is EndReason.RUN_ENDED
    assert len(only(actions, StartRun)) == 1


def test_cameras_close_at_different_seconds() -> None:
    """Each has its own offset in the minute."""
    ends = set()
    for camera in ("a", "b", "c", "d"):
        segmenter = new_segmenter()
        segmenter.camera = camera
        segmenter.__post_init__()
        ends.add(only(cut(segmenter, stream(200)), SealSegment)[0].end_us)
    assert len(ends) == 4


def test_a_fragment_comes_out_one_picture_after_its_last() -> None:
    """What a crash costs is the group in hand, not one more."""
    segmenter = new_segmenter()
    cut(segmenter, (picture(n * FRAME, key=n == 0) for n in range(25)), end=False)
    assert segmenter.feed(picture(25 * FRAME, key=True)) == []
    assert len(only(segmenter.feed(picture(26 * FRAME)), AppendFragment)) == 1


def test_a_session_begins_at_its_first_key_frame() -> None:
    """What nothing can decode is dropped and counted, and a key frame asked for."""
    segmenter = new_segmenter()
    actions = cut(segmenter, [sound(0), *(picture(n * FRAME) for n in range(150))], end=False)
    assert actions == [AskKeyFrame(missing_us=5 * US_PER_S)]
    assert segmenter.dropped_units == 151
    actions = cut(segmenter, [picture(10 * US_PER_S, key=True)])
    assert [type(action) for action in actions] == [
        StartRun,
        OpenSegment,
        AppendFragment,
        SealSegment,
    ]


def test_units_without_a_format_are_dropped() -> None:
    """Nothing is written that no decoder could be set up for."""
    segmenter = new_segmenter()
    segmenter.end()
    assert cut(segmenter, stream(3)) == []
    assert segmenter.dropped_units == 75


def test_long_groups_are_cut_in_time_and_size() -> None:
    """4 s or 4 MiB of a group at most; only the first part is marked as key."""
    fed = list(stream(30, gop=750))
    actions = cut(new_segmenter(), fed)
    check(actions)
    fragments = [action.fragment for action in only(actions, AppendFragment)]
    assert [f.end_us - f.start_us for f in fragments] == [4 * US_PER_S] * 7 + [2 * US_PER_S]
    assert [f.is_key for f in fragments] == [True] + [False] * 7
    big = [picture(n * FRAME, key=n == 0, data=bytes(1024 * 1024)) for n in range(20)]
    fragments = [a.fragment for a in only(cut(new_segmenter(), big), AppendFragment)]
    assert [len(f.units) for f in fragments] == [4] * 5


def test_reordered_pictures_meet_exactly() -> None:
    """B-frames, also those shown before the key frame they follow: seams stand between pictures."""
    shown = [0, *(k + d for k in range(0, 300, 3) for d in (3, 1, 2))]
    fed = [picture(k * FRAME, key=k % 30 == 0) for k in shown]
    for gop in (30, 300):
        fed = [picture(k * FRAME, key=k % gop == 0) for k in shown]
        actions = cut(new_segmenter(), fed)
        check(actions)
        assert units_of(actions) == fed
        for action in only(actions, AppendFragment):
            fragment = action.fragment
            times = [unit.pts_us for unit in fragment.units]
            assert fragment.start_us == min(times)
            assert fragment.end_us - max(times) == FRAME


def test_no_key_frame_is_asked_for_then_cut_and_flagged() -> None:
    """120 s: asked, and again; 300 s: a new segment that begins without one."""
    actions = cut(new_segmenter(), stream(700, gop=10**9, frame_us=200_000))
    check(actions)
    assert len(only(actions, AskKeyFrame)) == 4
    seals = only(actions, SealSegment)
    assert [seal.reason for seal in seals] == [
        EndReason.NO_KEY_FRAME,
        EndReason.NO_KEY_FRAME,
        EndReason.RUN_ENDED,
    ]
    assert seals[0].end_us - T0 == 300 * US_PER_S


def test_new_parameter_sets_begin_a_run_at_their_key_frame() -> None:
    """Nothing is lost or moved by a change of resolution; the same format again changes nothing."""
    segmenter = new_segmenter()
    fed = list(stream(10))
    actions = cut(segmenter, fed[:120], end=False)
    segmenter.set_format(media_format())
    actions += cut(segmenter, fed[120:130], end=False)
    segmenter.set_format(media_format(1280))
    actions += cut(segmenter, fed[130:])
    check(actions)
    assert units_of(actions) == fed
    runs = only(actions, StartRun)
    assert [(r.reason, r.run.format.video.width) for r in runs] == [
        (RunReason.SESSION, 640),
        (RunReason.FORMAT, 1280),
    ]
    assert runs[1].run.start_us == fed[150].pts_us
    seals = only(actions, SealSegment)
    assert (seals[0].reason, seals[0].end_us) == (EndReason.FORMAT, fed[150].pts_us)


@pytest.mark.parametrize("lost", [0, 70])
@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_stepped_clock_begins_a_run_and_loses_nothing(step_s: int, lost: int) -> None:
    """In the middle of a group; only pictures that are missing leave a hole, told on the new
    clock."""
    segmenter = new_segmenter()
    fed = list(stream(10))
    actions = cut(segmenter, fed[:130], end=False)
    moved = [
        AccessUnit(track=u.track, pts_us=u.pts_us + step_s * US_PER_S, is_key=u.is_key, data=u.data)
        for u in fed[130 + lost :]
    ]
    actions += segmenter.feed(
        moved[0], RunReason.CLOCK, step_us=step_s * US_PER_S, skew_us=step_s * US_PER_S
    )
    actions += cut(segmenter, moved[1:])
    check([action for action in actions if not isinstance(action, Hole)])
    assert units_of(actions) == fed[:130] + moved
    assert [r.reason for r in only(actions, StartRun)] == [RunReason.SESSION, RunReason.CLOCK]
    assert only(actions, SealSegment)[0].reason is EndReason.CLOCK
    holes = only(actions, Hole)
    assert [hole.cause for hole in holes] == ([GapCause.CLOCK_STEPPED] if lost else [])
    for hole in holes:
        assert hole.start_us == fed[130].pts_us + step_s * US_PER_S
        assert hole.end_us == moved[0].pts_us


def test_a_run_knows_the_clock_of_its_first_picture() -> None:
    """Though it is handed out when the clock stands elsewhere."""
    told: list[int] = []

    def new_run(skew_us: int) -> NewRun:
        told.append(skew_us)
        clock = ClockState.UNTRUSTED if skew_us else ClockState.TRUSTED
        return NewRun(run=f"{len(told):032x}", clock=clock, epoch=7 + skew_us)

    segmenter = Segmenter(camera="gate", next_number=1, new_run=new_run)
    segmenter.set_format(media_format())
    fed = list(stream(4))
    actions = segmenter.feed(fed[0], RunReason.SESSION, skew_us=0)
    actions += [one for unit in fed[1:30] for one in segmenter.feed(unit)]
    actions += segmenter.feed(fed[30], RunReason.CLOCK, step_us=0, skew_us=3)
    actions += cut(segmenter, fed[31:])
    runs = [start.run for start in only(actions, StartRun)]
    assert [(run.clock, run.epoch) for run in runs] == [
        (ClockState.TRUSTED, 7),
        (ClockState.UNTRUSTED, 10),
    ]


def test_when_trust_ends_the_next_key_frame_begins_a_run_without_a_seam() -> None:
    segmenter = new_segmenter()
    fed = list(stream(10))
    actions = cut(segmenter, fed[:130], end=False)
    segmenter.renew()
    actions += cut(segmenter, fed[130:])
    check(actions)
    assert units_of(actions) == fed
    starts = only(actions, StartRun)
    assert [start.reason for start in starts] == [RunReason.SESSION, RunReason.TRUST]
    key_us = next(unit.pts_us for unit in fed[130:] if unit.is_key)
    assert starts[1].run.start_us == key_us
    assert only(actions, SealSegment)[0].end_us == key_us
    assert only(actions, Hole) == []


def test_a_hole_is_told_and_cut_at_a_key_frame() -> None:
    """A second or more without pictures; less is none."""
    fed = list(stream(20))
    for first, last, holes in ((130, 160, 1), (130, 175, 1), (130, 150, 0)):
        left = fed[:first] + fed[last:]
        actions = cut(new_segmenter(), left)
        check(actions)
        assert units_of(actions) == left
        told = only(actions, Hole)
        assert len(told) == holes
        if told:
            assert told[0] == Hole(start_us=fed[first].pts_us, end_us=fed[last].pts_us, cause=None)
        seals = 2 if fed[last].is_key and holes else 1
        assert len(only(actions, SealSegment)) == seals


def test_audio_goes_with_the_pictures_and_not_alone() -> None:
    """When the video stops, its fragment comes out and the audio after it is dropped."""
    segmenter = new_segmenter()
    fed = [u for n in range(50) for u in (picture(n * FRAME, key=n == 0), sound(n * FRAME))]
    late = [sound(2 * US_PER_S + n * FRAME) for n in range(250)]
    actions = cut(segmenter, fed + late, end=False)
    assert len(only(actions, AppendFragment)) == 1
    assert units_of(actions) == fed + late[: len(units_of(actions)) - 100]
    assert segmenter.dropped_units == 350 - len(units_of(actions))
    actions += cut(segmenter, [picture(20 * US_PER_S, key=True)])
    check(actions)
    assert len(only(actions, Hole)) == 1


def test_audio_without_a_track_is_dropped() -> None:
    """A format that tells of no audio makes a file without an audio track."""
    segmenter = new_segmenter()
    segmenter.set_format(media_format(audio=False))
    actions = cut(segmenter, [picture(0, key=True), sound(0), picture(FRAME)])
    assert [unit.track for unit in units_of(actions)] == [Track.VIDEO] * 2
    assert segmenter.dropped_units == 1


def test_the_key_frame_interval_is_measured() -> None:
    """For the metric, and for a person who set a group of 30 s."""
    segmenter = new_segmenter()
    cut(segmenter, stream(10, gop=50), end=False)
    assert segmenter.key_interval_us == 2 * US_PER_S


steps = st.tuples(
    st.sampled_from(["picture"] * 6 + ["key", "key", "sound", "format", "run", "end"]),
    st.integers(-200_000, 400_000) | st.integers(-US_PER_S, 12 * US_PER_S),
    st.integers(1, 64),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=50), st.integers(US_PER_S, 60 * US_PER_S))
@example([("key", 0, 1), ("picture", -350380, 1), ("key", 0, 1), ("picture", 1350380, 1)], US_PER_S)
def test_whatever_comes_every_unit_comes_out_once_in_order(
    script: list[tuple[str, int, int]], segment_us: int
) -> None:
    """Any order of pictures, audio, formats, runs and ends; nothing lost after a key frame."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter_module, "FRAGMENT_BYTES", 200)
        segmenter = new_segmenter(segment_us=segment_us)
        actions: list[Action] = []
        fed: list[AccessUnit] = []
        at = 0
        for number, (what, step, size) in enumerate(script):
            at += step
            data = str(number).encode().ljust(size)
            match what:
                case "format":
                    segmenter.set_format(media_format(640 + size))
                case "end":
                    actions += segmenter.end()
                    segmenter.set_format(media_format())
                case "sound":
                    fed.append(sound(at, data))
                    actions += segmenter.feed(fed[-1])
                case _:
                    fed.append(picture(at, key=what == "key", data=data))
                    actions += segmenter.feed(fed[-1], RunReason.CLOCK if what == "run" else None)
        actions += segmenter.end()
    check(actions)
    out = units_of(actions)
    assert len(out) + segmenter.dropped_units == len(fed)
    numbers = [int(unit.data) for unit in out]
    assert numbers == sorted(set(numbers))
    assert all(
        sum(len(u.data) for u in a.fragment.units) <= 400 for a in only(actions, AppendFragment)
    )

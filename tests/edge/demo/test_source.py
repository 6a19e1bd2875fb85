"""edge.demo.source: live pictures and loops."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from edge.demo import source, units
from edge.demo.picture import Painter
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.source import LoopSource
from retention.model import US_PER_S, Codec, Track

_PLAN = StreamPlan(width=320, height=180, gop_frames=10)


def test_a_loop_goes_round_with_rising_times() -> None:
    loop = source.painted_loop(_PLAN, 2)
    assert len(loop.units) == 20
    player = LoopSource(loop)
    found = [one for tick in range(45) for one in player.produce(tick, 0)]
    assert [one.pts_us for one in found] == [tick * 100_000 for tick in range(45)]
    assert found[0].unit is found[20].unit
    assert [at for at, one in enumerate(found) if one.unit.is_key] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_a_planned_bit_rate_is_reached(codec: Codec) -> None:
    plan = StreamPlan(codec=codec, width=320, height=180, bit_rate=1_000_000)
    loop = source.painted_loop(plan, 4)
    bits = 8 * sum(len(nal) for one in loop.units for nal in one.unit.nals)
    assert 700_000 < bits / (len(loop.units) / plan.fps) < 1_300_000


def test_one_plan_is_encoded_once_for_all_cameras() -> None:
    assert source.painted_loop(_PLAN, 2) is source.painted_loop(_PLAN, 2)


def test_cameras_of_one_loop_do_not_send_their_key_frames_together() -> None:
    plan = CameraPlan(id="a", loop_seconds=2, stream=_PLAN)
    players = [source.video_source(plan, hue=number) for number in range(10)]
    keys = [[p.produce(tick, 0)[0].unit.is_key for p in players] for tick in range(10)]
    assert [sum(row) for row in keys] == [1] * 10


def test_stamped_units_are_all_different_and_keep_their_picture() -> None:
    loop = source.painted_loop(_PLAN, 2)
    player = LoopSource(loop, stamp=True)
    found = [player.produce(tick, 0)[0].unit for tick in range(60)]
    assert len({one.sha256 for one in found}) == 60
    for tick, one in enumerate(found):
        plain = loop.units[tick % 20].unit
        assert tuple(nal for nal in one.nals if nal in plain.nals) == plain.nals


def test_b_frames_keep_their_times_across_the_seam() -> None:
    plan = StreamPlan(width=320, height=180, gop_frames=10, b_frames=2)
    player = LoopSource(source.painted_loop(plan, 2))
    times = [player.produce(tick, 0)[0].pts_us for tick in range(60)]
    assert times != sorted(times)
    assert sorted(times) == [tick * 100_000 for tick in range(60)]


def test_a_key_frame_is_fetched_when_it_is_far() -> None:
    plan = StreamPlan(width=320, height=180, gop_frames=50)
    player = LoopSource(source.painted_loop(plan, 10))
    assert player.produce(0, 0)[0].unit.is_key
    player.ask_key_frame()
    assert player.produce(1, 0)[0].unit.is_key
    player.ask_key_frame()  # none is near, so skip again
    assert player.produce(2, 0)[0].unit.is_key


def test_a_near_key_frame_is_waited_for() -> None:
    player = LoopSource(source.painted_loop(_PLAN, 2))
    player.produce(0, 0)
    player.ask_key_frame()
    assert not player.produce(1, 0)[0].unit.is_key


def test_a_live_source_gives_a_key_frame_when_asked() -> None:
    plan = StreamPlan(width=320, height=180, gop_frames=300)
    live = source.video_source(CameraPlan(id="a", stream=plan), hue=0)
    keys = []
    for tick in range(6):
        if tick == 3:
            live.ask_key_frame()
        keys.append(live.produce(tick, 0)[0].unit.is_key)
    assert keys == [True, False, False, True, False, False]


def test_sound_is_a_loop_of_its_own() -> None:
    plan = CameraPlan(id="a", stream=StreamPlan(audio=Codec.ALAW))
    sound = source.audio_source(plan)
    assert sound is not None
    assert sound.interval_us == Fraction(40_000)
    assert sound.produce(0, 0)[0].unit.track is Track.AUDIO
    assert source.audio_source(CameraPlan(id="a")) is None


def test_a_file_is_looped_from_its_first_key_frame(tmp_path: Path) -> None:
    path = _write_video(tmp_path)
    loop = source.file_loop(str(path))
    assert (loop.format.codec, loop.interval_us) == (Codec.H264, Fraction(US_PER_S, 10))
    assert len(loop.units) == 20
    assert loop.units[0].unit.is_key
    nals = loop.units[0].unit.nals
    assert [units.is_parameter_set(Codec.H264, nal) for nal in nals].count(True) == 2
    bare = source.file_loop(str(path), inband_parameter_sets=False).units[0].unit.nals
    assert not any(units.is_parameter_set(Codec.H264, nal) for nal in bare)


def test_an_empty_loop_is_refused() -> None:
    loop = source.painted_loop(_PLAN, 2)
    with pytest.raises(ValueError, match="at least one"):
        LoopSource(source.Loop(format=loop.format, interval_us=loop.interval_us, units=()))


def _write_video(folder: Path) -> Path:
    """An MP4 as other programs write it: parameter sets in the header, lengths before units."""
    path = folder / "small.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"x264-params": "keyint=10"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        painter = Painter(name="file", width=320, height=180, hue=0)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(painter.paint(number, 0), format="yuv420p")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path

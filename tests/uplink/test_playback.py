"""Playback as a state machine over a stored stream: what is sent, in which order, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.model import US_PER_S, AccessUnit, Codec, MediaFormat, Track, VideoFormat
from retention.read import StoredUnit
from tests.support.playback_oracle import Oracle
from uplink.mansrtsp import Method, PlaybackRequest
from uplink.outgoing import OutgoingTimes
from uplink.playback import From, Placed, Playback

T0 = 1_700_000_000 * US_PER_S
FRAME_US = 40_000
FORMAT = MediaFormat(
    video=VideoFormat(codec=Codec.H264, width=64, height=48, parameter_sets=(b"s", b"p"))
)


def stored(
    pts_us: int, *, key: bool = False, run: str = "a", track: Track = Track.VIDEO
) -> StoredUnit:
    unit = AccessUnit(track=track, pts_us=T0 + pts_us, is_key=key, data=str(pts_us).encode())
    return StoredUnit(format=FORMAT, run=run, unit=unit)


def stream(seconds: int, gop: int = 25, holes: Sequence[tuple[int, int]] = ()) -> list[StoredUnit]:
    """Pictures at 25 a second, a key frame every ``gop``; none in the holes (seconds)."""
    units = []
    since_key = 0
    for n in range(seconds * 25):
        if any(first * 25 <= n < last * 25 for first, last in holes):
            since_key = gop
            continue
        is_key = since_key % gop == 0
        since_key = 1 if is_key else since_key + 1
        units.append(stored(n * FRAME_US, key=is_key))
    return units


class Source:
    """Units of a stream as the shell reads them."""

    def __init__(self, units: list[StoredUnit]) -> None:
        self.units = units

    def read(self, place: From, to_us: int) -> Iterator[StoredUnit]:
        keys = [n for n, one in enumerate(self.units) if one.unit.is_key]
        before = [n for n in keys if self.units[n].unit.pts_us <= place.at_us]
        if not place.is_reverse:
            for one in self.units[self._first(before, place.at_us) :]:
                if one.unit.pts_us < to_us:
                    yield one
            return
        yield from self._back(keys, before, place.at_us, to_us)

    def _first(self, before: list[int], at_us: int) -> int:
        """The key frame at or before an instant; from inside a gap the next one."""
        shown = [n for n, one in enumerate(self.units) if one.unit.pts_us <= at_us]
        if shown and at_us >= self.units[shown[-1]].unit.pts_us + FRAME_US:
            return shown[-1] + 1
        return before[-1] if before else 0

    def _back(
        self, keys: list[int], before: list[int], at_us: int, to_us: int
    ) -> Iterator[StoredUnit]:
        end_us = at_us + 1
        for key in reversed(before):
            following = next((n for n in keys if n > key), len(self.units))
            for one in self.units[key:following]:
                if one.unit.pts_us < end_us:
                    yield one
            end_us = self.units[key].unit.pts_us
            if end_us <= to_us:
                return


def play(
    playback: Playback, source: Source, script: Sequence[tuple[int, PlaybackRequest]] = ()
) -> list[Placed]:
    """Send everything; requests come after so many sent pictures in all."""
    requests = list(script)
    sent: list[Placed] = []
    units = source.read(playback.begin(), playback.to_us)
    while True:
        if requests and len(sent) >= requests[0][0]:
            place = playback.control(requests.pop(0)[1])
            if place is not None:
                units = source.read(place, playback.to_us)
            continue
        one = next(units, None)
        if one is None:
            if not requests:
                return sent
            requests[0] = (0, requests[0][1])
            continue
        placed = playback.place(one, 0)
        if placed is not None:
            playback.sent(placed)
            sent.append(placed)


def request(scale: float | None = None, from_s: float | None = None) -> PlaybackRequest:
    return PlaybackRequest(method=Method.PLAY, cseq="1", scale=scale, from_s=from_s)


def seconds_of(sent: list[Placed]) -> list[float]:
    return [round((one.stored.unit.pts_us - T0) / US_PER_S, 3) for one in sent]


def playback(start_s: float, end_s: float, speed: float | None = None) -> Playback:
    return Playback(
        start_us=T0 + round(start_s * US_PER_S),
        end_us=T0 + round(end_s * US_PER_S),
        download_speed=speed,
    )


def test_a_range_is_sent_from_the_key_frame_before_it_to_its_end() -> None:
    sent = play(playback(1.5, 3), Source(stream(10)))
    assert seconds_of(sent) == [round(1 + n * 0.04, 3) for n in range(50)]
    steps = {b.pts - a.pts for a, b in zip(sent, sent[1:], strict=False)}
    assert steps == {3600}


def test_a_gap_leaves_no_hole_in_the_time_stamps() -> None:
    sent = play(playback(0, 100), Source(stream(100, holes=[(2, 60)])))
    assert len(sent) == 42 * 25
    steps = {b.pts - a.pts for a, b in zip(sent, sent[1:], strict=False)}
    assert steps == {3600}


def test_behind_a_hole_sending_goes_on_at_a_key_frame() -> None:
    units = [one for n, one in enumerate(stream(10)) if not 30 <= n < 60]
    sent = play(playback(0, 10), Source(units))
    assert seconds_of(sent)[30] == 3.0  # pictures 60 to 74 have lost what they build on


def test_double_speed_halves_the_time_stamps() -> None:
    sent = play(playback(0, 10), Source(stream(10)), [(50, request(scale=2))])
    assert len(sent) == 250
    steps = [b.pts - a.pts for a, b in zip(sent, sent[1:], strict=False)]
    assert set(steps[:49]) == {3600}
    assert set(steps[50:]) == {1800}


def test_key_frames_alone_from_eight_times_on_and_back() -> None:
    """Back at normal speed it goes on behind the key frame shown last: none lost, none twice."""
    script = [(25, request(scale=8)), (28, request(scale=1))]
    sent = play(playback(0, 6), Source(stream(6)), script)
    found = seconds_of(sent)
    assert found[:25] == [round(n * 0.04, 3) for n in range(25)]
    assert found[25:28] == [1.0, 2.0, 3.0]
    assert found[28:] == [round(3.04 + n * 0.04, 3) for n in range(74)]
    assert sent[27].pts - sent[26].pts == 90_000 // 8


def test_key_frames_alone_above_the_link_s_speed() -> None:
    """Never at the recorded speed or below it."""
    thin = playback(0, 6)
    thin.scale_max = 3.0
    sent = play(thin, Source(stream(6)), [(25, request(scale=2)), (50, request(scale=4))])
    assert seconds_of(sent)[:50] == [round(n * 0.04, 3) for n in range(50)]
    assert seconds_of(sent)[50:] == [2.0, 3.0, 4.0, 5.0]
    thinner = playback(0, 3)
    thinner.scale_max = 0.1
    assert len(play(thinner, Source(stream(3)), [(5, request(scale=0.5))])) == 75


def test_reverse_by_whole_groups_and_forward_again() -> None:
    script = [(60, request(scale=-1)), (95, request(scale=1))]
    sent = play(playback(0, 5), Source(stream(5)), script)
    found = seconds_of(sent)
    assert found[59] == 2.36
    assert found[60:70] == [round(2 + n * 0.04, 3) for n in range(10)]  # up to the position
    assert found[70:95] == [round(1 + n * 0.04, 3) for n in range(25)]
    assert found[95:] == [round(2 + n * 0.04, 3) for n in range(75)]
    assert all(b.pts > a.pts for a, b in zip(sent, sent[1:], strict=False))


def test_reverse_ends_at_the_start() -> None:
    sent = play(playback(1, 5), Source(stream(5)), [(30, request(scale=-1))])
    assert seconds_of(sent)[-25:] == [round(1 + n * 0.04, 3) for n in range(25)]


def test_a_seek_begins_at_a_key_frame_and_time_goes_on() -> None:
    sent = play(playback(2, 9), Source(stream(10)), [(10, request(from_s=5.5))])
    assert seconds_of(sent)[9:11] == [2.36, 7.0]
    assert sent[10].pts - sent[9].pts == 3600
    assert seconds_of(sent)[-1] == 8.96


def test_pause_keeps_everything_and_resume_is_due_at_once() -> None:
    session = playback(0, 5)
    source = Source(stream(5)).read(session.begin(), session.to_us)
    first = session.place(next(source), 0)
    assert first is not None
    assert session.due_us(first, 1_000_000) == 700_000
    assert session.control(PlaybackRequest(method=Method.PAUSE, cseq="")) is None
    assert session.is_paused
    assert session.control(request()) is None
    assert not session.is_paused
    second = session.place(next(source), 0)
    assert second is not None
    assert session.due_us(second, 900_000_000) == 899_700_000


def test_pacing_holds_over_hours_and_a_late_sender_does_not_hurry() -> None:
    session = playback(0, 36_000)
    first = session.place(stored(0, key=True), 0)
    assert first is not None
    begin_us = session.due_us(first, 0)
    last = None
    for n in range(1, 25 * 600):
        last = session.place(stored(n * FRAME_US), 0)
    assert last is not None
    assert session.due_us(last, begin_us) - begin_us == (25 * 600 - 1) * FRAME_US
    late_us = begin_us + 2 * 3600 * US_PER_S
    assert session.due_us(last, late_us) == late_us


def test_a_download_keeps_recorded_time_and_sound_and_is_only_faster() -> None:
    units = [
        one
        for n in range(50)
        for one in (stored(n * FRAME_US, key=n % 25 == 0), stored(n * FRAME_US, track=Track.AUDIO))
    ]
    session = playback(0, 2, speed=4.0)
    placed = [session.place(one, 0) for one in units]
    sent = [one for one in placed if one is not None]
    assert len(sent) == 100
    assert sent[98].pts - sent[0].pts == 49 * 3600
    assert sent[1].pts == sent[0].pts
    begin_us = session.due_us(sent[0], 0)
    assert session.due_us(sent[98], 0) - begin_us == 49 * FRAME_US // 4


def test_sound_is_dropped_at_other_speeds() -> None:
    session = playback(0, 2)
    session.control(request(scale=2))
    assert session.place(stored(0, key=True), 0) is not None
    assert session.place(stored(0, track=Track.AUDIO), 0) is None


controls = st.one_of(
    st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, -1.0]).map(lambda s: request(scale=s)),
    st.floats(0, 40).map(lambda s: request(from_s=s)),
    st.just(PlaybackRequest(method=Method.PAUSE, cseq="")),
    st.just(request()),
)


@given(
    st.lists(st.tuples(st.integers(0, 60), controls), max_size=8),
    st.sampled_from([[], [(5, 12)], [(3, 4), (20, 30)]]),
)
def test_whatever_is_asked_what_is_sent_can_be_decoded_and_time_rises(
    asked: list[tuple[int, PlaybackRequest]], holes: list[tuple[int, int]]
) -> None:
    units = stream(40, holes=holes)
    order = {one.unit.pts_us: n for n, one in enumerate(units)}
    script, total = [], 0
    for count, what in asked:
        total += count
        script.append((total, what))
    sent = play(playback(0, 40), Source(units), script)
    decoded: set[int] = set()
    before: int | None = None
    for one in sent:
        place = order[one.stored.unit.pts_us]
        assert one.stored.unit.is_key or place - 1 in decoded
        if one.stored.unit.is_key:
            decoded.clear()  # only what follows it in its group builds on it
        decoded.add(place)
        if before is not None:
            assert one.pts > before
        before = one.pts


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 40), controls), max_size=8),
    st.sampled_from([[], [(5, 12)], [(3, 4), (20, 30)]]),
)
def test_each_order_of_commands_sends_just_what_it_says(
    asked: list[tuple[int, PlaybackRequest]], holes: list[tuple[int, int]]
) -> None:
    units = stream(40, holes=holes)
    script, total = [], 0
    for count, what in asked:
        total += count
        script.append((total, what))
    sent = play(playback(0, 40), Source(units), script)
    keys = [n for n, one in enumerate(units) if one.unit.is_key]
    due = Oracle([one.unit.pts_us - T0 for one in units], keys, 40, FRAME_US).due(script)
    order = {one.unit.pts_us: n for n, one in enumerate(units)}
    assert [order[one.stored.unit.pts_us] for one in sent] == due


@given(st.lists(st.integers(-5, 40), min_size=1, max_size=60), st.integers(0, 4))
def test_decode_times_rise_and_come_before_presentation(steps: list[int], depth: int) -> None:
    times = OutgoingTimes()
    times.restart(depth)
    at_us, last = T0, 0
    for step in steps:
        at_us += step * 10_000
        pts, dts = times.picture(at_us)
        assert last < dts <= pts
        last = dts


def test_reordered_pictures_keep_their_times() -> None:
    """I P B B: with the depth known, presentation is as recorded."""
    times = OutgoingTimes()
    times.restart(1)
    shown = [0, 3, 1, 2, 6, 4, 5]
    found = [times.picture(T0 + n * FRAME_US) for n in shown]
    assert [pts - found[0][0] for pts, _ in found] == [n * 3600 for n in shown]
    assert [dts for _, dts in found] == sorted(dts for _, dts in found)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_restart_follows_by_one_picture(depth: int) -> None:
    times = OutgoingTimes()
    times.restart(depth)
    for n in range(10):
        newest, _ = times.picture(T0 + n * FRAME_US)
    times.restart(depth)
    assert times.picture(T0 + 3600 * US_PER_S)[0] - newest == 3600

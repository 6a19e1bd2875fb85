"""Placing units in wall time."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.model import US_PER_S, ReceivedUnit, Track
from retention.timebase import JUMPS_MAX, Placement, RunClock, RunReason

UTC0 = 1_800_000_000 * US_PER_S
MONO0 = 5_000 * US_PER_S
FRAME = 40_000


def unit(
    at_us: int,
    media_us: int | None,
    *,
    track: Track = Track.VIDEO,
    stepped_us: int = 0,
) -> ReceivedUnit:
    """A unit that arrives ``at_us`` after the beginning."""
    return ReceivedUnit(
        track=track,
        media_us=media_us,
        arrival_utc_us=UTC0 + at_us + stepped_us,
        arrival_monotonic_us=MONO0 + at_us,
        is_key=False,
        is_damaged=False,
        data=b"x",
    )


def run(units: Iterable[ReceivedUnit], clock: RunClock | None = None) -> list[Placement]:
    clock = clock or RunClock()
    out = [placement for received in units for placement in clock.place(received)]
    return out + clock.end()


def video(placements: Iterable[Placement]) -> list[int]:
    return [p.unit.pts_us - UTC0 for p in placements if p.unit.track is Track.VIDEO]


def reasons(placements: Iterable[Placement]) -> list[RunReason]:
    return [p.new_run for p in placements if p.new_run is not None]


def test_spacing_is_the_cameras_and_epoch_the_hosts() -> None:
    """Jittered arrivals do not move pictures; the earliest arrival says when it is."""
    jitter = [30_000, 10_000, 25_000, 0, 17_000]
    placed = run(unit(n * FRAME + jitter[n % 5], 777 + n * FRAME) for n in range(1000))
    assert video(placed) == [n * FRAME for n in range(1000)]
    assert reasons(placed) == [RunReason.SESSION]


def test_a_burst_at_the_start_does_not_bias_the_epoch() -> None:
    """Two seconds of pictures that come at once are placed back where they were taken."""
    placed = run(unit(max(n * FRAME, 2 * US_PER_S), n * FRAME) for n in range(200))
    assert video(placed) == [n * FRAME for n in range(200)]


def test_a_stall_moves_nothing() -> None:
    """The network stands still for five seconds, then delivers all of it."""
    placed = run(unit(8 * US_PER_S if 75 <= n < 200 else n * FRAME, n * FRAME) for n in range(1000))
    assert video(placed) == [n * FRAME for n in range(1000)]
    assert reasons(placed) == [RunReason.SESSION]


def test_pictures_dropped_in_a_stall_leave_a_hole_of_their_length() -> None:
    """A camera that drops while stalled goes on at the right time."""
    numbers = [n for n in range(500) if not 100 <= n < 250]
    placed = run(unit(n * FRAME, n * FRAME) for n in numbers)
    assert video(placed) == [n * FRAME for n in numbers]


def test_drift_is_slewed_and_never_stepped() -> None:
    """A camera 300 ppm slow is followed: ten minutes on, the error stays below 120 ms."""
    placed = run(unit(n * 100_000 * 10_003 // 10_000, n * 100_000) for n in range(6000))
    times = video(placed)
    assert reasons(placed) == [RunReason.SESSION]
    assert abs(times[-1] - 5999 * 100_000 * 10_003 // 10_000) < 120_000
    assert all(abs(b - a - 100_000) <= 50 for a, b in zip(times, times[1:], strict=False))


def test_a_stepped_host_clock_begins_a_run() -> None:
    """The step is reported, and nothing of the old run is moved."""
    stepped = -3600 * US_PER_S
    placed = run(
        unit(n * FRAME, n * FRAME, stepped_us=stepped if n >= 100 else 0) for n in range(200)
    )
    assert video(placed) == [n * FRAME + (stepped if n >= 100 else 0) for n in range(200)]
    assert reasons(placed) == [RunReason.SESSION, RunReason.CLOCK]
    assert [p.step_us for p in placed if p.new_run is RunReason.CLOCK] == [stepped]


def test_a_camera_that_sets_its_time_stamps_begins_a_run() -> None:
    """Forward or backward, the pictures go on in wall time."""
    for jump in (10**10, -(10**10), 2 * US_PER_S, -2 * US_PER_S):
        placed = run(
            unit(n * FRAME, 10**11 + n * FRAME + (jump if n >= 100 else 0)) for n in range(200)
        )
        assert video(placed) == [n * FRAME for n in range(200)], jump
        assert reasons(placed) == [RunReason.SESSION, RunReason.CAMERA]


def test_one_mad_time_stamp_costs_no_picture() -> None:
    """A single outlier is a run of its own, placed where it arrived."""
    placed = run(unit(n * FRAME, n * FRAME + (10**9 if n == 100 else 0)) for n in range(200))
    assert video(placed) == [n * FRAME for n in range(200)]


def test_mad_time_stamps_are_given_up() -> None:
    """After a few jumps the camera is placed by arrival, in one run, until its session ends."""
    clock = RunClock()
    placed = run((unit(n * FRAME, n * 7_919_777_777 % 10**12) for n in range(500)), clock)
    assert len(reasons(placed)) <= 1 + JUMPS_MAX
    times = video(placed)
    assert len(times) == 500
    assert all(abs(at - n * FRAME) <= 1000 for n, at in enumerate(times))
    assert reasons(run((unit(n * FRAME, n * FRAME) for n in range(50)), clock)) == ["session"]


def test_missing_time_stamps_are_filled() -> None:
    """Some missing: the camera's spacing; all missing: arrival."""
    some = run(unit(n * FRAME, None if n % 7 == 3 else n * FRAME) for n in range(200))
    assert video(some) == [n * FRAME for n in range(200)]
    none = run(unit(n * FRAME, None) for n in range(200))
    assert video(none) == [n * FRAME for n in range(200)]
    assert reasons(none) == [RunReason.SESSION]


def test_repeated_time_stamps_are_moved_apart() -> None:
    """No two pictures share an instant, and none is dropped."""
    times = video(run(unit(n * FRAME, n // 2 * 2 * FRAME) for n in range(200)))
    assert len(set(times)) == 200
    assert times == sorted(times)


def test_reordered_pictures_keep_their_times() -> None:
    """B-frames go back in time without beginning a run, also at one picture a second."""
    for interval in (FRAME, US_PER_S):
        order = [0, *(k + d for k in range(0, 300, 3) for d in (3, 1, 2))]
        placed = run(unit(n * interval, k * interval) for n, k in enumerate(order))
        assert reasons(placed) == [RunReason.SESSION]
        times = video(placed)
        assert [at - times[0] for at in times] == [k * interval for k in order]


def test_audio_shares_the_mapping() -> None:
    """Lips keep their sync through a burst, a stall and a jump of both tracks."""

    def units() -> Iterable[ReceivedUnit]:
        for n in range(600):
            at = 8 * US_PER_S if 75 <= n < 200 else max(n * FRAME, US_PER_S)
            media = n * FRAME + (10**10 if n >= 400 else 0)
            yield unit(at, media)
            yield unit(at, media + 5_000, track=Track.AUDIO)

    placed = run(units())
    assert video(placed) == [n * FRAME for n in range(600)]
    audio = [p.unit.pts_us - UTC0 for p in placed if p.unit.track is Track.AUDIO]
    assert audio == [n * FRAME + 5_000 for n in range(600)]


def test_audio_trouble_never_begins_a_run() -> None:
    """Audio on another epoch, or jumping, is anchored to its arrival; video is not touched."""

    def units() -> Iterable[ReceivedUnit]:
        for n in range(600):
            yield unit(n * FRAME, n * FRAME)
            epoch = 10**12 if n < 300 else -(10**12)
            yield unit(n * FRAME, epoch + n * FRAME, track=Track.AUDIO)

    placed = run(units())
    assert reasons(placed) == [RunReason.SESSION]
    audio = [p.unit.pts_us - UTC0 for p in placed if p.unit.track is Track.AUDIO]
    assert audio == [n * FRAME for n in range(600)]


def test_audio_before_the_first_picture_is_dropped_and_counted() -> None:
    """It has no mapping and no segment to go to."""
    clock = RunClock()
    assert not clock.place(unit(0, 0, track=Track.AUDIO))
    assert clock.dropped_units == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * US_PER_S),
            st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5 * US_PER_S),
            st.sampled_from(Track),
            st.sampled_from([0, 0, 0, 3600 * US_PER_S, -3600 * US_PER_S]),
        ),
        max_size=60,
    )
)
def test_any_input_is_placed_once_in_order(
    steps: list[tuple[int, int | None, Track, int]],
) -> None:
    """Whatever a camera and a clock do: no unit lost or doubled, no instant used twice in a run."""
    clock, at, stepped, units = RunClock(), 0, 0, []
    for number, (wait, media, track, step) in enumerate(steps):
        at, stepped = at + wait, stepped + step
        received = unit(at, media, track=track, stepped_us=stepped)
        object.__setattr__(received, "data", str(number).encode())
        units.append(received)
    placed = run(units, clock)
    assert len(placed) + clock.dropped_units == len(units)
    numbers = [int(p.unit.data) for p in placed]
    assert numbers == sorted(set(numbers))
    seen: set[tuple[Track, int]] = set()
    for placement in placed:
        if placement.new_run is not None:
            seen.clear()
        key = (placement.unit.track, placement.unit.pts_us)
        assert key not in seen
        seen.add(key)
        arrival = units[int(placement.unit.data)].arrival_utc_us
        assert abs(placement.unit.pts_us - arrival) < 300 * US_PER_S

"""What goes and why: the band, the floor, holds, pressure; and properties over random stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.holds import Hold
from retention.model import US_PER_S
from retention.policy import (
    BATCH_US,
    DAY_US,
    Band,
    Candidate,
    Deletion,
    Plan,
    Reason,
    Room,
    Rules,
    hold_on,
    plan,
)

HOUR_US = 3_600 * US_PER_S
NOW = 1_800_000_000 * US_PER_S
MB = 1_000_000
BAND = Band(min_us=90 * DAY_US, max_us=97 * DAY_US)
#: As a share of what a volume of 1,000 MB can hold: pressure of a breach begins below 125 MB.
FULL_MB, ROOMY_MB = 100, 500


class ListShelf:
    """A shelf of values; counts what was looked at."""

    def __init__(self, segments: Iterable[Candidate]) -> None:
        self.segments = sorted(segments, key=lambda one: (one.camera, one.number))
        self.seen = 0

    def by_time(self, camera: str, from_us: int) -> Iterator[Candidate]:
        found = [one for one in self.segments if one.camera == camera and one.start_us >= from_us]
        for one in sorted(found, key=lambda one: (one.start_us, one.number)):
            self.seen += 1
            yield one

    def by_number(self, camera: str) -> Iterator[Candidate]:
        for one in self.segments:
            if one.camera == camera:
                self.seen += 1
                yield one


def segment(
    number: int,
    age_days: float,
    *,
    camera: str = "gate",
    volume: str = "a",
    size_mb: int = 10,
    is_time_known: bool = True,
) -> Candidate:
    """An hour of footage whose end is so old."""
    end_us = NOW - int(age_days * DAY_US)
    return Candidate(
        camera=camera,
        number=number,
        volume=volume,
        start_us=end_us - HOUR_US,
        end_us=end_us,
        size_bytes=size_mb * MB,
        is_time_known=is_time_known,
    )


def room(volume: str = "a", free_mb: int = ROOMY_MB, **other: bool) -> Room:
    return Room(
        volume=volume,
        capacity_bytes=1_100 * MB,
        free_bytes=(100 + free_mb) * MB,
        reserve_bytes=100 * MB,
        is_writable=other.pop("is_writable", True),
        **other,
    )


@dataclass
class World:
    segments: list[Candidate] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=lambda: [room()])
    holds: list[Hold] = field(default_factory=list)
    rules: Rules = field(default_factory=lambda: Rules(band=BAND))
    removed: frozenset[str] = frozenset()
    is_time_trusted: bool = True
    turn_segments: int = 1_000

    def plan(self) -> Plan:
        return plan(
            cameras=sorted({one.camera for one in self.segments}),
            removed=self.removed,
            shelf=ListShelf(self.segments),
            rooms=self.rooms,
            holds=self.holds,
            rules=self.rules,
            trusted_us=NOW if self.is_time_trusted else None,
            bytes_per_s=0,
            turn_segments=self.turn_segments,
        )


def chosen(found: Plan) -> list[tuple[int, Reason]]:
    return [(deletion.segment.number, deletion.reason) for deletion in found.deletions]


# By age ------------------------------------------------------------------------------------------


def test_what_is_over_the_band_goes_and_nothing_else() -> None:
    world = World([segment(1, 99), segment(2, 98), segment(3, 96.9), segment(4, 1)])
    assert chosen(world.plan()) == [(1, Reason.AGE), (2, Reason.AGE)]


def test_age_is_that_of_the_end() -> None:
    """A segment whose start is over the band stays until its end is."""
    world = World([replace(segment(1, 97), end_us=NOW - 97 * DAY_US + 1)])
    world.segments.append(segment(2, 98))
    assert chosen(world.plan()) == [(2, Reason.AGE)]


def test_deletions_by_age_come_in_batches() -> None:
    just = 97 + (BATCH_US - 2) / DAY_US
    assert chosen(World([segment(1, just)]).plan()) == []
    world = World([segment(1, 97 + BATCH_US / DAY_US), segment(2, just), segment(3, 97)])
    assert [number for number, _ in chosen(world.plan())] == [1, 2, 3]


def test_a_camera_may_have_a_band_of_its_own() -> None:
    rules = Rules(band=BAND, bands={"gate": Band(min_us=180 * DAY_US, max_us=200 * DAY_US)})
    world = World([segment(1, 150), segment(2, 150, camera="yard")], rules=rules)
    assert [one.segment.camera for one in world.plan().deletions] == ["yard"]


def test_footage_of_a_removed_camera_goes_past_its_floor() -> None:
    world = World([segment(1, 91), segment(2, 89)], removed=frozenset({"gate"}))
    assert chosen(world.plan()) == [(1, Reason.REMOVED)]


def test_while_time_is_not_trusted_nothing_is_due() -> None:
    world = World([segment(1, 5000)], removed=frozenset({"gate"}), is_time_trusted=False)
    assert chosen(world.plan()) == []


def test_footage_of_an_unknown_time_is_never_due() -> None:
    world = World([segment(1, 20_000, is_time_known=False), segment(2, 98)])
    assert chosen(world.plan()) == [(2, Reason.AGE)]


def test_a_turn_is_bounded() -> None:
    world = World([segment(number, 200 - number) for number in range(50)], turn_segments=20)
    found = world.plan()
    assert len(found.deletions) == 20
    assert found.is_cut


# Holds -------------------------------------------------------------------------------------------


def hold(camera: str, from_us: int, to_us: int, expires_us: int | None = None) -> Hold:
    return Hold(
        id="h1",
        camera=camera,
        from_us=from_us,
        to_us=to_us,
        case="2026-17",
        requester="Wang",
        unit="",
        reason="theft",
        expires_us=expires_us,
        added_us=0,
        added_by="Li",
    )


def held(from_days: float, to_days: float, camera: str = "gate") -> Hold:
    """Held from so many days ago to so many days ago."""
    return hold(camera, NOW - int(from_days * DAY_US), NOW - int(to_days * DAY_US))


def test_what_is_held_stays_and_what_is_not_goes() -> None:
    world = World(
        [segment(1, 120), segment(2, 110), segment(3, 105), segment(4, 99)],
        holds=[held(111, 104)],
    )
    assert chosen(world.plan()) == [(1, Reason.AGE), (4, Reason.AGE)]


def test_a_hold_without_a_camera_holds_them_all() -> None:
    world = World(
        [segment(1, 110), segment(2, 110, camera="yard")], holds=[held(111, 104, camera="")]
    )
    assert chosen(world.plan()) == []
    world.holds = [held(111, 104, camera="yard")]
    assert [one.segment.camera for one in world.plan().deletions] == ["gate"]


def test_what_is_touched_in_part_is_held_whole() -> None:
    one = segment(1, 100)
    inside = hold("gate", one.end_us - 1, one.end_us + 5)
    assert hold_on([inside], one) is inside
    assert hold_on([hold("gate", one.end_us, one.end_us + 5)], one) is None


def test_a_hold_expires_on_trusted_time_only() -> None:
    expired = hold("gate", NOW - 120 * DAY_US, NOW, expires_us=NOW - 1)
    world = World([segment(1, 110)], rooms=[room("a", 0)], holds=[expired])
    assert chosen(world.plan()) == [(1, Reason.AGE)]
    world.is_time_trusted = False
    assert chosen(world.plan()) == []


def test_a_long_hold_is_stepped_over() -> None:
    """What is held is not looked at one by one."""
    segments = [segment(number, 400 - number / 24) for number in range(5_000)]
    world = World(segments, holds=[held(399, 200)])
    shelf = ListShelf(segments)
    found = plan(
        cameras=["gate"],
        removed=frozenset(),
        shelf=shelf,
        rooms=world.rooms,
        holds=world.holds,
        rules=world.rules,
        trusted_us=NOW,
        bytes_per_s=0,
    )
    assert shelf.seen < len(found.deletions) + 10


# Pressure ----------------------------------------------------------------------------------------


def test_while_no_rate_is_known_no_large_disk_is_emptied() -> None:
    large = replace(room(), capacity_bytes=4_000_000 * MB, free_bytes=100 * MB)
    segments = [segment(n, 80 - n / 100, size_mb=50) for n in range(1, 100)]
    found = World(segments, rooms=[large]).plan()
    assert 0 < sum(one.segment.size_bytes for one in found.deletions) < 350 * MB


def test_no_pressure_while_one_volume_has_room() -> None:
    world = World(
        [segment(1, 95), segment(2, 10)],
        rooms=[room("a", FULL_MB), room("b", ROOMY_MB)],
    )
    found = world.plan()
    assert (chosen(found), found.is_pressed) == ([], False)


def test_the_oldest_over_the_floor_go_first_whatever_their_camera() -> None:
    segments = [segment(n, 96 - n / 10, size_mb=20) for n in range(1, 6)]
    segments += [segment(n, 96.05 - n / 10, camera="yard", size_mb=20) for n in range(1, 6)]
    world = World(segments, rooms=[room("a", FULL_MB)])
    found = world.plan()
    assert {one.reason for one in found.deletions} == {Reason.OVER_FLOOR}
    order = [one.segment.end_us for one in found.deletions]
    assert order == sorted(order)
    assert {one.segment.camera for one in found.deletions} == {"gate", "yard"}
    assert not found.is_short


def test_under_the_floor_only_as_a_breach_and_only_as_much_as_it_takes() -> None:
    segments = [segment(n, 80 - n, size_mb=10) for n in range(1, 40)]
    found = World(segments, rooms=[room("a", FULL_MB)]).plan()
    assert chosen(found) == [(n, Reason.OVERWRITTEN) for n in range(1, 16)]  # 100 MB to 250 MB
    assert all(one.is_breach for one in found.deletions)


def test_what_is_over_the_floor_goes_before_the_first_breach() -> None:
    segments = [segment(1, 92, size_mb=30), *(segment(n, 80 - n) for n in range(2, 30))]
    found = World(segments, rooms=[room("a", 100)]).plan()
    assert chosen(found) == [(1, Reason.OVER_FLOOR)]


def test_stop_deletes_nothing_under_the_floor() -> None:
    rules = Rules(band=BAND, overwrites=False)
    found = World([segment(1, 92), segment(2, 80)], rooms=[room("a", 1)], rules=rules).plan()
    assert chosen(found) == [(1, Reason.OVER_FLOOR)]
    assert found.is_short


def test_while_time_is_not_trusted_pressure_goes_by_segment_order_as_a_breach() -> None:
    """A clock that jumped ahead, or begins in 1970, does not say which footage is old."""
    segments = [segment(1, 30), segment(2, 20_000, is_time_known=False), segment(3, 200)]
    world = World(segments, rooms=[room("a", 0)], is_time_trusted=False)
    assert chosen(world.plan()) == [(n, Reason.OVERWRITTEN) for n in (1, 2, 3)]


def test_held_footage_goes_under_no_pressure() -> None:
    segments = [segment(1, 80), segment(2, 70), segment(3, 20_000, is_time_known=False)]
    world = World(segments, rooms=[room("a", 0)], holds=[held(81, 75)])
    found = world.plan()
    assert chosen(found) == [(2, Reason.OVERWRITTEN)]  # the third might be the held one
    assert found.is_short


def test_what_is_under_way_counts_as_done() -> None:
    full = replace(room("a", FULL_MB), under_way_bytes=100 * MB)
    assert chosen(World([segment(1, 80)], rooms=[full]).plan()) == []


def test_a_retiring_volume_neither_presses_nor_relieves() -> None:
    segments = [segment(1, 96, volume="old"), segment(2, 95, volume="a", size_mb=500)]
    rooms = [room("a", FULL_MB), room("old", ROOMY_MB, is_retiring=True)]
    assert chosen(World(segments, rooms=rooms).plan()) == [(2, Reason.OVER_FLOOR)]


def test_a_volume_that_is_away_has_no_room() -> None:
    rooms = [room("a", FULL_MB), room("b", ROOMY_MB, is_writable=False)]
    assert chosen(World([segment(1, 80, size_mb=500)], rooms=rooms).plan()) == [
        (1, Reason.OVERWRITTEN)
    ]
    assert World([segment(1, 80)], rooms=[room("b", is_writable=False)]).plan() == Plan()


def test_a_reserve_that_others_have_eaten_into_is_given_back_first() -> None:
    found = World([segment(n, 95) for n in range(100)], rooms=[room("a", -50)]).plan()
    assert sum(one.segment.size_bytes for one in found.deletions) > (50 + 1_000 / 4) * MB


def test_a_full_volume_gets_so_much_that_it_heals() -> None:
    full = replace(room("a", 0), heal_bytes=200 * MB)
    found = World([segment(n, 95) for n in range(100)], rooms=[full]).plan()
    assert sum(one.segment.size_bytes for one in found.deletions) > 200 * MB


# Properties --------------------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn) -> World:
    cameras = ["gate", "yard", "hall"][: draw(st.integers(1, 3))]
    volumes = ["a", "b", "c"][: draw(st.integers(1, 3))]
    segments = []
    for camera in cameras:
        age_days = draw(st.floats(0, 130))
        for number in range(draw(st.integers(0, 25))):
            age_days = max(0.0, age_days - draw(st.floats(0.01, 8)))
            jump_days = draw(st.sampled_from([0, 0, 0, 0, 0, 20_000, -4_000]))
            segments.append(
                segment(
                    number,
                    age_days + jump_days,
                    camera=camera,
                    volume=draw(st.sampled_from(volumes)),
                    size_mb=draw(st.integers(1, 40)),
                    is_time_known=jump_days == 0 and draw(st.integers(0, 9)) > 0,
                )
            )
    holds = [
        held(begin, end, camera)
        for camera, begin, end in draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["", *cameras]), st.floats(60, 130), st.floats(0, 59)
                ).map(lambda one: (one[0], one[1], one[1] - one[2] / 2 - 0.01)),
                max_size=2,
            )
        )
    ]
    return World(
        segments=segments,
        rooms=[
            room(
                volume,
                draw(st.sampled_from([0, 5, 40, FULL_MB, 200, ROOMY_MB])),
                is_writable=draw(st.integers(0, 4)) > 0,
                is_retiring=draw(st.integers(0, 4)) == 0,
            )
            for volume in volumes
        ],
        holds=holds,
        rules=Rules(
            band=BAND,
            bands={"yard": Band(min_us=100 * DAY_US, max_us=100 * DAY_US)},
            overwrites=draw(st.booleans()),
        ),
        removed=frozenset(draw(st.sets(st.sampled_from(cameras)))),
        is_time_trusted=draw(st.integers(0, 3)) > 0,
    )


def is_past_floor(world: World, one: Candidate) -> bool:
    known = world.is_time_trusted and one.is_time_known
    return known and one.end_us + world.rules.band_of(one.camera).min_us <= NOW


def left_mb(world: World, deletions: Iterable[Deletion]) -> dict[str, float]:
    gone = list(deletions)
    return {
        one.volume: (
            one.left_bytes
            + sum(d.segment.size_bytes for d in gone if d.segment.volume == one.volume)
        )
        / MB
        for one in world.rooms
        if one.is_writable and not one.is_retiring
    }


@given(worlds())
@settings(max_examples=400)
def test_properties_of_every_plan(world: World) -> None:
    found = world.plan()
    deleted = {(one.segment.camera, one.segment.number) for one in found.deletions}
    assert len(deleted) == len(found.deletions)
    breaches = [one for one in found.deletions if one.is_breach]
    for deletion in found.deletions:
        assert hold_on(world.holds, deletion.segment) is None
        if not deletion.is_breach:
            assert is_past_floor(world, deletion.segment)
    # Whatever is over its band by a batch and not held is gone.
    for one in world.segments:
        band = world.rules.band_of(one.camera)
        kept_us = band.min_us if one.camera in world.removed else band.max_us
        is_due = is_past_floor(world, one) and one.end_us + kept_us <= NOW - BATCH_US
        if is_due and hold_on(world.holds, one) is None:
            assert (one.camera, one.number) in deleted
    counted = left_mb(world, [])
    if breaches:
        assert world.rules.overwrites
        # A breach comes last, from volumes that count, and is as small as it can be.
        others = [each for each in found.deletions if not each.is_breach]
        assert all(left <= 1_000 / 8 for left in left_mb(world, others).values())
        for one in world.segments:
            if is_past_floor(world, one) and one.volume in counted:
                assert (one.camera, one.number) in deleted or hold_on(world.holds, one)
        last = left_mb(world, found.deletions[:-1])
        usable_mb = 1_000 * len(counted)
        assert sum(last.values()) < usable_mb / 4 or all(
            left <= 1_000 / 8 for left in last.values()
        )
        # By segment order: nothing older of the camera that may go is left.
        for breach in breaches:
            assert breach.segment.volume in counted
            for other in world.segments:
                is_older = (
                    other.camera == breach.segment.camera and other.number < breach.segment.number
                )
                if is_older and other.volume in counted:
                    assert (other.camera, other.number) in deleted or hold_on(world.holds, other)
    # Recording is never left without room that could have been made.
    left = left_mb(world, found.deletions)
    if left and all(have <= 1_000 / 8 for have in left.values()):
        assert found.is_short
        for one in world.segments:
            may_go = one.volume in counted and hold_on(world.holds, one) is None
            if may_go and (world.rules.overwrites or is_past_floor(world, one)):
                assert (one.camera, one.number) in deleted

"""The judge of the host's clock: each story of its docstring, and years of random ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.model import US_PER_S, Epoch, GapCause
from retention.trusted_time import (
    ALLOWANCE_US,
    RELEASED_US,
    SERVED_US,
    SLEW_AT_ONCE_US,
    STRAY_US,
    TOLERANCE_US,
    Change,
    Code,
    DateImpossible,
    Judgement,
    Past,
    Reading,
    Retiming,
    Sample,
    Source,
    TrustedTime,
    retimings,
    told_due_us,
)

S = US_PER_S
HOUR = 3600 * S
DAY = 24 * HOUR
YEAR = 365 * DAY
T0 = 1_795_478_400 * S
#: What a truthful source may be off, with the age of its reading: 100 ppm of six hours, and more.
TRUE_WITHIN_US = 4 * S


@dataclass
class Box:
    """A box and what is true: time, its oscillator, who says what."""

    true_us: int = T0
    raw_us: int = 0
    ppm: int = 0  # of the oscillator
    utc_us: int = T0
    monotonic_us: int = 0
    boot: int = 1
    #: What a source is off by; one that is not here says nothing.
    says: dict[Source, int] = field(default_factory=dict)
    judge: TrustedTime | None = None
    epochs: dict[int, Epoch] = field(default_factory=dict)
    told: list[Change] = field(default_factory=list)
    #: Footage: its epoch, when it was recorded on the host's clock, and in truth.
    footage: list[tuple[int, int, int]] = field(default_factory=list)

    def sample(self) -> Sample:
        readings = {
            source: Reading(utc_us=self.true_us + off_us, raw_us=self.raw_us)
            for source, off_us in self.says.items()
        }
        return Sample(
            utc_us=self.utc_us,
            monotonic_us=self.monotonic_us,
            raw_us=self.raw_us,
            readings=readings,
        )

    def start(self) -> Judgement:
        """Start the service, with what the last one left."""
        last = max(self.epochs.values(), key=lambda one: one.id, default=None)
        state = None if self.judge is None else json.loads(json.dumps(self.judge.state()))
        past = Past(
            state=state,
            last_epoch=last,
            ended_us=None if state is None else state["utc_us"],
            cause=GapCause.POWER_LOST,
        )
        sample = self.sample()
        self.judge = TrustedTime(f"boot-{self.boot}", past, sample)
        return self._heard(self.judge.judgement(sample))

    def look(self) -> Judgement:
        assert self.judge is not None
        return self._heard(self.judge.look(self.sample()))

    def confirm(self) -> Judgement:
        assert self.judge is not None
        return self._heard(self.judge.confirm(self.sample()))

    def _heard(self, judgement: Judgement) -> Judgement:
        assert self.judge is not None
        assert told_due_us(self.judge.state()) == judgement.due_us
        for change in self.judge.take_changes():
            self.told.append(change)
            if change.is_new:
                last = max(self.epochs, default=0)
                assert change.epoch.id == last + 1
                if last:
                    self.epochs[last] = _ended(self.epochs[last], change.previous_end_us)
            self.epochs[change.epoch.id] = change.epoch
        self.footage.append((judgement.epoch.id, self.utc_us, self.true_us))
        return judgement

    def pass_time(self, us: int, slew_ppm: int = 0) -> None:
        """The host's clock goes as the oscillator does, and ``slew_ppm`` faster."""
        raw_us = us + us * self.ppm // S
        self.true_us += us
        self.raw_us += raw_us
        moved_us = raw_us + raw_us * slew_ppm // S
        self.monotonic_us += moved_us
        self.utc_us += moved_us

    def step(self, by_us: int) -> None:
        self.utc_us += by_us

    def power_cut(self, off_us: int, clock_us: int | None = None) -> None:
        """Off for a while; the clock it starts with (None: a good one)."""
        if self.judge is not None:
            self.look()
        self.true_us += off_us
        self.utc_us = self.utc_us + off_us if clock_us is None else clock_us
        self.raw_us = self.monotonic_us = 20 * S
        self.boot += 1

    def ntp(self, off_us: int | None = 0) -> None:
        """NTP sets the clock, by a step if need be, and says so; or is gone (None)."""
        self.says.pop(Source.NTP, None)
        if off_us is not None:
            self.utc_us = self.true_us + off_us
            self.says[Source.NTP] = off_us


def _ended(epoch: Epoch, end_us: int | None) -> Epoch:
    from dataclasses import replace

    return replace(epoch, end_us=end_us)


def started(**says: int) -> Box:
    """A new box whose time two sources confirmed, and that now hears nothing but ``says``."""
    box = Box(says={Source.NTP: 0, Source.PLATFORM: 0})
    assert box.start().code is Code.AGREED
    box.says = {Source(name): off_us for name, off_us in says.items()}
    return box


# Stories ---------------------------------------------------------------------------------------


def test_a_new_box_waits_for_ntp_and_believes_it() -> None:
    box = Box()
    first = box.start()
    assert (first.is_trusted, first.code, first.due_us) == (False, Code.UNCONFIRMED, None)
    box.pass_time(60 * S)
    box.ntp()
    now = box.look()
    assert (now.is_trusted, now.code, now.due_us) == (True, Code.FIRST_START, box.utc_us)
    assert now.epoch.id == first.epoch.id  # no step: what was recorded meanwhile is of the same
    assert [(change.is_new, change.is_trusted) for change in box.told] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("year", [1970, 2000, 2038, 2047])
def test_a_box_that_starts_in_another_age_is_put_right_by_ntp(year: int) -> None:
    box = Box(utc_us=round((year - 1970) * 365.25) * DAY)
    assert box.start().code in (Code.IMPOSSIBLE, Code.UNCONFIRMED)
    if year in (1970, 2000, 2047):
        box.says = dict.fromkeys(Source, box.utc_us - box.true_us)  # nobody's word helps
        assert box.look().code is Code.IMPOSSIBLE
        assert box.judge is not None
        with pytest.raises(DateImpossible):
            box.judge.confirm(box.sample())
    box.says = {}
    box.pass_time(60 * S)
    box.ntp()
    assert box.look().is_trusted
    (found,) = retimings(list(box.epochs.values()))
    epoch, host_us, true_us = box.footage[0]
    assert (found.epoch, found.is_estimated) == (epoch, False)
    assert host_us + found.offset_us == true_us


def test_the_life_of_the_program_bounds_every_date() -> None:
    for utc_us, good in (
        (RELEASED_US - 1, False),
        (RELEASED_US, True),
        (RELEASED_US + SERVED_US - 1, True),
        (RELEASED_US + SERVED_US, False),
    ):
        box = Box(true_us=utc_us, utc_us=utc_us, says={Source.NTP: 0, Source.PLATFORM: 0})
        assert box.start().is_trusted is good


@pytest.mark.parametrize("off_us", [0, 5 * 60 * S, 3 * HOUR, 20 * HOUR])
def test_a_restart_is_believed_once_one_source_agrees(off_us: int) -> None:
    box = started()
    box.pass_time(HOUR)
    box.power_cut(off_us)
    first = box.start()
    assert (first.is_trusted, first.code) == (False, Code.UNCONFIRMED)
    box.pass_time(30 * S)
    box.ntp()
    now = box.look()
    assert (now.is_trusted, now.code) == (True, Code.RESTARTED)
    assert now.due_us is not None
    assert 0 <= box.true_us - now.due_us - off_us <= 1 * S  # judged as if it had not been off


def test_a_dead_battery_is_put_right_by_ntp_within_the_allowance() -> None:
    box = started()
    box.power_cut(2 * HOUR, clock_us=0)
    assert box.start().code is Code.IMPOSSIBLE
    box.pass_time(300 * S)
    box.ntp()
    assert box.look().code is Code.RESTARTED
    assert [one.is_estimated for one in retimings(list(box.epochs.values()))] == [False]


def test_days_of_being_off_wait_for_a_second_source_or_a_person() -> None:
    for mend in ("platform", "person"):
        box = started()
        box.power_cut(3 * DAY)
        box.start()
        box.ntp()
        assert box.look().code is Code.JUMPED
        if mend == "platform":
            box.says[Source.PLATFORM] = 10 * S
            assert box.look().code is Code.AGREED
        else:
            assert box.confirm().code is Code.CONFIRMED
        assert box.look().is_trusted


def test_the_allowance_is_a_purse() -> None:
    """Ten power cuts of five hours, and NTP that says the clock is right each time."""
    box = started()
    trusted = []
    for _ in range(10):
        box.power_cut(5 * HOUR)
        box.start()
        box.ntp()
        trusted.append(box.look().is_trusted)
    assert trusted == [True] * 4 + [False] * 6
    box.says[Source.CAMERAS] = -20 * S
    assert box.look().is_trusted


@pytest.mark.parametrize("by_us", [HOUR, -HOUR, YEAR, -YEAR, 5 * 60 * S, -11 * S, 11 * S])
def test_a_step_while_running_ends_trust_until_it_is_undone(by_us: int) -> None:
    box = started()
    box.pass_time(HOUR)
    before = box.look()
    box.step(by_us)
    now = box.look()
    assert now.code in (Code.JUMPED, Code.SET_BACK, Code.IMPOSSIBLE)
    assert (now.is_trusted, now.due_us) == (False, None)
    assert now.epoch.id == before.epoch.id + 1
    box.pass_time(HOUR)
    assert not box.look().is_trusted
    box.step(-by_us)
    again = box.look()
    assert (again.is_trusted, again.code) == (True, Code.CONTINUED)
    (found,) = retimings(list(box.epochs.values()))
    assert (found.offset_us, found.is_estimated) == (-by_us, False)


def test_one_source_does_not_explain_a_jump_two_do() -> None:
    for power_cut in (True, False):
        box = started()
        if power_cut:
            box.power_cut(60 * S, clock_us=box.utc_us + 60 * S + YEAR)
            box.start()
        else:
            box.step(YEAR)
        box.says = {Source.NTP: YEAR}
        assert box.look().code is Code.JUMPED
        box.says = {Source.NTP: YEAR, Source.PLATFORM: 0}
        assert box.look().code is Code.JUMPED
        box.says = {Source.NTP: YEAR, Source.PLATFORM: 0, Source.CAMERAS: 0}
        assert box.look().code is Code.CONTRADICTED
        box.says = {Source.NTP: YEAR, Source.PLATFORM: YEAR, Source.CAMERAS: 0}
        assert box.look().code is Code.AGREED  # that two lie alike cannot be told


@pytest.mark.parametrize(
    ("one_us", "other_us", "code"),
    [
        (0, 30 * S, Code.AGREED),  # within 30 s of the clock and of one another
        (-15 * S, 15 * S, Code.AGREED),
        (-20 * S, 20 * S, Code.JUMPED),  # each of them near to the clock, but not to the other
        (-30 * S, 1, Code.JUMPED),
        (0, 30 * S + 1, Code.JUMPED),
        (HOUR, HOUR + 40 * S, Code.JUMPED),  # nor do these two contradict the clock together
        (HOUR, HOUR + 20 * S, Code.CONTRADICTED),
    ],
)
def test_two_sources_count_only_where_they_agree_with_one_another(
    one_us: int, other_us: int, code: Code
) -> None:
    """A jump is explained by two that are within 30 s of the clock and of one another."""
    for one, other in permutations(Source, 2):
        box = started()
        box.step(YEAR)
        box.says = {one: YEAR + one_us, other: YEAR + other_us}
        found = box.look()
        assert (found.code, found.is_trusted) == (code, code is Code.AGREED)


def test_two_against_the_clock_end_trust_without_a_step() -> None:
    box = started()
    before = box.look()
    box.says = {Source.PLATFORM: HOUR, Source.CAMERAS: HOUR + 20 * S}
    now = box.look()
    assert (now.is_trusted, now.code) == (False, Code.CONTRADICTED)
    assert now.epoch.id == before.epoch.id + 1  # footage of from now on is not of a trusted time
    assert now.epoch.skew_us == before.epoch.skew_us
    assert box.confirm().is_trusted
    box.pass_time(60 * S)
    assert box.look().is_trusted  # a person overruled them
    box.says = {Source.PLATFORM: 2 * HOUR, Source.CAMERAS: 2 * HOUR}
    assert box.look().code is Code.CONTRADICTED


def test_spoofed_ntp_that_slews_fast_is_found_out_and_a_slow_one_gains_nothing_in_age() -> None:
    box = started(ntp=0)
    for _ in range(400):
        box.pass_time(60 * S, slew_ppm=5000)
        box.says[Source.NTP] = box.utc_us - box.true_us
        now = box.look()
        if not now.is_trusted:
            break
        assert now.due_us is not None
        assert now.due_us <= box.true_us
    assert now.code is Code.JUMPED
    assert box.utc_us - box.true_us < SLEW_AT_ONCE_US + STRAY_US + 10 * S


def test_a_bad_oscillator_under_good_ntp_stays_trusted_for_a_year() -> None:
    for ppm in (-100, 100):
        box = started(ntp=0)
        box.ppm = ppm
        for _ in range(365 * 4):
            box.pass_time(6 * HOUR, slew_ppm=-ppm)
            box.says[Source.NTP] = box.utc_us - box.true_us
            now = box.look()
            assert now.is_trusted
        assert now.due_us is not None
        assert 0 <= box.true_us - now.due_us < 2 * HOUR


def test_a_reading_is_taken_along_and_grows_old() -> None:
    box = started()
    sample = box.sample()
    reading = Reading(utc_us=box.true_us + 7 * S, raw_us=box.raw_us)

    def offset_us(after_us: int) -> int | None:
        later = Sample(
            utc_us=sample.utc_us + after_us + HOUR,  # stepped meanwhile
            monotonic_us=sample.monotonic_us + after_us,
            raw_us=sample.raw_us + after_us,
            readings={Source.PLATFORM: reading},
        )
        assert box.judge is not None
        return box.judge.look(later).offsets_us.get(Source.PLATFORM)

    assert offset_us(60 * S) == 7 * S - HOUR
    assert offset_us(7 * HOUR) is None


def test_an_estimate_is_as_late_as_it_can_have_been() -> None:
    """Two boots in 1970 with hours of nothing between them, then a good clock."""
    box = started()
    box.power_cut(HOUR, clock_us=0)
    box.start()
    box.pass_time(600 * S)
    box.look()
    box.power_cut(5 * HOUR, clock_us=0)
    box.start()
    box.step(100 * S)
    box.look()
    box.pass_time(600 * S)
    box.look()
    box.power_cut(2 * HOUR, clock_us=box.true_us + 2 * HOUR)
    box.says = {Source.NTP: 0, Source.PLATFORM: 0}
    assert box.start().is_trusted
    found = {one.epoch: one for one in retimings(list(box.epochs.values()))}
    assert sorted(found) == [2, 3, 4]
    assert all(one.is_estimated for one in found.values())
    at_us = [
        host_us + found[epoch].offset_us for epoch, host_us, _ in box.footage if epoch in found
    ]
    assert at_us == sorted(at_us)
    for place, (epoch, host_us, true_us) in enumerate(box.footage):
        if epoch in found:
            assert host_us + found[epoch].offset_us >= true_us, place
    assert at_us[-1] == box.true_us


def test_nothing_is_re_timed_before_anything_is_known() -> None:
    box = Box(utc_us=0)
    box.start()
    assert retimings(list(box.epochs.values())) == []


def test_a_stretch_is_found_by_its_skew() -> None:
    box = started()
    before = box.sample().skew_us
    box.step(HOUR)
    box.look()
    assert box.judge is not None
    assert box.judge.epoch_of(before)[1] is True
    assert box.judge.epoch_of(box.sample().skew_us)[1] is False
    assert box.judge.epoch_of(before + 77 * HOUR)[1] is False


@pytest.mark.parametrize("state", [{}, {"boot": 1}, {"boot": "boot-1", "raw_us": "x"}])
def test_a_damaged_state_is_as_none(state: dict[str, Any]) -> None:
    sample = Box().sample()
    judge = TrustedTime("boot-1", Past(state=state, known_us=T0 - HOUR), sample)
    assert not judge.judgement(sample).is_trusted


def test_without_a_state_the_newest_footage_bounds_time() -> None:
    """An index rebuilt from the volumes: a clock behind its own footage is wrong."""
    box = Box(says={Source.NTP: 0})
    for known_us, code in (
        (T0 - HOUR, Code.RESTARTED),
        (T0 - 40 * DAY, Code.JUMPED),
        (T0 + HOUR, Code.SET_BACK),
    ):
        judge = TrustedTime("boot-1", Past(known_us=known_us), box.sample())
        assert judge.judgement(box.sample()).code is code


# Years of random histories ---------------------------------------------------------------------

DURATIONS = st.sampled_from([S, 5 * S, 61 * S, HOUR, 7 * HOUR, DAY, 10 * DAY, 60 * DAY])
AMOUNTS = st.one_of(
    st.integers(-3 * YEAR, 3 * YEAR),
    st.integers(-2 * DAY, 2 * DAY),
    st.integers(-90 * S, 90 * S),
)
SMALL_ERRORS = st.integers(-2 * S, 2 * S)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), DURATIONS, st.sampled_from([0, 0, 50, -50, 500, -500, 80_000])),
        st.tuples(st.just("step"), AMOUNTS),
        st.tuples(st.just("power"), DURATIONS, st.sampled_from(["good", "stopped", "1970", "odd"])),
        st.tuples(st.just("restart"), DURATIONS),
        st.tuples(st.just("sources"), st.sets(st.sampled_from(list(Source)))),
        st.tuples(st.just("ntp")),
    ),
    max_size=25,
)


@dataclass
class History(Box):
    """A box with one source that may lie; the others are right within two seconds."""

    liar: Source | None = None
    lie_us: int = 0
    errors_us: dict[Source, int] = field(default_factory=dict)

    def off_us(self, source: Source) -> int:
        return self.lie_us if source is self.liar else self.errors_us.get(source, 0)

    def live(self, event: tuple[Any, ...]) -> Judgement:
        match event:
            case ("pass", us, slew_ppm):
                for _ in range(3):
                    self.pass_time(us // 3, slew_ppm)
                    self._refresh()
                    self.look()
            case ("step", by_us):
                self.step(by_us)
                self.says.pop(Source.NTP, None)  # the kernel knows that it was not NTP's doing
            case ("power", off_us, kind):
                at_us = {"good": None, "stopped": self.utc_us, "1970": 0}.get(
                    kind, self.utc_us + self.lie_us
                )
                self.power_cut(off_us, at_us)
                self.says.pop(Source.NTP, None)
                self._refresh()
                return self.start()
            case ("restart", us):
                self.pass_time(us)
                self._refresh()
                return self.start()
            case ("sources", heard):
                self.says = {source: 0 for source in heard if source is not Source.NTP}
            case ("ntp",):
                self.ntp(self.off_us(Source.NTP))
        self._refresh()
        return self.look()

    def _refresh(self) -> None:
        for source in self.says:
            # NTP that disciplines the clock always finds that it is right
            is_ntp = source is Source.NTP
            self.says[source] = (
                self.utc_us - self.true_us if is_ntp and self.liar is source else 0
            ) or (self.off_us(source) if not is_ntp else 0)
        if Source.NTP in self.says and self.liar is not Source.NTP:
            self.utc_us = self.true_us  # and good NTP that it is


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, list[tuple[Any, ...]]]:
    box = History(
        ppm=draw(st.integers(-95, 95)),
        liar=draw(st.sampled_from([None, *Source])),
        lie_us=draw(AMOUNTS),
        errors_us={source: draw(SMALL_ERRORS) for source in Source},
        says={Source.NTP: 0, Source.PLATFORM: 0},
    )
    return box, draw(EVENTS)


@given(histories())
@settings(max_examples=300)
def test_age_is_never_judged_by_a_clock_ahead_of_time_and_trust_always_comes_back(
    history: tuple[History, list[tuple[Any, ...]]],
) -> None:
    box, events = history
    assert box.start().is_trusted
    box.says = {}
    for event in events:
        now = box.live(event)
        assert now.is_trusted is (now.due_us is not None)
        if now.due_us is not None:
            assert now.due_us <= box.true_us + TRUE_WITHIN_US
            most_us = TOLERANCE_US + STRAY_US + SLEW_AT_ONCE_US + TRUE_WITHIN_US
            slewed_us = (box.true_us - T0) // 5_000 + ALLOWANCE_US
            assert box.utc_us - box.true_us <= most_us + slewed_us
    # two that tell the truth, and a clock that is set right
    truthful = [source for source in Source if source is not box.liar][:2]
    box.utc_us = box.true_us
    box.says = {source: box.errors_us[source] for source in truthful}
    if box.liar is not None:
        box.says[box.liar] = box.lie_us
    assert box.look().is_trusted
    assert_re_timed(box)


def assert_re_timed(box: Box) -> None:
    """All that was recorded in an untrusted time gets its own, or a later one."""
    epochs = list(box.epochs.values())
    moved = {one.epoch: one for one in retimings(epochs)}
    untimed = {epoch.id for epoch in epochs if epoch.offset_us is None}
    assert set(moved) == untimed
    #: Clocks that NTP slews or an oscillator lets stray: 600 ppm of all the time there was, and 8 %
    #: where it was slewed so fast.
    stray_us = (box.true_us - T0) // 10 + 60 * S
    for epoch, host_us, true_us in box.footage:
        if epoch in moved:
            assert host_us + moved[epoch].offset_us >= true_us - stray_us


@given(histories())
@settings(max_examples=100)
def test_a_restart_of_the_service_changes_no_judgement(
    history: tuple[History, list[tuple[Any, ...]]],
) -> None:
    box, events = history
    box.start()
    for event in events:
        before = box.live(event)
        after = box.start()
        assert (after.is_trusted, after.due_us, after.epoch) == (
            before.is_trusted,
            before.due_us,
            before.epoch,
        )


@given(st.lists(st.tuples(DURATIONS, st.booleans()), max_size=20), st.integers(-95, 95))
@settings(max_examples=100)
def test_an_honest_site_with_ntp_alone_is_trusted_as_long_as_its_purse_lasts(
    lives: list[tuple[int, bool]], ppm: int
) -> None:
    box = Box(ppm=ppm)
    box.start()
    box.ntp()
    assert box.look().is_trusted
    off_us = 0
    for us, is_cut in lives:
        if is_cut:
            box.power_cut(us)
            off_us += us
            box.start()
        else:
            box.pass_time(us, slew_ppm=-ppm)
        box.ntp()
        # what the oscillator may have been wrong is taken from the purse, too
        slack_us = (box.true_us - T0) // 5_000 + 10 * S
        if off_us + slack_us < ALLOWANCE_US:
            assert box.look().is_trusted
        if off_us > ALLOWANCE_US + slack_us:
            assert not box.look().is_trusted


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(-YEAR, YEAR), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_re_timing_is_exact_within_a_boot(parts: list[tuple[int, int, bool]]) -> None:
    """Whatever the steps: instants of one boot keep their distance."""
    epochs = []
    boot, monotonic_us = 1, 0
    for number, (boots, skew_us, is_trusted) in enumerate(parts, 1):
        boot += boots == 3
        monotonic_us += HOUR
        epochs.append(
            Epoch(
                id=number,
                boot_id=str(boot),
                skew_us=T0 + (0 if is_trusted else skew_us),
                start_us=T0 + monotonic_us + (0 if is_trusted else skew_us),
                cause=GapCause.CLOCK_STEPPED,
                end_us=T0 + monotonic_us + HOUR + (0 if is_trusted else skew_us),
                offset_us=0 if is_trusted else None,
            )
        )
    found = {one.epoch: one for one in retimings(epochs)}
    for epoch in epochs:
        mates = [one for one in epochs if one.boot_id == epoch.boot_id]
        if epoch.offset_us is not None:
            assert epoch.id not in found
        elif any(one.offset_us == 0 for one in mates):
            assert found[epoch.id] == Retiming(
                epoch=epoch.id, offset_us=T0 - epoch.skew_us, is_estimated=False
            )
        elif any(one.offset_us == 0 for one in epochs[mates[-1].id :]):
            assert found[epoch.id].is_estimated
        else:
            assert epoch.id not in found

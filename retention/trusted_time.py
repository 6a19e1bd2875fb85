"""Whether the host's clock can be believed, and since when it could not. Core.

Deletion by age needs a clock that is not ahead of true time, and footage needs one that is right; a
host's clock alone is neither: its battery dies, NTP may be wrong or spoofed, people set it. So the
clock is judged by how it went on, and by what others say of the time.

**What is known.** Two bounds of true time are carried along on CLOCK_MONOTONIC_RAW, which nothing
disciplines: *early* (it is at least so late: proven, for it only advances while we see time pass,
and 100 ppm slower than the oscillator says) and *late* (what was believed beyond that). The clock
is trusted while it stands between both, with 10 s to either side. A clock that is slewed takes
*late* along, by 200 ppm in the long run and 20 s at once; one that is stepped, or slewed faster
(spoofed NTP can), leaves the bounds. Age is judged on *early* (:attr:`Judgement.due_us`), not on
the clock: so whatever the allowance below believes too much deletes nothing too early.

**Who votes.** NTP, the platform (SIP date) and the cameras' clocks (those that we do not set,
their median). A reading is taken along on the raw clock for six hours; a step of the host's clock
does not change what it says.

* Two of three within 30 s of the clock and of one another: trusted; *late* is the clock, *early*
  the lowest of these, since at least one of them is right.
* Two of three that agree with one another and not with the clock: not trusted, whatever it did.
* An administrator confirms: trusted, and those two are overruled until they say something else.
* Before this program's first release, or 20 years after it: never trusted, by nobody's word.

**First start.** Nothing is known of the past, and no footage can be lost: NTP alone is enough. (So
are two of three, or the administrator. Without any of them: not trusted.)

**Restart of the service.** Same boot: the raw clock went on, all of the above holds across it.

**Restart of the box**, after minutes, hours or days. The raw clock begins anew, and how long the
box was off only a clock can tell. A clock between *early* and *early* plus the allowance of a day
is believed if at least one source agrees with it. One is needed, for a clock without a battery
goes on where it was last saved, as if the box had been off for a second, and would date footage too
early. One is enough, for a single liar gains a day in all and not a day each time: *early* stays
where it was until two agree, so the allowance is a purse and not a rule for each restart. A day,
because power cuts last hours; longer ones are rare enough for a person, or two sources, to say so.
As age is judged on *early*, it does not depend on the slack between ``min_days`` and ``max_days``.

**A start in 1970, 2000 or 2038** (battery dead): outside the bounds or the program's life, so not
trusted; NTP's later step back into the allowance is the one believed step after a restart.

**The clock jumped a year across a power cut.** Beyond the allowance: one source that says the same
does not help (its lie may be why), two or the administrator do.

**A step while running.** Forward or back by more than 10 s: not trusted, until it is set right (it
stands between the bounds again), or two agree, or the administrator confirms. A site with neither
platform nor voting camera has NTP alone: it starts, and goes on after short restarts; a jump waits
for the administrator, or for being undone.

**Stretches of wrong time.** Every instant that is recorded belongs to an :class:`Epoch`: a stretch
without a step, under one judgement. Once time is trusted, :func:`retimings` says how much has to be
added to the instants of the others: exactly, within one boot; where the box was off in between, as
late as it can have been (its boot ended when the next one began), so that nothing is due too early.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from retention.model import US_PER_S, Epoch, GapCause

DAY_US = 86_400 * US_PER_S
#: How far clocks that agree may be apart (design.md, Time; also DB31/T 329.21-2019 for the site).
TOLERANCE_US = 30 * US_PER_S
#: How far the clock may stand outside its bounds: NTP corrects what went wrong in its absence.
STRAY_US = 10 * US_PER_S
#: How long the box may have been off in all since two sources, or a person, last said so.
ALLOWANCE_US = DAY_US
#: No release of this program is older (2026-01-01), and none will serve so long after.
RELEASED_US = 1_767_225_600 * US_PER_S
SERVED_US = 20 * 365 * DAY_US
#: A clock that moves against CLOCK_MONOTONIC by more than this was stepped (retention.timebase).
STEP_MIN_US = US_PER_S // 2
#: How wrong an oscillator may be that nothing disciplines, and how fast NTP may correct it.
OSCILLATOR_PPM = 100
SLEW_PPM = 200
#: What an oscillator may have strayed meanwhile can be corrected at once.
SLEW_AT_ONCE_US = 20 * US_PER_S
READING_AGE_MAX_US = 6 * 3_600 * US_PER_S
VOTES_MIN = 2


class Source(StrEnum):
    """Who says what time it is; also the ``source`` label of the metrics."""

    NTP = "ntp"
    PLATFORM = "platform"
    CAMERAS = "cameras"


class Code(StrEnum):
    """Why time is trusted, or not."""

    FIRST_START = "first_start"
    CONTINUED = "continued"
    RESTARTED = "restarted"
    AGREED = "agreed"
    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    IMPOSSIBLE = "impossible"
    JUMPED = "jumped"
    SET_BACK = "set_back"
    CONTRADICTED = "contradicted"


#: One sentence each, as people read them: Chinese, English.
SENTENCES: Mapping[Code, tuple[str, str]] = {
    Code.FIRST_START: ("首次启动,时间由NTP确认", "first start, confirmed by NTP"),
    Code.CONTINUED: ("时钟自可信以来连续走时", "the clock has gone on evenly since it was trusted"),
    Code.RESTARTED: (
        "重启后时间合理,且有一个时间源一致",
        "plausible after a restart, and one source agrees",
    ),
    Code.AGREED: ("至少两个时间源一致", "two sources agree with the clock"),
    Code.CONFIRMED: ("管理员已确认", "an administrator confirmed it"),
    Code.UNCONFIRMED: ("启动后尚无时间源确认", "since the start nothing has confirmed the clock"),
    Code.IMPOSSIBLE: ("时钟日期不可能正确", "the clock shows a date that cannot be"),
    Code.JUMPED: ("时钟不明原因向前跳变", "the clock jumped forward, unexplained"),
    Code.SET_BACK: ("时钟落后于已知时间", "the clock is behind the time that has passed"),
    Code.CONTRADICTED: ("两个时间源一致,但与时钟不符", "two sources agree that the clock is wrong"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source said: it was ``utc_us`` when our raw clock showed ``raw_us``."""

    utc_us: int
    raw_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The host's clocks at one instant, and the newest reading of each source that has one."""

    utc_us: int
    monotonic_us: int  # CLOCK_MONOTONIC: only steps of the clock move it against UTC
    raw_us: int  # CLOCK_MONOTONIC_RAW: nothing disciplines it
    readings: Mapping[Source, Reading] = field(default_factory=dict)

    @property
    def skew_us(self) -> int:
        return self.utc_us - self.monotonic_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What to think of the host's clock now."""

    is_trusted: bool
    code: Code
    since_us: int  # on the host's clock
    epoch: Epoch
    #: True time is at least this, UTC microseconds: age is judged on it. None: not by any clock.
    due_us: int | None
    #: Each source minus the host's clock, microseconds.
    offsets_us: Mapping[Source, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A stretch of time begins, or (``is_new`` False) the present one is trusted from now on."""

    epoch: Epoch
    is_new: bool
    is_trusted: bool
    code: Code
    at_us: int
    previous_end_us: int | None = None  # of the stretch before, on its own clock
    step_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What an earlier life left.

    Args:
        state: what :meth:`TrustedTime.state` gave last, or None.
        known_us: true time is at least this, by the store (newest footage of a trusted time).
        last_epoch: the newest one that the ledger knows.
        ended_us: its last instant, on its own clock.
        cause: why the service was away.
    """

    state: Mapping[str, Any] | None = None
    known_us: int | None = None
    last_epoch: Epoch | None = None
    ended_us: int | None = None
    cause: GapCause = GapCause.CONFIG


class DateImpossible(ValueError):
    """Nobody can confirm this date."""


class TrustedTime:
    """The judge. Call :meth:`look` every few seconds and whenever the answer matters; carry its
    changes to the ledger in order (:meth:`take_changes`), before anything else is told there.

    Args:
        boot_id: of this boot.
        first: the first sample of this life.
    """

    def __init__(self, boot_id: str, past: Past, first: Sample) -> None:
        self._boot_id = boot_id
        self._last = first
        self._changes: list[Change] = []
        #: Bounds of true time as UTC minus raw clock; None while nothing is known.
        self._early_us: int | None = None
        self._late_us: int | None = None
        self._has_restarted = False
        self._slewable_us = SLEW_AT_ONCE_US
        self._overruled_us: int | None = None
        self._is_trusted = False
        self._code = Code.UNCONFIRMED
        self._since_us = first.utc_us
        self._epoch: Epoch | None = None
        self._earlier: list[Epoch] = []  # of this life
        self._past = past
        self._restore(first)
        self.look(first)

    # What is asked ---------------------------------------------------------------------------

    def look(self, sample: Sample) -> Judgement:
        """Judge the clock at this instant."""
        step_us = sample.skew_us - self._last.skew_us
        is_step = abs(step_us) > STEP_MIN_US
        self._pass_time(sample, is_step=is_step)
        was_trusted = self._is_trusted
        is_trusted, code = self._judge(sample)
        if (is_trusted, code) != (was_trusted, self._code):
            is_quiet = was_trusted and code is Code.CONTINUED
            if not is_quiet:
                self._code = code
            if is_trusted != was_trusted:
                self._since_us = sample.utc_us
        self._is_trusted = is_trusted
        self._mark_epoch(sample, step_us if is_step else 0, was_trusted=was_trusted)
        self._last = sample
        return self.judgement(sample)

    def judgement(self, sample: Sample) -> Judgement:
        """The newest one, as of this sample."""
        assert self._epoch is not None
        due_us = None
        if self._is_trusted and self._early_us is not None:
            due_us = min(sample.utc_us, self._early_us + sample.raw_us)
        return Judgement(
            is_trusted=self._is_trusted,
            code=self._code,
            since_us=self._since_us,
            epoch=self._epoch,
            due_us=due_us,
            offsets_us=_offsets_us(sample),
        )

    def confirm(self, sample: Sample) -> Judgement:
        """An administrator says that the clock is right.

        Raises:
            DateImpossible: it cannot be.
        """
        if not is_possible(sample.utc_us):
            raise DateImpossible
        self.look(sample)
        self._overruled_us = _consensus_us(_offsets_us(sample))
        self._believe(sample)
        was_trusted, self._is_trusted, self._code = self._is_trusted, True, Code.CONFIRMED
        if not was_trusted:
            self._since_us = sample.utc_us
        self._mark_epoch(sample, 0, was_trusted=was_trusted)
        return self.judgement(sample)

    def take_changes(self) -> list[Change]:
        """What the ledger has to be told, in order."""
        changes, self._changes = self._changes, []
        return changes

    def epoch_of(self, skew_us: int) -> tuple[Epoch, bool]:
        """The stretch in which UTC minus CLOCK_MONOTONIC was this, and whether it is trusted; the
        newest of this life where there are several, the present one where there is none."""
        assert self._epoch is not None
        for epoch in (self._epoch, *reversed(self._earlier)):
            if abs(epoch.skew_us - skew_us) <= STEP_MIN_US:
                return epoch, epoch.offset_us is not None
        return self._epoch, self._is_trusted

    def state(self) -> dict[str, Any]:
        """What has to survive a restart: JSON-able."""
        assert self._epoch is not None
        raw_us = self._last.raw_us
        return {
            "boot": self._boot_id,
            "raw_us": raw_us,
            "skew_us": self._last.skew_us,
            "utc_us": self._last.utc_us,
            "early_us": None if self._early_us is None else self._early_us + raw_us,
            "late_us": None if self._late_us is None else self._late_us + raw_us,
            "has_restarted": self._has_restarted,
            "slewable_us": self._slewable_us,
            "overruled_us": self._overruled_us,
            "is_trusted": self._is_trusted,
            "code": self._code.value,
            "since_us": self._since_us,
            "epoch": self._epoch.id,
        }

    # Inside ----------------------------------------------------------------------------------

    def _restore(self, first: Sample) -> None:
        saved = _Saved.of(self._past.state)
        last = self._past.last_epoch
        if saved is None:
            if self._past.known_us is not None:
                self._early_us = self._past.known_us - first.raw_us
                self._has_restarted = True
            return
        if saved.early_us is not None:
            self._early_us = saved.early_us - first.raw_us
        if saved.boot_id != self._boot_id or first.raw_us < saved.raw_us:
            self._has_restarted = True
            return
        # The same boot: as if there had only been a long time between two samples.
        if saved.early_us is not None:
            self._early_us = saved.early_us - saved.raw_us
        if saved.late_us is not None:
            self._late_us = saved.late_us - saved.raw_us
        self._has_restarted = saved.has_restarted
        self._slewable_us = saved.slewable_us
        self._overruled_us = saved.overruled_us
        self._is_trusted, self._code = saved.is_trusted, saved.code
        self._since_us = saved.since_us
        self._last = replace(
            first,
            utc_us=saved.utc_us,
            monotonic_us=saved.utc_us - saved.skew_us,
            raw_us=saved.raw_us,
        )
        if last is not None and (last.id, last.boot_id) == (saved.epoch, self._boot_id):
            self._epoch = last

    def _pass_time(self, sample: Sample, *, is_step: bool) -> None:
        """Take the bounds along from the last sample to this one."""
        elapsed_us = max(0, sample.raw_us - self._last.raw_us)
        if self._early_us is not None:
            self._early_us -= -(-elapsed_us * OSCILLATOR_PPM // US_PER_S)
        slewable_us = self._slewable_us + elapsed_us * SLEW_PPM // US_PER_S
        if not is_step and self._late_us is not None:
            moved_us = (sample.utc_us - sample.raw_us) - (self._last.utc_us - self._last.raw_us)
            slewed_us = max(-slewable_us, min(slewable_us, moved_us))
            slewable_us -= abs(slewed_us)
            self._late_us += slewed_us
        self._slewable_us = min(SLEW_AT_ONCE_US, slewable_us)

    def _judge(self, sample: Sample) -> tuple[bool, Code]:
        if not is_possible(sample.utc_us):
            return False, Code.IMPOSSIBLE
        offsets_us = _offsets_us(sample)
        consensus_us = _consensus_us(offsets_us)
        if consensus_us is not None and abs(consensus_us) <= TOLERANCE_US:
            self._overruled_us = None
            self._believe(sample, at_least_us=min(0, *_agreeing(offsets_us)))
            return True, Code.AGREED
        if consensus_us is None:
            self._overruled_us = None
        elif self._overruled_us is None or abs(consensus_us - self._overruled_us) > TOLERANCE_US:
            self._overruled_us = None
            return False, Code.CONTRADICTED
        if self._early_us is None:
            if not _is_near(offsets_us.get(Source.NTP)):
                return False, Code.UNCONFIRMED
            self._believe(sample)
            return True, Code.FIRST_START
        return self._judge_by_bounds(sample, any(map(_is_near, offsets_us.values())))

    def _judge_by_bounds(self, sample: Sample, is_backed: bool) -> tuple[bool, Code]:
        assert self._early_us is not None
        skew_us = sample.utc_us - sample.raw_us
        if skew_us < self._early_us - STRAY_US:
            return False, Code.SET_BACK
        if self._late_us is not None and skew_us <= self._late_us + STRAY_US:
            return True, self._code if self._is_trusted else Code.CONTINUED
        if self._has_restarted and skew_us <= self._early_us + ALLOWANCE_US:
            if not is_backed:
                return False, Code.UNCONFIRMED if self._late_us is None else Code.JUMPED
            self._late_us = max(skew_us, self._early_us)
            return True, Code.RESTARTED
        return False, Code.JUMPED

    def _believe(self, sample: Sample, at_least_us: int = 0) -> None:
        self._late_us = sample.utc_us - sample.raw_us
        self._early_us = self._late_us + at_least_us
        self._has_restarted = False
        self._slewable_us = SLEW_AT_ONCE_US

    def _mark_epoch(self, sample: Sample, step_us: int, *, was_trusted: bool) -> None:
        now_us, epoch = sample.utc_us, self._epoch
        offset_us = 0 if self._is_trusted else None
        is_same = epoch is not None and abs(sample.skew_us - epoch.skew_us) <= STEP_MIN_US
        if epoch is not None and is_same and (self._is_trusted or epoch.offset_us is None):
            if epoch.offset_us is None and self._is_trusted:
                self._epoch = replace(epoch, offset_us=0)
                self._tell(self._epoch, now_us, is_new=False)
            return
        previous = epoch or self._past.last_epoch
        if epoch is not None:
            ended_us: int | None = sample.monotonic_us + epoch.skew_us
            cause = GapCause.CLOCK_STEPPED
            self._earlier.append(replace(epoch, end_us=ended_us))
        else:
            ended_us, cause = self._past.ended_us, self._past.cause
        self._epoch = Epoch(
            id=1 if previous is None else previous.id + 1,
            boot_id=self._boot_id,
            skew_us=sample.skew_us,
            start_us=now_us,
            cause=cause,
            offset_us=offset_us,
        )
        self._tell(self._epoch, now_us, is_new=True, previous_end_us=ended_us, step_us=step_us)

    def _tell(
        self,
        epoch: Epoch,
        at_us: int,
        *,
        is_new: bool,
        previous_end_us: int | None = None,
        step_us: int = 0,
    ) -> None:
        self._changes.append(
            Change(
                epoch=epoch,
                is_new=is_new,
                is_trusted=self._is_trusted,
                code=self._code,
                at_us=at_us,
                previous_end_us=previous_end_us,
                step_us=step_us,
            )
        )


def is_possible(utc_us: int) -> bool:
    """Whether this program can run at such a date."""
    return RELEASED_US <= utc_us < RELEASED_US + SERVED_US


def _offsets_us(sample: Sample) -> dict[Source, int]:
    """What each source with a fresh reading says, minus the host's clock."""
    return {
        source: reading.utc_us + (sample.raw_us - reading.raw_us) - sample.utc_us
        for source, reading in sample.readings.items()
        if 0 <= sample.raw_us - reading.raw_us <= READING_AGE_MAX_US
    }


def _is_near(offset_us: int | None) -> bool:
    return offset_us is not None and abs(offset_us) <= TOLERANCE_US


def _agreeing(offsets_us: Mapping[Source, int]) -> list[int]:
    return [offset_us for offset_us in offsets_us.values() if abs(offset_us) <= TOLERANCE_US]


def _consensus_us(offsets_us: Mapping[Source, int]) -> int | None:
    """What at least two sources say that are within the tolerance of one another; the offset of
    the one farther from the clock. Of several such pairs the one nearest to the clock."""
    listed = sorted(offsets_us.values())
    pairs = [
        (one, other)
        for place, one in enumerate(listed)
        for other in listed[place + 1 :]
        if other - one <= TOLERANCE_US
    ]
    far = [max(pair, key=abs) for pair in pairs]
    near = [min(pair, key=abs) for pair in pairs]
    agreeing = [offset_us for offset_us in far if abs(offset_us) <= TOLERANCE_US]
    if agreeing:
        return min(agreeing, key=abs)
    # A pair of which one agrees with the clock contradicts nobody.
    against = [offset_us for offset_us in near if abs(offset_us) > TOLERANCE_US]
    return min(against, key=abs, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    """The state of an earlier life, as far as it makes sense."""

    boot_id: str
    raw_us: int
    skew_us: int
    utc_us: int
    early_us: int | None
    late_us: int | None
    has_restarted: bool
    slewable_us: int
    overruled_us: int | None
    is_trusted: bool
    code: Code
    since_us: int
    epoch: int

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> Self | None:
        try:
            if state is None:
                return None
            return cls(
                boot_id=str(state["boot"]),
                raw_us=int(state["raw_us"]),
                skew_us=int(state["skew_us"]),
                utc_us=int(state["utc_us"]),
                early_us=_optional(state["early_us"]),
                late_us=_optional(state["late_us"]),
                has_restarted=bool(state["has_restarted"]),
                slewable_us=int(state["slewable_us"]),
                overruled_us=_optional(state["overruled_us"]),
                is_trusted=bool(state["is_trusted"]),
                code=Code(state["code"]),
                since_us=int(state["since_us"]),
                epoch=int(state["epoch"]),
            )
        except (KeyError, ValueError, TypeError):
            return None  # of another version, or damaged: as if there were none


def told_due_us(state: Mapping[str, Any] | None) -> int | None:
    """:attr:`Judgement.due_us` when :meth:`TrustedTime.state` was taken, for who judges no clock
    himself: true time is not before it, however old the state is."""
    saved = _Saved.of(state)
    if saved is None or not saved.is_trusted or saved.early_us is None:
        return None
    return min(saved.utc_us, saved.early_us)


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retiming:
    """What has to be added to every instant of an epoch."""

    epoch: int
    offset_us: int
    is_estimated: bool


def retimings(epochs: Sequence[Epoch]) -> list[Retiming]:
    """The epochs whose time was not trusted, as far as it is known by now; to be asked while time
    is trusted.

    Args:
        epochs: all of them, in order.
    """
    found: list[Retiming] = []
    next_boot: Epoch | None = None  # its first epoch, timed if that is possible
    for boot in reversed(_boots(epochs)):
        timed = _timed(boot, next_boot)
        found += [
            Retiming(epoch=after.id, offset_us=after.offset_us, is_estimated=after.is_estimated)
            for before, after in zip(boot, timed, strict=True)
            if before.offset_us is None and after.offset_us is not None
        ]
        next_boot = timed[0]
    return sorted(found, key=lambda one: one.epoch)


def _boots(epochs: Sequence[Epoch]) -> list[list[Epoch]]:
    boots: list[list[Epoch]] = []
    for epoch in epochs:
        if boots and boots[-1][-1].boot_id == epoch.boot_id:
            boots[-1].append(epoch)
        else:
            boots.append([epoch])
    return boots


def _timed(boot: Sequence[Epoch], next_boot: Epoch | None) -> list[Epoch]:
    """The epochs of one boot, each with its offset if any of them, or the next boot, tells it."""
    anchors = [one for one in boot if one.offset_us is not None]
    if not anchors:
        if next_boot is None or next_boot.offset_us is None:
            return list(boot)
        last = boot[-1]
        began_us = next_boot.start_us + next_boot.offset_us
        ended_us = last.start_us if last.end_us is None else last.end_us
        anchors = [replace(last, offset_us=began_us - ended_us, is_estimated=True)]
    timed = []
    for one in boot:
        if one.offset_us is not None:
            timed.append(one)
            continue
        later = [anchor for anchor in anchors if anchor.id >= one.id]
        anchor = later[0] if later else anchors[-1]
        assert anchor.offset_us is not None
        offset_us = anchor.skew_us + anchor.offset_us - one.skew_us
        timed.append(replace(one, offset_us=offset_us, is_estimated=anchor.is_estimated))
    return timed

"""Faults in, alarms with their ends out: each once, through flaps, restarts and clock steps."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.alarms.codes import TERMS, About, Code
from edge.alarms.register import (
    ENDED_MAX,
    STANDING_MAX,
    UNHEARD_US,
    US_PER_S,
    Alarm,
    Fault,
    Register,
    counts,
    document,
)
from edge.alarms.told import faults_of

LOST = Fault(code=Code.VIDEO_LOST, subject="gate", reason_zh="摄像机离线", reason_en="offline")
COVERED = Fault(code=Code.PICTURE_COVERED, subject="gate")
DAMAGED = Fault(code=Code.FOOTAGE_DAMAGED, subject="gate")
EPOCH_US = 1_800_000_000 * US_PER_S


class Box:
    """A register with a clock: wall and monotonic seconds since the start."""

    def __init__(self, register: Register | None = None, at_s: float = 0) -> None:
        self.register = Register() if register is None else register
        self.at_s = at_s
        self.boot_s = at_s

    def look(self, seconds: float = 1) -> list[Alarm]:
        """Some seconds later: what is to be told."""
        self.at_s += seconds
        self.register.look(self.now_us, round((self.at_s - self.boot_s) * US_PER_S))
        told = list(self.register.untold)
        for one in told:
            self.register.told(one)
        return told

    @property
    def now_us(self) -> int:
        return EPOCH_US + round(self.at_s * US_PER_S)

    def restarted(self, after_s: float = 10) -> Box:
        fresh = Register()
        assert fresh.loads(self.register.dumps())
        return Box(fresh, self.at_s + after_s)


def test_a_fault_that_lasts_is_one_alarm_with_one_end() -> None:
    box = Box()
    box.register.tell("edge", [LOST])
    assert box.look() == []
    assert box.look(14) == []
    (begun,) = box.look(1)
    assert (begun.code, begun.subject, begun.reason_en) == (Code.VIDEO_LOST, "gate", "offline")
    assert begun.since_us == EPOCH_US + US_PER_S  # when it was first seen
    assert box.look(3600) == []
    box.register.tell("edge", [])
    assert box.look() == []
    (ended,) = box.look(5)
    assert (ended.number, ended.until_us) == (begun.number, box.now_us - 5 * US_PER_S)
    assert box.register.standing == []
    assert box.look(3600) == []


def test_a_camera_that_flaps_is_no_alarm_and_ends_none() -> None:
    box = Box()
    for _ in range(20):
        box.register.tell("edge", [LOST])
        assert box.look(10) == []
        box.register.tell("edge", [])
        assert box.look(2) == []
    box.register.tell("edge", [LOST])
    box.look()
    assert len(box.look(15)) == 1
    for _ in range(20):
        box.register.tell("edge", [])
        assert box.look(4) == []
        box.register.tell("edge", [LOST])
        assert box.look(1) == []


def test_two_sources_of_one_alarm_end_it_together() -> None:
    box = Box()
    box.register.tell("care", [COVERED])
    assert len(box.look()) == 1
    box.register.tell("diagnose", [COVERED])
    assert box.look() == []
    box.register.tell("care", [])
    assert box.look() == []
    box.register.tell("diagnose", [])
    assert [one.until_us for one in box.look()] == [box.now_us]


def test_a_reason_may_change_without_being_told_again() -> None:
    box = Box()
    box.register.tell("edge", [COVERED])
    box.look()
    box.register.tell("edge", [Fault(code=COVERED.code, subject="gate", reason_en="now so")])
    assert box.look() == []
    assert document(box.register.standing[0])["reason_en"] == "now so"


def test_what_goes_on_over_a_restart_is_not_told_twice() -> None:
    box = Box()
    box.register.tell("edge", [LOST])
    box.look()
    (begun,) = box.look(15)
    box = box.restarted()
    assert box.look(30) == []  # nobody has looked yet
    box.register.tell("edge", [LOST])
    assert box.look(30) == []
    assert box.register.standing == [begun]


def test_what_ended_while_edge_was_down_ends() -> None:
    box = Box()
    box.register.tell("edge", [LOST])
    box.register.tell("diagnose", [COVERED])
    box.look()
    assert len(box.look(15)) == 1
    box = box.restarted()
    box.register.tell("edge", [])
    box.look()
    (ended,) = box.look(5)
    assert ended.code is Code.VIDEO_LOST
    assert [one.code for one in box.register.standing] == [Code.PICTURE_COVERED]
    box.register.tell("diagnose", [])
    assert [one.code for one in box.look()] == [Code.PICTURE_COVERED]


def test_a_source_that_is_gone_for_good_leaves_no_alarm_for_ever() -> None:
    box = Box()
    box.register.tell("old part", [COVERED])
    box.look()
    box = box.restarted()
    box.look()
    assert box.look(UNHEARD_US / US_PER_S - 1) == []
    assert [one.code for one in box.look(1)] == [Code.PICTURE_COVERED]


def test_what_was_not_told_before_a_kill_is_told_after_it() -> None:
    register = Register()
    register.tell("edge", [COVERED])
    register.look(EPOCH_US, 0)
    box = Box(register).restarted()
    (begun,) = box.look()
    assert begun.code is Code.PICTURE_COVERED
    assert box.look() == []


def test_a_step_of_the_clock_neither_begins_nor_ends_anything() -> None:
    register = Register()
    register.tell("edge", [LOST])
    register.look(EPOCH_US, 0)
    register.look(EPOCH_US + 10**15, 1 * US_PER_S)
    assert register.untold == []
    register.look(EPOCH_US - 10**14, 15 * US_PER_S)
    (begun,) = register.untold
    assert begun.since_us == EPOCH_US - 10**14  # never later than now
    register.tell("edge", [])
    register.look(EPOCH_US, 16 * US_PER_S)
    register.look(EPOCH_US + 10**15, 17 * US_PER_S)
    assert len(register.untold) == 1
    register.look(EPOCH_US - 2 * 10**14, 21 * US_PER_S)
    assert register.untold[-1].until_us == EPOCH_US


def test_what_happened_stands_for_its_time_also_over_a_restart() -> None:
    box = Box()
    box.register.happened(DAMAGED, box.now_us)
    (begun,) = box.look()
    box.register.happened(DAMAGED, box.now_us)  # again: no second alarm, a later end
    assert box.look() == []
    stands_s = TERMS[DAMAGED.code].stands_s
    box = box.restarted()
    assert box.look(stands_s - 12) == []
    (ended,) = box.look(2)
    assert ended.number == begun.number
    box.register.happened(DAMAGED, box.now_us)
    assert box.look()[0].number > begun.number


def test_what_is_kept_is_bounded() -> None:
    box = Box()
    many = [Fault(code=Code.PICTURE_BLACK, subject=f"c{n}") for n in range(STANDING_MAX + 50)]
    box.register.tell("astray", many)
    assert len(box.look()) == STANDING_MAX
    assert box.register.dropped == 50
    box.register.tell("astray", [])
    box.look()
    assert len(box.register.ended) == ENDED_MAX
    long = Fault(code=Code.PICTURE_BLACK, subject="x" * 9_999, reason_zh="长" * 9_999)
    box.register.tell("astray", [long])
    assert len(json.dumps(document(box.look()[0]))) < 5_000


def test_a_damaged_account_is_refused_whole() -> None:
    box = Box()
    box.register.tell("edge", [COVERED])
    box.look()
    good = box.register.dumps()
    for bad in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, good[:-9], b'{"standing": [3]}'):
        fresh = Register()
        assert not fresh.loads(bad)
        assert fresh.standing == []
    newer = json.loads(good)
    newer["standing"].append({**newer["standing"][0], "code": "of_a_later_version"})
    fresh = Register()
    assert fresh.loads(json.dumps(newer).encode())
    assert len(fresh.standing) == 1


def test_the_table_is_whole() -> None:
    assert set(TERMS) == set(Code)
    for code, terms in TERMS.items():
        assert all((terms.name_zh, terms.name_en, terms.mend_zh, terms.mend_en)), code
        assert terms.name_zh.isascii() is False
        assert terms.name_en.isascii()
        assert terms.gb is None or (1 <= terms.gb.priority <= 4 and 1 <= terms.gb.method <= 7)
        assert not terms.is_defect or (terms.about is About.CAMERA and terms.gb is not None)
    names = [terms.name_zh for terms in TERMS.values()]
    assert len(set(names)) == len(names)


def test_what_another_service_tells_is_read_with_care() -> None:
    good = {"code": "login_attack", "subject": "", "reason_zh": "三次", "reason_en": "3 times"}
    bad = [3, {}, {"code": "nonsense"}, {**good, "subject": 7}, {**good, "reason_zh": "a\nb"}]
    found = faults_of({"faults": [*bad, good]})
    assert found == [Fault(code=Code.LOGIN_ATTACK, reason_zh="三次", reason_en="3 times")]
    others: list[object] = [None, [], {}, {"faults": {}}, {"faults": None}]
    for other in others:
        assert faults_of(other) == []
    assert len(faults_of({"faults": [good] * 9_999})) == 500


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["faults", "code", "subject"]), inner)
        ),
    )
)
def test_no_document_upsets_the_reader(document: object) -> None:
    faults_of(document)


_FAULTS = st.builds(
    Fault,
    code=st.sampled_from([Code.VIDEO_LOST, Code.PICTURE_COVERED, Code.TIME_UNTRUSTED]),
    subject=st.sampled_from(["", "gate", "hall"]),
)


class Life(RuleBasedStateMachine):
    """Whatever sources say and however often edge restarts: beginnings and ends alternate."""

    @initialize()
    def begin(self) -> None:
        self.box = Box()
        self.told: list[Alarm] = []

    @rule(source=st.sampled_from(["edge", "care"]), faults=st.lists(_FAULTS, max_size=4))
    def tell(self, source: str, faults: list[Fault]) -> None:
        self.box.register.tell(source, faults)

    @rule(fault=_FAULTS)
    def happened(self, fault: Fault) -> None:
        self.box.register.happened(fault, self.box.now_us)

    @rule(seconds=st.integers(1, 100_000))
    def look(self, seconds: int) -> None:
        self.told += self.box.look(seconds)

    @rule()
    def restart(self) -> None:
        self.box = self.box.restarted()

    @invariant()
    def each_once(self) -> None:
        begun = [one.number for one in self.told if one.until_us is None]
        ended = [one.number for one in self.told if one.until_us is not None]
        assert len(set(begun)) == len(begun)
        assert len(set(ended)) == len(ended)
        assert set(ended) <= set(begun)
        standing = {one.number for one in self.box.register.standing}
        untold = {one.number for one in self.box.register.untold}
        assert standing - untold == set(begun) - set(ended) - untold
        keys = [one.key for one in self.box.register.standing]
        assert len(set(keys)) == len(keys)
        assert sum(counts(self.box.register.standing).values()) == len(keys)


TestLife = Life.TestCase

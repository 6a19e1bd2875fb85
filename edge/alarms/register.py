"""Present faults in, alarms with their ends out: each once. Core.

Instants: ``now_us`` is wall time (what people read), ``mono_us`` CLOCK_MONOTONIC (how long
something lasts), so that a step of the clock neither begins nor ends anything; only alarms of what
happened end by wall time, for they outlive the boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge.alarms.codes import TERMS, Code

US_PER_S = 1_000_000
#: Alarms that stand at once: far more than 64 cameras can have; the rest is counted and let go.
STANDING_MAX = 2_000
#: Ended alarms that are remembered for people; the audit log has them all.
ENDED_MAX = 200
#: Transitions that nobody could be told of yet; the oldest go.
UNTOLD_MAX = 5_000
#: A source that was not heard for so long after a restart is not there any more.
UNHEARD_US = 3_600 * US_PER_S
REASON_CHARACTERS_MAX = 200
SUBJECT_CHARACTERS_MAX = 300

Key = tuple[Code, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a source finds wrong at present.

    Args:
        subject: the id of a camera, path of a volume, name of a platform or service; empty: the
            site. reason_zh, reason_en: what exactly, without a secret; may change while it lasts.
    """

    code: Code
    subject: str = ""
    reason_zh: str = ""
    reason_en: str = ""

    @property
    def key(self) -> Key:
        return (self.code, self.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm from its beginning to its end."""

    number: int  # never comes back
    code: Code
    subject: str
    reason_zh: str
    reason_en: str
    since_us: int  # wall time at which the fault was first seen
    until_us: int | None = None  # first gone; None: it stands
    lapses_us: int | None = None  # it happened, and stands until then

    @property
    def key(self) -> Key:
        return (self.code, self.subject)


@dataclass(slots=True)
class _Standing:
    alarm: Alarm
    #: Who told of it; after a restart it stands until each of them has looked.
    sources: set[str]
    gone_us: int | None = None  # wall time and
    gone_mono_us: int | None = None  # monotonic time since which nobody tells of it


@dataclass(slots=True)
class _Pending:
    """A fault that does not last long enough yet."""

    fault: Fault
    since_us: int
    since_mono_us: int


class Register:
    """The account; :meth:`look` is called about once a second."""

    def __init__(self) -> None:
        self._present: dict[str, dict[Key, Fault]] = {}
        self._standing: dict[Key, _Standing] = {}
        self._pending: dict[Key, _Pending] = {}
        self._next = 1
        self._first_look_us: int | None = None  # monotonic
        self.ended: list[Alarm] = []
        #: Begun (``until_us`` None) and ended alarms, in order, that were not :meth:`told` yet.
        self.untold: list[Alarm] = []
        self.dropped = 0
        self.is_changed = False

    @property
    def standing(self) -> list[Alarm]:
        """In the order in which they began."""
        return [one.alarm for one in self._standing.values()]

    def tell(self, source: str, faults: Iterable[Fault]) -> None:
        """All that a source finds wrong at present; :meth:`look` makes alarms of it."""
        self._present[source] = {one.key: _cut(one) for one in faults}

    def happened(self, fault: Fault, now_us: int) -> None:
        """Something was wrong: it stands for the time of its terms, longer if it happens again."""
        fault = _cut(fault)
        lapses_us = now_us + TERMS[fault.code].stands_s * US_PER_S
        known = self._standing.get(fault.key)
        if known is None:
            self._begin(fault, now_us, set(), lapses_us)
        else:
            known.alarm = replace(
                known.alarm,
                lapses_us=lapses_us,
                reason_zh=fault.reason_zh,
                reason_en=fault.reason_en,
            )
            known.gone_us = known.gone_mono_us = None
            self.is_changed = True

    def look(self, now_us: int, mono_us: int) -> None:
        """Begin what has lasted, end what is gone."""
        if self._first_look_us is None:
            self._first_look_us = mono_us
        is_late = mono_us - self._first_look_us >= UNHEARD_US
        present: dict[Key, tuple[Fault, set[str]]] = {}
        for source, faults in self._present.items():
            for key, fault in faults.items():
                present.setdefault(key, (fault, set()))[1].add(source)
        for key, (fault, sources) in present.items():
            known = self._standing.get(key)
            if known is not None:
                self._go_on(known, fault, sources)
            else:
                self._wait(key, fault, sources, now_us, mono_us)
        for key in [key for key in self._pending if key not in present]:
            del self._pending[key]
        for key in [key for key in self._standing if key not in present]:
            self._end_if_gone(key, now_us, mono_us, is_late=is_late)

    def told(self, alarm: Alarm) -> None:
        """The oldest of :attr:`untold` is on its ways."""
        if self.untold and self.untold[0] == alarm:
            del self.untold[0]
            self.is_changed = True

    def _go_on(self, known: _Standing, fault: Fault, sources: set[str]) -> None:
        known.gone_us = known.gone_mono_us = None
        reasons = (fault.reason_zh, fault.reason_en)
        if (known.alarm.reason_zh, known.alarm.reason_en) != reasons:  # not worth a write
            known.alarm = replace(known.alarm, reason_zh=reasons[0], reason_en=reasons[1])
        if not sources <= known.sources:
            known.sources |= sources
            self.is_changed = True

    def _wait(self, key: Key, fault: Fault, sources: set[str], now_us: int, mono_us: int) -> None:
        pending = self._pending.setdefault(key, _Pending(fault, now_us, mono_us))
        pending.fault = fault
        if mono_us - pending.since_mono_us >= TERMS[key[0]].lasts_s * US_PER_S:
            del self._pending[key]
            since_us = min(pending.since_us, now_us)  # the clock may have been set back
            self._begin(fault, since_us, sources, None)

    def _begin(self, fault: Fault, since_us: int, sources: set[str], lapses_us: int | None) -> None:
        if len(self._standing) >= STANDING_MAX:
            self.dropped += 1
            return
        alarm = Alarm(
            number=self._next,
            code=fault.code,
            subject=fault.subject,
            reason_zh=fault.reason_zh,
            reason_en=fault.reason_en,
            since_us=since_us,
            lapses_us=lapses_us,
        )
        self._next += 1
        self._standing[fault.key] = _Standing(alarm, sources)
        self._tell(alarm)

    def _end_if_gone(self, key: Key, now_us: int, mono_us: int, *, is_late: bool) -> None:
        known = self._standing[key]
        lapses_us = known.alarm.lapses_us
        if not is_late and not known.sources <= self._present.keys():
            return  # after a restart: who told of it has not looked yet
        if lapses_us is not None and now_us < lapses_us:
            return
        if known.gone_us is None or known.gone_mono_us is None:
            known.gone_us, known.gone_mono_us = now_us, mono_us
        if mono_us - known.gone_mono_us < TERMS[key[0]].quiet_s * US_PER_S:
            return
        del self._standing[key]
        alarm = replace(known.alarm, until_us=max(known.gone_us, known.alarm.since_us))
        self.ended = [*self.ended, alarm][-ENDED_MAX:]
        self._tell(alarm)

    def _tell(self, alarm: Alarm) -> None:
        self.untold.append(alarm)
        if len(self.untold) > UNTOLD_MAX:
            del self.untold[0]
            self.dropped += 1
        self.is_changed = True

    # On disk ---------------------------------------------------------------------------------

    def dumps(self) -> bytes:
        """The whole account, but for what does not last long enough yet."""
        document = {
            "next": self._next,
            "dropped": self.dropped,
            "standing": [
                {**asdict(one.alarm), "sources": sorted(one.sources)}
                for one in self._standing.values()
            ],
            "ended": [asdict(one) for one in self.ended],
            "untold": [asdict(one) for one in self.untold],
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()

    def loads(self, data: bytes) -> bool:
        """Go on from what :meth:`dumps` wrote; False (and nothing changed) where it cannot be read.

        Alarms of a kind that this version does not know are left out.
        """
        try:
            document = json.loads(data)
            standing = {
                alarm.key: _Standing(alarm, {str(one) for one in told["sources"]})
                for told in document["standing"]
                if (alarm := _alarm(told)) is not None
            }
            ended = [one for told in document["ended"] if (one := _alarm(told)) is not None]
            untold = [one for told in document["untold"] if (one := _alarm(told)) is not None]
            following, dropped = int(document["next"]), int(document["dropped"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        self._standing = dict(list(standing.items())[:STANDING_MAX])
        self.ended, self.untold = ended[-ENDED_MAX:], untold[-UNTOLD_MAX:]
        known = [one.number for one in (*self.standing, *ended, *untold)]
        self._next = max(following, *(number + 1 for number in known), 1)
        self.dropped = dropped
        return True


def _cut(fault: Fault) -> Fault:
    return replace(
        fault,
        subject=fault.subject[:SUBJECT_CHARACTERS_MAX],
        reason_zh=fault.reason_zh[:REASON_CHARACTERS_MAX],
        reason_en=fault.reason_en[:REASON_CHARACTERS_MAX],
    )


def _alarm(told: Any) -> Alarm | None:
    if str(told["code"]) not in frozenset(Code):
        return None
    return Alarm(
        number=int(told["number"]),
        code=Code(told["code"]),
        subject=str(told["subject"]),
        reason_zh=str(told["reason_zh"]),
        reason_en=str(told["reason_en"]),
        since_us=int(told["since_us"]),
        until_us=None if told["until_us"] is None else int(told["until_us"]),
        lapses_us=None if told["lapses_us"] is None else int(told["lapses_us"]),
    )


def document(alarm: Alarm) -> dict[str, Any]:
    """An alarm as ``/status``, the webhook and ``xueliang alarms --json`` tell it."""
    terms = TERMS[alarm.code]
    gb = terms.gb
    return {
        "number": alarm.number,
        "code": alarm.code.value,
        "about": terms.about.value,
        "subject": alarm.subject,
        "severity": terms.severity.value,
        "name_zh": terms.name_zh,
        "name_en": terms.name_en,
        "reason_zh": alarm.reason_zh,
        "reason_en": alarm.reason_en,
        "mend_zh": terms.mend_zh,
        "mend_en": terms.mend_en,
        "since_us": alarm.since_us,
        "until_us": alarm.until_us,
        "defect": terms.is_defect,
        "gb": None
        if gb is None
        else {"method": gb.method, "type": gb.type, "priority": gb.priority},
    }


def counts(standing: Iterable[Alarm]) -> Mapping[Code, int]:
    """How many stand of each kind, those with none too."""
    found = dict.fromkeys(Code, 0)
    for one in standing:
        found[one.code] += 1
    return found

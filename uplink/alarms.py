"""Alarms: what is wrong for long enough becomes one notification, kept until it was taken. Core.

GB/T 28181-2022 clauses 9.4 and A.2.5. :class:`AlarmBook` is one platform's account: which
conditions were told and not reset, and what still waits to be sent; it is written down as JSON by
its shell, so neither an outage of the platform nor a restart loses or repeats an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from uplink.catalog import short
from uplink.device import Device, Edition, SiteState
from uplink.manscdp.instants import US_PER_S, format_time
from uplink.manscdp.markup import leaf, node, optional
from uplink.manscdp.message import Head, Kind, Message

#: Edge must be away for so long before that is an alarm: it restarts.
LASTS_US = 15 * US_PER_S
#: A condition that went away and came back within this time was told already, unless the platform
#: reset it; many never do.
REARM_US = 600 * US_PER_S
WAITING_MAX = 1000
DESCRIPTION_CHARACTERS_MAX = 120
#: Method 5, type 13: "image occluded", of the edition of 2022.
_COVERED = (5, 13)
_ABNORMAL = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the standard names a condition: priority 1 is the highest of 4."""

    priority: int
    method: int  # 2 device, 5 video, 6 device fault, 7 other
    type: int | None
    text: str


#: What uplink finds by itself; all else stands in edge's register, with its terms.
RECORDER_STOPPED = "recorder_stopped"
ORDER_REFUSED = "order_refused"  # happened, and is over
TERMS: Mapping[str, Terms] = {
    RECORDER_STOPPED: Terms(priority=1, method=7, type=None, text="录像服务停止 recorder stopped"),
    ORDER_REFUSED: Terms(priority=3, method=7, type=None, text="危险命令被拒绝 order refused"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A condition that holds now, of a camera or (with ``camera`` empty) of the device."""

    camera: str
    condition: str
    terms: Terms
    detail: str = ""


def standing(state: SiteState) -> list[tuple[Standing, int]]:
    """What stands in edge's register, each with the instant since when (wall time): it has lasted
    there. Alarms that the standard has no terms for are not among them.
    """
    return [
        (
            Standing(
                camera=one.camera,
                condition=one.condition,
                terms=Terms(priority=one.priority, method=one.method, type=one.type, text=one.name),
                detail=one.detail,
            ),
            one.since_us,
        )
        for one in state.alarms
    ]


class RecorderWatch:
    """Tells whether edge has been away for so long that it is an alarm."""

    def __init__(self, lasts_us: int = LASTS_US) -> None:
        self._lasts_us = lasts_us
        self._since_us: int | None = None

    def observe(self, is_running: bool, now_us: int) -> int | None:
        """Since when, once it has lasted; instants are monotonic."""
        if is_running:
            self._since_us = None
        elif self._since_us is None:
            self._since_us = now_us
        is_lasting = self._since_us is not None and now_us - self._since_us >= self._lasts_us
        return self._since_us if is_lasting else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One notification, as it waits."""

    number: int  # rises by one for each alarm of the platform
    code: str  # DeviceID
    condition: str
    at_us: int
    terms: Terms
    detail: str = ""


@dataclass(slots=True)
class _Told:
    """What a platform knows to stand."""

    terms: Terms
    gone_us: int | None = None  # wall time
    has_end: bool = True  # False: it was over when it was told


class AlarmBook:
    """One platform's alarms: at most ``waiting_max`` wait, the oldest are let go and counted."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._next = 1
        self.waiting: list[Alarm] = []
        self.dropped = 0
        #: Told and not to be told again yet.
        self._told: dict[tuple[str, str], _Told] = {}
        self.is_changed = False

    def observe(
        self,
        device: Device,
        lasting: Iterable[tuple[Standing, int]],
        now_us: int,
        *,
        is_known: bool = True,
    ) -> None:
        """Take what stands; what this platform may not see is left out.

        The standard knows no end of an alarm (but for the Catalog's ON), so an end goes as an alarm
        of its own of the lowest priority, method "other" and no type, which names what is over; it
        waits for :data:`REARM_US`, and a condition that comes back meanwhile has not ended.

        Args:
            lasting: each with the instant since when, wall time as ``now_us``.
            is_known: False while edge is away: nobody knows what ends.
        """
        codes = {one.camera: one.gb_id for one in device.channels} | {"": device.device_id}
        present: set[tuple[str, str]] = set()
        for one, since_us in lasting:
            code = codes.get(one.camera)
            if code is None:
                continue
            key = (code, one.condition)
            present.add(key)
            told = self._told.get(key)
            if told is None:
                self._add(code, one, since_us)
                self._told[key] = _Told(one.terms)
            elif told.gone_us is not None:
                told.gone_us, told.has_end = None, True
                self.is_changed = True
        if not is_known:
            return
        for key in [key for key in self._told if key not in present]:
            self._end(key, self._told[key], now_us)

    def _end(self, key: tuple[str, str], told: _Told, now_us: int) -> None:
        code, condition = key
        if told.gone_us is None:
            told.gone_us = now_us
            self.is_changed = True
        elif not 0 <= now_us - told.gone_us < REARM_US:
            del self._told[key]
            self.is_changed = True
            if told.has_end:
                terms = Terms(
                    priority=4, method=7, type=None, text=f"恢复 ended: {told.terms.text}"
                )
                one = Standing(camera="", condition=f"{condition} ended", terms=terms)
                self._add(code, one, told.gone_us)

    def happened(self, code: str, condition: str, detail: str, now_us: int) -> bool:
        """Something that is over already; False where the platform heard of the like so recently
        that it is not told."""
        key = (code, condition)
        if key in self._told:
            return False
        terms = TERMS[condition]
        one = Standing(camera="", condition=condition, terms=terms, detail=detail)
        self._add(code, one, now_us)
        self._told[key] = _Told(terms, gone_us=now_us, has_end=False)
        return True

    def reset(self, code: str, device_id: str, method: str, kind: str) -> int:
        """AlarmCmd ResetAlarm: conditions that last are told again; how many were reset."""
        found = [
            key
            for key, told in self._told.items()
            if code in (key[0], device_id)
            and method in ("", str(told.terms.method))
            and kind in ("", str(told.terms.type), str(type_of(told.terms, "2016")))
        ]
        for key in found:
            del self._told[key]
            self.is_changed = True
        return len(found)

    def is_alarming(self, code: str) -> bool:
        """Whether something told of this code still lasts."""
        return any(key[0] == code and told.gone_us is None for key, told in self._told.items())

    def taken(self, number: int) -> None:
        """The platform has it (or will never take it)."""
        self.waiting = [alarm for alarm in self.waiting if alarm.number != number]
        self.is_changed = True

    def _add(self, code: str, one: Standing, at_us: int) -> None:
        alarm = Alarm(
            number=self._next,
            code=code,
            condition=one.condition,
            at_us=at_us,
            terms=one.terms,
            detail=one.detail,
        )
        self._next += 1
        self.waiting.append(alarm)
        if len(self.waiting) > self._waiting_max:
            del self.waiting[0]
            self.dropped += 1
        self.is_changed = True

    # On disk -------------------------------------------------------------------------------

    def dumps(self) -> bytes:
        """The whole account."""
        document = {
            "next": self._next,
            "dropped": self.dropped,
            "waiting": [asdict(alarm) for alarm in self.waiting],
            "told": [
                {
                    "code": code,
                    "condition": condition,
                    "terms": asdict(told.terms),
                    "gone_us": told.gone_us,
                    "has_end": told.has_end,
                }
                for (code, condition), told in self._told.items()
            ],
        }
        return json.dumps(document, ensure_ascii=False).encode()

    def loads(self, data: bytes) -> bool:
        """Go on from what :meth:`dumps` wrote; False (and empty) where it cannot be read."""
        try:
            document = json.loads(data)
            waiting = [_alarm(one) for one in document["waiting"]][-self._waiting_max :]
            told = {
                (str(one["code"]), str(one["condition"])): _Told(
                    _terms(one["terms"]),
                    gone_us=None if one["gone_us"] is None else int(one["gone_us"]),
                    has_end=bool(one["has_end"]),
                )
                for one in document["told"]
            }
            following, dropped = int(document["next"]), int(document["dropped"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        self.waiting, self._told = waiting, told
        self._next = max([following, *(alarm.number + 1 for alarm in waiting)])
        self.dropped = dropped
        return True


def _alarm(one: Any) -> Alarm:
    return Alarm(
        number=int(one["number"]),
        code=str(one["code"]),
        condition=str(one["condition"]),
        at_us=int(one["at_us"]),
        terms=_terms(one["terms"]),
        detail=str(one["detail"]),
    )


def _terms(one: Any) -> Terms:
    return Terms(
        priority=int(one["priority"]),
        method=int(one["method"]),
        type=None if one["type"] is None else int(one["type"]),
        text=str(one["text"]),
    )


# On the wire ---------------------------------------------------------------------------------


def type_of(terms: Terms, edition: Edition) -> int | None:
    """AlarmType: a covered picture is an abnormal one (11) in the edition of 2016."""
    is_new = (terms.method, terms.type) == _COVERED
    return _ABNORMAL if is_new and edition == "2016" else terms.type


def body(alarm: Alarm, device: Device, sn: str) -> bytes:
    """The Alarm notification."""
    terms = alarm.terms
    text = f"{terms.text} {alarm.detail}".strip()
    channel = device.channel(alarm.code)
    kind = type_of(terms, device.edition)
    longitude = channel.longitude if channel is not None else device.longitude
    latitude = channel.latitude if channel is not None else device.latitude
    return Head(kind=Kind.NOTIFY, command="Alarm", sn=sn, device_id=alarm.code).body(
        device.charset,
        leaf("AlarmPriority", terms.priority),
        leaf("AlarmMethod", terms.method),
        leaf("AlarmTime", format_time(alarm.at_us)),
        leaf("AlarmDescription", short(text, DESCRIPTION_CHARACTERS_MAX)),
        optional("Longitude", None if longitude is None else f"{longitude:.6f}"),
        optional("Latitude", None if latitude is None else f"{latitude:.6f}"),
        None if kind is None else node("Info", leaf("AlarmType", kind)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFilter:
    """What an Alarm subscription wants to hear."""

    first_priority: int = 1
    last_priority: int = 4
    methods: frozenset[str] = frozenset()  # empty: every one

    def takes(self, alarm: Alarm) -> bool:
        terms = alarm.terms
        is_method = not self.methods or str(terms.method) in self.methods
        return is_method and self.first_priority <= terms.priority <= self.last_priority


def alarm_filter(message: Message) -> AlarmFilter:
    """The filter of a subscription's body; what cannot be read does not filter.

    AlarmMethod is 0 for all, else a digit or several behind each other ("12").
    """
    first, last = message.number("StartAlarmPriority"), message.number("EndAlarmPriority")
    methods = frozenset(digit for digit in message.value("AlarmMethod") if digit.isdecimal())
    return AlarmFilter(
        first_priority=first or 1,
        last_priority=last or 4,
        methods=frozenset() if "0" in methods else methods,
    )

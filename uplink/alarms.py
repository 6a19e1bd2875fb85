"""Alarms: what is wrong for long enough becomes one notification, kept until it was taken. Core.

GB/T 28181-2022 clauses 9.4 and A.2.5. :class:`AlarmBook` is one platform's account: which
conditions were told and not reset, and what still waits to be sent; it is written down as JSON by
its shell, so neither an outage of the platform nor a restart loses or repeats an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from uplink.catalog import short
from uplink.device import Device, Presence, SiteState
from uplink.manscdp.instants import US_PER_S, format_time
from uplink.manscdp.markup import leaf, node, optional
from uplink.manscdp.message import Head, Kind, Message

#: A condition must last so long before it is an alarm: cameras flap.
LASTS_US = 15 * US_PER_S
#: A condition that went away and came back within this time was told already, unless the platform
#: reset it; many never do.
REARM_US = 600 * US_PER_S
WAITING_MAX = 1000
DESCRIPTION_CHARACTERS_MAX = 120
_STORAGE_OK = ("ok", "full")
#: The defect of a picture that the standard has an AlarmType of its own for.
COVERED = "covered"


class Condition(StrEnum):
    VIDEO_LOST = "video_lost"
    RECORDING_INTERRUPTED = "recording_interrupted"
    STORAGE_FAILED = "storage_failed"
    STORAGE_FULL = "storage_full"
    RETENTION_AT_RISK = "retention_at_risk"
    RECORDER_STOPPED = "recorder_stopped"
    PICTURE_COVERED = "picture_covered"
    PICTURE_ABNORMAL = "picture_abnormal"
    ORDER_REFUSED = "order_refused"  # happened, and is over


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """How the standard names a condition: priority 1 is the highest of 4."""

    priority: int
    method: int  # 2 device, 5 video, 6 device fault, 7 other
    type: int | None
    text: str
    type_2016: int | None = None  # where the edition of 2016 has another one


#: AlarmType of method 2: 1 video loss, 3 disk full; of method 5: 11 picture abnormal, 13 covered
#: (2022); of method 6: 1 disk fault.
TERMS: Mapping[Condition, _Terms] = {
    Condition.VIDEO_LOST: _Terms(priority=2, method=2, type=1, text="视频丢失 video lost"),
    Condition.RECORDING_INTERRUPTED: _Terms(
        priority=2, method=7, type=None, text="录像中断 recording interrupted"
    ),
    Condition.STORAGE_FAILED: _Terms(priority=1, method=6, type=1, text="存储故障 storage failure"),
    Condition.STORAGE_FULL: _Terms(priority=3, method=2, type=3, text="存储已满 storage full"),
    Condition.RETENTION_AT_RISK: _Terms(
        priority=1, method=7, type=None, text="录像保存天数不足风险 retention at risk"
    ),
    Condition.RECORDER_STOPPED: _Terms(
        priority=1, method=7, type=None, text="录像服务停止 recorder stopped"
    ),
    Condition.PICTURE_COVERED: _Terms(
        priority=2, method=5, type=13, type_2016=11, text="画面遮挡 picture covered"
    ),
    Condition.PICTURE_ABNORMAL: _Terms(
        priority=3, method=5, type=11, text="画面异常 picture abnormal"
    ),
    Condition.ORDER_REFUSED: _Terms(
        priority=3, method=7, type=None, text="危险命令被拒绝 order refused"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A condition that holds now, of a camera or (with ``camera`` empty) of the device."""

    camera: str
    condition: Condition
    detail: str = ""


def standing(state: SiteState, cameras: Iterable[str]) -> list[Standing]:
    """What is wrong now, as far as ``edge`` told.

    Storage that is full is the rule in a band of days: it is an alarm only where nothing is free
    on any volume.
    """
    if not state.is_running:
        return [Standing(camera="", condition=Condition.RECORDER_STOPPED)]
    found = [one for camera in cameras for one in _camera_standing(camera, state)]
    broken = [
        f"disk {number}: {volume.state}"
        for number, volume in enumerate(state.volumes, start=1)
        if volume.state not in _STORAGE_OK
    ]
    if broken:
        detail = ", ".join(broken)
        found.append(Standing(camera="", condition=Condition.STORAGE_FAILED, detail=detail))
    elif state.volumes and all(volume.state == "full" for volume in state.volumes):
        found.append(Standing(camera="", condition=Condition.STORAGE_FULL))
    if state.retention_risk:
        found.append(
            Standing(camera="", condition=Condition.RETENTION_AT_RISK, detail=state.retention_risk)
        )
    return found


def _camera_standing(camera: str, state: SiteState) -> Iterator[Standing]:
    known = state.cameras.get(camera)
    if known is None:
        return  # not in service
    if known.presence is not Presence.ON:
        yield Standing(camera=camera, condition=Condition.VIDEO_LOST, detail=known.cause)
        return
    if not known.is_recording:
        yield Standing(camera=camera, condition=Condition.RECORDING_INTERRUPTED, detail=known.cause)
    covered = [code for code in known.defects if COVERED in code]
    if covered:
        yield Standing(camera=camera, condition=Condition.PICTURE_COVERED)
    others = [code for code in known.defects if code not in covered]
    if others:
        detail = ", ".join(others)
        yield Standing(camera=camera, condition=Condition.PICTURE_ABNORMAL, detail=detail)


class AlarmWatch:
    """Tells which conditions have lasted; one for the site."""

    def __init__(self, lasts_us: int = LASTS_US) -> None:
        self._lasts_us = lasts_us
        self._since_us: dict[tuple[str, Condition], int] = {}

    def observe(self, now: Iterable[Standing], now_us: int) -> list[tuple[Standing, int]]:
        """Those that have lasted for long enough, each with the instant since when.

        Args:
            now_us: monotonic, as the instants are.
        """
        present = {(one.camera, one.condition): one for one in now}
        self._since_us = {key: self._since_us.get(key, now_us) for key in present}
        return [
            (one, self._since_us[key])
            for key, one in present.items()
            if now_us - self._since_us[key] >= self._lasts_us
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One notification, as it waits."""

    number: int  # rises by one for each alarm of the platform
    code: str  # DeviceID
    condition: Condition
    at_us: int
    detail: str = ""


class AlarmBook:
    """One platform's alarms: at most ``waiting_max`` wait, the oldest are let go and counted."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._next = 1
        self.waiting: list[Alarm] = []
        self.dropped = 0
        #: Told and not to be told again yet: when it was told, and since when it is gone.
        self._told: dict[tuple[str, Condition], tuple[int, int | None]] = {}
        self.is_changed = False

    def observe(self, device: Device, lasting: Iterable[tuple[Standing, int]], now_us: int) -> None:
        """Take what has lasted (wall time); what this platform may not see is left out."""
        codes = {one.camera: one.gb_id for one in device.channels} | {"": device.device_id}
        present: set[tuple[str, Condition]] = set()
        for one, since_us in lasting:
            code = codes.get(one.camera)
            if code is None:
                continue
            key = (code, one.condition)
            present.add(key)
            if key not in self._told:
                self._add(code, one, since_us)
                self._told[key] = (now_us, None)
            elif self._told[key][1] is not None:
                self._told[key] = (self._told[key][0], None)
                self.is_changed = True
        for key, (told_us, gone_us) in list(self._told.items()):
            if key in present:
                continue
            if gone_us is None:
                self._told[key] = (told_us, now_us)
                self.is_changed = True
            elif not 0 <= now_us - gone_us < REARM_US:
                del self._told[key]
                self.is_changed = True

    def happened(self, code: str, condition: Condition, detail: str, now_us: int) -> bool:
        """Something that is over already; False where the platform heard of the like so recently
        that it is not told."""
        key = (code, condition)
        if key in self._told:
            return False
        self._add(code, Standing(camera="", condition=condition, detail=detail), now_us)
        self._told[key] = (now_us, now_us)
        return True

    def reset(self, code: str, device_id: str, method: str, kind: str) -> int:
        """AlarmCmd ResetAlarm: conditions that last are told again; how many were reset."""
        found = [
            key
            for key in self._told
            if code in (key[0], device_id)
            and method in ("", str(TERMS[key[1]].method))
            and kind in ("", str(TERMS[key[1]].type), str(TERMS[key[1]].type_2016))
        ]
        for key in found:
            del self._told[key]
            self.is_changed = True
        return len(found)

    def is_alarming(self, code: str) -> bool:
        """Whether something told of this code still lasts."""
        return any(key[0] == code and gone is None for key, (_, gone) in self._told.items())

    def taken(self, number: int) -> None:
        """The platform has it (or will never take it)."""
        self.waiting = [alarm for alarm in self.waiting if alarm.number != number]
        self.is_changed = True

    def _add(self, code: str, one: Standing, at_us: int) -> None:
        alarm = Alarm(
            number=self._next, code=code, condition=one.condition, at_us=at_us, detail=one.detail
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
                [code, condition.value, told_us, gone_us]
                for (code, condition), (told_us, gone_us) in self._told.items()
            ],
        }
        return json.dumps(document, ensure_ascii=False).encode()

    def loads(self, data: bytes) -> bool:
        """Go on from what :meth:`dumps` wrote; False (and empty) where it cannot be read."""
        try:
            document = json.loads(data)
            waiting = [_alarm(one) for one in document["waiting"]][-self._waiting_max :]
            told = {
                (str(code), Condition(condition)): (
                    int(told_us),
                    None if gone_us is None else int(gone_us),
                )
                for code, condition, told_us, gone_us in document["told"]
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
        condition=Condition(one["condition"]),
        at_us=int(one["at_us"]),
        detail=str(one["detail"]),
    )


# On the wire ---------------------------------------------------------------------------------


def body(alarm: Alarm, device: Device, sn: str) -> bytes:
    """The Alarm notification."""
    terms = TERMS[alarm.condition]
    text = f"{terms.text} {alarm.detail}".strip()
    channel = device.channel(alarm.code)
    kind = terms.type_2016 if terms.type_2016 and device.edition == "2016" else terms.type
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
        terms = TERMS[alarm.condition]
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

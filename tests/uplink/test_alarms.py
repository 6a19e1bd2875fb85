"""Alarms: told once, kept until taken, told again after a reset."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    STATE,
    T0,
    YARD,
    ask,
    judged,
)
from uplink import alarms
from uplink.alarms import (
    LASTS_US,
    ORDER_REFUSED,
    REARM_US,
    AlarmBook,
    AlarmFilter,
    RecorderWatch,
    Standing,
    Terms,
    alarm_filter,
    body,
    standing,
)
from uplink.device import SiteState

LOST_TERMS = Terms(priority=2, method=2, type=1, text="视频丢失 video lost")
DISK_TERMS = Terms(priority=1, method=6, type=1, text="存储故障 storage failure")
LOST = Standing(camera="yard", condition="video_lost", terms=LOST_TERMS, detail="camera_offline")
DISK = Standing(camera="", condition="storage_failed /a", terms=DISK_TERMS)


def test_what_stands_is_what_edge_tells() -> None:
    found = replace(LOST, detail="摄像机离线 camera_offline")
    assert standing(STATE) == [(found, T0)]
    assert standing(SiteState()) == []


def _picture(condition: str, kind: int) -> Standing:
    terms = Terms(priority=3, method=5, type=kind, text=condition)
    return Standing(camera="gate", condition=condition, terms=terms)


def test_a_covered_picture_has_another_type_in_each_edition() -> None:
    book = AlarmBook()
    both = [(_picture("picture_covered", 13), T0), (_picture("picture_blurred", 11), T0)]
    book.observe(DEVICE_2022, both, T0)
    found = {
        device.edition: [
            (root.findtext("AlarmMethod"), root.findtext("Info/AlarmType"))
            for one in book.waiting
            for root in [judged(body(one, device, "1"))]
        ]
        for device in (DEVICE_2016, DEVICE_2022)
    }
    assert found == {"2016": [("5", "11"), ("5", "11")], "2022": [("5", "13"), ("5", "11")]}
    assert book.reset(GATE, DEVICE, "5", "11") == 2


def test_what_happened_is_told_once_in_a_while_and_alarms_nobody_for_long() -> None:
    book = AlarmBook()
    assert book.happened(DEVICE, ORDER_REFUSED, "StopRecord", T0)
    assert not book.happened(DEVICE, ORDER_REFUSED, "TeleBoot", T0 + 1)
    assert not book.is_alarming(DEVICE)
    assert [one.detail for one in book.waiting] == ["StopRecord"]
    root = judged(body(book.waiting[0], DEVICE_2016, "1"))
    assert root.findtext("AlarmDescription") == "危险命令被拒绝 order refused StopRecord"
    again = AlarmBook()
    assert again.loads(book.dumps())
    again.observe(DEVICE_2016, [], T0 + REARM_US - 1)
    assert not again.happened(DEVICE, ORDER_REFUSED, "TeleBoot", T0 + REARM_US - 1)
    again.observe(DEVICE_2016, [], T0 + REARM_US)
    assert again.happened(DEVICE, ORDER_REFUSED, "TeleBoot", T0 + REARM_US)


def test_a_recorder_that_restarts_is_no_alarm() -> None:
    watch = RecorderWatch()
    assert watch.observe(False, T0) is None
    assert watch.observe(False, T0 + LASTS_US - 1) is None
    assert watch.observe(True, T0 + LASTS_US) is None
    assert watch.observe(False, T0 + LASTS_US + 1) is None
    assert watch.observe(False, T0 + 2 * LASTS_US + 1) == T0 + LASTS_US + 1
    assert watch.observe(True, T0 + 3 * LASTS_US) is None


def _book() -> AlarmBook:
    return AlarmBook(waiting_max=5)


def test_an_alarm_is_told_once_and_waits_until_it_was_taken() -> None:
    book = _book()
    for n in range(3):
        book.observe(DEVICE_2016, [(LOST, T0)], T0 + n)
    (alarm,) = book.waiting
    assert (alarm.code, alarm.condition, alarm.at_us) == (YARD, "video_lost", T0)
    assert book.is_alarming(YARD)
    assert not book.is_alarming(GATE)
    book.taken(alarm.number)
    assert book.waiting == []
    book.observe(DEVICE_2016, [(LOST, T0)], T0 + 9)
    assert book.waiting == []


def test_it_is_told_again_after_a_reset_or_long_after_it_was_gone() -> None:
    book = _book()
    book.observe(DEVICE_2016, [(LOST, T0)], T0)
    assert book.reset(GATE, DEVICE, "", "") == 0
    assert book.reset(YARD, DEVICE, "6", "") == 0  # another method
    assert book.reset(YARD, DEVICE, "2", "1") == 1
    book.observe(DEVICE_2016, [(LOST, T0)], T0 + 1)
    assert len(book.waiting) == 2
    book.observe(DEVICE_2016, [], T0 + 2)
    assert not book.is_alarming(YARD)
    book.observe(DEVICE_2016, [(LOST, T0)], T0 + 3)  # back at once: flapping
    assert len(book.waiting) == 2
    book.observe(DEVICE_2016, [], T0 + 4)
    book.observe(DEVICE_2016, [], T0 + 4 + REARM_US)
    assert len(book.waiting) == 3  # its end
    book.observe(DEVICE_2016, [(LOST, T0)], T0 + 5 + REARM_US)
    assert len(book.waiting) == 4
    assert book.reset(DEVICE, DEVICE, "", "") == 1  # the device: everything


def test_a_platform_hears_only_of_what_it_may_see() -> None:
    book = _book()
    one = replace(DEVICE_2016, channels=DEVICE_2016.channels[:1])
    book.observe(one, [(LOST, T0), (DISK, T0)], T0)
    assert [alarm.code for alarm in book.waiting] == [DEVICE]


def test_the_oldest_goes_when_too_many_wait() -> None:
    book = _book()
    for n in range(8):
        book.observe(DEVICE_2016, [(LOST, T0 + n)], T0 + n)
        book.reset(DEVICE, DEVICE, "", "")
    assert book.dropped == 3
    assert [alarm.at_us - T0 for alarm in book.waiting] == [3, 4, 5, 6, 7]


def test_a_book_survives_a_restart() -> None:
    book = _book()
    book.observe(DEVICE_2016, [(LOST, T0)], T0)
    again = _book()
    assert again.loads(book.dumps())
    assert again.waiting == book.waiting
    again.observe(DEVICE_2016, [(LOST, T0)], T0 + 1)
    assert len(again.waiting) == 1  # it was told before
    again.reset(YARD, DEVICE, "", "")
    again.observe(DEVICE_2016, [(LOST, T0)], T0 + 2)
    assert [alarm.number for alarm in again.waiting] == [1, 2]


@given(
    st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace"))
)
def test_a_damaged_book_begins_anew(data: bytes) -> None:
    book = _book()
    assert book.loads(data) in (True, False)
    book.observe(DEVICE_2016, [(LOST, T0)], T0)
    assert book.waiting


def test_an_end_is_told_once_as_the_least_of_alarms() -> None:
    book = _book()
    book.observe(DEVICE_2016, [(LOST, T0), (DISK, T0)], T0)
    for alarm in list(book.waiting):
        book.taken(alarm.number)
    book.observe(DEVICE_2016, [], T0 + 1, is_known=False)  # edge is away: nobody knows
    book.observe(DEVICE_2016, [], T0 + 1 + 2 * REARM_US, is_known=False)
    book.observe(DEVICE_2016, [(DISK, T0)], T0 + 2 + 2 * REARM_US)
    assert book.waiting == []
    again = _book()
    assert again.loads(book.dumps())
    again.observe(DEVICE_2016, [(DISK, T0)], T0 + 2 + 3 * REARM_US)
    again.observe(DEVICE_2016, [(DISK, T0)], T0 + 3 + 9 * REARM_US)
    (ended,) = again.waiting
    assert (ended.code, ended.at_us) == (YARD, T0 + 2 + 2 * REARM_US)
    root = judged(body(ended, DEVICE_2016, "5"))
    assert root.findtext("AlarmPriority") == "4"
    assert root.findtext("AlarmMethod") == "7"
    assert root.findtext("Info/AlarmType") is None
    assert root.findtext("AlarmDescription") == "恢复 ended: 视频丢失 video lost"


@pytest.mark.parametrize("terms", [*alarms.TERMS.values(), LOST_TERMS, DISK_TERMS])
def test_bodies(terms: Terms) -> None:
    alarm = alarms.Alarm(number=1, code=GATE, condition="any", at_us=T0, terms=terms, detail="why")
    root = judged(body(alarm, DEVICE_2016, "5"))
    assert (root.tag, root.findtext("CmdType"), root.findtext("DeviceID")) == (
        "Notify",
        "Alarm",
        GATE,
    )
    assert root.findtext("AlarmPriority") == str(terms.priority)
    assert root.findtext("AlarmMethod") == str(terms.method)
    assert root.findtext("Info/AlarmType") == (None if terms.type is None else str(terms.type))
    assert root.findtext("AlarmTime") == "2026-11-23T08:00:00"
    assert (root.findtext("AlarmDescription") or "").endswith("why")
    assert root.findtext("Longitude") == "118.376451"


def test_subscriptions_filter() -> None:
    # the open platform's own body, with its broken element
    message = ask(
        "Alarm",
        "<StartAlarmPriority>1</StartAlarmPriority><EndAlarmPriority>4/EndAlarmPriority>"
        "<AlarmMethod>0</AlarmMethod>",
    )
    assert alarm_filter(message) == AlarmFilter()
    disks = alarm_filter(ask("Alarm", "<AlarmMethod>56</AlarmMethod>"))
    lost = alarms.Alarm(number=1, code=GATE, condition="video_lost", at_us=T0, terms=LOST_TERMS)
    assert not disks.takes(lost)
    assert disks.takes(replace(lost, terms=DISK_TERMS))
    urgent = alarm_filter(ask("Alarm", "<EndAlarmPriority>1</EndAlarmPriority>"))
    assert not urgent.takes(lost)
    assert alarm_filter(ask("Alarm")).takes(lost)

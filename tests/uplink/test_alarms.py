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
    ON,
    STATE,
    T0,
    YARD,
    ask,
    judged,
)
from uplink import alarms
from uplink.alarms import (
    LASTS_US,
    REARM_US,
    AlarmBook,
    AlarmFilter,
    AlarmWatch,
    Condition,
    Standing,
    alarm_filter,
    body,
    standing,
)
from uplink.device import CameraState, Presence, SiteState, VolumeState

CAMERAS = ("gate", "yard")
LOST = Standing(camera="yard", condition=Condition.VIDEO_LOST, detail="camera_offline")


def _conditions(state: SiteState) -> list[tuple[str, Condition]]:
    return [(one.camera, one.condition) for one in standing(state, CAMERAS)]


def test_conditions_are_read_from_the_state() -> None:
    assert _conditions(STATE) == [("yard", Condition.VIDEO_LOST)]
    silent = replace(ON, is_recording=False, cause="disk_slow")
    both = {"gate": silent, "yard": ON}
    assert _conditions(replace(STATE, cameras=both)) == [("gate", Condition.RECORDING_INTERRUPTED)]
    well = {"gate": ON, "yard": ON}
    assert _conditions(replace(STATE, cameras=well)) == []
    full = VolumeState(name="a", state="full")
    failed = VolumeState(name="b", state="failed")
    assert _conditions(replace(STATE, cameras=well, volumes=(full, failed))) == [
        ("", Condition.STORAGE_FAILED)
    ]
    assert _conditions(replace(STATE, cameras=well, volumes=(full,))) == [
        ("", Condition.STORAGE_FULL)
    ]
    risky = replace(STATE, cameras=well, retention_risk="71 days")
    assert _conditions(risky) == [("", Condition.RETENTION_AT_RISK)]
    assert _conditions(SiteState()) == [("", Condition.RECORDER_STOPPED)]


def test_defects_of_a_picture_are_video_alarms() -> None:
    defects = ("picture_blurred", "picture_covered", "picture_striped")
    state = replace(STATE, cameras={"gate": replace(ON, defects=defects), "yard": ON})
    assert standing(state, CAMERAS) == [
        Standing(camera="gate", condition=Condition.PICTURE_COVERED),
        Standing(
            camera="gate",
            condition=Condition.PICTURE_ABNORMAL,
            detail="picture_blurred, picture_striped",
        ),
    ]
    book = AlarmBook()
    book.observe(DEVICE_2022, [(one, T0) for one in standing(state, CAMERAS)], T0)
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
    assert book.happened(DEVICE, Condition.ORDER_REFUSED, "StopRecord", T0)
    assert not book.happened(DEVICE, Condition.ORDER_REFUSED, "TeleBoot", T0 + 1)
    assert not book.is_alarming(DEVICE)
    assert [one.detail for one in book.waiting] == ["StopRecord"]
    root = judged(body(book.waiting[0], DEVICE_2016, "1"))
    assert root.findtext("AlarmDescription") == "危险命令被拒绝 order refused StopRecord"
    again = AlarmBook()
    assert again.loads(book.dumps())
    again.observe(DEVICE_2016, [], T0 + REARM_US - 1)
    assert not again.happened(DEVICE, Condition.ORDER_REFUSED, "TeleBoot", T0 + REARM_US - 1)
    again.observe(DEVICE_2016, [], T0 + REARM_US)
    assert again.happened(DEVICE, Condition.ORDER_REFUSED, "TeleBoot", T0 + REARM_US)


def test_what_does_not_last_is_no_alarm() -> None:
    watch = AlarmWatch()
    assert watch.observe([LOST], T0) == []
    assert watch.observe([LOST], T0 + LASTS_US - 1) == []
    assert watch.observe([], T0 + LASTS_US) == []
    assert watch.observe([LOST], T0 + LASTS_US + 1) == []
    assert watch.observe([LOST], T0 + 2 * LASTS_US + 1) == [(LOST, T0 + LASTS_US + 1)]


def _book() -> AlarmBook:
    return AlarmBook(waiting_max=5)


def test_an_alarm_is_told_once_and_waits_until_it_was_taken() -> None:
    book = _book()
    for n in range(3):
        book.observe(DEVICE_2016, [(LOST, T0)], T0 + n)
    (alarm,) = book.waiting
    assert (alarm.code, alarm.condition, alarm.at_us) == (YARD, Condition.VIDEO_LOST, T0)
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
    book.observe(DEVICE_2016, [(LOST, T0)], T0 + 5 + REARM_US)
    assert len(book.waiting) == 3
    assert book.reset(DEVICE, DEVICE, "", "") == 1  # the device: everything


def test_a_platform_hears_only_of_what_it_may_see() -> None:
    book = _book()
    one = replace(DEVICE_2016, channels=DEVICE_2016.channels[:1])
    disk = Standing(camera="", condition=Condition.STORAGE_FAILED)
    book.observe(one, [(LOST, T0), (disk, T0)], T0)
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


@pytest.mark.parametrize(
    ("condition", "priority", "method", "kind"),
    [
        (Condition.VIDEO_LOST, "2", "2", "1"),
        (Condition.STORAGE_FAILED, "1", "6", "1"),
        (Condition.STORAGE_FULL, "3", "2", "3"),
        (Condition.RECORDING_INTERRUPTED, "2", "7", None),
        (Condition.RETENTION_AT_RISK, "1", "7", None),
        (Condition.RECORDER_STOPPED, "1", "7", None),
    ],
)
def test_bodies(condition: Condition, priority: str, method: str, kind: str | None) -> None:
    alarm = alarms.Alarm(number=1, code=GATE, condition=condition, at_us=T0, detail="why")
    root = judged(body(alarm, DEVICE_2016, "5"))
    assert (root.tag, root.findtext("CmdType"), root.findtext("DeviceID")) == (
        "Notify",
        "Alarm",
        GATE,
    )
    assert root.findtext("AlarmPriority") == priority
    assert root.findtext("AlarmMethod") == method
    assert root.findtext("Info/AlarmType") == kind
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
    lost = alarms.Alarm(number=1, code=GATE, condition=Condition.VIDEO_LOST, at_us=T0)
    assert not disks.takes(lost)
    assert disks.takes(replace(lost, condition=Condition.STORAGE_FAILED))
    urgent = alarm_filter(ask("Alarm", "<EndAlarmPriority>1</EndAlarmPriority>"))
    assert not urgent.takes(lost)
    assert alarm_filter(ask("Alarm")).takes(lost)


def test_a_camera_out_of_service_raises_nothing() -> None:
    assert standing(SiteState(is_running=True), CAMERAS) == []
    blind = CameraState(presence=Presence.VLOST, cause="camera_auth")
    state = SiteState(is_running=True, cameras={"gate": blind})
    assert standing(state, CAMERAS)[0].detail == "camera_auth"

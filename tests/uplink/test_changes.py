"""What subscribers hear of the Catalog."""

from __future__ import annotations

from dataclasses import replace

from tests.uplink.bodies import (
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    GATE_CHANNEL,
    ON,
    STATE,
    YARD,
    judged,
)
from uplink.changes import SETTLES_US, CatalogWatch, Change, Event, bodies
from uplink.device import CameraState, Presence

ALL_ON = replace(STATE, cameras={"gate": ON, "yard": ON})
BLIND = replace(STATE, cameras={"gate": replace(ON, presence=Presence.VLOST), "yard": ON})


def test_a_new_subscriber_hears_what_is_not_on() -> None:
    watch = CatalogWatch()
    assert watch.observe(DEVICE_2016, STATE, 0) == []
    assert watch.begin(DEVICE_2016, STATE, 0) == [Change(code=YARD, event=Event.OFF)]
    assert CatalogWatch().begin(DEVICE_2016, ALL_ON, 0) == []
    assert CatalogWatch().begin(DEVICE_2016, BLIND, 0) == [Change(code=GATE, event=Event.VLOST)]


def test_changes_are_told_once_they_have_settled() -> None:
    watch = CatalogWatch()
    watch.begin(DEVICE_2016, ALL_ON, 0)
    assert watch.observe(DEVICE_2016, STATE, 1) == []
    assert watch.observe(DEVICE_2016, ALL_ON, 2) == []  # it was a moment only
    assert watch.observe(DEVICE_2016, ALL_ON, 2 + SETTLES_US) == []
    assert watch.observe(DEVICE_2016, STATE, 3 + SETTLES_US) == []
    off = watch.observe(DEVICE_2016, STATE, 3 + 2 * SETTLES_US)
    assert off == [Change(code=YARD, event=Event.OFF)]
    assert watch.observe(DEVICE_2016, STATE, 4 + 9 * SETTLES_US) == []
    watch.observe(DEVICE_2016, ALL_ON, 5 + 9 * SETTLES_US)
    on = watch.observe(DEVICE_2016, ALL_ON, 5 + 10 * SETTLES_US)
    assert on == [Change(code=YARD, event=Event.ON)]


def test_a_defect_is_told_as_one_and_its_end_as_on() -> None:
    defect = replace(ALL_ON, cameras={"gate": replace(ON, defects=("blurred",)), "yard": ON})
    lost = replace(BLIND, cameras={"gate": replace(BLIND.camera("gate"), defects=("blurred",))})
    assert CatalogWatch().begin(DEVICE_2022, defect, 0) == [Change(code=GATE, event=Event.DEFECT)]
    watch = CatalogWatch(settles_us=1)
    watch.begin(DEVICE_2022, ALL_ON, 0)
    told = []
    for now, state in enumerate([defect, defect, defect, lost, lost, ALL_ON, ALL_ON, ALL_ON]):
        told += [one.event for one in watch.observe(DEVICE_2022, state, now) if one.code == GATE]
    assert told == [Event.DEFECT, Event.VLOST, Event.ON]
    (body,) = bodies([Change(code=GATE, event=Event.DEFECT)], DEVICE_2022, defect, "2022", "1", 900)
    assert judged(body).findtext("DeviceList/Item/Event") == "DEFECT"
    late = CatalogWatch(settles_us=1)  # a channel that is new and has a defect: ADD, then DEFECT
    late.begin(replace(DEVICE_2022, channels=DEVICE_2022.channels[1:]), defect, 0)
    found = [one for now in range(3) for one in late.observe(DEVICE_2022, defect, now)]
    assert [one.event for one in found] == [Event.ADD, Event.DEFECT]


def test_new_gone_and_changed_channels() -> None:
    watch = CatalogWatch()
    watch.begin(replace(DEVICE_2016, channels=DEVICE_2016.channels[:1]), ALL_ON, 0)
    added = watch.observe(DEVICE_2016, ALL_ON, 1)
    assert [(one.code, one.event) for one in added] == [(YARD, Event.ADD)]
    renamed = replace(GATE_CHANNEL, name="南门")
    changed = replace(DEVICE_2016, channels=(renamed,))
    assert watch.observe(changed, ALL_ON, 2) == [
        Change(code=YARD, event=Event.DEL),
        Change(code=GATE, event=Event.UPDATE, channel=renamed),
    ]


def test_bodies_carry_whole_items_only_where_they_are_new() -> None:
    changes = [
        Change(code=YARD, event=Event.VLOST),
        Change(code=GATE, event=Event.ADD, channel=GATE_CHANNEL),
    ]
    (body,) = bodies(changes, DEVICE_2022, STATE, "2022", "5", 4000)
    root = judged(body)
    assert (root.tag, root.findtext("SumNum")) == ("Notify", "2")
    lost, added = root.findall("DeviceList/Item")
    assert [child.tag for child in lost] == ["DeviceID", "Event"]
    assert [child.tag for child in added][:3] == ["DeviceID", "Event", "Name"]
    assert added.findtext("Status") == "ON"


def test_parts_count_themselves() -> None:
    changes = [Change(code=f"3402000000132{n:07}", event=Event.OFF) for n in range(250)]
    found = [judged(body) for body in bodies(changes, DEVICE_2016, STATE, "2016", "5", 900)]
    assert sum(int(root.findtext("SumNum") or 0) for root in found) == 250
    assert all(
        root.findtext("SumNum") == str(len(root.findall("DeviceList/Item"))) for root in found
    )
    large = list(bodies(changes, DEVICE_2016, STATE, "2016", "5", 60_000))
    assert len(large) == 3  # a hundred at most


def test_nothing_to_tell_is_told() -> None:
    (body,) = bodies([], DEVICE_2016, STATE, "2016", "5", 900)
    assert judged(body).findtext("SumNum") == "0"
    assert judged(body).find("DeviceList") is None


def test_a_recorder_that_is_not_there_has_no_camera_on() -> None:
    assert CameraState().presence is Presence.OFF

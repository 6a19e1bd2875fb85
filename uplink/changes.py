"""Changes of the Catalog, as a subscriber hears of them. Core.

GB/T 28181-2022 clause 9.11 and annex N: ON, OFF, VLOST, DEFECT, ADD, DEL, UPDATE. The subscriber
believes everything to be ON until told otherwise, so a new one hears at once of what is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from uplink.catalog import channel_item
from uplink.device import CameraState, Channel, Device, Edition, Presence, SiteState
from uplink.manscdp.charset import size
from uplink.manscdp.instants import US_PER_S
from uplink.manscdp.markup import Element, leaf, node, render
from uplink.manscdp.message import Head, Kind

#: A camera must stay as it is for so long before anybody hears of it.
SETTLES_US = 10 * US_PER_S
#: GB/T 28181-2022 annex N: at most so many in one notification.
CHANGES_PER_PART_MAX = 100


class Event(StrEnum):
    ON = "ON"
    OFF = "OFF"
    VLOST = "VLOST"
    DEFECT = "DEFECT"  # there is a picture, and something is wrong with it
    ADD = "ADD"
    DEL = "DEL"
    UPDATE = "UPDATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    code: str
    event: Event
    channel: Channel | None = None  # of ADD and UPDATE


@dataclass(slots=True)
class _Seen:
    """What a subscriber was told of a channel, and what it looks like since when."""

    channel: Channel
    told: Event
    now: Event
    since_us: int


class CatalogWatch:
    """What one platform was told of its channels; instants are monotonic.

    Where ``edge`` does not run, nothing is known of the cameras: they are OFF.
    """

    def __init__(self, settles_us: int = SETTLES_US) -> None:
        self._settles_us = settles_us
        self._seen: dict[str, _Seen] | None = None

    def begin(self, device: Device, state: SiteState, now_us: int) -> list[Change]:
        """A new subscriber: everything that is not ON."""
        self._seen = {
            one.gb_id: _Seen(one, event, event, now_us)
            for one in device.channels
            for event in [_event(state.camera(one.camera))]
        }
        return [
            Change(code=code, event=seen.told)
            for code, seen in self._seen.items()
            if seen.told is not Event.ON
        ]

    def observe(self, device: Device, state: SiteState, now_us: int) -> list[Change]:
        """What has changed and settled since; nothing before :meth:`begin`."""
        if self._seen is None:
            return []
        changes: list[Change] = []
        present = {one.gb_id: one for one in device.channels}
        for code in [code for code in self._seen if code not in present]:
            del self._seen[code]
            changes.append(Change(code=code, event=Event.DEL))
        for code, channel in present.items():
            event = _event(state.camera(channel.camera))
            seen = self._seen.get(code)
            if seen is None:
                # the item that goes along says ON or OFF
                told = Event.ON if event is Event.DEFECT else event
                self._seen[code] = _Seen(channel, told, event, now_us)
                changes.append(Change(code=code, event=Event.ADD, channel=channel))
                continue
            if seen.channel != channel:
                seen.channel = channel
                changes.append(Change(code=code, event=Event.UPDATE, channel=channel))
            if event is not seen.now:
                seen.now, seen.since_us = event, now_us
            if event is not seen.told and now_us - seen.since_us >= self._settles_us:
                seen.told = event
                changes.append(Change(code=code, event=event))
        return changes


def _event(camera: CameraState) -> Event:
    is_defect = camera.presence is Presence.ON and camera.defects
    return Event.DEFECT if is_defect else Event(camera.presence.value)


def bodies(
    changes: Sequence[Change],
    device: Device,
    state: SiteState,
    edition: Edition,
    sn: str,
    bytes_max: int,
) -> Iterator[bytes]:
    """Notifications: each tells in ``SumNum`` what it holds itself; without changes 0."""
    head = Head(kind=Kind.NOTIFY, command="Catalog", sn=sn, device_id=device.device_id)
    frame = len(_part(head, device, []))
    begun: list[Element] = []
    used = frame
    for change in changes:
        item = _item(change, device, state, edition)
        weight = size(render(item), device.charset)
        if begun and (used + weight > bytes_max or len(begun) >= CHANGES_PER_PART_MAX):
            yield _part(head, device, begun)
            begun, used = [], frame
        begun.append(item)
        used += weight
    if begun or not changes:
        yield _part(head, device, begun)


def _part(head: Head, device: Device, items: list[Element]) -> bytes:
    listed = Element("DeviceList", attributes={"Num": str(len(items))}, children=items)
    return head.body(device.charset, leaf("SumNum", len(items)), listed if items else None)


def _item(change: Change, device: Device, state: SiteState, edition: Edition) -> Element:
    if change.channel is not None:
        return channel_item(device, change.channel, state, edition, change.event.value)
    return node("Item", leaf("DeviceID", change.code), leaf("Event", change.event.value))

"""RecordInfo: the ledger's spans as items, cut so that checking platforms can add them up. Core.

GB/T 28181-2022 annex A.2.4 and A.2.6. A checking platform subtracts the items from the plan, day by
day: so an item never reaches over a gap or over midnight (Beijing), items never overlap, and what
is not a whole recorded second is not claimed. Short windows are cut further, to a set length; long
ones are not, else 90 days would be thousands of items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retention.timeline import Stretch
from uplink.catalog import NAME_CHARACTERS_MAX, short
from uplink.device import Channel, Device, Edition
from uplink.manscdp.instants import US_PER_S, format_time, parse_time
from uplink.manscdp.markup import Element, leaf, node, optional
from uplink.manscdp.message import Message, response

DAY_US = 86_400 * US_PER_S
#: Beijing's midnight in UTC.
ZONE_US = 8 * 3600 * US_PER_S
#: Longer windows are cut at gaps and midnights only.
CUT_WINDOW_MAX_US = 7 * DAY_US
#: Types of a query; ours are all "time": everything is recorded, always.
_TYPES = ("", "all", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a query asks for: ``[from_us, to_us)``; ``is_any`` unless it wants another type."""

    from_us: int
    to_us: int
    is_any: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One answer: whole seconds, start before end."""

    start_us: int
    end_us: int


def window(message: Message) -> Window | None:
    """The window of a query; None where it has no readable times or ends before it begins."""
    from_us = parse_time(message.value("StartTime"))
    to_us = parse_time(message.value("EndTime"))
    if from_us is None or to_us is None or to_us < from_us:
        return None
    return Window(from_us=from_us, to_us=to_us, is_any=message.value("Type").lower() in _TYPES)


def search_window(asked: Window, *, is_clipped: bool) -> tuple[int, int]:
    """What to ask the ledger: the window, or where true bounds are wanted the whole days of it."""
    if is_clipped:
        return asked.from_us, asked.to_us
    return _day(asked.from_us), _day(asked.to_us - 1) + DAY_US


def items(
    spans: Iterable[Stretch], asked: Window, *, longest_us: int, is_clipped: bool
) -> list[Item]:
    """The items of ``spans`` (sorted, apart from each other) in the window.

    Args:
        longest_us: where an item is cut at the latest in windows of up to 7 days; 0: only at
            midnight. Cuts lie on its multiples in Beijing time.
        is_clipped: cut to the window; else items that touch it are told with their true bounds.
    """
    if not asked.is_any:
        return []
    is_long = asked.to_us - asked.from_us > CUT_WINDOW_MAX_US
    step_us = DAY_US if is_long or longest_us <= 0 else min(longest_us, DAY_US)
    found: list[Item] = []
    for span in spans:
        start_us, end_us = span.start_us, span.end_us
        if is_clipped:
            start_us, end_us = max(start_us, asked.from_us), min(end_us, asked.to_us)
        for low_us, high_us in _cut(start_us, end_us, step_us):
            item = Item(start_us=-(-low_us // US_PER_S) * US_PER_S, end_us=_whole(high_us))
            touches = item.start_us < asked.to_us and item.end_us > asked.from_us
            if item.start_us < item.end_us and touches:
                found.append(item)
    return found


def answer(
    message: Message,
    device: Device,
    channel: Channel,
    edition: Edition,
    found: list[Item],
    bytes_max: int,
) -> Iterator[bytes]:
    """The bodies: ``SumNum`` is what they hold together."""
    name = short(channel.name, NAME_CHARACTERS_MAX)
    return response(message, device.device_id).parts(
        device.charset,
        leaf("Name", name),
        list_name="RecordList",
        items=(_element(item, name, device, channel, edition) for item in found),
        total=len(found),
        bytes_max=bytes_max,
    )


def _element(item: Item, name: str, device: Device, channel: Channel, edition: Edition) -> Element:
    is_new = edition == "2022"
    return node(
        "Item",
        leaf("DeviceID", channel.gb_id),
        leaf("Name", name),
        optional("Address", short(channel.address)),
        leaf("StartTime", format_time(item.start_us)),
        leaf("EndTime", format_time(item.end_us)),
        leaf("Secrecy", 0),
        leaf("Type", "time"),
        leaf("RecorderID", device.device_id),
        leaf("RecordLocation", device.device_id) if is_new else None,
        leaf("StreamNumber", 0) if is_new else None,
    )


def _cut(start_us: int, end_us: int, step_us: int) -> Iterator[tuple[int, int]]:
    """Pieces between multiples of ``step_us`` of Beijing's day."""
    while start_us < end_us:
        day_us = _day(start_us)
        next_us = day_us + ((start_us - day_us) // step_us + 1) * step_us
        next_us = min(next_us, day_us + DAY_US, end_us)
        yield start_us, next_us
        start_us = next_us


def _day(instant_us: int) -> int:
    """The midnight in Beijing at or before the instant."""
    return (instant_us + ZONE_US) // DAY_US * DAY_US - ZONE_US


def _whole(instant_us: int) -> int:
    return instant_us // US_PER_S * US_PER_S

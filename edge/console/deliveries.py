"""What was really handed out under a grant, until it is on record. Core: instants of now are
monotonic.

The reason is on record before the first picture (edge.console.grants); which part of the granted
range then went out is known only afterwards. It is told when the grant has ended, and of a long
look each few minutes, so that a power cut costs the record of no more than these. A browser
fetches some seconds ahead of what it shows: what is told is what left the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from edge.console.grants import Grant

#: How long something handed out may wait for its record.
RECORD_US = 5 * 60 * 1_000_000
#: Fragments that lie so close have nothing between them.
JOIN_US = 100_000


class What(StrEnum):
    """In what form footage went out."""

    PICTURES = "pictures"
    SOUND = "sound"
    STILL = "still"


@dataclass(slots=True, kw_only=True)
class Delivery:
    """Footage of one camera that went out under one grant and is not on record yet.

    ``fragments``: recorded ranges in UTC microseconds; a still is an instant, twice.
    ``size_bytes`` counts what was fetched again, too.
    """

    grant: Grant
    camera: str
    what: What
    since_us: int  # monotonic
    fragments: set[tuple[int, int]] = field(default_factory=set)
    size_bytes: int = 0

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return list(_joined(self.fragments))


class Deliveries:
    """What went out of one console."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, What], Delivery] = {}

    def note(
        self,
        grant: Grant,
        camera: str,
        what: What,
        fragments: Iterable[tuple[int, int]],
        size_bytes: int,
        now_us: int,
    ) -> None:
        """Before it goes out."""
        key = (grant.id, camera, what)
        found = self._waiting.get(key)
        if found is None:
            found = Delivery(grant=grant, camera=camera, what=what, since_us=now_us)
            self._waiting[key] = found
        found.fragments.update(fragments)
        found.size_bytes += size_bytes

    def take(self, is_in_force: Callable[[Grant], bool], now_us: int) -> list[Delivery]:
        """What is to be put on record now; it does not wait any more."""
        due = [
            key
            for key, one in self._waiting.items()
            if now_us - one.since_us >= RECORD_US or not is_in_force(one.grant)
        ]
        return [self._waiting.pop(key) for key in due]

    def put_back(self, one: Delivery) -> None:
        """Could not be put on record: waits on."""
        self.note(one.grant, one.camera, one.what, one.fragments, one.size_bytes, one.since_us)


def _joined(fragments: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order of time, with what follows on each other as one."""
    begun: tuple[int, int] | None = None
    for start_us, end_us in sorted(fragments):
        if begun is None:
            begun = (start_us, end_us)
        elif start_us <= begun[1] + JOIN_US:
            begun = (begun[0], max(begun[1], end_us))
        else:
            yield begun
            begun = (start_us, end_us)
    if begun is not None:
        yield begun

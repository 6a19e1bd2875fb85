"""Keeps what the pool tells of one camera, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge.camera.messages import StreamSource
from edge.camera.pool import Resolver
from retention.model import GapCause, MediaFormat, ReceivedUnit


class Events:
    """A :class:`edge.camera.events.CameraEvents` that remembers."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.formats: list[MediaFormat] = []
        self.units: list[ReceivedUnit] = []
        self.ends: list[tuple[GapCause, str]] = []
        self.thrown_away = 0
        self._changed = asyncio.Event()

    def connected(self) -> None:
        self._note("connected")

    def format_changed(self, media: MediaFormat) -> None:
        self.formats.append(media)
        self._note("format")

    def unit(self, unit: ReceivedUnit) -> None:
        self.units.append(unit)
        if self.order[-1] != "unit":
            self._note("unit")
        self._changed.set()

    def camera_time(self, offset_us: int) -> None:
        self._changed.set()

    def lost(self, packets: int, pictures: int) -> None:
        self.thrown_away += pictures
        self._changed.set()

    def ended(self, cause: GapCause, detail: str) -> None:
        self.ends.append((cause, detail))
        self._note("ended")

    async def until(self, fact: Callable[[Events], bool], seconds: float = 10) -> None:
        """Waits for a fact; TimeoutError with what was seen instead."""
        try:
            async with asyncio.timeout(seconds):
                while not fact(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"saw {self.order}, {len(self.units)} units, {self.ends}") from None

    def _note(self, what: str) -> None:
        self.order.append(what)
        self._changed.set()


def at(*urls: str, username: str = "", password: str = "") -> Resolver:
    """A resolver that always answers these addresses."""

    async def resolve() -> StreamSource:
        return StreamSource(urls=urls, username=username, password=password)

    return resolve

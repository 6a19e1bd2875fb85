"""The parts that answer platforms, built from the settings, connected to the user agent. Shell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from config.schema import Settings
from retention.clock import Clock
from uplink.alarm_desk import AlarmDesk
from uplink.edge_state import EdgeState
from uplink.footage import Footage
from uplink.handlers import Handlers
from uplink.media import Media
from uplink.media_metrics import MediaMetrics
from uplink.message_metrics import MessageMetrics
from uplink.messages import Messages
from uplink.orders import Orders
from uplink.ports import UserAgent
from uplink.records import Records
from uplink.session import Surroundings
from uplink.shedding import is_strained
from uplink.site import device_for
from uplink.snapshots import Snapshots

#: Of the state folder: what the uplink keeps for itself.
FOLDER = "uplink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The parts at work."""

    messages: Messages
    media: Media

    def apply(self, settings: Settings) -> None:
        """What platforms see has changed, the platforms have not: subscribers hear of it, and what
        is not shown any more is not served any more."""
        devices = {one.name: device_for(settings, one) for one in settings.platform}
        self.messages.apply(devices)
        self.media.apply(devices)


@asynccontextmanager
async def answering(
    settings: Settings,
    agent: UserAgent,
    handlers: Handlers,
    metrics: MessageMetrics,
    media_metrics: MediaMetrics,
    jobs: asyncio.TaskGroup,
    clock: Clock,
    local_host: Callable[[str], str],
) -> AsyncIterator[Answers]:
    """Puts the parts into ``handlers`` for as long as the block lasts.

    Args:
        local_host: our address on the reserved interface towards a platform.
    """
    state_dir = settings.storage.state_dir
    devices = {one.name: device_for(settings, one) for one in settings.platform}
    edge = EdgeState(settings.metrics.bind)
    desk = AlarmDesk(devices, state_dir / FOLDER, clock, metrics)
    await asyncio.to_thread(desk.load)
    await edge.poll()  # what the first query asks for is known before it comes
    records = Records(state_dir / "index.db", settings.storage.volumes, clock)
    footage = Footage(state_dir, settings.storage.volumes)
    media = Media(
        devices,
        {one.name: one for one in settings.platform},
        around=Surroundings(
            footage=footage,
            state_dir=state_dir,
            clock=clock,
            metrics=media_metrics,
            is_strained=lambda: is_strained(edge.state),
        ),
        records=records,
        state=lambda: edge.state,
        jobs=jobs,
    )
    try:
        async with (
            Orders(state_dir) as orders,
            Snapshots(orders, clock, metrics, source=local_host) as snapshots,
        ):
            messages = Messages(
                devices,
                clock=clock,
                state=lambda: edge.state,
                records=records,
                orders=orders,
                desk=desk,
                snapshots=snapshots,
                metrics=metrics,
            )
            messages.connect(agent)
            handlers.messages = handlers.subscriptions = messages
            handlers.observers.append(messages)
            handlers.media = media
            tasks = [jobs.create_task(edge.run(media.relieve)), jobs.create_task(messages.serve())]
            try:
                yield Answers(messages=messages, media=media)
            finally:
                handlers.observers.remove(messages)
                media.close()
                for task in tasks:
                    task.cancel()
    finally:
        footage.close()
        await asyncio.to_thread(records.close)

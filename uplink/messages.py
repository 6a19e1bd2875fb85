"""MANSCDP as the user agent sees it: MESSAGE and SUBSCRIBE in, answers and notifications out.

Shell, but thin: what was asked is read here and handed on to ``queries``, ``controls`` and
``subscribers``. Nothing in here waits; what takes time goes into the async bodies of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from retention.clock import Clock
from uplink import deviceinfo
from uplink.alarm_desk import AlarmDesk
from uplink.asked import Asked, note
from uplink.controls import Controls
from uplink.device import Device, SiteState
from uplink.manscdp.message import Kind, MessageMalformed, read
from uplink.message_metrics import MessageMetrics
from uplink.orders import Orders
from uplink.ports import Heartbeat, Incoming, Reply, SubscribeReply, UserAgent
from uplink.queries import Queries
from uplink.records import Records
from uplink.snapshots import Snapshots
from uplink.subscribers import TOPICS, Subscribers

TICK_S = 1.0


class Messages:
    """Handler of messages and subscriptions, and observer of platforms (``uplink.ports``).

    :meth:`connect` it to the user agent before the first request comes.
    """

    def __init__(
        self,
        devices: Mapping[str, Device],
        *,
        clock: Clock,
        state: Callable[[], SiteState],
        records: Records,
        orders: Orders,
        desk: AlarmDesk,
        snapshots: Snapshots,
        metrics: MessageMetrics,
    ) -> None:
        self._devices = dict(devices)
        self._state = state
        self._desk = desk
        self._metrics = metrics
        self._agent: UserAgent | None = None
        self._controls = Controls(
            state=state,
            orders=orders,
            desk=desk,
            snapshots=snapshots,
            agent=self._connected,
            metrics=metrics,
        )
        self._queries = Queries(
            clock=clock,
            state=state,
            records=records,
            orders=orders,
            duty=self._controls.duty,
            heartbeat=self._heartbeat,
            metrics=metrics,
        )
        self._subscribers = Subscribers(
            clock=clock, state=state, device=lambda name: self._devices[name], desk=desk
        )

    def connect(self, agent: UserAgent) -> None:
        """Who sends what is not an answer."""
        self._agent = agent

    def apply(self, devices: Mapping[str, Device]) -> None:
        """What the same platforms see from now on; the next tick tells subscribers."""
        self._devices = dict(devices)
        self._desk.apply(devices)

    async def serve(self) -> None:
        """Notifies subscribers and sends alarms, until cancelled."""
        agent = self._connected()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._desk.run(agent))
            tasks.create_task(self._tick_on(agent))

    async def _tick_on(self, agent: UserAgent) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick(agent)

    def tick(self, agent: UserAgent) -> None:
        """What is due every second: alarms, changes, places."""
        self._desk.observe(self._state())
        self._subscribers.tick(agent)

    def _connected(self) -> UserAgent:
        assert self._agent is not None, "connect() comes first"
        return self._agent

    def _heartbeat(self, platform: str) -> Heartbeat:
        return self._connected().heartbeat(platform)

    # What the user agent calls -------------------------------------------------------------

    def message(self, request: Incoming) -> Reply:
        """See :class:`uplink.ports.MessageHandler`."""
        if not _is_xml(request.content_type):
            return Reply(status=415, note=note("message", "refused", request.content_type))
        try:
            asked = self._read(request)
        except MessageMalformed as error:
            return Reply(status=400, note=note("message", "refused", str(error)))
        kind = asked.message.kind
        if kind is Kind.QUERY:
            return self._queries.answer(asked)
        if kind is Kind.CONTROL:
            return self._controls.obey(asked)
        if kind is Kind.NOTIFY and asked.message.command == "Broadcast":
            return self._controls.broadcast(asked)
        return Reply()  # receipts, and notifications that are no business of a device

    def subscribe(self, request: Incoming, expires_s: int) -> SubscribeReply:
        """See :class:`uplink.ports.SubscriptionHandler`."""
        del expires_s  # the user agent's
        try:
            asked = self._read(request)
        except MessageMalformed as error:
            return SubscribeReply(status=400, note=note("subscribe", "refused", str(error)))
        topic = asked.message.command
        bodies = self._subscribers.begin(asked)
        if bodies is None:
            return SubscribeReply(status=489, note=note("subscribe", "refused", topic, asked.code))
        return SubscribeReply(
            topic=topic,
            body=deviceinfo.ok(asked.message, asked.device),
            bodies=bodies,
            note=note("subscribe", "done", topic, asked.code),
        )

    def unsubscribed(self, platform: str, topic: str) -> None:
        """See :class:`uplink.ports.SubscriptionHandler`."""
        self._subscribers.end(platform, topic)

    def faults(self) -> list[dict[str, str]]:
        """For ``/status``: what the site's register of alarms should know. From any thread."""
        return self._desk.faults()

    def registered(self, platform: str) -> None:
        """See :class:`uplink.ports.PlatformObserver`."""
        self._desk.registered(platform)

    def offline(self, platform: str) -> None:
        """See :class:`uplink.ports.PlatformObserver`."""
        for topic in TOPICS:
            self._subscribers.end(platform, topic)

    def _read(self, request: Incoming) -> Asked:
        """Raises :class:`MessageMalformed`, counted."""
        try:
            message = read(request.body)
        except MessageMalformed:
            self._metrics.malformed.labels(request.platform).inc()
            raise
        return Asked(message=message, device=self._devices[request.platform], request=request)


def _is_xml(content_type: str) -> bool:
    """MANSCDP, or what it is called where nobody looks."""
    return "manscdp" in content_type or content_type in ("", "application/xml", "text/xml")

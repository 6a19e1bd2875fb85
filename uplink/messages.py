"""MANSCDP as the user agent sees it: MESSAGE and SUBSCRIBE in, answers and notifications out.

Shell, but thin: bodies are made by the cores (``catalog``, ``deviceinfo``, ``recordinfo``,
``alarms``, ``changes``), orders are judged by ``commands``; here they meet the index, ``edge`` and
the alarm desk. Nothing in here waits; what takes time goes into the async bodies of an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.errors import XueliangError
from retention.clock import Clock
from retention.model import US_PER_S
from uplink import catalog, changes, commands, deviceinfo, recordinfo
from uplink.alarm_desk import AlarmDesk
from uplink.alarms import alarm_filter
from uplink.changes import CatalogWatch
from uplink.commands import CameraOrder, Decision, Verdict
from uplink.device import Channel, Device, Edition, SiteState
from uplink.manscdp.markup import leaf
from uplink.manscdp.message import Kind, Message, MessageMalformed, Result, read, response
from uplink.message_metrics import MessageMetrics
from uplink.orders import OrderFailed, Orders
from uplink.ports import AuditNote, Bodies, Incoming, Reply, SubscribeReply, UserAgent
from uplink.records import Records
from uplink.snapshots import Snapshots

log = logging.getLogger(__name__)

TICK_S = 1.0
#: RecordInfo queries of one platform that are worked on at once; more get 503.
RECORD_QUERIES_MAX = 32
#: MobilePosition: bounds of the interval in which a place that never changes is repeated.
INTERVAL_S_MIN, INTERVAL_S_MAX = 5, 3600
#: What the audit log calls a verdict; the rest failed.
_OUTCOMES = {Verdict.DONE: "done", Verdict.REFUSED: "refused"}
_CATALOG, _ALARM, _POSITION = "Catalog", "Alarm", "MobilePosition"


@dataclass(slots=True)
class _Positions:
    """One platform's subscription to places."""

    code: str
    edition: Edition
    interval_s: int
    due_us: int


@dataclass(slots=True)
class _Watched:
    """One platform's subscription to the Catalog."""

    watch: CatalogWatch
    edition: Edition


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
        self._clock = clock
        self._state = state
        self._records = records
        self._orders = orders
        self._desk = desk
        self._snapshots = snapshots
        self._metrics = metrics
        self._agent: UserAgent | None = None
        self._numbers = itertools.count(1)
        self._off_guard: set[tuple[str, str]] = set()  # platform, code
        self._record_queries: dict[str, int] = {}
        self._watched: dict[str, _Watched] = {}
        self._positions: dict[str, _Positions] = {}
        self._queries: dict[str, Callable[[Message, _Asked], Bodies]] = {
            "Catalog": self._catalog,
            "DeviceInfo": self._device_info,
            "DeviceStatus": self._device_status,
            "ConfigDownload": self._config,
            "PresetQuery": self._presets,
            "HomePositionQuery": self._home,
            "CruiseTrackListQuery": self._cruise_list,
            "CruiseTrackQuery": self._refused,
            "PTZPosition": self._place,
            "SDCardStatus": self._cards,
            "MobilePosition": self._mobile_position,
            "Alarm": self._alarm_status,
        }

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

    def _connected(self) -> UserAgent:
        assert self._agent is not None, "connect() comes first"
        return self._agent

    # What the user agent calls -------------------------------------------------------------

    def message(self, request: Incoming) -> Reply:
        """See :class:`uplink.ports.MessageHandler`."""
        if not _is_xml(request.content_type):
            return Reply(status=415, note=_note("message", "refused", request.content_type))
        try:
            message = read(request.body)
        except MessageMalformed as error:
            self._metrics.malformed.labels(request.platform).inc()
            return Reply(status=400, note=_note("message", "refused", str(error)))
        device = self._devices[request.platform]
        if message.kind is Kind.QUERY:
            return self._query(message, device, request)
        if message.kind is Kind.CONTROL:
            return self._control(message, device, request)
        if message.kind is Kind.NOTIFY and message.command == "Broadcast":
            return self._broadcast(message, device)
        return Reply()  # receipts, and notifications that are no business of a device

    def subscribe(self, request: Incoming, expires_s: int) -> SubscribeReply:
        """See :class:`uplink.ports.SubscriptionHandler`."""
        del expires_s  # the user agent's
        device = self._devices[request.platform]
        try:
            message = read(request.body)
        except MessageMalformed as error:
            self._metrics.malformed.labels(request.platform).inc()
            return SubscribeReply(status=400, note=_note("subscribe", "refused", str(error)))
        begin = {
            _CATALOG: self._subscribe_catalog,
            _ALARM: self._subscribe_alarm,
            _POSITION: self._subscribe_position,
        }.get(message.command)
        bodies = begin and begin(message, device, request)
        if bodies is None:
            return SubscribeReply(
                status=489, note=_note("subscribe", "refused", message.command, message.device_id)
            )
        return SubscribeReply(
            topic=message.command,
            body=deviceinfo.ok(message, device),
            bodies=bodies,
            note=_note("subscribe", "done", message.command, message.device_id),
        )

    def unsubscribed(self, platform: str, topic: str) -> None:
        """See :class:`uplink.ports.SubscriptionHandler`."""
        if topic == _CATALOG:
            self._watched.pop(platform, None)
        elif topic == _POSITION:
            self._positions.pop(platform, None)
        elif topic == _ALARM:
            self._desk.unsubscribed(platform)

    def registered(self, platform: str) -> None:
        """See :class:`uplink.ports.PlatformObserver`."""
        self._desk.registered(platform)

    def offline(self, platform: str) -> None:
        """See :class:`uplink.ports.PlatformObserver`."""
        for topic in (_CATALOG, _POSITION, _ALARM):
            self.unsubscribed(platform, topic)

    # Queries -------------------------------------------------------------------------------

    def _query(self, message: Message, device: Device, request: Incoming) -> Reply:
        action = f"query_{message.command.lower()}"
        if message.command == "RecordInfo":
            return self._record_info(message, device, request)
        answer = self._queries.get(message.command)
        if answer is None:
            note = _note(action, "refused", "unknown query", message.device_id)
            return Reply(bodies=(deviceinfo.error(message, device),), note=note)
        return Reply(
            bodies=answer(message, _Asked(device, request)),
            note=_note(action, "answered", "", message.device_id),
        )

    def _catalog(self, message: Message, asked: _Asked) -> Bodies:
        state = self._state()
        return catalog.answer(message, asked.device, state, asked.edition, asked.bytes_max)

    def _device_info(self, message: Message, asked: _Asked) -> Bodies:
        return (deviceinfo.device_info(message, asked.device, self._state()),)

    def _device_status(self, message: Message, asked: _Asked) -> Bodies:
        def duty(code: str) -> str:
            if self._desk.is_alarming(asked.device.platform, code):
                return "ALARM"
            is_off = (asked.device.platform, code) in self._off_guard
            return "OFFDUTY" if is_off else "ONDUTY"

        now_us = self._clock.utc_us()
        return (deviceinfo.device_status(message, asked.device, self._state(), now_us, duty),)

    def _config(self, message: Message, asked: _Asked) -> Bodies:
        beat = self._connected().heartbeat(asked.device.platform)
        basic = deviceinfo.Basic(
            register_s=beat.register_s, keepalive_s=beat.keepalive_s, count=beat.count
        )
        return deviceinfo.config_download(message, asked.device, self._state(), basic)

    def _cruise_list(self, message: Message, asked: _Asked) -> Bodies:
        return (deviceinfo.cruise_list(message, asked.device),)

    def _cards(self, message: Message, asked: _Asked) -> Bodies:
        return deviceinfo.sd_card_status(message, asked.device, self._state(), asked.bytes_max)

    def _place(self, message: Message, asked: _Asked) -> Bodies:
        return (deviceinfo.ptz_position(message, asked.device),)

    def _refused(self, message: Message, asked: _Asked) -> Bodies:
        return (deviceinfo.error(message, asked.device),)

    def _alarm_status(self, message: Message, asked: _Asked) -> Bodies:
        return (deviceinfo.ok(message, asked.device),)

    def _mobile_position(self, message: Message, asked: _Asked) -> Bodies:
        where = deviceinfo.positions(asked.device, message.device_id)
        if not where:
            return (deviceinfo.error(message, asked.device),)
        return deviceinfo.mobile_position(
            asked.device, asked.edition, message.sn, where, self._clock.utc_us()
        )

    # Queries to a camera -------------------------------------------------------------------

    async def _presets(self, message: Message, asked: _Asked) -> AsyncIterator[bytes]:
        try:
            told = await self._ask_camera(message, asked.device, "presets")
        except OrderFailed:
            yield deviceinfo.error(message, asked.device)
            raise  # the user agent puts it on record
        found = [
            deviceinfo.PresetItem(number=int(one["number"]), name=str(one["name"]))
            for one in told["presets"]
        ]
        for body in deviceinfo.presets(message, asked.device, found, asked.bytes_max):
            yield body

    async def _home(self, message: Message, asked: _Asked) -> AsyncIterator[bytes]:
        try:
            told = await self._ask_camera(message, asked.device, "home")
        except OrderFailed:
            yield deviceinfo.error(message, asked.device)
            raise
        home = deviceinfo.HomePosition(
            is_enabled=bool(told["enabled"]),
            reset_s=int(told["reset_s"]),
            preset=int(told["preset"]),
        )
        yield deviceinfo.home_position(message, asked.device, home)

    async def _ask_camera(self, message: Message, device: Device, verb: str) -> Mapping[str, Any]:
        """What ``edge`` tells.

        Raises:
            OrderFailed: it does not, or there is no such channel.
        """
        channel = device.channel(message.device_id)
        if channel is None:
            raise OrderFailed("no channel of this code")
        return await self._orders.ask(CameraOrder(camera=channel.camera, verb=verb, arguments={}))

    # RecordInfo ----------------------------------------------------------------------------

    def _record_info(self, message: Message, device: Device, request: Incoming) -> Reply:
        def refused(status: int, why: str) -> Reply:
            self._metrics.record_queries.labels(request.platform, "refused").inc()
            note = _note("query_recordinfo", "refused", why, message.device_id)
            return Reply(status=status, note=note)

        channel = device.channel(message.device_id)
        asked = recordinfo.window(message)
        if asked is None:
            return refused(400, "no readable window")
        if channel is None and not device.is_self(message.device_id):
            return refused(404, "no channel of this code")
        if self._record_queries.get(request.platform, 0) >= RECORD_QUERIES_MAX:
            return refused(503, "too many queries at once")
        text = f"{message.value('StartTime')[:25]}/{message.value('EndTime')[:25]}"
        note = _note("query_recordinfo", "answered", text, message.device_id)
        if channel is None:  # the recorder itself has no picture
            head = response(message, device.device_id)
            return Reply(bodies=(head.body(device.charset, leaf("SumNum", 0)),), note=note)
        return Reply(
            bodies=self._found(message, channel, asked, _Asked(device, request)), note=note
        )

    async def _found(
        self, message: Message, channel: Channel, window: recordinfo.Window, asked: _Asked
    ) -> AsyncIterator[bytes]:
        """Nothing at all where the index does not answer: the platform then counts a failed check,
        and not an hour without a recording.

        Raises:
            XueliangError: that; the user agent puts it on record.
        """
        device, platform = asked.device, asked.device.platform
        began_us = self._clock.monotonic_us()
        self._record_queries[platform] = self._record_queries.get(platform, 0) + 1
        try:
            low_us, high_us = recordinfo.search_window(window, is_clipped=device.is_record_clipped)
            spans = await self._records.spans(channel.camera, low_us, high_us)
            items = recordinfo.items(
                spans,
                window,
                longest_us=device.record_item_us,
                is_clipped=device.is_record_clipped,
            )
        except XueliangError:
            self._metrics.record_queries.labels(platform, "unavailable").inc()
            raise
        finally:
            self._record_queries[platform] -= 1
        took_s = (self._clock.monotonic_us() - began_us) / US_PER_S
        self._metrics.record_seconds.labels(platform).observe(took_s)
        self._metrics.record_queries.labels(platform, "answered").inc()
        for body in recordinfo.answer(
            message, device, channel, asked.edition, items, asked.bytes_max
        ):
            yield body

    # Control -------------------------------------------------------------------------------

    def _control(self, message: Message, device: Device, request: Incoming) -> Reply:
        decision = commands.decide(message, device, self._state())
        self._metrics.commands.labels(request.platform, decision.verdict.value).inc()
        if decision.verdict is Verdict.REFUSED:
            log.warning(
                "command_refused",
                extra={
                    "platform": request.platform,
                    "command": decision.name,
                    "target": message.device_id or device.device_id,
                },
            )
        note = _note(
            f"control_{(decision.name or message.command).lower()}",
            _OUTCOMES.get(decision.verdict, "failed"),
            decision.detail or decision.verdict.value,
            message.device_id,
        )
        if not decision.has_response:
            if isinstance(decision.effect, CameraOrder):
                self._orders.post(decision.effect)
            return Reply(status=decision.sip_status, note=note)
        return Reply(bodies=self._executed(message, device, decision), note=note)

    async def _executed(
        self, message: Message, device: Device, decision: Decision
    ) -> AsyncIterator[bytes]:
        """Does what was decided, then tells the result.

        Raises:
            OrderFailed: after the result was told; the user agent puts it on record.
        """
        effect = decision.effect
        result = Result.OK if decision.verdict is Verdict.DONE else Result.ERROR
        failed: OrderFailed | None = None
        if isinstance(effect, CameraOrder):
            try:
                await self._orders.ask(effect)
            except OrderFailed as error:
                failed = error
        elif isinstance(effect, commands.SetGuard):
            key = (device.platform, effect.code)
            (self._off_guard.discard if effect.is_on else self._off_guard.add)(key)
        elif isinstance(effect, commands.ResetAlarm):
            self._desk.reset(device.platform, effect)
        elif isinstance(effect, commands.Snapshot):
            is_begun = self._snapshots.begin(device, effect, self._connected())
            failed = None if is_begun else OrderFailed("too many snapshots at once")
        result = Result.ERROR if failed else result
        yield response(message, device.device_id).body(device.charset, leaf("Result", result))
        if failed is not None:
            raise failed
        if isinstance(effect, commands.SetHeartbeat):  # after the answer, as the standard has it
            self._connected().set_heartbeat(
                device.platform, keepalive_s=effect.keepalive_s, count=effect.count
            )

    def _broadcast(self, message: Message, device: Device) -> Reply:
        """There is no loudspeaker behind this box."""
        target = message.value("TargetID")
        code = target if target.isdecimal() and len(target) <= 20 else ""
        head = replace(response(message, device.device_id), device_id=code or device.device_id)
        return Reply(
            bodies=(head.body(device.charset, leaf("Result", Result.ERROR)),),
            note=_note("broadcast", "refused", "no loudspeaker", code),
        )

    # Subscriptions -------------------------------------------------------------------------

    def _subscribe_catalog(
        self, message: Message, device: Device, request: Incoming
    ) -> Bodies | None:
        del message
        watch = CatalogWatch()
        state = self._state()
        begun = watch.begin(device, state, self._clock.monotonic_us())
        self._watched[request.platform] = _Watched(watch, request.edition)
        return changes.bodies(
            begun, device, state, request.edition, self._sn(), request.body_bytes_max
        )

    def _subscribe_alarm(
        self, message: Message, device: Device, request: Incoming
    ) -> Bodies | None:
        del device
        self._desk.subscribed(request.platform, alarm_filter(message))
        return ()

    def _subscribe_position(
        self, message: Message, device: Device, request: Incoming
    ) -> Bodies | None:
        where = deviceinfo.positions(device, message.device_id)
        if not where:
            return None
        wanted_s = message.number("Interval") or INTERVAL_S_MIN
        interval_s = min(max(wanted_s, INTERVAL_S_MIN), INTERVAL_S_MAX)
        self._positions[request.platform] = _Positions(
            code=message.device_id,
            edition=request.edition,
            interval_s=interval_s,
            due_us=self._clock.monotonic_us() + interval_s * US_PER_S,
        )
        return deviceinfo.mobile_position(
            device, request.edition, self._sn(), where, self._clock.utc_us()
        )

    async def _tick_on(self, agent: UserAgent) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick(agent)

    def tick(self, agent: UserAgent) -> None:
        """What is due every second: alarms, changes, places."""
        state = self._state()
        self._desk.observe(state)
        now_us = self._clock.monotonic_us()
        for platform, watched in list(self._watched.items()):
            device = self._devices[platform]
            found = watched.watch.observe(device, state, now_us)
            if found:
                bytes_max = agent.sending(platform).body_bytes_max
                bodies = changes.bodies(
                    found, device, state, watched.edition, self._sn(), bytes_max
                )
                agent.notify(platform, _CATALOG, bodies)
        for platform, wanted in list(self._positions.items()):
            if now_us >= wanted.due_us:
                wanted.due_us = now_us + wanted.interval_s * US_PER_S
                device = self._devices[platform]
                where = deviceinfo.positions(device, wanted.code)
                bodies = deviceinfo.mobile_position(
                    device, wanted.edition, self._sn(), where, self._clock.utc_us()
                )
                agent.notify(platform, _POSITION, bodies)

    def _sn(self) -> str:
        return str(next(self._numbers))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks, and how large a part may be."""

    device: Device
    request: Incoming

    @property
    def edition(self) -> Edition:
        return self.request.edition

    @property
    def bytes_max(self) -> int:
        return self.request.body_bytes_max


def _is_xml(content_type: str) -> bool:
    """MANSCDP, or what it is called where nobody looks."""
    return "manscdp" in content_type or content_type in ("", "application/xml", "text/xml")


def _note(action: str, outcome: str, detail: str = "", target: str = "") -> AuditNote:
    return AuditNote(action=action, target=target, outcome=outcome, detail=detail[:200])

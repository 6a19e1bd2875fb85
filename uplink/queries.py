"""Answers to Queries: from edge's state, the index and the cameras. Shell.

Bodies are made by the cores (``catalog``, ``deviceinfo``, ``recordinfo``); what takes time goes
into async bodies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from config.errors import XueliangError
from retention.clock import Clock
from retention.model import US_PER_S
from uplink import catalog, deviceinfo, recordinfo
from uplink.asked import Asked, note
from uplink.commands import CameraOrder
from uplink.device import Channel, SiteState
from uplink.manscdp.markup import leaf
from uplink.manscdp.message import response
from uplink.message_metrics import MessageMetrics
from uplink.orders import OrderFailed, Orders
from uplink.ports import Bodies, Heartbeat, Reply
from uplink.records import Records

#: RecordInfo queries of one platform that are worked on at once; more get 503.
RECORD_QUERIES_MAX = 32


class Queries:
    """Answers every Query.

    Args:
        duty: of a platform's name and a code: ONDUTY, OFFDUTY or ALARM.
        heartbeat: what BasicParam must tell, of a platform's name.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        state: Callable[[], SiteState],
        records: Records,
        orders: Orders,
        duty: Callable[[str, str], str],
        heartbeat: Callable[[str], Heartbeat],
        metrics: MessageMetrics,
    ) -> None:
        self._clock = clock
        self._state = state
        self._records = records
        self._orders = orders
        self._duty = duty
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._record_queries: dict[str, int] = {}
        self._answers: dict[str, Callable[[Asked], Bodies]] = {
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

    def answer(self, asked: Asked) -> Reply:
        """Never raises for what was asked."""
        action = f"query_{asked.message.command.lower()}"
        if asked.message.command == "RecordInfo":
            return self._record_info(asked)
        answer = self._answers.get(asked.message.command)
        if answer is None:
            said = note(action, "refused", "unknown query", asked.code)
            return Reply(bodies=self._refused(asked), note=said)
        return Reply(bodies=answer(asked), note=note(action, "answered", "", asked.code))

    def _catalog(self, asked: Asked) -> Bodies:
        state = self._state()
        return catalog.answer(asked.message, asked.device, state, asked.edition, asked.bytes_max)

    def _device_info(self, asked: Asked) -> Bodies:
        return (deviceinfo.device_info(asked.message, asked.device, self._state()),)

    def _device_status(self, asked: Asked) -> Bodies:
        def duty(code: str) -> str:
            return self._duty(asked.platform, code)

        now_us = self._clock.utc_us()
        return (deviceinfo.device_status(asked.message, asked.device, self._state(), now_us, duty),)

    def _config(self, asked: Asked) -> Bodies:
        beat = self._heartbeat(asked.platform)
        basic = deviceinfo.Basic(
            register_s=beat.register_s, keepalive_s=beat.keepalive_s, count=beat.count
        )
        return deviceinfo.config_download(asked.message, asked.device, self._state(), basic)

    def _cruise_list(self, asked: Asked) -> Bodies:
        return (deviceinfo.cruise_list(asked.message, asked.device),)

    def _cards(self, asked: Asked) -> Bodies:
        return deviceinfo.sd_card_status(
            asked.message, asked.device, self._state(), asked.bytes_max
        )

    def _place(self, asked: Asked) -> Bodies:
        return (deviceinfo.ptz_position(asked.message, asked.device),)

    def _refused(self, asked: Asked) -> Bodies:
        return (deviceinfo.error(asked.message, asked.device),)

    def _alarm_status(self, asked: Asked) -> Bodies:
        return (deviceinfo.ok(asked.message, asked.device),)

    def _mobile_position(self, asked: Asked) -> Bodies:
        where = deviceinfo.positions(asked.device, asked.code)
        if not where:
            return (deviceinfo.error(asked.message, asked.device),)
        return deviceinfo.mobile_position(
            asked.device, asked.edition, asked.message.sn, where, self._clock.utc_us()
        )

    # Queries to a camera -------------------------------------------------------------------

    async def _presets(self, asked: Asked) -> AsyncIterator[bytes]:
        try:
            told = await self._ask_camera(asked, "presets")
        except OrderFailed:
            yield deviceinfo.error(asked.message, asked.device)
            raise  # the user agent puts it on record
        found = [
            deviceinfo.PresetItem(number=int(one["number"]), name=str(one["name"]))
            for one in told["presets"]
        ]
        for body in deviceinfo.presets(asked.message, asked.device, found, asked.bytes_max):
            yield body

    async def _home(self, asked: Asked) -> AsyncIterator[bytes]:
        try:
            told = await self._ask_camera(asked, "home")
        except OrderFailed:
            yield deviceinfo.error(asked.message, asked.device)
            raise
        home = deviceinfo.HomePosition(
            is_enabled=bool(told["enabled"]),
            reset_s=int(told["reset_s"]),
            preset=int(told["preset"]),
        )
        yield deviceinfo.home_position(asked.message, asked.device, home)

    async def _ask_camera(self, asked: Asked, verb: str) -> Mapping[str, Any]:
        """What ``edge`` tells.

        Raises:
            OrderFailed: it does not, or there is no such channel.
        """
        channel = asked.device.channel(asked.code)
        if channel is None:
            raise OrderFailed("no channel of this code")
        return await self._orders.ask(CameraOrder(camera=channel.camera, verb=verb, arguments={}))

    # RecordInfo ----------------------------------------------------------------------------

    def _record_info(self, asked: Asked) -> Reply:
        def refused(status: int, why: str) -> Reply:
            self._metrics.record_queries.labels(asked.platform, "refused").inc()
            return Reply(status=status, note=note("query_recordinfo", "refused", why, asked.code))

        message, device = asked.message, asked.device
        channel = device.channel(asked.code)
        window = recordinfo.window(message)
        if window is None:
            return refused(400, "no readable window")
        if channel is None and not device.is_self(asked.code):
            return refused(404, "no channel of this code")
        if self._record_queries.get(asked.platform, 0) >= RECORD_QUERIES_MAX:
            return refused(503, "too many queries at once")
        text = f"{message.value('StartTime')[:25]}/{message.value('EndTime')[:25]}"
        said = note("query_recordinfo", "answered", text, asked.code)
        if channel is None:  # the recorder itself has no picture
            head = response(message, device.device_id)
            return Reply(bodies=(head.body(device.charset, leaf("SumNum", 0)),), note=said)
        return Reply(bodies=self._found(asked, channel, window), note=said)

    async def _found(
        self, asked: Asked, channel: Channel, window: recordinfo.Window
    ) -> AsyncIterator[bytes]:
        """Nothing at all where the index does not answer: the platform then counts a failed check,
        and not an hour without a recording.

        Raises:
            XueliangError: that; the user agent puts it on record.
        """
        device, platform = asked.device, asked.platform
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
            asked.message, device, channel, asked.edition, items, asked.bytes_max
        ):
            yield body

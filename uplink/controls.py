"""Orders of platforms carried out, as far as the policy lets them (``uplink.commands``). Shell."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from uplink import commands
from uplink.alarm_desk import AlarmDesk
from uplink.asked import Asked, note
from uplink.commands import CameraOrder, Decision, Verdict
from uplink.device import SiteState
from uplink.manscdp.markup import leaf
from uplink.manscdp.message import Result, response
from uplink.message_metrics import MessageMetrics
from uplink.orders import OrderFailed, Orders
from uplink.ports import Reply, UserAgent
from uplink.snapshots import Snapshots

log = logging.getLogger(__name__)

#: What the audit log calls a verdict; the rest failed.
_OUTCOMES = {Verdict.DONE: "done", Verdict.REFUSED: "refused"}


class Controls:
    """Obeys Controls, and says no to broadcasts; ``agent`` is asked for when it is needed."""

    def __init__(
        self,
        *,
        state: Callable[[], SiteState],
        orders: Orders,
        desk: AlarmDesk,
        snapshots: Snapshots,
        agent: Callable[[], UserAgent],
        metrics: MessageMetrics,
    ) -> None:
        self._state = state
        self._orders = orders
        self._desk = desk
        self._snapshots = snapshots
        self._agent = agent
        self._metrics = metrics
        self._off_guard: set[tuple[str, str]] = set()  # platform, code

    def duty(self, platform: str, code: str) -> str:
        """ONDUTY, OFFDUTY or ALARM (DeviceStatus)."""
        if self._desk.is_alarming(platform, code):
            return "ALARM"
        return "OFFDUTY" if (platform, code) in self._off_guard else "ONDUTY"

    def obey(self, asked: Asked) -> Reply:
        """Never raises for what was ordered."""
        message, device = asked.message, asked.device
        decision = commands.decide(message, device, self._state())
        self._metrics.commands.labels(asked.platform, decision.verdict.value).inc()
        if decision.verdict is Verdict.REFUSED:
            log.warning(
                "command_refused",
                extra={
                    "platform": asked.platform,
                    "command": decision.name,
                    "target": message.device_id or device.device_id,
                },
            )
            is_known = device.channel(asked.code) is not None
            code = asked.code if is_known else device.device_id
            self._desk.order_refused(asked.platform, code, decision.name)
        said = note(
            f"control_{(decision.name or message.command).lower()}",
            _OUTCOMES.get(decision.verdict, "failed"),
            decision.detail or decision.verdict.value,
            asked.code,
        )
        if not decision.has_response:
            if isinstance(decision.effect, CameraOrder):
                self._orders.post(decision.effect)
            return Reply(status=decision.sip_status, note=said)
        return Reply(bodies=self._executed(asked, decision), note=said)

    async def _executed(self, asked: Asked, decision: Decision) -> AsyncIterator[bytes]:
        """Does what was decided, then tells the result.

        Raises:
            OrderFailed: after the result was told; the user agent puts it on record.
        """
        device, effect = asked.device, decision.effect
        result = Result.OK if decision.verdict is Verdict.DONE else Result.ERROR
        failed: OrderFailed | None = None
        if isinstance(effect, CameraOrder):
            try:
                await self._orders.ask(effect)
            except OrderFailed as error:
                failed = error
        elif isinstance(effect, commands.SetGuard):
            key = (asked.platform, effect.code)
            (self._off_guard.discard if effect.is_on else self._off_guard.add)(key)
        elif isinstance(effect, commands.ResetAlarm):
            self._desk.reset(asked.platform, effect)
        elif isinstance(effect, commands.Snapshot):
            is_begun = self._snapshots.begin(device, effect, self._agent())
            failed = None if is_begun else OrderFailed("too many snapshots at once")
        result = Result.ERROR if failed else result
        yield response(asked.message, device.device_id).body(device.charset, leaf("Result", result))
        if failed is not None:
            raise failed
        if isinstance(effect, commands.SetHeartbeat):  # after the answer, as the standard has it
            self._agent().set_heartbeat(
                asked.platform, keepalive_s=effect.keepalive_s, count=effect.count
            )

    def broadcast(self, asked: Asked) -> Reply:
        """There is no loudspeaker behind this box."""
        message, device = asked.message, asked.device
        target = message.value("TargetID")
        code = target if target.isdecimal() and len(target) <= 20 else ""
        head = replace(response(message, device.device_id), device_id=code or device.device_id)
        return Reply(
            bodies=(head.body(device.charset, leaf("Result", Result.ERROR)),),
            note=note("broadcast", "refused", "no loudspeaker", code),
        )

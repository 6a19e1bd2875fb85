"""``xueliang check --confirm-time``: a person says that the host's clock is right. Shell."""

from __future__ import annotations

from typing import Any

from config.instants import format_instant
from config.schema import Settings
from edge import control
from retention.audit import os_actor
from retention.clock import SystemClock

TIMEOUT_S = 30.0
SENTENCE = (
    "现在是北京时间 {now}。确认后即认定本机时钟正确:此前不可信时间内的录像将据此校正时间,"
    "到期录像将按此时间删除。\n"
    "It is {now} in Beijing. To confirm says that this clock is right: footage of a time that was"
    " not trusted is re-timed by it, and footage is deleted by its age again."
)


def shown() -> tuple[int, str]:
    """The instant to be confirmed, UTC microseconds, and what it is said to be."""
    now_us = SystemClock().utc_us()
    return now_us, SENTENCE.format(now=format_instant(now_us, timespec="seconds")[:19])


def confirm(settings: Settings, shown_us: int) -> dict[str, Any]:
    """Raises :class:`ControlUnavailable`, :class:`ControlRefused`."""
    answer: dict[str, Any] = control.ask(
        settings.storage.state_dir,
        "confirm_time",
        timeout_s=TIMEOUT_S,
        utc_us=shown_us,
        by=os_actor(),
    )
    return answer

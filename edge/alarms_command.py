"""``xueliang alarms``: from the running edge, or what the last one left. Shell."""

from __future__ import annotations

from typing import Any

from config.instants import zone_named
from config.schema import Settings
from edge import control
from edge.alarms.board import STATE_NAME
from edge.alarms.lines import alarm_line, for_people
from edge.alarms.register import Register, document


def alarms_document(settings: Settings, *, with_ended: bool) -> dict[str, Any]:
    """``standing`` and (if asked for) ``ended``, the oldest first; ``running`` tells whether edge
    answered.
    """
    zone = zone_named(settings.site.timezone)
    try:
        told = {**control.ask(settings.storage.state_dir, "alarms"), "running": True}
    except control.ControlUnavailable:
        told = {**left(settings), "running": False}
    found = {
        "running": told["running"],
        "standing": [for_people(one, zone) for one in told["standing"]],
    }
    return found | (
        {"ended": [for_people(one, zone) for one in told["ended"]]} if with_ended else {}
    )


def left(settings: Settings) -> dict[str, Any]:
    """What the last edge knew: ``standing`` and ``ended``."""
    register = Register()
    try:
        register.loads((settings.storage.state_dir / STATE_NAME).read_bytes())
    except OSError:
        return {"standing": [], "ended": []}
    return {
        "standing": [document(one) for one in register.standing],
        "ended": [document(one) for one in register.ended],
    }


def render_alarms(document: dict[str, Any]) -> str:
    """One alarm a line, and below each what to do."""
    lines = (
        [] if document["running"] else ["edge 未运行，下为其停止时 NOT RUNNING; when it stopped:"]
    )
    for one in document["standing"]:
        lines += [alarm_line(one), f"    {one['mend_zh']} {one['mend_en']}"]
    if not document["standing"]:
        lines.append("无告警 no alarm")
    if "ended" in document:
        lines += ["", "已结束 ended:", *map(alarm_line, document["ended"])]
    return "\n".join(lines)

"""``xueliang hold``: what people ask of holds, through the running ``edge``. Shell."""

from __future__ import annotations

from typing import Any

from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from edge import control
from edge.holds import stored_holds
from edge.status import index_path, table
from retention.audit import os_actor
from retention.audit_chain import printable
from retention.holds import EVERY_CAMERA, Hold, HoldState

#: On record, in the index, and on all volumes: each may take its ten seconds on a bad day.
TIMEOUT_S = 45.0
ALL = "all"

_STATES_ZH = {
    HoldState.ACTIVE: "生效",
    HoldState.RELEASE_ASKED: "待第二人解除",
    HoldState.EXPIRED: "到期",
    HoldState.RELEASED: "已解除",
}


def add(
    settings: Settings,
    camera: str,
    *,
    from_text: str,
    to_text: str,
    case: str,
    requester: str,
    unit: str,
    reason: str,
    expires_text: str | None,
) -> dict[str, Any]:
    """Raises :class:`ControlUnavailable`, :class:`ControlRefused`, :class:`BadInstant`."""
    zone = zone_named(settings.site.timezone)
    answer: dict[str, Any] = control.ask(
        settings.storage.state_dir,
        "hold_add",
        timeout_s=TIMEOUT_S,
        camera=EVERY_CAMERA if camera == ALL else camera,
        from_us=parse_instant(from_text, zone),
        to_us=parse_instant(to_text, zone),
        case=case,
        requester=requester,
        unit=unit,
        reason=reason,
        expires_us=None if expires_text is None else parse_instant(expires_text, zone),
        by=os_actor(),
    )
    return answer


def release(settings: Settings, hold_id: str, by: str) -> dict[str, Any]:
    """Raises :class:`ControlUnavailable`, :class:`ControlRefused`."""
    answer: dict[str, Any] = control.ask(
        settings.storage.state_dir,
        "hold_release",
        timeout_s=TIMEOUT_S,
        id=hold_id,
        by=by,
        actor=os_actor(),
    )
    return answer


def hold_list(settings: Settings) -> list[dict[str, Any]]:
    """Every hold from the index, the newest last; also while ``edge`` does not run."""
    zone = zone_named(settings.site.timezone)

    def text(instant_us: int | None) -> str | None:
        return None if instant_us is None else format_instant(instant_us, zone)

    def document(hold: Hold) -> dict[str, Any]:
        return {
            "id": hold.id,
            "camera": hold.camera or ALL,
            "from": text(hold.from_us),
            "to": text(hold.to_us),
            "state": hold.state(None).value,
            "case": hold.case,
            "requester": hold.requester,
            "unit": hold.unit,
            "reason": hold.reason,
            "expires": text(hold.expires_us),
            "added": text(hold.added_us),
            "added_by": hold.added_by,
            "release_asked": text(hold.asked_us),
            "release_asked_by": hold.asked_by,
            "released": text(hold.released_us),
            "released_by": hold.released_by,
        }

    return [document(hold) for hold in stored_holds(index_path(settings))]


def render_answer(answer: dict[str, Any]) -> str:
    """What was done, and what is still to come."""
    state = HoldState(answer["state"])
    lines = [f"{answer['id']}  {_STATES_ZH[state]} {state.value}"]
    if state is HoldState.RELEASE_ASKED:
        lines.append(
            "仍保留, 须由另一人解除 still held: another person must run the same command"
            f" 'xueliang hold release {answer['id']} --by NAME'"
        )
    lines += [
        f"尚未写入 not yet durable on volume {place}; it gets it when it is back"
        for place in answer["pending_volumes"]
    ]
    return "\n".join(lines)


def render_list(holds: list[dict[str, Any]]) -> str:
    if not holds:
        return "没有保留 no holds"
    rows = [
        ["编号 id", "摄像机 camera", "从 from", "到 to", "状态 state", "案号 case", "申请人 by"]
    ]
    rows += [
        [
            hold["id"],
            hold["camera"],
            hold["from"][:19],
            hold["to"][:19],
            f"{_STATES_ZH[HoldState(hold['state'])]} {hold['state']}",
            printable(hold["case"]),
            printable(f"{hold['requester']} {hold['unit']}".strip()),
        ]
        for hold in holds
    ]
    return "\n".join(table(rows))

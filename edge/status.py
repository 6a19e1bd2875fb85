"""What ``xueliang status`` and ``xueliang timeline`` tell. Shell.

"Recording" is measured: the age of the newest durable fragment in the index, whether ``edge``
answers or not. What only the running ``edge`` knows (bit rate, what is wrong right now) comes from
its control socket.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from edge import control
from edge.alarms.lines import alarm_line, for_people
from edge.neighbours import UPLINK_PORT, told_by
from edge.night_results import newest as newest_check
from edge.night_results import summary_line
from edge.terminal_text import columns
from retention.clock import SystemClock
from retention.completeness import Completeness, DayState
from retention.gap_names import CAUSES_ZH
from retention.model import US_PER_S, GapCause, MarkerKind
from retention.read import Store

#: A camera records if its newest durable fragment is younger than this (design.md, /healthz).
RECORDING_MAX_AGE_US = 30 * US_PER_S
#: Windows of the coverage as status names them, and their label in the metrics.
WINDOWS = {"24h": "1d", "7d": "7d", "90d": "90d"}


class UnknownCamera(XueliangError):
    """Neither the settings nor the store know this camera."""

    code = "unknown_camera"


def index_path(settings: Settings) -> Path:
    return settings.storage.state_dir / "index.db"


def open_store(settings: Settings) -> Store:
    """Read-only; raises ``IndexUnavailable`` where there is none yet."""
    return Store(index_path(settings), settings.storage.volumes)


@dataclass(frozen=True, slots=True)
class _Live:
    """What the running edge tells; empty where none runs."""

    is_running: bool
    cameras: dict[str, Any]
    volumes: list[Any]
    time: dict[str, Any] | None = None
    retention: dict[str, Any] | None = None
    alarms: list[dict[str, Any]] | None = None


def _live(settings: Settings) -> _Live:
    try:
        answer = control.ask(settings.storage.state_dir, "status")
    except control.ControlUnavailable:
        return _Live(False, {}, [])
    return _Live(
        True,
        answer["cameras"],
        answer["volumes"],
        answer["time"],
        answer.get("retention"),
        answer.get("alarms"),
    )


def completeness_of(store: Store, camera: str, now_us: int, settings: Settings) -> Completeness:
    """As the settings judge it."""
    retention = settings.retention
    own = [one.min_days for one in settings.camera if one.id == camera and one.min_days]
    return store.completeness(
        camera,
        now_us,
        zone_named(settings.site.timezone),
        min_days=own[0] if own else retention.min_days,
        tolerance_us=round(retention.gap_tolerance_seconds * US_PER_S),
    )


def status_document(settings: Settings) -> dict[str, Any]:
    """The JSON of ``xueliang status``; instants are ISO 8601 in the site's time zone."""
    now_us = SystemClock().utc_us()
    zone = zone_named(settings.site.timezone)
    live = _live(settings)
    with open_store(settings) as store:
        cameras = [
            {
                "camera": camera.id,
                "name": camera.name,
                "role": camera.role,
                "enabled": camera.enabled,
                **_measured(store, camera.id, now_us, zone, settings),
                **live.cameras.get(camera.id, {}),
            }
            for camera in settings.camera
        ]
        volumes = [volume | _kept(store, volume) for volume in live.volumes]
    return {
        "site": settings.site.name,
        "at": format_instant(now_us, zone),
        "edge": {"running": live.is_running},
        "time": None if live.time is None else time_document(live.time, zone),
        "cameras": cameras,
        "alarms": [for_people(one, zone) for one in live.alarms or ()],
        "retention": live.retention,
        "volumes": volumes,
        "self_check": newest_check(settings.storage.state_dir),
        "platforms": platforms_document(settings, zone),
    }


def _kept(store: Store, volume: dict[str, Any]) -> dict[str, int]:
    """What a volume that retires has left."""
    if not volume.get("retiring") or volume["uuid"] is None:
        return {}
    segments, size_bytes = store.kept_on(volume["uuid"])
    return {"kept_segments": segments, "kept_bytes": size_bytes}


def platforms_document(settings: Settings, zone: tzinfo) -> list[dict[str, Any]]:
    """Each platform as ``uplink`` tells on its loopback ``/status``; what the settings say of it
    where none runs."""
    told = told_by(settings, UPLINK_PORT) or {}  # none runs: the document says so
    known = {one["platform"]: one for one in told.get("platforms", [])}
    return [
        _platform(platform.name, known.get(platform.name), zone) for platform in settings.platform
    ]


def _platform(name: str, told: dict[str, Any] | None, zone: tzinfo) -> dict[str, Any]:
    if told is None:
        return {"platform": name, "registered": False, "state": "uplink_not_running"}
    since_us = told.pop("since_us", None)
    since = None if since_us is None else format_instant(since_us, zone)
    return {**told, "since": since}


def time_document(told: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """What ``edge`` thinks of the host's clock (``edge.host_time``), for people and machines."""
    document = {key: value for key, value in told.items() if key != "since_us"}
    return document | {"since": format_instant(told["since_us"], zone)}


def _measured(
    store: Store, camera: str, now_us: int, zone: tzinfo, settings: Settings
) -> dict[str, Any]:
    found = completeness_of(store, camera, now_us, settings)
    newest_us = store.newest(camera, now_us + US_PER_S)
    oldest_us = store.oldest(camera)
    age_us = None if newest_us is None else now_us - newest_us
    return {
        "recording": age_us is not None and age_us < RECORDING_MAX_AGE_US,
        "newest": None if newest_us is None else format_instant(newest_us, zone),
        "newest_age_seconds": None if age_us is None else round(age_us / US_PER_S, 1),
        "oldest": None if oldest_us is None else format_instant(oldest_us, zone),
        "coverage": {name: rounded(found.windows[label].ratio) for name, label in WINDOWS.items()},
        "history": {
            "due_from": format_instant(found.due_from_us, zone),
            "mature": found.is_mature,
        },
        "completeness": {
            "checked_days": found.checked_days,
            "complete_days": found.complete_days,
            "missing_days": [
                day.date.isoformat() for day in found.days if day.state is DayState.MISSING
            ],
        },
    }


def rounded(ratio: float | None, digits: int = 6) -> float | None:
    """Rounded down: what lacks a second in 90 days does not read as whole."""
    scale = 10**digits
    return None if ratio is None else math.floor(ratio * scale + 1e-6) / scale


def timeline_document(
    settings: Settings, camera: str, from_text: str, to_text: str
) -> dict[str, Any]:
    """The JSON of ``xueliang timeline``, as design.md promises it.

    ``to`` is never later than what is known: the newest durable fragment while the camera records.

    Raises:
        UnknownCamera: no settings and no footage of this id.
        BadInstant: a text that is no instant.
    """
    zone = zone_named(settings.site.timezone)
    from_us, to_us = parse_instant(from_text, zone), parse_instant(to_text, zone)
    known = [one.id for one in settings.camera]
    with open_store(settings) as store:
        if camera not in known and camera not in store.cameras():
            raise UnknownCamera(f"camera {camera!r} is unknown", hint=f"known: {', '.join(known)}")
        line = store.timeline(camera, from_us, to_us, SystemClock().utc_us())
        markers = store.markers(camera, from_us, to_us)

    def text(instant_us: int) -> str:
        return format_instant(instant_us, zone)

    return {
        "camera": camera,
        "from": text(line.from_us),
        "to": text(line.to_us),
        "spans": [{"start": text(span.start_us), "end": text(span.end_us)} for span in line.spans],
        "gaps": [
            {
                "start": text(gap.start_us),
                "end": text(gap.end_us or line.to_us),
                "cause": gap.cause.value,
                "detail": gap.detail,
            }
            for gap in line.gaps
        ],
        "markers": [{"at": text(one.at_us), "kind": one.kind.value} for one in markers],
    }


# For people ----------------------------------------------------------------------------------


def render(document: dict[str, Any]) -> str:
    """The status as a table, one camera a line, with what is wrong below."""
    edge = "运行中 running" if document["edge"]["running"] else "未运行 NOT RUNNING"
    lines = [f"{document['site']}  {document['at']}  edge {edge}"]
    lines += [_time_text(document["time"])] if document["time"] else []
    lines.append("")
    rows = [["摄像机 camera", "录像 recording", "码率 rate", "24h", "7d", "90d", "最早 oldest"]]
    rows += [_camera_row(camera) for camera in document["cameras"]]
    lines += table(rows)
    if document["self_check"] is not None:
        lines += ["", summary_line(document["self_check"])]
    young = [
        f"{camera['camera']}: 历史未满 history not yet mature, due since"
        f" {camera['history']['due_from'][:19]}"
        for camera in document["cameras"]
        if not camera["history"]["mature"]
    ]
    if young:
        lines += ["", *young]
    troubles = [
        f"{camera['camera']}: {cause_text(camera['cause'])} {camera.get('detail', '')}".rstrip()
        for camera in document["cameras"]
        if camera.get("cause")
    ]
    if troubles:
        lines += ["", *troubles]
    if document["alarms"]:
        lines += ["", "告警 alarms:", *(f"  {alarm_line(one)}" for one in document["alarms"])]
    if document["retention"] is not None:
        lines += ["", *retention_lines(document)]
    if document["platforms"]:
        rows = [["平台 platform", "注册 registered", "服务器 server", "自 since", "心跳 keepalive"]]
        rows += [_platform_row(platform) for platform in document["platforms"]]
        lines += ["", *table(rows)]
        lines += [
            f"{platform['platform']}: {platform['trouble']}"
            for platform in document["platforms"]
            if platform.get("trouble")
        ]
    if document["volumes"]:
        rows = [["存储 volume", "状态 state", "剩余 free", "容量 size"]]
        rows += [
            [
                volume["path"],
                volume["state"],
                _bytes_text(volume["free_bytes"]),
                _bytes_text(volume["capacity_bytes"]),
            ]
            for volume in document["volumes"]
        ]
        lines += ["", *table(rows)]
        lines += [
            f"{volume['path']}: {retiring_text(volume)}"
            for volume in document["volumes"]
            if volume["retiring"]
        ]
    return "\n".join(lines)


def retiring_text(volume: dict[str, Any]) -> str:
    """What is left on a volume that retires, and whether it may go."""
    segments = volume.get("kept_segments")
    if segments is None:
        return "退役中 retiring"
    if segments == 0:
        return (
            "已清空，从 volumes 中删去并重启后可取下"
            " empty: may be pulled, once it is out of volumes and edge restarted"
        )
    left = f"{volume['kept_bytes']} bytes"
    return f"退役中，尚存 {segments} 段 {left} retiring, {left} left in {segments} segments"


_STATES_ZH = {
    "immature": "历史未满",
    "held": "已保持",
    "short": "最早录像不足",
    "breached": "低于下限被覆盖",
}
_BINDINGS_ZH = {
    "nothing": "尚无删除",
    "max_days": "到期删除",
    "disk": "受磁盘容量限制",
    "removed": "已停用",
}


def retention_lines(document: dict[str, Any]) -> list[str]:
    """One line of the site, and one a camera."""
    site = document["retention"]
    days = site["forecast_days"]
    if not site["forecast_known"]:
        ahead = "预计 forecast: 码率尚未测得 not yet known, rates are still being measured"
    elif days is None:
        ahead = "预计 forecast -"
    else:
        ahead = f"预计 forecast {days:.1f} 天 days"
    if not site["time_trusted"]:
        ahead += "; 时间不可信, 不按期删除 nothing goes by age while time is not trusted"
    if site["deletions_under_way"]:
        ahead += f"; 删除中 being deleted {site['deletions_under_way']}"
    lines = [f"录像保存 retention: {ahead}"]
    if site["risk"]:
        lines.append(f"  警告 ALARM: {site['risk']}")
    for camera in document["cameras"]:
        one = camera.get("retention")
        if one is None:
            continue
        oldest = "-" if one["oldest_days"] is None else f"{one['oldest_days']:.1f}"
        lines.append(
            f"  {camera['camera']}: {one['min_days']}-{one['max_days']} 天 days:"
            f" {_STATES_ZH[one['state']]} {one['state']}, 最早 oldest {oldest},"
            f" {_BINDINGS_ZH[one['binds']]} {one['binds']}"
        )
    return lines


def _time_text(time: dict[str, Any]) -> str:
    trusted = "可信 trusted" if time["trusted"] else "不可信 NOT TRUSTED"
    offsets = "".join(
        f"; {source} {offset:+.1f} s" for source, offset in time["offsets_seconds"].items()
    )
    reasons = f"{time['reason_zh']} {time['reason_en']}"
    return f"时间 time {trusted} ({reasons}, since {time['since'][:19]}{offsets})"


def _camera_row(camera: dict[str, Any]) -> list[str]:
    if not camera["enabled"]:
        recording = "停用 disabled"
    elif camera["recording"]:
        recording = f"是 yes, {camera['newest_age_seconds']:.0f} s"
    elif camera["newest_age_seconds"] is None:
        recording = "否 NO, never"
    else:
        recording = f"否 NO, {camera['newest_age_seconds']:.0f} s"
    rate = camera.get("bits_per_second")
    coverage = camera["coverage"]
    return [
        camera["camera"],
        recording,
        "-" if rate is None else f"{rate / 1e6:.2f} Mbit/s",
        *(_percent(coverage[name]) for name in WINDOWS),
        (camera["oldest"] or "-")[:19],
    ]


def _percent(ratio: float | None) -> str:
    found = rounded(ratio, 4)
    return "-" if found is None else f"{100 * found:.2f} %"


def _platform_row(platform: dict[str, Any]) -> list[str]:
    rtt_ms = platform.get("keepalive_rtt_ms")
    is_registered = platform["registered"]
    return [
        platform["platform"],
        "是 yes" if is_registered else f"否 NO, {platform['state']}",
        platform.get("server", "-"),
        (platform.get("since") or "-")[:19],
        "-" if rtt_ms is None else f"{rtt_ms:.0f} ms",
    ]


def render_timeline(document: dict[str, Any]) -> str:
    """Spans and gaps in order, one a line."""
    lines = [f"{document['camera']}  {document['from']} .. {document['to']}"]
    pieces = [(span["start"], span["end"], "有录像 recorded") for span in document["spans"]]
    pieces += [
        (
            gap["start"],
            gap["end"],
            f"缺口 gap: {cause_text(gap['cause'])} {gap['detail']}".rstrip(),
        )
        for gap in document["gaps"]
    ]
    lines += [f"{start}  {end}  {what}" for start, end, what in sorted(pieces)]
    if document["markers"]:
        lines += ["", *_marker_lines(document["markers"])]
    if not pieces:
        lines.append("无应有录像 nothing was due")
    return "\n".join(lines)


MARKERS_ZH = {
    MarkerKind.MOTION: "移动",
    MarkerKind.TAMPER: "遮挡或移位",
    MarkerKind.FACE: "人脸抓拍",
    MarkerKind.VEHICLE: "车辆抓拍",
}


def _marker_lines(markers: list[dict[str, str]]) -> Iterator[str]:
    """One line an hour and kind: a busy gate has hundreds a day."""
    hours = Counter((one["at"][:13], one["kind"]) for one in markers)
    for (hour, kind), count in sorted(hours.items()):
        yield f"{hour}:00  事件 events: {MARKERS_ZH[MarkerKind(kind)]} {kind} {count}"


def cause_text(cause: str) -> str:
    """A gap's cause in both languages."""
    return f"{CAUSES_ZH[GapCause(cause)]} {cause}"


def _bytes_text(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"


def table(rows: list[list[str]]) -> list[str]:
    """Lines of columns that line up."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]

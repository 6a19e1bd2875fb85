"""``xueliang plan``: the disk that footage takes, or the days that these disks give. Shell."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.schema import MIN_DAYS_FLOOR, Settings
from config.units import format_bytes
from edge.status import index_path
from edge.sweeping import rates_by_camera
from edge.volume_looks import VolumeLook, look_at_volumes
from retention.clock import SystemClock
from retention.forecast import ASSUMED_BYTES_PER_HOUR, HOURS, held_days, needed_bytes
from retention.index.errors import IndexUnavailable
from retention.index.read import Index

BITS_PER_MBIT = 1_000_000
ASSUMED_MBPS = ASSUMED_BYTES_PER_HOUR * 8 / 3_600 / BITS_PER_MBIT
#: Where the rate of a plan is from.
_RATES = {
    "given": "按给定码率 at the given rate",
    "measured": "实测 measured",
    "assumed": "估计，未实测 an estimate, not measured",
}


class PlanIncomplete(XueliangError):
    """Without settings nobody knows how many cameras there are."""

    code = "plan_incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the index knows; empty where there is none."""

    mbps: float | None  # mean of a camera, measured
    stored: dict[str, int]  # bytes of footage by volume


def plan_document(
    settings: Settings | None,
    cameras: int | None,
    mbps: float | None,
    days: float | None,
    *,
    looks: Sequence[VolumeLook] | None = None,
    reads_index: bool = True,
) -> dict[str, Any]:
    """The JSON of ``xueliang plan``.

    Args:
        settings: None where there is no settings file: then the disk is told, and no volumes.
        cameras: how many; None: as the settings have them.
        mbps: megabits per second of each; None: as measured, else assumed.
        days: to be held; None: the floor of the settings.
        looks: at the volumes; None: they are looked at.
        reads_index: False: as if nothing was measured or stored yet.

    Raises:
        PlanIncomplete: neither settings nor ``cameras`` are given.
    """
    if settings is None and cameras is None:
        raise PlanIncomplete(
            "nobody says how many cameras there are", hint="give --cameras N, or --config FILE"
        )
    known = _Known(mbps=None, stored={})
    if settings is not None and reads_index:
        known = _known(settings)
    measured = known.mbps if cameras is None and mbps is None else None
    if cameras is None:
        assert settings is not None
        cameras = sum(camera.enabled for camera in settings.camera)
    rate = "given"
    if mbps is None:
        rate = "assumed" if measured is None else "measured"
        mbps = ASSUMED_MBPS if measured is None else measured
    if days is None:
        days = MIN_DAYS_FLOOR if settings is None else settings.retention.min_days
    document: dict[str, Any] = {
        "cameras": cameras,
        "mbps": round(mbps, 3),
        "measured": measured is not None,
        "rate": rate,
        "days": days,
        "needed_bytes": needed_bytes(cameras, mbps * BITS_PER_MBIT, days),
        "volumes": [],
        "usable_bytes": None,
        "days_given": None,
        "enough": None,
    }
    if settings is not None:
        if looks is None:
            looks = look_at_volumes(settings.storage.volumes)
        volumes = [_volume(settings, look, known.stored) for look in looks]
        counted = [one for one in volumes if not one["retiring"]]
        usable = sum(one["usable_bytes"] for one in counted)
        given = held_days(usable, cameras, mbps * BITS_PER_MBIT) if cameras else None
        document |= {
            "volumes": volumes,
            "usable_bytes": usable,
            "days_given": None if given is None else round(given, 2),
            "enough": given is None or given >= days,
        }
    return document


def _known(settings: Settings) -> _Known:
    now_us = SystemClock().utc_us()

    def query(connection: sqlite3.Connection) -> _Known:
        found = rates_by_camera(connection, settings, now_us)
        rates = found.by_camera
        per_hour = sum(sum(rate) for rate in rates.values()) / HOURS / max(1, len(rates))
        stored = "SELECT volume, sum(size_bytes) FROM stored GROUP BY volume"
        return _Known(
            mbps=per_hour * 8 / 3_600 / BITS_PER_MBIT if found.are_measured and rates else None,
            stored=dict(connection.execute(stored).fetchall()),
        )

    try:
        with Index.open_read(index_path(settings)) as index:
            return index.read(query)
    except IndexUnavailable:
        return _Known(mbps=None, stored={})  # nothing was recorded yet


def _volume(settings: Settings, look: VolumeLook, stored: dict[str, int]) -> dict[str, Any]:
    """What footage can have of a volume: what it has, and what is free beyond the reserve."""
    kept_bytes = 0 if look.uuid is None else stored.get(look.uuid, 0)
    left_bytes = max(0, look.free_bytes - settings.storage.reserve_bytes)
    return {
        "path": look.path,
        "capacity_bytes": look.capacity_bytes,
        "usable_bytes": kept_bytes + left_bytes,
        "retiring": Path(look.path) in settings.storage.retiring,
        "trouble": look.trouble,
    }


def render_plan(document: dict[str, Any]) -> str:
    """A few lines for people."""
    how = _RATES[document["rate"]]
    needed = format_bytes(document["needed_bytes"])
    head = f"{document['cameras']} 路 cameras × {document['mbps']:g} Mbit/s ({how}),"
    lines = [f"{head} {document['days']:g} 天 days: 需要 needs {needed}"]
    for one in document["volumes"]:
        retiring = " (退役中 retiring, 不计 not counted)" if one["retiring"] else ""
        trouble = f": {one['trouble']}" if one["trouble"] else ""
        lines.append(
            f"  {one['path']}: 可用 usable {format_bytes(one['usable_bytes'])}"
            f" / {format_bytes(one['capacity_bytes'])}{retiring}{trouble}"
        )
    if document["days_given"] is not None:
        verdict = "足够 enough" if document["enough"] else "不足 NOT ENOUGH"
        lines.append(
            f"这些磁盘可保存 these disks give {document['days_given']:.1f} 天 days: {verdict}"
        )
    return "\n".join(lines)

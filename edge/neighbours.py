"""What goes on around ``edge``: the box's other services, and the disk of the state folder. Shell.

Blocking; for a job's thread.
"""

from __future__ import annotations

import http.client
import json
import shutil
from typing import Any

from config.schema import Settings
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.alarms.told import faults_of
from edge.platform_why import platform_why

#: A loopback answer that takes longer is none.
TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 4 * 2**20
#: Less free on the disk of ``state_dir`` stops index and journal before long.
STATE_FREE_BYTES_MIN = 512 * 2**20
#: Ports behind edge's own (design.md, metrics).
UPLINK_PORT, CONSOLE_PORT = 1, 2


def told_by(settings: Settings, port_offset: int) -> dict[str, Any] | None:
    """``/status`` of a service on loopback; None where none answers."""
    bind = settings.metrics.bind
    connection = http.client.HTTPConnection(bind.host, bind.port + port_offset, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
        told = json.loads(body) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    return told if isinstance(told, dict) else None


def faults_of_neighbours(settings: Settings) -> dict[str, list[Fault]]:
    """By source: whether uplink runs while there are platforms, and what it tells; what the console
    tells, if it runs. Without an answer of uplink nobody knows of platforms: what was told of them
    stands.
    """
    found = {"console": faults_of(told_by(settings, CONSOLE_PORT))}
    if not settings.platform:
        return found | {"services": [], "uplink": []}
    told = told_by(settings, UPLINK_PORT)
    if told is None:
        return found | {"services": [Fault(code=Code.SERVICE_DOWN, subject="uplink")]}
    return found | {"services": [], "uplink": [*faults_of(told), *_platforms(told)]}


def _platforms(told: dict[str, Any]) -> list[Fault]:
    """Platforms that do not have us."""
    platforms = told.get("platforms")
    return [
        _offline(str(one.get("platform", "")), str(one.get("trouble") or one.get("state", "")))
        for one in (platforms if isinstance(platforms, list) else [])
        if isinstance(one, dict) and not one.get("registered")
    ]


def _offline(platform: str, told: str) -> Fault:
    reason_zh, reason_en = platform_why(told)
    return Fault(
        code=Code.PLATFORM_OFFLINE, subject=platform, reason_zh=reason_zh, reason_en=reason_en
    )


def free_of(settings: Settings) -> list[Fault]:
    """Whether the disk of the state folder runs full."""
    try:
        free_bytes = shutil.disk_usage(settings.storage.state_dir).free
    except OSError as error:
        return [Fault(code=Code.STATE_FOLDER_FULL, reason_en=str(error.strerror))]
    if free_bytes >= STATE_FREE_BYTES_MIN:
        return []
    left_mib = free_bytes // 2**20
    return [
        Fault(
            code=Code.STATE_FOLDER_FULL,
            reason_zh=f"剩余 {left_mib} MiB",
            reason_en=f"{left_mib} MiB left",
        )
    ]

"""What ``edge`` tells of cameras and disks, asked for every few seconds on loopback. Shell.

``edge`` serves ``/status`` beside its metrics (ARCHITECTURE.md, "What edge tells uplink"): uplink
is another user and never imports it. A recorder that does not answer records nothing, as far as
anybody can know: the state then says so.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Callable
from typing import Any

from config.address import Address
from uplink.device import CameraState, Presence, SiteAlarm, SiteState, VolumeState

log = logging.getLogger(__name__)

POLL_S = 2.0
TIMEOUT_S = 3.0
ANSWER_BYTES_MAX = 4 * 2**20
#: Unanswered polls in a row, before the recorder counts as gone: a restart takes a moment.
MISSES_MAX = 3


class EdgeState:
    """``state`` is what is known now; :meth:`run` keeps it so until cancelled."""

    def __init__(self, metrics: Address) -> None:
        self._address = metrics
        self.state = SiteState()
        self.is_known = False  # answered, or given up, at least once
        self._misses = 0

    async def run(self, after: Callable[[], None]) -> None:
        """``after`` is called behind each question."""
        while True:
            await self.poll()
            after()
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """One question; never raises for what edge answers or not."""
        try:
            answer = await asyncio.to_thread(_ask, self._address)
            self.state = site_state(json.loads(answer))
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            self._misses += 1
            if self._misses == MISSES_MAX:
                log.warning("edge_silent", extra={"error": type(error).__name__})
                self.state = SiteState()
                self.is_known = True
        else:
            self._misses = 0
            self.is_known = True


def _ask(address: Address) -> bytes:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"/status answers {answer.status}")
        return answer.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()


def site_state(document: Any) -> SiteState:
    """The state of a ``/status`` document.

    Raises:
        ValueError: it has another shape.
    """
    try:
        alarms = list(document["alarms"])
        defects: dict[str, list[str]] = {}
        for one in alarms:
            if one["defect"]:
                defects.setdefault(str(one["subject"]), []).append(str(one["code"]))
        volumes = [str(one["name"]) for one in document["volumes"]]
        return SiteState(
            is_running=True,
            cameras={
                str(name): _camera(one, defects.get(str(name), []))
                for name, one in document["cameras"].items()
            },
            volumes=tuple(
                VolumeState(
                    name=str(one["name"]),
                    state=str(one["state"]),
                    capacity_bytes=int(one["capacity_bytes"]),
                    free_bytes=int(one["free_bytes"]),
                )
                for one in document["volumes"]
            ),
            alarms=tuple(_alarm(one, volumes) for one in alarms if one["gb"] is not None),
            pressure=float(document["pressure"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"/status has another shape: {error!r}") from error


def _alarm(one: Any, volumes: list[str]) -> SiteAlarm:
    about, subject, gb = str(one["about"]), str(one["subject"]), one["gb"]
    reason = f"{one['reason_zh']} {one['reason_en']}".strip()
    if about == "volume":  # a path tells a platform nothing
        number = volumes.index(subject) + 1 if subject in volumes else 0
        reason = f"disk {number}: {reason}"
    is_camera = about == "camera"
    return SiteAlarm(
        condition=str(one["code"]) if is_camera or not subject else f"{one['code']} {subject}",
        camera=subject if is_camera else "",
        name=f"{one['name_zh']} {one['name_en']}",
        detail=reason,
        since_us=int(one["since_us"]),
        priority=int(gb["priority"]),
        method=int(gb["method"]),
        type=None if gb["type"] is None else int(gb["type"]),
    )


def _camera(one: Any, defects: list[str]) -> CameraState:
    return CameraState(
        presence=Presence(one["presence"]),
        is_recording=bool(one["recording"]),
        cause=str(one["cause"]),
        codec=str(one["codec"]),
        width=int(one["width"]),
        height=int(one["height"]),
        bits_per_second=int(one["bits_per_second"]),
        manufacturer=str(one["manufacturer"]),
        model=str(one["model"]),
        firmware=str(one["firmware"]),
        defects=tuple(sorted(defects)),
    )

"""Fault drills, run on request: what is done to the box, and what it must show. Shell.

The recorder is killed by the program itself. A cable and a disk are pulled by a person, who is told
when: a fault that software makes is not the one that the site will have. Nothing is written, no
network is touched; the ledger is asked what came of it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from config.errors import XueliangError
from config.instants import format_instant, parse_instant, zone_named
from config.schema import Settings
from edge import control
from edge.acceptance import items
from edge.acceptance.items import Item
from edge.status import status_document, timeline_document
from retention.clock import SystemClock

T = TypeVar("T")

#: Recording again after edge was killed; a service manager starts it after a second.
RESTART_S = 60.0
#: For a person to pull something, and to put it back.
PULL_S, BACK_S = 120.0, 300.0
#: Recording elsewhere after a disk went, and again after a camera came back.
FAIL_OVER_S, RETURN_S = 30.0, 120.0
LOOK_S = 1.0


class Drill(StrEnum):
    RECORDER = "recorder"
    NETWORK = "network"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a drill stands on. ``say`` tells the person at the box what to do."""

    settings: Settings
    say: Callable[[str], None]

    def document(self) -> dict[str, Any]:
        """As ``xueliang status`` tells; empty where it cannot now."""
        try:
            return status_document(self.settings)
        except XueliangError:
            return {"cameras": [], "volumes": [], "edge": {"running": False}}

    def cameras(self) -> dict[str, bool]:
        """Whether each enabled one is recorded now, by id; none where edge does not run."""
        told = self.document()
        if not told["edge"]["running"]:
            return {}
        return {
            one["camera"]: bool(one["recording"]) and not one.get("cause")
            for one in told["cameras"]
            if one["enabled"]
        }

    def has_newer(self, cameras: Collection[str], since_us: int) -> bool:
        """Whether each has something durable that is younger."""
        told = self.document()
        newest = {one["camera"]: one["newest"] for one in told["cameras"]}
        return bool(told["edge"]["running"]) and all(
            newest.get(one) and parse_instant(newest[one]) > since_us for one in cameras
        )

    def volumes(self) -> dict[str, str]:
        return {one["path"]: str(one["state"]) for one in self.document()["volumes"]}

    def wait(self, fact: Callable[[], T | None], seconds: float) -> T | None:
        """The first answer that is neither None nor False nor empty; None in time."""
        until_s = time.monotonic() + seconds
        while not (found := fact()):
            if time.monotonic() > until_s:
                return None
            time.sleep(LOOK_S)
        return found

    def gaps(self, camera: str, since_us: int) -> list[str]:
        """Causes of the gaps since then, the oldest first."""
        zone = zone_named(self.settings.site.timezone)
        from_text = format_instant(since_us, zone)
        until_text = format_instant(SystemClock().utc_us(), zone)
        told = timeline_document(self.settings, camera, from_text, until_text)
        return [str(one["cause"]) for one in told["gaps"]]


def run_drills(
    settings: Settings, drills: frozenset[Drill], say: Callable[[str], None]
) -> Iterator[Item]:
    """An item each; those that were not asked for are left to people."""
    ground = Ground(settings=settings, say=say)
    do = {Drill.RECORDER: recorder, Drill.NETWORK: network, Drill.DISK: disk}
    for drill in Drill:
        yield do[drill](ground) if drill in drills else items.drill_left(drill.value)


def recorder(ground: Ground) -> Item:
    """edge is killed: recording comes back by itself, and the gap is told with its cause."""
    state_dir = ground.settings.storage.state_dir
    try:
        process = int(control.ask(state_dir, "ping")["pid"])
    except (control.ControlUnavailable, control.ControlRefused, KeyError):
        return items.drill_not_done("recorder", "edge does not run")
    cameras = [name for name, is_up in ground.cameras().items() if is_up]
    if not cameras:
        return items.drill_not_done("recorder", "no camera is recorded")
    since_us = SystemClock().utc_us()
    os.kill(process, signal.SIGKILL)
    begun_s = time.monotonic()
    is_recording = ground.wait(lambda: ground.has_newer(cameras, since_us), RESTART_S)
    took_s = time.monotonic() - begun_s
    causes = {one: ground.gaps(one, since_us) for one in cameras} if is_recording else {}
    return items.recorder_drill(took_s if is_recording else None, RESTART_S, causes)


def network(ground: Ground) -> Item:
    """A camera's cable is pulled, and put back."""
    before = [name for name, is_up in ground.cameras().items() if is_up]
    if not before:
        return items.drill_not_done("network", "no camera is recorded")
    since_us = SystemClock().utc_us()
    ground.say(
        f"断网演练：请在 {PULL_S:.0f} 秒内拔下一台摄像机的网线"
        f" Network drill: pull one camera's cable within {PULL_S:.0f} s"
    )

    gone: set[str] = set()

    def look() -> dict[str, bool]:
        now = ground.cameras()
        gone.update(one for one in before if not now.get(one, True))
        return now

    if ground.wait(lambda: look() and gone, PULL_S + FAIL_OVER_S) is None:
        return items.drill_not_done("network", "no camera went away")
    ground.say(
        f"已见离线 seen: {', '.join(gone)}。请插回网线，最多 {BACK_S:.0f} 秒 Plug it in again"
    )
    is_back = ground.wait(lambda: (now := look()) and all(now.get(one) for one in before), BACK_S)
    causes = {one: ground.gaps(one, since_us) for one in before}
    return items.network_drill(sorted(gone), bool(is_back), causes)


def disk(ground: Ground) -> Item:
    """A disk is pulled, and put back."""
    before = [path for path, state in ground.volumes().items() if state in ("ok", "full")]
    cameras = [name for name, is_up in ground.cameras().items() if is_up]
    if not before or not cameras:
        return items.drill_not_done("disk", "no disk or no camera is in use")
    since_us = SystemClock().utc_us()
    ground.say(
        f"拔盘演练：请在 {PULL_S:.0f} 秒内拔下一块录像盘"
        f" Disk drill: pull one disk of footage within {PULL_S:.0f} s"
    )

    def away() -> list[str]:
        now = ground.volumes()
        return [one for one in before if now.get(one, "ok") not in ("ok", "full")]

    gone = ground.wait(away, PULL_S)
    if gone is None:
        return items.drill_not_done("disk", "no disk went away")
    gone_us = SystemClock().utc_us()
    has_other = len(before) > len(gone)
    goes_on = has_other and bool(
        ground.wait(lambda: ground.has_newer(cameras, gone_us), FAIL_OVER_S)
    )
    ground.say(
        f"已见掉盘 seen: {', '.join(gone)}。请插回并挂载，最多 {BACK_S:.0f} 秒"
        " Put it back, mounted where it was"
    )
    is_back = ground.wait(lambda: not away(), BACK_S) is not None and bool(
        ground.wait(lambda: all(ground.cameras().get(one) for one in cameras), RETURN_S)
    )
    causes = {one: ground.gaps(one, since_us) for one in cameras}
    return items.disk_drill(
        gone, has_other=has_other, goes_on=goes_on, is_back=is_back, gaps=causes
    )

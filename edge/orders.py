"""The order socket: what other services may have done with a camera, and nothing else. Shell.

``<state_dir>/orders.sock``, mode 0660: ``uplink``, another user of the folder's group, hands over
orders that its policy let pass (ARCHITECTURE.md, "Orders to cameras"). The verbs are a closed
list; none of them touches footage, recording or settings. A home position (GB/T 28181 看守位) is
kept here: a camera that nobody moved for a while goes back to its preset.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from edge import control
from edge.camera.errors import CameraError
from edge.camera.onvif_service import OnvifService
from edge.cameras import CameraInService
from retention.clock import Clock
from retention.model import US_PER_S
from retention.whole_file import replace_file

log = logging.getLogger(__name__)

SOCKET_NAME = control.ORDERS_SOCKET_NAME
HOMES_NAME = "homes.json"
#: Verbs handed to the camera as they are; a test holds them to ``onvif_orders.VERBS``.
CAMERA_VERBS = (
    "move",
    "stop",
    "presets",
    "preset_set",
    "preset_call",
    "preset_delete",
    "key_frame",
    "snapshot",
    "reboot",
)
#: Verbs after which a camera is not where it was.
_MOVING = frozenset({"move", "stop", "preset_call"})
PRESET_MAX = 255
RESET_S_MIN, RESET_S_MAX = 5, 86_400
HOME_BYTES_MAX = 256 * 1024


class OrderRefused(XueliangError):
    """The order names no camera that can take it, or makes no sense."""

    code = "order_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a camera goes back to, ``reset_s`` after its last move."""

    enabled: bool
    reset_s: int
    preset: int


class Orders:
    """Commands of the order socket.

    Args:
        cameras: those in service, by id.
        state_dir: homes are kept there.
    """

    def __init__(
        self,
        onvif: OnvifService,
        cameras: Callable[[], Mapping[str, CameraInService]],
        state_dir: Path,
        clock: Clock,
    ) -> None:
        self._onvif = onvif
        self._cameras = cameras
        self._path = state_dir / HOMES_NAME
        self._clock = clock
        self._homes = _loaded(self._path)
        #: A camera gets one order after the other: most answer one caller at a time.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: When a camera was moved last and is not home: monotonic microseconds.
        self._moved_us: dict[str, int] = {}

    def commands(self) -> dict[str, control.Command]:
        """What the socket answers."""
        found: dict[str, control.Command] = {verb: self._by(verb) for verb in CAMERA_VERBS}
        return found | {"home": self._home, "home_set": self._home_set}

    async def go_home(self) -> None:
        """To be called every few seconds: cameras that stood for long enough go back."""
        now_us = self._clock.monotonic_us()
        for camera, home in list(self._homes.items()):
            moved_us = self._moved_us.get(camera)
            if not home.enabled or moved_us is None:
                continue
            if now_us - moved_us >= home.reset_s * US_PER_S:
                del self._moved_us[camera]
                try:
                    await self._order(camera, "preset_call", {"number": home.preset})
                except (CameraError, OrderRefused) as error:
                    log.warning("home_failed", extra={"camera": camera, "error": str(error)})

    def _by(self, verb: str) -> control.Command:
        async def command(arguments: dict[str, Any]) -> Any:
            camera = str(arguments.pop("camera", ""))
            result = await self._order(camera, verb, arguments)
            if verb in _MOVING:
                self._moved_us[camera] = self._clock.monotonic_us()
            return result

        return command

    async def _order(self, camera: str, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        one = self._cameras().get(camera)
        if one is None or not one.settings.enabled:
            raise OrderRefused(f"camera {camera[:80]!r} is not in service")
        if one.onvif is None:
            raise OrderRefused(f"camera {camera} has no ONVIF address")
        async with self._locks[camera]:
            return await self._onvif.order(
                str(one.onvif),
                one.settings.username,
                one.password.reveal(),
                one.settings.profile,
                verb,
                arguments,
            )

    async def _home(self, arguments: dict[str, Any]) -> Any:
        home = self._homes.get(str(arguments.get("camera")))
        if home is None:
            raise OrderRefused("the camera has no home position")
        return asdict(home)

    async def _home_set(self, arguments: dict[str, Any]) -> Any:
        camera = str(arguments.get("camera"))
        if camera not in self._cameras():
            raise OrderRefused(f"camera {camera[:80]!r} is not in service")
        home = _home(arguments)
        if home.enabled:  # it must have the preset: else nothing would ever happen
            told = await self._order(camera, "presets", {})
            if home.preset not in {one["number"] for one in told["presets"]}:
                raise OrderRefused(f"the camera has no preset {home.preset}")
        try:
            await asyncio.to_thread(_keep, self._path, {**self._homes, camera: home})
        except OSError as error:
            log.error("homes_not_kept", extra={"error": str(error)})
            raise OrderRefused(f"the home position cannot be kept: {error.strerror}") from error
        self._homes[camera] = home
        self._moved_us[camera] = self._clock.monotonic_us()
        return {}


def _home(document: Mapping[str, Any]) -> Home:
    try:
        enabled, reset_s, preset = (document[key] for key in ("enabled", "reset_s", "preset"))
    except KeyError as error:
        raise OrderRefused(f"a home position needs {error}") from None
    if type(enabled) is not bool or type(reset_s) is not int or type(preset) is not int:
        raise OrderRefused("a home position is a flag and two numbers")
    if enabled and not 1 <= preset <= PRESET_MAX:
        raise OrderRefused("a home position names a preset from 1 to 255")
    return Home(enabled=enabled, reset_s=min(max(reset_s, RESET_S_MIN), RESET_S_MAX), preset=preset)


def _loaded(path: Path) -> dict[str, Home]:
    """Homes of an earlier life; none where they cannot be read, for they are no evidence."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(HOME_BYTES_MAX))
        return {str(camera): _home(one) for camera, one in document.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, OrderRefused) as error:
        log.warning("homes_unreadable", extra={"error": type(error).__name__})
        return {}


def _keep(path: Path, homes: Mapping[str, Home]) -> None:
    document = {camera: asdict(home) for camera, home in homes.items()}
    replace_file(path, json.dumps(document).encode())

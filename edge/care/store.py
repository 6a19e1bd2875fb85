"""``<state_dir>/care.json``: what is known of cameras; ``edge`` writes, commands read. Shell.

Lost or damaged it costs nothing but that changes since are not noticed: it is learnt anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from config.address import Address
from config.schema import Camera
from edge.care.known import Known, address_of, dumps, loads
from retention.whole_file import replace_file

log = logging.getLogger(__name__)

NAME = "care.json"
BYTES_MAX = 4 * 1024 * 1024


def load_known(state_dir: Path) -> dict[str, Known]:
    """By camera; empty where there is none, or none that can be read."""
    try:
        with (state_dir / NAME).open(encoding="utf-8") as file:
            return loads(file.read(BYTES_MAX))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("care_state_unreadable", extra={"error": type(error).__name__})
        return {}


def keep_known(state_dir: Path, cameras: Mapping[str, Known]) -> None:
    """Whole or not at all. Raises OSError."""
    replace_file(state_dir / NAME, dumps(cameras).encode())


def reached_at(state_dir: Path, camera: Camera) -> Address | None:
    """Where a camera's ONVIF is: as the settings say, or where ``edge`` found it."""
    return address_of(load_known(state_dir).get(camera.id), camera.onvif)


class KnownCameras:
    """``edge``'s own account, kept at each change; ``failures`` counts writes that failed."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._cameras = load_known(state_dir)
        self._turn = asyncio.Lock()  # one write after the other
        self.failures = 0

    def of(self, camera: str) -> Known:
        """Empty for a camera that was never looked at."""
        return self._cameras.get(camera, Known())

    async def put(self, camera: str, known: Known) -> None:
        """Where the disk does not take it, it is learnt anew after a restart."""
        self._cameras[camera] = known
        async with self._turn:
            try:
                await asyncio.to_thread(keep_known, self._state_dir, dict(self._cameras))
            except OSError as error:
                self.failures += 1
                log.error("care_state_not_kept", extra={"error": str(error)})

"""Cameras that are not where the settings say any more: found by WS-Discovery and serial. Shell.

A camera that has been away for a minute, and whose serial is known, is looked for. Only a device
that says the same serial, with the camera's own password, is the camera; if two do, none is. Who is
asked is narrowed first, for each question shows a digest of the password: devices of the camera's
WS-Discovery endpoint where that is known, else those that announce its model. The settings file
stays as it is: the address is kept in ``care.json`` until the settings name another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from config.address import Address, is_ip
from config.schema import Camera, Settings
from edge.camera.discovery import Announcement
from edge.camera.discovery_probe import address_towards, own_addresses
from edge.camera.errors import CameraError
from edge.camera.onvif_service import OnvifService
from edge.camera.pool import CameraPool
from edge.cameras import CameraInService
from edge.care.discover import reserved_interfaces
from edge.care.known import Candidate, Moved, address_of, candidates
from edge.care.store import KnownCameras
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.clock import Clock
from retention.model import US_PER_S, GapCause

log = logging.getLogger(__name__)

#: A camera that has been away for so long is looked for.
MISSING_US = 60 * US_PER_S
SEEK_S = 20
SEEK_AGAIN_US, SEEK_AGAIN_MAX_US = 60 * US_PER_S, 600 * US_PER_S
DISCOVER_S = 2.0
#: How often endpoints are learnt of cameras that are where they should be.
LEARN_US = 3600 * US_PER_S
_AWAY = (GapCause.CAMERA_OFFLINE, GapCause.NETWORK, GapCause.CAMERA_REFUSED)


def with_onvif(cameras: Mapping[str, CameraInService]) -> list[CameraInService]:
    """Those that can be cared for."""
    return [
        one for one in cameras.values() if one.settings.enabled and one.settings.onvif is not None
    ]


class Mover:
    """Args:
    cameras: those in service, by id. settings: those in force now.
    """

    def __init__(
        self,
        *,
        onvif: OnvifService,
        pool: CameraPool,
        cameras: Callable[[], Mapping[str, CameraInService]],
        settings: Callable[[], Settings],
        known: KnownCameras,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._onvif = onvif
        self._pool = pool
        self._cameras = cameras
        self._settings = settings
        self._known = known
        self._audit = audit
        self._clock = clock
        self._missing_us: dict[str, int] = {}  # monotonic, since when
        self._ambiguous: set[str] = set()
        self._seek_us, self._seek_step_us = 0, SEEK_AGAIN_US
        self._learn_us = 0

    def moved_to(self, settings: Camera) -> Address | None:
        """Where a camera was found, if not where its settings say (``Cameras.moved_to``)."""
        found = address_of(self._known.of(settings.id), settings.onvif)
        return None if found == settings.onvif else found

    def is_ambiguous(self, camera: str) -> bool:
        """Whether several devices say that they are it."""
        return camera in self._ambiguous

    async def seek(self) -> None:
        """Each ``SEEK_S``."""
        now_us = self._clock.monotonic_us()
        served = with_onvif(self._cameras())
        missing = [one for one in served if self._is_missing(one, now_us)]
        wants_to_learn = now_us >= self._learn_us and any(
            not self._known.of(one.id).endpoint and one.recorder.is_up(now_us) for one in served
        )
        if not (missing and now_us >= self._seek_us) and not wants_to_learn:
            return
        self._learn_us = now_us + LEARN_US
        found = await self._discovered()
        await self._learn_endpoints(found, now_us)
        is_found = False
        for camera in missing:
            is_found = await self._find(camera, found) or is_found
        if missing:
            longer_us = min(self._seek_step_us * 2, SEEK_AGAIN_MAX_US)
            self._seek_step_us = SEEK_AGAIN_US if is_found else longer_us
            self._seek_us = now_us + self._seek_step_us

    def _is_missing(self, camera: CameraInService, now_us: int) -> bool:
        """Whether it has been away for a while, and could be told by its serial."""
        status = self._pool.status(camera.id)
        is_up = camera.recorder.is_up(now_us)
        if is_up or status is None or status.cause not in _AWAY:
            self._missing_us.pop(camera.id, None)
            self._ambiguous.discard(camera.id)
            return False
        since_us = self._missing_us.setdefault(camera.id, now_us)
        return (
            self._settings().care.find_moved
            and bool(self._known.of(camera.id).serial)
            and now_us - since_us >= MISSING_US
        )

    async def _discovered(self) -> tuple[Announcement, ...]:
        """Over the interfaces towards the cameras only."""
        hosts = {
            one.settings.onvif.host
            for one in with_onvif(self._cameras())
            if one.settings.onvif is not None and is_ip(one.settings.onvif.host, version=4)
        }
        own = frozenset(own_addresses(reserved_interfaces(self._settings())))
        addresses = sorted(own.intersection(filter(None, map(address_towards, hosts))))
        if not addresses:
            return ()
        try:
            return await self._onvif.discover(DISCOVER_S, addresses)
        except CameraError as error:
            log.warning("not_discovered", extra={"detail": error.detail})
            return ()

    async def _learn_endpoints(self, found: tuple[Announcement, ...], now_us: int) -> None:
        """By what a device that is where its camera is will be known when it has moved."""
        by_address = {one.address: one.endpoint for one in found if one.endpoint}
        for camera in with_onvif(self._cameras()):
            endpoint = by_address.get(camera.onvif) if camera.onvif is not None else None
            known = self._known.of(camera.id)
            if endpoint and endpoint != known.endpoint and camera.recorder.is_up(now_us):
                await self._known.put(camera.id, replace(known, endpoint=endpoint))

    async def _find(self, camera: CameraInService, found: tuple[Announcement, ...]) -> bool:
        """Whether it was found at another address than where it was looked for."""
        now_us, known = self._clock.monotonic_us(), self._known.of(camera.id)
        taken = frozenset(
            one.onvif
            for one in with_onvif(self._cameras())
            if one.onvif is not None and one is not camera and one.recorder.is_up(now_us)
        )
        devices = {
            one.address: Candidate(
                address=one.address, endpoint=one.endpoint, hardware=one.hardware
            )
            for one in found
        }
        same = [
            one.address
            for one in candidates(known, devices, taken)
            if await self._serial_at(camera, one.address) == known.serial
        ]
        if len(same) > 1:
            if camera.id not in self._ambiguous:
                self._refuse(camera, same)
            return False
        self._ambiguous.discard(camera.id)
        if not same or same[0] == camera.onvif or camera.id not in self._cameras():
            return False
        await self._move(camera, same[0])
        return True

    def _refuse(self, camera: CameraInService, devices: list[Address]) -> None:
        self._ambiguous.add(camera.id)
        log.error("camera_ambiguous", extra={"camera": camera.id, "devices": len(devices)})
        self._audit.record(
            Action.CAMERA_MOVED,
            subject=camera.id,
            outcome=Outcome.REFUSED,
            why="several devices tell its serial number",
            devices=", ".join(map(str, devices)),
        )

    async def _serial_at(self, camera: CameraInService, address: Address) -> str | None:
        settings = camera.settings
        try:
            told = await self._onvif.describe(
                str(address), settings.username, camera.password.reveal(), settings.profile
            )
        except CameraError:
            return None  # another camera, most likely: its password is another one
        return told.serial

    async def _move(self, camera: CameraInService, address: Address) -> None:
        before, configured = camera.onvif, camera.settings.onvif
        known = self._known.of(camera.id)
        is_back = address == configured
        moved = Moved(
            configured=str(configured), address=str(address), since_us=self._clock.utc_us()
        )
        log.warning("camera_moved", extra={"camera": camera.id})
        self._audit.record(
            Action.CAMERA_MOVED,
            subject=camera.id,
            before=str(before),
            now=str(address),
            serial=known.serial,
        )
        await self._known.put(camera.id, replace(known, moved=None if is_back else moved))
        camera.moved_to = None if is_back else address
        self._pool.retry_now(camera.id)

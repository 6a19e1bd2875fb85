"""The cameras in service: settings, password, connection and recorder of each. Shell.

A change of settings touches the cameras that it names and no other: what only a person sees (name,
role, archive) costs nothing; what the connection depends on costs that camera one reconnect, which
the ledger tells as ``config``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from config.address import Address
from config.log import hide
from config.schema import Camera, Storage
from config.secrets import Secret, read_secret
from edge.camera.description import CameraDescription
from edge.camera.events import CameraEvents
from edge.camera.messages import StreamSource
from edge.camera.onvif_service import OnvifService
from edge.camera.pool import CameraPool, Resolver
from edge.gaps import GapKeeper, GapOpened
from edge.metrics import STREAM, EdgeMetrics
from edge.recorder import CameraClock, CameraRecorder, SinkChooser
from edge.tap import TapServer
from retention.clock import Clock
from retention.ledger import Account, Ledger
from retention.model import GapCause, MediaFormat, ReceivedUnit
from retention.segmenter import NewRun, Segmenter

log = logging.getLogger(__name__)

#: What the connection is made of; a change of any of these costs a reconnect.
_CONNECTION_KEYS = ("enabled", "onvif", "rtsp", "username", "profile", "audio", "reader")


@dataclass(slots=True)
class CameraInService:
    """One camera, as far as ``edge`` knows it."""

    settings: Camera
    password: Secret
    recorder: CameraRecorder
    description: CameraDescription | None = None
    #: Where it was found when it was not at the address of the settings any more (edge.care).
    moved_to: Address | None = None

    @property
    def id(self) -> str:
        return self.settings.id

    @property
    def onvif(self) -> Address | None:
        """Where its ONVIF is reached."""
        return self.moved_to or self.settings.onvif


class Cameras:
    """Starts, changes and stops cameras; one entry for each that the settings name."""

    #: Where a camera was found that is not where its settings say; None: it is there.
    moved_to: Callable[[Camera], Address | None] = staticmethod(lambda _: None)

    def __init__(
        self,
        *,
        pool: CameraPool,
        onvif: OnvifService,
        ledger: Ledger,
        sinks: SinkChooser,
        metrics: EdgeMetrics,
        clock: Clock,
        storage: Storage,
        new_run: Callable[[int], NewRun],
        epoch_of: Callable[[int], int],
        taps: TapServer,
    ) -> None:
        self._taps = taps
        self._pool = pool
        self._onvif = onvif
        self._ledger = ledger
        self._sinks = sinks
        self._metrics = metrics
        self._clock = clock
        self._storage = storage
        self._new_run = new_run
        self._epoch_of = epoch_of
        self._numbers: dict[str, int] = {}  # next segment number of cameras without a recorder
        self.in_service: dict[str, CameraInService] = {}

    def start(
        self, cameras: Iterable[Camera], accounts: dict[str, Account], numbers: dict[str, int]
    ) -> None:
        """Put cameras into service whose accounts the ledger has opened."""
        self._numbers |= numbers
        for settings in cameras:
            self._put_in_service(settings, accounts[settings.id])

    async def apply(self, cameras: Iterable[Camera]) -> None:
        """Bring the cameras in service to new settings; the others record on undisturbed."""
        wanted = {settings.id: settings for settings in cameras}
        for camera in [one for one in self.in_service if one not in wanted]:
            await self._take_out(camera)
        for settings in wanted.values():
            known = self.in_service.get(settings.id)
            if known is None:
                now_us = self._clock.utc_us()
                self._ledger.camera_commissioned(settings.id, now_us)
                account = Account(covered_until_us=now_us, open_gap=None)
                self._put_in_service(settings, account)
                continue
            password = _password_of(settings)
            is_changed = password != known.password or any(
                getattr(settings, key) != getattr(known.settings, key) for key in _CONNECTION_KEYS
            )
            known.settings, known.password = settings, password
            known.moved_to = self.moved_to(settings)
            if is_changed:
                await self._pool.stop(known.id)
                known.recorder.ended(GapCause.CONFIG, "the settings changed")
                self._connect(known)
            elif known.recorder.gap_cause is GapCause.CAMERA_AUTH:
                self._pool.retry_now(known.id)  # somebody is at it: they need not wait

    def time_untrusted(self) -> None:
        """The host's time is not trusted any more."""
        for camera in self.in_service.values():
            camera.recorder.time_untrusted()

    def clocks(self) -> list[CameraClock]:
        """What the cameras' clocks showed last, of those that vote on the time: whose clock is set
        by ``edge`` is not among them, for it would only say what we said."""
        told = (
            camera.recorder.camera_clock
            for camera in self.in_service.values()
            if camera.settings.set_clock == "no"
        )
        return [clock for clock in told if clock is not None]

    def close(self) -> None:
        """Hand out what every recorder holds; the pool is left by its owner."""
        for camera in self.in_service.values():
            camera.recorder.close()

    def _put_in_service(self, settings: Camera, account: Account) -> None:
        gap = account.open_gap
        keeper = GapKeeper(
            account.covered_until_us,
            None
            if gap is None
            else GapOpened(start_us=gap.start_us, cause=gap.cause, detail=gap.detail),
            epoch=self._ledger.epoch,
        )
        recorder = CameraRecorder(
            settings.id,
            gaps=keeper,
            segmenter=Segmenter(
                camera=settings.id,
                next_number=self._numbers.get(settings.id, 1),
                new_run=self._new_run,
                segment_us=self._storage.segment_us,
            ),
            sinks=self._sinks,
            ledger=self._ledger,
            metrics=self._metrics,
            clock=self._clock,
            buffer_bytes=self._storage.buffer_bytes,
            tap=self._taps.add(settings.id),
            epoch_of=self._epoch_of,
        )
        self._metrics.show_camera(settings.id)
        camera = CameraInService(settings, _password_of(settings), recorder)
        camera.moved_to = self.moved_to(settings)
        self.in_service[camera.id] = camera
        if gap is None:
            recorder.ended(account.cause, "")
        self._connect(camera)

    def _connect(self, camera: CameraInService) -> None:
        if not camera.settings.enabled:
            camera.recorder.ended(GapCause.CONFIG, "disabled in the settings")
            return
        events = _Connection(camera.recorder, self._metrics)
        audio, reader = camera.settings.audio, camera.settings.reader
        self._pool.start(camera.id, self._resolver(camera), events, audio=audio, reader=reader)

    async def _take_out(self, camera_id: str) -> None:
        camera = self.in_service.pop(camera_id)
        await self._pool.stop(camera_id)
        camera.recorder.close()
        self._taps.remove(camera_id)
        self._numbers[camera_id] = camera.recorder.next_number
        self._ledger.camera_removed(camera_id, self._clock.utc_us())
        log.info("camera_removed", extra={"camera": camera_id})

    def _resolver(self, camera: CameraInService) -> Resolver:
        async def resolve() -> StreamSource:
            settings, password = camera.settings, camera.password.reveal()
            if settings.rtsp is not None:
                urls: tuple[str, ...] = (settings.rtsp,)
            else:
                assert camera.onvif is not None
                camera.description = await self._onvif.describe(
                    str(camera.onvif), settings.username, password, settings.profile
                )
                if camera.description.clock_offset_us is not None:
                    camera.recorder.camera_time(camera.description.clock_offset_us)
                urls = tuple(camera.description.stream_uris)
            return StreamSource(urls=urls, username=settings.username, password=password)

        return resolve


class _Connection(CameraEvents):
    """Counts how attempts end, and passes everything on to the recorder."""

    def __init__(self, recorder: CameraRecorder, metrics: EdgeMetrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._is_connected = False

    def connected(self) -> None:
        self._is_connected = True
        self._count("ok")

    def format_changed(self, media: MediaFormat) -> None:
        self._recorder.format_changed(media)

    def unit(self, unit: ReceivedUnit) -> None:
        self._recorder.unit(unit)

    def camera_time(self, offset_us: int) -> None:
        self._recorder.camera_time(offset_us)

    def lost(self, packets: int, pictures: int) -> None:
        self._recorder.lost(packets, pictures)

    def ended(self, cause: GapCause, detail: str) -> None:
        if not self._is_connected:
            self._count(_RESULTS.get(cause, "protocol"))
        self._is_connected = False
        self._recorder.ended(cause, detail)

    def _count(self, result: str) -> None:
        self._metrics.connects.labels(self._recorder.camera, STREAM, result).inc()


#: The ``result`` label of nvr_camera_connects_total for each cause.
_RESULTS = {
    GapCause.CAMERA_AUTH: "auth",
    GapCause.CAMERA_REFUSED: "refused",
    GapCause.CAMERA_OFFLINE: "timeout",
    GapCause.NETWORK: "timeout",
}


def _password_of(settings: Camera) -> Secret:
    if settings.password_file is None:
        return Secret("")
    password = read_secret(settings.password_file)
    hide(password)
    return password

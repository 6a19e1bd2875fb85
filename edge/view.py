"""What the running ``edge`` shows of itself: metrics snapshot, health, live status. Shell.

Called from the endpoint's threads and from the event loop; reads values that are replaced whole,
changes none, and never touches a disk or the index: what these know is gathered by :class:`Survey`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.instants import parse_instant
from config.schema import Settings
from edge.alarms.register import Fault
from edge.camera.pool import CameraPool
from edge.camera.session import State
from edge.cameras import CameraInService, Cameras
from edge.faults import found_later, present
from edge.holds import HeldFigures
from edge.host_time import HostTime
from edge.metrics import CameraSnapshot, SelfCheckSnapshot, Snapshot, VolumeSnapshot
from edge.smart_report import SmartReport
from edge.status import RECORDING_MAX_AGE_US
from edge.sweeping import RetentionFigures, band_of, figures_document, standing_document
from retention import kpi
from retention.clock import Clock
from retention.endpoint import Health
from retention.kpi import Shares
from retention.model import US_PER_S, GapCause
from retention.volumes import VolumeSet

#: Maker, model and firmware are told by the camera: cut in status, as in metrics.
TOLD_CHARACTERS_MAX = 100
#: A camera with one of these does not answer; with another one it does, without a picture.
_ABSENT_CAUSES = frozenset({None, GapCause.CAMERA_OFFLINE, GapCause.NETWORK})


@dataclass(slots=True)
class Survey:
    """What a slow job found out last; replaced field by field."""

    coverage: dict[str, dict[str, float]] = field(default_factory=dict)
    oldest_us: dict[str, int] = field(default_factory=dict)
    kpis: Mapping[str, Shares] = field(default_factory=dict)  # by camera; replaced whole
    orphan_bytes: dict[str, int] = field(default_factory=dict)  # by volume
    missing_segments: dict[str, int] = field(default_factory=dict)
    smart: dict[str, SmartReport] = field(default_factory=dict)  # by volume
    index_trouble: str = ""  # why it takes no rows
    is_audit_sound: bool | None = None  # None: not verified yet
    self_check: dict[str, Any] | None = None  # of the last night
    has_seen_nights: bool = False  # was looked for one
    held: HeldFigures = field(default_factory=HeldFigures)
    retention: RetentionFigures = field(default_factory=RetentionFigures)
    has_seen_footage: bool = False  # retention was looked at


class View:
    """The one place that turns the parts of ``edge`` into figures."""

    def __init__(
        self,
        settings: Settings,
        cameras: Cameras,
        pool: CameraPool,
        volumes: VolumeSet,
        clock: Clock,
        time: HostTime,
        alarms: Callable[[], list[dict[str, Any]]] = list,
        defects: Callable[[str], list[str]] = lambda camera: [],
    ) -> None:
        self.settings = settings
        self._alarms = alarms
        #: What care says of a camera; None where it is not cared for.
        self.care: Callable[[str], dict[str, Any] | None] = lambda _: None
        self._defects = defects
        self._time = time
        self.survey = Survey()
        self._cameras = cameras
        self._pool = pool
        self._volumes = volumes
        self._clock = clock
        #: Bytes received by each camera at the last two looks, for the bit rate.
        self._received: dict[str, tuple[int, int]] = {}
        self._bits_per_second: dict[str, float] = {}

    def snapshot(self) -> Snapshot:
        """For one scrape."""
        ahead = self.survey.retention.ahead
        return Snapshot(
            cameras=tuple(map(self._camera, list(self._cameras.in_service.values()))),
            volumes=tuple(
                VolumeSnapshot(
                    volume=slot.name,
                    state=self._volumes.state_of(slot).value,
                    capacity_bytes=slot.usage.capacity_bytes if slot.usage else 0,
                    free_bytes=slot.usage.free_bytes if slot.usage else 0,
                    reserve_bytes=self.settings.storage.reserve_bytes,
                    orphan_bytes=self.survey.orphan_bytes.get(slot.name, 0),
                    missing_segments=self.survey.missing_segments.get(slot.name, 0),
                    smart=self.survey.smart.get(slot.name, SmartReport()),
                )
                for slot in self._volumes.slots
            ),
            index_trouble=self.survey.index_trouble,
            is_audit_sound=self.survey.is_audit_sound,
            site_kpis=_ratios(kpi.site(self.survey.kpis.values())),
            self_check=_self_check(self.survey.self_check),
            holds=self.survey.held.count,
            hold_bytes=self.survey.held.bytes,
            time=self._time.newest,
            retention=self._retention(),
            retention_danger_s=_seconds(ahead.danger_us) if ahead is not None else None,
        )

    def publish_retention(self, figures: RetentionFigures) -> None:
        self.survey.retention = figures
        self.survey.has_seen_footage = True

    def _retention(self) -> dict[str, tuple[float, float | None]]:
        ahead = self.survey.retention.ahead
        forecast_s = None if ahead is None else _seconds(ahead.steady_us)
        return {
            camera.id: (band_of(self.settings, camera).min_us / US_PER_S, forecast_s)
            for camera in self.settings.camera
        }

    def health(self) -> Health:
        """Every enabled camera's newest durable fragment is younger than 30 s, or why not."""
        now_us = self._clock.utc_us()
        reasons = {
            camera.id: self._why_silent(camera)
            for camera in list(self._cameras.in_service.values())
            if camera.settings.enabled and not _is_recording(camera, now_us)
        }
        return Health(is_healthy=not reasons, reasons=reasons)

    def status(self) -> dict[str, Any]:
        """What ``xueliang status`` asks the running edge for."""
        return {
            "time": self._time.status(),
            "retention": figures_document(self.survey.retention),
            "alarms": self._alarms(),
            "cameras": {
                camera.id: self._camera_status(camera)
                for camera in self._cameras.in_service.values()
            },
            "volumes": [
                {
                    "path": slot.name,
                    "uuid": slot.uuid,
                    "state": self._volumes.state_of(slot).value,
                    "retiring": slot.is_retiring,
                    "capacity_bytes": slot.usage.capacity_bytes if slot.usage else 0,
                    "free_bytes": slot.usage.free_bytes if slot.usage else 0,
                    "reserve_bytes": self.settings.storage.reserve_bytes,
                    "error": "" if slot.error is None else slot.error.sentence(),
                }
                for slot in self._volumes.slots
            ],
        }

    def told(self) -> dict[str, Any]:
        """``/status``: what the other services of this box may know, each key always there.

        ``pressure`` is the fullest of the buffers before the disks (0 to 1; 1 loses pictures).
        ``presence`` is ON with a picture, OFF where the camera does not answer, VLOST where it
        answers without one. Cameras out of service are left out.
        """
        return {
            "cameras": self._cameras_told(),
            "volumes": [
                {
                    "name": slot.name,
                    "state": self._volumes.state_of(slot).value,
                    "capacity_bytes": slot.usage.capacity_bytes if slot.usage else 0,
                    "free_bytes": slot.usage.free_bytes if slot.usage else 0,
                }
                for slot in self._volumes.slots
            ],
            "pressure": self._pressure(),
            "alarms": self._alarms(),
        }

    def _cameras_told(self) -> dict[str, dict[str, Any]]:
        now_us, now_monotonic_us = self._clock.utc_us(), self._clock.monotonic_us()
        return {
            camera.id: self._camera_told(camera, now_us, now_monotonic_us)
            for camera in list(self._cameras.in_service.values())
            if camera.settings.enabled
        }

    def _pressure(self) -> float:
        used = (one.recorder.buffered_bytes for one in list(self._cameras.in_service.values()))
        return round(min(1.0, max(used, default=0) / self.settings.storage.buffer_bytes), 3)

    def faults(self) -> dict[str, list[Fault]]:
        """What edge finds wrong with what it does itself, by source (edge.faults)."""
        snapshot, survey = self.snapshot(), self.survey
        looked_at = [slot.name for slot in self._volumes.slots if slot.device is not None]
        return {
            "edge": present(snapshot, self._cameras_told()),
            **found_later(
                snapshot,
                survey.retention if survey.has_seen_footage else None,
                has_seen_disks=all(name in survey.smart for name in looked_at),
                has_seen_nights=survey.has_seen_nights,
            ),
        }

    def measure_rates(self) -> None:
        """To be called every few seconds: bit rate since the last call."""
        now_us = self._clock.monotonic_us()
        for camera in self._cameras.in_service.values():
            received = camera.recorder.received_bytes
            last_bytes, last_us = self._received.get(camera.id, (received, now_us))
            if now_us > last_us:
                rate = (received - last_bytes) * 8 * US_PER_S / (now_us - last_us)
                self._bits_per_second[camera.id] = rate
            self._received[camera.id] = (received, now_us)

    def _why_silent(self, camera: CameraInService) -> str:
        recorder = camera.recorder
        if recorder.gap_cause is not None:
            return f"{recorder.gap_cause.value}: {recorder.gap_detail}".rstrip(": ")
        return "no durable fragment yet"

    def _camera_status(self, camera: CameraInService) -> dict[str, Any]:
        recorder, told = camera.recorder, camera.description
        media = recorder.format
        connection = self._pool.status(camera.id)
        offset_us = recorder.clock_offset_us
        standing = self.survey.retention.standings.get(camera.id)
        now_us = self._clock.utc_us()
        return {
            "retention": None if standing is None else standing_document(standing, now_us),
            "care": self.care(camera.id),
            "state": (State.STOPPED if connection is None else connection.state).value,
            "cause": None if recorder.gap_cause is None else recorder.gap_cause.value,
            "detail": recorder.gap_detail,
            "bits_per_second": round(self._bits_per_second.get(camera.id, 0)),
            "buffer_bytes": recorder.buffered_bytes,
            "clock_offset_seconds": None if offset_us is None else round(offset_us / US_PER_S, 3),
            "codec": None if media is None else media.video.codec.value,
            "width": None if media is None else media.video.width,
            "height": None if media is None else media.video.height,
            "audio": None if media is None or media.audio is None else media.audio.codec.value,
            "manufacturer": "" if told is None else told.manufacturer[:TOLD_CHARACTERS_MAX],
            "model": "" if told is None else told.model[:TOLD_CHARACTERS_MAX],
            "firmware": "" if told is None else told.firmware[:TOLD_CHARACTERS_MAX],
        }

    def _camera_told(
        self, camera: CameraInService, now_us: int, now_monotonic_us: int
    ) -> dict[str, Any]:
        recorder, told = camera.recorder, camera.description
        media = recorder.format
        presence = "ON"
        if not recorder.is_up(now_monotonic_us):
            presence = "OFF" if recorder.gap_cause in _ABSENT_CAUSES else "VLOST"
        return {
            "presence": presence,
            "defects": self._defects(camera.id),
            "recording": _is_recording(camera, now_us),
            "cause": "" if recorder.gap_cause is None else recorder.gap_cause.value,
            "codec": "" if media is None else media.video.codec.value,
            "width": 0 if media is None else media.video.width,
            "height": 0 if media is None else media.video.height,
            "bits_per_second": round(self._bits_per_second.get(camera.id, 0)),
            "manufacturer": "" if told is None else told.manufacturer[:TOLD_CHARACTERS_MAX],
            "model": "" if told is None else told.model[:TOLD_CHARACTERS_MAX],
            "firmware": "" if told is None else told.firmware[:TOLD_CHARACTERS_MAX],
        }

    def _camera(self, camera: CameraInService) -> CameraSnapshot:
        recorder, told = camera.recorder, camera.description
        now_us, now_monotonic_us = self._clock.utc_us(), self._clock.monotonic_us()
        newest_us = recorder.newest_durable_us
        rpo_us = self.settings.storage.durability_us
        connection = self._pool.status(camera.id)
        backoff_us = 0
        if connection is not None and connection.state is State.WAITING:
            backoff_us = max(0, connection.retry_us - now_monotonic_us)
        # twice the durability interval, and the fragment that was being gathered meanwhile
        active_us = 2 * rpo_us + (recorder.key_frame_interval_us or US_PER_S)
        return CameraSnapshot(
            camera=camera.id,
            is_up=recorder.is_up(now_monotonic_us),
            is_recording=newest_us is not None and now_us - newest_us < active_us,
            newest_durable_us=newest_us,
            oldest_us=self.survey.oldest_us.get(camera.id),
            buffer_bytes=recorder.buffered_bytes,
            backoff_us=backoff_us,
            key_frame_interval_us=recorder.key_frame_interval_us,
            clock_offset_us=recorder.clock_offset_us,
            format=recorder.format,
            is_dropping=recorder.is_dropping,
            vendor="" if told is None else told.manufacturer,
            model="" if told is None else told.model,
            firmware="" if told is None else told.firmware,
            gb_id="" if camera.settings.gb_id is None else str(camera.settings.gb_id),
            coverage=self.survey.coverage.get(camera.id, {}),
            kpis=_ratios(self.survey.kpis.get(camera.id, {})),
        )


def _ratios(shares: Shares) -> dict[str, float]:
    """Those that were measured."""
    found = {name.value: share.ratio for name, share in shares.items()}
    return {name: ratio for name, ratio in found.items() if ratio is not None}


def _self_check(document: dict[str, Any] | None) -> SelfCheckSnapshot | None:
    if document is None:
        return None
    return SelfCheckSnapshot(
        is_passed=document["passed"],
        at_us=parse_instant(document["at"]),
        results=document["summary"],
    )


def _seconds(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / US_PER_S


def _is_recording(camera: CameraInService, now_us: int) -> bool:
    newest_us = camera.recorder.newest_durable_us
    return newest_us is not None and now_us - newest_us < RECORDING_MAX_AGE_US

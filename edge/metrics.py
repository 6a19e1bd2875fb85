"""What ``edge`` tells Prometheus: names, types and labels of recording.md, "Metrics and alerts".

Shell. Counters and histograms are raised where the thing happens; gauges are read from one
immutable snapshot at scrape time. Labels are bounded: cameras, volumes, causes; never a path, an
address or a text that a peer chose, but for ``nvr_camera_info`` (one series a camera, cut short).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.smart_report import SmartReport
from retention.index.migrations import STEPS
from retention.model import US_PER_S, GapCause, MediaFormat
from retention.policy import Reason
from retention.scrub import ScrubResult
from retention.series import forget, show_process
from retention.trusted_time import TOLERANCE_US, Judgement, Source

log = logging.getLogger(__name__)

STREAM = "main"
EXPORT_RESULTS = ("ok", "damaged", "failed")
CONNECT_RESULTS = ("ok", "timeout", "auth", "refused", "protocol")
VOLUME_STATES = ("ok", "full", "readonly", "missing", "wrong_id", "failed")
#: Longest value of a label that a camera chose itself (maker, model, firmware), in characters.
LABEL_CHARACTERS_MAX = 64
LATENCY_BUCKETS_S = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSnapshot:
    """One camera at one instant, as scraped and as shown by ``xueliang status``."""

    camera: str
    is_up: bool
    is_recording: bool
    newest_durable_us: int | None
    oldest_us: int | None
    buffer_bytes: int
    backoff_us: int
    key_frame_interval_us: int | None
    clock_offset_us: int | None
    format: MediaFormat | None
    is_dropping: bool = False  # its buffer is full
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    gb_id: str = ""
    coverage: Mapping[str, float] = field(default_factory=dict)
    kpis: Mapping[str, float] = field(default_factory=dict)  # those that were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSnapshot:
    volume: str
    state: str
    capacity_bytes: int
    free_bytes: int
    reserve_bytes: int
    orphan_bytes: int
    missing_segments: int
    smart: SmartReport = field(default_factory=SmartReport)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheckSnapshot:
    """What the last night's self-check found."""

    is_passed: bool
    at_us: int
    results: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole of ``edge`` at one instant."""

    cameras: tuple[CameraSnapshot, ...]
    volumes: tuple[VolumeSnapshot, ...]
    time: Judgement | None
    #: Of each camera: the floor, and the age that footage comes to at the present rate.
    retention: Mapping[str, tuple[float, float | None]]
    retention_danger_s: float | None
    index_trouble: str  # why the index takes no rows; empty while it does
    is_audit_sound: bool | None  # None: not known yet
    self_check: SelfCheckSnapshot | None
    holds: Mapping[str, int]  # by state
    hold_bytes: Mapping[str, int]  # by camera
    site_kpis: Mapping[str, float] = field(default_factory=dict)


class EdgeMetrics:
    """Every instrument of ``edge``, in a registry of its own."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        camera = ("camera", "stream")

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        show_process(registry, schema=str(len(STEPS)))  # the index's
        self.connects = counter(
            "nvr_camera_connects_total", "Connection attempts", *camera, "result"
        )
        self.received_bytes = counter(
            "nvr_stream_received_bytes_total", "Media bytes received", *camera, "media"
        )
        self.received_frames = counter(
            "nvr_stream_frames_total", "Access units received", *camera, "media"
        )
        self.key_frames = counter(
            "nvr_stream_keyframes_total", "Key frames received", *camera, "media"
        )
        self.damaged_frames = counter(
            "nvr_stream_damaged_frames_total", "Access units flagged as damaged", *camera
        )
        self.lost_packets = counter(
            "nvr_stream_rtp_lost_packets_total", "RTP packets that never came", *camera
        )
        self.oversized_frames = counter(
            "nvr_stream_oversized_frames_total",
            "Access units thrown away, for no picture is that large",
            *camera,
        )
        self.skipped_frames = counter(
            "nvr_stream_skipped_frames_total",
            "Access units before the first key frame of a session, which nothing can decode",
            *camera,
        )
        self.recorded_bytes = counter(
            "nvr_recording_bytes_total", "Durable bytes", *camera, "volume"
        )
        self.recorded_segments = counter(
            "nvr_recording_segments_total", "Sealed segments", *camera, "volume", "end_reason"
        )
        self.dropped_frames = counter(
            "nvr_recording_dropped_frames_total", "Frames lost by the recorder", *camera, "reason"
        )
        self.gaps = counter("nvr_recording_gaps_total", "Gaps begun", *camera, "cause")
        self.gap_seconds = counter(
            "nvr_recording_gap_seconds_total", "Seconds of ended gaps", *camera, "cause"
        )
        self.io_errors = counter(
            "nvr_volume_io_errors_total", "Failed operations on a volume", "volume", "op", "errno"
        )
        self.write_seconds = Histogram(
            "nvr_volume_write_seconds",
            "One fragment's write call",
            ("volume",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.fsync_seconds = Histogram(
            "nvr_volume_fsync_seconds",
            "One file's fdatasync",
            ("volume",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.retention_deleted = counter(
            "nvr_retention_deleted_bytes_total", "Footage deleted", "camera", "reason"
        )
        self.retention_violations = counter(
            "nvr_retention_violations_total",
            "Tombstones of footage under the floor",
            "camera",
            "cause",
        )
        self.recovered = counter(
            "nvr_recovery_fragments_total", "Fragments found at start-up", "result"
        )
        self.clock_steps = counter("nvr_clock_steps_total", "Steps of the host clock", "direction")
        self.reload_time = Gauge(
            "nvr_config_last_reload_success_timestamp_seconds",
            "When settings last came into force",
            registry=registry,
        )
        self.exports = counter("nvr_export_total", "Signed exports", "result")
        self.export_bytes = counter("nvr_export_bytes_total", "Media handed out", "result")
        self.segment_verify = counter(
            "nvr_segment_verify_total", "Segments reread by the scrubber", "volume", "result"
        )
        self.witness_posts = counter(
            "nvr_witness_posts_total", "Statements to the outside witness", "result"
        )
        self.checkpoint_time = Gauge(
            "nvr_checkpoint_last_success_timestamp_seconds",
            "When the chain of segments was last brought up to date and signed",
            registry=registry,
        )
        self.audit_records = counter("nvr_audit_records_total", "Put on record", "action")
        self.reloads = counter("nvr_config_reload_total", "Settings read", "result")
        self.swallowed_errors = counter(
            "nvr_swallowed_errors_total", "Errors that cost nothing but were not expected", "where"
        )
        self._show()
        registry.register(_SnapshotCollector(snapshot))

    def _show(self) -> None:
        """What has not happened yet reads 0: the first time shows as a rise."""
        for result in EXPORT_RESULTS:
            self.exports.labels(result)
        for result in ("ok", "failed", "lost"):
            self.witness_posts.labels(result)
        for result in ("ok", "failed"):
            self.reloads.labels(result)
        for direction in ("forward", "backward"):
            self.clock_steps.labels(direction)

    def show_camera(self, camera: str) -> None:
        """Likewise of a camera."""
        self.retention_violations.labels(camera, Reason.OVERWRITTEN.value)
        self.damaged_frames.labels(camera, STREAM)
        self.oversized_frames.labels(camera, STREAM)
        for cause in (GapCause.DISK_FULL, GapCause.DISK_FAILED, GapCause.DISK_SLOW):
            self.dropped_frames.labels(camera, STREAM, cause.value)
        for result in CONNECT_RESULTS:
            self.connects.labels(camera, STREAM, result)

    def show_volume(self, volume: str) -> None:
        """Likewise of a volume."""
        for result in ScrubResult:
            self.segment_verify.labels(volume, result.value)

    def keep(self, cameras: Collection[str], volumes: Collection[str]) -> None:
        """Forget what was counted of cameras and volumes that the settings name no more."""
        forget(self.registry, "camera", cameras)
        forget(self.registry, "volume", volumes)


class _SnapshotCollector(Collector):
    """Renders the snapshot; a failure shows as ``nvr_collector_success`` 0, the scrape goes on."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        success = GaugeMetricFamily(
            "nvr_collector_success", "1 if the collector worked", labels=["collector"]
        )
        try:
            families = list(_render(self._snapshot()))
        except Exception:  # a supervision point: the failure is itself a metric
            log.exception("collector_failed")
            families = []
            success.add_metric(["edge"], 0)
        else:
            success.add_metric(["edge"], 1)
        return [*families, success]


def _render(snapshot: Snapshot) -> Iterable[Metric]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=list(labels))
        families.append(family)
        return family

    families: list[Metric] = []
    stream = ("camera", "stream")
    info = gauge("nvr_camera_info", "The camera", "camera", "vendor", "model", "firmware", "gb_id")
    up = gauge("nvr_camera_up", "1 if media came in the last 5 s", *stream)
    active = gauge(
        "nvr_recording_active", "1 if a fragment became durable within twice the RPO", *stream
    )
    newest = gauge(
        "nvr_recording_last_durable_timestamp_seconds", "End of the newest durable media", *stream
    )
    oldest = gauge("nvr_recording_oldest_timestamp_seconds", "Oldest kept media", *stream)
    buffered = gauge("nvr_recording_buffer_bytes", "RAM waiting for disk", *stream)
    backoff = gauge("nvr_camera_reconnect_backoff_seconds", "Wait in force", *stream)
    interval = gauge("nvr_stream_keyframe_interval_seconds", "Last GOP", *stream)
    offset = gauge("nvr_camera_clock_offset_seconds", "Camera minus recorder", "camera")
    shape = gauge("nvr_stream_info", "Format", *stream, "vcodec", "width", "height", "acodec")
    coverage = gauge("nvr_recording_coverage_ratio", "Recorded over due", *stream, "window")
    kpis = gauge("nvr_kpi_ratio", "A KPI of the past 30 days, 0 to 1", "camera", "kpi")
    site_kpis = gauge("nvr_site_kpi_ratio", "Mean of the cameras measured", "kpi")
    for name, ratio in snapshot.site_kpis.items():
        site_kpis.add_metric([name], ratio)
    required = gauge("nvr_retention_required_seconds", "The floor", "camera")
    forecast = gauge(
        "nvr_retention_forecast_seconds", "Age that footage comes to at the present rate", "camera"
    )
    danger = gauge(
        "nvr_retention_danger_seconds", "Until footage under the floor must go; absent if never"
    )
    if snapshot.retention_danger_s is not None:
        danger.add_metric([], snapshot.retention_danger_s)
    for camera in snapshot.cameras:
        labels = [camera.camera, STREAM]
        info.add_metric(
            [
                camera.camera,
                *map(_cut, (camera.vendor, camera.model, camera.firmware)),
                camera.gb_id,
            ],
            1,
        )
        up.add_metric(labels, camera.is_up)
        active.add_metric(labels, camera.is_recording)
        if camera.newest_durable_us is not None:
            newest.add_metric(labels, camera.newest_durable_us / US_PER_S)
        if camera.oldest_us is not None:
            oldest.add_metric(labels, camera.oldest_us / US_PER_S)
        buffered.add_metric(labels, camera.buffer_bytes)
        backoff.add_metric(labels, camera.backoff_us / US_PER_S)
        if camera.key_frame_interval_us is not None:
            interval.add_metric(labels, camera.key_frame_interval_us / US_PER_S)
        if camera.clock_offset_us is not None:
            offset.add_metric([camera.camera], camera.clock_offset_us / US_PER_S)
        if camera.format is not None:
            video, audio = camera.format.video, camera.format.audio
            codecs = [
                video.codec,
                str(video.width),
                str(video.height),
                audio.codec if audio else "",
            ]
            shape.add_metric([*labels, *codecs], 1)
        for name, ratio in camera.kpis.items():
            kpis.add_metric([camera.camera, name], ratio)
        for window, ratio in camera.coverage.items():
            coverage.add_metric([*labels, window], ratio)
        required_s, forecast_s = snapshot.retention.get(camera.camera, (None, None))
        if required_s is not None:
            required.add_metric([camera.camera], required_s)
        if forecast_s is not None:
            forecast.add_metric([camera.camera], forecast_s)
    state = gauge("nvr_volume_state", "One-hot", "volume", "state")
    capacity = gauge("nvr_volume_capacity_bytes", "Size", "volume")
    free = gauge("nvr_volume_free_bytes", "Free", "volume")
    reserve = gauge("nvr_volume_reserve_bytes", "Never counted as free", "volume")
    orphans = gauge("nvr_index_orphan_bytes", "Files that no row knows", "volume")
    missing = gauge("nvr_index_missing_segments", "Rows without a file", "volume")
    smart = gauge("nvr_volume_smart_attribute", "Raw value", "volume", "id")
    smart_ok = gauge("nvr_volume_smart_ok", "0 while a disk says that it fails", "volume")
    temperature = gauge("nvr_volume_temperature_celsius", "Of its hottest disk", "volume")
    for volume in snapshot.volumes:
        for name in VOLUME_STATES:
            state.add_metric([volume.volume, name], name == volume.state)
        capacity.add_metric([volume.volume], volume.capacity_bytes)
        free.add_metric([volume.volume], volume.free_bytes)
        reserve.add_metric([volume.volume], volume.reserve_bytes)
        orphans.add_metric([volume.volume], volume.orphan_bytes)
        missing.add_metric([volume.volume], volume.missing_segments)
        if volume.smart.attributes or volume.smart.failing:
            smart_ok.add_metric([volume.volume], not volume.smart.failing)
        for number, raw in volume.smart.attributes.items():
            smart.add_metric([volume.volume, str(number)], raw)
        if volume.smart.temperature_c is not None:
            temperature.add_metric([volume.volume], volume.smart.temperature_c)
    chain = gauge("nvr_audit_chain_ok", "1 if every audit log agreed with itself and its anchors")
    index = gauge("nvr_index_ok", "1 while the index takes rows; recording goes on without it")
    index.add_metric([], not snapshot.index_trouble)
    if snapshot.is_audit_sound is not None:
        chain.add_metric([], snapshot.is_audit_sound)
    passed = gauge("nvr_self_check_ok", "1 if the last nightly self-check found nothing wrong")
    checked = gauge("nvr_self_check_timestamp_seconds", "When the last self-check was made")
    results = gauge("nvr_self_check_results", "Cameras and playbacks of it", "result")
    if snapshot.self_check is not None:
        passed.add_metric([], snapshot.self_check.is_passed)
        checked.add_metric([], snapshot.self_check.at_us / US_PER_S)
        for name, count in snapshot.self_check.results.items():
            results.add_metric([name], count)
    holds = gauge("nvr_holds", "Legal holds", "state")
    for name, count in snapshot.holds.items():
        holds.add_metric([name], count)
    hold_bytes = gauge("nvr_hold_bytes", "Footage that legal holds keep", "camera")
    for name, size_bytes in snapshot.hold_bytes.items():
        hold_bytes.add_metric([name], size_bytes)
    synchronized = gauge(
        "nvr_clock_synchronized", "1 if the source agrees with the clock within 30 s", "source"
    )
    off = gauge("nvr_clock_offset_seconds", "Source minus host clock", "source")
    trusted = gauge("nvr_clock_trusted", "1 if footage may be deleted by age")
    if snapshot.time is not None:
        trusted.add_metric([], snapshot.time.is_trusted)
        for source in Source:
            offset_us = snapshot.time.offsets_us.get(source)
            is_agreeing = offset_us is not None and abs(offset_us) <= TOLERANCE_US
            synchronized.add_metric([source.value], is_agreeing)
            if offset_us is not None:
                off.add_metric([source.value], offset_us / US_PER_S)
    return families


def _cut(text: str) -> str:
    return text if len(text) <= LABEL_CHARACTERS_MAX else text[: LABEL_CHARACTERS_MAX - 1] + "…"

"""What makes each alert fire, and what does not: series as promtool's test language writes them.

``a+bxn`` is a, and then n more values, each b higher; samples come every 30 s from time 0 on.
"""

from __future__ import annotations

from dataclasses import dataclass

_JOBS = {"nvr_gb28181": "xueliang-uplink", "nvr_auth": "xueliang-console"}


def series(name: str, **labels: str) -> str:
    """A series of one site's box."""
    job = next((job for prefix, job in _JOBS.items() if name.startswith(prefix)), "xueliang-edge")
    told = {"site": "阳光", "instance": "192.0.2.10:8443", "job": job} | labels
    text = ", ".join(f'{key}="{value}"' for key, value in told.items())
    return f"{name}{{{text}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``fires`` and ``quiet`` map series to values; both are looked at after ``minutes``."""

    minutes: float
    fires: dict[str, str]
    quiet: dict[str, str]
    count: int = 1  # alerts that fire


def _value(name: str, bad: float, good: float, minutes: float, **labels: str) -> Case:
    """A gauge that stands at a value all the time."""
    one = series(name, **labels)
    return Case(minutes=minutes, fires={one: f"{bad}x999"}, quiet={one: f"{good}x999"})


def _rise(name: str, minutes: float, bad: float, good: float = 0, **labels: str) -> Case:
    """A counter that has risen by so much two minutes before it is looked at."""
    one, before = series(name, **labels), round(minutes * 2) - 4
    return Case(
        minutes=minutes,
        fires={one: f"0x{before} {bad}x99"},
        quiet={one: f"0x{before} {good}x99"},
    )


def _late(name: str, minutes: float, seconds: float) -> Case:
    """A time stamp that is so old at the start, against one that goes along."""
    one = series(name)
    return Case(minutes=minutes, fires={one: f"-{seconds}x9999"}, quiet={one: "0+30x9999"})


def _slow(name: str, minutes: float, slow_le: str, fast_le: str, **labels: str) -> Case:
    """A histogram of which all falls into one bucket."""

    def buckets(bound: str) -> dict[str, str]:
        bounds = sorted({slow_le, fast_le}, key=float)
        return {
            series(f"{name}_bucket", le=le, **labels): "0+10x999"
            if le == "+Inf" or float(le) >= float(bound)
            else "0x999"
            for le in (*bounds, "+Inf")
        }

    return Case(minutes=minutes, fires=buckets(slow_le), quiet=buckets(fast_le))


_CAMERA = {"camera": "gate", "stream": "main"}
_DAY_S = 86_400
_DURABLE = series("nvr_recording_last_durable_timestamp_seconds", **_CAMERA)
_FORECAST = series("nvr_retention_forecast_seconds", camera="gate")
_REQUIRED = series("nvr_retention_required_seconds", camera="gate")
_UP = series("up")


def _posts(result: str, name: str) -> str:
    return series(name, result=result)


def _unheard(name: str, minutes: float) -> Case:
    """Posts that fail all the time, against some that get there between."""
    ok, failed = _posts("ok", name), _posts("failed", name)
    return Case(
        minutes=minutes,
        fires={ok: "0x9999", failed: "0+1x9999"},
        quiet={ok: "0+1x9999", failed: "0+1x9999"},
    )


CASES: dict[str, Case] = {
    # the box
    "NvrDown": Case(minutes=3, fires={_UP: "0x99"}, quiet={_UP: "1 0x2 1x99"}),
    "NvrAbsent": Case(minutes=6, fires={}, quiet={_UP: "1x99"}),
    "NvrCollectorFailed": _value("nvr_collector_success", 0, 1, 3, collector="edge"),
    "NvrErrorsSwallowed": Case(
        minutes=30,
        fires={series("nvr_swallowed_errors_total", where="sweep"): "0+1x99"},
        quiet={series("nvr_swallowed_errors_total", where="sweep"): "0x9 2x99"},
    ),
    "NvrSettingsRefused": _rise("nvr_config_reload_total", 10, 1, result="failed"),
    "NvrMemoryHigh": _value("process_resident_memory_bytes", 2e9, 4e8, 32),
    "NvrAlarmCritical": _value(
        "nvr_alarm_active", 2, 0, 2, code="storage_failed", severity="critical"
    ),
    "NvrAlarmWarning": _value(
        "nvr_alarm_active", 1, 0, 11, code="picture_covered", severity="warning"
    ),
    "NvrAlarmsNotKept": _rise("nvr_alarm_failures_total", 10, 1, what="write"),
    "NvrWebhookFailing": _unheard("nvr_alarm_posts_total", 45),
    # recording
    "NvrNotRecording": Case(minutes=3, fires={_DURABLE: "0x2 60x99"}, quiet={_DURABLE: "-5+30x99"}),
    "NvrCameraDown": _value("nvr_camera_up", 0, 1, 2, camera="gate", stream="main"),
    "NvrCameraAuth": Case(
        minutes=10,
        fires={series("nvr_camera_connects_total", result="auth", **_CAMERA): "0+1x99"},
        quiet={
            series("nvr_camera_connects_total", result="auth", **_CAMERA): "0x99",
            series("nvr_camera_connects_total", result="timeout", **_CAMERA): "0+1x99",
        },
    ),
    "NvrCoverageLow": _value(
        "nvr_recording_coverage_ratio", 0.99, 0.9995, 11, window="1d", camera="gate", stream="main"
    ),
    "NvrDroppedFrames": _rise(
        "nvr_recording_dropped_frames_total",
        10,
        3,
        reason="disk_slow",
        camera="gate",
        stream="main",
    ),
    "NvrBufferFilling": _value(
        "nvr_recording_buffer_bytes", 4e7, 1e6, 2, camera="gate", stream="main"
    ),
    "NvrStreamDamaged": Case(
        minutes=40,
        fires={series("nvr_stream_damaged_frames_total", **_CAMERA): "0+2x999"},
        quiet={series("nvr_stream_damaged_frames_total", **_CAMERA): "0x40 20x999"},
    ),
    "NvrCameraTamper": Case(
        minutes=3,
        fires={series("nvr_camera_tamper_active", camera="gate", kind="covered"): "1x99"},
        quiet={series("nvr_camera_tamper_active", camera="gate", kind="covered"): "1 stale"},
    ),
    "NvrCameraClockOff": _value("nvr_camera_clock_offset_seconds", -3, 1.5, 6, camera="gate"),
    "NvrRecoveryLost": _value("nvr_recovery_fragments_total", 1, 0, 1, result="lost"),
    # retention
    "NvrRetentionAtRisk": Case(
        minutes=62,
        fires={_FORECAST: f"{103 * _DAY_S}x999", _REQUIRED: f"{90 * _DAY_S}x999"},
        quiet={_FORECAST: f"{105 * _DAY_S}x999", _REQUIRED: f"{90 * _DAY_S}x999"},
    ),
    "NvrRetentionDanger": _value("nvr_retention_danger_seconds", 13 * _DAY_S, 15 * _DAY_S, 12),
    "NvrRetentionViolated": _rise(
        "nvr_retention_violations_total", 10, 1, camera="gate", cause="overwritten"
    ),
    # storage
    "NvrVolumeBad": _value("nvr_volume_state", 1, 0, 1, volume="/srv/a", state="readonly"),
    "NvrVolumesFull": Case(
        minutes=3,
        fires={
            series("nvr_volume_state", volume="/srv/a", state="full"): "1x99",
            series("nvr_volume_state", volume="/srv/b", state="full"): "1x99",
        },
        quiet={
            series("nvr_volume_state", volume="/srv/a", state="full"): "1x99",
            series("nvr_volume_state", volume="/srv/b", state="full"): "0x99",
        },
    ),
    "NvrFsyncSlow": _slow("nvr_volume_fsync_seconds", 25, "2", "0.1", volume="/srv/a"),
    "NvrVolumeErrors": _rise(
        "nvr_volume_io_errors_total", 10, 1, volume="/srv/a", op="write", errno="EIO"
    ),
    "NvrSmart": _value("nvr_volume_smart_attribute", 8, 0, 1, volume="/srv/a", id="197"),
    "NvrDiskFails": _value("nvr_volume_smart_ok", 0, 1, 1, volume="/srv/a"),
    "NvrDiskHot": _value("nvr_volume_temperature_celsius", 66, 45, 11, volume="/srv/a"),
    "NvrIndexMissing": _value("nvr_index_missing_segments", 2, 0, 11, volume="/srv/a"),
    "NvrIndexBad": _value("nvr_index_ok", 0, 1, 3),
    # proof
    "NvrDigestMismatch": _rise(
        "nvr_segment_verify_total", 10, 1, volume="/srv/a", result="mismatch"
    ),
    "NvrAuditBroken": _value("nvr_audit_chain_ok", 0, 1, 1),
    "NvrSelfCheckFailed": _value("nvr_self_check_ok", 0, 1, 1),
    "NvrSelfCheckStale": _late("nvr_self_check_timestamp_seconds", 62, 2 * _DAY_S),
    "NvrCheckpointStale": _late("nvr_checkpoint_last_success_timestamp_seconds", 12, 10_800),
    "NvrWitnessSilent": _unheard("nvr_witness_posts_total", 90),
    "NvrExportFailed": _rise("nvr_export_total", 10, 1, result="damaged"),
    # quality
    "NvrKpiLow": _value("nvr_site_kpi_ratio", 0.99, 0.996, 62, kpi="online"),
    "NvrRegisterInvalid": _value("nvr_kpi_ratio", 0, 1, 62, camera="gate", kpi="archive"),
    "NvrDiagnosisSilent": _late("nvr_diagnose_report_timestamp_seconds", 7, 700),
    "NvrDiagnosisFailing": _value("nvr_diagnose_state", 1, 0, 62, camera="gate", outcome="failed"),
    "NvrCareFailing": _value("nvr_care_ok", 0, 1, 62, camera="gate"),
    # time
    "NvrClockUnsynced": Case(
        minutes=6,
        fires={series("nvr_clock_synchronized", source=one): "0x99" for one in ("ntp", "platform")},
        quiet={
            series("nvr_clock_synchronized", source="ntp"): "0x99",
            series("nvr_clock_synchronized", source="platform"): "1x99",
        },
    ),
    "NvrTimeUntrusted": _value("nvr_clock_trusted", 0, 1, 6),
    "NvrClockOff": _value("nvr_clock_offset_seconds", -2.5, 1.5, 6, source="ntp"),
    "NvrClockStepped": _rise("nvr_clock_steps_total", 10, 1, direction="forward"),
    # platforms
    "NvrUplinkDown": _value("nvr_gb28181_registered", 0, 1, 3, platform="police"),
    "NvrInviteFailures": _rise(
        "nvr_gb28181_invites_total", 10, 9, 2, platform="police", kind="live", status="500"
    ),
    "NvrInvitesBusy": _rise(
        "nvr_gb28181_invites_total", 10, 1, platform="police", kind="live", status="486"
    ),
    "NvrFirstPacketSlow": _slow(
        "nvr_gb28181_first_packet_seconds", 40, "5", "0.2", platform="police", kind="live"
    ),
    "NvrSendStalls": Case(
        minutes=25,
        fires={
            series("nvr_gb28181_send_stalls_total", platform="police", transport="udp"): "0+60x99"
        },
        quiet={
            series("nvr_gb28181_send_stalls_total", platform="police", transport="udp"): "0+6x99"
        },
    ),
    "NvrRecordQueriesFailing": _rise(
        "nvr_gb28181_record_queries_total", 10, 9, 1, platform="police", result="unavailable"
    ),
    "NvrKeepaliveMissed": _rise(
        "nvr_gb28181_keepalive_total", 10, 4, 1, platform="police", result="missed"
    ),
    "NvrPlatformAlarmsWaiting": _value("nvr_gb28181_alarms_waiting", 3, 0, 16, platform="police"),
    "NvrOrdersRefused": _rise(
        "nvr_gb28181_commands_total", 10, 1, platform="police", verdict="refused"
    ),
    "NvrPlatformTimeOff": _value("nvr_gb28181_time_offset_seconds", -40, 9, 11, platform="police"),
    # the console
    "NvrLoginAttack": _rise("nvr_auth_failures_total", 10, 20, 3, reason="wrong"),
}

#: Two sites, and what the recording rules make of them after ten minutes.
FLEET: dict[str, str] = {
    'up{site="a", job="xueliang-edge"}': "1x99",
    'up{site="b", job="xueliang-edge"}': "0x99",
    **{
        f'{name}{{site="{site}", camera="{camera}", stream="main"}}': values
        for name, site, camera, values in (
            ("nvr_camera_up", "a", "x", "1x99"),
            ("nvr_camera_up", "a", "y", "1x99"),
            ("nvr_camera_up", "b", "x", "0x99"),
            ("nvr_recording_active", "a", "x", "1x99"),
            ("nvr_recording_active", "a", "y", "0x99"),
            ("nvr_recording_oldest_timestamp_seconds", "a", "x", "-700x99"),
            ("nvr_recording_oldest_timestamp_seconds", "a", "y", "0x99"),
            ("nvr_recording_dropped_frames_total", "a", "x", "0+30x99"),
            ("nvr_stream_received_bytes_total", "a", "x", "0+3000x99"),
            ("nvr_stream_received_bytes_total", "a", "y", "0+6000x99"),
        )
    },
    'nvr_recording_coverage_ratio{site="a", camera="x", window="1d"}': "1x99",
    'nvr_recording_coverage_ratio{site="a", camera="y", window="1d"}': "0.5x99",
    'nvr_recording_coverage_ratio{site="a", camera="x", window="90d"}': "0.75x99",
    'nvr_retention_forecast_seconds{site="a", camera="x"}': f"{200 * _DAY_S}x99",
    'nvr_retention_forecast_seconds{site="a", camera="y"}': f"{100 * _DAY_S}x99",
    'nvr_volume_free_bytes{site="a", volume="/1"}': "5x99",
    'nvr_volume_free_bytes{site="a", volume="/2"}': "7x99",
    'nvr_volume_capacity_bytes{site="a", volume="/1"}': "20x99",
    'nvr_gb28181_registered{site="a", platform="p"}': "1x99",
    'nvr_gb28181_registered{site="a", platform="q"}': "0x99",
    'nvr_alarm_active{site="a", code="m", severity="warning"}': "2x99",
    'nvr_alarm_active{site="a", code="n", severity="warning"}': "1x99",
    'nvr_kpi_ratio{site="a", kpi="online", camera="x"}': "1x99",
    'nvr_kpi_ratio{site="a", kpi="online", camera="y"}': "0.5x99",
    'nvr_kpi_ratio{site="b", kpi="online", camera="x"}': "0.25x99",
}
FLEET_RESULTS: dict[str, dict[str, float]] = {
    "site:nvr_cameras:count": {'{site="a"}': 2, '{site="b"}': 1},
    "site:nvr_cameras_up:sum": {'{site="a"}': 2, '{site="b"}': 0},
    "site:nvr_cameras_recording:sum": {'{site="a"}': 1},
    "site:nvr_cameras_online:ratio": {'{site="a"}': 1, '{site="b"}': 0},
    "site:nvr_recording_coverage_1d:min": {'{site="a"}': 0.5},
    "site:nvr_recording_coverage_90d:min": {'{site="a"}': 0.75},
    "site:nvr_recording_age_seconds:min": {'{site="a"}': 600},
    "site:nvr_retention_forecast_seconds:min": {'{site="a"}': 100 * _DAY_S},
    "site:nvr_stream_received_bytes:rate5m": {'{site="a"}': 300},
    "site:nvr_volume_free_bytes:sum": {'{site="a"}': 12},
    "site:nvr_volume_capacity_bytes:sum": {'{site="a"}': 20},
    "site:nvr_recording_dropped_frames:increase1h": {'{site="a"}': 600},
    "site:nvr_gb28181_registered:min": {'{site="a"}': 0},
    "site_severity:nvr_alarm_active:sum": {'{site="a", severity="warning"}': 3},
    "site_kpi:nvr_kpi_ratio:avg": {
        '{site="a", kpi="online"}': 0.75,
        '{site="b", kpi="online"}': 0.25,
    },
    "district:nvr_sites:count": {"{}": 2},
    "district:nvr_sites_up:count": {"{}": 1},
    "district:nvr_cameras:count": {"{}": 3},
    "district:nvr_cameras_online:ratio": {"{}": 2 / 3},
    "district:nvr_sites_at_risk:count": {"{}": 1},
    "district_severity:nvr_alarm_active:sum": {'{severity="warning"}': 3},
    "district_kpi:nvr_kpi_ratio:avg": {'{kpi="online"}': 0.5},
}

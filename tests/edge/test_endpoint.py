"""``/metrics`` and ``/healthz`` as a scraper sees them."""

from __future__ import annotations

import json
import socket
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.metrics import CameraSnapshot, EdgeMetrics, SelfCheckSnapshot, Snapshot, VolumeSnapshot
from retention.endpoint import Endpoint, EndpointUnavailable, Health
from retention.model import Codec, Epoch, GapCause, MediaFormat, VideoFormat
from retention.trusted_time import Code, Judgement, Source

SNAPSHOT = Snapshot(
    cameras=(
        CameraSnapshot(
            camera="gate-exit",
            is_up=True,
            is_recording=True,
            newest_durable_us=1_700_000_000_500_000,
            oldest_us=None,
            buffer_bytes=7,
            backoff_us=0,
            key_frame_interval_us=2_000_000,
            clock_offset_us=-1_500_000,
            format=MediaFormat(
                video=VideoFormat(codec=Codec.H264, width=640, height=360, parameter_sets=())
            ),
            vendor="x" * 300,
            coverage={"1d": 0.5},
        ),
    ),
    volumes=(
        VolumeSnapshot(
            volume="/srv/a",
            state="full",
            capacity_bytes=10,
            free_bytes=1,
            reserve_bytes=2,
            orphan_bytes=0,
            missing_segments=0,
        ),
    ),
    retention={"gate-exit": (90 * 86_400.0, 100 * 86_400.0)},
    retention_danger_s=None,
    index_trouble="",
    is_audit_sound=True,
    time=Judgement(
        is_trusted=False,
        code=Code.JUMPED,
        since_us=0,
        epoch=Epoch(id=1, boot_id="b", skew_us=0, start_us=0, cause=GapCause.CONFIG),
        due_us=None,
        offsets_us={Source.NTP: 250_000, Source.CAMERAS: -31_000_000},
    ),
    self_check=SelfCheckSnapshot(is_passed=True, at_us=1_500_000, results={"complete": 3}),
    holds={"active": 2, "released": 0},
    hold_bytes={"gate-exit": 4711},
)


LABELS = ("state", "window", "source")


def scrape(metrics: EdgeMetrics) -> dict[tuple[str, str], float]:
    endpoint = Endpoint(
        "127.0.0.1", 0, metrics.registry, lambda: Health(is_healthy=True, reasons={})
    )
    try:
        with urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
    finally:
        endpoint.close()
    return {
        (sample.name, next((v for k, v in sample.labels.items() if k in LABELS), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_snapshot_is_scraped_in_base_units() -> None:
    samples = scrape(EdgeMetrics(lambda: SNAPSHOT))
    assert samples["nvr_recording_last_durable_timestamp_seconds", ""] == 1_700_000_000.5
    assert samples["nvr_camera_clock_offset_seconds", ""] == -1.5
    assert samples["nvr_recording_coverage_ratio", "1d"] == 0.5
    assert samples["nvr_volume_state", "full"] == 1
    assert samples["nvr_volume_state", "ok"] == 0
    assert samples["nvr_audit_chain_ok", ""] == 1
    assert samples["nvr_index_ok", ""] == 1
    assert samples["nvr_self_check_ok", ""] == 1
    assert samples["nvr_self_check_timestamp_seconds", ""] == 1.5
    assert samples["nvr_holds", "active"] == 2
    assert samples["nvr_hold_bytes", ""] == 4711
    assert samples["nvr_clock_trusted", ""] == 0
    assert samples["nvr_clock_offset_seconds", "cameras"] == -31
    assert ("nvr_clock_offset_seconds", "platform") not in samples
    by_source = {source: samples["nvr_clock_synchronized", source.value] for source in Source}
    assert by_source == {Source.NTP: 1, Source.PLATFORM: 0, Source.CAMERAS: 0}
    assert samples["nvr_collector_success", ""] == 1


def test_a_failing_collector_shows_and_the_scrape_goes_on() -> None:
    def fail() -> Snapshot:
        raise RuntimeError("broken")

    samples = scrape(EdgeMetrics(fail))
    assert samples["nvr_collector_success", ""] == 0
    assert ("nvr_build_info", "") in samples


def test_health_is_503_with_reasons() -> None:
    unwell = Health(is_healthy=False, reasons={"gate-exit": "camera_auth: wrong password"})
    registry = EdgeMetrics(lambda: SNAPSHOT).registry
    endpoint = Endpoint("127.0.0.1", 0, registry, lambda: unwell)
    try:
        with pytest.raises(HTTPError) as caught:
            urlopen(f"http://127.0.0.1:{endpoint.port}/healthz")
        with caught.value as answer:
            assert answer.code == 503
            assert json.load(answer)["reasons"] == unwell.reasons
    finally:
        endpoint.close()


def test_a_taken_port_is_told_with_its_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointUnavailable) as caught:
            Endpoint(
                "127.0.0.1",
                port,
                EdgeMetrics(lambda: SNAPSHOT).registry,
                lambda: Health(is_healthy=True, reasons={}),
            )
    assert "[metrics] bind" in caught.value.hint

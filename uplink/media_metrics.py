"""What serving calls tells Prometheus (recording.md, "Metrics and alerts"). Shell."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FIRST_PACKET_BUCKETS_S = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10)


class MediaMetrics:
    """``platform`` is the settings' name, ``kind`` live, playback or download."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.sessions = Gauge(
            "nvr_gb28181_sessions", "Calls being served", ("platform", "kind"), registry=registry
        )
        self.invites = counter(
            "nvr_gb28181_invites_total", "INVITEs by their answer", "platform", "kind", "status"
        )
        self.first_packet = Histogram(
            "nvr_gb28181_first_packet_seconds",
            "From INVITE to the first RTP packet",
            ("platform", "kind"),
            buckets=FIRST_PACKET_BUCKETS_S,
            registry=registry,
        )
        self.sent_bytes = counter(
            "nvr_gb28181_sent_bytes_total", "RTP payload sent", "platform", "transport"
        )
        self.stalls = counter(
            "nvr_gb28181_send_stalls_total",
            "Times that a peer or a link did not take what was due",
            "platform",
            "transport",
        )
        self.failures = counter(
            "nvr_gb28181_media_failures_total", "Calls that broke off, by cause", "cause"
        )

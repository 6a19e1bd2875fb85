"""What ``uplink`` tells Prometheus (recording.md, "Metrics and alerts"). Shell.

Labels are bounded: names of platforms, constant words; never an address or a text of a peer.
"""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from retention.series import forget, show_process

RTT_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class UplinkMetrics:
    """Every instrument of ``uplink``, in a registry of its own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        show_process(registry)
        self.registered = gauge("nvr_gb28181_registered", "1 while the platform has us", "platform")
        self.registers = counter(
            "nvr_gb28181_register_total", "REGISTER exchanges by their end", "platform", "result"
        )
        self.keepalives = counter(
            "nvr_gb28181_keepalive_total", "Keepalives by their end", "platform", "result"
        )
        self.keepalive_rtt = Histogram(
            "nvr_gb28181_keepalive_rtt_seconds",
            "From keepalive to its answer",
            ("platform",),
            buckets=RTT_BUCKETS_S,
            registry=registry,
        )
        self.requests = counter(
            "nvr_gb28181_requests_total",
            "Requests of the platform that got an answer of a handler",
            "platform",
            "method",
            "status",
        )
        self.answers = counter(
            "nvr_gb28181_messages_total",
            "MESSAGEs and NOTIFYs of ours by their end",
            "platform",
            "result",
        )
        self.time_offset = gauge(
            "nvr_gb28181_time_offset_seconds", "Platform's Date minus our clock", "platform"
        )
        self.dropped = counter(
            "nvr_gb28181_dropped_total", "Datagrams and messages thrown away", "reason"
        )
        self.audit_records = counter("nvr_audit_records_total", "Put on record", "action")
        self.reload_time = gauge(
            "nvr_config_last_reload_success_timestamp_seconds",
            "When settings last came into force",
        )
        self.reloads = counter("nvr_config_reload_total", "Settings read", "result")
        self.swallowed_errors = counter(
            "nvr_swallowed_errors_total", "Errors that cost nothing but were not expected", "where"
        )

    def show(self, name: str) -> None:
        """Makes a platform's series stand from the first scrape on."""
        self.registered.labels(name).set(0)
        self.registers.labels(name, "ok")
        self.keepalives.labels(name, "ok")
        self.keepalives.labels(name, "missed")
        self.keepalive_rtt.labels(name)
        self.reloads.labels("failed")

    def hide(self, name: str) -> None:
        """A platform that is not served any more has no gauge."""
        self.registered.remove(name)
        if (name,) in self.time_offset._metrics:
            self.time_offset.remove(name)

    def keep(self, platforms: Collection[str]) -> None:
        """Forget what was counted of platforms that the settings name no more."""
        forget(self.registry, "platform", platforms)

"""What answering messages tells Prometheus (recording.md, "Metrics and alerts"). Shell."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

QUERY_BUCKETS_S = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class MessageMetrics:
    """Instruments of queries, commands and alarms; ``platform`` is the settings' name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.record_queries = counter(
            "nvr_gb28181_record_queries_total", "RecordInfo queries", "platform", "result"
        )
        self.record_seconds = Histogram(
            "nvr_gb28181_record_query_seconds",
            "From a RecordInfo query to its first part",
            ("platform",),
            buckets=QUERY_BUCKETS_S,
            registry=registry,
        )
        self.malformed = counter(
            "nvr_gb28181_malformed_total", "MESSAGE and SUBSCRIBE bodies not understood", "platform"
        )
        self.commands = counter(
            "nvr_gb28181_commands_total", "Orders, by what became of them", "platform", "verdict"
        )
        self.alarms = counter("nvr_gb28181_alarms_total", "Alarms, by fate", "platform", "result")
        self.alarms_waiting = Gauge(
            "nvr_gb28181_alarms_waiting",
            "Alarms that the platform has not taken yet",
            ("platform",),
            registry=registry,
        )
        self.failures = counter(
            "nvr_gb28181_failures_total", "Things not done that were to be done", "what"
        )

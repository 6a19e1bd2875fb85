"""What ``console`` tells Prometheus. Shell. Labels are constant words, never a name or address."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from retention.series import show_process


class ConsoleMetrics:
    """Every instrument of ``console``, in a registry of its own.

    Args:
        sessions: how many are logged in.
    """

    def __init__(self, sessions: Callable[[], int]) -> None:
        registry = CollectorRegistry()
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        show_process(registry)
        self.requests = counter(
            "nvr_console_requests_total", "Requests by class of their answer", "status"
        )
        self.logins = counter("nvr_console_logins_total", "Tries to log in", "result")
        self.auth_failures = counter(
            "nvr_auth_failures_total", "Log-ins that failed, by why", "reason"
        )
        for reason in ("wrong", "locked", "busy"):
            self.logins.labels(reason)
            self.auth_failures.labels(reason)
        self.refusals = counter(
            "nvr_console_refusals_total", "Requests refused before they were carried out", "reason"
        )
        self.grants = counter(
            "nvr_console_grants_total", "Looks at footage, with their reason on record", "purpose"
        )
        self.sessions = gauge("nvr_console_sessions", "Persons logged in")
        self.sessions.set_function(sessions)
        self.audit_records = counter("nvr_audit_records_total", "Put on record", "action")
        self.reload_time = gauge(
            "nvr_config_last_reload_success_timestamp_seconds",
            "When settings last came into force",
        )
        self.reloads = counter("nvr_config_reload_total", "Settings read", "result")
        self.swallowed_errors = counter(
            "nvr_swallowed_errors_total", "Errors that cost nothing but were not expected", "where"
        )

    def login_failed(self, reason: str) -> None:
        """``wrong``, ``locked`` or ``busy``."""
        self.logins.labels(reason).inc()
        self.auth_failures.labels(reason).inc()

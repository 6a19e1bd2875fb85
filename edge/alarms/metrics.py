"""Alarms as Prometheus sees them. Shell.

``nvr_alarm_active`` has one series a kind of alarm, also of those that do not stand;
``nvr_alarm_subject_active`` one for each that stands, named by what the settings name;
``nvr_camera_tamper_active`` likewise of those that say that a camera's picture is no use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.alarms.codes import TERMS, About, Code
from edge.alarms.register import Alarm, counts

#: What stands, and what may be a label.
View = tuple[list[Alarm], Mapping[About, frozenset[str]]]


class AlarmMetrics:
    """Instruments of the board."""

    def __init__(self, registry: CollectorRegistry, view: Callable[[], View]) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.begun = counter("nvr_alarms_total", "Alarms begun", "code")
        for code in Code:
            self.begun.labels(code.value)
        self.posts = counter("nvr_alarm_posts_total", "Alarms and ends to the webhook", "result")
        self.failures = counter(
            "nvr_alarm_failures_total", "The account of alarms was not read or written", "what"
        )
        self.dropped = counter("nvr_alarms_dropped_total", "Alarms that were too many to keep")
        registry.register(_Standing(view))


class _Standing(Collector):
    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        standing, known = self._view()
        active = GaugeMetricFamily(
            "nvr_alarm_active", "Alarms that stand", labels=["code", "severity"]
        )
        for code, count in counts(standing).items():
            active.add_metric([code.value, TERMS[code].severity.value], count)
        subjects = GaugeMetricFamily(
            "nvr_alarm_subject_active",
            "1 while the alarm of this camera, volume, platform or service stands",
            labels=["code", "severity", "about", "subject"],
        )
        tamper = GaugeMetricFamily(
            "nvr_camera_tamper_active",
            "1 while the camera is tampered with or its picture is no use",
            labels=["camera", "kind"],
        )
        for one in standing:
            terms = TERMS[one.code]
            if one.subject in known.get(terms.about, ()):
                labels = [one.code.value, terms.severity.value, terms.about.value, one.subject]
                subjects.add_metric(labels, 1)
                if terms.is_defect:
                    tamper.add_metric([one.subject, kind_of(one.code)], 1)
        return [active, subjects, tamper]


def kind_of(code: Code) -> str:
    """``covered`` of ``picture_covered``, ``tamper`` of ``camera_tamper``."""
    return code.value.removeprefix("picture_").removeprefix("camera_")

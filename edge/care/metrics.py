"""What care tells Prometheus. Shell. Labels: cameras of the settings, fixed words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.camera.event_kinds import Tamper

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CareSnapshot:
    """One camera now. ``is_ok`` is None before the first look, ``is_watched`` where none is
    wanted."""

    camera: str
    is_ok: bool | None
    last_success_s: float | None
    is_watched: bool | None
    tampers: frozenset[Tamper]


class CareMetrics:
    """Registers itself with ``registry``.

    Args:
        unkept: how often what is known of cameras was not written.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        snapshot: Callable[[], Iterable[CareSnapshot]],
        unkept: Callable[[], int],
    ) -> None:
        self.events = Counter(
            "nvr_camera_events_total",
            "Events that the camera told",
            ("camera", "kind"),
            registry=registry,
        )
        self.left_out = Counter(
            "nvr_camera_events_left_out_total",
            "Events that were not marked: too many, or nothing was being recorded",
            ("camera",),
            registry=registry,
        )
        self.set = Counter(
            "nvr_camera_set_total",
            "Settings written to cameras",
            ("camera", "what", "result"),
            registry=registry,
        )
        registry.register(_CareCollector(snapshot, unkept))


class _CareCollector(Collector):
    def __init__(
        self, snapshot: Callable[[], Iterable[CareSnapshot]], unkept: Callable[[], int]
    ) -> None:
        self._snapshot = snapshot
        self._unkept = unkept

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        ok = GaugeMetricFamily("nvr_care_ok", "1 if the last look succeeded", labels=["camera"])
        success = GaugeMetricFamily(
            "nvr_care_last_success_timestamp_seconds",
            "When the camera was last looked at through ONVIF",
            labels=["camera"],
        )
        watched = GaugeMetricFamily(
            "nvr_camera_events_subscribed",
            "1 while the camera's events are subscribed",
            labels=["camera"],
        )
        tamper = GaugeMetricFamily(
            "nvr_camera_tamper_told",
            "1 while the camera says so of its picture",
            labels=["camera", "kind"],
        )
        unkept = CounterMetricFamily(
            "nvr_care_unkept", "Writes of what is known of cameras that failed", self._unkept()
        )
        try:
            every = list(self._snapshot())
        except Exception:  # a supervision point: the scrape goes on
            log.exception("collector_failed")
            every = []
        for one in every:
            if one.is_ok is not None:
                ok.add_metric([one.camera], one.is_ok)
            if one.last_success_s is not None:
                success.add_metric([one.camera], one.last_success_s)
            if one.is_watched is not None:
                watched.add_metric([one.camera], one.is_watched)
                for kind in Tamper:
                    tamper.add_metric([one.camera, kind.value], kind in one.tampers)
        return [ok, success, watched, tamper, unkept]

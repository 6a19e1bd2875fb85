"""What every service tells Prometheus of itself; series that go with what they name. Shell.

A counter's series stands for as long as its process; without :func:`forget`, each camera or
platform that ever was in the settings would add its own for ever.
"""

from __future__ import annotations

import platform
from collections.abc import Collection
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase


def show_process(registry: CollectorRegistry, **build: str) -> None:
    """``process_*`` and ``python_gc_*`` of this process (its children not counted), and
    ``nvr_build_info`` with ``build`` as further labels.

    No ``_created`` series: they would double the counters, and nothing here asks for them.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    told = {
        "version": metadata.version("xueliang-edge"),
        "python": platform.python_version(),
        **build,
    }
    Gauge("nvr_build_info", "Build", tuple(told), registry=registry).labels(**told).set(1)


def forget(registry: CollectorRegistry, label: str, keep: Collection[str]) -> None:
    """Take away every series of an instrument whose ``label`` is not in ``keep``."""
    for instrument in list(registry._collector_to_names):
        if not isinstance(instrument, MetricWrapperBase):
            continue
        values = {
            sample.labels[label]
            for family in instrument.collect()
            for sample in family.samples
            if label in sample.labels
        }
        for value in values - set(keep):
            instrument.remove_by_labels({label: value})

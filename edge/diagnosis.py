"""What the ``diagnose`` service has told, in the running ``edge``: alarms, figures, status. Shell.

Edge imports no picture code: it reads one small file (:mod:`edge.diagnose.report_file`) now and
then. A defect that stands goes on standing while the service is away: that nobody looks is an alarm
of its own, not an end of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from config.schema import Settings
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.diagnose.defects import TEXTS_ZH, Defect, Outcome
from edge.diagnose.report import CameraReport, Report
from edge.diagnose.report_file import read_report
from retention.clock import Clock
from retention.model import US_PER_S

#: The service writes its report each 30 s at least.
SILENT_US = 300 * US_PER_S
_FAILURES_ZH = {"unreadable": "读不到录像", "internal": "诊断程序故障"}


class Diagnosis:
    """Args:
    settings: those in force now.
    """

    def __init__(
        self, settings: Callable[[], Settings], registry: CollectorRegistry, clock: Clock
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._report: Report | None = None
        registry.register(_Collector(self))

    def look(self) -> list[Fault]:
        """Read what was told last, and what of it is an alarm. Blocks for a small file."""
        settings = self._settings()
        if not settings.diagnose.enabled:
            self._report = None
            return []
        self._report = read_report(Path(settings.storage.state_dir)) or self._report
        if self._report is None:
            return []  # it was never started here
        faults = [fault for camera, one in self.cameras().items() for fault in _faults(camera, one)]
        if abs(self._clock.utc_us() - self._report.at_us) > SILENT_US:
            faults.append(Fault(code=Code.SERVICE_DOWN, subject="diagnose"))
        return faults

    @property
    def report(self) -> Report | None:
        """As it was told last; None without a diagnosis."""
        return self._report

    def cameras(self) -> dict[str, CameraReport]:
        """Those in service that were looked at."""
        report = self._report
        if report is None:
            return {}
        enabled = {camera.id for camera in self._settings().camera if camera.enabled}
        return {name: one for name, one in report.cameras.items() if name in enabled}

    def defects(self, camera: str) -> list[str]:
        """What stands, in the words of :class:`Defect`."""
        report = self._report
        known = None if report is None else report.cameras.get(camera)
        return [] if known is None else [defect.value for defect in known.standing]


def _faults(camera: str, report: CameraReport) -> Iterable[Fault]:
    for defect in report.standing:
        yield Fault(code=CODES[defect], subject=camera)
    if report.is_failing:
        yield Fault(
            code=Code.DIAGNOSIS_FAILED,
            subject=camera,
            reason_zh=_FAILURES_ZH.get(report.failure.value, ""),
            reason_en=report.failure.value,
        )


CODES = {defect: Code(f"picture_{defect.value}") for defect in Defect}
assert set(TEXTS_ZH) == set(CODES)


class _Collector(Collector):
    """One series a camera and outcome: bounded by the settings."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        checks = CounterMetricFamily(
            "nvr_diagnose_checks_total",
            "Checks of a camera's picture, by outcome: failed had no picture to judge",
            labels=["camera", "outcome"],
        )
        at = GaugeMetricFamily(
            "nvr_diagnose_last_check_timestamp_seconds",
            "When the camera's picture was last looked at",
            labels=["camera"],
        )
        state = GaugeMetricFamily(
            "nvr_diagnose_state", "One-hot: the last check", labels=["camera", "outcome"]
        )
        found = GaugeMetricFamily(
            "nvr_diagnose_found_active",
            "1 for what the last check saw, before three of five confirm it",
            labels=["camera", "kind"],
        )
        cpu = CounterMetricFamily(
            "nvr_diagnose_cpu_seconds_total", "CPU of a camera's checks", labels=["camera"]
        )
        told = GaugeMetricFamily(
            "nvr_diagnose_report_timestamp_seconds", "When the service last told of itself"
        )
        report = self._diagnosis.report
        if report is not None:
            told.add_metric([], report.at_us / US_PER_S)
        for camera, one in self._diagnosis.cameras().items():
            for outcome in Outcome:
                checks.add_metric([camera, outcome.value], one.checks.get(outcome, 0))
                state.add_metric([camera, outcome.value], outcome is one.outcome)
            for defect in Defect:
                found.add_metric([camera, defect.value], defect in one.found)
            at.add_metric([camera], one.at_us / US_PER_S)
            cpu.add_metric([camera], one.cpu_seconds)
        return [checks, at, state, found, cpu, told]

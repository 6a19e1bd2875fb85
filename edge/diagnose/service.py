"""The ``diagnose`` service: one look after the other at every camera's newest footage. Shell.

It reads index and footage (through its child) and writes its own folder and audit log, nothing
else; it has no network and gives way to everything. What it finds is told to ``edge`` by a file
(:mod:`edge.diagnose.report_file`), which makes metrics and alarms of it.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from config import log as logging_setup
from config.load import ConfigError, load
from config.reload import read_again, with_kept
from config.schema import Settings
from edge.diagnose.confine import leave_network
from edge.diagnose.defects import Outcome
from edge.diagnose.follow import follow
from edge.diagnose.inspector import Inspector
from edge.diagnose.keeping import baseline_path, read_baselines, write_baselines
from edge.diagnose.report import CameraReport, Report
from edge.diagnose.report_file import read_report, write_report
from edge.diagnose.schedule import next_start_us, whose_turn
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Head
from retention.audit_chain import Outcome as Deed
from retention.audit_terms import EVERY_S, end_terms
from retention.clock import Clock, SystemClock
from retention.model import US_PER_S
from retention.priority import Disk, give_way
from retention.progress import Progress
from retention.service_manager import ServiceManager

log = logging.getLogger(__name__)

#: That it lives is told so often, also when there is nothing to look at.
HEARTBEAT_US = 30 * US_PER_S
#: What was looked at is put on record so often.
RECORD_US = 3600 * US_PER_S
RECORD_TIMEOUT_S = 30.0
RETRY_S = 10.0
#: A turn is a look at one camera, which is bounded, or a short wait.
PROGRESS_US = {"looks": 300 * US_PER_S}
_TICK_S = 0.5


def run_diagnose(config_path: Path) -> None:
    """Diagnose until SIGTERM or SIGINT; SIGHUP reads the settings anew.

    Raises:
        ConfigError, AuditUnavailable: before anything is looked at.
    """
    settings = load(config_path)
    logging_setup.set_up()
    with suppress(PermissionError):  # an installed box has it; edge may not have come up yet
        settings.storage.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_alone = leave_network()
    give_way(19, Disk.IDLE)
    clock = SystemClock()
    with AuditLog(settings.storage.state_dir, "diagnose", clock) as audit:
        service = Service(config_path, settings, clock, audit)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        signal.signal(signal.SIGHUP, lambda *_: service.reload())
        audit.record(
            Action.SERVICE_STARTED,
            subject="diagnose",
            version=version("xueliang-edge"),
            settings=str(config_path),
        )
        if not is_alone:
            log.warning("network_not_left")
        try:
            service.run()
        finally:
            audit.record(Action.SERVICE_STOPPED, subject="diagnose")


def is_turning(settings: Settings, camera: str) -> bool:
    """What the register says of the camera (GB/T 28181 PTZType: dome, remote-controlled ones)."""
    return any(
        one.id == camera and one.archive.ptz_type in ("1", "4", "5") for one in settings.camera
    )


class Service:
    """One thread; signals only set flags."""

    def __init__(
        self, config_path: Path, settings: Settings, clock: Clock, audit: AuditLog
    ) -> None:
        self._config_path = config_path
        self._settings = settings
        self._clock = clock
        self._stopping = threading.Event()
        self._reloading = threading.Event()
        self._manager = ServiceManager()
        self._record = _Record(audit, clock)
        self._inspector = Inspector(
            settings.storage.state_dir / "index.db",
            settings.storage.volumes,
            is_stopping=self._stopping.is_set,
        )
        known = read_report(settings.storage.state_dir)
        self._cameras: dict[str, CameraReport] = {} if known is None else dict(known.cameras)
        self._began_us: dict[str, int] = {}
        self._next_us = 0
        self._told_us = -HEARTBEAT_US
        self._ended_us = clock.monotonic_us()

    def stop(self) -> None:
        self._stopping.set()

    def reload(self) -> None:
        self._reloading.set()

    def run(self) -> None:
        log.info("diagnose_started", extra={"cameras": len(self._names())})
        progress = Progress(PROGRESS_US, self._clock.monotonic_us())
        self._manager.ready()
        try:
            while not self._stopping.is_set():
                self._turn()
                progress.beat("looks", self._clock.monotonic_us())
                self._manager.feed(progress, self._clock.monotonic_us())
        finally:
            self._manager.stopping()
            self._inspector.close()
            self._tell()
            self._record.end()
        log.info("diagnose_stopped")

    def _turn(self) -> None:
        if self._reloading.is_set():
            self._reloading.clear()
            self._reload()
        now_us = self._clock.monotonic_us()
        if now_us - self._told_us >= HEARTBEAT_US:
            self._tell()
        if now_us - self._ended_us >= EVERY_S * US_PER_S:
            self._ended_us = now_us
            self._record.end_terms(self._settings)
        camera = whose_turn(self._names(), self._began_us)
        if camera is None or now_us < self._next_us:
            self._stopping.wait(_TICK_S)
            return
        try:
            self._record.begin(self._settings)
        except (AuditUnavailable, TimeoutError) as error:  # nothing is read off the record
            log.error("diagnosis_not_on_record", extra={"error": str(error)})
            self._stopping.wait(RETRY_S)
            return
        self.check(camera)

    def _names(self) -> list[str]:
        if not self._settings.diagnose.enabled:
            return []
        return [camera.id for camera in self._settings.camera if camera.enabled]

    def check(self, camera: str) -> None:
        """Look at a camera once, and tell what follows from it."""
        began_us = self._clock.monotonic_us()
        state_dir, now_us = self._settings.storage.state_dir, self._clock.utc_us()
        known = self._cameras.get(camera, CameraReport())
        seen_us = known.footage_us if known.footage_us <= now_us else 0
        looked = self._inspector.look(camera, now_us, seen_us)
        if self._stopping.is_set() and looked.measures is None:
            return  # it was cut short
        before = read_baselines(state_dir, camera)
        report, after = follow(
            known,
            before,
            looked,
            at_us=now_us,
            is_dark_room=camera in self._settings.diagnose.dark_rooms,
            is_turning=is_turning(self._settings, camera),
        )
        self._cameras[camera] = report
        self._note(camera, known, report, looked.detail)
        try:
            if after != before:
                write_baselines(state_dir, camera, after)
        except OSError as error:
            path = baseline_path(state_dir, camera)
            log.error("baseline_not_written", extra={"path": str(path), "error": str(error)})
        self._record.count(report.outcome)
        self._began_us[camera] = began_us
        self._next_us = next_start_us(
            began_us=began_us,
            ended_us=self._clock.monotonic_us(),
            cpu_seconds=looked.cpu_seconds,
            interval_us=self._settings.diagnose.interval_seconds * US_PER_S,
            cameras=len(self._names()),
        )
        self._tell()

    def _note(self, camera: str, known: CameraReport, report: CameraReport, detail: str) -> None:
        if detail:
            log.warning(
                "check_failed",
                extra={"camera": camera, "failure": report.failure.value, "detail": detail},
            )
        for defect in set(report.standing) ^ set(known.standing):
            event = "defect_began" if defect in report.standing else "defect_ended"
            log.warning(event, extra={"camera": camera, "defect": defect.value})

    def _tell(self) -> None:
        self._told_us = self._clock.monotonic_us()
        configured = {camera.id for camera in self._settings.camera}
        report = Report(
            at_us=self._clock.utc_us(),
            cpu_seconds=self._inspector.cpu_seconds() + time.process_time(),
            cameras={name: one for name, one in self._cameras.items() if name in configured},
        )
        try:
            write_report(self._settings.storage.state_dir, report)
        except OSError as error:
            log.error("report_not_written", extra={"error": str(error)})

    def _reload(self) -> None:
        """A bad file leaves the old settings in force; another store takes a restart."""
        try:
            fresh = read_again(self._config_path)
        except ConfigError:
            return
        self._settings = with_kept(fresh, self._settings, ("storage",))
        log.info("settings_in_force", extra={"cameras": len(self._names())})


class _Record:
    """Looking at footage, on record: before the first look of an hour that it begins, and after the
    last one how it went. A record a look would be eighteen thousand a day."""

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._since_us: int | None = None
        self._counts: dict[Outcome, int] = {}

    def end_terms(self, settings: Settings) -> None:
        """Old parts of the log go."""
        index_path = settings.storage.state_dir / "index.db"
        end_terms(self._audit, index_path, settings.retention.audit_days)

    def begin(self, settings: Settings) -> None:
        """Raises AuditUnavailable, TimeoutError: it is not on record."""
        now_us = self._clock.monotonic_us()
        if self._since_us is not None and now_us - self._since_us < RECORD_US:
            return
        self.end()
        begun: Future[Head] = self._audit.record(
            Action.DIAGNOSIS,
            subject="cameras",
            outcome=Deed.BEGUN,
            cameras=sum(camera.enabled for camera in settings.camera),
            interval_seconds=settings.diagnose.interval_seconds,
        )
        begun.result(RECORD_TIMEOUT_S)
        self._since_us = now_us

    def count(self, outcome: Outcome) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1

    def end(self) -> None:
        if self._since_us is None:
            return
        self._audit.record(
            Action.DIAGNOSIS,
            subject="cameras",
            outcome=Deed.DONE,
            normal=self._counts.get(Outcome.NORMAL, 0),
            abnormal=self._counts.get(Outcome.ABNORMAL, 0),
            unknown=self._counts.get(Outcome.UNKNOWN, 0),
            failed=self._counts.get(Outcome.FAILED, 0),
        )
        self._since_us, self._counts = None, {}

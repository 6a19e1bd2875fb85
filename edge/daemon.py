"""The ``edge`` service: everything that records, put together. Shell; the composition root.

The event loop only moves values in memory. Disks are written by one process a volume, the index by
one thread, cameras are read by one child each, ONVIF by one child for all; slow looks (free space,
coverage, reconciliation) are jobs in threads.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from config import log as logging_setup
from config.errors import XueliangError
from config.load import ConfigError, load
from config.reload import read_again, with_kept
from config.schema import Settings
from edge import control, sweeping
from edge.alarms.board import AlarmBoard
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.audit_verification import is_sound, verify_all
from edge.auditing import (
    ANCHOR_S,
    Anchors,
    give_way,
    prune_logs,
    record_changes,
)
from edge.camera.onvif_service import OnvifService
from edge.camera.pool import CameraPool
from edge.camera.spawner import Spawner
from edge.cameras import Cameras
from edge.care.moving import Mover
from edge.care.service import Care
from edge.care.store import KnownCameras
from edge.diagnosis import Diagnosis
from edge.exporting import ExportJobs
from edge.holds import HoldDesk, figures
from edge.host_time import ConfirmationRefused, HostTime
from edge.kpis import METRICS_DAYS, camera_kpis, known
from edge.lock import state_lock
from edge.metrics import EdgeMetrics, Snapshot
from edge.neighbours import faults_of_neighbours, free_of
from edge.night_results import newest as newest_check
from edge.nightly import LOOK_S, Nightly
from edge.orders import SOCKET_NAME as ORDERS_NAME
from edge.orders import Orders
from edge.proof import CHECKPOINT_S, Proof
from edge.report_desk import ReportDesk
from edge.setup_desk import SetupDesk
from edge.smart import SmartDesk
from edge.status import completeness_of, index_path, open_store
from edge.sweeping import Sweeping
from edge.tap import TapServer
from edge.view import View
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Head, Outcome, printable
from retention.clock import SystemClock, boot_id
from retention.endpoint import Endpoint
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S
from retention.progress import Progress
from retention.service_manager import ServiceManager
from retention.start import Opened, open_for_recording
from retention.volume_errors import VolumeError, VolumeState
from retention.volume_process import VolumeProcess
from retention.volumes import Slot
from retention.writer_ports import Deleted, VolumeChanged, WriterEvent

log = logging.getLogger(__name__)

TICK_S = 1.0
#: After a start the cameras come first for so long.
SETTLED_S = 5.0
#: How often is looked for cameras that should go back to their home position.
HOME_S = 5
#: Completeness of 16 cameras over 90 days takes 0.8 s of CPU.
SURVEY_S = 300
#: An hour's folder of one camera is compared each so often: 34,560 of 16 cameras and 90 days.
RECONCILE_PAUSE_S = 0.2
SMART_S = 900
CLOCKS_S = 2
NEIGHBOURS_S = 5
#: Parts whose standstill only a restart mends, and how long each may take. A disk that hangs is
#: none of them: recording goes on around it, and no restart would bring it back.
PROGRESS_US = {"accounts": 20 * US_PER_S, "index_thread": 20 * US_PER_S}
#: A clean stop waits so long at most until what was recorded last is sealed and signed.
FINISH_S = 4.0
#: Settings that a running edge cannot change.
_FIXED = frozenset({"storage", "metrics"})


def run_edge(config_path: Path) -> None:
    """Record until SIGTERM or SIGINT; SIGHUP reads the settings anew.

    Raises:
        ConfigError, StateFolderInUse, EndpointUnavailable: before anything is recorded.
    """
    settings = load(config_path)
    logging_setup.set_up()
    with state_lock(settings.storage.state_dir):
        edge = _Edge(config_path, settings)
        with edge.audit:
            asyncio.run(edge.run())


class _Edge:
    def __init__(self, config_path: Path, settings: Settings) -> None:
        self._config_path = config_path
        self._settings = settings
        self._clock = SystemClock()
        self._boot_id = boot_id()
        self._manager = ServiceManager()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()
        self._view: View | None = None
        self._nightly = Nightly(config_path, lambda: self._settings, self._clock)
        self._metrics = EdgeMetrics(self._snapshot)
        self._smart = SmartDesk()
        self.audit = AuditLog(
            settings.storage.state_dir,
            "edge",
            self._clock,
            on_record=lambda action: self._metrics.audit_records.labels(action.value).inc(),
        )
        self.alarms = AlarmBoard(
            settings.storage.state_dir,
            settings=lambda: self._settings,
            audit=self.audit,
            registry=self._metrics.registry,
            clock=self._clock,
        )
        self._diagnosis = Diagnosis(lambda: self._settings, self._metrics.registry, self._clock)
        self._cameras: Cameras | None = None
        #: Volumes that failed and are well again: what they had in hand is to be finished.
        self._healed: set[str] = set()
        self._sweeping: Sweeping | None = None
        self._proof: Proof | None = None
        self._time = HostTime(
            self._clock,
            self._boot_id,
            settings.storage.state_dir,
            on_step=lambda direction: self._metrics.clock_steps.labels(direction).inc(),
            on_untrusted=self._on_untrusted,
        )

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        spawner = Spawner()
        await spawner.warm_up()  # it loads the reader while the storage is opened
        try:
            opened = await asyncio.to_thread(self._open_storage)
            try:
                await self._record(opened, spawner)
            finally:
                self._manager.stopping()
                await asyncio.to_thread(self._close_storage, opened)
        finally:
            await spawner.close()
        log.info("edge_stopped")

    # Storage ---------------------------------------------------------------------------------

    def _open_storage(self) -> Opened:
        """Volumes, index, recovery, accounts: all before the first byte. Blocks."""
        storage = self._settings.storage
        opened = open_for_recording(
            index_path(self._settings),
            storage.volumes,
            reserve_bytes=storage.reserve_bytes,
            cameras=[camera.id for camera in self._settings.camera],
            boot_id=self._boot_id,
            clock=self._clock,
            make_host=lambda place: VolumeProcess(place, self._clock),
            retiring=storage.retiring,
            judge_time=self._time.begin,
        )
        self._tell_audit(opened)
        for result, count in opened.recovered.items():
            self._metrics.recovered.labels(result).inc(count)
        for slot in opened.volumes.slots:
            if slot.is_attached:
                self._start_writer(opened, slot)
        return opened

    def _tell_audit(self, opened: Opened) -> None:
        """The start is on record, and so are the settings that it began with."""
        self._anchors = Anchors(self._settings.storage.state_dir, opened.ledger)
        self.audit.record(
            Action.SERVICE_STARTED,
            subject="edge",
            version=version("xueliang-edge"),
            boot=self._boot_id,
            settings=str(self._config_path),
            settings_sha256=hashlib.sha256(repr(self._settings).encode()).hexdigest(),
        )

    def _start_writer(self, opened: Opened, slot: Slot) -> None:
        """Recording may go there from now on. Waits for the volume's process."""
        self._metrics.show_volume(slot.name)
        assert slot.host is not None
        try:
            writer = slot.host.start_writer(
                rows=opened.index,
                report=self._report,
                observer=_Observer(self._metrics, slot.name),
                durability_us=self._settings.storage.durability_us,
            )
        except VolumeError as error:
            opened.volumes.refuse(slot, error)
            return
        opened.ledger.add_sink(writer.journal, slot.holds_seq)
        slot.writer = writer

    def _close_storage(self, opened: Opened) -> None:
        """Seal, make durable, and then tell the ledger that the end was clean. Blocks."""
        if self._proof is not None:
            self._proof.finish(FINISH_S)
        stopped = self.audit.record(Action.SERVICE_STOPPED, subject="edge")
        with suppress(AuditUnavailable, TimeoutError):
            stopped.result(timeout=5)
            self._anchors.tell(self._clock.utc_us())
        opened.ledger.service_stopped(self._boot_id, self._clock.utc_us())
        opened.ledger.flushed().exception(timeout=5)
        opened.volumes.close()
        if self._sweeping is not None:
            self._sweeping.close()
        opened.index.close()

    def _report(self, event: WriterEvent) -> None:
        """From a writer's thread."""
        self._loop.call_soon_threadsafe(self._on_event, event)

    def _on_event(self, event: WriterEvent) -> None:
        if isinstance(event, VolumeChanged) and event.state is VolumeState.OK:
            self._healed.add(event.volume)
        if self._sweeping is not None:
            if isinstance(event, Deleted):
                self._sweeping.on_deleted(event)
            elif isinstance(event, VolumeChanged) and event.state is VolumeState.FULL:
                self._sweeping.ask()
        if isinstance(event, VolumeChanged | Deleted) or self._cameras is None:
            return
        camera = self._cameras.in_service.get(event.camera)
        if camera is not None:
            camera.recorder.on_event(event)

    # Recording -------------------------------------------------------------------------------

    async def _record(self, opened: Opened, spawner: Spawner) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            onvif = await stack.enter_async_context(OnvifService())
            pool = CameraPool(clock=self._clock, spawner=spawner)
            self._cameras = cameras = Cameras(
                pool=pool,
                onvif=onvif,
                ledger=opened.ledger,
                sinks=opened.volumes,
                metrics=self._metrics,
                clock=self._clock,
                storage=settings.storage,
                new_run=self._time.new_run,
                epoch_of=self._time.epoch_of,
                taps=(taps := TapServer(self._clock)),
            )
            stack.callback(cameras.close)  # after the pool is left
            await stack.enter_async_context(pool)
            self._view = View(
                settings,
                cameras,
                pool,
                opened.volumes,
                self._clock,
                self._time,
                self.alarms.documents,
                self._diagnosis.defects,
            )
            await asyncio.to_thread(self.alarms.start)  # before anybody asks what stands
            stack.callback(self.alarms.stop)
            endpoint = Endpoint(
                settings.metrics.bind.host,
                settings.metrics.bind.port,
                self._metrics.registry,
                self._view.health,
                self._view.told,
            )
            stack.callback(endpoint.close)
            self._proof = proof = Proof(
                opened,
                settings=lambda: self._settings,
                metrics=self._metrics,
                audit=self.audit,
                alarms=self.alarms,
                clock=self._clock,
            )
            sweep = Sweeping(
                opened=opened,
                checkpoints=proof.checkpoints,
                metrics=self._metrics,
                audit=self.audit,
                clock=self._clock,
                settings=lambda: self._settings,
                due_us=self._time.due_us,
                publish=self._view.publish_retention,
                again=lambda job: self._jobs.add_job(job),
            )
            self._desk = desk = HoldDesk(
                index=opened.index,
                ledger=opened.ledger,
                volumes=opened.volumes,
                audit=self.audit,
                clock=self._clock,
                settings=lambda: self._settings,
            )
            exports = ExportJobs(self._config_path, lambda: self._settings)
            stack.callback(exports.close)
            reports = ReportDesk(self._config_path, lambda: self._settings, self._clock)
            stack.callback(reports.close)
            commands: dict[str, control.Command] = {
                "ping": _ping,
                "status": self._status,
                "alarms": self._alarms,
                "confirm_time": self._confirm_time,
                "checkpoint": proof.checkpoint,
                "exported": proof.exported,
                **exports.commands(),
                **reports.commands(),
                "hold_add": lambda arguments: self._hold(desk.add, arguments),
                "hold_release": lambda arguments: self._hold(desk.release, arguments),
                "reload": self._ask_reload,
                **SetupDesk(onvif, lambda: self._settings).commands(),
            }
            server = await control.serve(settings.storage.state_dir, commands)
            stack.callback(server.close)
            listener = await taps.listen(settings.storage.state_dir)
            stack.callback(listener.close)
            orders = Orders(
                onvif, lambda: cameras.in_service, settings.storage.state_dir, self._clock
            )
            server = await control.serve(
                settings.storage.state_dir, orders.commands(), name=ORDERS_NAME, is_shared=True
            )
            stack.callback(server.close)
            known = KnownCameras(settings.storage.state_dir)
            mover = Mover(
                onvif=onvif,
                pool=pool,
                cameras=lambda: cameras.in_service,
                settings=lambda: self._settings,
                known=known,
                audit=self.audit,
                clock=self._clock,
            )
            care = Care(
                onvif=onvif,
                known=known,
                mover=mover,
                cameras=lambda: cameras.in_service,
                settings=lambda: self._settings,
                ledger=opened.ledger,
                audit=self.audit,
                alarms=self.alarms,
                clock=self._clock,
                registry=self._metrics.registry,
                is_time_trusted=lambda: self._time.due_us() is not None,
            )
            stack.callback(care.flush)
            cameras.moved_to = mover.moved_to
            self._view.care = care.document
            cameras.start(settings.camera, opened.accounts, opened.next_numbers)
            self._metrics.reload_time.set(self._clock.utc_us() / US_PER_S)
            gc.freeze()  # what stands now stays: no collection looks at it again
            log.info("edge_started", extra={"cameras": len(settings.camera)})
            proof.start()
            stack.callback(proof.stop)
            self._sweeping = sweep
            self._jobs = self._schedule(opened)
            self._jobs.add_job(orders.go_home, "interval", seconds=HOME_S)
            for job, seconds in care.jobs():
                self._jobs.add_job(job, "interval", seconds=seconds)
            stack.callback(self._jobs.shutdown, wait=False)
            self._progress = Progress(PROGRESS_US, self._clock.monotonic_us())
            self._manager.ready()
            while not self._stopping.is_set():
                await self._turn(opened, cameras)

    async def _turn(self, opened: Opened, cameras: Cameras) -> None:
        """One second of housekeeping."""
        self._time.look()
        for camera in cameras.in_service.values():
            camera.recorder.tick()
        assert self._view is not None
        assert self._proof is not None
        self._view.survey.index_trouble = opened.ledger.index_trouble
        for source, faults in (self._view.faults() | self._proof.faults()).items():
            self.alarms.tell(source, faults)
        opened.ledger.alive(self._clock.utc_us(), self._time.state())
        self._tell_progress(opened)
        if self._reloading.is_set():
            self._reloading.clear()
            await self._reload(opened, cameras)
        try:
            async with asyncio.timeout(TICK_S):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _tell_progress(self, opened: Opened) -> None:
        """The loop turned, every camera's account was brought up to now."""
        now_us = self._clock.monotonic_us()
        self._progress.beat("accounts", now_us)
        if opened.index.is_alive:
            self._progress.beat("index_thread", now_us)
        self._manager.feed(self._progress, now_us)

    async def _reload(self, opened: Opened, cameras: Cameras) -> None:
        """A bad file leaves the old settings in force."""
        try:
            fresh = await asyncio.to_thread(read_again, self._config_path)
        except ConfigError as error:
            self._metrics.reloads.labels("failed").inc()
            refused = Fault(code=Code.SETTINGS_REFUSED, reason_en=error.problems[0].sentence())
            self.alarms.tell("settings", [refused])
            return
        self.alarms.tell("settings", ())
        taken = {"storage"} if await self._take_volumes(opened, fresh) else set()
        fresh = with_kept(fresh, self._settings, _FIXED - taken)
        record_changes(self.audit, self._config_path, self._settings, fresh)
        await cameras.apply(fresh.camera)
        self._settings = fresh
        assert self._view is not None
        self._view.settings = fresh
        self._metrics.reloads.labels("ok").inc()
        self._metrics.reload_time.set(self._clock.utc_us() / US_PER_S)
        log.info("settings_in_force", extra={"cameras": len(fresh.camera)})

    async def _take_volumes(self, opened: Opened, fresh: Settings) -> bool:
        """New volumes come into use at once, and others may retire; one that goes away altogether
        needs a restart, as all else of storage does."""
        old, new = self._settings.storage, fresh.storage
        lists = {"volumes": new.volumes, "retiring": new.retiring}
        if new != old.model_copy(update=lists) or not set(old.volumes) <= set(new.volumes):
            return False
        if new != old:
            for slot in await asyncio.to_thread(opened.take_up, new.volumes, new.retiring):
                self._watch(self._jobs, opened, slot)
        return True

    # Slow looks ------------------------------------------------------------------------------

    def _watch(self, jobs: AsyncIOScheduler, opened: Opened, slot: Slot) -> None:
        """Jobs of its own for each volume: none waits for another's disk."""
        jobs.add_job(self._look_at_volume, "interval", seconds=5, args=[opened, slot])
        jobs.add_job(self._look_at_health, "interval", seconds=SMART_S, args=[slot])
        jobs.add_job(self._look_at_health, args=[slot])

    def _schedule(self, opened: Opened) -> AsyncIOScheduler:
        """Jobs that decide from data, never from the hour; none runs twice at once."""
        jobs = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        assert self._view is not None
        jobs.add_job(self._view.measure_rates, "interval", seconds=5)
        for slot in opened.volumes.slots:
            self._watch(jobs, opened, slot)
        self.alarms.tell("settings", ())  # they were read at the start
        jobs.add_job(self._look_around, "interval", seconds=NEIGHBOURS_S)
        jobs.add_job(self._forget, "interval", hours=1)
        jobs.add_job(self._look_at_clocks, "interval", seconds=CLOCKS_S)
        jobs.add_job(self._look_at_clocks)
        jobs.add_job(self._survey, "interval", seconds=SURVEY_S, args=[self._view])
        jobs.add_job(self._when_settled, args=[self._survey, self._view])
        jobs.add_job(self._reconcile, "interval", hours=24, args=[opened, self._view])
        jobs.add_job(self._when_settled, args=[self._reconcile, opened, self._view])
        assert self._sweeping is not None
        jobs.add_job(self._sweeping.look_ahead, "interval", seconds=sweeping.SURVEY_S)
        jobs.add_job(self._when_settled, args=[self._sweeping.look_ahead])
        jobs.add_job(self._sweeping.sweep, "interval", seconds=sweeping.TURN_S)
        assert self._proof is not None
        jobs.add_job(self._proof.checkpoint_all, "interval", seconds=CHECKPOINT_S)
        jobs.add_job(self._when_settled, args=[self._proof.checkpoint_all])
        jobs.add_job(self._end_terms, "interval", hours=1)
        jobs.add_job(self._measure_holds, "interval", hours=1)
        jobs.add_job(self._measure_holds)
        jobs.add_job(self._check_nightly, "interval", seconds=LOOK_S)
        jobs.add_job(self._check_nightly)
        jobs.add_job(self._anchor, "interval", seconds=ANCHOR_S)
        jobs.add_job(self._anchor)
        jobs.add_job(self._verify_audit, "interval", hours=24)
        jobs.add_job(self._when_settled, args=[self._verify_audit])
        jobs.start()
        return jobs

    async def _when_settled(self, job: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """What takes a processor for a while waits until the cameras are recorded."""
        await asyncio.sleep(SETTLED_S)
        await job(*arguments)

    async def _forget(self) -> None:
        """Series of what is not there any more."""
        self._metrics.keep(
            [camera.id for camera in self._settings.camera],
            [str(path) for path in self._settings.storage.volumes],
        )

    async def _look_around(self) -> None:
        """What the box's other services find wrong, and what is left of the state folder's disk."""
        settings = self._settings
        self.alarms.tell("state folder", await asyncio.to_thread(free_of, settings))
        self.alarms.tell("diagnose", await asyncio.to_thread(self._diagnosis.look))
        for source, faults in (await asyncio.to_thread(faults_of_neighbours, settings)).items():
            self.alarms.tell(source, faults)

    async def _check_nightly(self) -> None:
        assert self._view is not None
        await self._nightly.check_if_due()
        state_dir = self._settings.storage.state_dir
        self._view.survey.self_check = await asyncio.to_thread(newest_check, state_dir)
        self._view.survey.has_seen_nights = True

    async def _look_at_clocks(self) -> None:
        """Ask who knows the time; once it is trusted, re-time what was recorded before."""
        assert self._cameras is not None
        await asyncio.to_thread(self._time.gather, self._cameras.clocks())
        self._time.look()
        try:
            await asyncio.to_thread(self._time.retime)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("retime").inc()
            log.warning("not_retimed", extra={"error": error.sentence()})

    def _on_untrusted(self) -> None:
        if self._cameras is not None:
            self._cameras.time_untrusted()

    async def _end_terms(self) -> None:
        """What ends by its age does so on trusted time: holds by their term, old audit logs."""
        due_us = self._time.due_us()
        if due_us is None:
            return
        storage, keep_days = self._settings.storage, self._settings.retention.audit_days
        try:
            if await asyncio.to_thread(self._desk.expire, due_us):
                self._jobs.add_job(self._measure_holds)
            await asyncio.to_thread(prune_logs, self.audit, storage.state_dir, keep_days, due_us)
        except (XueliangError, TimeoutError) as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("terms").inc()
            log.error("terms_not_ended", extra={"error": str(error)})

    async def _measure_holds(self) -> None:
        assert self._view is not None
        try:
            path = index_path(self._settings)
            due_us = self._time.due_us()
            self._view.survey.held = await asyncio.to_thread(figures, path, due_us)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("holds").inc()
            log.warning("holds_not_measured", extra={"error": error.sentence()})

    async def _anchor(self) -> None:
        try:
            await asyncio.to_thread(self._anchors.tell, self._clock.utc_us())
        except AuditUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("audit_anchor").inc()
            log.error("audit_not_anchored", extra={"error": error.sentence()})

    async def _verify_audit(self) -> None:
        assert self._view is not None
        state_dir, index = self._settings.storage.state_dir, index_path(self._settings)
        try:
            verdicts = await asyncio.to_thread(verify_all, state_dir, index, None, give_way)
        except AuditUnavailable as error:
            log.error("audit_not_verified", extra={"error": error.sentence()})
            self._view.survey.is_audit_sound = False
            return
        self._view.survey.is_audit_sound = is_sound(verdicts)

    async def _look_at_volume(self, opened: Opened, slot: Slot) -> None:
        """Take in what was away, and what lost its process; finish what it had in hand."""
        if slot.writer is not None and slot.writer.is_over:
            opened.ledger.remove_sink(slot.writer.journal)
            slot.writer, slot.is_attached = None, False
        if slot.writer is None:
            await asyncio.to_thread(self._take_in, opened, slot)
        elif slot.uuid in self._healed:
            self._healed.discard(slot.uuid)
            if not await asyncio.to_thread(self._finish_given_up, opened, slot):
                self._healed.add(slot.uuid)

    def _finish_given_up(self, opened: Opened, slot: Slot) -> bool:
        try:
            return opened.finish_given_up(slot)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("volume").inc()
            log.warning("given_up_waits_for_index", extra={"error": error.sentence()})
            return False

    def _take_in(self, opened: Opened, slot: Slot) -> None:
        try:
            if opened.attach_late(slot):
                self._start_writer(opened, slot)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("volume").inc()
            log.warning("volume_waits_for_index", extra={"error": error.sentence()})

    async def _look_at_health(self, slot: Slot) -> None:
        if slot.device is not None:
            assert self._view is not None
            self._view.survey.smart[slot.name] = await self._smart.report(slot.device)

    async def _reconcile(self, opened: Opened, view: View) -> None:
        """Compare files and rows of every volume, at leisure."""
        for slot in opened.volumes.slots:
            found = await asyncio.to_thread(opened.reconcile, slot, self._pause)
            if found is not None and found.is_whole:
                view.survey.orphan_bytes[slot.name] = found.orphan_bytes
                view.survey.missing_segments[slot.name] = found.missing_segments

    def _pause(self) -> bool:
        """Between two folders: leave the disk to the recorder, and stop with it."""
        time.sleep(RECONCILE_PAUSE_S)
        return not self._stopping.is_set()

    async def _survey(self, view: View) -> None:
        try:
            await asyncio.to_thread(self._survey_store, view)
        except IndexUnavailable as error:  # counted, and tried again
            self._metrics.swallowed_errors.labels("survey").inc()
            log.warning("survey_failed", extra={"error": error.sentence()})

    def _survey_store(self, view: View) -> None:
        """Coverage, age and KPIs of every camera."""
        now_us, settings, kpis = self._clock.utc_us(), self._settings, {}
        about = known(settings, METRICS_DAYS, view.told())
        with open_store(settings) as store:
            for camera in settings.camera:
                oldest_us = store.oldest(camera.id)
                if oldest_us is not None:
                    view.survey.oldest_us[camera.id] = oldest_us
                found = completeness_of(store, camera.id, now_us, settings)
                if camera.enabled:
                    kpis[camera.id] = camera_kpis(
                        settings, camera, found, oldest_us, about, METRICS_DAYS
                    )
                view.survey.coverage[camera.id] = {
                    label: figures.ratio
                    for label, figures in found.windows.items()
                    if figures.ratio is not None
                }
        view.survey.kpis = kpis

    # What others ask -------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        assert self._view is not None
        return self._view.snapshot()

    async def _status(self, _arguments: dict[str, Any]) -> Any:
        assert self._view is not None
        return self._view.status()

    async def _ask_reload(self, _arguments: dict[str, Any]) -> Any:
        """As SIGHUP: the settings are read anew within a second."""
        self._reloading.set()
        return {}

    async def _alarms(self, _arguments: dict[str, Any]) -> Any:
        return {"standing": self.alarms.documents(), "ended": self.alarms.ended()}

    async def _confirm_time(self, arguments: dict[str, Any]) -> Any:
        """An administrator confirms the clock's time (``utc_us``, as it was shown), by name."""
        who, shown_us = printable(str(arguments.get("by"))), arguments.get("utc_us")
        if type(shown_us) is not int:
            raise ConfirmationRefused("no time was given to confirm")
        begun = self._put_confirmation(who, shown_us, Outcome.BEGUN)
        await asyncio.wrap_future(begun)  # footage may go by its age from then on
        try:
            judgement = self._time.confirm(who, shown_us)
        except ConfirmationRefused:
            self._put_confirmation(who, shown_us, Outcome.REFUSED)
            raise
        self._put_confirmation(who, shown_us, Outcome.DONE)
        await self._look_at_clocks()
        return {"trusted": judgement.is_trusted, "code": judgement.code.value}

    def _put_confirmation(self, who: str, shown_us: int, outcome: Outcome) -> Future[Head]:
        return self.audit.record(
            Action.TIME_CONFIRMED,
            actor=who,
            subject="host clock",
            outcome=outcome,
            shown_us=shown_us,
        )

    async def _hold(
        self, command: Callable[[dict[str, Any]], Any], arguments: dict[str, Any]
    ) -> Any:
        answer = await asyncio.to_thread(command, arguments)
        self._jobs.add_job(self._measure_holds)
        return answer


class _Observer:
    """Feeds one volume's latencies and errors to the metrics."""

    def __init__(self, metrics: EdgeMetrics, name: str) -> None:
        self._errors = metrics.io_errors
        self._name = name
        self._write_seconds = metrics.write_seconds.labels(name)
        self._fsync_seconds = metrics.fsync_seconds.labels(name)

    def wrote(self, volume: str, seconds: float) -> None:
        self._write_seconds.observe(seconds)

    def synced(self, volume: str, seconds: float) -> None:
        self._fsync_seconds.observe(seconds)

    def io_error(self, volume: str, operation: str, errno_name: str) -> None:
        self._errors.labels(self._name, operation, errno_name).inc()


async def _ping(_arguments: dict[str, Any]) -> Any:
    return {"python": sys.version.split()[0], "pid": os.getpid()}

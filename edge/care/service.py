"""Care of cameras in the running ``edge``: looks, events, clocks, and those that moved. Shell.

On the event loop; everything that waits for a camera is waited for in the ONVIF process, a few
cameras at a time, so that one that is slow, wrong or silent delays no other for long, and recording
never. What is found goes to the register of alarms; what is written to a camera, to the audit log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from config.instants import format_instant, zone_named
from config.schema import Settings
from edge.alarms.board import AlarmBoard
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.backoff import REFUSED_US
from edge.camera.errors import CameraError
from edge.camera.event_kinds import Tamper
from edge.camera.inspection import EncoderSettings, Inspection
from edge.camera.onvif_service import OnvifService, WatchedEvent, WatchState
from edge.cameras import CameraInService
from edge.care.encoder import shortfalls
from edge.care.finding import Finding, joined
from edge.care.known import changes, learnt
from edge.care.markers import MarkerBook
from edge.care.metrics import CareMetrics, CareSnapshot
from edge.care.minimum import minimum_of
from edge.care.moving import SEEK_S, Mover, with_onvif
from edge.care.overlays import overlay_findings
from edge.care.passwords import weakness
from edge.care.store import KnownCameras
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.clock import Clock
from retention.index.errors import IndexUnavailable
from retention.ledger import Ledger
from retention.model import US_PER_S, GapCause, Marker, MarkerKind

log = logging.getLogger(__name__)

#: How often is looked for what is due, watches are brought level, and alarms are told.
TURN_S = 5
#: Cameras looked at at one time.
LOOKS_AT_ONCE = 4
#: Between the first looks after a start.
FIRST_LOOKS_US = US_PER_S // 5
#: The first round of looks is over by then.
FIRST_ROUND_US = 300 * US_PER_S
#: After a look that failed.
RETRY_US = 300 * US_PER_S
#: Failed looks in a row that are an alarm, of a camera that streams.
FAILURES_MAX = 3
MARK_S = 60
DROP_S = 24 * 3600
#: A clock that is so far off is set, where that is allowed; by NTP at most once a day.
SET_FROM_US = US_PER_S
NTP_AGAIN_US = 24 * 3600 * US_PER_S
_TAMPERS_ZH = {
    Tamper.COVERED: "遮挡",
    Tamper.BLURRED: "虚焦",
    Tamper.DARK: "过暗",
    Tamper.BRIGHT: "过亮",
    Tamper.MOVED: "移位",
    Tamper.LOST: "无信号",
}


@dataclass(slots=True)
class _Cared:
    """What care knows of one camera in this life."""

    due_us: int  # monotonic
    looked: Inspection | None = None
    looked_us: int | None = None  # UTC, of the last look that succeeded
    failures: int = 0
    trouble: str = ""
    watch: str = ""  # on, off, unsupported
    watched_as: tuple[str, str, int] | None = None  # address, user, which password
    tampers: set[Tamper] = field(default_factory=set)
    ntp_set_us: int | None = None  # monotonic


def _is_refused(camera: CameraInService) -> bool:
    """Whether it refuses the password to who reads the stream: nobody else knocks then, for cameras
    lock an account that is knocked at."""
    return camera.recorder.gap_cause is GapCause.CAMERA_AUTH


class Care:
    """One for ``edge``.

    Args:
        cameras: those in service, by id.
        settings: those in force now.
        is_time_trusted: whether the host's clock may be given to cameras.
    """

    def __init__(
        self,
        *,
        onvif: OnvifService,
        known: KnownCameras,
        mover: Mover,
        cameras: Callable[[], Mapping[str, CameraInService]],
        settings: Callable[[], Settings],
        ledger: Ledger,
        audit: AuditLog,
        alarms: AlarmBoard,
        clock: Clock,
        registry: CollectorRegistry,
        is_time_trusted: Callable[[], bool],
    ) -> None:
        self._onvif = onvif
        self._cameras = cameras
        self._settings = settings
        self._ledger = ledger
        self._audit = audit
        self._alarms = alarms
        self._clock = clock
        self._is_time_trusted = is_time_trusted
        self._cared: dict[str, _Cared] = {}
        self._started_us = clock.monotonic_us()
        self._is_first_round_over = False
        self._is_trusted = False
        self._known = known
        self._mover = mover
        self._book = MarkerBook()
        self._metrics = CareMetrics(registry, self._snapshots, lambda: known.failures)
        onvif.watcher = self

    # Jobs ------------------------------------------------------------------------------------

    def jobs(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """What is to be done, and how often, in seconds."""
        return [
            (self.turn, TURN_S),
            (self.mark, MARK_S),
            (self._mover.seek, SEEK_S),
            (self.drop, DROP_S),
        ]

    async def turn(self) -> None:
        """Each ``TURN_S``: bring watches level, look at who is due, tell what is wrong."""
        self._attend()
        await self._watch_all()
        now_us = self._clock.monotonic_us()
        was_trusted, self._is_trusted = self._is_trusted, self._is_time_trusted()
        if self._is_trusted and not was_trusted:  # clocks that waited for ours
            for camera in self._served():
                if camera.settings.set_clock != "no":
                    self._cared[camera.id].due_us = now_us
        due = sorted(
            (
                one
                for one in self._served()
                if self._cared[one.id].due_us <= now_us and not _is_refused(one)
            ),
            key=lambda one: self._cared[one.id].due_us,
        )
        await asyncio.gather(*map(self._look_at, due[:LOOKS_AT_ONCE]))
        self._tell()

    async def mark(self) -> None:
        """Each ``MARK_S``: tell the ledger of markers that wait."""
        self.flush()

    def flush(self) -> None:
        """The same, at once: at the end, too."""
        now_us = self._clock.utc_us()
        for epoch, markers in self._book.take().items():
            self._ledger.markers_seen(markers, now_us, epoch=epoch)

    async def drop(self) -> None:
        """Each ``DROP_S``: markers of which no footage is left, on trusted time."""
        if not self._is_time_trusted():
            return
        try:
            await asyncio.wrap_future(self._ledger.drop_markers(self._clock.utc_us()))
        except IndexUnavailable as error:  # the next day will do
            log.warning("markers_not_dropped", extra={"error": error.sentence()})

    def _attend(self) -> None:
        """Cameras come into service and leave it."""
        served = {one.id for one in self._served()}
        now_us = self._clock.monotonic_us()
        for camera in self._cared.keys() - served:
            del self._cared[camera]
            self._onvif.unwatch(camera)
        for place, camera in enumerate(sorted(served - self._cared.keys())):
            self._cared[camera] = _Cared(due_us=now_us + place * FIRST_LOOKS_US)

    def _served(self) -> list[CameraInService]:
        return with_onvif(self._cameras())

    # Looks -----------------------------------------------------------------------------------

    async def _look_at(self, camera: CameraInService) -> None:
        cared = self._cared[camera.id]
        trouble, again_us = "", RETRY_US
        try:
            looked = await self._inspect(camera)
            if not looked.profiles and looked.troubles:  # it answers, and tells nothing
                trouble = looked.troubles[-1]
        except CameraError as error:
            trouble = error.detail
            again_us = REFUSED_US if error.cause is GapCause.CAMERA_AUTH else RETRY_US
        if trouble:
            cared.failures += 1
            cared.trouble = trouble
            cared.due_us = self._clock.monotonic_us() + again_us
            log.info("camera_not_looked_at", extra={"camera": camera.id, "detail": trouble})
            return
        cared.failures, cared.trouble = 0, ""
        cared.looked, cared.looked_us = looked, self._clock.utc_us()
        look_us = self._settings().care.look_minutes * 60 * US_PER_S
        cared.due_us = self._clock.monotonic_us() + look_us
        if looked.clock is not None:
            camera.recorder.camera_time(looked.clock.middle_us)
        await self._notice(camera.id, looked)
        await self._set_clock(camera, cared, looked)

    async def _inspect(self, camera: CameraInService) -> Inspection:
        settings = camera.settings
        return await self._onvif.inspect(
            str(camera.onvif), settings.username, camera.password.reveal(), settings.profile
        )

    async def _notice(self, camera: str, looked: Inspection) -> None:
        """Another device, firmware or profiles than at the last look."""
        before = self._known.of(camera)
        after = learnt(before, looked)
        if after == before:
            return
        found = joined(changes(before, after))
        if found is not None:
            log.warning("camera_changed", extra={"camera": camera, "what": found.en})
            self._audit.record(Action.CAMERA_CHANGED, subject=camera, what=f"{found.zh} {found.en}")
            self._alarms.happened(
                Fault(
                    code=Code.CAMERA_CHANGED,
                    subject=camera,
                    reason_zh=found.zh,
                    reason_en=found.en,
                )
            )
        await self._known.put(camera, after)

    async def _set_clock(self, camera: CameraInService, cared: _Cared, looked: Inspection) -> None:
        """Where the settings allow it, and our own clock is trusted."""
        mode = camera.settings.set_clock
        if mode == "no" or looked.clock is None or not self._is_trusted:
            return
        off_us = looked.clock.middle_us
        now_us = self._clock.monotonic_us()
        is_off = abs(off_us) >= SET_FROM_US
        if mode == "ntp":
            is_fresh = cared.ntp_set_us is not None and now_us - cared.ntp_set_us < NTP_AGAIN_US
            if is_fresh or (looked.is_ntp and not is_off):
                return
            cared.ntp_set_us = now_us
        elif not is_off:
            return
        arguments = {"mode": mode, "server": self._settings().care.ntp_server}
        detail: dict[str, Any] = {"what": "clock", "mode": mode, "off_ms": off_us // 1000}
        settings = camera.settings
        try:
            await self._onvif.care(
                str(camera.onvif),
                settings.username,
                camera.password.reveal(),
                settings.profile,
                "set_clock",
                arguments,
            )
            again = await self._inspect(camera)
        except CameraError as error:
            self._metrics.set.labels(camera.id, "clock", "failed").inc()
            self._audit.record(
                Action.CAMERA_SET,
                subject=camera.id,
                outcome=Outcome.FAILED,
                error=error.detail,
                **detail,
            )
            return
        self._metrics.set.labels(camera.id, "clock", "ok").inc()
        self._audit.record(Action.CAMERA_SET, subject=camera.id, outcome=Outcome.DONE, **detail)
        cared.looked = again
        if again.clock is not None:
            camera.recorder.camera_time(again.clock.middle_us)

    # Events ----------------------------------------------------------------------------------

    async def _watch_all(self) -> None:
        is_wanted = self._settings().care.events
        for camera in self._served():
            cared = self._cared[camera.id]
            address, username = str(camera.onvif), camera.settings.username
            is_due = is_wanted and not _is_refused(camera)
            wanted = (address, username, hash(camera.password)) if is_due else None
            if wanted == cared.watched_as:
                continue
            if cared.watched_as is not None:  # another address or password: who is it now?
                cared.due_us = self._clock.monotonic_us()
            cared.watched_as, cared.watch = wanted, "off" if is_wanted else ""
            if wanted is None:
                self._onvif.unwatch(camera.id)
                cared.tampers.clear()
                continue
            try:
                await self._onvif.watch(camera.id, address, username, camera.password.reveal())
            except CameraError as error:  # the process could not be started: the next turn tries
                log.warning("camera_not_watched", extra={"error": error.detail})
                cared.watched_as = None

    def watch_state(self, state: WatchState) -> None:
        """How a camera's subscription stands (:class:`~edge.camera.onvif_service.Watcher`)."""
        cared = self._cared.get(state.camera)
        if cared is None:
            return
        if state.state != cared.watch:
            fields = {"camera": state.camera, "state": state.state, "detail": state.detail}
            log.info("camera_events", extra=fields)
        cared.watch = state.state

    def camera_event(self, event: WatchedEvent) -> None:
        """A camera tells an event (:class:`~edge.camera.onvif_service.Watcher`)."""
        camera, cared = self._cameras().get(event.camera), self._cared.get(event.camera)
        if camera is None or cared is None:
            return
        if event.dropped:
            self._metrics.left_out.labels(event.camera).inc(event.dropped)
        if event.kind is MarkerKind.TAMPER and event.tamper is not None:
            self._tampered(event, event.tamper, cared)
        if event.is_active is False or event.is_initial:
            return
        self._metrics.events.labels(event.camera, event.kind.value).inc()
        marker = Marker(at_us=event.at_us, camera=event.camera, kind=event.kind)
        now_us = self._clock.monotonic_us()
        is_recorded = camera.recorder.gap_cause is None
        if not is_recorded or not self._book.add(marker, self._ledger.epoch, now_us):
            self._metrics.left_out.labels(event.camera).inc()

    def _tampered(self, event: WatchedEvent, tamper: Tamper, cared: _Cared) -> None:
        if event.is_active is None:
            self._alarms.happened(_tamper_fault(event.camera, {tamper}))
        elif event.is_active != (tamper in cared.tampers):  # cameras repeat themselves
            cared.tampers ^= {tamper}
            self._tell()

    # What is wrong ---------------------------------------------------------------------------

    def _tell(self) -> None:
        """Nothing before each camera was looked at once: what stood before a restart would end and
        begin again."""
        if not self._is_first_round_over:
            first_us = self._started_us + FIRST_ROUND_US
            is_late = self._clock.monotonic_us() >= first_us
            tried = (one.looked is not None or one.failures for one in self._cared.values())
            self._is_first_round_over = is_late or all(tried)
        if self._is_first_round_over:
            self._alarms.tell("care", list(self._faults()))

    def _faults(self) -> Iterator[Fault]:
        for camera in self._cameras().values():
            if camera.settings.enabled:
                yield from self._faults_of(camera)

    def _faults_of(self, camera: CameraInService) -> Iterator[Fault]:
        def fault(code: Code, finding: Finding | None) -> Iterator[Fault]:
            if finding is not None:
                yield Fault(
                    code=code, subject=camera.id, reason_zh=finding.zh, reason_en=finding.en
                )

        weak = weakness(camera.settings.username, camera.password.reveal())
        yield from fault(Code.CAMERA_PASSWORD_WEAK, weak)
        cared = self._cared.get(camera.id)
        if cared is None:
            return
        yield from fault(Code.CAMERA_SETTINGS_LOW, joined(self._below_minimum(camera, cared)))
        if cared.looked is not None and cared.looked.overlays is not None:
            texts = overlay_findings(cared.looked.overlays, camera.settings.name)
            yield from fault(Code.CAMERA_NAME_DIFFERS, joined(texts))
        if cared.failures >= FAILURES_MAX and camera.recorder.is_up(self._clock.monotonic_us()):
            silent = Finding(zh="有视频，但管理接口不可用", en=f"it streams, but {cared.trouble}")
            yield from fault(Code.CAMERA_CARE_FAILED, silent)
        if self._mover.is_ambiguous(camera.id):
            twice = Finding(
                zh="多台设备报告同一序列号，未采用任何一台",
                en="several devices tell its serial number: none is taken for it",
            )
            yield from fault(Code.CAMERA_MOVED_ADDRESS, twice)
        elif camera.moved_to is not None:
            found = Finding(
                zh="已按序列号在新地址找到，录像继续",
                en="found by its serial number at a new address, and recorded from there",
            )
            yield from fault(Code.CAMERA_MOVED_ADDRESS, found)
        if cared.tampers:
            yield _tamper_fault(camera.id, cared.tampers)

    def _below_minimum(self, camera: CameraInService, cared: _Cared) -> Iterator[Finding]:
        told = None if cared.looked is None else cared.looked.encoder
        if told is None and camera.recorder.format is not None:
            video = camera.recorder.format.video  # ONVIF Media 1 tells no encoder of H.265
            told = EncoderSettings(
                codec=video.codec.value.upper(),
                width=video.width,
                height=video.height,
                fps=0,
                bits_per_second=0,
                gop_frames=0,
            )
        if told is not None:
            yield from shortfalls(told, minimum_of(self._settings()))

    # What is shown ---------------------------------------------------------------------------

    def document(self, camera: str) -> dict[str, Any] | None:
        """For ``xueliang status``: the last look and what stands; None for a camera without it."""
        cared, one = self._cared.get(camera), self._cameras().get(camera)
        if cared is None or one is None:
            return None
        zone = zone_named(self._settings().site.timezone)
        looked = cared.looked_us
        return {
            "looked": None if looked is None else format_instant(looked, zone),
            "ok": cared.failures == 0 and cared.looked is not None,
            "trouble": cared.trouble,
            "texts_read": cared.looked is not None and cared.looked.overlays is not None,
            "events": cared.watch or "not wanted",
            "tamper": sorted(cared.tampers),
            "moved": one.moved_to is not None,
            "findings": [
                {"code": fault.code.value, "zh": fault.reason_zh, "en": fault.reason_en}
                for fault in self._faults_of(one)
            ],
        }

    def _snapshots(self) -> Iterator[CareSnapshot]:
        for camera, cared in list(self._cared.items()):
            is_known = cared.looked is not None or cared.failures > 0
            looked_us = cared.looked_us
            yield CareSnapshot(
                camera=camera,
                is_ok=cared.failures == 0 if is_known else None,
                last_success_s=None if looked_us is None else looked_us / US_PER_S,
                is_watched=cared.watch == "on" if cared.watched_as is not None else None,
                tampers=frozenset(cared.tampers),
            )


def _tamper_fault(camera: str, tampers: set[Tamper]) -> Fault:
    kinds = sorted(tampers)
    return Fault(
        code=Code.CAMERA_TAMPER,
        subject=camera,
        reason_zh="、".join(_TAMPERS_ZH[one] for one in kinds),
        reason_en=", ".join(kinds),
    )

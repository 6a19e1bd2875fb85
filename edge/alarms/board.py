"""The one register of alarms: who finds a fault tells it here, and nobody builds another way out.

How to use it (``board`` is edge's one :class:`AlarmBoard`):

1. Every kind of alarm is a line of the table in :mod:`edge.alarms.codes`: name, what to do about it
   (Chinese and English), severity, what it is about, how long it must last, how GB/T 28181 names
   it. A new kind is a new :class:`~edge.alarms.codes.Code` with its
   :class:`~edge.alarms.codes.Terms`.
2. A *source* (``"cameras"``, ``"care"``, ``"diagnose"``, …) says again and again **all** that it
   finds wrong at present, also when that is nothing::

       board.tell("care", [Fault(code=Code.CAMERA_CLOCK_OFF, subject="gate-exit",
                                 reason_zh="慢 42 秒", reason_en="42 s behind")])

   What it does not name any more has ended, so a source tells nothing before it has looked once.
   No source raises or clears: it only looks and tells.
   Two sources may tell of the same thing; it is one alarm, that ends when neither tells of it.
3. What *happened* and is over (a damaged segment was found, a camera's firmware changed) has no
   state to look at: ``board.happened(Fault(…))`` stands for as long as its terms say, then ends by
   itself.

Both are for any thread, never wait for a disk or the network, and never raise. Another service of
the box (uplink, console, diagnose) is no part of edge: it offers a list ``faults`` in its
``/status`` (or in a file of its own), each ``{"code", "subject", "reason_zh", "reason_en"}``, that
:func:`edge.alarms.told.faults_of` reads.

What comes of it, once for each alarm and once for its end: a line of the audit log (``alarm``), the
figures ``nvr_alarm_active`` and ``nvr_alarms_total``, a line of the system's log, a POST to the
webhook (``[alarms] webhook_url``), and the list ``alarms`` in edge's ``/status`` (always there),
from which uplink makes Alarm notifications and the Catalog's DEFECT, and which ``xueliang alarms``
and the console show. Each alarm has a ``number`` that never comes back. Reasons hold no secret, no
address of a camera.

An alarm outlives edge: what goes on is not told twice after a restart, what ended meanwhile ends
when its sources have looked for the first time. Shell.

A thread of its own looks once a second, keeps the account on disk, and tells audit log, webhook and
the system's log. The account is on disk before anybody is told, so that a killed edge goes on where
it was; between telling and the next write a kill may have a transition told twice, with its number.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from config.schema import Settings
from config.secrets import read_secret
from edge.alarms.codes import TERMS, About, Severity
from edge.alarms.metrics import AlarmMetrics
from edge.alarms.register import Alarm, Fault, Register, document
from edge.messenger import Messenger, Receiver
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_chain import Action, Head, Outcome
from retention.clock import Clock
from retention.waiting import Waiting
from retention.whole_file import replace_file

log = logging.getLogger(__name__)

STATE_NAME = "alarms.json"
FOLDER = "alarms"
LOOK_S = 1.0
#: How long alarms that were told wait for their record before they count as told.
AUDIT_WAIT_S = 5.0
#: Begun and ended alarms that wait for the webhook.
WEBHOOK_WAITING_MAX = 1_000
FORMAT = "xueliang-alarm/1"
_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class AlarmBoard:
    """One for edge; see :mod:`edge.alarms` for how to use it.

    Args:
        settings: those in force now.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        settings: Callable[[], Settings],
        audit: AuditLog,
        registry: CollectorRegistry,
        clock: Clock,
        look_s: float = LOOK_S,
    ) -> None:
        self._path = state_dir / STATE_NAME
        self._settings = settings
        self._audit = audit
        self._clock = clock
        self._look_s = look_s
        self._register = Register()
        self._lock = threading.Lock()
        self._is_unsaved = False
        self._metrics = AlarmMetrics(registry, lambda: (self.standing, self._known()))
        self._webhook = Messenger(
            "webhook",
            Waiting(state_dir / FOLDER, WEBHOOK_WAITING_MAX),
            lambda: receiver_of(self._settings()),
            lambda result: self._metrics.posts.labels(result).inc(),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Go on from what the last edge left. Blocks for a small file."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            self._failed("read", error)
            data = b""
        if data and not self._register.loads(data):
            self._metrics.failures.labels("damaged").inc()
            log.error("alarms_damaged", extra={"path": str(self._path)})
        self._webhook.start()
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """What was not told yet is told by the next edge."""
        self._stopping.set()
        self._thread.join(timeout_s)
        self._webhook.stop()

    # What sources say ------------------------------------------------------------------------

    def tell(self, source: str, faults: Iterable[Fault]) -> None:
        """All that a source finds wrong at present. From any thread; never blocks, never raises."""
        present = list(faults)
        with self._lock:
            self._register.tell(source, present)

    def happened(self, fault: Fault) -> None:
        """Something went wrong and is over. From any thread; never blocks, never raises."""
        now_us = self._clock.utc_us()
        with self._lock:
            self._register.happened(fault, now_us)

    # What stands -----------------------------------------------------------------------------

    @property
    def standing(self) -> list[Alarm]:
        with self._lock:
            return self._register.standing

    def documents(self) -> list[dict[str, Any]]:
        """What stands, as ``/status`` tells it."""
        return [document(one) for one in self.standing]

    def ended(self) -> list[dict[str, Any]]:
        """The last that ended, the oldest first."""
        with self._lock:
            ended = list(self._register.ended)
        return [document(one) for one in ended]

    # The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            try:
                self.look()
            except Exception:  # a supervision point: alarms go on
                self._metrics.failures.labels("look").inc()
                log.exception("alarms_not_looked_at")

    def look(self) -> None:
        """One turn: begin, end, keep, tell. Blocks."""
        with self._lock:
            before = self._register.dropped
            self._register.look(self._clock.utc_us(), self._clock.monotonic_us())
            self._metrics.dropped.inc(self._register.dropped - before)
            untold = list(self._register.untold)
        self._save()
        recorded = [self._tell_all(alarm) for alarm in untold]
        futures.wait(recorded, AUDIT_WAIT_S)  # a power cut loses no record of what counts as told
        for alarm, record in zip(untold, recorded, strict=True):
            try:
                record.result(0)
            except (AuditUnavailable, TimeoutError) as error:  # alarms go out all the same
                self._metrics.failures.labels("audit").inc()
                log.error("alarm_not_on_record", extra={"error": str(error)})
            with self._lock:
                self._register.told(alarm)
        self._save()

    def _tell_all(self, alarm: Alarm) -> futures.Future[Head]:
        """Every way out; answers once it is on record."""
        terms = TERMS[alarm.code]
        is_over = alarm.until_us is not None
        if not is_over:
            self._metrics.begun.labels(alarm.code.value).inc()
        level = logging.INFO if is_over else _LEVELS[terms.severity]
        fields = {
            "number": alarm.number,
            "code": alarm.code.value,
            "subject": alarm.subject,
            "reason": alarm.reason_en,
        }
        log.log(level, "alarm_ended" if is_over else "alarm_begun", extra=fields)
        recorded = self._audit.record(
            Action.ALARM,
            subject=alarm.subject or self._settings().site.name,
            outcome=Outcome.DONE if is_over else Outcome.BEGUN,
            number=alarm.number,
            code=alarm.code.value,
            severity=terms.severity.value,
            name=terms.name_zh,
            reason=f"{alarm.reason_zh} {alarm.reason_en}".strip(),
            since_us=alarm.since_us,
            until_us=alarm.until_us,
        )
        settings = self._settings()
        if settings.alarms.webhook_url:
            event = "ended" if is_over else "begun"
            told = {"format": FORMAT, "site": settings.site.name, "event": event}
            self._webhook.tell({**told, **document(alarm)})
        return recorded

    def _save(self) -> None:
        with self._lock:
            if not self._register.is_changed and not self._is_unsaved:
                return
            data = self._register.dumps()
            self._register.is_changed = self._is_unsaved = False
        try:
            replace_file(self._path, data)
        except OSError as error:  # counted, and tried again; alarms go out all the same
            self._is_unsaved = True
            self._failed("write", error)

    def _failed(self, what: str, error: OSError) -> None:
        self._metrics.failures.labels(what).inc()
        log.error("alarms_not_kept", extra={"what": what, "error": str(error)})

    def _known(self) -> Mapping[About, frozenset[str]]:
        """Subjects that may be labels: those of the settings."""
        settings = self._settings()
        return {
            About.CAMERA: frozenset(one.id for one in settings.camera),
            About.VOLUME: frozenset(str(path) for path in settings.storage.volumes),
            About.PLATFORM: frozenset(one.name for one in settings.platform),
            About.SERVICE: frozenset(("edge", "uplink", "console", "diagnose")),
        }


def receiver_of(settings: Settings) -> Receiver:
    """The webhook; raises :class:`config.secrets.SecretUnusable`."""
    alarms = settings.alarms
    token_file = alarms.webhook_token_file
    headers = (
        {}
        if token_file is None
        else {"Authorization": f"Bearer {read_secret(token_file).reveal()}"}
    )
    return Receiver(
        url=alarms.webhook_url,
        ca_file=alarms.webhook_ca_file,
        settings="[alarms] webhook_url, webhook_ca_file and webhook_token_file",
        headers=headers,
    )

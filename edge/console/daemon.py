"""The ``console`` service: the local web page of nursery and integrator. Shell; composition root.

TLS on ``[console] bind``, nothing else; footage and index are only ever read, and nothing here can
reach a write path (import contract ``readers``). What changes things is asked of the running
``edge`` over its control socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn

from config import log as logging_setup
from config.errors import XueliangError
from config.load import ConfigError, load
from config.reload import read_again, with_kept
from config.schema import Settings
from edge.console import certificate
from edge.console.accounts import Accounts
from edge.console.app import make_app
from edge.console.metrics import ConsoleMetrics
from edge.console.parts import Parts
from edge.console.records_file import console_folder
from edge.console.tokens import Tokens
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.audit_hourly import end_terms_hourly
from retention.clock import SystemClock
from retention.endpoint import Endpoint, Health
from retention.model import US_PER_S
from retention.progress import Progress
from retention.service_manager import ServiceManager

log = logging.getLogger(__name__)

#: Settings that a running console cannot change.
_FIXED = ("storage", "console", "metrics")
#: Metrics: edge's port, then uplink's, then this.
PORT_AFTER_EDGE = 2
CONNECTIONS_MAX = 200
KEEP_ALIVE_S = 15
STOP_S = 5
#: How long the loop, and the threads that pages are made in, may stand still.
PROGRESS_US = {"pages": 30 * US_PER_S}
LOOK_S = 5.0


class ConsoleUnavailable(XueliangError):
    """The console cannot listen on its address."""

    code = "console_unavailable"


def run_console(config_path: Path) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the settings anew.

    Raises:
        ConfigError, ConsoleUnavailable, CertificateUnusable, EndpointUnavailable: before anything
            is served.
    """
    settings = load(config_path)
    logging_setup.set_up()
    asyncio.run(_Console(config_path, settings).run())


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are this service's own to take."""
        yield


class _Console:
    def __init__(self, config_path: Path, settings: Settings) -> None:
        self._config_path = config_path
        self._settings = settings
        self._clock = SystemClock()
        self._manager = ServiceManager()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        settings, state_dir = self._settings, self._settings.storage.state_dir
        console_folder(state_dir)
        metrics = ConsoleMetrics(lambda: len(self._parts.sessions))
        with contextlib.ExitStack() as stack:
            audit = stack.enter_context(
                AuditLog(
                    state_dir,
                    "console",
                    self._clock,
                    on_record=lambda action: metrics.audit_records.labels(action.value).inc(),
                )
            )
            self._parts = Parts(
                settings=settings,
                config_path=self._config_path,
                clock=self._clock,
                audit=audit,
                accounts=Accounts(state_dir, self._clock),
                tokens=Tokens(state_dir, self._clock),
                metrics=metrics,
                reload=self._reload,
            )
            stack.callback(self._parts.footage.close)
            server = self._server()
            listener = _listen(settings)
            stack.callback(listener.close)
            bind = settings.metrics.bind
            endpoint = Endpoint(
                bind.host, bind.port + PORT_AFTER_EDGE, metrics.registry, self._health, self._told
            )
            stack.callback(endpoint.close)
            metrics.reload_time.set(self._clock.utc_us() / US_PER_S)
            audit.record(Action.SERVICE_STARTED, subject="console")
            await self._serve(server, listener)
            self._parts.submit_deliveries(is_end=True)
            audit.record(Action.SERVICE_STOPPED, subject="console")
        log.info("console_stopped")

    def _server(self) -> _Server:
        found = certificate.ensure(
            self._settings.storage.state_dir, self._settings.console.bind.host, self._clock
        )
        log.info("console_certificate", extra={"sha256": found.fingerprint})
        return _Server(
            uvicorn.Config(
                make_app(self._parts),
                ssl_keyfile=str(found.key),
                ssl_certfile=str(found.certificate),
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
            )
        )

    async def _serve(self, server: _Server, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as jobs:
            serving = jobs.create_task(server.serve([listener]))
            desk = jobs.create_task(self._parts.exports.run())
            deliveries = jobs.create_task(self._parts.tell_deliveries())
            terms = jobs.create_task(
                end_terms_hourly(
                    self._parts.audit,
                    self._settings.storage.state_dir / "index.db",
                    lambda: self._settings.retention.audit_days,
                    self._parts.metrics.swallowed_errors.labels("terms").inc,
                )
            )
            log.info("console_started", extra={"bind": str(self._settings.console.bind)})
            progress = Progress(PROGRESS_US, self._clock.monotonic_us())
            self._manager.ready()
            while not self._stopping.is_set() and not serving.done():
                waits = [
                    asyncio.ensure_future(event.wait())
                    for event in (self._stopping, self._reloading)
                ]
                await asyncio.wait(
                    [serving, *waits], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
                )
                for wait in waits:
                    wait.cancel()
                await self._tell_progress(progress)
                if self._reloading.is_set():
                    self._reloading.clear()
                    await self._reload()
            self._manager.stopping()
            desk.cancel()
            deliveries.cancel()
            terms.cancel()
            server.should_exit = True

    async def _tell_progress(self, progress: Progress) -> None:
        """The loop turned; a thread of those that make pages answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await anyio.to_thread.run_sync(_nothing, abandon_on_cancel=True)
                progress.beat("pages", self._clock.monotonic_us())
        self._manager.feed(progress, self._clock.monotonic_us())

    async def _reload(self) -> None:
        """A bad file leaves the old settings in force."""
        metrics = self._parts.metrics
        try:
            fresh = await asyncio.to_thread(read_again, self._config_path)
        except ConfigError:
            metrics.reloads.labels("failed").inc()
            return
        fresh = with_kept(fresh, self._settings, _FIXED)
        self._settings = self._parts.settings = fresh
        metrics.reloads.labels("ok").inc()
        metrics.reload_time.set(self._clock.utc_us() / US_PER_S)
        log.info("settings_in_force")

    def _told(self) -> dict[str, Any]:
        """``/status``: what edge's register of alarms reads."""
        return {"faults": self._parts.faults(), "sessions": len(self._parts.sessions)}

    def _health(self) -> Health:
        failure = self._parts.audit.failure
        return Health(is_healthy=not failure, reasons={"audit": failure} if failure else {})


def _nothing() -> None:
    """What a thread does that shows that there is one."""


def _listen(settings: Settings) -> socket.socket:
    bind = settings.console.bind
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind.host, bind.port))
        listener.listen(CONNECTIONS_MAX)  # whoever comes from now on waits, and is not refused
    except OSError as error:
        listener.close()
        raise ConsoleUnavailable(
            f"the console cannot listen on {bind} ({error.strerror})",
            hint="set [console] bind to a free address of this machine",
        ) from error
    return listener

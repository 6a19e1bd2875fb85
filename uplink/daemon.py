"""The ``uplink`` service: the device that police platforms register, poll and command. Shell.

The composition root: sockets of the reserved interface, one desk a platform, the loopback endpoint,
the audit log. Without a platform in the settings nothing but the loopback endpoint listens. Footage
and index are only ever read; nothing here can reach a write path (import contract ``readers``).
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from config import log as logging_setup
from config.address import is_ip
from config.load import ConfigError, load
from config.reload import read_again, with_kept
from config.schema import Platform, Settings
from config.secrets import SecretUnusable, read_secret
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.audit_hourly import end_terms_hourly
from retention.clock import HostClock, SystemClock, boot_id
from retention.endpoint import Endpoint, Health
from retention.priority import Disk, give_way
from retention.progress import Progress
from retention.service_manager import ServiceManager
from uplink.agent import Agent
from uplink.assembly import Answers, answering
from uplink.desk import Desk, Surroundings
from uplink.guard import Guard
from uplink.handlers import Handlers
from uplink.interface import LinkWatch
from uplink.line import AgentSettings
from uplink.media_metrics import MediaMetrics
from uplink.message_metrics import MessageMetrics
from uplink.metrics import UplinkMetrics
from uplink.ports import AuditNote, Bodies, Heartbeat, Sending
from uplink.registration import RegistrationSettings, Server
from uplink.requests import Identity
from uplink.resolver import Resolver
from uplink.router import choose
from uplink.sip.headers import Malformed
from uplink.sip.message import parse
from uplink.sip.transactions import Path
from uplink.told_time import ToldTime
from uplink.transport import Place, SipSocket, SocketUnavailable

log = logging.getLogger(__name__)

US_PER_S = 1_000_000
#: Behind recording, before what has all the time in the world.
NICE = 5
#: Settings that a running uplink cannot change.
_FIXED = ("storage", "metrics")
#: The reserved interface is looked at so often even if the kernel tells nothing.
LOOK_S = 5.0
#: Parts whose standstill only a restart mends, and how long each may take: sockets and settings
#: looked after, every platform's agent turned when it was due.
PROGRESS_US = {"interfaces": 60 * US_PER_S, "agents": 60 * US_PER_S}
AGENT_LATE_US = 10 * US_PER_S
#: How long a stopping service waits for its platforms.
STOP_S = 3.0
#: A link that flaps hurries nobody more often than this.
HURRY_US = 5 * US_PER_S


def run_uplink(config_path: FilePath) -> None:
    """Serve the platforms until SIGTERM or SIGINT; SIGHUP reads the settings anew.

    Raises:
        ConfigError, EndpointUnavailable: before anything listens.
    """
    settings = load(config_path)
    logging_setup.set_up()
    with suppress(PermissionError):  # an installed box has it; edge may not have come up yet
        settings.storage.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    give_way(NICE, Disk.LAST)  # also under ``xueliang run``: serving never costs a recorded frame
    asyncio.run(Uplink(config_path, settings, SystemClock()).run())


@dataclass(slots=True, kw_only=True)
class _Station:
    """One platform in service."""

    settings: Platform
    desk: Desk
    socket: SipSocket
    hosts: tuple[str, ...]  # as the settings name them
    hurried_us: int = 0


class Uplink:
    """The service; also what handlers ask (``ports.UserAgent``)."""

    def __init__(self, config_path: FilePath, settings: Settings, clock: HostClock) -> None:
        self.handlers = Handlers()
        self.metrics = UplinkMetrics()
        self._config_path = config_path
        self._inode = 0  # of the settings file
        self._settings = settings
        self._clock = clock
        self._manager = ServiceManager()
        self._stations: dict[str, _Station] = {}
        self._refused: dict[str, str] = {}  # platforms that could not be begun, and why
        self._sockets: dict[Place, SipSocket] = {}
        self._unavailable: dict[Place, str] = {}  # places that cannot be listened on, and why
        self._resolver = Resolver()
        self._around: Surroundings | None = None
        self._message_metrics = MessageMetrics(self.metrics.registry)
        self._media_metrics = MediaMetrics(self.metrics.registry)
        self._parts = AsyncExitStack()
        self._answers: Answers | None = None  # while there are platforms

    async def run(self) -> None:
        self._stopping, self._reloading = asyncio.Event(), asyncio.Event()
        self._loop = loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        async with AsyncExitStack() as stack:
            audit = stack.enter_context(
                AuditLog(
                    self._settings.storage.state_dir,
                    "uplink",
                    self._clock,
                    on_record=lambda action: self.metrics.audit_records.labels(action.value).inc(),
                )
            )
            bind = self._settings.metrics.bind
            endpoint = Endpoint(
                bind.host, bind.port + 1, self.metrics.registry, self._health, self.status
            )
            stack.callback(endpoint.close)
            jobs = await stack.enter_async_context(asyncio.TaskGroup())
            self._around = Surroundings(
                clock=self._clock,
                handlers=self.handlers,
                metrics=self.metrics,
                audit=audit,
                jobs=jobs,
            )
            self._told_time = ToldTime(
                self._settings.storage.state_dir, boot_id(), self._clock, self.metrics, jobs
            )
            self.handlers.clocks.append(self._told_time)
            watch = LinkWatch(self._look_again)
            stack.callback(watch.close)
            audit.record(Action.SERVICE_STARTED, subject="uplink")
            await self._apply(self._settings)
            self._progress = Progress(PROGRESS_US, self._clock.monotonic_us())
            self._manager.ready()
            terms = jobs.create_task(
                end_terms_hourly(
                    audit,
                    self._settings.storage.state_dir / "index.db",
                    lambda: self._settings.retention.audit_days,
                    self.metrics.swallowed_errors.labels("terms").inc,
                )
            )
            try:
                await self._serve()
            finally:
                terms.cancel()
                self._manager.stopping()
                await self._leave()
            audit.record(Action.SERVICE_STOPPED, subject="uplink")
        log.info("uplink_stopped")

    async def _serve(self) -> None:
        while not self._stopping.is_set():
            if self._reloading.is_set():
                self._reloading.clear()
                await self._reload()
            self._look()
            self._notice_replaced()
            if self._resolver.is_due(self._clock.monotonic_us()):
                await self._resolve()
            self._tell_progress()
            waits = [
                asyncio.ensure_future(event.wait()) for event in (self._stopping, self._reloading)
            ]
            await asyncio.wait(waits, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _tell_progress(self) -> None:
        now_us = self._clock.monotonic_us()
        self._progress.beat("interfaces", now_us)
        if not any(one.desk.is_late(AGENT_LATE_US) for one in self._stations.values()):
            self._progress.beat("agents", now_us)
        self._manager.feed(self._progress, now_us)

    # Settings --------------------------------------------------------------------------------

    def _notice_replaced(self) -> None:
        """The console, another user, replaces the file and can send no signal: a new file in its
        place is read as SIGHUP would have it read."""
        with suppress(FileNotFoundError):
            inode = self._config_path.stat().st_ino
            if self._inode not in (0, inode):
                self._reloading.set()
            self._inode = inode

    async def _reload(self) -> None:
        """A bad file leaves the old settings in force."""
        try:
            fresh = await asyncio.to_thread(read_again, self._config_path)
        except ConfigError:
            self.metrics.reloads.labels("failed").inc()
            return
        fresh = with_kept(fresh, self._settings, _FIXED)
        self.metrics.reloads.labels("ok").inc()
        await self._apply(fresh)

    async def _apply(self, settings: Settings) -> None:
        """Puts settings in force. A change of the platforms has every one registered anew; of
        cameras or site their subscribers hear."""
        if not self._is_same(settings, "platform"):
            await self._leave()
        elif self._answers and not self._is_same(settings, "site", "camera", "retention"):
            self._answers.apply(settings)
        self._settings = settings
        self._told_time.keep(frozenset(platform.name for platform in settings.platform))
        if not self._stations and settings.platform:
            self._answers = await self._parts.enter_async_context(self._answering())
            self._refused = {}
            for platform in settings.platform:
                self._begin(platform)
            await self._resolve()
            self._look()
        self.metrics.keep([platform.name for platform in settings.platform])
        self.metrics.reload_time.set(self._clock.utc_us() / US_PER_S)
        log.info("settings_in_force", extra={"platforms": len(self._stations)})

    def _is_same(self, settings: Settings, *keys: str) -> bool:
        return all(getattr(settings, key) == getattr(self._settings, key) for key in keys)

    def _answering(self) -> AbstractAsyncContextManager[Answers]:
        assert self._around is not None
        return answering(
            self._settings,
            self,
            self.handlers,
            self._message_metrics,
            self._media_metrics,
            self._around.jobs,
            self._clock,
            self._local_host,
        )

    def _local_host(self, platform: str) -> str:
        station = self._stations.get(platform)
        return "" if station is None else station.socket.reach.host

    def _begin(self, platform: Platform) -> None:
        try:
            secret = read_secret(platform.password_file)
        except SecretUnusable as error:
            self._refused[platform.name] = error.sentence()
            log.error("platform_refused", extra={"platform": platform.name, "error": str(error)})
            return
        logging_setup.hide(secret)
        socket = self._socket_of(platform)
        around = self._around
        assert around is not None
        agent = Agent(
            _agent_settings(platform, secret.reveal()),
            host=socket.reach.host,
            chance=random.random,
            token=lambda: secrets.token_hex(8),
        )
        hosts = (platform.server.host, *platform.peers)
        desk = Desk(agent, around, self._sender(socket), self._resetter(socket))
        self._stations[platform.name] = _Station(
            settings=platform, desk=desk, socket=socket, hosts=hosts
        )

    def _socket_of(self, platform: Platform) -> SipSocket:
        place = Place(
            interface=platform.interface or "",
            bind=platform.bind or "",
            port=platform.port,
            is_ipv6=":" in (platform.bind or platform.server.host),
        )
        with_tcp = any(
            one.transport == "tcp"
            for one in self._settings.platform
            if (one.interface or "", one.bind or "", one.port)
            == (place.interface, place.bind, place.port)
        )
        known = self._sockets.get(place)
        if known is not None:
            return known
        made = SipSocket(
            place,
            Guard(),
            self._clock,
            with_tcp=with_tcp,
            receive=lambda data, path: self._receive(place, data, path),
            lost=lambda path: self._lost(place, path),
            dropped=lambda reason: self.metrics.dropped.labels(reason).inc(),
        )
        self._sockets[place] = made
        return made

    async def _leave(self) -> None:
        """Un-registers everywhere, waits briefly, and forgets."""
        leaving = list(self._stations.values())
        for station in leaving:
            station.desk.stop()
        try:
            async with asyncio.timeout(STOP_S):
                for station in leaving:
                    await station.desk.stopped.wait()
        except TimeoutError:
            log.warning("platform_did_not_answer_leaving")
        for station in leaving:
            station.desk.close()
        self._stations.clear()
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
        self._answers = None
        await self._parts.aclose()

    # Hosts -----------------------------------------------------------------------------------

    async def _resolve(self) -> None:
        names = {host for station in self._stations.values() for host in station.hosts}
        await self._resolver.resolve(names, self._clock.monotonic_us())
        self._allow()

    def _allow(self) -> None:
        """Tells each socket's guard who may speak there."""
        for place, socket in self._sockets.items():
            socket.guard.allow(
                {
                    name: frozenset(
                        address for host in station.hosts for address in self._resolver.of(host)
                    )
                    for name, station in self._stations.items()
                    if station.socket.place == place
                }
            )

    # The wire --------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """The kernel told of a link, an address or a route."""
        self._look(is_told=True)

    def _look(self, *, is_told: bool = False) -> None:
        """The reserved interfaces: sockets are opened where they can be, desks told of changes."""
        now_us = self._clock.monotonic_us()
        for socket in list(self._sockets.values()):
            try:
                has_changed = socket.look()
            except SocketUnavailable as error:
                if socket.place not in self._unavailable:  # told once, tried every few seconds
                    log.warning("socket_unavailable", extra={"error": error.sentence()})
                self._unavailable[socket.place] = error.sentence()
                continue
            self._unavailable.pop(socket.place, None)
            if not socket.reach.is_usable:
                continue
            for station in self._stations.values():
                if station.socket is not socket:
                    continue
                desk = station.desk
                is_lost = is_told and not desk.agent.is_online
                is_hurried = now_us - station.hurried_us < HURRY_US
                if has_changed or not desk.is_started or (is_lost and not is_hurried):
                    station.hurried_us = now_us
                    desk.reachable(socket.reach.host)

    def _sender(self, socket: SipSocket) -> Callable[[bytes, Path], bool]:
        def send(data: bytes, path: Path) -> bool:
            addresses = self._resolver.of(path.host)
            if not addresses:
                return False
            return socket.send(data, path.at(addresses[0]))

        return send

    def _resetter(self, socket: SipSocket) -> Callable[[Path], None]:
        def reset(path: Path) -> None:
            for address in self._resolver.of(path.host)[:1]:
                socket.reset(path.at(address))

        return reset

    def _candidates(self, place: Place, host: str) -> list[_Station]:
        names = self._sockets[place].guard.platforms(host) if place in self._sockets else ()
        return [self._stations[name] for name in names if name in self._stations]

    def _receive(self, place: Place, data: bytes, path: Path) -> None:
        try:
            message = parse(data, is_stream=path.is_reliable)
        except Malformed as error:
            self.metrics.dropped.labels("malformed").inc()
            log.debug("malformed", extra={"error": str(error), "size_bytes": len(data)})
            return
        candidates = self._candidates(place, path.host)
        chosen = choose(message, [station.desk.agent for station in candidates])
        for station in candidates:
            if station.desk.agent is chosen:
                station.desk.receive(message, path)
                return
        self.metrics.dropped.labels("unaddressed").inc()

    def _lost(self, place: Place, path: Path) -> None:
        for station in self._stations.values():
            server = station.desk.agent.registration.server
            is_ours = path.host in self._resolver.of(server.host) and path.port == server.port
            if station.socket.place == place and (path.connection or is_ours):
                station.desk.lost(path)

    # ports.UserAgent ---------------------------------------------------------------------------

    def is_registered(self, platform: str) -> bool:
        station = self._stations.get(platform)
        return station is not None and station.desk.agent.is_online

    def sending(self, platform: str) -> Sending:
        return self._stations[platform].desk.agent.sending()

    async def send(self, platform: str, body: bytes) -> int | None:
        if not self.is_registered(platform):
            return None
        return await self._stations[platform].desk.send_message(body)

    def is_subscribed(self, platform: str, topic: str) -> bool:
        station = self._stations.get(platform)
        return station is not None and topic in station.desk.agent.topics

    def notify(self, platform: str, topic: str, bodies: Bodies) -> bool:
        station = self._stations.get(platform)
        return station is not None and station.desk.notify(topic, bodies)

    def record(self, platform: str, note: AuditNote) -> None:
        station = self._stations.get(platform)
        if station is not None:
            station.desk.record(note)

    def heartbeat(self, platform: str) -> Heartbeat:
        registration = self._stations[platform].desk.agent.registration
        return Heartbeat(
            register_s=registration.register_s,
            keepalive_s=registration.keepalive_s,
            count=registration.keepalive_misses_max,
        )

    def set_heartbeat(
        self, platform: str, *, keepalive_s: int | None = None, count: int | None = None
    ) -> None:
        self._stations[platform].desk.set_heartbeat(keepalive_s, count)

    # Figures ---------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``xueliang status`` shows. From the endpoint's threads: reads values that are
        replaced whole."""
        platforms: list[dict[str, Any]] = [
            self._told_of(station) for station in list(self._stations.values())
        ]
        platforms += [
            {"platform": name, "registered": False, "state": "refused", "trouble": why}
            for name, why in self._refused.items()
        ]
        answers = self._answers
        return {
            "platforms": platforms,
            "faults": [] if answers is None else answers.messages.faults(),
            "tasks": len(asyncio.all_tasks(self._loop)),
        }

    def _told_of(self, station: _Station) -> dict[str, Any]:
        told = station.desk.status()
        why = self._unavailable.get(station.socket.place)
        return {**told, "trouble": why} if why and not told["registered"] else told

    def _health(self) -> Health:
        reasons = {
            one["platform"]: one["trouble"] or one["state"]
            for one in self.status()["platforms"]
            if not one["registered"]
        }
        return Health(is_healthy=not reasons, reasons=reasons)


def _agent_settings(platform: Platform, password: str) -> AgentSettings:
    hosts = frozenset((platform.server.host, *platform.peers))
    return AgentSettings(
        name=platform.name,
        identity=Identity(
            device_id=platform.device_id,
            domain=platform.domain,
            transport=platform.transport,
            port=platform.port,
            edition=platform.edition,
        ),
        registration=RegistrationSettings(
            server=Server(
                host=platform.server.host,
                port=platform.server.port,
                id=platform.server_id,
                domain=platform.domain,
            ),
            username=platform.device_id,
            password=password,
            register_s=platform.register_seconds,
            keepalive_s=platform.keepalive_seconds,
            retry_s=platform.retry_seconds,
            edition=platform.edition,
            redirect_hosts=hosts,
        ),
        hosts=frozenset(host for host in hosts if is_ip(host)),
    )

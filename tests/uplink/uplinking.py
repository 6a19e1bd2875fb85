"""The message shell with everything around it real but the user agent and ``edge``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry

from tests.uplink.bodies import DEVICE_2016, STATE, T0, asked
from uplink.alarm_desk import AlarmDesk
from uplink.device import Device, SiteState
from uplink.message_metrics import MessageMetrics
from uplink.messages import Messages
from uplink.orders import SOCKET_NAME, OrderFailed, Orders
from uplink.ports import AuditNote, Bodies, Heartbeat, Incoming, Sending
from uplink.records import Records
from uplink.snapshots import Snapshots

BYTES_MAX = 900


@dataclass
class ManualClock:
    """Both times, moved by hand."""

    now_us: int = T0

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us


@dataclass
class Platform:
    """The user agent's place: takes what is sent, and answers as told."""

    is_here: bool = True
    status: int | None = 200
    topics: set[str] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    notified: list[tuple[str, bytes]] = field(default_factory=list)
    heartbeats: list[tuple[int | None, int | None]] = field(default_factory=list)
    pulling: list[asyncio.Task[None]] = field(default_factory=list)
    recorded: list[AuditNote] = field(default_factory=list)

    def is_registered(self, platform: str) -> bool:
        return self.is_here

    def sending(self, platform: str) -> Sending:
        return Sending(body_bytes_max=BYTES_MAX, body_bytes_hard_max=60_000)

    async def send(self, platform: str, body: bytes) -> int | None:
        await asyncio.sleep(0)
        if self.status is not None and self.is_here:
            self.sent.append(body)
            return self.status
        return None

    def is_subscribed(self, platform: str, topic: str) -> bool:
        return topic in self.topics

    def notify(self, platform: str, topic: str, bodies: Bodies) -> bool:
        if topic not in self.topics:
            return False

        async def pull() -> None:
            self.notified.extend([(topic, body) for body in await drained(bodies)])

        self.pulling.append(asyncio.get_running_loop().create_task(pull()))
        return True

    def record(self, platform: str, note: AuditNote) -> None:
        self.recorded.append(note)

    def heartbeat(self, platform: str) -> Heartbeat:
        return Heartbeat(register_s=3600, keepalive_s=60, count=3)

    def set_heartbeat(
        self, platform: str, *, keepalive_s: int | None = None, count: int | None = None
    ) -> None:
        self.heartbeats.append((keepalive_s, count))


async def drained(bodies: Bodies) -> list[bytes]:
    """Bodies as the user agent takes them: what fails ends them."""
    if isinstance(bodies, AsyncIterable):
        found: list[bytes] = []
        try:
            async for body in bodies:
                found += [body]
        except OrderFailed:
            assert found  # the platform was told before
        return found
    assert isinstance(bodies, Iterable)
    return list(bodies)


def incoming(body: bytes, *, device: Device = DEVICE_2016, bytes_max: int = BYTES_MAX) -> Incoming:
    return Incoming(
        platform=device.platform,
        edition=device.edition,
        sender=device.server_id,
        target=device.device_id,
        content_type="application/manscdp+xml",
        body=body,
        body_bytes_max=bytes_max,
        arrival_utc_us=T0,
    )


@dataclass
class Edge:
    """Takes orders on the socket, as ``edge`` does."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def listening(self, folder: Path) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, folder / SOCKET_NAME)
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        self.asked.append(request)
        answer = self.answers.get(request["command"])
        told = {"error": "the camera cannot do this"} if answer is None else {"result": answer}
        writer.write(json.dumps(told).encode() + b"\n")
        writer.close()


@dataclass
class Bench:
    """Everything in one place."""

    messages: Messages
    platform: Platform
    desk: AlarmDesk
    clock: ManualClock
    metrics: CollectorRegistry
    device: Device
    state: SiteState = STATE

    async def begin(self, command: str, *elements: str, **more: Any) -> Any:
        """Status, and the answer's bodies as they come."""
        reply = self.messages.message(
            incoming(asked(command, *elements, **more), device=self.device)
        )
        return reply.status, reply.bodies

    async def ask(self, command: str, *elements: str, kind: str = "Query", **more: Any) -> Any:
        """Status, and the bodies of the answer."""
        body = asked(command, *elements, kind=kind, **more)
        reply = self.messages.message(incoming(body, device=self.device))
        assert reply.body == b""
        return reply.status, await drained(reply.bodies)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def bench(
    folder: Path, device: Device = DEVICE_2016, index: Path | None = None
) -> AsyncIterator[Bench]:
    """The shells of messages on ``folder``; ``serve`` is not running."""
    clock = ManualClock()
    registry = CollectorRegistry()
    metrics = MessageMetrics(registry)
    devices = {device.platform: device}
    records = Records(index or folder / "index.db", (), clock)
    desk = AlarmDesk(devices, folder / "uplink", clock, metrics, retry_s=0.1)
    desk.load()
    platform = Platform()
    made: list[Bench] = []
    async with Orders(folder) as orders, Snapshots(orders, clock, metrics) as snapshots:
        messages = Messages(
            devices,
            clock=clock,
            state=lambda: made[0].state,
            records=records,
            orders=orders,
            desk=desk,
            snapshots=snapshots,
            metrics=metrics,
        )
        messages.connect(platform)
        made.append(
            Bench(
                messages=messages,
                platform=platform,
                desk=desk,
                clock=clock,
                metrics=registry,
                device=device,
            )
        )
        try:
            yield made[0]
        finally:
            records.close()


@contextmanager
def picture_server(status: int, taken: list[bytes]) -> Iterator[int]:
    """Where a platform takes pictures: its port; the bodies of what was posted go to ``taken``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Snapshots for a platform: taken by ``edge``, sent by HTTP, then reported. Shell.

GB/T 28181-2022 clause 9.14: DeviceConfig SnapShotConfig, pictures by POST, UploadSnapShotFinished
with the ids of those that arrived. Where pictures may go is decided in ``uplink.commands``; from
here they leave from the reserved interface only, and never follow a redirect.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import itertools
import logging
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from config.instants import format_instant
from retention.clock import Clock
from uplink.asked import note
from uplink.commands import CameraOrder, Snapshot
from uplink.device import Device
from uplink.manscdp.markup import leaf, node
from uplink.manscdp.message import Head, Kind
from uplink.message_metrics import MessageMetrics
from uplink.orders import OrderFailed, Orders
from uplink.ports import UserAgent

log = logging.getLogger(__name__)

#: Orders of all platforms that are worked on at once.
RUNNING_MAX = 4
UPLOAD_TIMEOUT_S = 10.0
PICTURE_BYTES_MAX = 8 * 2**20
_BOUNDARY = "xueliang-edge-snapshot"


class Snapshots:
    """``async with`` it, in the event loop.

    Args:
        source: the address of the reserved interface towards a platform; empty: any.
    """

    def __init__(
        self,
        orders: Orders,
        clock: Clock,
        metrics: MessageMetrics,
        source: Callable[[str], str] = lambda platform: "",
    ) -> None:
        self._orders = orders
        self._clock = clock
        self._metrics = metrics
        self._source = source
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Snapshots:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        for task in list(self._running):
            task.cancel()
        await self._tasks.__aexit__(*details)

    def begin(self, device: Device, order: Snapshot, agent: UserAgent) -> bool:
        """Take and send in the background; False where too much of this goes on already."""
        if len(self._running) >= RUNNING_MAX:
            return False
        task = self._tasks.create_task(self._work(device, order, agent))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _work(self, device: Device, order: Snapshot, agent: UserAgent) -> None:
        sent: list[str] = []
        for number in range(order.count):
            if number:
                await asyncio.sleep(order.interval_s)
            name = file_id(order.code, self._clock.utc_us(), number + 1)
            try:
                picture = await self._picture(order.camera)
                source = self._source(device.platform)
                await asyncio.to_thread(_upload, order, name, picture, source)
            except (OrderFailed, OSError, http.client.HTTPException, ValueError) as error:
                self._metrics.failures.labels("snapshot").inc()
                why = type(error).__name__
                log.warning("snapshot_failed", extra={"camera": order.camera, "error": why})
                self._record(agent, device, order, "failed", f"{name} {why}")
            else:
                sent.append(name)
                host = urlsplit(order.url).hostname
                said = f"{name} {len(picture)} bytes to {host}, session {order.session}"
                self._record(agent, device, order, "done", said)
        await agent.send(device.platform, finished(device, order, sent, next(self._numbers)))

    def _record(
        self, agent: UserAgent, device: Device, order: Snapshot, outcome: str, detail: str
    ) -> None:
        """Each picture that left, or should have."""
        agent.record(device.platform, note("snapshot_upload", outcome, detail, order.code))

    async def _picture(self, camera: str) -> bytes:
        told = await self._orders.ask(CameraOrder(camera=camera, verb="snapshot", arguments={}))
        try:
            picture = base64.b64decode(str(told.get("jpeg", "")), validate=True)
        except binascii.Error as error:
            raise ValueError("edge's picture is not Base64") from error
        if not picture.startswith(b"\xff\xd8") or len(picture) > PICTURE_BYTES_MAX:
            raise ValueError("the camera's picture is no JPEG")
        return picture


def file_id(code: str, at_us: int, number: int) -> str:
    """20 digits of the channel, 02, Beijing time in milliseconds, a sequence of two digits."""
    stamp = "".join(letter for letter in format_instant(at_us)[:23] if letter.isdecimal())
    return f"{code}02{stamp}{number:02}"


def finished(device: Device, order: Snapshot, sent: list[str], number: int) -> bytes:
    """UploadSnapShotFinished: fewer ids than asked for is a partial failure."""
    head = Head(
        kind=Kind.NOTIFY, command="UploadSnapShotFinished", sn=str(number), device_id=order.code
    )
    return head.body(
        device.charset,
        leaf("SessionID", order.session),
        node("SnapShotList", *(leaf("SnapShotFileID", name) for name in sent)),
    )


def _upload(order: Snapshot, name: str, picture: bytes, source: str) -> None:
    """One POST. Raises for everything but a 2xx; redirects are not followed."""
    url = urlsplit(order.url)
    address = (source, 0) if source else None
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(
            url.hostname or "",
            url.port,
            timeout=UPLOAD_TIMEOUT_S,
            source_address=address,
            context=ssl.create_default_context(),
        )
    else:
        connection = http.client.HTTPConnection(
            url.hostname or "", url.port, timeout=UPLOAD_TIMEOUT_S, source_address=address
        )
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        head = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        connection.request("POST", target, _form(order.session, name, picture), head)
        status = connection.getresponse().status
        if not 200 <= status < 300:
            raise http.client.HTTPException(f"the upload was answered with {status}")
    finally:
        connection.close()


def _form(session: str, name: str, picture: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="SessionID"\r\n\r\n{session}\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()

"""The sockets that media leave by: UDP, TCP as client, TCP as server (RFC 4571). Shell.

Bound to the reserved interface. What a peer does not take is bounded: over UDP it is lost, over TCP
a live call skips, a playback waits. Packets are spread so that a key frame does not burst the link.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import socket
import termios
from dataclasses import dataclass, field
from typing import Protocol

from config.address import PortRange
from config.errors import Retry, XueliangError
from uplink.guard import canonical
from uplink.rtp import framed
from uplink.sdp import Offer, Transport

log = logging.getLogger(__name__)

#: What leaves without a pause.
BURST_BYTES = 48 * 1024
#: TCP: what may wait for a live peer, then pictures are skipped.
LIVE_WAITING_BYTES_MAX = 2 * 1024 * 1024
#: TCP: what may wait for a peer that plays back, then it is waited for.
WAITING_BYTES_MAX = 512 * 1024
SEND_BUFFER_BYTES = 1024 * 1024
CONNECT_TRIES = 3
CONNECT_TIMEOUT_S = 4.0
CONNECT_PAUSE_S = 1.0
ACCEPT_TIMEOUT_S = 12.0
#: A peer that takes nothing for so long is gone.
STUCK_S = 60.0
TAKES_NOTHING = "the platform takes nothing any more"
#: UDP: a port that is told unreachable for so long.
UNREACHABLE_S = 5.0
WRITABLE_S = 0.5
#: How often it is looked whether everything has arrived.
ACKNOWLEDGED_S = 0.02


class MediaSocketError(XueliangError):
    """No socket, no port, or no peer."""

    code = "media_socket"


class NoPort(MediaSocketError):
    """Every port of ``media_ports`` is in use."""

    code = "no_media_port"


class PeerGone(MediaSocketError):
    """The peer closed, vanished, or takes nothing any more."""

    code = "media_peer_gone"


@dataclass(slots=True)
class PortPool:
    """Even ports of a range, used in turn so that late packets do not meet a new call."""

    ports: PortRange
    _next: int = field(init=False, default=0)
    _used: set[int] = field(init=False, default_factory=set)

    def take(self) -> int:
        """Raises :class:`NoPort`."""
        first = self.ports.first + self.ports.first % 2
        even = range(first, self.ports.last + 1, 2)
        for n in range(len(even)):
            port = even[(self._next + n) % len(even)]
            if port not in self._used:
                self._next = (self._next + n + 1) % len(even)
                self._used.add(port)
                return port
        raise NoPort(
            f"all of media_ports {self.ports} are in use", hint="widen the range", retry=Retry.LATER
        )

    def give_back(self, port: int) -> None:
        self._used.discard(port)

    @property
    def in_use(self) -> int:
        return len(self._used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Where sockets are bound."""

    host: str
    interface: str  # empty: by address alone

    def bound(self, kind: int, port: int) -> socket.socket:
        """Raises :class:`OSError`."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self.interface:
                name = self.interface.encode() + b"\0"
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            made.bind((self.host, port))
        except OSError:
            made.close()
            raise
        return made


class Sink(Protocol):
    """One call's way out."""

    async def open(self) -> None:
        """Ready to send. Raises :class:`PeerGone`."""
        ...

    async def send(self, packets: list[bytes]) -> None:
        """One picture's packets, spread. Raises :class:`PeerGone`."""
        ...

    def has_room(self) -> bool:
        """Whether a live call may send; else it skips to the next key frame. Raises
        :class:`PeerGone`."""
        ...

    async def drain(self) -> None:
        """Everything has left us."""
        ...

    def close(self) -> None: ...


class Pacer:
    """Sleeps so that no more than the link's rate leaves, beyond one burst."""

    def __init__(self, bits_per_second: float) -> None:
        self._bytes_per_s = bits_per_second / 8
        self._free_bytes = float(BURST_BYTES)
        self._at_s = 0.0

    async def spend(self, size_bytes: int) -> None:
        now_s = asyncio.get_running_loop().time()
        earned = (now_s - self._at_s) * self._bytes_per_s
        self._free_bytes = min(float(BURST_BYTES), self._free_bytes + earned) - size_bytes
        self._at_s = now_s
        if self._free_bytes < 0:
            await asyncio.sleep(-self._free_bytes / self._bytes_per_s)


class UdpSink:
    """RTP from the port of ``m=``; sender reports from the one above it."""

    def __init__(self, local: Local, port: int, peer: tuple[str, int], pacer: Pacer) -> None:
        self._pacer = pacer
        self._peer = peer
        self._rtp = local.bound(socket.SOCK_DGRAM, port)
        try:
            self._rtp.connect(peer)
            self._rtcp = local.bound(socket.SOCK_DGRAM, port + 1)
        except OSError:
            self._rtp.close()
            raise
        self._refused_s: tuple[float, float] | None = None  # first and last of a row
        self.lost_packets = 0

    async def open(self) -> None:
        """Nothing to wait for."""

    def has_room(self) -> bool:
        return True

    async def send(self, packets: list[bytes]) -> None:
        for packet in packets:
            await self._pacer.spend(len(packet))
            try:
                self._rtp.send(packet)
            except BlockingIOError:
                await self._when_writable(packet)
            except ConnectionRefusedError:
                self._refused()
            except OSError as error:  # no route for a moment: as if lost on the way
                self.lost_packets += 1
                log.debug("media_not_sent", extra={"error": error.strerror})

    async def _when_writable(self, packet: bytes) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._rtp.fileno(), ready.set)
        try:
            async with asyncio.timeout(WRITABLE_S):
                await ready.wait()
            self._rtp.send(packet)
        except (TimeoutError, OSError):
            self.lost_packets += 1
        finally:
            if self._rtp.fileno() >= 0:  # else close() has seen to it
                loop.remove_writer(self._rtp.fileno())

    def _refused(self) -> None:
        """The kernel tells of an earlier packet that nobody was there for."""
        now_s = asyncio.get_running_loop().time()
        self.lost_packets += 1
        first_s, last_s = self._refused_s or (now_s, now_s)
        if now_s - last_s > UNREACHABLE_S / 2:
            first_s = now_s  # somebody listened in between
        self._refused_s = first_s, now_s
        if now_s - first_s > UNREACHABLE_S:
            raise PeerGone("nobody listens on the platform's media port")

    def report(self, data: bytes) -> None:
        """A sender report, to the port above the peer's."""
        try:
            self._rtcp.sendto(data, (self._peer[0], self._peer[1] + 1))
        except OSError as error:
            log.debug("report_not_sent", extra={"error": error.strerror})

    async def drain(self) -> None:
        """Give the last packets the time to arrive before what ends the call."""
        await asyncio.sleep(0.2)

    def close(self) -> None:
        # The loop must forget a descriptor before it is closed: the next call may get its number.
        if self._rtp.fileno() >= 0:
            asyncio.get_running_loop().remove_writer(self._rtp.fileno())
        self._rtp.close()
        self._rtcp.close()


class _Waiting:
    """What waits for a peer, and since when it is as much."""

    def __init__(self) -> None:
        self._bytes, self._since_s = 0, 0.0

    def look(self, waiting_bytes: int) -> None:
        """Raises :class:`PeerGone` where it is as much, and not nothing, for too long."""
        now_s = asyncio.get_running_loop().time()
        if waiting_bytes != self._bytes:
            self._bytes, self._since_s = waiting_bytes, now_s
        elif now_s - self._since_s > STUCK_S:
            raise PeerGone(TAKES_NOTHING)


class TcpSink:
    """One connection; :meth:`open` makes or takes it."""

    def __init__(self, local: Local, port: int, offer: Offer, pacer: Pacer, *, live: bool) -> None:
        self._local = local
        self._offer = offer
        self._pacer = pacer
        self._is_live = live
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_gone = False
        self._waiting = _Waiting()  # live: for a peer that does not keep up
        self._listener: socket.socket | None = None
        self._is_accepting = False
        if offer.transport is Transport.TCP_PASSIVE:
            self._listener = local.bound(socket.SOCK_STREAM, port)
            self._listener.listen(4)

    async def open(self) -> None:
        peer = await (self._accept() if self._listener is not None else self._connect())
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        reader, self._writer = await asyncio.open_connection(sock=peer)
        self._writer.transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)
        self._reading = asyncio.ensure_future(self._watch(reader))

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        for tried in range(1, CONNECT_TRIES + 1):
            made = self._local.bound(socket.SOCK_STREAM, 0)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.sock_connect(made, (self._offer.host, self._offer.port))
            except OSError as error:
                made.close()
                if tried == CONNECT_TRIES:
                    reason = os.strerror(error.errno) if error.errno else "no answer"
                    raise PeerGone(f"the platform's media port does not answer: {reason}") from None
                await asyncio.sleep(CONNECT_PAUSE_S)
            except asyncio.CancelledError:
                made.close()
                raise
            else:
                return made
        raise AssertionError("unreachable")

    async def _accept(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        self._is_accepting = True
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT_S):
                while True:
                    peer, address = await loop.sock_accept(self._listener)
                    if canonical(address[0]) == canonical(self._offer.host):
                        return peer
                    peer.close()
                    log.warning("media_stranger_refused")
        except TimeoutError:
            raise PeerGone("the platform did not connect to our media port") from None
        finally:
            self._listener.close()
            self._listener = None

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        """Nothing is expected from there; its end is."""
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass  # an end as well
        self._is_gone = True

    def has_room(self) -> bool:
        if not self._is_live or self._writer is None:
            return True
        waiting_bytes = self._writer.transport.get_write_buffer_size()
        if waiting_bytes <= LIVE_WAITING_BYTES_MAX:
            self._waiting = _Waiting()
            return True
        if self._is_gone:
            raise PeerGone("the platform closed the media connection")
        self._waiting.look(waiting_bytes)
        return False

    async def send(self, packets: list[bytes]) -> None:
        data = framed(packets)
        await self._pacer.spend(len(data))
        writer = self._writer
        if writer is None or self._is_gone or writer.is_closing():
            raise PeerGone("the platform closed the media connection")
        writer.write(data)
        if not self._is_live:
            await self._drained(writer)

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(STUCK_S):
                await writer.drain()
        except TimeoutError:
            raise PeerGone(TAKES_NOTHING) from None
        except OSError as error:
            raise PeerGone("the platform broke the media connection off") from error

    async def drain(self) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.transport.set_write_buffer_limits(high=0)
        await self._drained(writer)
        await self._acknowledged(writer.get_extra_info("socket"))

    async def _acknowledged(self, peer: socket.socket) -> None:
        """Until the platform's kernel has all of it: on a thin link ours holds seconds of it."""
        waiting = _Waiting()
        while not self._is_gone and (left := _unacknowledged_bytes(peer)):
            waiting.look(left)
            await asyncio.sleep(ACKNOWLEDGED_S)

    def close(self) -> None:
        # A listener that is waited at is closed where that is cancelled: the loop must forget a
        # descriptor before it is closed, for the next call may get its number.
        if self._listener is not None and not self._is_accepting:
            self._listener.close()
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.transport.abort()


def _unacknowledged_bytes(peer: socket.socket) -> int:
    """Of what was written (Linux SIOCOUTQ, tcp(7))."""
    if peer.fileno() < 0:
        return 0  # it broke: nothing arrives any more
    count = array.array("i", [0])
    fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def open_sink(
    offer: Offer, local: Local, port: int, *, bits_per_second: float, live: bool
) -> UdpSink | TcpSink:
    """Bind what the answer will name.

    Raises:
        MediaSocketError: it cannot be bound.
    """
    pacer = Pacer(bits_per_second)
    try:
        if offer.transport is Transport.UDP:
            return UdpSink(local, port, (offer.host, offer.port), pacer)
        return TcpSink(local, port, offer, pacer, live=live)
    except OSError as error:
        raise MediaSocketError(
            f"media port {port} of {local.host} cannot be used: {os.strerror(error.errno or 0)}",
            hint="is it another program's? choose other media_ports",
        ) from error

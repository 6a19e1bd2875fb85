"""SIP sockets of the reserved interface: UDP, and TCP both ways. Shell.

One :class:`SipSocket` serves every platform with the same place (interface or address, and port).
What comes in is admitted by the guard, cut into messages, and handed on as bytes with the path it
came on; nothing here understands SIP beyond where a message ends. Everything is bounded: reads per
turn, connections, unsent bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from config.errors import Retry, XueliangError
from retention.clock import Clock
from uplink.guard import Guard, canonical
from uplink.interface import Reach, reach_of_interface
from uplink.sip.headers import Malformed
from uplink.sip.message import MESSAGE_BYTES_MAX
from uplink.sip.stream import Framer
from uplink.sip.transactions import Path

log = logging.getLogger(__name__)

#: Datagrams taken in one turn of the loop: then others have theirs.
DATAGRAMS_PER_TURN = 64
RECEIVE_BUFFER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 10.0
#: A connection whose peer takes nothing for so long is dead.
UNACKNOWLEDGED_MS = 30_000
UNSENT_BYTES_MAX = 1 << 20
#: Connections that platforms opened to one socket.
INCOMING_MAX = 32
#: One that says nothing whole for so long is closed.
IDLE_S = 600.0
_STREAM_BYTES = 65536


class SocketUnavailable(XueliangError):
    """The reserved interface or address cannot be listened on now."""

    code = "socket_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where SIP is spoken: platforms with the same place share its sockets."""

    interface: str  # empty where an address is given
    bind: str  # empty where an interface is given
    port: int
    is_ipv6: bool = False

    def reach(self) -> Reach:
        if self.interface:
            return reach_of_interface(self.interface, is_ipv6=self.is_ipv6)
        return Reach(index=0, host=self.bind, is_running=True)

    def __str__(self) -> str:
        return f"{self.interface or self.bind}:{self.port}"


#: A whole message (or a datagram that may be one) and where it came from.
Receive = Callable[[bytes, Path], None]


class SipSocket:
    """The sockets of one place.

    Args:
        receive: told each admitted message.
        lost: told the path of a TCP connection that ended; ``connection`` 0: one of ours.
        dropped: told a constant word for each thing that was thrown away.
    """

    def __init__(
        self,
        place: Place,
        guard: Guard,
        clock: Clock,
        *,
        with_tcp: bool,
        receive: Receive,
        lost: Callable[[Path], None],
        dropped: Callable[[str], None],
    ) -> None:
        self.place = place
        self.guard = guard
        self.reach = Reach(index=0, host="", is_running=False)
        self._clock = clock
        self._with_tcp = with_tcp
        self._receive = receive
        self._lost = lost
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._udp: socket.socket | None = None
        self._tcp: socket.socket | None = None
        self._incoming: dict[int, _Connection] = {}
        self._outgoing: dict[tuple[str, int], _Connection] = {}
        self._next_connection = 1

    @property
    def is_open(self) -> bool:
        return self._udp is not None

    @property
    def connections(self) -> int:
        return len(self._incoming) + len(self._outgoing)

    def look(self) -> bool:
        """Looks at the interface again; True if it is usable and something has changed.

        Raises:
            SocketUnavailable: the sockets cannot be opened.
        """
        reach = self.place.reach()
        was = self.reach
        self.reach = reach
        if not reach.is_usable:
            return False
        if was.index != reach.index and self.is_open:
            self.close()  # another interface of the same name
        if was.host != reach.host:
            self._close_connections()
        if not self.is_open:
            self._open()
            return True
        return was != reach

    def _open(self) -> None:
        try:
            self._udp = self._bound(socket.SOCK_DGRAM)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if self._with_tcp:
                self._tcp = self._bound(socket.SOCK_STREAM)
                self._tcp.listen(INCOMING_MAX)
        except OSError as error:
            self.close()
            raise SocketUnavailable(
                f"SIP cannot listen on {self.place} ({os.strerror(error.errno or 0)})",
                hint="is the interface there, the port free, and the right to bind given?",
                retry=Retry.LATER,
            ) from error
        self._loop.add_reader(self._udp.fileno(), self._read_datagrams)
        if self._tcp is not None:
            self._loop.add_reader(self._tcp.fileno(), self._accept)
        log.info("sip_listening", extra={"place": str(self.place), "tcp": self._with_tcp})

    def _bound(self, kind: int, *, is_client: bool = False) -> socket.socket:
        """A socket that the kernel keeps on the reserved interface."""
        family = socket.AF_INET6 if self.place.is_ipv6 else socket.AF_INET
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            if self.place.is_ipv6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self.place.interface:
                name = self.place.interface.encode() + b"\0"
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            anything = "::" if self.place.is_ipv6 else "0.0.0.0"
            made.bind((self.place.bind or anything, 0 if is_client else self.place.port))
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        self._close_connections()
        for one in (self._udp, self._tcp):
            if one is not None:
                self._loop.remove_reader(one.fileno())
                one.close()
        self._udp = self._tcp = None

    def _close_connections(self) -> None:
        for connection in [*self._incoming.values(), *self._outgoing.values()]:
            connection.close()

    # Sending ---------------------------------------------------------------------------------

    def send(self, data: bytes, path: Path) -> bool:
        """False where it cannot go: no route, no address, a closed connection."""
        if path.transport == "udp":
            return self._send_datagram(data, path)
        if path.connection:
            connection = self._incoming.get(path.connection)
            return connection is not None and connection.send(data)
        return self._connection_to(path).send(data)

    def _send_datagram(self, data: bytes, path: Path) -> bool:
        if self._udp is None:
            return False
        try:
            self._udp.sendto(data, (path.host, path.port))
        except BlockingIOError:
            self._dropped("send_buffer_full")  # the transaction sends it again
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self._dropped("datagram_too_large")
            return False
        return True

    def reset(self, path: Path) -> None:
        """Closes our connection to a platform that is silent: the next request opens a fresh one,
        for a connection that a router has forgotten never says so."""
        connection = self._outgoing.get((path.host, path.port))
        if connection is not None:
            connection.close()

    def _connection_to(self, path: Path) -> _Connection:
        key = (path.host, path.port)
        connection = self._outgoing.get(key)
        if connection is None:
            connection = _Connection(self, path)
            self._outgoing[key] = connection
            connection.connect()
        return connection

    # Receiving -------------------------------------------------------------------------------

    def _read_datagrams(self) -> None:
        assert self._udp is not None
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, address = self._udp.recvfrom(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                return  # an ICMP error of an earlier datagram
            host = canonical(address[0])
            refusal = self.guard.refusal(host, self._clock.monotonic_us())
            if refusal:
                self._dropped(refusal)
            elif data.strip(b"\r\n\0"):  # keep-alives of NAT routers are nothing
                self._receive(data, Path(transport="udp", host=host, port=address[1]))
            if self._udp is None:
                return

    def _accept(self) -> None:
        assert self._tcp is not None
        try:
            accepted, address = self._tcp.accept()
        except OSError:
            return
        host = canonical(address[0])
        if not self.guard.platforms(host):
            self._dropped("stranger")
            accepted.close()
            return
        if len(self._incoming) >= INCOMING_MAX:
            self._dropped("connections_full")
            accepted.close()
            return
        number = self._next_connection
        self._next_connection += 1
        path = Path(transport="tcp", host=host, port=address[1], connection=number)
        connection = _Connection(self, path)
        self._incoming[number] = connection
        accepted.setblocking(False)
        connection.adopt(accepted)

    def _took(self, data: bytes, path: Path) -> None:
        """One whole message of a stream."""
        refusal = self.guard.refusal(path.host, self._clock.monotonic_us())
        if refusal:
            self._dropped(refusal)
        else:
            self._receive(data, path)

    def _over(self, connection: _Connection) -> None:
        path = connection.path
        if path.connection:
            self._incoming.pop(path.connection, None)
        elif self._outgoing.get((path.host, path.port)) is connection:
            del self._outgoing[(path.host, path.port)]
        self._lost(path)


class _Connection:
    """One TCP connection, by non-blocking calls of the loop; ends by itself on any fault."""

    def __init__(self, owner: SipSocket, path: Path) -> None:
        self.path = path
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._framer = Framer()
        self._unsent = bytearray()
        self._is_connected = False
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None

    def connect(self) -> None:
        """Begins; what is sent meanwhile waits."""
        try:
            made = self._owner._bound(socket.SOCK_STREAM, is_client=True)
        except OSError:
            self._loop.call_soon(self.close)
            return
        self._socket = made
        self._timer = self._loop.call_later(CONNECT_TIMEOUT_S, self.close)
        try:
            made.connect((self.path.host, self.path.port))
        except BlockingIOError:
            self._loop.add_writer(made.fileno(), self._connected)
        except OSError:
            self._loop.call_soon(self.close)
        else:
            self._connected()

    def adopt(self, accepted: socket.socket) -> None:
        """A connection that a platform opened."""
        self._socket = accepted
        self._begin()

    def send(self, data: bytes) -> bool:
        if self._is_over:
            return False
        if len(self._unsent) + len(data) > UNSENT_BYTES_MAX:
            self._owner._dropped("unsent_full")
            self._loop.call_soon(self.close)
            return False
        self._unsent += data
        if self._is_connected:
            self._flush()
        return not self._is_over

    def close(self) -> None:
        """Also what every fault leads to; told to the owner once."""
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
        self._owner._over(self)

    def _connected(self) -> None:
        assert self._socket is not None
        self._loop.remove_writer(self._socket.fileno())
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close()
            return
        self._begin()
        self._flush()

    def _begin(self) -> None:
        assert self._socket is not None
        self._is_connected = True
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._stay()
        self._loop.add_reader(self._socket.fileno(), self._read)

    def _stay(self) -> None:
        """Something whole came: the time of silence begins anew (incoming ones only)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.path.connection:
            self._timer = self._loop.call_later(IDLE_S, self.close)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_STREAM_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            messages = self._framer.feed(data)
        except Malformed:
            self._owner._dropped("malformed")
            self.close()
            return
        for message in messages:
            self._stay()
            self._owner._took(message, self.path)

    def _flush(self) -> None:
        if self._socket is None or self._is_over:
            return
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:
            self._loop.call_soon(self.close)
            return
        self._loop.remove_writer(self._socket.fileno())

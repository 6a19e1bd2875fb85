"""What a platform's media server does: takes RTP over UDP or TCP, keeps packs, gives pictures back.

PS is taken apart here by hand (so that pictures can be held against the store byte by byte) and by
libav (which decodes them): nothing of ``uplink`` is used for it.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import av


@dataclass(frozen=True, slots=True)
class Packet:
    at_s: float
    sequence: int
    stamp: int
    is_last: bool
    ssrc: int
    payload_type: int
    payload: bytes


@dataclass(slots=True)
class Receiver:
    """One media port. ``tcp`` listens, ``connect`` calls a device that listens."""

    transport: str = "udp"  # udp, tcp
    host: str = "127.0.0.1"
    packets: list[Packet] = field(default_factory=list)
    reads: bool = True
    is_closed_by_peer: bool = False
    _socket: socket.socket = field(init=False)
    _connection: socket.socket | None = None
    _thread: threading.Thread | None = None
    _is_stopping: bool = False

    def __post_init__(self) -> None:
        kind = socket.SOCK_DGRAM if self.transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        if kind == socket.SOCK_DGRAM:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((self.host, 0))
        self._socket.settimeout(0.1)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> Receiver:
        if self.transport == "tcp":
            self._socket.listen(8)
        self._run(self._udp if self.transport == "udp" else self._accept)
        return self

    def connect(self, port: int) -> None:
        """As a media server that is the active side."""
        self._connection = socket.create_connection((self.host, port), timeout=5)
        self._connection.settimeout(0.1)
        self._run(self._stream)

    def _run(self, target: object) -> None:
        assert callable(target)
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        if self._thread is not None:
            self._thread.join()
        for one in (self._socket, self._connection):
            if one is not None:
                one.close()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _udp(self) -> None:
        while not self._is_stopping:
            try:
                self._take(self._socket.recv(65536))
            except TimeoutError:
                continue

    def _accept(self) -> None:
        while not self._is_stopping:
            try:
                self._connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self._connection.settimeout(0.1)
            self._stream()
            self._connection.close()

    def _stream(self) -> None:
        assert self._connection is not None
        data = b""
        while not self._is_stopping:
            if not self.reads:
                time.sleep(0.05)
                continue
            try:
                more = self._connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                more = b""
            if not more:
                self.is_closed_by_peer = True
                return
            data += more
            while len(data) >= 2 and len(data) >= 2 + (size := struct.unpack(">H", data[:2])[0]):
                self._take(data[2 : 2 + size])
                data = data[2 + size :]

    def _take(self, data: bytes) -> None:
        first, kind, sequence, stamp, ssrc = struct.unpack(">BBHII", data[:12])
        assert first == 0x80
        at_s = time.monotonic()
        last = bool(kind & 0x80)
        self.packets.append(Packet(at_s, sequence, stamp, last, ssrc, kind & 0x7F, data[12:]))

    # What came -------------------------------------------------------------------------------

    def packs(self) -> list[tuple[float, int, bytes]]:
        """Whole packs: when their last packet came, their time stamp, their bytes."""
        found, parts = [], []
        for packet in list(self.packets):
            parts.append(packet.payload)
            if packet.is_last:
                found.append((packet.at_s, packet.stamp, b"".join(parts)))
                parts = []
        return found

    def lost_packets(self) -> int:
        packets = list(self.packets)
        return sum(
            (b.sequence - a.sequence - 1) % 65536
            for a, b in zip(packets, packets[1:], strict=False)
        )

    def pictures(self) -> list[bytes]:
        """Each picture's byte stream, in the order of arrival."""
        return [data for _, _, pack in self.packs() if (data := elementary(pack, 0xE0))]

    def sounds(self) -> list[bytes]:
        return [data for _, _, pack in self.packs() if (data := elementary(pack, 0xC0))]

    def decoded(self) -> int:
        """How many pictures libav decodes of all that came."""
        stream = b"".join(pack for _, _, pack in self.packs())
        with av.open(io.BytesIO(stream), "r", format="mpeg") as container:
            return sum(1 for _ in container.decode(video=0))


def elementary(pack: bytes, stream_id: int) -> bytes:
    """The payloads of one stream in a pack; fails where the pack is none."""
    assert pack[:4] == b"\0\0\1\xba"
    at, found = 14 + (pack[13] & 7), []
    while at < len(pack):
        assert pack[at : at + 3] == b"\0\0\1", pack[at : at + 8].hex()
        (length,) = struct.unpack(">H", pack[at + 4 : at + 6])
        assert length
        if pack[at + 3] == stream_id:
            body = pack[at + 6 : at + 6 + length]
            found.append(body[3 + body[2] :])
        at += 6 + length
    assert at == len(pack)
    return b"".join(found)

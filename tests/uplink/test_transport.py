"""SIP sockets over loopback: admission, streams, limits, and peers that break."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps

import pytest

from retention.clock import SystemClock
from tests.support.box import free_port
from tests.uplink.sip.test_message import QUERY
from uplink.guard import Guard
from uplink.interface import LinkWatch, reach_of_interface
from uplink.resolver import Resolver
from uplink.sip.transactions import Path
from uplink.transport import INCOMING_MAX, UNSENT_BYTES_MAX, Place, SipSocket, SocketUnavailable

pytestmark = pytest.mark.integration


def running(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    @wraps(test)
    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    return run


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Path]] = []
        self.lost: list[Path] = []
        self.dropped: Counter[str] = Counter()


@contextlib.asynccontextmanager
async def listening(
    *, with_tcp: bool = True, hosts: frozenset[str] = frozenset({"127.0.0.1"})
) -> AsyncIterator[tuple[SipSocket, Heard]]:
    heard = Heard()
    guard = Guard()
    guard.allow({"police": hosts})
    made = SipSocket(
        Place(interface="", bind="127.0.0.1", port=free_port()),
        guard,
        SystemClock(),
        with_tcp=with_tcp,
        receive=lambda data, path: heard.messages.append((data, path)),
        lost=heard.lost.append,
        dropped=lambda reason: heard.dropped.update((reason,)),
    )
    assert made.look()
    assert not made.look()
    try:
        yield made, heard
    finally:
        made.close()


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not probe():
            await asyncio.sleep(0.005)


@running
async def test_udp_both_ways() -> None:
    async with listening() as (made, heard):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(5)
            peer.sendto(b"\r\n\r\n", ("127.0.0.1", made.place.port))  # a NAT ping is nothing
            peer.sendto(QUERY, ("127.0.0.1", made.place.port))
            await until(lambda: bool(heard.messages))
            ((data, path),) = heard.messages
            assert data == QUERY
            assert path == Path(transport="udp", host="127.0.0.1", port=peer.getsockname()[1])
            assert made.send(b"answer", path)
            assert peer.recv(100) == b"answer"
        assert not made.send(b"x" * 70_000, path)
        assert heard.dropped["datagram_too_large"] == 1


@running
async def test_ipv6() -> None:
    heard: list[Path] = []
    guard = Guard()
    guard.allow({"police": frozenset({"::1"})})
    made = SipSocket(
        Place(interface="", bind="::1", port=free_port(), is_ipv6=True),
        guard,
        SystemClock(),
        with_tcp=True,
        receive=lambda data, path: heard.append(path),
        lost=lambda path: None,
        dropped=lambda reason: None,
    )
    assert made.look()
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
            peer.bind(("::1", 0))
            peer.settimeout(5)
            peer.sendto(QUERY, ("::1", made.place.port))
            await until(lambda: bool(heard))
            assert heard[0].host == "::1"
            assert made.send(b"answer", heard[0])
            assert peer.recv(100) == b"answer"
        reader, writer = await asyncio.open_connection("::1", made.place.port)
        writer.write(QUERY)
        await until(lambda: len(heard) == 2)
        assert made.send(b"answer", heard[1])
        assert await reader.readexactly(6) == b"answer"
        writer.close()
    finally:
        made.close()


@running
async def test_a_stream_that_a_platform_opened() -> None:
    """Messages cut anywhere, the answer on the same connection, its end told."""
    async with listening() as (made, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", made.place.port)
        for piece in (QUERY[:50], QUERY[50:] + b"\r\n\r\n" + QUERY[:7], QUERY[7:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        await until(lambda: len(heard.messages) == 2)
        path = heard.messages[0][1]
        assert path.connection > 0
        assert made.send(b"answer", path)
        assert await reader.readexactly(6) == b"answer"
        writer.close()
        await until(lambda: heard.lost == [path])
        assert not made.send(b"late", path)
        assert made.connections == 0


@running
async def test_a_stream_that_lost_its_frame_is_closed() -> None:
    async with listening() as (made, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", made.place.port)
        writer.write(b"nonsense\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert heard.dropped["malformed"] == 1
        assert made.connections == 0


@running
async def test_connections_are_bounded_and_strangers_let_go() -> None:
    async with listening() as (made, heard):
        writers = [
            (await asyncio.open_connection("127.0.0.1", made.place.port))[1]
            for _ in range(INCOMING_MAX + 3)
        ]
        await until(lambda: heard.dropped["connections_full"] == 3)
        assert made.connections == INCOMING_MAX
        for writer in writers:
            writer.close()
        await until(lambda: made.connections == 0)
    async with listening(hosts=frozenset({"192.0.2.1"})) as (made, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", made.place.port)
        assert await reader.read() == b""
        writer.close()
        assert heard.dropped["stranger"] == 1


@running
async def test_our_connection_is_opened_when_needed_and_kept() -> None:
    got = bytearray()
    ended: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            got.extend(data)
        writer.close()
        ended.append(True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, listening() as (made, heard):
        path = Path(transport="tcp", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        assert made.send(b"one ", path)
        assert made.send(b"two", path)  # while it connects
        await until(lambda: got == b"one two")
        assert made.connections == 1
        made.reset(path)
        assert heard.lost == [path]
        await until(lambda: len(ended) == 1)
        assert made.send(b"again", path)
        await until(lambda: got == b"one twoagain")
        made.close()
        await until(lambda: len(ended) == 2)


@running
async def test_nobody_there() -> None:
    async with listening() as (made, heard):
        path = Path(transport="tcp", host="127.0.0.1", port=free_port())
        made.send(b"hello", path)
        await until(lambda: heard.lost == [path])
        assert made.connections == 0


@running
async def test_a_peer_that_takes_nothing_is_given_up() -> None:
    """What cannot be sent is bounded in bytes."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with listening() as (made, heard):
            path = Path(transport="tcp", host="127.0.0.1", port=deaf.getsockname()[1])
            made.send(b"x", path)
            await asyncio.sleep(0.05)
            sent = 0
            while made.send(b"x" * 60_000, path):
                sent += 60_000
                assert sent < UNSENT_BYTES_MAX + 16 * 2**20  # and the kernel's buffers
            await until(lambda: heard.lost == [path])
            assert heard.dropped["unsent_full"] == 1


@running
async def test_a_port_that_is_taken() -> None:
    async with listening() as (made, _):
        second = SipSocket(
            made.place,
            Guard(),
            SystemClock(),
            with_tcp=True,
            receive=lambda data, path: None,
            lost=lambda path: None,
            dropped=lambda reason: None,
        )
        with pytest.raises(SocketUnavailable, match="cannot listen"):
            second.look()
        assert not second.is_open


@running
async def test_names() -> None:
    resolver = Resolver()
    assert resolver.of("192.0.2.1") == ("192.0.2.1",)
    assert resolver.of("localhost") == ()
    unknown = "x" * 70  # no name, and nobody is asked
    await resolver.resolve(["localhost", "192.0.2.1", unknown], 0)
    assert "127.0.0.1" in resolver.of("localhost")
    assert resolver.of(unknown) == ()
    assert not resolver.is_due(1)
    assert resolver.is_due(31_000_000)  # a name without an address is asked for soon
    await resolver.resolve(["192.0.2.1"], 0)
    assert not resolver.is_due(10**12)


@running
async def test_interfaces() -> None:
    loopback = reach_of_interface("lo")
    assert (loopback.host, loopback.is_usable) == ("127.0.0.1", True)
    assert not reach_of_interface("no-such-if0").is_usable
    watch = LinkWatch(lambda: None)
    watch.close()

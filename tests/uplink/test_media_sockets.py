"""Sockets that media leave by, where calls end and begin at the same moment."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.box import free_port
from uplink.media_sockets import (
    BURST_BYTES,
    CONNECT_PAUSE_S,
    CONNECT_TRIES,
    Local,
    Pacer,
    PeerGone,
    TcpSink,
    UdpSink,
    open_sink,
)
from uplink.sdp import parse_offer

LOCAL = Local(host="127.0.0.1", interface="")


def sink(kind: str, port: int, *, live: bool = True) -> TcpSink | UdpSink:
    transport = {
        "in": "TCP/RTP/AVP 96\r\na=setup:active",
        "out": "TCP/RTP/AVP 96\r\na=setup:passive",
        "udp": "RTP/AVP 96",
    }[kind]
    text = (
        "v=0\r\no=1 0 0 IN IP4 127.0.0.1\r\ns=Play\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video 9 {transport}\r\na=rtpmap:96 PS/90000\r\ny=0200000001\r\n"
    )
    return open_sink(parse_offer(text.encode()), LOCAL, port, bits_per_second=1e9, live=live)


def test_a_call_that_ends_does_not_deafen_the_one_that_gets_its_descriptor() -> None:
    """A listener that is closed while it is waited at may leave its number to the next one."""

    async def scenario() -> None:
        for _ in range(5):
            ports = free_port(), free_port()
            first = sink("in", ports[0])
            waiting = asyncio.ensure_future(first.open())
            now = asyncio.Event()
            found: list[TcpSink | UdpSink] = []

            async def open_next(now: asyncio.Event, found: list[TcpSink | UdpSink]) -> None:
                await now.wait()
                await found[0].open()

            opening = asyncio.ensure_future(open_next(now, found))
            await asyncio.sleep(0.001)
            now.set()  # the next call begins before the loop has heard of the first one's end
            waiting.cancel()
            first.close()
            found.append(sink("in", ports[1]))
            with suppress(asyncio.CancelledError):
                await waiting
            with socket.create_connection(("127.0.0.1", ports[1]), timeout=2):
                async with asyncio.timeout(2):
                    await opening
            found[0].close()

    asyncio.run(scenario())


def test_only_the_platform_s_media_host_may_connect() -> None:
    async def scenario() -> None:
        port = free_port()
        one = sink("in", port)
        opening = asyncio.ensure_future(one.open())
        await asyncio.sleep(0.01)
        place = ("127.0.0.1", port)
        with socket.create_connection(place, 2, source_address=("127.0.0.2", 0)) as stranger:
            await asyncio.sleep(0.05)
            assert stranger.recv(10) == b""
            assert not opening.done()
        with socket.create_connection(place, 2):
            async with asyncio.timeout(2):
                await opening
        one.close()

    asyncio.run(scenario())


def test_a_platform_that_does_not_listen_is_tried_three_times() -> None:
    async def scenario() -> float:
        one = sink("out", free_port())  # nobody is at the discard port of loopback
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(PeerGone, match="does not answer"):
            await one.open()
        one.close()
        return asyncio.get_running_loop().time() - began_s

    assert asyncio.run(scenario()) >= (CONNECT_TRIES - 1) * CONNECT_PAUSE_S


@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 0.5)), min_size=2, max_size=80),
    st.sampled_from([1e6, 12e6, 1e8]),
)
def test_no_more_leaves_than_the_link_takes_beyond_one_burst(
    sends: list[tuple[int, float]], bits_per_second: float
) -> None:
    """However large a key frame is: in any stretch of time its length times the rate, and a burst.

    What is spent is over the bound by what was sent last at most: that is waited for behind it.
    """
    loop = TimedLoop()
    left: list[tuple[float, int]] = []

    async def scenario() -> None:
        pacer = Pacer(bits_per_second)
        for size, idle_s in sends:
            await asyncio.sleep(idle_s)
            await pacer.spend(size)
            left.append((loop.time(), size))

    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()
    for first in range(len(left)):
        sent = 0
        for at_s, size in left[first:]:
            sent += size
            allowed = BURST_BYTES + (at_s - left[first][0]) * bits_per_second / 8
            assert sent <= allowed + left[first][1] + 1


class TimedLoop(asyncio.SelectorEventLoop):
    """A loop in which sleeping costs no time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 1000.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now_s = max(self._now_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def test_a_call_over_udp_may_end_while_its_socket_takes_nothing() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        problems: list[dict[str, object]] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        for _ in range(5):
            one = sink("udp", free_port() & ~1)
            assert isinstance(one, UdpSink)
            sending = asyncio.ensure_future(one._when_writable(b"x" * 20))
            await asyncio.sleep(0)
            sending.cancel()
            one.close()
            other = socket.socketpair()
            for end in other:
                end.setblocking(False)
            loop.add_writer(other[0].fileno(), lambda: None)
            with suppress(asyncio.CancelledError):
                await sending
            loop.remove_writer(other[0].fileno())
            for end in other:
                end.close()
        await asyncio.sleep(0)
        assert problems == []

    asyncio.run(scenario())

"""Descriptors of a child that nobody wants any more: none stays open, none deafens another."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

import pytest

from edge.camera.link import Link, Supervision
from edge.camera.messages import StreamRequest, StreamSource
from edge.camera.spawner import Child, Spawner
from retention.clock import SystemClock
from tests.edge.camera.events import Events


def test_a_birth_that_nobody_waits_for_leaves_no_descriptor() -> None:
    async def scenario() -> None:
        spawner = Spawner()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spawner._control = ours
        with ours, theirs:
            asking = asyncio.ensure_future(spawner.spawn())
            while spawner._born is None:
                await asyncio.sleep(0)
            told, pidfd = os.pipe()
            spawner._born.set_result((1, pidfd))
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(pidfd)
            os.close(told)

    asyncio.run(scenario())


def test_a_request_that_is_given_up_does_not_deafen_who_gets_its_descriptor() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # the child reads nothing
                ours.send(b"x" * 65_536)
        number = ours.fileno()
        link = Link(
            Child(os.getpid(), -1, ours),
            Events(),
            clock=SystemClock(),
            limits=Supervision(),
            on_unit=lambda: None,
        )
        heard = asyncio.Event()
        others: list[socket.socket] = []

        async def attempt() -> None:
            try:
                await link.request(StreamRequest(source=StreamSource(urls=()), audio=False))
            finally:
                link.close()
                others.extend(socket.socketpair())
                loop.add_writer(others[0], heard.set)
                loop.add_reader(others[0], heard.set)

        attempting = asyncio.ensure_future(attempt())
        await asyncio.sleep(0.01)
        attempting.cancel()
        with suppress(asyncio.CancelledError):
            await attempting
        assert number in [one.fileno() for one in others]
        async with asyncio.timeout(5):
            await heard.wait()
        assert loop.remove_reader(others[0])
        assert loop.remove_writer(others[0])
        for one in (theirs, *others):
            one.close()

    asyncio.run(scenario())

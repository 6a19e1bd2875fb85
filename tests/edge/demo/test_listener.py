"""edge.demo.listener: a port that refuses and comes back."""

import asyncio

import pytest

from edge.demo.listener import HOST, Listener


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(1))
    writer.close()


async def _echo(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"x")
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_port_refuses_and_accepts_again_under_the_same_number() -> None:
    async def play() -> None:
        listener = Listener(_serve)
        for _ in range(3):
            await listener.open()
            assert listener.is_open
            assert await _echo(listener.port) == b"x"
            listener.refuse()
            with pytest.raises(ConnectionRefusedError):
                await _echo(listener.port)
        listener.close()

    asyncio.run(play())


def test_a_taken_port_is_told() -> None:
    async def play() -> None:
        first = Listener(_serve)
        await first.open()
        with pytest.raises(OSError, match="in use"):
            await Listener(_serve, port=first.port).open()
        first.close()

    asyncio.run(play())

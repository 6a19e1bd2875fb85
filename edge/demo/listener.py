"""A TCP port that can refuse and accept again without losing its number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Serves connections on a loopback port; a socket that never listens holds the number.

    ``port`` is 0 until the first :meth:`open`, unless it is fixed.
    """

    def __init__(self, serve: Serve, *, port: int = 0, buffer_bytes: int = 64 * 1024) -> None:
        self._serve = serve
        self._buffer_bytes = buffer_bytes
        self._holder: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self.port = port

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        """Accept connections (again). Raises OSError when a fixed port is taken."""
        if self._holder is None:
            self._holder = _bound(self.port)
            self.port = self._holder.getsockname()[1]
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, sock=_bound(self.port), limit=self._buffer_bytes
            )

    def refuse(self) -> None:
        """Refuse new connections; those that stand go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Give the port back."""
        self.refuse()
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def _bound(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((HOST, port))
    except OSError:
        one.close()
        raise
    return one

"""The pool's side of the fork server (:mod:`edge.camera.entry`). Shell, on the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

from config.errors import Retry, XueliangError

log = logging.getLogger(__name__)

START_TIMEOUT_S = 20.0


class SpawnFailed(XueliangError):
    """No child process could be had."""

    code = "spawn_failed"


class Child:
    """One camera's process, and our end of its socket. Signals go by pidfd: never to a stranger."""

    def __init__(self, pid: int, pidfd: int, link: socket.socket) -> None:
        self.pid = pid
        self.link = link
        self._pidfd = pidfd
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def send(self, number: signal.Signals) -> None:
        """Signals the process if it still lives."""
        if self._pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def rss_bytes(self) -> int:
        """Resident bytes, shared pages included; 0 once it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def close(self) -> None:
        """Kills what still lives and lets go of the descriptors."""
        self.send(signal.SIGKILL)
        self.link.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Spawner:
    """Starts the fork server when first needed, and again when it died."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._control: socket.socket | None = None
        self._server: asyncio.subprocess.Process | None = None
        self._children: dict[int, Child] = {}
        self._born: asyncio.Future[tuple[int, int]] | None = None
        self._number = 0

    async def warm_up(self) -> None:
        """Start the fork server before it is needed: it loads the reader meanwhile.

        Where that fails, the first :meth:`spawn` tells.
        """
        async with self._turn:
            if self._control is None:
                with suppress(SpawnFailed):
                    await self._start()

    async def spawn(self) -> Child:
        """A new child that waits for its request; SpawnFailed when there is none to be had."""
        async with self._turn:
            if self._control is None:
                await self._start()
            assert self._control is not None
            ours, theirs = socket.socketpair()
            self._born = asyncio.get_running_loop().create_future()
            self._number += 1
            try:
                with theirs:
                    socket.send_fds(
                        self._control, [f"spawn {self._number}".encode()], [theirs.fileno()]
                    )
                async with asyncio.timeout(START_TIMEOUT_S):
                    pid, pidfd = await self._born
            except (OSError, TimeoutError) as error:
                ours.close()
                raise SpawnFailed(
                    "no process for a camera could be started", retry=Retry.LATER
                ) from error
            except BaseException:
                ours.close()
                if self._born.done() and not self._born.cancelled() and not self._born.exception():
                    os.close(self._born.result()[1])  # born in the moment that nobody wanted it
                raise
            finally:
                self._born = None
            ours.setblocking(False)
            child = Child(pid, pidfd, ours)
            self._children[pid] = child
            return child

    async def close(self) -> None:
        """Ends the fork server, and with it every child."""
        self._lose_server()
        if self._server is not None:
            try:
                async with asyncio.timeout(3):
                    await self._server.wait()
            except TimeoutError:
                self._server.kill()
                await self._server.wait()
            self._server = None

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "edge.camera.entry",
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise SpawnFailed(
                    "the camera processes' server could not be started", retry=Retry.LATER
                ) from error
            except BaseException:
                ours.close()  # cancelled: what was started ends by itself
                raise
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._on_control)

    def _on_control(self) -> None:
        assert self._control is not None
        try:
            line, fds, _, _ = socket.recv_fds(self._control, 256, 1)
        except BlockingIOError:
            return
        except OSError:
            line, fds = b"", []
        if not line:
            log.error("camera_server_died")
            self._lose_server()
            return
        word, *fields = line.decode("ascii").split()
        numbers = [int(number) for number in fields]
        born = self._born if self._born is not None and not self._born.done() else None
        if word == "exited":
            child = self._children.pop(numbers[0], None)
            if child is not None and not child.exited.done():
                child.exited.set_result(numbers[1])
        elif born is None or numbers[0] != self._number:
            for fd in fds:  # born too late to be wanted: its socket is closed, so it ends
                os.close(fd)
        elif word == "spawned":
            born.set_result((numbers[1], fds[0]))
        else:
            born.set_exception(OSError(numbers[1], "fork"))

    def _lose_server(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control)
            control.close()
        if self._born is not None and not self._born.done():
            self._born.set_exception(OSError("the camera processes' server died"))
        children, self._children = self._children, {}
        for child in children.values():
            if not child.exited.done():
                child.exited.set_result(None)

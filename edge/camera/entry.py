"""The fork server of the camera children: ``python -m edge.camera.entry FD``.

It imports the reader once and forks a child for each request on the socket FD, so that a child
starts within milliseconds and shares those pages. Single-threaded by design: forking is safe here.
It ends when the pool closes the socket; its children end with it.

Wire (SOCK_SEQPACKET): in ``spawn NUMBER`` with the child's socket; out ``spawned NUMBER PID`` with
a pidfd, or ``failed NUMBER ERRNO``; and ``exited PID STATUS`` (negative: the signal that killed it)
at any time.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import traceback
from types import FrameType

_PR_SET_PDEATHSIG = 1
_CRASHED = 70


def main(control: socket.socket) -> None:
    """Serves spawn requests until the pool is gone."""
    import edge.camera.worker  # noqa: F401 - the point of this process: the reader is loaded once

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def reap(_number: int, _frame: FrameType | None) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _tell(control, f"exited {pid} {os.waitstatus_to_exitcode(status)}")

    signal.signal(signal.SIGCHLD, reap)
    gc.collect()
    gc.freeze()  # the collector of a child touches none of the shared pages
    while True:
        try:
            request, fds, _, _ = socket.recv_fds(control, 64, 1)
        except ConnectionError:
            return
        if not request:
            return
        # no child may be reported dead before it is reported born
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        _spawn(control, fds[0], request.decode("ascii").split()[1])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _spawn(control: socket.socket, fd: int, number: str) -> None:
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(fd)
        _tell(control, f"failed {number} {error.errno}")
        return
    if pid == 0:
        _child(server, control, fd)
    os.close(fd)
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(control, [f"spawned {number} {pid}".encode()], [pidfd])
    except OSError:
        os._exit(0)  # the pool is gone
    finally:
        os.close(pidfd)


def _child(server: int, control: socket.socket, fd: int) -> None:
    """Never returns."""
    status = _CRASHED
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        control.close()
        if os.getppid() == server:
            from edge.camera import worker

            status = worker.run(socket.socket(fileno=fd))
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not live on as a server
        traceback.print_exc()
    finally:
        os._exit(status)


def _tell(control: socket.socket, line: str) -> None:
    try:
        control.send(line.encode())
    except OSError:
        os._exit(0)  # the pool is gone


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

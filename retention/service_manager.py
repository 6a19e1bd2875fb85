"""What a service tells the service manager: ready, stopping, and that it makes progress. Shell.

The protocol is sd_notify(3): datagrams to the socket that ``NOTIFY_SOCKET`` names. Without one
(``xueliang run``, tests) nothing is told, and nobody waits for it. The variable is taken out of the
environment, so that no child speaks for the service.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping

from retention.progress import Progress

log = logging.getLogger(__name__)


class ServiceManager:
    """Tells; a message that does not arrive is the manager's own time-out."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        path = environment.pop("NOTIFY_SOCKET", "")
        environment.pop("WATCHDOG_USEC", None)
        environment.pop("WATCHDOG_PID", None)
        self._socket: socket.socket | None = None
        self._stalled: tuple[str, ...] = ()
        if not path:
            return
        address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            log.warning("service_manager_unreachable", extra={"error": str(error)})
            self.close()

    def ready(self) -> None:
        """The service does from now on what it is there for."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The service was asked to end, and does."""
        self._tell("STOPPING=1")

    def feed(self, progress: Progress, now_us: int) -> None:
        """Feed the watchdog if every part makes progress; else say which does not, once."""
        stalled = progress.stalled(now_us)
        if stalled != self._stalled:
            self._stalled = stalled
            if stalled:
                log.critical("no_progress", extra={"parts": ",".join(stalled)})
        if not stalled:
            self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Nothing is told any more. May be called again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, state: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(state.encode())
        except OSError as error:  # a full queue, or a manager that is being replaced
            log.warning("service_manager_not_told", extra={"state": state, "error": str(error)})

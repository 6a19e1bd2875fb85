"""``/metrics``, ``/healthz`` and ``/status`` of a service on loopback. Shell: a thread a request.

``/status`` is for the other services and commands of this box, which run as other users: what is
recorded, on which disks (ARCHITECTURE.md, "What edge tells uplink"); which platforms have us. No
secret, no address of a camera.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from config.errors import XueliangError

#: A peer that sends nothing is left after this long.
REQUEST_TIMEOUT_S = 5


class EndpointUnavailable(XueliangError):
    """The metrics address cannot be listened on."""

    code = "endpoint_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Does the service do what it is there for, and if not, why, by camera or platform."""

    is_healthy: bool
    reasons: dict[str, str]


class Endpoint:
    """Serves until :meth:`close`.

    Raises:
        EndpointUnavailable: the address is taken or not of this machine.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Callable[[], Health],
        told: Callable[[], Any] = dict,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path == "/healthz":
                    state = health()
                    body = {"healthy": state.is_healthy, "reasons": state.reasons}
                    text = json.dumps(body, ensure_ascii=False).encode()
                    self._answer(200 if state.is_healthy else 503, "application/json", text)
                elif self.path == "/status":
                    text = json.dumps(told(), ensure_ascii=False).encode()
                    self._answer(200, "application/json", text)
                else:
                    self._answer(404, "text/plain", b"known: /metrics /healthz /status\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are not worth a line."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise EndpointUnavailable(
                f"metrics cannot listen on {host}:{port} ({error.strerror})",
                hint="set [metrics] bind to a free loopback address",
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="endpoint", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

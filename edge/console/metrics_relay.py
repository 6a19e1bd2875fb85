"""``/metrics/<service>``: a district's Prometheus reads each service's figures here. Shell.

The services' own endpoints are on loopback and without a password; this one asks for a token.
"""

from __future__ import annotations

import asyncio
import http.client

from starlette.responses import Response

from config.errors import Retry, XueliangError
from edge.console.guard import NotFound
from edge.console.roles import Permission, Scope
from edge.console.rules import Kind, Rule
from edge.console.visit import Visit

TIMEOUT_S = 8.0
BYTES_MAX = 32 * 2**20
#: Ports behind edge's own (design.md, metrics).
SERVICES = {"edge": 0, "uplink": 1, "console": 2}


class ServiceSilent(XueliangError):
    """The service does not answer on loopback."""

    code = "service_silent"


async def relay(visit: Visit) -> Response:
    service = visit.request.path_params["service"]
    if service not in SERVICES:
        raise NotFound("there is no such service", hint=f"known: {', '.join(SERVICES)}")
    bind = visit.parts.settings.metrics.bind
    kind, content = await asyncio.to_thread(
        _read, bind.host, bind.port + SERVICES[service], service
    )
    return Response(content, headers={"Content-Type": kind})


def _read(host: str, port: int, service: str) -> tuple[str, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        content = answer.read(BYTES_MAX)
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        return answer.headers.get("Content-Type", "text/plain"), content
    except (OSError, http.client.HTTPException) as error:
        raise ServiceSilent(
            f"{service} does not tell its figures", hint="does it run?", retry=Retry.LATER
        ) from error
    finally:
        connection.close()


RULES = (
    Rule(
        method="GET",
        path="/metrics/{service}",
        endpoint=relay,
        permission=Permission.METRICS,
        kind=Kind.DATA,
        scope=Scope.METRICS,
        is_background=True,
    ),
)

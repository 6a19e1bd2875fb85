"""The ONVIF child: one JSON request a line on stdin, one JSON answer a line on stdout.

Each request has a thread of its own, so a silent camera delays no other. Credentials come with the
request, never by argv or environment. Ends with its stdin.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from config import log
from edge.camera.errors import CameraError
from edge.camera.onvif import OnvifCamera
from retention.clock import SystemClock
from retention.model import GapCause

REQUESTS_MAX = 64

_lock = threading.Lock()


def main() -> None:
    log.set_up()
    with ThreadPoolExecutor(REQUESTS_MAX, "onvif") as pool:
        for line in sys.stdin:
            pool.submit(_serve, json.loads(line))


def _serve(request: dict[str, Any]) -> None:
    answer: dict[str, Any]
    try:
        camera = OnvifCamera(
            request["address"], request["username"], request["password"], SystemClock()
        )
        answer = {"description": asdict(camera.describe(request["profile"]))}
    except CameraError as error:
        answer = {"cause": error.cause, "detail": error.detail}
    except Exception as error:  # noqa: BLE001 - a supervision point: told to who asked
        kind = type(error).__name__
        answer = {
            "cause": GapCause.STREAM_DAMAGED,
            "detail": f"ONVIF answers with nonsense ({kind})",
        }
    with _lock:
        sys.stdout.write(json.dumps({"id": request["id"], **answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

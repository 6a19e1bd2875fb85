"""The ONVIF process: ``python -m edge.camera.onvif_child FD``, one for all cameras. Shell.

A request and an answer are each a line of JSON on the socket FD, told apart by ``id``. Each
request has a thread of its own, so that a silent camera delays none but itself; of descriptions,
of orders, and of care, only one for an address runs at a time. A request to ``watch`` or
``unwatch`` a camera gets no answer; lines about watched cameras (``event``, ``watch``) have no
``id``. The process ends when the socket does, and gives its subscriptions back first.
Passwords come over the socket and go to the camera only.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from config import log as logging_setup
from config.address import Address
from config.secrets import Secret
from edge.camera import onvif
from edge.camera.description import dumps, encode
from edge.camera.discovery import Announcement
from edge.camera.discovery_probe import discover
from edge.camera.errors import CameraError
from edge.camera.onvif_care import Carer
from edge.camera.onvif_events import Events, watched_of
from edge.camera.onvif_orders import Orderer
from retention.clock import Clock, SystemClock
from retention.model import GapCause
from retention.plain import encoder

#: Twice the cameras of the largest box.
THREADS_MAX = 128

log = logging.getLogger(__name__)


class Server:
    """Answers requests until the other end closes."""

    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[tuple[str, str]] = set()
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="onvif")
        self._orderer = Orderer(clock)
        self._carer = Carer(clock)
        self._events = Events(clock, self._send)

    def run(self) -> None:
        """Serves until the parent is gone; never waits for cameras then."""
        onvif.preload()
        self._send({"ready": True})
        with self._link.makefile("rb") as lines:
            for line in lines:
                self._take(json.loads(line))
        self._events.close()

    def _take(self, request: dict[str, Any]) -> None:
        if "watch" in request:
            logging_setup.hide(Secret(request["watch"]["password"]))
            self._events.watch(watched_of(request["watch"]))
        elif "unwatch" in request:
            self._events.unwatch(request["unwatch"])
        elif "discover" in request:
            self._threads.submit(self._discover, request)
        else:
            self._threads.submit(self._serve, request)

    def _discover(self, request: dict[str, Any]) -> None:
        found = discover(
            request["discover"], request["addresses"], group=request["group"], port=request["port"]
        )
        self._send({"id": request["id"], "found": [encoder(Announcement)(one) for one in found]})

    def _serve(self, request: dict[str, Any]) -> None:
        kind = next((kind for kind in ("order", "care") if kind in request), "describe")
        what = (request["address"], kind)
        with self._lock:
            is_busy = what in self._busy
            self._busy.add(what)
        if is_busy:
            late = "the camera's ONVIF service still owes the last answer"
            self._send(_failure(request, GapCause.CAMERA_OFFLINE, late, ""))
            return
        try:
            answer = self._answer(request)
        finally:
            with self._lock:
                self._busy.discard(what)
        self._send(answer)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        logging_setup.hide(Secret(request["password"]))
        whom = (
            Address.parse(request["address"]),
            request["username"],
            request["password"],
            request["profile"],
        )
        try:
            if "order" in request:
                result = self._orderer.order(*whom, request["order"], request["arguments"])
                return {"id": request["id"], "result": result}
            if "care" in request:
                result = self._carer.care(*whom, request["care"], request["arguments"])
                return {"id": request["id"], "result": result}
            description = onvif.describe(*whom, clock=self._clock)
        except CameraError as error:
            return _failure(request, error.cause, error.detail, error.hint)
        except Exception:  # one camera's surprise ends no other camera's
            log.exception("onvif_answer_unexpected", extra={"address": request["address"]})
            detail = "the camera's ONVIF answers could not be understood"
            return _failure(request, GapCause.STREAM_DAMAGED, detail, "")
        return {"id": request["id"], "description": encode(description)}

    def _send(self, document: dict[str, Any]) -> None:
        """A parent that is gone is noticed by :meth:`run`, at the same time."""
        try:
            with self._lock:
                self._link.sendall(dumps(document))
        except OSError:
            log.debug("parent_gone")


def _failure(request: dict[str, Any], cause: GapCause, detail: str, hint: str) -> dict[str, Any]:
    return {"id": request["id"], "cause": cause.value, "detail": detail, "hint": hint}


def main() -> None:
    logging_setup.set_up()
    Server(socket.socket(fileno=int(sys.argv[1])), SystemClock()).run()
    os._exit(0)  # threads that wait for cameras are not waited for


if __name__ == "__main__":
    main()

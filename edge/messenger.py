"""Tells somebody outside, one POST a document, until it was taken. Shell.

A thread of its own, which alone resolves names and waits for the network; nothing waits for it. An
``https`` address must show a certificate that this machine, or the given file, trusts; a redirect
is not followed, a proxy not asked. What was not taken waits on disk (:mod:`retention.waiting`).
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.errors import Retry, XueliangError
from retention.waiting import Waiting

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024
#: After a failure the next attempt waits so long, then twice that, and so on.
RETRY_S = 60.0
RETRY_MAX_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is told.

    Args:
        url: empty: nobody.
        ca_file: PEM of whom to trust, if not the machine's own authorities.
        settings: the keys to look at when it does not work, for people.
        headers: told along; may hold a secret.
    """

    url: str
    ca_file: Path | None = None
    settings: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Unreachable(XueliangError):
    """The receiver did not take a document."""

    code = "receiver_unreachable"


def post(receiver: Receiver, body: bytes, timeout_s: float = TIMEOUT_S) -> None:
    """Hand over one document.

    Raises:
        Unreachable: no connection, no trust, no answer, or another one than 2xx. It names the host
            alone: a path or a query may be a secret.
    """
    parts = urlsplit(receiver.url)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=receiver.ca_file)
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("POST", target, body, {**receiver.headers, **headers})
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
            status = answer.status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(
            f"{host} does not answer: {error}",
            hint=f"see {receiver.settings}",
            retry=Retry.LATER,
        ) from error
    if not 200 <= status < 300:
        raise Unreachable(f"{host} answers {status}", retry=Retry.LATER)


class Messenger:
    """Keeps documents until the receiver has them.

    Args:
        name: of the thread, and in the log.
        waiting: where they wait.
        receiver: the one in force now; may raise :class:`XueliangError`.
        count: told ``ok``, ``failed`` or ``lost`` for each attempt, from the thread.
    """

    def __init__(
        self,
        name: str,
        waiting: Waiting,
        receiver: Callable[[], Receiver],
        count: Callable[[str], None],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._name = name
        self._waiting = waiting
        self._receiver = receiver
        self._count = count
        self._retry_s = retry_s
        self._awake = threading.Event()
        self._is_stopping = False
        #: Whether the last attempt failed; None before the first.
        self.is_failing: bool | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """What was not told yet waits for the next start."""
        self._is_stopping = True
        self._awake.set()
        self._thread.join(timeout_s)

    def tell(self, document: Mapping[str, Any]) -> None:
        """Queue a document. Blocks as long as a small file takes."""
        try:
            lost = self._waiting.add(document)
        except OSError as error:
            log.error("message_lost", extra={"to": self._name, "error": str(error)})
            lost = 1
        for _ in range(lost):
            self._count("lost")
        self._awake.set()

    def _run(self) -> None:
        wait_s = self._retry_s
        while not self._is_stopping:
            self._awake.clear()
            if self._tell_all():
                wait_s = self._retry_s
                self._awake.wait()
            else:
                self._awake.wait(wait_s)
                wait_s = min(wait_s * 2, RETRY_MAX_S)

    def _tell_all(self) -> bool:
        """Whether nothing is left to be told."""
        while not self._is_stopping:
            try:
                receiver = self._receiver()
                oldest = self._waiting.oldest() if receiver.url else None
                if oldest is None:
                    self.is_failing = False
                    return True
                post(receiver, oldest[1])
                self._waiting.told(oldest[0])
            except (XueliangError, OSError) as error:
                self.is_failing = True
                self._count("failed")
                log.warning("message_not_taken", extra={"to": self._name, "error": str(error)})
                return False
            self._count("ok")
        return True

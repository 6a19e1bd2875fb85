"""Tells the outside witness where journal and chains end: one POST a statement. Shell.

A thread of its own, which alone resolves names and waits for the network; nothing waits for it.
An ``https`` witness must show a certificate that this machine, or ``witness_ca_file``, trusts; a
redirect is not followed, a proxy not asked.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.errors import Retry, XueliangError
from config.schema import Evidence
from retention.witness import Waiting

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024
#: After a failure the next attempt waits so long, then twice that, and so on.
RETRY_S = 60.0
RETRY_MAX_S = 3600.0


class WitnessUnreachable(XueliangError):
    """The witness did not take a statement."""

    code = "witness_unreachable"


def post(url: str, ca_file: Path | None, body: bytes, timeout_s: float = TIMEOUT_S) -> None:
    """Hand over one statement.

    Raises:
        WitnessUnreachable: no connection, no trust, no answer, or another one than 2xx.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            connection.request(
                "POST", target, body, {"Content-Type": "application/json", "Connection": "close"}
            )
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
            status = answer.status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WitnessUnreachable(
            f"the witness at {host} does not answer: {error}",
            hint="see [evidence] witness_url and witness_ca_file",
            retry=Retry.LATER,
        ) from error
    if not 200 <= status < 300:
        raise WitnessUnreachable(f"the witness at {host} answers {status}", retry=Retry.LATER)


class Witness:
    """Keeps statements until the witness has them.

    Args:
        settings: those in force now.
        count: told ``ok``, ``failed`` or ``lost`` for each attempt, from the thread.
    """

    def __init__(
        self,
        state_dir: Path,
        settings: Callable[[], Evidence],
        count: Callable[[str], None],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._waiting = Waiting(state_dir)
        self._settings = settings
        self._count = count
        self._retry_s = retry_s
        self._awake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """What was not told yet waits for the next start."""
        self._is_stopping = True
        self._awake.set()
        self._thread.join(timeout_s)

    def tell(self, document: dict[str, Any]) -> None:
        """Queue a statement, if there is a witness at all. Blocks as long as a small file takes."""
        if not self._settings().witness_url:
            return
        try:
            lost = self._waiting.add(document)
        except OSError as error:
            log.error("witness_statement_lost", extra={"error": str(error)})
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
            settings = self._settings()
            try:
                oldest = self._waiting.oldest() if settings.witness_url else None
                if oldest is None:
                    return True
                post(settings.witness_url, settings.witness_ca_file, oldest[1])
                self._waiting.told(oldest[0])
            except (WitnessUnreachable, OSError) as error:
                self._count("failed")
                log.warning("witness_not_told", extra={"error": str(error)})
                return False
            self._count("ok")
        return True

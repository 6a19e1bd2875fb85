"""Tells the outside witness where journal and chains end. Shell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from config.schema import Evidence
from edge.messenger import RETRY_S, Messenger, Receiver
from retention.waiting import Waiting
from retention.witness import FOLDER, WAITING_MAX


class Witness(Messenger):
    """Keeps statements until the witness has them.

    Args:
        settings: those in force now.
    """

    def __init__(
        self,
        state_dir: Path,
        settings: Callable[[], Evidence],
        count: Callable[[str], None],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._settings = settings
        super().__init__(
            "witness",
            Waiting(state_dir / FOLDER, WAITING_MAX),
            lambda: receiver_of(settings()),
            count,
            retry_s=retry_s,
        )

    def tell(self, document: Mapping[str, Any]) -> None:
        """Queue a statement, if there is a witness at all."""
        if self._settings().witness_url:
            super().tell(document)


def receiver_of(settings: Evidence) -> Receiver:
    return Receiver(
        url=settings.witness_url,
        ca_file=settings.witness_ca_file,
        settings="[evidence] witness_url and witness_ca_file",
    )

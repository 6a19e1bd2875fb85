"""What an outside witness is told: where journal and chains end, signed. Shell.

A statement holds no picture and no password: the site's name, the journal's newest entry (number
and hash), of each camera the newest link of its chain, the box's public key, and its signature.
What it proves once a stranger holds it: nothing that came before that entry was signed anew since,
not even by somebody who has the box's own key. Nothing more: what was put into the journal before
was put there by the box.

Statements wait as files, the oldest first, so that an outage or a restart loses none of them before
:data:`WAITING_MAX` are there; then the oldest goes, since each later one covers it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.export_verifier import STATEMENT, canonical
from retention.index import rows

FOLDER = "witness"
#: Three months of hourly ones.
WAITING_MAX = 2200


def statement(
    connection: sqlite3.Connection, site: str, at_us: int, key: Ed25519PrivateKey
) -> dict[str, Any] | None:
    """The heads as the index has them; None while there is no journal."""
    last = rows.last_entry(connection)
    if last is None:
        return None
    cameras = {
        camera: {"position": row.position + row.segments, "link": row.after.hex()}
        for camera in rows.cameras_ever(connection)
        if (row := rows.last_checkpoint(connection, camera)) is not None
    }
    document: dict[str, Any] = {
        "format": STATEMENT,
        "site": site,
        "at_us": at_us,
        "journal": {"seq": last.seq, "hash": last.hash},
        "cameras": cameras,
        "key": key.public_key().public_bytes_raw().hex(),
    }
    return {**document, "signature": key.sign(canonical(document)).hex()}


class Waiting:
    """Statements that the witness has not got, as files ``<number>.json``.

    Every method raises :class:`OSError`.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def add(self, document: Mapping[str, Any]) -> int:
        """Keep one more; how many old ones had to go for it."""
        self._folder.mkdir(mode=0o750, exist_ok=True)
        names = self._names()
        number = int(names[-1][: -len(".json")]) + 1 if names else 1
        beside = self._folder / "next.new"
        with beside.open("wb") as file:
            file.write(json.dumps(document, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, self._folder / f"{number:012}.json")
        lost = names[: max(0, len(names) + 1 - WAITING_MAX)]
        for name in lost:
            (self._folder / name).unlink()
        return len(lost)

    def oldest(self) -> tuple[str, bytes] | None:
        """Name and content of the one to be told next."""
        names = self._names()
        return (names[0], (self._folder / names[0]).read_bytes()) if names else None

    def told(self, name: str) -> None:
        """The witness has it."""
        (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name.endswith(".json"))

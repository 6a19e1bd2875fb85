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

import sqlite3
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

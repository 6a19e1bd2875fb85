"""A small store as the program of an earlier commit wrote it, kept for test_old_stores.

    python tests/retention/index/old_store.py COMMIT

Give the last commit of each schema. That commit's program and helpers live the store; it says
itself what it recorded (``facts.json``), so that a later program is held against its word.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

STORES = Path(__file__).parent / "stores"
CAMERAS = ("gate", "hall")
#: Seconds of the story: the last life begins, what is sealed ends, what was in hand when the power
#: failed ends.
LIFE_S, SEALED_S, END_S = 40, 43, 45
SEGMENTS = (
    "SELECT camera, number, run, start_us, end_us, size_bytes, lower(hex(digest)) FROM segment"
    " WHERE state = 'sealed' AND number <= 8 ORDER BY camera, number"
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def put_key(state_dir: Path) -> None:
    """The box's signing key, which is not kept in the archives."""
    path = state_dir / "signing-key.pem"
    path.write_bytes(KEY)
    path.chmod(0o600)


def facts(index_path: Path, volumes: tuple[Path, ...]) -> dict[str, Any]:
    """What was recorded, as the program that is imported tells it."""
    from retention.read import Store
    from tests.retention.storing import S
    from tests.retention.writing import T0

    told: dict[str, Any] = {}
    with _read_only(index_path) as connection:
        told["segments"] = [list(row) for row in connection.execute(SEGMENTS)]
    with Store(index_path, volumes) as store:
        for camera in CAMERAS:
            line = store.timeline(camera, T0, T0 + LIFE_S * S, T0 + END_S * S)
            footage = hashlib.sha256()
            for one in store.access_units(camera, T0, T0 + SEALED_S * S):
                footage.update(b"%d %d " % (one.unit.pts_us, one.unit.is_key))
                footage.update(one.unit.data)
            told[camera] = {
                "spans": [[one.start_us, one.end_us] for one in line.spans],
                "gaps": [[one.start_us, one.end_us, one.cause.value] for one in line.gaps],
                "footage": footage.hexdigest(),
            }
    return told


def _read_only(index_path: Path) -> closing[sqlite3.Connection]:
    """The write-ahead log stays as the power cut left it."""
    return closing(sqlite3.connect(f"file:{index_path}?mode=ro", uri=True))


def live(folder: Path) -> None:
    """``folder/box``: the store as a power cut left it. Runs in the tree of the earlier commit."""
    from retention.index import rows
    from tests.retention.storing import Site, fragment

    make = Site.make

    def make_with_key(below: Path, count: int = 1) -> Site:
        site = make(below, count)
        put_key(site.index_path.parent)
        return site

    Site.make = make_with_key  # type: ignore[method-assign, assignment]
    try:
        from tests.retention import evidence
    except ImportError:  # before the chain and holds
        site = _plain_store(folder / "life")
    else:
        site = evidence.make_store(folder / "life")
    site.at(LIFE_S)
    with site.running(CAMERAS, boot="boot-4", is_clean=False) as recorder:
        _tell_markers(recorder.opened.ledger)
        recorder.record(8, LIFE_S, SEALED_S - LIFE_S)
        recorder.open(9, SEALED_S)
        for second in range(SEALED_S, END_S):
            recorder.writer().append("gate", 9, fragment(second))
        deadline = time.monotonic() + 30
        while True:
            last = recorder.opened.index.submit(
                lambda connection: rows.segment(connection, "gate", 9)
            ).result()
            if last is not None and len(last.fragments) == END_S - SEALED_S:
                break
            assert time.monotonic() < deadline
        recorder.opened.ledger.flushed().result()
        box = site.copy(folder / "box")
    (folder / "facts.json").write_text(json.dumps(facts(box.index_path, box.volumes)))


def _plain_store(folder: Path) -> Any:
    """As ``tests.retention.evidence.make_store``, without what the first schema did not know."""
    from retention.model import GapCause
    from tests.retention.storing import RUN, S, Site, run_of
    from tests.retention.writing import T0

    site = Site.make(folder, 2)
    with site.running(CAMERAS) as recorder:
        ledger = recorder.opened.ledger
        ledger.run_started(run_of("gate", run=RUN))
        ledger.run_started(run_of("hall", run="1" * 32))
        for number in range(1, 6):
            recorder.record(number, 3 * number, 3, place=number % 2)
        recorder.record(1, 0, 2, camera="hall", run="1" * 32)
    site.at(20)
    with site.running(CAMERAS, boot="boot-2") as recorder:
        recorder.opened.ledger.gap("gate", T0 + 18 * S, T0 + 20 * S, GapCause.NETWORK, "cable")
        recorder.record(6, 20, 3)
    site.at(30)
    with site.running(CAMERAS, boot="boot-3") as recorder:
        recorder.record(7, 30, 3, place=1)
    return site


def _tell_markers(ledger: Any) -> None:
    try:
        from retention.model import Marker, MarkerKind
    except ImportError:
        return
    from tests.retention.storing import S
    from tests.retention.writing import T0

    kinds = list(MarkerKind)
    markers = [Marker(at_us=T0 + (41 + n) * S, camera="gate", kind=kinds[n]) for n in range(2)]
    ledger.markers_seen(markers, T0 + SEALED_S * S)


def main() -> None:
    commit, *folder = sys.argv[1:]
    if folder:
        live(Path(folder[0]))
        return
    with tempfile.TemporaryDirectory(prefix="xueliang-old-") as name:
        tree, made = Path(name, "tree"), Path(name, "made")
        tree.mkdir()
        made.mkdir()
        archive = subprocess.run(["git", "archive", commit], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
        subprocess.run(
            [sys.executable, __file__, commit, str(made)],
            check=True,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
        (made / "box/state/signing-key.pem").unlink()
        with _read_only(made / "box/state/index.db") as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        target = STORES / f"schema-{version}.tar.gz"
        with tarfile.open(target, "w:gz") as file:
            file.add(made / "box", "box")
            file.add(made / "facts.json", "facts.json")
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()

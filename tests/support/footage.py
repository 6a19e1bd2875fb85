"""What a box has stored, held against what its cameras sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.demo.units import SentUnit
from retention.model import Track
from retention.read import Store
from tests.support.box import Box, decode_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnit:
    """``sha256`` as :class:`edge.demo.units.SentUnit` has it."""

    pts_us: int
    is_key: bool
    sha256: str


def stored_video(box: Box, camera: str) -> list[StoredUnit]:
    """Every stored picture of a camera, in the order of the reader."""
    with Store(box.state / "index.db", tuple(box.volumes or [box.volume])) as store:
        return [
            StoredUnit(
                pts_us=stored.unit.pts_us,
                is_key=stored.unit.is_key,
                sha256=hashlib.sha256(stored.unit.data).hexdigest(),
            )
            for stored in store.access_units(camera, 0)
            if stored.unit.track is Track.VIDEO
        ]


def assert_no_loss(sent: Sequence[SentUnit], stored: Sequence[StoredUnit]) -> None:
    """What is stored is one piece of what was sent: nothing lost, doubled or reordered in it.

    The very first picture is left out: libav throws away packets that come before the answer to
    PLAY, and with them what stands before that picture's slices.
    """
    stored = stored[1:]
    assert stored
    hashes = [unit.sha256 for unit in sent]
    assert len(set(hashes)) == len(hashes), "the camera sent the same picture twice"
    first = hashes.index(stored[0].sha256)
    assert [unit.sha256 for unit in stored] == hashes[first : first + len(stored)]


def undecodable(files: Iterable[Path]) -> dict[str, str]:
    """Files that ffmpeg does not decode without a word, and what it said."""
    return {str(path): said for path in files if (said := decode_errors(path))}

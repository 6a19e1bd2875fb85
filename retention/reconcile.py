"""Comparing files and rows, all of them, at low priority. Shell, blocking; for a job's thread.

Also what rebuilds the old part of an index that was lost, while recording goes on: files without a
row are adopted as at start-up (``retention.recover``). Nothing is ever deleted here but what never
held a whole fragment; what is missing or not understood is counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from retention import layout
from retention.index.read import Index
from retention.layout import hour_folder, parse_segment_path
from retention.recover import Book, SegmentRecovery
from retention.segment_files import camera_folders, hour_folders
from retention.volume import Volume
from retention.volume_errors import VolumeError, unavailable
from retention.volume_messages import Reconciled

log = logging.getLogger(__name__)

HOUR_US = 3_600_000_000

#: By what the files are called; re-timing does not rename them.
_ROWS_OF_HOUR = (
    "SELECT number, start_us FROM segment WHERE camera = ?1 AND start_us >= ?2 AND start_us < ?3"
    " AND volume = ?4 AND offset_us = 0 UNION ALL"
    " SELECT number, start_us - offset_us FROM segment WHERE camera = ?1"
    " AND start_us - offset_us >= ?2 AND start_us - offset_us < ?3 AND volume = ?4"
    " AND offset_us <> 0"
)
_NEXT_START = (
    "SELECT min(at) FROM (SELECT min(start_us) AS at FROM segment WHERE camera = ?1"
    " AND start_us >= ?2 AND offset_us = 0 UNION ALL"
    " SELECT min(start_us - offset_us) FROM segment WHERE camera = ?1"
    " AND start_us - offset_us >= ?2 AND offset_us <> 0)"
)


def reconcile(
    reader: Index,
    book: Book,
    volume: Volume,
    now_us: int,
    own_numbers: Mapping[str, int],
    pause: Callable[[], bool],
) -> Reconciled:
    """Compare one volume.

    Args:
        volume: an object of its own, attached for this (not the writer's).
        own_numbers: the first segment number of each camera that this life gave out; those and
            later ones are the writer's.
        pause: called between folders; may sleep; False ends the comparison early.

    Raises:
        IndexUnavailable: the index does not answer.
    """
    result = Reconciled()
    worker = SegmentRecovery(reader, book, volume, now_us, own_numbers)
    try:
        volume.check()
        for folder in _folders(reader, volume):
            if not pause():
                result.is_whole = False
                break
            worker.adopt_in(folder)
            book.wait()
            _compare(reader, volume, folder, worker, result)
        if result.is_whole:
            result.orphan_bytes += _strange_bytes(volume.path)
    except (VolumeError, OSError) as error:
        log.error("reconcile_cut_short", extra={"volume": volume.uuid, "error": str(error)})
        result.is_whole = False
    book.wait()
    result.recovery = worker.result
    return result


def _folders(reader: Index, volume: Volume) -> Iterator[str]:
    """Every hour that has a folder or a row, camera by camera, each once."""
    known = reader.read(
        lambda connection: [
            str(row[0]) for row in connection.execute("SELECT DISTINCT camera FROM run")
        ]
    )
    for camera in sorted({*known, *camera_folders(volume.path)}):
        seen = set()
        for folder in hour_folders(volume.path, camera):
            seen.add(folder)
            yield folder
        for start_us in _hours_of_rows(reader, camera):
            folder = hour_folder(camera, start_us)
            if folder not in seen:
                yield folder


def _hours_of_rows(reader: Index, camera: str) -> Iterator[int]:
    at_us = 0
    while True:
        found = reader.read(
            lambda connection, at_us=at_us: connection.execute(  # type: ignore[misc]
                _NEXT_START, (camera, at_us)
            ).fetchone()[0]
        )
        if found is None:
            return
        yield found
        at_us = (found // HOUR_US + 1) * HOUR_US


def _compare(
    reader: Index, volume: Volume, folder: str, worker: SegmentRecovery, result: Reconciled
) -> None:
    camera = folder.split("/")[0]
    start_us = _hour_us(folder)
    if start_us is None:
        return
    rows = reader.read(
        lambda connection: connection.execute(
            _ROWS_OF_HOUR, (camera, start_us, start_us + HOUR_US, volume.uuid)
        ).fetchall()
    )
    paths = {layout.segment_path(camera, start, number): number for number, start in rows}
    sizes = _sizes(volume.path / folder, folder)
    for path, size_bytes in sizes.items():
        name = parse_segment_path(path)
        if path not in paths and not (
            name
            and (
                worker.is_own(name.camera, name.number)
                or worker.is_buried(name.camera, name.number)
            )
        ):
            result.orphan_bytes += size_bytes
    for path, number in paths.items():
        if path in sizes or worker.is_own(camera, number):
            continue
        if not worker.is_buried(camera, number):
            result.missing_segments += 1
            log.error("segment_missing", extra={"volume": volume.uuid, "path": path})


def _hour_us(folder: str) -> int | None:
    """Start of the hour that a folder stands for; None for one that stands for none."""
    camera, year, month, day, hour = folder.split("/")
    name = parse_segment_path(
        f"{folder}/{year}{month}{day}T{hour}0000.000Z-0.mp4"
    )  # the name that a segment of the full hour would have
    return None if name is None or name.camera != camera else name.start_ms * 1000


def _sizes(path: Path, folder: str) -> dict[str, int]:
    try:
        return {
            f"{folder}/{entry.name}": entry.stat(follow_symlinks=False).st_size
            for entry in os.scandir(path)
        }
    except FileNotFoundError:
        return {}


def _strange_bytes(root: Path) -> int:
    """Bytes of files in places where nothing of ours stands."""
    total = 0
    for entry in os.scandir(root):
        if entry.name in (layout.STAMP, layout.LOST_FOUND):
            continue
        if not entry.is_dir(follow_symlinks=False):
            total += entry.stat(follow_symlinks=False).st_size
        elif entry.name == layout.JOURNAL:
            for inner in os.scandir(entry.path):
                if not layout.is_journal_name(inner.name):
                    total += inner.stat(follow_symlinks=False).st_size
        else:
            total += _strange_bytes_under(Path(entry.path), 0)
    return total


def _strange_bytes_under(folder: Path, depth: int) -> int:
    """Camera, year, month and day folders (depth 0 to 3) hold folders with digits only."""
    total = 0
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return 0  # empty, and removed meanwhile
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and entry.name.isdecimal() and depth < 3:
            total += _strange_bytes_under(Path(entry.path), depth + 1)
        elif is_folder and entry.name.isdecimal() and depth == 3:
            continue  # an hour, compared above
        elif is_folder:
            total += sum(
                (Path(inside) / name).lstat().st_size
                for inside, _, names in os.walk(entry.path)
                for name in names
            )
        else:
            total += entry.stat(follow_symlinks=False).st_size
    return total


def attached_again(volume: Volume) -> Volume:
    """The same volume for another thread. Raises :class:`VolumeUnavailable`."""
    try:
        return Volume.attach(volume.path, uuid=volume.uuid, reserve_bytes=volume.reserve_bytes)
    except OSError as error:
        raise unavailable(volume.path, "attach", error) from error

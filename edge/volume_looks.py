"""What a command sees of the volumes without ``edge``, also where a disk hangs. Shell.

Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge import bounded
from retention.stamp import is_blank
from retention.volume import Volume
from retention.volume_errors import VolumeError


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLook:
    path: str
    uuid: str | None = None  # None: blank, or in trouble
    capacity_bytes: int = 0
    free_bytes: int = 0
    is_on_system_disk: bool = False
    #: What is wrong with it, and the mend; both empty if nothing is.
    trouble: str = ""
    mend: str = ""


def look_at_volumes(paths: Sequence[Path]) -> list[VolumeLook]:
    """One look at each, bounded, in order."""
    return looks_of(paths, bounded.ask(questions(paths)))


def questions(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """For :func:`edge.bounded.ask`; :func:`looks_of` takes its answers."""
    return [("edge.volume_looks:look", str(path)) for path in paths]


def looks_of(paths: Sequence[Path], answers: Sequence[Any]) -> list[VolumeLook]:
    return [
        VolumeLook(**answer) if answer is not None else _silent(path)
        for path, answer in zip(paths, answers, strict=True)
    ]


def _silent(path: Path) -> VolumeLook:
    return VolumeLook(
        path=str(path),
        trouble=f"does not answer within {bounded.LOOK_S:g} s",
        mend="look at the disk, its cable and the kernel's log (dmesg)",
    )


def look(text: str) -> dict[str, Any]:
    """In the child: a look at the volume at a path; may never return."""
    path = Path(text)
    try:
        found = _look(path)
    except (VolumeError, OSError) as error:
        hint = error.hint if isinstance(error, VolumeError) else "look at the kernel's log"
        found = VolumeLook(path=text, trouble=str(error), mend=hint)
    return asdict(found)


def _look(path: Path) -> VolumeLook:
    if not path.is_dir():
        return VolumeLook(path=str(path), trouble="is no directory", mend="mount the disk there")
    if not os.access(path, os.W_OK | os.X_OK):
        return VolumeLook(
            path=str(path),
            trouble="is not writable by this user",
            mend=f"chown it to the user of edge: {path}",
        )
    uuid = None
    if not is_blank(path):
        volume = Volume.attach(path, reserve_bytes=0)
        volume.check()
        uuid = volume.uuid
    figures = os.statvfs(path)
    return VolumeLook(
        path=str(path),
        uuid=uuid,
        capacity_bytes=figures.f_blocks * figures.f_frsize,
        free_bytes=figures.f_bavail * figures.f_frsize,
        is_on_system_disk=path.stat().st_dev == Path("/").stat().st_dev,
    )

"""Files of one volume that are to go: one at a time, and never in the way of recording. Shell.

Part of the volume's writer, in its thread; what may be deleted was decided, marked and told in a
tombstone by ``retention.sweep`` before it comes here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retention.clock import Clock
from retention.volume import Volume
from retention.volume_errors import VolumeError
from retention.writer_ports import Deleted, DoomedFile

#: At most so many names go in a second: each of them is work for the file system's own journal,
#: which an unbounded sweep fills for minutes (recording.md, complaint 21).
UNLINKS_PER_S = 200
#: And at most this share of the time, on a disk that is slow: what waits behind is recording.
BUSY_SHARE = 4


@dataclass(slots=True)
class _Batch:
    left: deque[DoomedFile]
    gone: list[DoomedFile] = field(default_factory=list)


class Deletions:
    """The files that wait. Does one of them whenever :meth:`step` is called.

    Args:
        report: told of each batch once.
    """

    def __init__(self, volume: Volume, report: Callable[[Deleted], None], clock: Clock) -> None:
        self._volume = volume
        self._report = report
        self._clock = clock
        self._batches: deque[_Batch] = deque()
        self._next_us = 0

    @property
    def due_us(self) -> int | None:
        """When :meth:`step` may be called next (monotonic); None while nothing waits."""
        return self._next_us if self._batches else None

    def add(self, files: Sequence[DoomedFile]) -> None:
        """These files, in this order; each is deleted once all before it are."""
        self._batches.append(_Batch(deque(files)))

    def step(self) -> None:
        """Remove one file; behind the last one of a batch sync the folders and tell.

        Raises:
            VolumeError: the batch is given up, and was told.
        """
        batch = self._batches[0]
        began_us = self._clock.monotonic_us()
        try:
            if batch.left:
                self._volume.remove(batch.left[0].path)
                batch.gone.append(batch.left.popleft())
            else:
                self._finish(batch)
        except VolumeError as error:
            self._batches.popleft()
            self.refuse([*batch.gone, *batch.left], error.sentence())
            raise
        finally:
            now_us = self._clock.monotonic_us()
            pause_us = max(1_000_000 // UNLINKS_PER_S, (BUSY_SHARE - 1) * (now_us - began_us))
            self._next_us = now_us + pause_us

    def _finish(self, batch: _Batch) -> None:
        self._volume.tidy_folders(sorted({_folder_of(file) for file in batch.gone}))
        self._batches.popleft()
        self._report(Deleted(volume=self._volume.uuid, gone=tuple(batch.gone), left=()))

    def refuse(self, files: Sequence[DoomedFile], error: str) -> None:
        """Tell of files that stay for now; those that are gone already are found gone again."""
        self._report(Deleted(volume=self._volume.uuid, gone=(), left=tuple(files), error=error))

    def end(self) -> None:
        """The writer ends: what is left has its tombstone, and goes after the next start."""
        while self._batches:
            batch = self._batches.popleft()
            self.refuse([*batch.gone, *batch.left], "the volume's writer ended")


def _folder_of(file: DoomedFile) -> str:
    return file.path.rpartition("/")[0]

"""Rereading all footage of a volume, round after round, within a set number of days. Shell.

In a process of its own (retention.scrub_child) with a thread a volume, so that a disk that hangs
holds back neither ``edge`` nor the other volumes; at idle I/O priority, paced
evenly over the days from the bytes in use (which is what leaves the disk to the recorder where the
kernel's scheduler knows no priorities), and without keeping what was read in the page cache. Each
segment is compared with its row to the last byte (retention.segment_check). What differs or cannot
be read is told, and stays as it is: it may be all that is left of that minute.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from retention.clock import Clock
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.index.read import Index
from retention.priority import Disk, give_way
from retention.segment_files import check_file
from retention.stamp import read_stamp
from retention.volume_errors import VolumeUnavailable, wrong_id

log = logging.getLogger(__name__)

FOLDER = "scrub"
DAY_S = 86_400
#: A round aims at this share of its days: the rest is for restarts and for footage that comes.
SHARE = 0.9
#: Between two rounds, and before a volume or an index that does not answer is tried again.
RETRY_S = 60.0
#: Where a round stands is written down this often.
SAVE_S = 60.0
#: Pauses shorter than this are put together.
PAUSE_MIN_S = 0.02


class ScrubResult(StrEnum):
    """The label ``result`` of ``nvr_segment_verify_total``."""

    OK = "ok"
    MISMATCH = "mismatch"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """One segment, reread."""

    volume: str  # the place, as metrics name it
    camera: str
    number: int
    result: ScrubResult
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a round stands: behind this segment."""

    volume: str = ""  # UUID
    camera: str = ""
    number: int = -1
    began_us: int = 0  # 0: the round has not begun


class _Stopped(Exception):
    """The scrubber is to end."""


class Scrubber:
    """Rereads one volume.

    Args:
        root: where the volume is mounted, if it is.
        days: within which everything is to be reread; asked anew for each pause.
        report: told of each segment, in the scrubber's thread.
        pause: waits so many seconds; True if the scrubber is to end. For tests.
    """

    def __init__(
        self,
        *,
        index_path: Path,
        root: Path,
        days: Callable[[], float],
        report: Callable[[Scrubbed], None],
        clock: Clock,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.name = str(root)
        self.place = Place()
        self._index_path = index_path
        self._root = root
        self._days = days
        self._report = report
        self._clock = clock
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._owed_bytes = 0
        self._saved_us = 0
        self._thread = threading.Thread(target=self._run, name=f"scrub {root}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """A thread that hangs on its disk is left behind."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        give_way(19, Disk.IDLE)  # this thread alone
        try:
            with Index(self._index_path) as index:
                while True:
                    try:
                        self.run_round(index)
                        self._wait(RETRY_S)
                    except (IndexUnavailable, VolumeUnavailable) as error:
                        log.info("scrub_waits", extra={"volume": self.name, "error": str(error)})
                        self._wait(RETRY_S)
                    except _Stopped:
                        raise
                    except Exception:  # a supervision point: one segment must not end it all
                        log.exception("scrubber_failed", extra={"volume": self.name})
                        self._leave_out(index)
                        self._wait(RETRY_S)
        except _Stopped:
            self._save()

    def _leave_out(self, index: Index) -> None:
        key = self._next(index)
        if key is not None:
            self.place = replace(self.place, camera=key[0], number=key[1])

    def run_round(self, index: Index) -> None:
        """Go on with the round that was begun, to its end.

        Raises:
            IndexUnavailable, VolumeUnavailable: what was reread until then is remembered.
        """
        volume = read_stamp(self._root)[0]
        if self.place.volume != volume:
            self.place = self._load(volume)
        if not self.place.began_us:
            self.place = replace(self.place, began_us=self._clock.utc_us())
        while (key := self._next(index)) is not None:
            self._scrub(index, volume, *key)
            self.place = replace(self.place, camera=key[0], number=key[1])
            if self._clock.monotonic_us() - self._saved_us > SAVE_S * 1e6:
                self._save()
        now_us = self._clock.utc_us()
        if now_us - self.place.began_us > self._days() * DAY_S * 1e6:
            log.warning(
                "scrub_behind", extra={"volume": self.name, "began_us": self.place.began_us}
            )
        self.place = Place(volume=volume)
        self._save()

    def _next(self, index: Index) -> tuple[str, int] | None:
        place = self.place
        return index.read(
            lambda connection: rows.next_sealed(
                connection, place.volume, place.camera, place.number
            )
        )

    def _scrub(self, index: Index, volume: str, camera: str, number: int) -> None:
        found = self._compare(index, camera, number)
        if found is not None and found[0] is not ScrubResult.OK:
            # the disk may have gone, the row may have changed: only what lasts is told
            held = read_stamp(self._root)[0]
            if held != volume:
                raise wrong_id(self._root, held, volume)
            found = self._compare(index, camera, number)
        if found is None:
            return
        result, faults = found
        self._report(
            Scrubbed(
                volume=self.name,
                camera=camera,
                number=number,
                result=result,
                faults=tuple(faults),
            )
        )

    def _compare(
        self, index: Index, camera: str, number: int
    ) -> tuple[ScrubResult, list[str]] | None:
        """None where the segment is not there any more."""
        try:
            segment = index.read(lambda connection: rows.segment(connection, camera, number))
        except ValueError as error:
            return ScrubResult.MISMATCH, [f"its row is damaged: {error}"]
        if segment is None:
            return None
        try:
            _, faults = check_file(self._root, segment, self._pay)
        except FileNotFoundError:
            if index.read(lambda connection: rows.is_doomed(connection, camera, number)):
                return None  # policy is taking it away
            return ScrubResult.UNREADABLE, ["its file is not there"]
        except OSError as error:
            return ScrubResult.UNREADABLE, [f"its file cannot be read: {error.strerror}"]
        return (ScrubResult.MISMATCH if faults else ScrubResult.OK), faults

    # Pace --------------------------------------------------------------------------------------

    def _pay(self, size_bytes: int) -> None:
        """So many bytes were read: wait for the time that they may take."""
        self._owed_bytes += size_bytes
        while True:
            rate = self.bytes_per_s()
            seconds = self._owed_bytes / rate
            if seconds < PAUSE_MIN_S:
                return
            seconds = min(seconds, RETRY_S)  # then the rate may be another one
            self._wait(seconds)
            self._owed_bytes = max(0, self._owed_bytes - round(seconds * rate))

    def bytes_per_s(self) -> float:
        """At this rate all that is in use is read within the days."""
        try:
            figures = os.statvfs(self._root)
            used_bytes = (figures.f_blocks - figures.f_bfree) * figures.f_frsize
        except OSError:
            used_bytes = 0
        return max(1.0, used_bytes / (self._days() * DAY_S * SHARE))

    def _wait(self, seconds: float) -> None:
        if self._pause(seconds):
            raise _Stopped

    # Where a round stands ----------------------------------------------------------------------

    def _file(self, volume: str) -> Path:
        return self._index_path.parent / FOLDER / f"{volume}.json"

    def _load(self, volume: str) -> Place:
        """A file that cannot be read begins a new round; nothing else hangs on it."""
        try:
            found = json.loads(self._file(volume).read_bytes())
            place = Place(
                volume=volume,
                camera=str(found["camera"]),
                number=int(found["number"]),
                began_us=int(found["began_us"]),
            )
        except FileNotFoundError:
            return Place(volume=volume)
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("scrub_place_unread", extra={"volume": self.name, "error": repr(error)})
            return Place(volume=volume)
        return place

    def _save(self) -> None:
        if not self.place.volume:
            return
        self._saved_us = self._clock.monotonic_us()
        path = self._file(self.place.volume)
        beside = path.with_suffix(".new")
        try:
            path.parent.mkdir(exist_ok=True)
            beside.write_text(json.dumps(asdict(self.place)))
            os.replace(beside, path)
        except OSError as error:
            log.warning("scrub_place_unsaved", extra={"volume": self.name, "error": str(error)})

"""One segment file, from its first fragment to its seal. Shell, blocking; no thread of its own.

The steps, as the crash tests name them:

D1 the file is created (``O_EXCL``) when the first fragment has come;
D2 its row is committed as open;
D3 header and fragments are appended, one write call each;
D4 the file is synced with the group of its volume, then the folders that name it;
D5 its row learns the durable fragments;
D6 the trailer is appended, synced with the group, and the row is sealed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from retention.digest import segment_digest
from retention.layout import segment_path
from retention.model import EndReason, Fragment, FragmentEntry, Segment, SegmentHeader, SegmentState
from retention.mp4.mux import FragmentUnfit, Muxer
from retention.mp4.trailer import Trailer, trailer_bytes
from retention.volume import SegmentFile, Volume
from retention.volume_errors import VolumeError

log = logging.getLogger(__name__)

#: Commits the open row of a segment at this path, or gives up waiting (D2).
RowOpener = Callable[[Segment, str], None]


class SegmentWriter:
    """Writes one segment. After a :class:`VolumeError` only :meth:`salvage` may be called."""

    def __init__(self, volume: Volume, header: SegmentHeader, open_row: RowOpener) -> None:
        self.header = header
        #: Set by :meth:`finish`: the segment is to be sealed at the next sync.
        self.end_reason: EndReason | None = None
        #: Set by :meth:`salvage`: nothing is durable, yet the file could not be removed.
        self.is_left_behind = False
        #: Set by :meth:`salvage`: why the file was not finished.
        self.salvage_error: VolumeError | None = None
        self._volume = volume
        self._open_row = open_row
        self._unfit = ""
        try:
            self._muxer = Muxer(header)
            self._path = segment_path(header.camera, header.start_us, header.number)
        except (ValueError, OverflowError) as error:
            self._unfit = f"a segment that no file can hold: {error}"
        else:
            self._head = self._muxer.header
        self._file: SegmentFile | None = None
        self._entries: list[FragmentEntry] = []
        self._durable = 0  # how many of them
        self._taken = 0  # fragments given to append and not to be given again
        self._taken_durable = 0
        self._told = self._told_bytes = 0

    @property
    def durable_end_us(self) -> int | None:
        """Where its durable media end; None while none is."""
        return self._entries[self._durable - 1].end_us if self._durable else None

    @property
    def has_row(self) -> bool:
        """Whether the index was told of the segment."""
        return self._file is not None

    def append(self, fragment: Fragment) -> None:
        """Write a fragment (D3), the first one behind the header (D1, D2).

        Raises:
            VolumeError: nothing of it is in the file.
            FragmentUnfit: no segment can hold it; the file is as it was.
        """
        try:
            if self._unfit:
                raise FragmentUnfit(self._unfit)
            data = self._muxer.fragment(fragment)
        except FragmentUnfit:
            self._taken += 1
            raise
        if self._file is None:
            self._file = self._volume.create(self._path)
            self._open_row(self.row(), self._path)
        first = b"" if self._entries else self._head
        offset = self._file.size_bytes + len(first)
        self._file.append(first + data)
        self._taken += 1
        self._entries.append(
            FragmentEntry(
                offset=offset,
                size_bytes=len(data),
                start_us=fragment.start_us,
                end_us=fragment.end_us,
                is_key=fragment.is_key,
                sha256=hashlib.sha256(data).digest(),
            )
        )

    def finish(self, reason: EndReason) -> None:
        """Append the trailer, into the reserve if need be; durable and sealed at the next sync."""
        self.end_reason = reason
        if self._file is not None and self._entries:
            self._file.append(self._trailer(), may_use_reserve=True)

    def sync(self) -> None:
        """Make everything durable (D4). Raises :class:`DurabilityUnknown`."""
        if self._file is not None:
            self._file.sync()
        self._durable = len(self._entries)
        self._taken_durable = self._taken

    def salvage(self, *, keep_undurable: bool = True) -> bool:
        """After an error: keep every fragment that can be made durable, and nothing else.

        Without ``keep_undurable`` only what is durable by now is kept.

        The file is cut back to its durable mark and given a trailer, as far as the volume lets it;
        a file without a durable fragment is removed. Never raises :class:`VolumeError`.

        Returns:
            Whether the segment was finished and all of it is durable.
        """
        file = self._file
        try:
            if keep_undurable and (file is None or not file.is_doubtful):
                self.sync()
        except VolumeError as error:
            log.warning("segment_not_synced", extra=self._extra(error))
        is_whole = self.end_reason is not None and self._durable == len(self._entries)
        if not is_whole:
            self.end_reason = EndReason.IO_ERROR
        del self._entries[self._durable :]
        try:
            if file is not None and self._entries:
                last = self._entries[-1]
                file.truncate(last.offset + last.size_bytes)
                file.append(self._trailer(), may_use_reserve=True)
                file.sync()
            elif file is not None:
                file.discard()
        except VolumeError as error:
            self.end_reason = EndReason.IO_ERROR  # finished once the disk is well (recover)
            self.is_left_behind = not self._entries
            self.salvage_error = error
            log.warning("segment_without_trailer", extra=self._extra(error))
        return is_whole

    def take_durable(self) -> tuple[int, int]:
        """How many fragments became durable since the last call, and their bytes."""
        size_bytes = sum(entry.size_bytes for entry in self._entries[: self._durable])
        news = self._taken_durable - self._told, size_bytes - self._told_bytes
        self._told, self._told_bytes = self._taken_durable, size_bytes
        return news

    def row(self) -> Segment:
        """The segment as the index is to know it: what is durable of it, and sealed if it is."""
        entries = tuple(self._entries[: self._durable])
        is_sealed = self.end_reason is not None and self._durable == len(self._entries)
        file_bytes = self._file.durable_bytes if self._file is not None else 0
        entries_bytes = entries[-1].offset + entries[-1].size_bytes if entries else 0
        return Segment(
            camera=self.header.camera,
            number=self.header.number,
            run=self.header.run,
            volume=self._volume.uuid,
            start_us=self.header.start_us,
            end_us=entries[-1].end_us if entries else self.header.start_us,
            state=SegmentState.SEALED if is_sealed else SegmentState.OPEN,
            size_bytes=file_bytes if is_sealed else entries_bytes,
            end_reason=self.end_reason if is_sealed else None,
            digest=segment_digest(self._head, entries) if is_sealed and entries else b"",
            fragments=entries,
        )

    def close(self) -> None:
        """Close the file without syncing. May be called again."""
        if self._file is not None:
            self._file.close()

    def _trailer(self) -> bytes:
        assert self.end_reason is not None
        return trailer_bytes(
            Trailer(
                end_us=self._entries[-1].end_us,
                end_reason=self.end_reason,
                fragments=tuple(self._entries),
                digest=segment_digest(self._head, self._entries),
            )
        )

    def _extra(self, error: VolumeError) -> dict[str, object]:
        return {
            "camera": self.header.camera,
            "number": self.header.number,
            "volume": self._volume.uuid,
            "error": str(error),
        }

"""Fragments of a segment file: one ``moof`` and its ``mdat``, samples byte for byte. Core.

A picture's decode time is derived (mp4.decode_times) and stands in ``tfdt`` and the durations; how
much later it is shown stands in ``trun``. The video's media time runs ``VIDEO_LEAD`` ahead, which
its edit list takes back: room for the decode times before the first picture is shown. A picture
that would be shown before its decode time (leading pictures of a segment that begins in an open
GOP; they cannot be decoded there) is shown at it by players, and keeps its own time in our note.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from config.errors import XueliangError
from retention.model import US_PER_S, AccessUnit, Fragment, SegmentHeader, Track
from retention.mp4.boxes import (
    AUDIO_TRACK,
    MAX_INSTANT_US,
    MAX_MDAT_BYTES,
    MAX_MOOF_BYTES,
    VIDEO_LEAD,
    VIDEO_TRACK,
    box,
    full_box,
)
from retention.mp4.decode_times import DecodeTimes
from retention.mp4.entries import audio_frame_samples
from retention.mp4.header import header_bytes
from retention.mp4.note import CRC_BYTES, FragmentNote, note_box

TRUN_VIDEO = 0x000F01  # data offset; duration, size, flags, composition offset of each sample
TRUN_AUDIO = 0x000301  # data offset; duration, size of each sample
TFHD_FLAGS = 0x020000  # default-base-is-moof
SYNC_SAMPLE = 0x02000000  # depends on no other
OTHER_SAMPLE = 0x01010000  # depends on others, no sync sample

_MOST_TICKS = (1 << 31) - 1
#: Audio follows its samples' count until it is that far from wall time.
_AUDIO_STRAY_US = 20_000


class FragmentUnfit(XueliangError):
    """A fragment that this segment's file cannot hold as it is."""

    code = "fragment_unfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Times in ticks of its track; ``duration`` up to the next sample's decode time."""

    decode: int
    duration: int
    offset: int
    early: int  # what the offset, which is never negative, leaves out
    size_bytes: int
    is_key: bool


class Muxer:
    """Makes the bytes of one segment file, fragment by fragment, in order.

    Write :attr:`header` first, then what each call of :meth:`fragment` returns, unchanged. A call
    that raises leaves the muxer as it was.
    """

    __slots__ = ("_audio_next", "_sequence", "_video_times", "header", "segment")

    def __init__(self, segment: SegmentHeader) -> None:
        """Raises ValueError for a header that no file can hold (mp4.header)."""
        self.segment = segment
        self.header = header_bytes(segment)
        self._sequence = 0
        self._video_times = DecodeTimes()
        #: The least decode time that the next audio may take, and the one due.
        self._audio_next = (0, 0)

    def fragment(self, fragment: Fragment) -> bytes:
        """The next ``moof`` and ``mdat``.

        Raises:
            FragmentUnfit: no units, too many units or bytes, impossible instants, pictures more
                than half an hour apart, or audio in a segment without an audio track.
        """
        video = [unit for unit in fragment.units if unit.track is Track.VIDEO]
        audio = [unit for unit in fragment.units if unit.track is Track.AUDIO]
        self._check(fragment, audio)
        pictures, video_times = self._video_samples(video, fragment.end_us)
        frames, audio_next = self._audio_samples(audio)
        note = FragmentNote(
            start_us=fragment.start_us,
            end_us=fragment.end_us,
            is_key=fragment.is_key,
            early=tuple((at, one.early) for at, one in enumerate(pictures) if one.early),
            audio=self._interleaving(fragment.units, frames),
        )
        moof = _moof(self._sequence + 1, pictures, frames, note_box(note))
        if len(moof) > MAX_MOOF_BYTES:
            raise FragmentUnfit(f"a fragment has {len(fragment.units)} units, too many for a file")
        self._sequence += 1
        self._video_times = video_times
        self._audio_next = audio_next
        parts = [(8 + fragment.size_bytes).to_bytes(4, "big") + b"mdat"]
        parts += [unit.data for unit in video]
        parts += [unit.data for unit in audio]
        crc = zlib.crc32(moof[:-CRC_BYTES])
        for part in parts:
            crc = zlib.crc32(part, crc)
        return b"".join((moof[:-CRC_BYTES], crc.to_bytes(CRC_BYTES, "big"), *parts))

    def _check(self, fragment: Fragment, audio: list[AccessUnit]) -> None:
        if not fragment.units:
            raise FragmentUnfit("a fragment has no units")
        if not 0 <= fragment.start_us <= fragment.end_us <= MAX_INSTANT_US:
            raise FragmentUnfit(
                f"a fragment would span {fragment.start_us} to {fragment.end_us} us, which no"
                " fragment can"
            )
        if not all(0 <= unit.pts_us <= MAX_INSTANT_US for unit in fragment.units):
            raise FragmentUnfit("a fragment has a unit at an instant that cannot be")
        if audio and self.segment.format.audio is None:
            raise FragmentUnfit("a fragment has audio, but its segment has no audio track")
        if fragment.size_bytes > MAX_MDAT_BYTES - 8:
            raise FragmentUnfit(f"a fragment has {fragment.size_bytes} bytes, too many for a file")

    def _video_samples(
        self, units: list[AccessUnit], end_us: int
    ) -> tuple[list[_Sample], DecodeTimes]:
        if not units:
            return [], self._video_times
        origin_us = self.segment.start_us - VIDEO_LEAD
        shown = [unit.pts_us - origin_us for unit in units]
        # nothing need be told from the end of a hole behind the last picture: cut, not refused
        end = min(end_us - origin_us, max(shown) + _MOST_TICKS // 2)
        decode, times = self._video_times.assign(shown, end)
        samples = [
            _Sample(
                decode=at,
                duration=following - at,
                offset=max(0, time - at),
                early=min(0, time - at),
                size_bytes=len(unit.data),
                is_key=unit.is_key,
            )
            for unit, time, (at, following) in zip(units, shown, pairwise(decode), strict=True)
        ]
        if any(max(one.offset, one.duration) > _MOST_TICKS for one in samples):
            raise FragmentUnfit("a fragment's pictures lie more than half an hour apart")
        return samples, times

    def _audio_samples(self, units: list[AccessUnit]) -> tuple[list[_Sample], tuple[int, int]]:
        audio = self.segment.format.audio
        if not units or audio is None:
            return [], self._audio_next
        rate_hz = audio.sample_rate_hz
        stray = max(1, _AUDIO_STRAY_US * rate_hz // US_PER_S)
        least, due = self._audio_next
        decode = []
        for unit in units:
            wall = (unit.pts_us - self.segment.start_us) * rate_hz // US_PER_S
            decode.append(max(least, due if abs(wall - due) <= stray else wall))
            least = decode[-1] + 1
            due = decode[-1] + audio_frame_samples(audio, len(unit.data))
        samples = [
            _Sample(
                decode=at,
                duration=following - at,
                offset=0,
                early=0,
                size_bytes=len(unit.data),
                is_key=True,
            )
            for unit, (at, following) in zip(units, pairwise((*decode, due)), strict=True)
        ]
        if any(one.duration > _MOST_TICKS for one in samples):
            raise FragmentUnfit("a fragment's audio lies hours apart")
        return samples, (least, due)

    def _interleaving(
        self, units: tuple[AccessUnit, ...], frames: list[_Sample]
    ) -> tuple[tuple[int, int], ...]:
        """Of each audio unit: the video units since the one before, and what its samples hide."""
        audio = self.segment.format.audio
        if audio is None or not frames:
            return ()
        found: list[tuple[int, int]] = []
        pictures = 0
        for unit in units:
            if unit.track is Track.VIDEO:
                pictures += 1
                continue
            told_us = ticks_to_us(frames[len(found)].decode, audio.sample_rate_hz)
            found.append((pictures, unit.pts_us - self.segment.start_us - told_us))
            pictures = 0
        return tuple(found)


def ticks_to_us(ticks: int, rate_hz: int) -> int:
    """The time of that many samples, in whole microseconds, rounded down."""
    return ticks * US_PER_S // rate_hz


def audio_only_moof(sequence: int, decode: int, samples: Sequence[tuple[int, bytes]]) -> bytes:
    """``moof`` and ``mdat`` with nothing but audio: ticks and bytes of each sample."""
    header = full_box(b"mfhd", 0, 0, sequence.to_bytes(4, "big"))
    words = [word for ticks, data in samples for word in (ticks, len(data))]
    media_at = 16 + len(header) + _traf_bytes(samples, 8)
    traf = _traf(AUDIO_TRACK, decode, len(samples), TRUN_AUDIO, media_at, words)
    return box(b"moof", header, traf) + box(b"mdat", *(data for _, data in samples))


def _moof(sequence: int, pictures: list[_Sample], frames: list[_Sample], note: bytes) -> bytes:
    header = full_box(b"mfhd", 0, 0, sequence.to_bytes(4, "big"))
    media_at = 16 + len(header) + _traf_bytes(pictures, 16) + _traf_bytes(frames, 8) + len(note)
    audio_at = media_at + sum(one.size_bytes for one in pictures)
    return box(
        b"moof",
        header,
        _video_traf(pictures, media_at) if pictures else b"",
        _audio_traf(frames, audio_at) if frames else b"",
        note,
    )


def _traf_bytes(samples: Sequence[object], sample_bytes: int) -> int:
    """traf, tfhd, tfdt, trun and its samples."""
    return 8 + 16 + 20 + 20 + sample_bytes * len(samples) if samples else 0


def _video_traf(samples: list[_Sample], data_offset: int) -> bytes:
    words: list[int] = []
    for one in samples:
        flags = SYNC_SAMPLE if one.is_key else OTHER_SAMPLE
        words += (one.duration, one.size_bytes, flags, one.offset)
    return _traf(VIDEO_TRACK, samples[0].decode, len(samples), TRUN_VIDEO, data_offset, words)


def _audio_traf(samples: list[_Sample], data_offset: int) -> bytes:
    words = [word for one in samples for word in (one.duration, one.size_bytes)]
    return _traf(AUDIO_TRACK, samples[0].decode, len(samples), TRUN_AUDIO, data_offset, words)


def _traf(
    track: int, decode: int, count: int, flags: int, data_offset: int, words: list[int]
) -> bytes:
    return box(
        b"traf",
        full_box(b"tfhd", 0, TFHD_FLAGS, track.to_bytes(4, "big")),
        full_box(b"tfdt", 1, 0, decode.to_bytes(8, "big")),
        full_box(
            b"trun",
            0,
            flags,
            struct.pack(f">Ii{len(words)}I", count, data_offset, *words),
        ),
    )

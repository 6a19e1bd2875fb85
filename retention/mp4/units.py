"""Reading a fragment back: its ``moof``, and the access units that it was made of. Core."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate

from retention.model import AccessUnit, SegmentHeader, Track
from retention.mp4.boxes import (
    AUDIO_TRACK,
    VIDEO_LEAD,
    VIDEO_TRACK,
    SegmentCorrupt,
    children,
    read_head,
)
from retention.mp4.mux import SYNC_SAMPLE, TFHD_FLAGS, TRUN_AUDIO, TRUN_VIDEO, ticks_to_us
from retention.mp4.note import CRC_BYTES, FragmentNote, parse_note

_LAYOUTS = {
    (VIDEO_TRACK, TRUN_VIDEO): ">IIII",  # duration, size, flags, composition offset
    (AUDIO_TRACK, TRUN_AUDIO): ">II",  # duration, size
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The samples of one track in a fragment."""

    decode: int
    data_offset: int
    words: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moof:
    """What a ``moof`` of ours says."""

    sequence: int
    note: FragmentNote
    tracks: dict[int, Samples]


def read_units(fragment: bytes, header: SegmentHeader) -> list[AccessUnit]:
    """The access units of one whole fragment (``moof`` and ``mdat``), as they were muxed.

    Audio units read back as key frames.

    Raises:
        SegmentCorrupt: these bytes are no fragment of ours, or a bit of them has changed.
    """
    head = read_head(fragment[:8])
    if head is None or head.kind != b"moof" or not 24 <= head.size_bytes <= len(fragment) - 8:
        raise SegmentCorrupt("a fragment does not begin with a whole moof")
    moof = fragment[: head.size_bytes]
    crc = zlib.crc32(memoryview(fragment)[head.size_bytes :], zlib.crc32(moof[:-CRC_BYTES]))
    if crc != int.from_bytes(moof[-CRC_BYTES:], "big"):
        raise SegmentCorrupt("a fragment's bytes have changed")
    found = parse_moof(moof)
    video = _video_units(fragment, header, found.note, found.tracks.get(VIDEO_TRACK))
    audio = _audio_units(fragment, header, found.note, found.tracks.get(AUDIO_TRACK))
    return _interleaved(video, audio, found.note)


def audio_samples(fragment: bytes) -> tuple[int, int, list[tuple[int, bytes]]] | None:
    """Of a whole fragment with audio: its sequence number, the decode time of its first audio
    sample, and of each its ticks and bytes.

    Raises:
        SegmentCorrupt: these bytes are no fragment of ours.
    """
    head = read_head(fragment[:8])
    if head is None or head.kind != b"moof" or head.size_bytes > len(fragment) - 8:
        raise SegmentCorrupt("a fragment does not begin with a whole moof")
    found = parse_moof(fragment[: head.size_bytes])
    samples = found.tracks.get(AUDIO_TRACK)
    if samples is None:
        return None
    data = _data(fragment, samples)
    ticks = [words[0] for words in samples.words]
    return found.sequence, samples.decode, list(zip(ticks, data, strict=True))


def parse_moof(moof: bytes) -> Moof:
    """What a whole ``moof`` box of ours says.

    Raises:
        SegmentCorrupt: it is none of ours.
    """
    found = children(moof[8:])
    kinds = [kind for kind, _payload in found]
    if kinds not in (
        [b"mfhd", b"traf", b"uuid"],
        [b"mfhd", b"traf", b"traf", b"uuid"],
    ):
        raise SegmentCorrupt("a moof is not laid out as ours")
    tracks = dict(_parse_traf(payload) for _kind, payload in found[1:-1])
    if len(tracks) != len(found) - 2:
        raise SegmentCorrupt("a moof holds one track twice")
    sequence = int.from_bytes(found[0][1][4:], "big")
    return Moof(sequence=sequence, note=parse_note(found[-1][1]), tracks=tracks)


def _parse_traf(payload: bytes) -> tuple[int, Samples]:
    found = children(payload)
    if [kind for kind, _payload in found] != [b"tfhd", b"tfdt", b"trun"]:
        raise SegmentCorrupt("a traf is not laid out as ours")
    (_, tfhd), (_, tfdt), (_, trun) = found
    if len(tfhd) != 8 or int.from_bytes(tfhd[:4], "big") != TFHD_FLAGS or len(tfdt) != 12:
        raise SegmentCorrupt("a traf is not laid out as ours")
    track = int.from_bytes(tfhd[4:], "big")
    layout = _LAYOUTS.get((track, int.from_bytes(trun[:4], "big")))
    if layout is None or len(trun) < 12 or (len(trun) - 12) % struct.calcsize(layout):
        raise SegmentCorrupt("a trun is not laid out as ours")
    count, data_offset = struct.unpack_from(">Ii", trun, 4)
    words = tuple(struct.iter_unpack(layout, trun[12:]))
    if count != len(words) or not words:
        raise SegmentCorrupt("a trun has another number of samples than it says")
    decode = int.from_bytes(tfdt[4:], "big")
    return track, Samples(decode=decode, data_offset=data_offset, words=words)


def _video_units(
    fragment: bytes, header: SegmentHeader, note: FragmentNote, samples: Samples | None
) -> list[AccessUnit]:
    if samples is None:
        return []
    early = dict(note.early)
    start_us = header.start_us + samples.decode - VIDEO_LEAD
    times_us = accumulate((words[0] for words in samples.words), initial=start_us)
    return [
        AccessUnit(
            track=Track.VIDEO,
            pts_us=decode_us + offset + early.get(index, 0),
            is_key=flags == SYNC_SAMPLE,
            data=data,
        )
        for index, (data, decode_us, (_, _, flags, offset)) in enumerate(
            zip(_data(fragment, samples), times_us, samples.words, strict=False)
        )
    ]


def _audio_units(
    fragment: bytes, header: SegmentHeader, note: FragmentNote, samples: Samples | None
) -> list[AccessUnit]:
    audio = header.format.audio
    if len(note.audio) != (len(samples.words) if samples else 0):
        raise SegmentCorrupt("a fragment's note does not fit its audio")
    if samples is None:
        return []
    if audio is None:
        raise SegmentCorrupt("a fragment has audio, but its segment has no audio track")
    times = accumulate((words[0] for words in samples.words), initial=samples.decode)
    return [
        AccessUnit(
            track=Track.AUDIO,
            pts_us=header.start_us + ticks_to_us(ticks, audio.sample_rate_hz) + drift_us,
            is_key=True,
            data=data,
        )
        for data, ticks, (_, drift_us) in zip(
            _data(fragment, samples), times, note.audio, strict=False
        )
    ]


def _data(fragment: bytes, samples: Samples) -> list[bytes]:
    position = samples.data_offset
    if position < 0 or position + sum(words[1] for words in samples.words) > len(fragment):
        raise SegmentCorrupt("a sample leads behind the end of its fragment")
    found = []
    for words in samples.words:
        found.append(fragment[position : position + words[1]])
        position += words[1]
    return found


def _interleaved(
    video: list[AccessUnit], audio: list[AccessUnit], note: FragmentNote
) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    position = 0
    for unit, (pictures, _) in zip(audio, note.audio, strict=True):
        following = position + pictures
        if following > len(video):
            raise SegmentCorrupt("a fragment's note does not fit its video")
        units += video[position:following]
        units.append(unit)
        position = following
    return units + video[position:]

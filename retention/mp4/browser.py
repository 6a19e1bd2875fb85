"""Stored segments as a browser plays them (Media Source Extensions). Core.

Pictures are handed out byte for byte. A browser refuses a file with a track that it does not know
(G.711), so of a segment with audio four bytes are changed in the copy that is handed out: the type
of the boxes that tell of the audio track becomes ``free`` (14496-12, 8.1.2), which every reader
skips; all sizes and places stay. The audio goes beside it in fragments of its own, AAC as it is,
G.711 as FLAC without loss ("Encapsulation of FLAC in ISO Base Media File Format", Xiph 2018).
"""

from __future__ import annotations

from itertools import accumulate

from retention.model import AudioFormat, Codec, SegmentHeader, VideoFormat
from retention.mp4 import flac
from retention.mp4.boxes import AUDIO_TRACK, SegmentCorrupt, box, full_box, read_head
from retention.mp4.entries import audio_entry
from retention.mp4.header import audio_only_header
from retention.mp4.mux import audio_only_moof
from retention.mp4.units import audio_samples
from retention.nal import find_sps, read_sps

_FREE = b"free"
#: Boxes that hold those of both tracks; boxes of one track, and which one in them names it.
_HOLDERS = frozenset({b"moov", b"moof", b"mvex"})
_TOLD_BY = {b"trak": b"tkhd", b"traf": b"tfhd"}
#: Where a ``tkhd`` of version 1 and a ``trex``, ``tfhd`` have their track, behind the box's head.
_TRACK_AT = {b"tkhd": 20, b"trex": 4, b"tfhd": 4}


def video_type(video: VideoFormat) -> str:
    """The MIME type with codecs (RFC 6381; 14496-15 annex E) to ask the browser about."""
    profile = read_sps(video.codec, find_sps(video.codec, video.parameter_sets)).profile
    if video.codec is Codec.H264:
        return f'video/mp4; codecs="avc1.{profile[:3].hex()}"'
    space = ("", "A", "B", "C")[profile[0] >> 6]
    compatible = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    tier = "H" if profile[0] & 0x20 else "L"
    constraints = ".".join(f"{byte:X}" for byte in profile[5:11].rstrip(b"\0"))
    parts = [f"hvc1.{space}{profile[0] & 0x1F}", f"{compatible:X}", f"{tier}{profile[11]}"]
    return f'video/mp4; codecs="{".".join([*parts, constraints] if constraints else parts)}"'


def audio_type(audio: AudioFormat) -> str:
    """The MIME type of :func:`audio_head` and :func:`audio_fragment`."""
    if audio.codec is not Codec.AAC:
        return 'audio/mp4; codecs="flac"'
    object_type = audio.config[0] >> 3 if audio.config else 2
    return f'audio/mp4; codecs="mp4a.40.{object_type}"'


def without_audio(data: bytes) -> bytes:
    """A segment's head, or whole fragments of it, with the boxes of the audio track hidden.

    Raises:
        SegmentCorrupt: these are no whole boxes.
    """
    found = bytearray(data)
    _hide_audio(found, 0, len(found))
    return bytes(found)


def audio_head(header: SegmentHeader) -> bytes | None:
    """What stands before the audio fragments of a segment; None where it has no audio."""
    audio = header.format.audio
    if audio is None:
        return None
    return audio_only_header(header, _entry(audio))


def audio_fragment(fragment: bytes, header: SegmentHeader) -> bytes | None:
    """The audio of one stored fragment as a fragment of its own, at the same media times; None
    where it has none.

    Raises:
        SegmentCorrupt: these bytes are no fragment of ours.
    """
    audio = header.format.audio
    found = audio_samples(fragment)
    if audio is None or found is None:
        return None
    sequence, decode, samples = found
    if audio.codec is not Codec.AAC:
        times = accumulate((ticks for ticks, _ in samples), initial=decode)
        try:
            samples = [
                (ticks, flac.frame(audio.codec, data, audio.channels, at))
                for (ticks, data), at in zip(samples, times, strict=False)
            ]
        except ValueError as error:
            raise SegmentCorrupt(str(error)) from error
    return audio_only_moof(sequence, decode, samples)


def _entry(audio: AudioFormat) -> bytes:
    if audio.codec is Codec.AAC:
        return audio_entry(audio)
    return box(
        b"fLaC",
        bytes(6) + b"\x00\x01",
        bytes(8),
        audio.channels.to_bytes(2, "big"),
        b"\x00\x10",
        bytes(4),
        (audio.sample_rate_hz << 16 & 0xFFFF_FFFF).to_bytes(4, "big"),
        full_box(b"dfLa", 0, 0, flac.stream_info(audio.sample_rate_hz, audio.channels)),
    )


def _hide_audio(out: bytearray, start: int, end: int) -> None:
    """The boxes of the audio track in this part become free."""
    for kind, inner, inner_end in _boxes(out, start, end):
        if kind in _HOLDERS:
            _hide_audio(out, inner, inner_end)
        elif kind in _TOLD_BY:
            for name, place, _ in _boxes(out, inner, inner_end):
                if name == _TOLD_BY[kind] and _track(out, name, place) == AUDIO_TRACK:
                    out[inner - 4 : inner] = _FREE
        elif kind == b"trex" and _track(out, kind, inner) == AUDIO_TRACK:
            out[inner - 4 : inner] = _FREE


def _track(data: bytearray, kind: bytes, place: int) -> int:
    at = place + _TRACK_AT[kind]
    return int.from_bytes(data[at : at + 4], "big")


def _boxes(data: bytearray, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """Type, and begin and end of the payload, of the boxes that fill this part."""
    found = []
    while start < end:
        head = read_head(bytes(data[start : start + 8]))
        if head is None or start + head.size_bytes > end:
            raise SegmentCorrupt("a box leads behind the end of what holds it")
        found.append((head.kind, start + 8, start + head.size_bytes))
        start += head.size_bytes
    return found

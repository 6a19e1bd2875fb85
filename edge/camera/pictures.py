"""From the depacketised pieces of an RTP video stream to access units. Core: no I/O, no clock.

Pieces are what libav's RTP handlers give unparsed (RFC 6184, RFC 7798): NAL units behind start
codes, or the middle and end of a fragmented one without any. All pieces of an access unit carry
its RTP time stamp (RFC 6184, clause 5.1), so a change of it ends the unit; where a camera repeats
one time stamp for ever, the first slice of the next picture does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from retention.model import Codec, ReceivedUnit, Track, VideoFormat
from retention.nal import (
    AccessUnitAssembler,
    is_key_frame,
    is_vcl,
    join_lengths,
    nal_type,
    parameter_sets,
    split_annexb,
    split_lengths,
    video_format,
)

#: No picture is larger (a 4K intra picture stays under 4 MiB); what is, is thrown away.
MAX_PICTURE_BYTES = 12 * 1024 * 1024

_H264_LEADS = frozenset({6, 7, 8, 9})  # SEI, SPS, PPS, AUD: before the first slice (7.4.1.2.3)
_H265_LEADS = frozenset({32, 33, 34, 35, 39})  # VPS, SPS, PPS, AUD, prefix SEI (7.4.2.4.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One packet of the demuxer, with the time of its arrival."""

    data: bytes
    media_us: int | None
    arrival_utc_us: int
    arrival_monotonic_us: int
    is_corrupt: bool = False

    @property
    def is_start(self) -> bool:
        return self.data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01"))


@dataclass(slots=True)
class _Picture:
    first: Piece
    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    has_slice: bool = False
    is_damaged: bool = False


class PictureBuilder:
    """Joins pieces to access units of one codec; ``lost`` counts what grew too large."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._assembler = AccessUnitAssembler(codec)
        self._picture: _Picture | None = None
        self.lost = 0

    def go_on(self, data: bytes) -> bool:
        """Takes a piece of the same time stamp as the last one; False if :meth:`feed` must.

        A large picture comes in dozens of pieces, and all but the first have no start code: they
        are the middle of a fragmented NAL unit.
        """
        picture = self._picture
        if (
            picture is None
            or data.startswith(b"\x00\x00")
            or picture.size_bytes + len(data) > MAX_PICTURE_BYTES
        ):
            return False
        picture.parts.append(data)
        picture.size_bytes += len(data)
        return True

    def feed(self, piece: Piece) -> list[ReceivedUnit]:
        """Takes the next piece; the units that it ends (none or one)."""
        ended = self.flush() if self._ends_picture(piece) else []
        if self._picture is None:
            self._picture = _Picture(first=piece, is_damaged=not piece.is_start)
        picture = self._picture
        picture.size_bytes += len(piece.data)
        picture.is_damaged |= piece.is_corrupt
        if picture.size_bytes <= MAX_PICTURE_BYTES:
            picture.parts.append(piece.data)
        else:
            picture.parts.clear()
        if not picture.has_slice and piece.is_start:
            picture.has_slice = any(is_vcl(self._codec, nal) for nal in _split(piece.data))
        return ended

    def flush(self) -> list[ReceivedUnit]:
        """Ends the picture in hand, as at the end of the stream."""
        picture, self._picture = self._picture, None
        if picture is None:
            return []
        if picture.size_bytes > MAX_PICTURE_BYTES:
            self.lost += 1
            return []
        nals = split_annexb(b"".join(picture.parts))
        if not nals:
            return []
        unit = self._assembler.feed(
            ReceivedUnit(
                track=Track.VIDEO,
                media_us=picture.first.media_us,
                arrival_utc_us=picture.first.arrival_utc_us,
                arrival_monotonic_us=picture.first.arrival_monotonic_us,
                is_key=is_key_frame(self._codec, nals),
                is_damaged=picture.is_damaged,
                data=join_lengths(nals),
            )
        )
        return [] if unit is None else [unit]

    def _ends_picture(self, piece: Piece) -> bool:
        picture = self._picture
        if picture is None:
            return False
        if piece.media_us != picture.first.media_us and None not in (
            piece.media_us,
            picture.first.media_us,
        ):
            return True
        return piece.is_start and picture.has_slice and begins_picture(self._codec, piece.data)


def begins_picture(codec: Codec, data: bytes) -> bool:
    """Whether the first NAL unit of Annex B data can only belong to the next access unit."""
    at = data.find(b"\x01") + 1
    nal = data[at : at + 3]
    if len(nal) < 3:
        return False
    kind = nal_type(codec, nal)
    if codec is Codec.H265:
        return kind in _H265_LEADS or (kind < 32 and bool(nal[2] & 0x80))
    return kind in _H264_LEADS or (1 <= kind <= 5 and bool(nal[1] & 0x80))


class FormatTracker:
    """Knows the parameter sets in force: those of the SDP until a key frame brings its own."""

    def __init__(self, codec: Codec, sdp_sets: bytes) -> None:
        self._codec = codec
        self._sets = parameter_sets(codec, split_annexb(sdp_sets))
        self.current: VideoFormat | None = None

    def feed(self, unit: ReceivedUnit) -> VideoFormat | None:
        """The new format that begins with this unit, if one does; only key frames begin one.

        Sets that a key frame leaves out stay as they were.
        """
        if not unit.is_key or unit.is_damaged:
            return None
        nals = split_lengths(unit.data)
        own = parameter_sets(self._codec, nals)
        if own:
            kinds = {nal_type(self._codec, nal) for nal in own}
            kept = [nal for nal in self._sets if nal_type(self._codec, nal) not in kinds]
            self._sets = parameter_sets(self._codec, [*own, *kept])
        elif self.current is not None:
            return None
        try:
            found = video_format(self._codec, self._sets)
        except ValueError:
            return None  # not yet whole, or garbage: the last good format stays in force
        if self.current is not None and found == self.current:
            return None
        self.current = found
        return found


def _split(data: bytes) -> list[bytes]:
    """Heads of the NAL units of one piece: enough to tell their kind."""
    if data.find(b"\x00\x00\x01", 4) < 0:
        at = data.find(b"\x01") + 1
        return [data[at : at + 3]]
    return split_annexb(data)

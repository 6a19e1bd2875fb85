"""NAL units of H.264 (ITU-T H.264 7.3.1, Annex B) and H.265 (ITU-T H.265 7.3.1, Annex B). Core.

Inside the project a picture's data are its NAL units, each behind a 4-byte big-endian length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from retention.model import Codec, ReceivedUnit, VideoFormat
from retention.sps import BitReader, Sps, read_h264_sps, read_h265_sps

_START = b"\x00\x00\x01"

_H264_IDR = 5
_H264_SEI = 6
_H264_SPS = 7
_H264_PPS = 8
_H265_VPS = 32
_H265_SPS = 33
_H265_PPS = 34
#: BLA, IDR and CRA pictures, with the two types reserved for more (H.265 table 7-1).
_H265_IRAP = range(16, 24)

_PARAMETER_SETS = {
    Codec.H264: (_H264_SPS, _H264_PPS),
    Codec.H265: (_H265_VPS, _H265_SPS, _H265_PPS),
}
_VCL = {Codec.H264: range(1, 6), Codec.H265: range(32)}
_SEI_RECOVERY_POINT = 6
_I_SLICES = (2, 4, 7, 9)  # I and SI, H.264 table 7-6

#: Parameter sets kept of one format; a stream that has more is not believed.
MAX_PARAMETER_SETS = 64
#: Bytes that may wait for their picture; more is no parameter set.
MAX_HELD_BYTES = 1 << 20


class Size(NamedTuple):
    """A picture's size after cropping, in pixels."""

    width: int
    height: int


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream (Annex B), without start codes and trailing zero bytes.

    Bytes before the first start code are no part of a NAL unit and are left out; so are empty
    units.
    """
    nals = []
    start = data.find(_START)
    while start >= 0:
        following = data.find(_START, start + 3)
        nal = data[start + 3 : following if following >= 0 else len(data)].rstrip(b"\x00")
        if nal:
            nals.append(nal)
        start = following
    return nals


def split_lengths(data: bytes) -> list[bytes]:
    """The NAL units of length-prefixed data; empty units are left out.

    Raises:
        ValueError: a length leads behind the end.
    """
    nals = []
    position = 0
    while position < len(data):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "big")
        if start > len(data) or position > len(data):
            raise ValueError("the length of a NAL unit leads behind the end of its picture")
        if position > start:
            nals.append(data[start:position])
    return nals


def join_lengths(nals: Iterable[bytes]) -> bytes:
    """The NAL units, each behind its length as 4 bytes big endian."""
    return b"".join(part for nal in nals for part in (len(nal).to_bytes(4, "big"), nal))


def annexb_to_lengths(data: bytes) -> bytes:
    """A byte stream (Annex B) as length-prefixed NAL units."""
    return join_lengths(split_annexb(data))


def lengths_to_annexb(data: bytes) -> bytes:
    """Length-prefixed NAL units as a byte stream with 4-byte start codes; ValueError as above."""
    return b"".join(b"\x00" + _START + nal for nal in split_lengths(data))


def nal_type(codec: Codec, nal: bytes) -> int:
    """nal_unit_type of a NAL unit that is not empty."""
    return nal[0] >> 1 & 0x3F if codec is Codec.H265 else nal[0] & 0x1F


def is_parameter_set(codec: Codec, nal: bytes) -> bool:
    """Whether it is an SPS or PPS, or a VPS of H.265."""
    return bool(nal) and nal_type(codec, nal) in _PARAMETER_SETS[codec]


def is_vcl(codec: Codec, nal: bytes) -> bool:
    """Whether it holds coded picture data."""
    return bool(nal) and nal_type(codec, nal) in _VCL[codec]


def is_key_frame(codec: Codec, nals: Sequence[bytes]) -> bool:
    """Whether decoding can begin at the picture of these NAL units.

    H.265: an IRAP picture. H.264: an IDR picture, or one of I slices only behind a recovery point
    message with recovery_frame_cnt 0 (D.2.8), as encoders of open GOPs make them.
    """
    if codec is Codec.H265:
        return any(nal and nal_type(codec, nal) in _H265_IRAP for nal in nals)
    slices = [nal for nal in nals if is_vcl(codec, nal)]
    if any(nal_type(codec, nal) == _H264_IDR for nal in slices):
        return True
    return (
        bool(slices)
        and any(_is_exact_recovery_point(nal) for nal in nals)
        and all(_is_i_slice(nal) for nal in slices)
    )


def parameter_sets(codec: Codec, nals: Iterable[bytes]) -> tuple[bytes, ...]:
    """The parameter sets among the NAL units, in order of type, each once."""
    found = dict.fromkeys(nal for nal in nals if is_parameter_set(codec, nal))
    return tuple(sorted(found, key=lambda nal: nal_type(codec, nal)))


def read_sps(codec: Codec, nal: bytes) -> Sps:
    """What a container must know of a sequence parameter set; ValueError on garbage."""
    return read_h265_sps(nal) if codec is Codec.H265 else read_h264_sps(nal)


def parse_sps(codec: Codec, nal: bytes) -> Size:
    """The picture's size that a sequence parameter set gives; ValueError on garbage."""
    sps = read_sps(codec, nal)
    return Size(sps.width, sps.height)


def find_sps(codec: Codec, sets: Iterable[bytes]) -> bytes:
    """The first sequence parameter set; ValueError where there is none."""
    wanted = _H265_SPS if codec is Codec.H265 else _H264_SPS
    for nal in sets:
        if nal and nal_type(codec, nal) == wanted:
            return nal
    raise ValueError("no sequence parameter set")


def video_format(codec: Codec, nals: Iterable[bytes]) -> VideoFormat:
    """The format that these NAL units' parameter sets describe; others are ignored.

    Raises:
        ValueError: a kind of set is missing, there are absurdly many, or the SPS is garbage.
    """
    sets = parameter_sets(codec, nals)
    missing = set(_PARAMETER_SETS[codec]) - {nal_type(codec, nal) for nal in sets}
    if missing:
        raise ValueError(f"no {codec} parameter set of NAL unit type {min(missing)}")
    if len(sets) > MAX_PARAMETER_SETS or max(map(len, sets)) > 0xFFFF:
        raise ValueError("too many parameter sets, or too large ones")
    size = parse_sps(codec, find_sps(codec, sets))
    return VideoFormat(codec=codec, width=size.width, height=size.height, parameter_sets=sets)


class AccessUnitAssembler:
    """Joins packets of parameter sets, SEI or delimiters alone with the picture behind them.

    libav gives such packets of live x264 streams, with the picture's own time stamp. No byte is
    lost or moved: what is held is put in front of the next unit that holds a picture.
    """

    __slots__ = ("_codec", "_held")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._held: ReceivedUnit | None = None

    def feed(self, unit: ReceivedUnit) -> ReceivedUnit | None:
        """Take the next video unit (length-prefixed); the access unit that it ends, if any.

        A unit whose lengths are broken is passed on as it is, marked damaged.
        """
        try:
            nals = split_lengths(unit.data)
        except ValueError:
            nals = None
        held, self._held = self._held, None
        if held is not None:
            unit = replace(
                unit,
                media_us=held.media_us if unit.media_us is None else unit.media_us,
                is_key=held.is_key or unit.is_key,
                is_damaged=held.is_damaged or unit.is_damaged,
                data=held.data + unit.data,
            )
        if nals is None:
            return replace(unit, is_damaged=True)
        if any(is_vcl(self._codec, nal) for nal in nals):
            return unit
        if len(unit.data) > MAX_HELD_BYTES:
            return replace(unit, is_damaged=True)
        self._held = unit
        return None


def _is_exact_recovery_point(nal: bytes) -> bool:
    """Whether it is an SEI NAL unit with a recovery point of no delay (H.264 7.3.2.3, D.1.8)."""
    if not nal or nal[0] & 0x1F != _H264_SEI:
        return False
    payload = nal[1:].replace(b"\x00\x00\x03", b"\x00\x00")
    position = 0
    while position + 2 < len(payload):
        values = []
        for _ in range(2):  # payloadType, payloadSize
            value = 0
            while position < len(payload) and payload[position] == 0xFF:
                value += 255
                position += 1
            if position == len(payload):
                return False
            values.append(value + payload[position])
            position += 1
        kind, size = values
        if kind == _SEI_RECOVERY_POINT:
            return bool(payload[position : position + 1]) and payload[position] & 0x80 != 0
        position += size
    return False


def _is_i_slice(nal: bytes) -> bool:
    bits = BitReader(nal[1:32])
    try:
        bits.ue()  # first_mb_in_slice
        return bits.ue() in _I_SLICES
    except ValueError:
        return False

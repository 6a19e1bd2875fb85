"""MPEG program streams as GB/T 28181 wants them (2022 annex C; ISO/IEC 13818-1). Core.

One picture is one pack: pack header, on key frames system header and stream map (PSM), then the
PES of the picture and of the sound that goes with it. Parameter sets stand before every key frame,
samples are Annex B, AAC has its ADTS headers. PES lengths are never 0; a picture that does not fit
one PES goes on in others, which repeat its time.

Times are ticks of 90 kHz; what is written is their lowest 33 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from retention.model import AudioFormat, Codec, MediaFormat
from retention.nal import is_parameter_set, is_vcl, split_lengths

CLOCK_HZ = 90_000
#: Largest elementary payload of one PES; with its header it stays below 65,536 bytes.
PES_PAYLOAD_MAX = 65_400
#: What the pack header promises, in units of 50 bytes a second: 20 Mbit/s.
MUX_RATE = 50_000

VIDEO_ID = 0xE0
AUDIO_ID = 0xC0
STREAM_TYPES = {
    Codec.H264: 0x1B,
    Codec.H265: 0x24,
    Codec.AAC: 0x0F,
    Codec.ALAW: 0x90,
    Codec.ULAW: 0x91,  # 2022
}
_START_CODE = b"\x00\x00\x00\x01"
_AUD = {Codec.H264: 9, Codec.H265: 35}
_TIME_MASK = (1 << 33) - 1


@dataclass(slots=True)
class PsWriter:
    """Makes the packs of one call.

    Args:
        format: what the first picture is in; :meth:`set_format` when a run in another one begins.
        with_audio: whether the format's audio is announced and sent.
    """

    format: MediaFormat
    with_audio: bool = True
    _version: int = field(init=False, default=0)

    def set_format(self, format: MediaFormat) -> None:
        """From the next key frame on. The stream map's version rises when codecs change."""
        if _codecs(format, self.with_audio) != _codecs(self.format, self.with_audio):
            self._version = (self._version + 1) % 32
        self.format = format

    @property
    def audio(self) -> AudioFormat | None:
        return self.format.audio if self.with_audio else None

    def picture(self, data: bytes, pts: int, dts: int, *, is_key: bool) -> bytes:
        """One picture's pack. ``data`` as in :class:`retention.model.AccessUnit`."""
        codec = self.format.video.codec
        elementary = annexb(codec, data, self.format.video.parameter_sets if is_key else ())
        parts = [pack_header(dts)]
        if is_key:
            audio = self.audio
            parts.append(system_header(has_audio=audio is not None))
            parts.append(stream_map(codec, audio and audio.codec, version=self._version))
        parts += _pes(VIDEO_ID, elementary, pts, dts)
        return b"".join(parts)

    def sound(self, data: bytes, pts: int, scr: int) -> bytes:
        """One audio frame as a pack of its own; empty where no audio is sent.

        Args:
            scr: the pack's clock: not before that of the pack before it.
        """
        audio = self.audio
        if audio is None:
            return b""
        if audio.codec is Codec.AAC:
            data = adts_header(audio, len(data)) + data
        return b"".join([pack_header(scr), *_pes(AUDIO_ID, data, pts, pts)])


def _codecs(format: MediaFormat, with_audio: bool) -> tuple[Codec, Codec | None]:
    audio = format.audio if with_audio else None
    return format.video.codec, None if audio is None else audio.codec


def annexb(codec: Codec, data: bytes, parameter_sets: tuple[bytes, ...] = ()) -> bytes:
    """A picture as a byte stream, with the parameter sets that it does not carry itself before its
    first other NAL unit (an access unit delimiter stays first)."""
    nals = split_lengths(data)
    at = 1 if nals and _is_delimiter(codec, nals[0]) else 0
    if parameter_sets and not any(is_parameter_set(codec, nal) for nal in nals):
        nals[at:at] = parameter_sets
    return b"".join(_START_CODE + nal for nal in nals)


def _is_delimiter(codec: Codec, nal: bytes) -> bool:
    kind = nal[0] & 0x1F if codec is Codec.H264 else nal[0] >> 1 & 0x3F
    return kind == _AUD[codec] and not is_vcl(codec, nal)


def pack_header(scr: int) -> bytes:
    """14 bytes; ISO/IEC 13818-1, 2.5.3.3."""
    scr &= _TIME_MASK
    bits = 0b01 << 46 | (scr >> 30) << 43 | 1 << 42 | (scr >> 15 & 0x7FFF) << 27 | 1 << 26
    bits |= (scr & 0x7FFF) << 11 | 1 << 10 | 1  # the extension is 0
    rate = MUX_RATE << 2 | 0b11
    return b"\x00\x00\x01\xba" + bits.to_bytes(6, "big") + rate.to_bytes(3, "big") + b"\xf8"


@cache
def system_header(*, has_audio: bool) -> bytes:
    """ISO/IEC 13818-1, 2.5.3.5."""
    streams = b"\xe0\xe4\x00" + (b"\xc0\xc0\x20" if has_audio else b"")
    rate = 1 << 23 | MUX_RATE << 1 | 1
    audio_bound = 1 if has_audio else 0
    fixed = rate.to_bytes(3, "big") + bytes([audio_bound << 2, 0b11100001, 0x7F])
    body = fixed + streams
    return b"\x00\x00\x01\xbb" + len(body).to_bytes(2, "big") + body


@cache
def stream_map(video: Codec, audio: Codec | None, *, version: int = 0) -> bytes:
    """The PSM, with its CRC; ISO/IEC 13818-1, 2.5.4."""
    entries = bytes([STREAM_TYPES[video], VIDEO_ID, 0, 0])
    if audio is not None:
        entries += bytes([STREAM_TYPES[audio], AUDIO_ID, 0, 0])
    body = bytes([0xE0 | version, 0xFF, 0, 0]) + len(entries).to_bytes(2, "big") + entries
    head = b"\x00\x00\x01\xbc" + (len(body) + 4).to_bytes(2, "big") + body
    return head + crc32_mpeg2(head).to_bytes(4, "big")


def crc32_mpeg2(data: bytes) -> int:
    """ISO/IEC 13818-1, annex A: polynomial 04C11DB7, all ones at first, nothing reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def _pes(stream_id: int, data: bytes, pts: int, dts: int) -> list[bytes]:
    """One picture or sound, in as many PES as it takes; ISO/IEC 13818-1, 2.4.3.6."""
    pts, dts = pts & _TIME_MASK, dts & _TIME_MASK
    times = b"\xc0\x0a" + _time(0b0011, pts) + _time(0b0001, dts)
    if pts == dts:
        times = b"\x80\x05" + _time(0b0010, pts)
    head = b"\x00\x00\x01" + bytes([stream_id])
    cuts = [*range(0, max(1, len(data)), PES_PAYLOAD_MAX), len(data)]
    parts = []
    for start, end in pairwise(cuts):
        length = 1 + len(times) + end - start
        parts += [head, length.to_bytes(2, "big"), b"\x80", times, data[start:end]]
    return parts


def _time(prefix: int, ticks: int) -> bytes:
    bits = prefix << 36 | (ticks >> 30) << 33 | 1 << 32
    bits |= (ticks >> 15 & 0x7FFF) << 17 | 1 << 16 | (ticks & 0x7FFF) << 1 | 1
    return bits.to_bytes(5, "big")


def adts_header(audio: AudioFormat, frame_bytes: int) -> bytes:
    """ADTS of one raw AAC frame (ISO/IEC 14496-3, 1.A.2.2), from the AudioSpecificConfig."""
    config = int.from_bytes(audio.config[:2].ljust(2, b"\0"), "big")
    object_type, frequency, channels = config >> 11, config >> 7 & 0xF, config >> 3 & 0xF
    # ADTS has two bits for the profile: HE-AAC is announced as the AAC-LC that it contains.
    profile = object_type - 1 if 1 <= object_type <= 4 else 1
    length = frame_bytes + 7
    bits = 0xFFF1 << 40 | profile << 38 | frequency << 34 | (channels & 7) << 30
    bits |= length << 13 | 0x7FF << 2
    return bits.to_bytes(7, "big")

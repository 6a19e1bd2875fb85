"""From RTP packets of sound to audio units: G.711 (RFC 3551), AAC (RFC 3640). Core."""

from __future__ import annotations

from collections.abc import Mapping

from edge.camera.rtsp.message import number
from edge.camera.rtsp.rtp import MediaClock, Sequence, read_rtp
from edge.camera.rtsp.sdp import Medium
from retention.model import AudioFormat, Codec, ReceivedUnit, Track

AAC_FRAME_SAMPLES = 1024
#: The largest raw_data_block of two channels (ISO/IEC 14496-3, 4.5.3.1), with room.
AAC_BYTES_MAX = 8192
#: More frames no packet holds; more channels, or samples, no camera records.
FRAMES_MAX = 64
CHANNELS_MAX = 8
_RATE_HZ_MIN, _RATE_HZ_MAX = 1_000, 96_000
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def audio_format(medium: Medium) -> AudioFormat | None:
    """The format of a medium that can be kept; None for any other."""
    if medium.encoding in ("PCMA", "PCMU"):
        codec = Codec.ALAW if medium.encoding == "PCMA" else Codec.ULAW
        rate_hz = medium.clock_hz or 8000
        is_rate = _RATE_HZ_MIN <= rate_hz <= _RATE_HZ_MAX
        if not is_rate or medium.channels > CHANNELS_MAX:
            return None
        return AudioFormat(codec=codec, sample_rate_hz=rate_hz, channels=medium.channels)
    if medium.encoding != "MPEG4-GENERIC":
        return None
    try:
        config = bytes.fromhex(medium.parameters.get("config", ""))
        index = _bits(config, 5, 4)  # behind audioObjectType
        rate_hz = _bits(config, 9, 24) if index == 15 else _RATES[index]
        channels = _bits(config, 33 if index == 15 else 9, 4)
    except (ValueError, IndexError):
        return None
    if (
        not _RATE_HZ_MIN <= rate_hz <= _RATE_HZ_MAX
        or not 0 < channels <= CHANNELS_MAX
        or not _header_bits(medium.parameters)[0]
    ):
        return None
    return AudioFormat(codec=Codec.AAC, sample_rate_hz=rate_hz, channels=channels, config=config)


def _bits(data: bytes, at: int, count: int) -> int:
    """``count`` bits from bit ``at`` on; IndexError behind the end."""
    left = 8 * len(data) - at - count
    if left < 0:
        raise IndexError("the bits end before that")
    return int.from_bytes(data, "big") >> left & (1 << count) - 1


def _header_bits(parameters: Mapping[str, str]) -> tuple[int, int, int]:
    """Widths of size, index and index delta in an AU header; no size: not in this form."""

    def width(name: str) -> int:
        bits = number(parameters.get(name, "0"))
        return bits if bits is not None and bits <= 32 else 0

    return width("sizelength"), width("indexlength"), width("indexdeltalength")


class SoundReader:
    """Takes the packets of one audio track."""

    def __init__(self, medium: Medium, form: AudioFormat) -> None:
        self._form = form
        self._payload_type = medium.payload_type
        self._size_bits, self._index_bits, self._delta_bits = _header_bits(medium.parameters)
        self._sequence = Sequence()
        self.media = MediaClock(medium.clock_hz, form.sample_rate_hz)
        self._partial = b""
        self._partial_size = 0

    @property
    def lost_packets(self) -> int:
        return self._sequence.lost

    def packet(self, data: bytes, utc_us: int, monotonic_us: int) -> list[ReceivedUnit]:
        """Takes a packet and when it came; its frames."""
        head = read_rtp(data)
        if head is None or head.payload_type != self._payload_type:
            return []
        missing = self._sequence.take(head.sequence)
        if missing < 0:
            return []
        if missing:
            self._partial = b""
        payload = data[head.start : head.end]
        media_us = self.media.at(head.time)
        frames = [payload] if self._form.codec is not Codec.AAC else self._aac(payload)
        rate_hz = self._form.sample_rate_hz
        return [
            ReceivedUnit(
                track=Track.AUDIO,
                media_us=media_us + place * AAC_FRAME_SAMPLES * 1_000_000 // rate_hz,
                arrival_utc_us=utc_us,
                arrival_monotonic_us=monotonic_us,
                is_key=True,
                is_damaged=False,
                data=frame,
            )
            for place, frame in enumerate(frames)
            if frame
        ]

    def _aac(self, payload: bytes) -> list[bytes]:
        """RFC 3640, 3.2: headers, then frames; one frame may take several packets."""
        header_bits = int.from_bytes(payload[:2], "big")
        at = 2 + (header_bits + 7) // 8
        if not header_bits or at > len(payload):
            return []
        headers, bit = payload[2:at], 0
        sizes: list[int] = []
        while True:
            width = self._size_bits + (self._delta_bits if sizes else self._index_bits)
            if bit + width > header_bits or len(sizes) == FRAMES_MAX:
                break
            sizes.append(_bits(headers, bit, self._size_bits))
            bit += width
        if len(sizes) == 1 and sizes[0] > len(payload) - at:
            return self._part(sizes[0], payload[at:])
        self._partial = b""
        frames = []
        for size in sizes:
            if at + size > len(payload):
                break
            frames.append(payload[at : at + size])
            at += size
        return frames

    def _part(self, size: int, part: bytes) -> list[bytes]:
        if size > AAC_BYTES_MAX:
            return []
        if size != self._partial_size:
            self._partial = b""
        self._partial, self._partial_size = self._partial + part, size
        if len(self._partial) < size:
            return []
        frame, self._partial = self._partial[:size], b""
        return [frame]

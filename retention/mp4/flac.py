"""G.711 as FLAC, which browsers play: every sample as its 16-bit value, nothing predicted. Core.

Lossless: G.711 decodes to at most 14 (A-law 13) bits (ITU-T G.711, tables 1 and 2), and a verbatim
subframe (RFC 9639, 9.2.2) holds those as they are. The stored bytes are left as they came.
"""

from __future__ import annotations

from retention.model import Codec

#: STREAMINFO (RFC 9639, 8.2) promises no more than this of a frame.
BLOCK_SAMPLES_MAX = 65_535
_BLOCK_SAMPLES_MIN = 16


def stream_info(rate_hz: int, channels: int) -> bytes:
    """The one metadata block, marked as the last (RFC 9639, 8.1 and 8.2); length unknown."""
    packed = rate_hz << 44 | (channels - 1) << 41 | (16 - 1) << 36
    body = (
        _BLOCK_SAMPLES_MIN.to_bytes(2, "big")
        + BLOCK_SAMPLES_MAX.to_bytes(2, "big")
        + bytes(6)  # frame sizes unknown
        + packed.to_bytes(8, "big")
        + bytes(16)  # no MD5
    )
    return b"\x80" + len(body).to_bytes(3, "big") + body


def frame(codec: Codec, data: bytes, channels: int, first_sample: int) -> bytes:
    """One frame (RFC 9639, 9) that holds the samples of a G.711 unit.

    Args:
        first_sample: its number in the stream, less than 2**36.

    Raises:
        ValueError: no G.711, more than two channels, or a unit without or with too many samples.
    """
    samples = len(data) // channels
    if codec not in _LINEAR or not 1 <= channels <= 2 or not 1 <= samples <= BLOCK_SAMPLES_MAX:
        raise ValueError("an audio unit that no FLAC frame holds")
    # variable block size; size in 16 bits, rate as in STREAMINFO; channels; 16 bits a sample
    head = b"\xff\xf9\x70" + bytes(((channels - 1) << 4 | 4 << 1,))
    head += _coded_number(first_sample) + (samples - 1).to_bytes(2, "big")
    out = bytearray(head)
    out.append(_crc8(head))
    high, low = _LINEAR[codec]
    for channel in range(channels):
        part = data[channel : channels * samples : channels]
        out.append(1 << 1)  # verbatim, no wasted bits
        values = bytearray(2 * samples)
        values[0::2] = part.translate(high)
        values[1::2] = part.translate(low)
        out += values
    return bytes(out) + _crc16(out).to_bytes(2, "big")


def _coded_number(number: int) -> bytes:
    """A number of up to 36 bits as UTF-8 would have it (RFC 9639, 9.1.5)."""
    if number < 0x80:
        return bytes((number,))
    tail = []
    lead = 0x3F
    while number > lead:
        tail.append(0x80 | number & 0x3F)
        number >>= 6
        lead >>= 1
    first = ~(2 * lead + 1) & 0xFF | number
    return bytes((first, *reversed(tail)))


def _table(width: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << (width - 1), (1 << width) - 1
    found = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        found.append(value)
    return tuple(found)


_CRC8 = _table(8, 0x07)
_CRC16 = _table(16, 0x8005)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes | bytearray) -> int:
    value = 0
    table = _CRC16
    for byte in data:
        value = (value << 8 & 0xFF00) ^ table[value >> 8 ^ byte]
    return value


def _alaw(code: int) -> int:
    code ^= 0x55
    segment, step = code >> 4 & 7, (code & 0xF) << 4
    size = step + 8 if not segment else (step + 0x108) << (segment - 1)
    return size if code & 0x80 else -size


def _ulaw(code: int) -> int:
    code = ~code & 0xFF
    size = (((code & 0xF) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -size if code & 0x80 else size


def _bytes_of(values: list[int]) -> tuple[bytes, bytes]:
    """High and low byte of each, to translate with."""
    words = [value & 0xFFFF for value in values]
    return bytes(word >> 8 for word in words), bytes(word & 0xFF for word in words)


_LINEAR = {
    Codec.ALAW: _bytes_of([_alaw(code) for code in range(256)]),
    Codec.ULAW: _bytes_of([_ulaw(code) for code in range(256)]),
}
